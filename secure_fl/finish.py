"""Completes a run folder: adapter, ledger extract and report, and last the signed manifest.

Until the manifest is there the run can be resumed, so whatever else belongs to its end (a site's
own report) is written between the two.
"""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING

from audits.report import render_report
from crypto.digests import sha256
from secure_fl.adapter_card import model_card
from secure_fl.manifest import RunPredicate, sign_manifest, signed_at
from secure_fl.reporting import ReportSources, run_facts
from secure_fl.site_home import now
from secure_fl.sites.workbench import resolve_model
from secure_fl.storage import refused, write_atomically

if TYPE_CHECKING:
    from audits.facts import ReportFacts
    from crypto.signatures import VerifyKey
    from secure_fl.runner import CoordinatorParts, RunResult


def write_results(parts: CoordinatorParts, result: RunResult, root: VerifyKey) -> ReportFacts:
    """Write what a finished run leaves but its manifest, and return the report's facts.

    Args:
        parts: the coordinator's.
        result: what the rounds came to.
        root: the consortium's root key, whose fingerprint the report shows.
    """
    folder, config = parts.folder, parts.config
    resolved = resolve_model(config.mechanism.model, config.runtime)
    _save_adapter(parts, result, resolved.weights_sha256)
    extracts = {
        site: base64.b64decode(extract) for site, extract in result.progress.extracts.items()
    }
    folder.write_ledger(extracts)
    folder.write_checkpoint(result.transcript.checkpoint())
    facts = run_facts(
        ReportSources(
            config=config,
            roster=parts.roster,
            root_fingerprint=sha256(root.raw).hex(),
            resolved=resolved,
            dataset=parts.dataset,
            result=result,
            metrics=folder.metrics(),
            started=datetime.fromisoformat(result.progress.started),
            ended=now().replace(microsecond=0),
            published=parts.published,
            one_process=parts.one_process,
            holdings=parts.holdings,
        )
    )
    folder.write_report(facts.to_json(), render_report(facts))
    return facts


def sign_run(parts: CoordinatorParts, result: RunResult) -> None:
    """Sign every file of the folder: the run is finished."""
    folder = parts.folder
    predicate = RunPredicate(
        run_id=result.progress.run_id,
        config_digest=parts.config.mechanism.digest().hex(),
        roster_digest=parts.roster.digest().hex(),
        transcript_root=result.transcript.root().hex(),
        transcript_size=result.transcript.size,
        signed_at=signed_at(now()),
    )
    folder.write_manifest(sign_manifest(folder, predicate, parts.key))


def _save_adapter(parts: CoordinatorParts, result: RunResult, digest: str) -> None:
    dataset, adapted = parts.dataset, parts.evaluator.adapted
    adapted.load(result.parameters)
    target = parts.folder.path / "adapter"
    try:
        adapted.save(target, parts.config.mechanism.model.name)
        # PEFT leaves its files to the system's cache, and the manifest outlives a power cut.
        for path in sorted(target.iterdir()):
            write_atomically(path, path.read_bytes(), mode=0o644)
    except OSError as error:
        raise refused(target, error) from error
    card = model_card(parts.config, dataset, result, parts.folder.metrics(), digest)
    write_atomically(target / "README.md", card.encode(), mode=0o644)
