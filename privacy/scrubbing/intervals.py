"""Exact intervals for a share: what n labelled entities can say about all that will come."""

from __future__ import annotations

import math

from crypto.errors import ConfigError

_TINY = 1e-300
_SMALLEST_STEP = 3e-16
_MOST_STEPS = 5000
_HALVINGS = 80
"""Of an interval of length 1, so the result is as fine as a float near 0 can be."""


def clopper_pearson(
    successes: int, trials: int, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Return an interval that covers the true share with at least `confidence`.

    The lower end is the share at which `successes` or more have probability
    (1 - confidence) / 2, the upper end that at which `successes` or fewer have it (Clopper and
    Pearson 1934); both tails of the binomial distribution are incomplete beta functions. Without
    a trial nothing is known: (0, 1).

    Raises:
        ConfigError: there are more successes than trials, a negative number of either, or the
            confidence is not in (0, 1).
    """
    if not (0 <= successes <= trials and 0 < confidence < 1):
        raise ConfigError(
            f"{successes} of {trials} at confidence {confidence} is no share: no interval can be "
            "given. Count successes among trials, and choose a confidence between 0 and 1."
        )
    tail = (1 - confidence) / 2
    failures = trials - successes
    low = beta_quantile(tail, successes, failures + 1) if successes else 0.0
    high = 1 - beta_quantile(tail, failures, successes + 1) if failures else 1.0
    return low, high


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return x with I_x(a, b) = `probability`, by bisection, for a, b > 0."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if beta_cdf(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), for x in [0, 1] and a, b > 0.

    By its continued fraction (DLMF 8.17.22), on the side of the mean where it converges fast.
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    front = math.exp(log_front)
    if x < (a + 1) / (a + b + 2):
        return front * _continued_fraction(x, a, b) / a
    return 1 - front * _continued_fraction(1 - x, b, a) / b


def _continued_fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction of DLMF 8.17.22 by Lentz's method, as modified by Thompson.

    It ends: where it is used, x lies left of the mean, and O(sqrt(max(a, b))) terms suffice.
    """
    c = 1.0
    d = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _MOST_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _not_zero(1 + even * d)
        c = _not_zero(1 + even / c)
        fraction *= c * d
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _not_zero(1 + odd * d)
        c = _not_zero(1 + odd / c)
        step = c * d
        fraction *= step
        if abs(step - 1) < _SMALLEST_STEP:
            break
    return fraction


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
