"""Is every member in every sum independently, with the stated probability?

Where noise is a tenth of the clip, a part above half of it is that of a member that was sampled:
each part is read as one or zero. Noise turns a reading with a known probability, the same for all,
so that readings are independent trials too, of a probability that is corrected for it. Counted are

- all parts: against a binomial;
- for each member in how many sums it is: shuffled epochs spread less, a batch that comes back more;
- for each sum how many members are in it: batches of a fixed size spread less, members that are
  sampled together more.

Formal guarantee: where members are sampled independently at the stated rate, and noise is Gaussian,
the gate says `violated` with probability at most its significance, which the six tails share. Edge
cases: where every member is in every sum nothing is sampled, and the gate is not run; a part that
is not a clipped gradient is read wrongly, and what is then violated `clip-probe` says too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scipy import stats

from audits.findings import GATE_SIGNIFICANCE, Basis, Finding, Measure, Verdict, Window
from audits.statistics.spread import Spread

if TYPE_CHECKING:
    from audits.server.evidence import NoisedSums

GATE: Final = "sampling"
CLAIM: Final = "Every member is in every sum independently, with the stated probability."
_THREAT: Final = (
    "Epsilon counts on nobody knowing whose turn it is: whoever knows that epochs are shuffled, or "
    "that a batch comes back, knows more of a record than was computed."
)
_HALF: Final = 0.5
"""A part above so much of the clip is read as a member's that was sampled."""
_BLURRED: Final = 0.1
"""Readings that noise turns may be so few, as a share of the members that are sampled."""
_WANTED: Final = 5.0
"""A spread that is wrong by this factor has to be noticed, or the gate says nothing."""
_TAIL: Final = GATE_SIGNIFICANCE / 6
_IN_TURN: Final = "members take turns, as in shuffled epochs"
_AGAIN: Final = "some come back again and again"
_OF_ONE_SIZE: Final = "batches are nearly of one size"
_TOGETHER: Final = "members are sampled together"


@dataclass(frozen=True)
class _Readings:
    """What was read of the members' parts.

    Attributes:
        taken: how many of all parts are those of sampled members.
        parts: how many there are.
        turned: the probability that noise turns a reading.
        probability: that a part is read as a sampled member's.
        members: how often each member takes part.
        sums: how many members each sum has.
    """

    taken: int
    parts: int
    turned: float
    probability: float
    members: Spread
    sums: Spread


def sampling(sums: NoisedSums, window: Window = Window.SERVER) -> Finding:
    """Return whether the members of `sums` are sampled independently at their rate."""
    if sums.rate >= 1:
        reason = "Every member is in every sum: nothing is sampled."
        return _finding(window, Verdict.NOT_RUN, reason)
    if not (sums.observed & sums.members).any():
        reason = "No sum observes a member: there is nobody to be sampled."
        return _finding(window, Verdict.INCONCLUSIVE, reason)
    read = _readings(sums)
    verdict, reason = _judge(read, sums.rate)
    return _finding(window, verdict, reason, read, sums.rate)


def _readings(sums: NoisedSums) -> _Readings:
    possible = sums.observed & sums.members
    taken = possible & (sums.parts > _HALF)
    turned = float(stats.norm.sf(_HALF / sums.deviation))
    probability = sums.rate * (1 - turned) + (1 - sums.rate) * turned

    def along(axis: int) -> Spread:
        trials = possible.sum(axis=axis)
        some = trials > 0
        return Spread(taken.sum(axis=axis)[some], trials[some], probability)

    count = int(possible.sum())
    return _Readings(int(taken.sum()), count, turned, probability, along(0), along(1))


def _judge(read: _Readings, rate: float) -> tuple[Verdict, str]:
    violated = _violated(read, rate)
    if violated is not None:
        return Verdict.VIOLATED, violated
    if read.turned > _BLURRED * rate:
        return Verdict.INCONCLUSIVE, (
            f"Noise turns {read.turned:.2g} of all readings, and {rate:.2g} of the members are "
            "sampled: rehearse with less noise."
        )
    noticed = (read.members.noticed(_TAIL), read.sums.noticed(_TAIL))
    (low, high), (sums_low, sums_high) = noticed
    said = (
        f"below {low:.2g} or above {high:.2g} times that of independent sampling (by member), and "
        f"below {sums_low:.2g} or above {sums_high:.2g} times (by sum)"
    )
    if min(low, sums_low) * _WANTED < 1 or max(high, sums_high) > _WANTED:
        return Verdict.INCONCLUSIVE, (
            f"Only a spread {said} would have been noticed: take more canaries or more rounds."
        )
    return Verdict.NOT_REFUTED, (
        f"Members are in {read.taken / read.parts:.3g} of the sums that they can be in, at a rate "
        f"of {rate:.3g}, and spread {read.members.ratio:.3g} (by member) and "
        f"{read.sums.ratio:.3g} (by sum) times as independent sampling makes them. A spread {said} "
        "would have been noticed."
    )


def _violated(read: _Readings, rate: float) -> str | None:
    """Return why the claim is refuted; None if it is not."""
    few = float(stats.binom.cdf(read.taken, read.parts, read.probability))
    many = float(stats.binom.sf(read.taken - 1, read.parts, read.probability))
    if min(few, many) < _TAIL:
        return (
            f"Members are in {read.taken / read.parts:.3g} of the sums that they can be in, and "
            f"the rate is {rate:.3g}: they are sampled at another one, or their parts are not "
            "their clipped gradients."
        )
    wrong = [
        *_wrong(read.members, "in how many sums a member is", _IN_TURN, _AGAIN),
        *_wrong(read.sums, "how many members a sum has", _OF_ONE_SIZE, _TOGETHER),
    ]
    if not wrong:
        return None
    return f"Epsilon was computed for independent sampling, and {', and '.join(wrong)}."


def _wrong(spread: Spread, what: str, even: str, uneven: str) -> list[str]:
    """Return what is said of `spread` where it refutes the claim; nothing where it does not."""
    if min(less := spread.below(), spread.above()) >= _TAIL:
        return []
    how = even if less < _TAIL else uneven
    return [f"{what} spreads {spread.ratio:.3g} times as that makes it: {how}"]


def _finding(
    window: Window,
    verdict: Verdict,
    reason: str,
    read: _Readings | None = None,
    rate: float | None = None,
) -> Finding:
    statistic: Measure | None = None
    details: tuple[Measure, ...] = ()
    if read is not None:
        statistic = Measure(
            name="spread of how often members take part, over that of independent sampling",
            value=read.members.ratio,
            limit=1.0,
        )
        details = (
            Measure(
                name="spread of how many members a sum has, over that of independent sampling",
                value=read.sums.ratio,
                limit=1.0,
            ),
            Measure(
                name="share of the members' parts that are above half of the clip",
                value=read.taken / read.parts,
                limit=rate,
            ),
        )
    return Finding(
        gate=GATE,
        window=window,
        basis=Basis.REHEARSAL,
        threat=_THREAT,
        claim=CLAIM,
        verdict=verdict,
        reason=reason,
        samples=0 if read is None else read.parts,
        statistic=statistic,
        details=details,
    )
