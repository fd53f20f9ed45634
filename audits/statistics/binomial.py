"""Exact intervals of a binomial proportion (Clopper and Pearson 1934)."""

from __future__ import annotations

from scipy import stats

from crypto.errors import ConfigError


def upper(successes: int, trials: int, significance: float) -> float:
    """Return the largest p under which at most `successes` is not rarer than `significance`.

    One-sided: P(X <= successes | p) = significance; 1 where every trial succeeded, or none was
    made.

    Raises:
        ConfigError: the counts are no counts, or the significance is not in (0, 1).
    """
    _check(successes, trials, significance)
    if successes == trials:
        return 1.0
    return float(stats.beta.isf(significance, successes + 1, trials - successes))


def lower(successes: int, trials: int, significance: float) -> float:
    """Return the smallest p under which at least `successes` is not rarer than `significance`.

    Raises:
        ConfigError: as `upper`.
    """
    _check(successes, trials, significance)
    if successes == 0:
        return 0.0
    return float(stats.beta.ppf(significance, successes, trials - successes + 1))


def interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the two-sided interval: both tails at half of what `confidence` leaves.

    Raises:
        ConfigError: as `upper`.
    """
    tail = (1 - confidence) / 2
    return lower(successes, trials, tail), upper(successes, trials, tail)


def _check(successes: int, trials: int, significance: float) -> None:
    if not 0 <= successes <= trials or not 0 < significance < 1:
        raise ConfigError(
            f"{successes} of {trials} at a significance of {significance} is no observation: an "
            "interval would mean nothing. Count again, and choose a significance between 0 and 1."
        )
