"""Forging a run folder with whatever keys a forger may hold."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from audits.facts import ReportFacts
from audits.report import render_report
from crypto.checkpoint import Checkpoint
from crypto.keyfiles import read_secret
from crypto.merkle import MerkleLog
from crypto.signatures import SigningKey, sign_message
from secure_fl.manifest import open_manifest, sign_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from secure_fl.runfolder import RunFolder

Said = dict[str, str | int]


def coordinator_key(state: Path) -> SigningKey:
    return SigningKey.from_seed(read_secret(state / "coordinator" / "identity.key"))


def sign_again(
    run: RunFolder, key: SigningKey, signer: SigningKey | None = None, say: Said | None = None
) -> None:
    """Sign the folder as it is now, as whoever holds the coordinator's key (or `signer`) could."""
    predicate = open_manifest(run.read("manifest.json"), key.public).predicate
    changed = predicate.model_copy(update=say or {})
    run.write_manifest(sign_manifest(run, changed, signer or key))


def sign_leaves_again(run: RunFolder, key: SigningKey, leaves: list[bytes]) -> None:
    """Put another transcript into the folder, with everything that a coordinator can sign."""
    (run.path / "transcript" / "leaves.b64").unlink()
    run.append_leaves(leaves)
    root = MerkleLog(leaves).root()
    run_id = open_manifest(run.read("manifest.json"), key.public).predicate.run_id
    checkpoint = Checkpoint(run_id=bytes.fromhex(run_id), size=len(leaves), root=root)
    run.write_checkpoint(sign_message(key, "coordinator", checkpoint))
    size: Said = {"transcript_root": root.hex(), "transcript_size": len(leaves)}
    facts = json.loads(run.read("facts.json"))
    facts["digests"] |= size
    state_facts(run, facts)
    sign_again(run, key, say=size)


def state_facts(run: RunFolder, facts: dict[str, Any]) -> None:
    stated = ReportFacts.from_json(json.dumps(facts).encode())
    run.write_report(stated.to_json(), render_report(stated))
