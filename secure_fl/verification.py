"""Re-checks everything that a run folder claims, offline.

`verify_run` returns None or raises with the first thing that does not check out. The order goes
from who signed, over what the bytes are, to what they mean: signature, files, roster, transcript,
rounds, ledgers, report.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from audits.facts import ReportFacts
from audits.report import render_report
from crypto.digests import canonical_json, digest_file, sha256
from crypto.errors import ConfigError, IntegrityError, PeerError, SecureFLError
from crypto.roster import open_roster, read_unverified_roster, verify_roster_signature
from privacy.events import to_json as event_to_json
from secure_fl.auditing.binding import FOLDER as AUDITS
from secure_fl.auditing.binding import verify_audits
from secure_fl.facts_check import FactsCheck
from secure_fl.guarantee import planned_event, round_event
from secure_fl.manifest import Manifest, open_manifest
from secure_fl.reporting import extract_entries
from secure_fl.runfolder import RunFolder
from secure_fl.transcript_check import CheckedTranscript, check_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crypto.signatures import VerifyKey
    from privacy.ledger_entries import ExtractEntry
    from secure_fl.config import Mechanism


_ROSTER = "transcript/roster.json"


class SignerUnknownError(SecureFLError):
    """The folder is consistent, and nobody said whose signature to trust."""


def verify_run(path: Path, trust: VerifyKey | None) -> None:
    """Return if everything in the run folder `path` checks out under the root key `trust`.

    Formal guarantee: every file is the one that the coordinator of a roster under `trust`
    signed; the transcript's statements are signed by the parties that the roster pins and stand
    under the signed root; each site's ledger extract is the one that the site signed, and the
    epsilons of the report follow from it. Not shown: that a site's ledger is complete beyond
    this run, or that parties did what they signed.

    Raises:
        IntegrityError: something does not check out; the message names it.
        ConfigError: the folder holds no finished run.
        SignerUnknownError: all is consistent, and `trust` is None.
    """
    folder = RunFolder(path)
    if not (path / "manifest.json").exists():
        raise ConfigError(
            f"{path} holds no finished run (there is no manifest.json): nothing can be "
            "verified. Name the folder of a finished run, or resume this one."
        )
    try:
        _verify(folder, trust)
    except PeerError as error:
        # Whoever made the folder is the party that broke the protocol; the record is at fault.
        raise IntegrityError(str(error)) from error
    if trust is None:
        raise SignerUnknownError(
            "The run folder is consistent, and its signer is unknown: anybody could have made "
            "it. Give the consortium's root key, which you have from elsewhere, with --trust."
        )


def _verify(folder: RunFolder, trust: VerifyKey | None) -> None:
    roster_file = folder.read(_ROSTER)
    with _naming(_ROSTER):
        claimed = read_unverified_roster(roster_file)
        if trust is not None:
            verify_roster_signature(roster_file, trust)
    with _naming("manifest.json"):
        manifest = open_manifest(folder.read("manifest.json"), claimed.coordinator().verify_key)
    _check_files(folder, manifest)
    roster = claimed
    if trust is not None:
        # The roster has to hold when the run was signed; today it may have expired.
        with _naming(_ROSTER):
            roster = open_roster(roster_file, trust, _moment(manifest.predicate.signed_at))
    if roster.digest().hex() != manifest.predicate.roster_digest:
        raise IntegrityError(f"{_ROSTER} is not the roster that the manifest names.")
    config = folder.config()
    if config.mechanism.digest().hex() != manifest.predicate.config_digest:
        raise IntegrityError("config.toml is not the configuration that the manifest names.")
    checked = check_transcript(folder, roster, config.mechanism, manifest.predicate)
    extracts = _check_ledgers(folder, checked, config.mechanism, manifest.predicate.run_id)
    facts = ReportFacts.from_json(folder.read("facts.json"))
    check = FactsCheck(config, roster, checked, extracts)
    check.check(facts, folder.metrics(), manifest.predicate, trust)
    if render_report(facts).encode() != folder.read("report.html"):
        raise IntegrityError("report.html does not say what facts.json holds.")
    verify_audits(folder, roster)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Let what a signed file's own check finds be found in the file called `name`."""
    try:
        yield
    except (ConfigError, IntegrityError) as error:
        raise IntegrityError(f"{name}: {error}") from error


def _check_files(folder: RunFolder, manifest: Manifest) -> None:
    # An audit that was added later has a manifest of its own.
    found = {name for name in folder.files() if not name.startswith(f"{AUDITS}/")}
    for name in sorted(set(manifest.files) - found):
        raise IntegrityError(f"{name} is missing: it was there when the run was signed.")
    for name in sorted(found - set(manifest.files)):
        raise IntegrityError(f"{name} was added after the run was signed.")
    for name, digest in sorted(manifest.files.items()):
        if digest_file(folder.path / name).hex() != digest:
            raise IntegrityError(f"{name} was changed after the run was signed.")


def _check_ledgers(
    folder: RunFolder, checked: CheckedTranscript, mechanism: Mechanism, run_id: str
) -> dict[str, tuple[ExtractEntry, ...]]:
    """Return each site's extract, checked against its signature and the transcript."""
    extracts = folder.ledger()
    if set(extracts) != set(checked.extracts):
        raise IntegrityError("ledger.json does not hold the extracts that the sites signed.")
    plan, per_round = _json(planned_event(mechanism)), _json(round_event(mechanism))
    found = {}
    for site, extract in sorted(extracts.items()):
        if sha256(extract) != checked.extracts[site].extract_digest:
            raise IntegrityError(f"ledger.json: the extract of {site} is not what it signed.")
        found[site] = extract_entries(extract)
        if any(entry.run != run_id for entry in found[site]):
            raise IntegrityError(f"ledger.json: the extract of {site} is of another run.")
        _check_entries(site, found[site], checked, plan_json=plan, round_json=per_round)
    return found


def _check_entries(
    site: str,
    entries: tuple[ExtractEntry, ...],
    checked: CheckedTranscript,
    *,
    plan_json: bytes,
    round_json: bytes,
) -> None:
    reserved = [entry for entry in entries if entry.draw is None]
    if [_json(entry.event) for entry in reserved] != [plan_json]:
        raise IntegrityError(f"ledger.json: {site} did not reserve exactly the run's plan.")
    drawn = set()
    for entry in entries:
        if entry.draw is None:
            continue
        if _json(entry.event) != round_json:
            raise IntegrityError(
                f"ledger.json: {site} drew something else in round {entry.draw.round + 1} than "
                "the configuration says."
            )
        drawn.add((entry.draw.round, entry.draw.attempt))
    missing = sorted(checked.uploads[site] - drawn)
    if missing:
        raise IntegrityError(
            f"ledger.json: {site} sent an update in round {missing[0][0] + 1}, attempt "
            f"{missing[0][1]}, that its ledger never charged."
        )


def _json(event: object) -> bytes:
    return canonical_json(event_to_json(event))  # type: ignore[arg-type] # narrowed by callers


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise IntegrityError("The manifest was signed at no time that can be read.") from error
