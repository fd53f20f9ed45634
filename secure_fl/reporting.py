"""Fills the report's facts from a run; renders nothing and judges nothing."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from audits.facts import (
    Adversary,
    BaseModelFacts,
    CrossCheck,
    DataFacts,
    DigestFacts,
    FederationFacts,
    LedgerHead,
    MaskedSumFacts,
    MethodFacts,
    NoPrivacyFacts,
    Outcome,
    PartyFacts,
    PlainSumFacts,
    RecordPrivacyFacts,
    ReportFacts,
    ReportWarning,
    RoundFacts,
    RunFacts,
    ScoreFacts,
    ScrubbingFacts,
    Setting,
    SiteCharge,
    SoftwareVersion,
    Source,
    UtilityFacts,
    View,
)
from crypto.codec import decode
from crypto.digests import sha256
from crypto.errors import IntegrityError
from crypto.masked_sum import CipherSuite
from crypto.roster import Role
from crypto.signatures import Signed, open_signed, schema_of
from privacy import accounting
from privacy.ledger_entries import ExtractEntry, charged_events
from privacy.opacus_prv import prv_epsilon
from secure_fl.config import RecordPrivacy
from secure_fl.guarantee import planned_event
from secure_fl.methods import find_method
from secure_fl.rounds.messages import STATEMENT_LIMIT_BYTES, ExtractSent, Joined
from secure_fl.views import Protection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from crypto.roster import Roster
    from domains.base_models import ResolvedModel
    from domains.records import Dataset
    from secure_fl.config import Mechanism, RunConfig
    from secure_fl.runfolder import RoundMetrics
    from secure_fl.runner import RunResult

_SHOWN_LIBRARIES = (
    "secure-fl", "torch", "transformers", "peft", "dp-accounting", "opacus", "cryptography",
    "presidio-analyzer", "numpy",
)  # fmt: skip

S = TypeVar("S", Joined, ExtractSent)

ACCOUNTANT = "dp-accounting PLD, pessimistic"


@dataclass(frozen=True)
class ReportSources:
    """What the facts are taken from."""

    config: RunConfig
    roster: Roster
    root_fingerprint: str
    resolved: ResolvedModel
    dataset: Dataset
    result: RunResult
    metrics: tuple[RoundMetrics, ...]
    started: datetime
    ended: datetime
    published: bool
    one_process: bool


def run_facts(sources: ReportSources) -> ReportFacts:
    """Return everything that the released report of a finished run says."""
    mechanism = sources.config.mechanism
    warnings = [ReportWarning.ONE_PROCESS_HELD_ALL_KEYS] if sources.one_process else []
    if not sources.result.progress.budget_carried:
        warnings.append(ReportWarning.BUDGET_NOT_CARRIED)
    before = sources.result.progress.before
    return ReportFacts(
        schema="secure-fl.report-facts.v1",
        run=_run(sources),
        software=_software(),
        method=_method(sources),
        base_model=BaseModelFacts(
            name=sources.resolved.name,
            weights_sha256=sources.resolved.weights_sha256,
            source=sources.resolved.source.value,
        ),
        data=DataFacts(
            name=sources.dataset.name,
            licence=sources.dataset.licence,
            source=Source.PUBLISHED if sources.published else Source.GENERATED,
            labels=sources.dataset.labels,
            evaluation_records=len(sources.dataset.evaluation),
        ),
        federation=_federation(sources),
        protection=_protection(mechanism),
        adversary=Adversary(mechanism.adversary),
        privacy=_privacy(sources),
        utility=UtilityFacts(
            majority_accuracy=sources.result.majority_accuracy,
            before=None if before is None else _scores(before),
        ),
        rounds=tuple(
            RoundFacts(
                round=row.round,
                sites_in_sum=len(row.survivors),
                attempts=row.attempts,
                scores=_scores(row),
                epsilon=row.epsilon,
                seconds=row.seconds,
            )
            for row in sources.metrics
        ),
        scrubbing=_scrubbing(sources),
        settings=settings_of(sources.config),
        digests=DigestFacts(
            config=mechanism.digest().hex(),
            roster=sources.roster.digest().hex(),
            final_parameters=sources.result.parameters_digest.hex(),
            transcript_root=sources.result.transcript.root().hex(),
            transcript_size=sources.result.transcript.size,
        ),
        warnings=tuple(warnings),
    )


def extract_entries(extract: bytes) -> tuple[ExtractEntry, ...]:
    """Return the ledger entries in one site's extract.

    Raises:
        IntegrityError: an entry is of unknown kind or form.
    """
    return tuple(ExtractEntry.from_json(value) for value in json.loads(extract))


def site_charge(site: str, entries: Sequence[ExtractEntry], delta: float, head: str) -> SiteCharge:
    """Return what one site's ledger charged for a run, from its extract's events."""
    reserved = [entry.event for entry in entries if entry.draw is None]
    drawn = [entry.event for entry in entries if entry.draw is not None]
    charged = charged_events(entries)
    return SiteCharge(
        site=site,
        reserved_epsilon=accounting.epsilon(reserved, delta),
        drawn_epsilon=accounting.epsilon(drawn, delta),
        charged_epsilon=accounting.epsilon(charged, delta),
        extra_draws=len(charged) - len(reserved),
        ledger_head=head,
    )


def settings_of(config: RunConfig) -> tuple[Setting, ...]:
    """Return every resolved setting as a line of the report."""
    rows: list[Setting] = []
    for name, value in _flat("", config.mechanism.model_dump(mode="json")):
        rows.append(Setting(part="mechanism", name=name, value=value))
    for name, value in _flat("", config.runtime.model_dump(mode="json")):
        rows.append(Setting(part="runtime", name=name, value=value))
    return tuple(rows)


def _flat(prefix: str, table: Mapping[str, object]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            rows += _flat(f"{name}.", value)
        elif isinstance(value, list):
            rows.append((name, ", ".join(str(part) for part in value) or "none"))
        elif value is not None:
            rows.append((name, str(value)))
    return rows


def _run(sources: ReportSources) -> RunFacts:
    planned = sources.config.mechanism.training.rounds
    return RunFacts(
        name=sources.config.name,
        run_id=sources.result.progress.run_id,
        started=sources.started,
        ended=sources.ended,
        outcome=Outcome.FINISHED if len(sources.metrics) == planned else Outcome.PARTIAL,
        planned_rounds=planned,
        resumes=max(0, sources.result.progress.attempt - 1),
    )


def _software() -> tuple[SoftwareVersion, ...]:
    libraries = tuple(
        SoftwareVersion(name=name, version=importlib.metadata.version(name))
        for name in _SHOWN_LIBRARIES
    )
    return (SoftwareVersion(name="Python", version=platform.python_version()), *libraries)


def _method(sources: ReportSources) -> MethodFacts:
    mechanism = sources.config.mechanism
    method = find_method(mechanism.method, mechanism.protection)
    return MethodFacts(
        name=method.name,
        reference=method.reference,
        tuned=method.tuned.format(rank=mechanism.adapter.rank),
        sent=(
            "how the site's clipped, noised steps moved the shared parameters"
            if isinstance(mechanism.privacy, RecordPrivacy)
            else "how the site's steps moved the shared parameters"
        ),
        shared_parameters=sources.result.shared_parameters,
        view_needed=View(method.needs.name.lower()),
    )


def _federation(sources: ReportSources) -> FederationFacts:
    def party(name: str) -> PartyFacts:
        key = sources.roster.member(name).verify_key
        return PartyFacts(name=name, key_fingerprint=sha256(key.raw).hex())

    return FederationFacts(
        consortium=sources.roster.consortium,
        root_fingerprint=sources.root_fingerprint,
        coordinator=party(sources.roster.coordinator().name),
        sites=tuple(
            party(member.name) for member in sources.roster.members if member.role is Role.SITE
        ),
    )


def _protection(mechanism: Mechanism) -> MaskedSumFacts | PlainSumFacts:
    if mechanism.protection is Protection.PLAIN:
        return PlainSumFacts()
    return MaskedSumFacts(
        cipher_suite=CipherSuite.X25519_HKDF_AES256CTR_Z32.value,
        threshold=mechanism.needed_survivors(),
    )


def _privacy(sources: ReportSources) -> RecordPrivacyFacts | NoPrivacyFacts:
    mechanism = sources.config.mechanism
    privacy = mechanism.privacy
    heads = {sent.site: sent.ledger_head.hex() for sent in _statements(sources, ExtractSent)}
    sites = [member.name for member in sources.roster.sites()]
    if not isinstance(privacy, RecordPrivacy):
        return NoPrivacyFacts(
            sites=tuple(LedgerHead(site=site, ledger_head=heads[site]) for site in sites)
        )
    if privacy.sigma is None:
        raise IntegrityError("A private run ended without a sigma: its report cannot be written.")
    plan = (planned_event(mechanism),)
    extracts = sources.result.progress.extracts
    return RecordPrivacyFacts(
        unit=privacy.unit,
        relation=privacy.relation,
        target_epsilon=privacy.epsilon,
        epsilon=accounting.epsilon(plan, privacy.delta),
        delta=privacy.delta,
        noise_multiplier=privacy.sigma,
        clip=privacy.clip,
        sampling_rate=privacy.sampling_rate,
        steps=mechanism.training.rounds * mechanism.training.local_steps,
        accountant=ACCOUNTANT,
        cross_checks=(
            CrossCheck(
                accountant="dp-accounting RDP",
                epsilon=accounting.rdp_epsilon(plan, privacy.delta),
            ),
            CrossCheck(accountant="Opacus PRV", epsilon=prv_epsilon(plan, privacy.delta)),
        ),
        sites=tuple(
            site_charge(
                site,
                extract_entries(base64.b64decode(extracts[site])),
                privacy.delta,
                heads[site],
            )
            for site in sites
        ),
    )


def _scrubbing(sources: ReportSources) -> tuple[ScrubbingFacts, ...]:
    joined = {statement.site: statement for statement in _statements(sources, Joined)}
    return tuple(
        ScrubbingFacts(
            site=member.name,
            looked_for=joined[member.name].looked_for,
            not_looked_for=joined[member.name].not_looked_for,
        )
        for member in sources.roster.sites()
    )


def _statements(sources: ReportSources, kind: type[S]) -> list[S]:
    """Return the statements of one kind in the transcript, verified, in order."""
    found = []
    for leaf in sources.result.transcript.leaves:
        signed = decode(Signed, leaf, limit_bytes=2 * STATEMENT_LIMIT_BYTES)
        if signed.label == schema_of(kind):
            key = sources.roster.member(signed.signer).verify_key
            found.append(open_signed(signed, kind, key, STATEMENT_LIMIT_BYTES))
    return found


def _scores(row: RoundMetrics) -> ScoreFacts:
    return ScoreFacts(accuracy=row.accuracy, macro_f1=row.macro_f1, weighted_f1=row.weighted_f1)
