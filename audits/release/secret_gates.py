"""What the secrets of a run say of its release: how often they are picked out of others, and more.

Each canary's answer was a secret, drawn uniformly before the run; beside it stand candidates of the
same form that were drawn afterwards, apart from it. An attacker who has the adapter takes the one
that training made likelier by the most. A figure counts only beside two others: secrets of
controls, which nobody trained on, must be found no better than by chance; a positive control, a
model trained on the members alone until it knows them, must give theirs away, and so many that they
would refute the claim: a run is cleared only where one without privacy is not.

Formal guarantee: where the run is (epsilon, delta)-DP for a record that is there or not, a gate
says `violated` with probability at most its significance (`audits.statistics.guesses`,
`p_value_of_records`). k repetitions are k records: what is claimed of them is (k epsilon,
k e^((k-1) epsilon) delta), by group privacy. Ties count as wrong. Exposures, recitals and scores of
membership stand beside the test and decide nothing. Edge case: a gate whose ceiling lies below the
claim could not refute it, and is inconclusive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from audits.findings import GATE_SIGNIFICANCE, Basis, Finding, Measure, Verdict, Window
from audits.release.canary_bounds import control_bound
from audits.release.exposure import Exposure, exposure_tests
from audits.release.secret_figures import beside, exposure_measures, exposure_series
from audits.statistics import binomial, guesses
from crypto.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from audits.findings import Series
    from audits.release.exposure import ExposureTest
    from audits.server.distinguish import Claimed

ONCE: Final = "secrets"
REPEATED: Final = "secrets-repeated"
CLAIM_ONCE: Final = (
    "A secret that was trained on once is picked out of others of its form no more often than the "
    "claimed epsilon allows."
)
CLAIM_REPEATED: Final = (
    "A secret that was trained on k times is picked out of others of its form no more often than k "
    "times the claimed epsilon allows."
)
_THREAT: Final = (
    "Whoever has the adapter and a record's question tries secrets as its answer, and takes the "
    "one that training made likelier by the most."
)
_FEWEST: Final = 8
_LIT: Final = 0.2
"""Of the secrets that a positive control was taught, the share that it must name first, with 95 %
confidence."""
_LUCKY: Final = 1e-3
"""Secrets of controls that are found as well as one in a thousand times by chance are too well."""


@dataclass(frozen=True, eq=False)
class MembershipScores:
    """What another attack makes of each secret; a higher score says "member". Not shown.

    Attributes:
        attack: its name.
        values: float64 (n,).
    """

    attack: str
    values: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, eq=False)
class SecretEvidence:
    """What a release says of a run's n secrets; neither they nor their scores are in it.

    Attributes:
        ranks: each secret's place among its candidates under the released adapter, 1 the first,
            ties above it, int64 (n,).
        known: likewise under a model that was trained on the members alone, in their order,
            int64 (members,).
        candidates: R, how many each was ranked among, itself included.
        members: whom the coin chose, bool (n,).
        repetitions: how often a member was among the records, int64 (n,).
        recited: the share of each secret, from its start, that the released model writes by itself
            after the question, float64 (n,).
        scores: of other attacks, on the same secrets.
        attack: what the ranks are by, as a phrase.

    Raises:
        ConfigError: shapes do not fit, there is no choice, or there are too few of a side.
    """

    ranks: NDArray[np.int64] = field(repr=False)
    known: NDArray[np.int64] = field(repr=False)
    candidates: int
    members: NDArray[np.bool_] = field(repr=False)
    repetitions: NDArray[np.int64] = field(repr=False)
    recited: NDArray[np.float64] = field(repr=False)
    scores: tuple[MembershipScores, ...] = field(repr=False)
    attack: str

    def __post_init__(self) -> None:
        members = int(self.members.sum())
        sizes = {
            self.ranks.shape,
            self.members.shape,
            self.repetitions.shape,
            self.recited.shape,
            *(each.values.shape for each in self.scores),
        }
        if len(sizes) != 1 or self.known.shape != (members,) or self.candidates < 2:  # noqa: PLR2004 - one is no choice
            raise ConfigError(
                "Ranks, coins and scores of secrets differ in number, or a secret stands alone: "
                "none counts."
            )
        if min(members, int((~self.members).sum())) < _FEWEST:
            raise ConfigError(
                f"{members} members and {int((~self.members).sum())} controls show nothing: "
                f"{_FEWEST} of each are needed at least. Raise `mechanism.canaries.each`."
            )

    def of(self, repetitions: int) -> NDArray[np.bool_]:
        """Return which are members of so many repetitions, (n,)."""
        found: NDArray[np.bool_] = self.members & (self.repetitions == repetitions)
        return found

    def exposures(self, chosen: NDArray[np.bool_], repetitions: int = 1) -> list[Exposure]:
        """Return the exposures of the `chosen` (n,)."""
        return [Exposure(int(r), self.candidates, repetitions) for r in self.ranks[chosen]]


@dataclass(frozen=True)
class _Share:
    right: int
    of: int

    @classmethod
    def first(cls, ranks: NDArray[np.int64]) -> _Share:
        """How many of `ranks` are the first."""
        return cls(int((ranks == 1).sum()), int(ranks.size))

    @property
    def interval(self) -> tuple[float, float]:
        return binomial.interval(self.right, self.of, 0.95)

    def refuted(self, candidates: int, delta: float) -> float:
        """Return the largest epsilon that so many refute."""
        return guesses.largest_refuted(
            self.right, self.of, candidates, delta=delta, significance=GATE_SIGNIFICANCE
        )

    def measure(self, name: str, limit: float | None = None) -> Measure:
        return Measure(name=name, value=self.right / self.of, interval=self.interval, limit=limit)


@dataclass(frozen=True)
class _Checks:
    controls: _Share
    exposed: ExposureTest
    control: _Share

    @property
    def unfair(self) -> str | None:
        """Why no figure counts, not even one that refutes; None where the controls look it."""
        if self.exposed.p_value > _LUCKY:
            return None
        return (
            f"Secrets that nobody trained on have an exposure of {self.exposed.mean:.3g} bits, and "
            f"{self.exposed.expected:.3g} by chance: what is found of members shows nothing."
        )

    @property
    def broken(self) -> str | None:
        """Why no figure counts for the run; None where both checks are as they must be."""
        if self.unfair is not None:
            return self.unfair
        if self.control.interval[0] < _LIT:
            return (
                f"A model that was taught the secrets names {self.control.right} of "
                f"{self.control.of} first: the attack does not see what is there."
            )
        return None


@dataclass(frozen=True)
class _Judgement:
    verdict: Verdict
    reason: str
    details: tuple[Measure, ...] = ()
    ceiling: float | None = None


def secret_findings(evidence: SecretEvidence, claimed: Claimed | None) -> tuple[Finding, Finding]:
    """Return what the secrets of one repetition, and of the most where that is more, say.

    Args:
        evidence: of all secrets of the run.
        claimed: of one record; None where the run claims nothing.
    """
    counts = sorted({int(count) for count in evidence.repetitions[evidence.members]})
    controls = ~evidence.members
    checks = _Checks(
        _Share.first(evidence.ranks[controls]),
        exposure_tests(evidence.exposures(controls))[0],
        _Share.first(evidence.known),
    )
    once = _none(ONCE, CLAIM_ONCE, "no secret that was trained on once")
    repeated = _none(REPEATED, CLAIM_REPEATED, "no secret that was trained on more than once")
    if counts[0] == 1:
        once = _finding(ONCE, CLAIM_ONCE, evidence, (1,), claimed, checks)
    if counts[-1] > 1:
        more = tuple(count for count in counts if count > 1)
        repeated = _finding(REPEATED, CLAIM_REPEATED, evidence, more, claimed, checks)
    return once, repeated


def _finding(  # noqa: PLR0913, PLR0917 - what a finding is made of
    gate: str,
    claim: str,
    evidence: SecretEvidence,
    counts: tuple[int, ...],
    claimed: Claimed | None,
    checks: _Checks,
) -> Finding:
    """Return what the last of `counts` says; the others are shown beside it."""
    repetitions = counts[-1]
    chosen = evidence.of(repetitions)
    mine = _Share.first(evidence.ranks[chosen])
    known = _Share.first(evidence.known[chosen[evidence.members]])
    judged = _judged(evidence.candidates, repetitions, (mine, known), claimed, checks)
    return Finding(
        gate=gate,
        window=Window.RELEASE,
        basis=Basis.RUN,
        threat=_THREAT,
        claim=claim,
        verdict=judged.verdict,
        reason=judged.reason,
        samples=mine.of,
        statistic=mine.measure(
            f"share of secrets named first among {evidence.candidates} by {evidence.attack}"
        ),
        details=(
            *judged.details,
            checks.controls.measure(
                "share named first among secrets that nobody trained on", 1 / evidence.candidates
            ),
            checks.control.measure("share named first by the positive control", _LIT),
            *(measure for count in counts for measure in exposure_measures(_test(evidence, count))),
            *beside(evidence, chosen),
        ),
        ceiling=judged.ceiling,
        series=_series(evidence, counts),
    )


def _judged(
    candidates: int,
    repetitions: int,
    named: tuple[_Share, _Share],
    claimed: Claimed | None,
    checks: _Checks,
) -> _Judgement:
    """Return what secrets `named` first under the release, and under the positive control, say."""
    mine, known = named
    times = "once" if repetitions == 1 else f"{repetitions} times"
    found = (
        f"{mine.right} of {mine.of} secrets that were trained on {times} were named first among "
        f"{candidates}"
    )
    if claimed is None:
        reason = f"The run claims nothing that could be refuted; {found}."
        return _Judgement(Verdict.INCONCLUSIVE, checks.broken or reason)
    epsilon = repetitions * claimed.epsilon
    exponent = math.log(repetitions) + (repetitions - 1) * claimed.epsilon
    if exponent + math.log(claimed.delta) >= 0:
        reason = (
            f"At {repetitions} repetitions epsilon {claimed.epsilon:.3g} claims nothing any more; "
            f"{found}."
        )
        return _Judgement(Verdict.INCONCLUSIVE, checks.broken or reason)
    delta = claimed.delta * math.exp(exponent)
    counted = (mine.right, mine.of, candidates)
    p_value = guesses.p_value_of_records(*counted, epsilon, delta)
    bound, seen = (share.refuted(candidates, delta) for share in named)
    ceiling = guesses.ceiling(*counted[1:], delta=delta, significance=GATE_SIGNIFICANCE)
    fewest = guesses.fewest_right(*counted[1:], epsilon, delta, GATE_SIGNIFICANCE)
    details = (
        Measure(name="p-value at what is claimed", value=p_value, limit=GATE_SIGNIFICANCE),
        Measure(name="epsilon at least, by guesses", value=bound, limit=epsilon, ceiling=ceiling),
        control_bound(seen, epsilon),
        Measure(name="fewest secrets named first that would refute the claim", value=fewest),
    )
    claim = f"and {epsilon:.3g} is claimed; {found}."
    verdict, reason = Verdict.INCONCLUSIVE, f"Epsilon is at least {bound:.3g}, {claim}"
    if p_value <= GATE_SIGNIFICANCE and checks.unfair is None:
        verdict = Verdict.VIOLATED
    elif checks.broken is not None:
        reason = checks.broken
    elif fewest is None:
        reason = (
            f"{mine.of} secrets among {candidates} cannot refute an epsilon above {ceiling:.3g} at "
            f"a delta of {delta:.3g}, {claim}"
        )
    elif known.right < fewest:
        reason = (
            f"Of a model that was taught the secrets this attack refutes no epsilon above "
            f"{seen:.3g}, {claim}"
        )
    else:
        verdict = Verdict.NOT_REFUTED
    return _Judgement(verdict, reason, details, ceiling)


def _test(evidence: SecretEvidence, repetitions: int) -> ExposureTest:
    return exposure_tests(evidence.exposures(evidence.of(repetitions), repetitions))[0]


def _series(evidence: SecretEvidence, counts: tuple[int, ...]) -> tuple[Series, ...]:
    of_members = tuple(
        exposure_series(
            evidence.exposures(evidence.of(count), count),
            "trained on once" if count == 1 else f"trained on {count} times",
        )
        for count in counts
    )
    null = exposure_series(evidence.exposures(~evidence.members), "never trained on", null=True)
    return (*of_members, null)


def _none(gate: str, claim: str, what: str) -> Finding:
    return Finding(
        gate=gate,
        window=Window.RELEASE,
        basis=Basis.RUN,
        threat=_THREAT,
        claim=claim,
        verdict=Verdict.NOT_RUN,
        reason=f"The run has {what} (`mechanism.canaries.repetitions`).",
        samples=0,
        statistic=None,
    )
