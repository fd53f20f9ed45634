"""What the canaries of a run say of guessing: a label from its text, a word from text and label.

Labels and words of canaries were drawn uniformly, so that whoever sees everything but a hidden one,
and no release, is right about one in R. An attacker who has the adapter takes the value to which
training added the most. A figure counts only beside two others: controls, which nobody trained on,
must be guessed no better than by chance; a positive control, a model trained on the members alone
until it knows them, must give away so much that its guesses would refute the claim. One word of
many moves a label little, so that the second often fails for words: then nothing is cleared.

Formal guarantee: where the run is (epsilon, delta)-DP, a gate says `violated` with probability at
most its significance (`audits.statistics.guesses`). It speaks of canaries of one repetition; what
is guessed of others stands beside it. Ties count as wrong. Edge case: a gate whose ceiling lies
below the claim could not refute it, and is inconclusive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from audits.findings import GATE_SIGNIFICANCE, Basis, Finding, Measure, Verdict, Window
from audits.release import chance
from audits.release.canary_gates import counted
from audits.release.candidates import top_one
from audits.statistics import binomial
from audits.statistics.guesses import ceiling, largest_refuted
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audits.server.distinguish import Claimed

LABELS: Final = "label-inference"
ATTRIBUTES: Final = "attribute-inference"
LABELS_CLAIM: Final = (
    "The label of a text that was trained on once is guessed no better than the claimed epsilon "
    "allows."
)
ATTRIBUTES_CLAIM: Final = (
    "A missing word of a text that was trained on once is guessed from the rest and its label no "
    "better than the claimed epsilon allows."
)
_CLAIMS: Final = {LABELS: LABELS_CLAIM, ATTRIBUTES: ATTRIBUTES_CLAIM}
_THREATS: Final = {
    LABELS: (
        "Whoever has the adapter and a record's text tries every label, and takes the one that the "
        "model finds more likely than before by the most."
    ),
    ATTRIBUTES: (
        "Whoever has the adapter, a record's label and all but one word of its text tries words in "
        "the gap, and takes the one under which the label is more likely than before by the most."
    ),
}
NONE_ONCE: Final = (
    "The run has no canaries of one repetition (`mechanism.canaries.repetitions`), and its epsilon "
    "is of one."
)
"""Why there is nothing to guess."""
_HIDDEN: Final = {LABELS: "labels", ATTRIBUTES: "words"}
_FEWEST: Final = 8
_LUCKY: Final = 1e-3
"""Guesses as good as one in a thousand times by chance are better than chance: too good for
controls, and the least for a positive control."""


@dataclass(frozen=True, eq=False)
class GuessEvidence:
    """How much speaks for each value of what is hidden; not shown.

    Attributes:
        released: under the released adapter, less before the first round, float64 (n, R).
        control: under a model that was trained on the members alone, likewise (n, R).
        truth: the true value of each canary, uniform among the R and drawn apart, int64 (n,).
        members: whom the coin chose, bool (n,).
        repetitions: how often a member was among the records, int64 (n,).

    Raises:
        ConfigError: shapes do not fit, there is no choice, or there are too few controls.
    """

    released: NDArray[np.float64] = field(repr=False)
    control: NDArray[np.float64] = field(repr=False)
    truth: NDArray[np.int64] = field(repr=False)
    members: NDArray[np.bool_] = field(repr=False)
    repetitions: NDArray[np.int64] = field(repr=False)

    def __post_init__(self) -> None:
        rows = {self.truth.shape, self.members.shape, self.repetitions.shape}
        if rows != {self.released.shape[:1]} or self.control.shape != self.released.shape:
            raise ConfigError(
                "Scores, coins and true values of canaries differ in number: none counts."
            )
        if min(int(self.members.sum()), int((~self.members).sum())) < _FEWEST:
            raise ConfigError(
                f"{int(self.members.sum())} members and {int((~self.members).sum())} controls show "
                f"nothing: {_FEWEST} of each are needed at least. Raise `mechanism.canaries.each`."
            )

    @property
    def choices(self) -> int:
        """R, among how many values is guessed."""
        return int(self.released.shape[1])


@dataclass(frozen=True)
class _Share:
    """How many of how many were guessed right."""

    right: int
    of: int

    @classmethod
    def where(cls, hits: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> _Share:
        return cls(int(hits[chosen].sum()), int(chosen.sum()))

    @property
    def share(self) -> float:
        return self.right / self.of

    @property
    def interval(self) -> tuple[float, float]:
        return binomial.interval(self.right, self.of, 0.95)

    def beyond_chance(self, choices: int) -> bool:
        """Whether guessing among so many values would seldom be right as often."""
        by_chance = np.full(self.of, 1 / choices)
        return chance.at_least(self.right, by_chance) <= _LUCKY

    def refuted(self, choices: int, delta: float) -> float:
        """Return the largest epsilon that so many right guesses refute."""
        return largest_refuted(
            self.right, self.of, choices, delta=delta, significance=GATE_SIGNIFICANCE
        )

    def measure(self, name: str, limit: float | None = None) -> Measure:
        return Measure(name=name, value=self.share, interval=self.interval, limit=limit)


def inference_finding(gate: str, evidence: GuessEvidence, claimed: Claimed | None) -> Finding:
    """Return what guesses about the canaries of one repetition say.

    Args:
        gate: `LABELS` or `ATTRIBUTES`.
        evidence: of all canaries of the run.
        claimed: of one record; None where the run claims nothing.
    """
    once = evidence.members & (evidence.repetitions == 1)
    if not once.any():
        return not_run(gate, NONE_ONCE)
    hits = top_one(evidence.released, evidence.truth)
    known = top_one(evidence.control, evidence.truth)
    game = _Game(
        hidden=_HIDDEN[gate],
        choices=evidence.choices,
        mine=_Share.where(hits, once),
        controls=_Share.where(hits, ~evidence.members),
        known=_Share.where(known, once),
    )
    verdict, reason, bounds, top = _judged(game, claimed)
    return Finding(
        gate=gate,
        window=Window.RELEASE,
        basis=Basis.RUN,
        threat=_THREATS[gate],
        claim=_CLAIMS[gate],
        verdict=verdict,
        reason=reason,
        samples=game.mine.of,
        statistic=game.mine.measure(
            f"share of {game.hidden} guessed right among {game.choices}", 1 / game.choices
        ),
        details=(
            game.controls.measure("share guessed right among controls", 1 / game.choices),
            game.known.measure("share guessed right under the positive control", 1 / game.choices),
            *_repeated(evidence, hits),
            *bounds,
        ),
        ceiling=top,
    )


@dataclass(frozen=True)
class _Game:
    """Guesses of one kind."""

    hidden: str
    choices: int
    mine: _Share
    controls: _Share
    known: _Share

    @property
    def unfair(self) -> str | None:
        """Why no figure counts, not even one that refutes; None where controls look fair."""
        if not self.controls.beyond_chance(self.choices):
            return None
        return (
            f"{self.controls.share:.3g} is guessed right among controls, which nobody trained on, "
            f"and {1 / self.choices:.3g} by chance: what is guessed of members shows nothing."
        )

    @property
    def broken(self) -> str | None:
        """Why no figure counts for the run; None where both checks are as they must be."""
        if self.unfair is not None:
            return self.unfair
        if self.known.beyond_chance(self.choices):
            return None
        return (
            f"Of a model that knows the members {self.known.share:.3g} is guessed right, and "
            f"{1 / self.choices:.3g} by chance: the attack does not see what is there."
        )

    @property
    def found(self) -> str:
        """What was guessed, as a phrase."""
        return (
            f"{self.mine.right} of {self.mine.of} {self.hidden} of canaries of 1 repetition were "
            f"guessed right, and {1 / self.choices:.3g} of them are by chance"
        )


def _judged(
    game: _Game, claimed: Claimed | None
) -> tuple[Verdict, str, tuple[Measure, ...], float | None]:
    """Return verdict, reason, bounds on epsilon and the largest that could be refuted."""
    if claimed is None:
        reason = f"The run claims nothing that could be refuted; {game.found}."
        return Verdict.INCONCLUSIVE, game.broken or reason, (), None
    epsilon, delta = claimed.epsilon, claimed.delta
    bound, seen = (share.refuted(game.choices, delta) for share in (game.mine, game.known))
    top = ceiling(game.mine.of, game.choices, delta=delta, significance=GATE_SIGNIFICANCE)
    bounds = (
        Measure(name="epsilon at least, by the guesses", value=bound, limit=epsilon),
        Measure(name="epsilon at least, of the positive control", value=seen, limit=epsilon),
    )
    reason = f"Epsilon is at least {bound:.3g}, and {epsilon:.3g} is claimed; {game.found}."
    if bound > epsilon and game.unfair is None:
        return Verdict.VIOLATED, reason, bounds, top
    if game.broken is not None:
        return Verdict.INCONCLUSIVE, game.broken, bounds, top
    if top < epsilon:
        weak = f"So few canaries cannot refute an epsilon above {top:.3g}"
    elif seen < epsilon:
        weak = f"Of a model that knows the members this attack refutes no epsilon above {seen:.3g}"
    else:
        return Verdict.NOT_REFUTED, reason, bounds, top
    return (
        Verdict.INCONCLUSIVE,
        f"{weak}, and {epsilon:.3g} is claimed; {game.found}.",
        bounds,
        top,
    )


def _repeated(evidence: GuessEvidence, hits: NDArray[np.bool_]) -> list[Measure]:
    """Return what was guessed of canaries that were trained on more than once; decides nothing."""
    counts = sorted({int(count) for count in evidence.repetitions} - {1})
    shares = [
        (count, _Share.where(hits, evidence.members & (evidence.repetitions == count)))
        for count in counts
    ]
    return [
        share.measure(f"share guessed right of those of {counted(count)}, decides nothing")
        for count, share in shares
        if share.of
    ]


def not_run(gate: str, reason: str) -> Finding:
    """Return the finding that says why nothing was guessed."""
    return Finding(
        gate=gate,
        window=Window.RELEASE,
        basis=Basis.RUN,
        threat=_THREATS[gate],
        claim=_CLAIMS[gate],
        verdict=Verdict.NOT_RUN,
        reason=reason,
        samples=0,
        statistic=None,
    )
