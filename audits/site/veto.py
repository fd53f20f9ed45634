"""Does what a site is about to send carry the noise that the mechanism promises?

Before a noised vector leaves, the site looks at it once more, and refuses to send what correct code
cannot have made: a vector with too little noise, one that is too long, one whose noise was in an
earlier one, or one with a value that is no number. Nothing is compared with a record.

**What is tested.** Let y = x + Z, where x is the clipped signal and Z has d independent coordinates
of deviation s, drawn after x and after everything that came before. For any w that was settled
before Z was drawn, |y - w|^2 / s^2 is noncentral chi-square with d degrees of freedom, whatever x
is, and so stochastically larger than the central one (Anderson 1955): what x does to it can only
make it larger. Hence, with significance a for each test,

- noise: |y| is at least s sqrt(d c), where c is a lower bound of a chi-square's a-quantile over d;
- freshness: |y - w| is so too, for every earlier noised vector w. Its limit is that of one noise
  and not of two: later parameters follow from w, so that x can cancel the noise of w;
- size: |y| is at most (longest signal) + s sqrt(d c'), with the upper bound c'.

**Where c comes from.** P(chi2_d <= c d) <= (c e^(1 - c))^(d / 2) for c < 1, and the same for
P(chi2_d >= c d) and c > 1: Chernoff's bound from E exp(t N^2) = (1 - 2 t)^(-1/2), at its best
t = (1 - 1 / c) / 2. It costs less than a tenth of the power of the exact quantile, and holds for
discrete Gaussian noise too. With x, w and Z integer, the likeliest of all windows of 2 k + 1
integers is the central one, so that a signal makes |Z| larger there too. And by Poisson's summation
E exp(-t Z^2) is at most 1 + 3 exp(-2 pi^2 c s^2) times that of a continuous Z, and E exp(t Z^2) no
larger (Canonne, Kamath and Steinke 2020, section 2): with s >= 16 and c >= 1/64, below which
nothing is tested, the factor is below 1 + 1e-33.

**How often correct code is refused.** Every test of one attempt at a run has an equal part of
`SIGNIFICANCE` = 2^-40 (Bonferroni over the tests that are planned). So the veto of correct code
fires with probability at most 2^-40 in an attempt, whatever the records are. What that it fires, or
does not, tells about a record is bounded by this: a mechanism with a guarantee (epsilon, delta)
keeps (epsilon, delta + (1 + e^epsilon) 2^-40) with the veto, even where the vector alone is not
private at that level, since only the sum over all sites is. (Let M' be M but where the veto fires:
P(M'(D) in S) <= P(M(D) in S) + a and P(M'(D') in S) >= P(M(D') in S) - a.) Where a site's own noise
is the whole, noise and freshness are functions of what was charged, and add nothing at all.

**What it cannot see.** Noise of the right size that somebody can predict; that of another shape;
noise that is too small where the signal is as long as what is missing; noise that comes back with a
signal that differs by more than the noise is long. With few coordinates the limits are wide
(`least_ratio`): of 1000 planned vectors, noise that is sqrt(2) too small is noticed half of the
time from 389 coordinates on, and none at all below 24. A signal that was not clipped is noticed
once its squared length exceeds about 12 s^2 sqrt(d) + 2 L s sqrt(d), with L the longest that is
allowed; a shorter one is lost in the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import special

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray

SIGNIFICANCE: Final = 2.0**-40
"""With what probability correct code is refused in one attempt at a run, at most."""

REMEMBERED: Final = 16
"""With how many earlier vectors a new one is compared."""

SAMPLED: Final = 1024
"""On how many coordinates, spread evenly: noise that is used twice is the same in every one."""

LEAST_RATIO: Final = 1.0 / 64.0
"""A lower limit on squared noise over what is promised that is smaller than this is not tested."""

_LEAST_LENGTH: Final = 1e-9
"""Of a vector, for its margin below a ceiling: so that a margin of zeros is a number too."""

_TESTS_OF_ONE: Final = 2 + REMEMBERED


class CheckKind(StrEnum):
    """What a noised vector is tested for."""

    FINITE = "finite"
    """Every value is a number."""
    NOISE = "noise"
    """It carries at least the noise that is promised."""
    SIZE = "size"
    """It is no longer than clipped contributions and their noise are."""
    FRESH = "fresh"
    """Its noise was not in an earlier one."""


ALL: Final = frozenset(CheckKind)


@dataclass(frozen=True)
class Promise:
    """What the mechanism says of a noised vector, in the vector's own unit.

    Attributes:
        deviation: s, the standard deviation of the noise in every coordinate. Of discrete noise at
            least 16 steps, where the unit is a step.
        clip: how long one unit's part is at most, before noise.
        units: how many units can have a part.
        rate: with what probability each of them has one, independently.
        grid: how far rounding to a grid moves the signal at most, in L2.
        precision: the relative error with which each value was rounded after the noise was added.

    Raises:
        ConfigError: a number is out of range.
    """

    deviation: float
    clip: float
    units: int
    rate: float = 1.0
    grid: float = 0.0
    precision: float = 0.0

    def __post_init__(self) -> None:
        positive = all(math.isfinite(x) and x > 0 for x in (self.deviation, self.clip))
        if not (
            positive and 0 < self.rate <= 1 and min(self.units, self.grid, self.precision) >= 0
        ):
            raise ConfigError(
                f"Noise of deviation {self.deviation} over parts of {self.clip}, each of "
                f"{self.units} there with probability {self.rate}, is no promise that a vector "
                "can be held against: give the numbers of the mechanism."
            )


@dataclass(frozen=True)
class Check:
    """One test of one vector.

    Attributes:
        kind: which.
        statistic: what was measured, over s sqrt(d); of `FINITE` how many values are no numbers.
        limit: the largest it may be of `FINITE` and `SIZE`, the smallest of the others.
        significance: with what probability correct code fails, at most.
    """

    kind: CheckKind
    statistic: float
    limit: float
    significance: float

    @property
    def margin(self) -> float:
        """How far the vector is from being refused: at 1 and above it may be sent."""
        if self.kind is CheckKind.FINITE:
            return 0.0 if self.statistic else math.inf
        if self.kind is CheckKind.SIZE:
            return self.limit / max(self.statistic, _LEAST_LENGTH)
        return self.statistic / self.limit

    @property
    def passed(self) -> bool:
        """Whether the vector may be sent."""
        return self.margin >= 1.0


def significance_of(vectors: int) -> float:
    """Return the significance of each test where `vectors` noised vectors are planned."""
    return SIGNIFICANCE / (_TESTS_OF_ONE * max(1, vectors))


def sample_of(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what is remembered of `vector`, shape (d,): `SAMPLED` values or all, evenly spread."""
    count = min(vector.size, SAMPLED)
    places = np.arange(count, dtype=np.int64) * vector.size // max(1, count)
    return vector[places]


def examine(
    vector: NDArray[np.float64],
    promise: Promise,
    earlier: Iterable[NDArray[np.float64]],
    significance: float,
    kinds: Collection[CheckKind] = ALL,
) -> tuple[Check, ...]:
    """Return what became of every test of `vector` that could refuse it.

    Formal guarantee: where signal, noise and clip are as promised, and the noise was drawn after
    everything in `earlier`, each returned check fails with probability at most `significance`,
    whatever the signal is. Where the vector is a sum in a ring, the probability of 2^-40 per round
    with which it leaves the ring comes on top.

    Edge cases: a vector without coordinates has no checks; one with a value that is no number has
    one, which fails; with too few coordinates for a lower limit above `LEAST_RATIO` there is
    neither `NOISE` nor `FRESH`; an earlier sample of another length is not compared.

    Args:
        vector: the noised vector, shape (d,).
        promise: what the mechanism says of it.
        earlier: what `sample_of` gave of earlier vectors, in the same unit.
        significance: of each test, in (0, 1).
        kinds: which are wanted; `FINITE` is always made.
    """
    broken = int(vector.size - np.count_nonzero(np.isfinite(vector)))
    checks = [Check(CheckKind.FINITE, float(broken), 0.0, 0.0)] if vector.size else []
    if broken or not vector.size:
        return tuple(checks)
    if CheckKind.NOISE in kinds:
        checks += _floor(CheckKind.NOISE, vector, vector, promise, significance)
    if CheckKind.SIZE in kinds:
        checks.append(_ceiling(vector, promise, significance))
    if CheckKind.FRESH in kinds:
        own = sample_of(vector)
        for sample in earlier:
            if sample.shape == own.shape:
                checks += _floor(CheckKind.FRESH, own - sample, own, promise, significance)
    return tuple(checks)


def least_ratio(size: int, significance: float) -> float:
    """Return the largest c < 1 with (c e^(1 - c))^(d / 2) <= a; 0 where c < `LEAST_RATIO`.

    So little of its expectation d are d squared standard normals with probability at most a.

    Args:
        size: d, at least 1.
        significance: a, in (0, 1).
    """
    c = -float(special.lambertw(_turned(size, significance), 0).real)
    return 0.0 if c < LEAST_RATIO else c * (1 - _ROUNDINGS)


def most_ratio(size: int, significance: float) -> float:
    """Return the smallest c > 1 with (c e^(1 - c))^(d / 2) <= a; as `least_ratio`."""
    c = -float(special.lambertw(_turned(size, significance), -1).real)
    return c * (1 + _ROUNDINGS)


_ROUNDINGS: Final = 1e-7
"""More than the rounding errors of Lambert's W near its branch point, for any d below 1e9."""


def _turned(size: int, significance: float) -> float:
    """Return x with W(x) = -c: c e^(1 - c) = a^(2 / d), so (-c) e^(-c) = -a^(2 / d) / e."""
    return -math.exp(2 * math.log(significance) / size - 1)


def largest_sample(units: int, rate: float, significance: float) -> int:
    """Return the smallest m with P(Binomial(units, rate) > m) <= significance.

    Args:
        units: how many may be sampled.
        rate: with what probability each is, in (0, 1].
        significance: in (0, 1).
    """
    if rate >= 1:
        return units
    low, high = -1, units  # more than `high` never, more than `low` too often
    while high - low > 1:
        middle = (low + high) // 2
        if float(special.bdtrc(middle, units, rate)) <= significance:
            high = middle
        else:
            low = middle
    return high


def _floor(
    kind: CheckKind,
    difference: NDArray[np.float64],
    rounded: NDArray[np.float64],
    promise: Promise,
    significance: float,
) -> list[Check]:
    """Return the check that `difference`, (d,), carries noise; none where it could not fail."""
    least = least_ratio(difference.size, significance)
    if not least:
        return []
    # Rounding can have taken no more than this away.
    slack = promise.precision * _norm(rounded)
    statistic = (_norm(difference) + slack) / _unit(promise, difference.size)
    return [Check(kind, statistic, math.sqrt(least), significance)]


def _ceiling(vector: NDArray[np.float64], promise: Promise, significance: float) -> Check:
    half = significance / 2  # one for the sample's size, one for the noise
    parts = largest_sample(promise.units, promise.rate, half)
    unit = _unit(promise, vector.size)
    longest = (parts * promise.clip + promise.grid) / unit
    limit = (longest + math.sqrt(most_ratio(vector.size, half))) * (1 + promise.precision)
    return Check(CheckKind.SIZE, _norm(vector) / unit, limit, significance)


def _unit(promise: Promise, size: int) -> float:
    """Return s sqrt(d), about how long the noise is."""
    return promise.deviation * math.sqrt(size)


def _norm(vector: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(vector))
