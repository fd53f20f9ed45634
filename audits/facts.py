"""What the released report may say, as one validated, versioned value.

`ReportFacts` is everything that the report shows; `secure_fl` fills it from a run, and
`audits.report` renders it and nothing else. It holds no exact count of any site's records but in a
simulation. Two facts that contradict each other are refused.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    FiniteFloat,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from audits.data_facts import DataFacts, Source
from audits.fact_types import (
    Count,
    Epsilon,
    Facts,
    Hex256,
    Line,
    Moment,
    unreadable,
)
from audits.holdings import HoldingsFacts
from audits.privacy_facts import (
    CrossCheck,
    DistributedPrivacyFacts,
    GuaranteedFacts,
    LedgerHead,
    NoiseShareFacts,
    NoPrivacyFacts,
    Privacy,
    RecordPrivacyFacts,
    Selection,
    SharedNoiseFacts,
    SiteCharge,
    SitePrivacyFacts,
)
from audits.report_warnings import ReportWarning
from audits.utility_facts import RankingFacts, ScoreFacts, UtilityFacts
from crypto.errors import IntegrityError
from privacy.scrubbing.modes.modes import SAFE_HARBOR_ENTITIES, ScrubMode

__all__ = [
    "Adversary",
    "BaseModelFacts",
    "CrossCheck",
    "DataFacts",
    "DigestFacts",
    "DistributedPrivacyFacts",
    "FederationFacts",
    "GuaranteedFacts",
    "HomomorphicSumFacts",
    "LedgerHead",
    "MaskedSumFacts",
    "MethodFacts",
    "NoPrivacyFacts",
    "NoiseShareFacts",
    "Outcome",
    "PartyFacts",
    "PlainSumFacts",
    "Privacy",
    "Protection",
    "RankingFacts",
    "RecordPrivacyFacts",
    "ReportFacts",
    "ReportWarning",
    "RoundFacts",
    "RunFacts",
    "ScoreFacts",
    "ScrubbingFacts",
    "Selection",
    "Setting",
    "SharedNoiseFacts",
    "SiteCharge",
    "SitePrivacyFacts",
    "SoftwareVersion",
    "Source",
    "UtilityFacts",
    "View",
    "smallest_openable_sum",
]


class Outcome(StrEnum):
    """Whether a run did all of its rounds."""

    FINISHED = "finished"
    PARTIAL = "partial"


class View(StrEnum):
    """How much of a cohort a rule reads, or a protection reveals."""

    SUM = "sum"
    GROUPS = "groups"
    EACH = "each"


class Adversary(StrEnum):
    """What the coordinator and colluding sites are assumed to do."""

    SEMI_HONEST = "semi-honest"
    MALICIOUS = "malicious"


class SoftwareVersion(Facts):
    """One program or library of the run."""

    name: Line
    version: Line


class RunFacts(Facts):
    """Which run this is.

    `run_id` is 16 bytes in hexadecimal; `ended` is when the last finished round was recorded.
    """

    name: Line
    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    started: Moment
    ended: Moment
    outcome: Outcome
    planned_rounds: Annotated[int, Field(ge=1)]
    resumes: Count = 0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ended < self.started:
            raise ValueError("the run ended before it started")
        return self


class MethodFacts(Facts):
    """What was tuned, and what a site sends.

    `tuned` and `sent` are phrases without a full stop, such as "LoRA of rank 8 on the attention
    layers, and the classifier" and "the mean of the clipped, noised gradients".
    """

    name: Line
    reference: Line
    tuned: Line
    sent: Line
    shared_parameters: Annotated[int, Field(ge=1)]
    view_needed: View


class BaseModelFacts(Facts):
    """The model that the run started from. `source` says where its files were found."""

    name: Line
    weights_sha256: Hex256
    source: Line


class PartyFacts(Facts):
    """A site or the coordinator, with the SHA-256 of its raw Ed25519 public key."""

    name: Line
    key_fingerprint: Hex256


class FederationFacts(Facts):
    """Who took part. `root_fingerprint` is the SHA-256 of the consortium's raw public key."""

    consortium: Line
    root_fingerprint: Hex256
    coordinator: PartyFacts
    sites: Annotated[tuple[PartyFacts, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [party.name for party in (self.coordinator, *self.sites)]
        if len(set(names)) != len(names):
            raise ValueError("two parties have the same name")
        return self


class MaskedSumFacts(Facts):
    """Updates were masked, so that only their sum could be opened."""

    kind: Literal["masked-sum"] = "masked-sum"
    cipher_suite: Line
    threshold: Annotated[int, Field(ge=1)]
    view_revealed: Literal[View.SUM] = View.SUM


class HomomorphicSumFacts(Facts):
    """Updates were encrypted under a key that all sites share; the sites decrypted their sum.

    `cipher_suite` is how the key got from site to site. Any one site and the coordinator together
    can read every update.
    """

    kind: Literal["homomorphic-sum"] = "homomorphic-sum"
    scheme: Line
    cipher_suite: Line
    threshold: Annotated[int, Field(ge=1)]
    view_revealed: Literal[View.SUM] = View.SUM


class PlainSumFacts(Facts):
    """Updates reached the coordinator one by one, readable."""

    kind: Literal["plain-sum"] = "plain-sum"
    view_revealed: Literal[View.EACH] = View.EACH


Protection = Annotated[
    MaskedSumFacts | HomomorphicSumFacts | PlainSumFacts, Field(discriminator="kind")
]


class RoundFacts(Facts):
    """One finished round, counted from 1.

    `epsilon` is what the plan spends up to and with this round (None in mode none); `sites_in_sum`
    are the sites whose updates the sum holds; `attempts` is more than 1 for a repeated round;
    `scores` is None after a round that was not scored.
    """

    round: Annotated[int, Field(ge=1)]
    sites_in_sum: Annotated[int, Field(ge=1)]
    attempts: Annotated[int, Field(ge=1)] = 1
    scores: ScoreFacts | None
    epsilon: Epsilon | None
    seconds: Annotated[FiniteFloat, Field(ge=0.0)]


class ScrubbingFacts(Facts):
    """Which types of personal data one site looked for before training, and which it did not.

    `mode` says what was written where something was found. Both lists are names of entities as the
    scrubber has them, such as IBAN_CODE. Nothing is counted: how many were found is the site's own
    affair.
    """

    site: Line
    mode: ScrubMode
    looked_for: tuple[Line, ...]
    not_looked_for: tuple[Line, ...]

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        if set(self.looked_for) & set(self.not_looked_for):
            raise ValueError("an entity is listed both as looked for and as not looked for")
        if self.mode is ScrubMode.SAFE_HARBOR and not set(SAFE_HARBOR_ENTITIES) <= set(
            self.looked_for
        ):
            raise ValueError("Safe Harbor is claimed, and not all of its identifiers looked for")
        return self


class Setting(Facts):
    """One resolved setting. `mechanism` ones can move the guarantee, `runtime` ones cannot."""

    part: Literal["mechanism", "runtime"]
    name: Line
    value: Line


class DigestFacts(Facts):
    """What an auditor compares with the run folder.

    `config` and `roster` are digests of their canonical JSON, `final_parameters` of the shared
    parameters after the last finished round; the transcript is an RFC 6962 tree.
    """

    config: Hex256
    roster: Hex256
    final_parameters: Hex256
    transcript_root: Hex256
    transcript_size: Count


class ReportFacts(Facts):
    """Everything that the released report says. The list of warnings completes itself."""

    schema_tag: Literal["secure-fl.report-facts.v1"] = Field(
        default="secure-fl.report-facts.v1", alias="schema"
    )
    run: RunFacts
    software: tuple[SoftwareVersion, ...]
    method: MethodFacts
    base_model: BaseModelFacts
    data: DataFacts
    federation: FederationFacts
    protection: Protection
    adversary: Adversary
    privacy: Privacy
    utility: UtilityFacts
    rounds: tuple[RoundFacts, ...]
    scrubbing: tuple[ScrubbingFacts, ...]
    settings: tuple[Setting, ...]
    digests: DigestFacts
    holdings: Annotated[HoldingsFacts | None, Field(exclude_if=lambda held: held is None)] = None
    """Of a simulation alone."""
    warnings: tuple[ReportWarning, ...] = Field(default=(), validate_default=True)

    @field_validator("warnings")
    @classmethod
    def _complete(
        cls, given: tuple[ReportWarning, ...], info: ValidationInfo
    ) -> tuple[ReportWarning, ...]:
        """Add what follows from the other facts, so that no warning can be left out."""
        known = {*given, *_implied_warnings(info)}
        return tuple(warning for warning in ReportWarning if warning in known)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        sites = [party.name for party in self.federation.sites]
        if [entry.site for entry in self.privacy.sites] != sites:
            raise ValueError("privacy.sites does not list the federation's sites in their order")
        if [entry.site for entry in self.scrubbing] != sites:
            raise ValueError("scrubbing does not list the federation's sites in their order")
        if self.holdings is not None:
            self._check_holdings(self.holdings, sites)
        needed = 0 if isinstance(self.protection, PlainSumFacts) else self.protection.threshold
        if needed > len(sites):
            raise ValueError("the threshold exceeds the number of sites")
        if (
            isinstance(self.protection, HomomorphicSumFacts)
            and self.adversary is not Adversary.SEMI_HONEST
        ):
            raise ValueError("homomorphic sums do not hold against a malicious coordinator")
        self._check_rounds(len(sites))
        self._check_shared_noise(len(sites))
        return self

    def _check_holdings(self, holdings: HoldingsFacts, sites: list[str]) -> None:
        if ReportWarning.ONE_PROCESS_HELD_ALL_KEYS not in self.warnings:
            raise ValueError("exact counts of a consortium's sites stay at the sites")
        if self.data.source is Source.SITES_OWN:
            raise ValueError("exact counts of sites' own records stay at the sites")
        if [holding.site for holding in holdings.sites] != sites:
            raise ValueError("holdings do not list the federation's sites in their order")
        if holdings.labels not in {(), self.data.labels}:
            raise ValueError("holdings name other labels than the data set")

    def _check_rounds(self, sites: int) -> None:
        if [entry.round for entry in self.rounds] != list(range(1, len(self.rounds) + 1)):
            raise ValueError("rounds are not numbered 1, 2, 3 and so on")
        finished = len(self.rounds) == self.run.planned_rounds
        if len(self.rounds) > self.run.planned_rounds:
            raise ValueError("more rounds than were planned")
        if finished != (self.run.outcome is Outcome.FINISHED):
            raise ValueError("the outcome does not fit the number of rounds")
        if finished and self.rounds[-1].scores is None:
            raise ValueError("the run is finished, and its last round was not scored")
        scores = [self.utility.before, *(entry.scores for entry in self.rounds)]
        if len({found.macro_f1 is None for found in scores if found is not None}) > 1:
            raise ValueError("some rounds are scored by F1, and some are not")
        guaranteed = isinstance(self.privacy, GuaranteedFacts)
        for entry in self.rounds:
            if (entry.epsilon is not None) != guaranteed:
                raise ValueError(f"round {entry.round}: an epsilon is given if and only if private")
            if entry.sites_in_sum > sites:
                raise ValueError(f"round {entry.round}: more sites in the sum than there are")

    def _check_shared_noise(self, sites: int) -> None:
        if not isinstance(self.privacy, SharedNoiseFacts):
            return
        masked = self.protection if isinstance(self.protection, MaskedSumFacts) else None
        if masked is None:
            raise ValueError("noise is shared, and updates were not masked")
        shares = self.privacy.shares
        if shares[0].cohort > sites:
            raise ValueError("more sites shared the noise than there are")
        least = min(entry.survivors for entry in shares)
        if least < masked.threshold:
            raise ValueError("more drop-outs are paid for than the threshold allows")
        for entry in self.rounds:
            if entry.sites_in_sum < least:
                raise ValueError(f"round {entry.round}: a sum of too few shares of the noise")

    def sha256(self) -> str:
        """Return the SHA-256 of `to_json()` in hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @classmethod
    def from_json(cls, data: bytes) -> ReportFacts:
        """Return the facts in `data`.

        Raises:
            IntegrityError: `data` is not a report's facts of this version.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError(unreadable(cls.__name__, error)) from error


def _implied_warnings(info: ValidationInfo) -> set[ReportWarning]:
    """Return the warnings that follow from the facts validated so far; failed fields are absent."""
    implied = {ReportWarning.UTILITY_MEASURED_ON_COMMON_SET}
    implied |= _warnings_of_privacy(info.data.get("privacy"), info.data.get("adversary"))
    if any(entry.attempts > 1 for entry in info.data.get("rounds", ())):
        implied.add(ReportWarning.ROUNDS_REPEATED)
    run = info.data.get("run")
    if isinstance(run, RunFacts) and run.outcome is Outcome.PARTIAL:
        implied.add(ReportWarning.RUN_NOT_FINISHED)
    implied |= _warnings_of_protection(info.data.get("protection"))
    for entry in info.data.get("scrubbing", ()):
        if not entry.looked_for:
            implied.add(ReportWarning.SCRUBBING_OFF)
        if "PERSON" not in entry.looked_for:
            implied.add(ReportWarning.NAMES_NOT_LOOKED_FOR)
    return implied


def _warnings_of_privacy(privacy: object, adversary: object) -> set[ReportWarning]:
    if isinstance(privacy, NoPrivacyFacts):
        return {ReportWarning.NO_PRIVACY_GUARANTEE}
    if not isinstance(privacy, GuaranteedFacts):
        return set()
    implied = set()
    if isinstance(privacy, SharedNoiseFacts):
        implied.add(ReportWarning.HONEST_SITES_NEEDED)
        if adversary is Adversary.SEMI_HONEST:
            implied.add(ReportWarning.COORDINATOR_TRUSTED)
    else:
        implied.add(ReportWarning.FLOATING_POINT_NOISE)
    if any(charge.extra_draws for charge in privacy.sites):
        implied.add(ReportWarning.ROUNDS_REPEATED)
    match privacy.selection:
        case Selection.UNSTATED:
            implied.add(ReportWarning.SELECTION_UNSTATED)
        case Selection.UNCHARGED:
            implied.add(ReportWarning.SELECTION_UNCHARGED)
        case Selection.OTHER_DATA | Selection.CHARGED:
            pass
    return implied


def _warnings_of_protection(protection: object) -> set[ReportWarning]:
    match protection:
        case PlainSumFacts():
            return {ReportWarning.EACH_UPDATE_REVEALED}
        case HomomorphicSumFacts():
            return {ReportWarning.ONE_SITE_AND_COORDINATOR_READ_ALL}
        case _:
            return set()


def smallest_openable_sum(sites: int, threshold: int) -> int:
    """Return over how few sites a coordinator that shows sites different lists can open a sum.

    With n sites and threshold t, a site gives shares of the mask secrets of at most n - t peers,
    so n(n - t) such shares exist in all, and t of them remove one peer: n - floor(n(n - t) / t).
    """
    return max(1, sites - sites * (sites - threshold) // threshold)
