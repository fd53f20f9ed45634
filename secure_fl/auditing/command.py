"""`secure-fl audit`, from the folder's path to the signed report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from crypto.errors import ConfigError
from crypto.keyfiles import read_secret
from crypto.roster import read_unverified_roster
from crypto.signatures import SigningKey
from secure_fl.auditing.audit import AuditWork, attacks_called, perform
from secure_fl.auditing.binding import AuditSigner, write_audit
from secure_fl.auditing.demands import NO_DEMANDS, load_audit_policy
from secure_fl.auditing.frontier import read_frontier
from secure_fl.auditing.subject import open_subject
from secure_fl.consortium import COORDINATOR
from secure_fl.launch import default_state, own_state

if TYPE_CHECKING:
    from pathlib import Path

    from audits.findings import AuditReport
    from secure_fl.auditing.audit import AuditObserver
    from secure_fl.auditing.subject import Subject


@dataclass(frozen=True)
class AuditOptions:
    """What was asked for; None stands for the default."""

    run: Path
    attacks: tuple[str, ...]
    gate: Path | None
    state: Path | None
    frontier: tuple[Path, ...] = ()


@dataclass(frozen=True)
class AuditOutcome:
    """What an audit came to.

    Attributes:
        report: what was found.
        folder: where it was signed into.
        unmet: what it falls short of, a sentence each.
    """

    report: AuditReport
    folder: Path
    unmet: tuple[str, ...]


def audit_run(options: AuditOptions, observer: AuditObserver) -> AuditOutcome:
    """Audit the run and sign the outcome.

    Raises:
        ConfigError: there is no finished run, no key to sign with, no attack or gate of that name,
            or a study of something else; nothing was attacked.
        IntegrityError: the run folder is damaged.
    """
    subject = open_subject(options.run)
    demands = NO_DEMANDS if options.gate is None else load_audit_policy(options.gate)
    wanted = attacks_called(options.attacks)
    frontier = read_frontier(options.frontier, subject.facts)
    signer = _signer(subject, options)
    torch.set_num_threads(subject.config.runtime.threads)
    work = AuditWork.of(subject)
    report = perform(subject, wanted, work, observer, frontier)
    folder = write_audit(subject, report, signer)
    work.remove()
    return AuditOutcome(report, folder, demands.unmet(report))


def _signer(subject: Subject, options: AuditOptions) -> AuditSigner:
    beside = own_state(options.run)
    state = options.state or (beside if beside.is_dir() else default_state())
    path = state / COORDINATOR / "identity.key"
    if not path.is_file():
        raise ConfigError(
            f"There is no coordinator's key in {state}, and an audit that nobody signed proves "
            "nothing: nothing was attacked. Give the --state folder that the run was made with."
        )
    roster = read_unverified_roster(subject.folder.read("transcript/roster.json"))
    return AuditSigner(roster, SigningKey.from_seed(read_secret(path)))
