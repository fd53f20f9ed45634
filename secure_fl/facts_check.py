"""Checks that the report says what configuration, transcript, ledgers and metrics show.

Everything that follows from the rest of the folder is computed again and compared, so that not
even the coordinator, who signs the manifest, can state it otherwise. What does not follow from
anything that other parties signed stays the coordinator's word: scores on the evaluation set,
times, versions of software, where base model and records came from, what was noted of the data set,
how many records a simulated site was given, and that the saved adapter is what the last sum led to.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from audits.facts import GuaranteedFacts, Outcome
from crypto.digests import sha256
from crypto.errors import IntegrityError
from domains.catalogue import kind_of
from domains.task_kinds import TaskKind
from secure_fl.config import Guaranteed
from secure_fl.guarantee import claimed_epsilon
from secure_fl.privacy_reporting import privacy_facts
from secure_fl.reporting import (
    federation_facts,
    implied_warnings,
    method_facts,
    protection_facts,
    round_facts,
    scrubbing_facts,
    settings_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import BaseModel

    from audits.facts import ReportFacts
    from crypto.roster import Roster
    from crypto.signatures import VerifyKey
    from privacy.ledger_entries import ExtractEntry
    from secure_fl.config import RunConfig
    from secure_fl.manifest import RunPredicate
    from secure_fl.runfolder import RoundMetrics
    from secure_fl.transcript_check import CheckedTranscript

Shown: TypeAlias = "BaseModel | tuple[BaseModel, ...] | str | int | None"

_TOLERANCE = 1e-6
"""Relative: accountants agree to the last digits only on one machine and library version."""


class FactsCheck:
    """Holds what the rest of a folder shows, to compare a report's facts with.

    Every check raises IntegrityError and names the fact.
    """

    def __init__(
        self,
        config: RunConfig,
        roster: Roster,
        checked: CheckedTranscript,
        extracts: Mapping[str, Sequence[ExtractEntry]],
    ) -> None:
        self._config = config
        self._mechanism = config.mechanism
        self._roster = roster
        self._checked = checked
        self._extracts = extracts

    def check(
        self,
        facts: ReportFacts,
        metrics: Sequence[RoundMetrics],
        predicate: RunPredicate,
        trust: VerifyKey | None,
    ) -> None:
        """Return if `facts` say what the folder shows.

        Raises:
            IntegrityError: they do not.
        """
        self._identity(facts, predicate)
        for name, stated, shown in self._parts(facts, trust):
            if not _same(_plain(stated), _plain(shown)):
                raise IntegrityError(
                    f"facts.json states another {name} than configuration, transcript and "
                    "ledgers show."
                )
        missing = set(implied_warnings(self._checked)) - set(facts.warnings)
        if missing:
            raise IntegrityError(f"facts.json leaves out the warning `{min(missing)}`.")
        self._privacy(facts)
        self._rounds(facts, metrics)

    def _identity(self, facts: ReportFacts, predicate: RunPredicate) -> None:
        if (
            facts.digests.config != predicate.config_digest
            or facts.digests.roster != predicate.roster_digest
            or facts.digests.transcript_root != predicate.transcript_root
            or facts.digests.transcript_size != predicate.transcript_size
            or facts.run.run_id != predicate.run_id
        ):
            raise IntegrityError("facts.json speaks of another run, roster or transcript.")
        if self._checked.parameters:
            agreed = self._checked.parameters[max(self._checked.parameters)]
            if facts.digests.final_parameters != agreed.hex():
                raise IntegrityError(
                    "facts.json names other final parameters than those that the sites signed."
                )

    def _parts(
        self, facts: ReportFacts, trust: VerifyKey | None
    ) -> Iterator[tuple[str, Shown, Shown]]:
        """Yield the name of each part, what is stated and what is shown."""
        mechanism, stated_root = self._mechanism, facts.federation.root_fingerprint
        root = stated_root if trust is None else sha256(trust.raw).hex()
        yield "run name", facts.run.name, self._config.name
        yield "number of planned rounds", facts.run.planned_rounds, mechanism.training.rounds
        yield "outcome", facts.run.outcome.value, Outcome.FINISHED.value
        yield "settings", facts.settings, settings_of(self._config)
        yield "base model", facts.base_model.name, mechanism.model.name
        weights = facts.base_model.weights_sha256
        yield "base model digest", weights, mechanism.model.weights_sha256
        yield "data set", facts.data.name, mechanism.data.dataset
        if facts.holdings is not None:
            rule = mechanism.data.partition.value
            yield "rule by which records were shared out", facts.holdings.rule, rule
        yield "adversary", facts.adversary.value, mechanism.adversary.value
        sent = facts.method.shared_parameters
        yield "method", facts.method, method_facts(mechanism, sent)
        yield "protection", facts.protection, protection_facts(mechanism)
        federation = federation_facts(self._roster, self._checked, root)
        yield "federation", facts.federation, federation
        yield "scrubbing", facts.scrubbing, scrubbing_facts(mechanism, self._checked)

    def _privacy(self, facts: ReportFacts) -> None:
        stated = facts.privacy
        shown = privacy_facts(self._mechanism, self._checked, self._extracts)
        if stated.mode != shown.mode:
            raise IntegrityError(
                f"facts.json states privacy mode {stated.mode}, and the run had mode {shown.mode}."
            )
        if isinstance(stated, GuaranteedFacts) and isinstance(shown, GuaranteedFacts):
            if not _same(stated.epsilon, shown.epsilon):
                raise IntegrityError(
                    f"facts.json claims epsilon {stated.epsilon:.6g}, and the configuration "
                    f"gives {shown.epsilon:.6g}."
                )
            for said, is_ in zip(stated.sites, shown.sites, strict=True):
                if not _same(_plain(said), _plain(is_)):
                    raise IntegrityError(
                        f"facts.json: what {is_.site} was charged does not follow from its ledger."
                    )
        if not _same(_plain(stated), _plain(shown)):
            raise IntegrityError("facts.json states another privacy mechanism than the run had.")

    def _rounds(self, facts: ReportFacts, metrics: Sequence[RoundMetrics]) -> None:
        if facts.rounds != round_facts(metrics):
            raise IntegrityError("facts.json states other rounds than metrics.jsonl.")
        if facts.run.resumes < self._checked.sessions - 1:
            raise IntegrityError(
                f"facts.json states {facts.run.resumes} resumes, and the transcript shows "
                f"{self._checked.sessions - 1}."
            )
        private = isinstance(self._mechanism.privacy, Guaranteed)
        for row in metrics:
            if (row.accuracy is not None) is not self._is_scored(row.round):
                raise IntegrityError(
                    f"metrics.jsonl: round {row.round} was scored, or was not, otherwise than the "
                    "configuration says."
                )
            if row.accuracy is not None and row.macro_f1 is None and self._has_classes:
                raise IntegrityError(
                    f"metrics.jsonl: round {row.round} has no F1, and the records have classes."
                )
            if row.survivors != self._checked.survivors[row.round - 1]:
                raise IntegrityError(
                    f"metrics.jsonl names other survivors of round {row.round} than the transcript."
                )
            if row.attempts < self._checked.openings[row.round - 1]:
                raise IntegrityError(
                    f"metrics.jsonl states fewer attempts at round {row.round} than the "
                    "transcript shows."
                )
            epsilon = claimed_epsilon(self._mechanism, row.round) if private else None
            if not _same(row.epsilon, epsilon):
                raise IntegrityError(
                    f"metrics.jsonl: the epsilon after round {row.round} does not follow."
                )

    @property
    def _has_classes(self) -> bool:
        return kind_of(self._mechanism.data.dataset) is TaskKind.CLASSIFICATION

    def _is_scored(self, round_: int) -> bool:
        """Whether the configuration has the parameters scored after `round_`, counted from 1."""
        every = self._config.runtime.evaluate_every
        return round_ % every == 0 or round_ == self._mechanism.training.rounds


def _plain(value: Shown) -> object:
    """Return facts as nested dictionaries and lists."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, (str, int)) or value is None:
        return value
    return value.model_dump(mode="json")


def _same(stated: object, shown: object) -> bool:
    """Return whether both are equal, floats up to the tolerance."""
    if isinstance(stated, float) and isinstance(shown, float):
        return math.isclose(stated, shown, rel_tol=_TOLERANCE)
    if isinstance(stated, dict) and isinstance(shown, dict):
        return stated.keys() == shown.keys() and all(_same(stated[k], shown[k]) for k in shown)
    if isinstance(stated, list) and isinstance(shown, list):
        return len(stated) == len(shown) and all(map(_same, stated, shown))
    return stated == shown
