"""Signs an audit into its run, and verifies it there.

An audit's files stand in `audits/N` of the run folder, N counting from 001. The coordinator signs a
statement of their digests that goes on with the run's own log, under a new checkpoint: an audit can
be added, and none can be taken out from below a later one, or be exchanged.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import msgspec

from audits.compliance.document import ComplianceDocument
from audits.compliance.page import render_html
from audits.compliance.pdf import render_pdf
from audits.facts import GuaranteedFacts, ReportFacts
from audits.findings import AuditReport
from audits.mappings.deployment_yaml import render_yaml
from crypto.checkpoint import Checkpoint, RunId
from crypto.codec import Digest, Message
from crypto.digests import canonical_json, digest_file, sha256
from crypto.dsse import sign_envelope, verify_envelope
from crypto.errors import ConfigError, IntegrityError, PeerError
from crypto.merkle import MerkleLog
from crypto.signatures import Signed, sign_message
from secure_fl.manifest import PAYLOAD_TYPE, STATEMENT_TYPE
from secure_fl.rounds.reading import leaf_of, read_statement
from secure_fl.runfolder import READABLE
from secure_fl.storage import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crypto.digests import JsonValue
    from crypto.roster import Roster
    from crypto.signatures import SigningKey
    from secure_fl.auditing.subject import Subject
    from secure_fl.runfolder import RunFolder

M = TypeVar("M", bound=Message)

FOLDER: Final = "audits"
PREDICATE_TYPE: Final = "https://secure-fl.org/audit/v1"
_REPORTS: Final = ("audit.json", "report.html", "report.pdf")
_DEPLOYMENT: Final = "deployment.yaml"
"""Of a run with a guarantee alone: without one there is no deployment to register."""
_LOG: Final = "log.json"
_MANIFEST: Final = "manifest.json"
_SCHEMA: Final = "secure-fl.audit-log.v1"


class AuditMade(Message, frozen=True, tag="secure-fl.audit-made.v2"):
    """Statement: the run was audited, with what outcome.

    Attributes:
        run_id: the run's.
        number: which of the run's audits this is, from 1.
        run_manifest: SHA-256 of the run's manifest.
        audit: SHA-256 of `audit.json`.
        page: of `report.html`.
        pdf: of `report.pdf`.
        deployment: of `deployment.yaml`; None where the run promises nothing, and there is none.
        verdict: of the whole.
    """

    run_id: RunId
    number: Annotated[int, msgspec.Meta(ge=1, le=999)]
    run_manifest: Digest
    audit: Digest
    page: Digest
    pdf: Digest
    deployment: Digest | None
    verdict: str

    def digests(self) -> dict[str, Digest]:
        """Return the digests of the files that say what was found, by name."""
        found = {"audit.json": self.audit, "report.html": self.page, "report.pdf": self.pdf}
        return found if self.deployment is None else found | {_DEPLOYMENT: self.deployment}


@dataclass(frozen=True)
class AuditSigner:
    """The run's coordinator, who signs its audits.

    Raises:
        ConfigError: the key is not the one that the run's roster pins.
    """

    roster: Roster
    key: SigningKey

    def __post_init__(self) -> None:
        if self.key.public != self.roster.coordinator().verify_key:
            raise ConfigError(
                "The coordinator's key in this state folder is not the one that signed the run: "
                "the audit would not belong to it. Give the --state folder of the run."
            )


def write_audit(subject: Subject, report: AuditReport, signer: AuditSigner) -> Path:
    """Write the signed audit into the run folder, and return its own folder.

    A crash before the last file leaves a folder without a manifest, which is begun anew.

    Raises:
        IntegrityError: the run folder's log or an earlier audit does not check out.
    """
    folder, roster = subject.folder, signer.roster
    known = list(_signed_audits(folder))
    log = _log_with(folder, roster, known)
    number = len(known) + 1
    target = folder.path / FOLDER / f"{number:03d}"
    target.mkdir(parents=True, exist_ok=True)
    written = _rendered(subject.facts, report)
    for name, data in written.items():
        write_atomically(target / name, data, mode=READABLE)
    name = roster.coordinator().name
    made = AuditMade(
        run_id=bytes.fromhex(report.run_id),
        number=number,
        run_manifest=bytes.fromhex(report.run_manifest),
        audit=sha256(written["audit.json"]),
        page=sha256(written["report.html"]),
        pdf=sha256(written["report.pdf"]),
        deployment=sha256(written[_DEPLOYMENT]) if _DEPLOYMENT in written else None,
        verdict=report.verdict.value,
    )
    statement = sign_message(signer.key, name, made)
    log.append(leaf_of(statement))
    checkpoint = sign_message(
        signer.key, name, Checkpoint(run_id=made.run_id, size=len(log), root=log.root())
    )
    write_atomically(
        target / _LOG,
        canonical_json(
            {
                "schema": _SCHEMA,
                "statement": _as_json(statement),
                "checkpoint": _as_json(checkpoint),
            }
        ),
        mode=READABLE,
    )
    write_atomically(target / _MANIFEST, _manifest(target, made, signer.key), mode=READABLE)
    return target


def verify_audits(folder: RunFolder, roster: Roster) -> int:
    """Return how many audits the run folder holds, if all of them check out.

    Formal guarantee: each was signed by the coordinator of `roster` for this very run folder, in
    this order and with none missing below a later one; its reports say what its `audit.json` and
    the run's `facts.json` hold. Not shown: that no later audit was removed, or that the attacks
    were run as the audit says.

    Raises:
        IntegrityError: one does not check out; the message names it.
    """
    known = list(_signed_audits(folder))
    facts = ReportFacts.from_json(folder.read("facts.json"))
    _check_files(folder, known, facts)
    manifest = digest_file(folder.path / "manifest.json").hex()
    _log_with(folder, roster, known)
    signed = [(path, *_check_signed(path, facts, manifest, roster)) for path in known]
    # Rendering takes longest, and comes last.
    for path, made, report in signed:
        _check_rendered(path, facts, made, report)
    return len(known)


# -- files -------------------------------------------------------------------------------------


def _signed_audits(folder: RunFolder) -> Iterator[Path]:
    """Yield the folders of the audits that were signed, in order."""
    number = 1
    while (path := folder.path / FOLDER / f"{number:03d}" / _MANIFEST).is_file():
        yield path.parent
        number += 1


def _reports(facts: ReportFacts) -> tuple[str, ...]:
    """Return the names of the files that say what an audit of such a run found."""
    private = isinstance(facts.privacy, GuaranteedFacts)
    return (*_REPORTS, _DEPLOYMENT) if private else _REPORTS


def _check_files(folder: RunFolder, known: list[Path], facts: ReportFacts) -> None:
    names = (*_reports(facts), _LOG, _MANIFEST)
    expected = {f"{FOLDER}/{path.name}/{name}" for path in known for name in names}
    found = {name for name in folder.files() if name.startswith(f"{FOLDER}/")}
    # `files` leaves out the run's own manifest alone.
    for name in sorted(expected - found):
        raise IntegrityError(f"{name} is missing: it was there when the audit was signed.")
    for name in sorted(found - expected):
        raise IntegrityError(
            f"{name} belongs to no signed audit: nobody vouches for it. Audit the run again, or "
            "remove it."
        )


def _rendered(facts: ReportFacts, report: AuditReport) -> dict[str, bytes]:
    """Return the files that say what was found, by name."""
    document = ComplianceDocument(schema="secure-fl.compliance.v1", facts=facts, audit=report)
    files = {
        "audit.json": report.to_json(),
        "report.html": render_html(document).encode(),
        "report.pdf": render_pdf(document),
    }
    if _DEPLOYMENT in _reports(facts):
        files[_DEPLOYMENT] = render_yaml(document)
    return files


def _manifest(target: Path, made: AuditMade, key: SigningKey) -> bytes:
    return sign_envelope(PAYLOAD_TYPE, _payload_of(target, made), [key])


def _payload_of(target: Path, made: AuditMade) -> bytes:
    """Return the in-toto statement of an audit's files."""
    subjects: list[JsonValue] = [
        {"name": name, "digest": {"sha256": digest_file(target / name).hex()}}
        for name in (*made.digests(), _LOG)
    ]
    subjects.append({"name": "../../manifest.json", "digest": {"sha256": made.run_manifest.hex()}})
    return canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": subjects,
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "run_id": made.run_id.hex(),
                "number": made.number,
                "verdict": made.verdict,
            },
        }
    )


# -- the log -----------------------------------------------------------------------------------


def _as_json(signed: Signed) -> dict[str, str]:
    return {
        "label": signed.label,
        "body": base64.b64encode(signed.body).decode(),
        "signer": signed.signer,
        "signature": base64.b64encode(signed.signature).decode(),
    }


def _read_log(path: Path) -> tuple[Signed, Signed]:
    """Return the statement and the checkpoint of an audit, unverified."""
    try:
        table = json.loads((path / _LOG).read_bytes())
        return _signed(table["statement"]), _signed(table["checkpoint"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"{path / _LOG} is missing or is no audit's log.") from error


def _signed(table: dict[str, str]) -> Signed:
    return Signed(
        label=table["label"],
        body=base64.b64decode(table["body"], validate=True),
        signer=table["signer"],
        signature=base64.b64decode(table["signature"], validate=True),
    )


def _stated(path: Path, signed: Signed, kind: type[M], roster: Roster) -> M:
    """Return what the coordinator stated in the log of `path`."""
    try:
        return read_statement(signed, kind, roster.coordinator().name, roster)
    except PeerError as error:
        # Nobody sent it: it stands in a folder that was signed.
        raise IntegrityError(f"{path / _LOG}: {error}") from error


def _log_with(folder: RunFolder, roster: Roster, known: list[Path]) -> MerkleLog:
    """Return the run's log with the statements of its audits, each under its checkpoint.

    Raises:
        IntegrityError: a checkpoint is not the coordinator's, or not that of the log.
    """
    log = MerkleLog(folder.leaves())
    for path in known:
        statement, signed = _read_log(path)
        log.append(leaf_of(statement))
        checkpoint = _stated(path, signed, Checkpoint, roster)
        if checkpoint.root != log.root() or checkpoint.size != len(log):
            raise IntegrityError(
                f"{path / _LOG} does not go on with the run's log: an audit was exchanged, or one "
                "before it was removed."
            )
    return log


def _check_signed(
    path: Path, facts: ReportFacts, manifest: str, roster: Roster
) -> tuple[AuditMade, AuditReport]:
    """Return the statement and the audit in `path`, if they are of this run and signed for it."""
    coordinator = roster.coordinator()
    statement, _ = _read_log(path)
    made = _stated(path, statement, AuditMade, roster)
    if tuple(made.digests()) != _reports(facts):
        raise IntegrityError(
            f"{path / _LOG} states other files than an audit of this run has: one that promises "
            f"privacy has a {_DEPLOYMENT}, and one that does not has none."
        )
    envelope = (path / _MANIFEST).read_bytes()
    payload = json.loads(
        verify_envelope(envelope, PAYLOAD_TYPE, [coordinator.verify_key], threshold=1)
    )
    if payload != json.loads(_payload_of(path, made)):
        raise IntegrityError(f"{path / _MANIFEST} does not name the files beside it.")
    report = AuditReport.from_json((path / "audit.json").read_bytes())
    if (
        made.run_manifest.hex() != manifest
        or report.run_manifest != manifest
        or report.run_id != facts.run.run_id
        or made.run_id.hex() != report.run_id
        or made.number != int(path.name)
        or made.verdict != report.verdict.value
    ):
        raise IntegrityError(f"{path} holds an audit of another run, or of another state of it.")
    return made, report


def _check_rendered(path: Path, facts: ReportFacts, made: AuditMade, report: AuditReport) -> None:
    """Return if the files in `path` say what was found, in the bytes that were signed for."""
    digests = made.digests()
    for name, data in _rendered(facts, report).items():
        if sha256(data) != digests.get(name) or data != (path / name).read_bytes():
            raise IntegrityError(f"{path / name} does not say what audit.json and facts.json hold.")
