"""What the span of opened low-rank sums says of two claims: of words, and of how near they are.

Formal guarantee of `lora_inversion`: where a sum tells nothing of which of two texts is in it, the
gate says `violated` with probability at most its significance, by the sign test over pairs of
`audits.inversion.pairs`. A guarantee of a finite epsilon lets a sum tell something: what the gate
finds then is more than chance, and is what that epsilon was too large to hide.

Edge cases: a run that promises nothing has nothing that could be refuted, and what was read is
counted in the reason; a reader who reads nothing out of sums without noise either, as where a text
fills the rank, shows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from audits import numerals
from audits.findings import (
    GATE_SIGNIFICANCE,
    Basis,
    Finding,
    Measure,
    Point,
    Series,
    SeriesKind,
    Verdict,
    Window,
)
from audits.statistics import binomial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audits.inversion.meters import LayerMeter
    from audits.inversion.pairs import PairCount

INVERSION: Final = "lora-inversion"
INVERSION_CLAIM: Final = (
    "Which words stand in a site's texts cannot be read out of the sum that the server opens."
)
_INVERSION_THREAT: Final = (
    "Whoever opens a sum of low-rank updates looks which tokens of the vocabulary lie in the span "
    "of its rows: where fewer are summed than the rank, and without noise, those are the texts'."
)
METERS: Final = "row-space-meters"
METERS_CLAIM: Final = (
    "An opened sum holds noise, or far more tokens than the adapter's rank, so that the span of "
    "its rows does not show single ones."
)
_METERS_THREAT: Final = (
    "While a sum holds fewer tokens than the rank, the span of its rows is theirs; just above the "
    "rank they are still nearer to it than others."
)
_BLIND: Final = 1e-3
"""A reader who is as good as one in a thousand on sums without the text is not to be believed."""
_FAR: Final = 10.0
"""So many times the rank is far above it."""
_LONG: Final = 1000
"""From here on three digits would need an exponent."""


@dataclass(frozen=True)
class Contrast:
    """What a search for matching gradients recovered; see `audits.inversion.gradient_inversion`.

    Attributes:
        texts: how many were searched for.
        words: tokens that they have, without those that every text has.
        plain: of these, found in one text's plain update.
        opened: found in the sum as it is opened.
    """

    texts: int
    words: int
    plain: int
    opened: int


@dataclass(frozen=True)
class InversionEvidence:
    """What was read of pairs of texts.

    Attributes:
        opened: out of sums as they are opened.
        control: out of sums of one text without noise: the positive control.
        blind: out of sums as they are opened, with neither text in them.
        promised: whether the run has a guarantee.
        rank: of the layer that was read.
        inputs: how many different tokens, with their places, a probed text has, on average.
        texts: how many texts are in an opened sum, the probed one with them.
        tried: how many tokens were tried at each place.
        vocabulary: how many there are.
        contrast: what another kind of search finds; None where it was not tried.
    """

    opened: PairCount
    control: PairCount
    blind: PairCount
    promised: bool
    rank: int
    inputs: float
    texts: int
    tried: int
    vocabulary: int
    contrast: Contrast | None = None


def lora_inversion(evidence: InversionEvidence) -> Finding:
    """Return whether words were read out of the sums of `evidence`."""
    opened = evidence.opened
    verdict, reason = _judged(evidence)
    statistic = None
    if opened.pairs:
        statistic = Measure(
            name="sums of which the summed text was read better than its twin, share of all",
            value=opened.ahead / opened.pairs,
            interval=binomial.interval(opened.ahead, opened.pairs),
        )
    return Finding(
        gate=INVERSION,
        window=Window.SERVER,
        basis=Basis.REHEARSAL,
        threat=_INVERSION_THREAT,
        claim=INVERSION_CLAIM,
        verdict=verdict,
        reason=reason,
        samples=opened.pairs,
        statistic=statistic,
        details=_details(evidence),
    )


def _judged(evidence: InversionEvidence) -> tuple[Verdict, str]:
    opened, control = evidence.opened, evidence.control
    read = f"{opened.found} of {opened.words} words were read out of {opened.pairs} sums"
    chance = f"one-sided p {opened.p_value:.2g} over pairs of texts"
    if not evidence.promised:
        return Verdict.INCONCLUSIVE, (
            f"The run claims nothing that could be refuted; {read} (texts in each: "
            f"{evidence.texts}), "
            f"and {control.found} of {control.words} out of sums of one text alone."
        )
    if evidence.blind.p_value <= _BLIND:
        return Verdict.INCONCLUSIVE, (
            f"Words of {evidence.blind.ahead} texts were read out of sums that hold none of them "
            f"(one-sided p {evidence.blind.p_value:.2g}): the reader is not to be believed."
        )
    if opened.p_value <= GATE_SIGNIFICANCE:
        return Verdict.VIOLATED, (
            f"{read}, of {opened.ahead} texts more than of the one that was not summed and of "
            f"{opened.behind} less ({chance})."
        )
    if control.p_value > GATE_SIGNIFICANCE:
        return Verdict.INCONCLUSIVE, (
            f"Without noise {control.found} of {control.words} words were read: texts of "
            f"{evidence.inputs:.3g} tokens under a rank of {evidence.rank} are beyond this reader, "
            "so that reading none with noise shows nothing."
        )
    return Verdict.NOT_REFUTED, (
        f"{read} ({chance}); without noise {control.found} of {control.words} were."
    )


def _details(evidence: InversionEvidence) -> tuple[Measure, ...]:
    named = (
        ("as opened", evidence.opened),
        ("without noise", evidence.control),
        ("with neither text in the sum", evidence.blind),
    )
    shares = [
        Measure(name=f"share of words read, {name}", value=count.found / count.words)
        for name, count in named
        if count.words
    ]
    wrong = [
        Measure(
            name=f"tokens of neither text found in a sum, {name}", value=count.others / count.pairs
        )
        for name, count in named[:2]
        if count.pairs
    ]
    return (
        *shares,
        *wrong,
        Measure(name="p-value, one-sided", value=evidence.opened.p_value, limit=GATE_SIGNIFICANCE),
        Measure(name="p-value of the positive control", value=evidence.control.p_value),
        Measure(name="p-value of the blind baseline", value=evidence.blind.p_value, limit=_BLIND),
        Measure(name="texts in an opened sum", value=evidence.texts),
        Measure(name="tokens in a probed text", value=evidence.inputs, limit=float(evidence.rank)),
        Measure(
            name=f"tokens tried at each place, of a vocabulary of {evidence.vocabulary}",
            value=evidence.tried,
        ),
        *_contrasted(evidence.contrast),
    )


def _contrasted(contrast: Contrast | None) -> tuple[Measure, ...]:
    if contrast is None or not contrast.words:
        return ()
    search = f"share of words that a search for matching gradients recovers, of {contrast.texts}"
    return (
        Measure(
            name=f"{search} plain updates (for contrast: decides nothing)",
            value=contrast.plain / contrast.words,
        ),
        Measure(name=f"{search} sums as opened", value=contrast.opened / contrast.words),
    )


@dataclass(frozen=True)
class MeterEvidence:
    """The meters of opened sums.

    Attributes:
        meters: of every layer and round, as `audits.inversion.meters` reads them.
        noised: whether noise is added before a sum is opened.
        summed: how many texts the metered sums were made of; fewer than the run's at most.
        rounds: what the run itself read of its opened sums, round by round; empty where it did not.
    """

    meters: Sequence[LayerMeter] = field(repr=False)
    noised: bool
    summed: int
    rounds: Sequence[LayerMeter] = field(default=(), repr=False)


def row_space_meters(evidence: MeterEvidence) -> Finding:
    """Return how near the sums of `evidence` come to being readable; never `violated`."""
    if not evidence.meters:
        return _metered(Verdict.INCONCLUSIVE, "No sum was metered: nothing is known.", evidence)
    verdict, reason = (_with_noise if evidence.noised else _without_noise)(evidence)
    return _metered(verdict, reason, evidence)


def _with_noise(evidence: MeterEvidence) -> tuple[Verdict, str]:
    """Judge sums that noise is said to be added to, which fills the rank of every layer's."""
    over = _over_rank(evidence)
    if not evidence.rounds:
        return Verdict.INCONCLUSIVE, (
            f"Noise is said to be added before a sum is opened, and {over}; but the run read no "
            "rank of the sums that it opened, so that nothing here could have shown the contrary."
        )
    if short := _short(evidence):
        return Verdict.INCONCLUSIVE, (
            f"Noise is said to be added before a sum is opened, and {short}: a layer that holds "
            "noise fills it. Find out whether that layer was trained then."
        )
    return Verdict.NOT_REFUTED, (
        f"Noise is added before a sum is opened, and each of the {len(evidence.rounds)} sums that "
        f"the run opened fills its rank, as one that holds noise does; {over}."
    )


def _without_noise(evidence: MeterEvidence) -> tuple[Verdict, str]:
    """Judge sums that tokens alone fill."""
    over = _over_rank(evidence)
    if short := _short(evidence):
        return Verdict.INCONCLUSIVE, (
            f"There is no noise, and {short}: it shows as few independent inputs."
        )
    if _least(evidence) >= _FAR:
        return Verdict.NOT_REFUTED, (
            f"There is no noise, but {over}, which is far above it. What exact tests do not show, "
            "others may."
        )
    deficient = sum(each.is_deficient for each in evidence.meters)
    return Verdict.INCONCLUSIVE, (
        f"There is no noise, and {over}, of {_FAR:.3g} that would be far above it; {deficient} of "
        f"{len(evidence.meters)} layers' sums do not fill the rank."
    )


def _least(evidence: MeterEvidence) -> float:
    return min(each.tokens_over_rank for each in evidence.meters)


def _over_rank(evidence: MeterEvidence) -> str:
    least = _least(evidence)
    often = f"{least:.3g}" if least < _LONG else numerals.thousands(round(least))
    return f"a sum holds {often} times as many tokens as the rank"


def _short(evidence: MeterEvidence) -> str:
    """Return which of the run's own sums do not fill their rank; nothing where all do."""
    short = [each for each in evidence.rounds if each.is_deficient]
    if not short:
        return ""
    first = min(short, key=lambda each: (each.round, each.rank_ratio))
    return (
        f"{len(short)} of the {len(evidence.rounds)} sums that the run opened do not fill the "
        f"rank, first that of {first.layer} in round {first.round} ({first.numerical_rank} of "
        f"{first.rank})"
    )


def _metered(verdict: Verdict, reason: str, evidence: MeterEvidence) -> Finding:
    meters = evidence.meters
    statistic: Measure | None = None
    details: tuple[Measure, ...] = ()
    if meters:
        least = min(each.tokens_over_rank for each in meters)
        statistic = Measure(name="tokens in a sum over the rank", value=least, limit=_FAR)
        details = (
            Measure(name="tokens in a sum", value=min(each.tokens for each in meters)),
            Measure(name="texts in the metered sums", value=evidence.summed),
            Measure(
                name="rank of a sum over the layer's, on average",
                value=sum(each.rank_ratio for each in meters) / len(meters),
            ),
            Measure(
                name="stable rank of a sum, on average",
                value=sum(each.stable_rank for each in meters) / len(meters),
            ),
        )
    return Finding(
        gate=METERS,
        window=Window.SERVER,
        basis=Basis.REHEARSAL,
        threat=_METERS_THREAT,
        claim=METERS_CLAIM,
        verdict=verdict,
        reason=reason,
        samples=len(meters),
        statistic=statistic,
        details=(*details, *_of_rounds(evidence.rounds)),
        series=_series(evidence.rounds or meters),
    )


def _of_rounds(rounds: Sequence[LayerMeter]) -> tuple[Measure, ...]:
    if not rounds:
        return ()
    return (
        Measure(name="sums that the run opened, a layer and a round each", value=len(rounds)),
        Measure(
            name="of these, sums that do not fill the rank",
            value=sum(each.is_deficient for each in rounds),
        ),
        Measure(
            name="least stable rank of a sum that the run opened",
            value=min(each.stable_rank for each in rounds),
        ),
    )


def _series(meters: Sequence[LayerMeter]) -> tuple[Series, ...]:
    """Return each layer's rank ratio by round."""
    layers = dict.fromkeys(each.layer for each in meters)
    return tuple(
        Series(
            kind=SeriesKind.RANK_RATIO,
            name=layer,
            points=tuple(
                Point(x=each.round, y=each.rank_ratio) for each in meters if each.layer == layer
            ),
        )
        for layer in layers
    )
