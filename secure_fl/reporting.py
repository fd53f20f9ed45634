"""Fills the report's facts from a run; renders nothing and judges nothing.

What follows from configuration, transcript and ledger extracts has a function of its own, with
which `facts_check` computes it again.
"""

from __future__ import annotations

import base64
import importlib.metadata
import json
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audits.facts import (
    Adversary,
    BaseModelFacts,
    DataFacts,
    DigestFacts,
    FederationFacts,
    HomomorphicSumFacts,
    MaskedSumFacts,
    MethodFacts,
    Outcome,
    PartyFacts,
    PlainSumFacts,
    RankingFacts,
    ReportFacts,
    ReportWarning,
    RoundFacts,
    RunFacts,
    ScoreFacts,
    ScrubbingFacts,
    Setting,
    SoftwareVersion,
    Source,
    UtilityFacts,
    View,
)
from crypto.digests import sha256
from crypto.errors import IntegrityError
from domains.own_files import NAME as OWN
from privacy.ledger_entries import ExtractEntry
from secure_fl.dataset_notes import reported
from secure_fl.methods import method_of
from secure_fl.privacy_reporting import privacy_facts
from secure_fl.transcript_check import read_transcript
from secure_fl.views import Protection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from audits.holdings import HoldingsFacts
    from crypto.roster import Roster
    from domains.base_models import ResolvedModel
    from domains.records import Dataset
    from secure_fl.config import Mechanism, RunConfig
    from secure_fl.runfolder import RoundMetrics
    from secure_fl.runner import RunResult
    from secure_fl.transcript_check import CheckedTranscript

_SHOWN_LIBRARIES = (
    "secure-fl", "torch", "transformers", "peft", "dp-accounting", "opacus", "cryptography",
    "presidio-analyzer", "numpy",
)  # fmt: skip

_SENT = {
    "record": "how the site's clipped, noised steps moved the shared parameters",
    "record-distributed": "the sum of its sample's clipped gradients, and its share of the noise",
    "site": "how its steps moved the shared parameters, clipped as a whole, and its share of the "
    "noise",
    "none": "how the site's steps moved the shared parameters",
}
"""By mode, what a site's update is."""


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
    holdings: HoldingsFacts | None = None


def run_facts(sources: ReportSources) -> ReportFacts:
    """Return everything that the released report of a finished run says.

    Raises:
        IntegrityError: the run's own transcript does not show what it should.
    """
    mechanism, progress = sources.config.mechanism, sources.result.progress
    checked = read_transcript(
        sources.result.transcript.leaves,
        sources.roster,
        mechanism,
        bytes.fromhex(progress.run_id),
    )
    extracts = {
        site: extract_entries(base64.b64decode(extract))
        for site, extract in progress.extracts.items()
    }
    warnings = [ReportWarning.ONE_PROCESS_HELD_ALL_KEYS] if sources.one_process else []
    if not progress.budget_carried:
        warnings.append(ReportWarning.BUDGET_NOT_CARRIED)
    warnings += implied_warnings(checked)
    federation = federation_facts(sources.roster, checked, sources.root_fingerprint)
    return ReportFacts(
        schema="secure-fl.report-facts.v1",
        run=_run(sources),
        software=_software(),
        method=method_facts(mechanism, sources.result.shared_parameters),
        base_model=BaseModelFacts(
            name=sources.resolved.name,
            weights_sha256=sources.resolved.weights_sha256,
            source=sources.resolved.source.value,
        ),
        data=DataFacts(
            name=sources.dataset.name,
            licence=sources.dataset.licence,
            source=_source(sources),
            labels=sources.dataset.labels,
            evaluation_records=len(sources.dataset.evaluation),
            notes=reported(sources.dataset),
        ),
        federation=federation,
        protection=protection_facts(mechanism),
        adversary=Adversary(mechanism.adversary.value),
        privacy=privacy_facts(mechanism, checked, extracts),
        utility=UtilityFacts(
            majority_accuracy=sources.result.majority_accuracy,
            before=None if progress.before is None else _scores(progress.before),
        ),
        rounds=round_facts(sources.metrics),
        holdings=_of_those_who_joined(sources, federation.sites),
        scrubbing=scrubbing_facts(mechanism, checked),
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


# -- what follows from the rest of the folder, so that `verify` computes it again ----------------


def extract_entries(extract: bytes) -> tuple[ExtractEntry, ...]:
    """Return the ledger entries in one site's extract.

    Raises:
        IntegrityError: it is no list, or an entry is of unknown kind or form.
    """
    try:
        return tuple(ExtractEntry.from_json(value) for value in json.loads(extract))
    except (ValueError, TypeError, RecursionError) as error:
        raise IntegrityError("A ledger's extract is no list of entries.") from error


def implied_warnings(checked: CheckedTranscript) -> tuple[ReportWarning, ...]:
    """Return the warnings that the transcript calls for."""
    left = set(checked.joined) - set(checked.extracts)
    return (ReportWarning.SITE_LEFT_EARLY,) if left else ()


def method_facts(mechanism: Mechanism, shared_parameters: int) -> MethodFacts:
    """Return what was tuned; `shared_parameters` numbers are sent per round and site."""
    method = method_of(mechanism)
    return MethodFacts(
        name=method.name,
        reference=method.reference,
        tuned=method.tuned.format(rank=mechanism.adapter.rank),
        sent=_sent(mechanism),
        shared_parameters=shared_parameters,
        view_needed=View(method.needs.name.lower()),
    )


def _sent(mechanism: Mechanism) -> str:
    sent, weighting = _SENT[mechanism.privacy.mode], mechanism.training.weighting
    if weighting is None:
        return sent
    return (
        f"{sent}; times the site's records over {weighting.typical_records}, and at most "
        f"{weighting.largest:g} times"
    )


def federation_facts(
    roster: Roster, checked: CheckedTranscript, root_fingerprint: str
) -> FederationFacts:
    """Return who took part: the coordinator, and every site that joined."""

    def party(name: str) -> PartyFacts:
        key = roster.member(name).verify_key
        return PartyFacts(name=name, key_fingerprint=sha256(key.raw).hex())

    return FederationFacts(
        consortium=roster.consortium,
        root_fingerprint=root_fingerprint,
        coordinator=party(roster.coordinator().name),
        sites=tuple(party(site) for site in sorted(checked.joined)),
    )


def protection_facts(mechanism: Mechanism) -> MaskedSumFacts | HomomorphicSumFacts | PlainSumFacts:
    """Return how updates travelled."""
    suite, needed = mechanism.cipher_suite.value, mechanism.needed_survivors()
    match mechanism.protection:
        case Protection.MASKED:
            return MaskedSumFacts(cipher_suite=suite, threshold=needed)
        case Protection.HOMOMORPHIC:
            scheme = mechanism.scheme.value.upper()
            return HomomorphicSumFacts(scheme=scheme, cipher_suite=suite, threshold=needed)
        case Protection.PLAIN:
            return PlainSumFacts()


def scrubbing_facts(mechanism: Mechanism, checked: CheckedTranscript) -> tuple[ScrubbingFacts, ...]:
    """Return what each site that joined looked for in its records."""
    return tuple(
        ScrubbingFacts(
            site=site,
            mode=mechanism.data.scrub_mode,
            looked_for=joined.looked_for,
            not_looked_for=joined.not_looked_for,
        )
        for site, joined in sorted(checked.joined.items())
    )


def round_facts(metrics: Sequence[RoundMetrics]) -> tuple[RoundFacts, ...]:
    """Return the finished rounds as `metrics.jsonl` has them."""
    return tuple(
        RoundFacts(
            round=row.round,
            sites_in_sum=len(row.survivors),
            attempts=row.attempts,
            scores=_scores(row),
            epsilon=row.epsilon,
            seconds=row.seconds,
        )
        for row in metrics
    )


def _of_those_who_joined(
    sources: ReportSources, parties: Sequence[PartyFacts]
) -> HoldingsFacts | None:
    """Return what the sites that took part were given."""
    held = sources.holdings
    if held is None:
        return None
    joined = {party.name for party in parties}
    return held.model_copy(
        update={"sites": tuple(holding for holding in held.sites if holding.site in joined)}
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
            rows.append((name, _one_line(str(value))))
    return rows


def _one_line(value: str) -> str:
    """Return a text with what breaks a line, as in a prompt, written as JSON writes it."""
    return value if value.isprintable() else json.dumps(value, ensure_ascii=False)[1:-1]


def _source(sources: ReportSources) -> Source:
    if sources.dataset.name == OWN:
        return Source.SITES_OWN
    return Source.PUBLISHED if sources.published else Source.GENERATED


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


def _scores(row: RoundMetrics) -> ScoreFacts | None:
    if row.accuracy is None:
        return None
    ranking = row.ranking
    return ScoreFacts(
        accuracy=row.accuracy,
        macro_f1=row.macro_f1,
        weighted_f1=row.weighted_f1,
        ranking=None
        if ranking is None
        else RankingFacts(
            hit_rate_10=ranking.hit_rate_10, ndcg_10=ranking.ndcg_10, auc=ranking.auc
        ),
    )
