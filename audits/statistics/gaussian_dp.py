"""mu-Gaussian DP and (epsilon, delta)-DP, one as the other.

A mechanism is mu-GDP where telling two neighbours apart is at least as hard as telling N(0, 1) from
N(mu, 1). It is then (epsilon, delta)-DP for every epsilon with delta = Phi(-epsilon/mu + mu/2) -
e^epsilon Phi(-epsilon/mu - mu/2) (Dong, Roth and Su 2022, corollary 2.13).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import optimize, special

from crypto.errors import ConfigError

_LARGEST_MU: Final = 50.0
_SMALLEST_MU: Final = 1e-9


def epsilon_of_mu(mu: float, delta: float) -> float:
    """Return the epsilon at `delta` of mu-Gaussian DP; 0 for a mu of 0 or less.

    Raises:
        ConfigError: `delta` is not in (0, 1).
    """
    _check(delta)
    if mu <= 0:
        return 0.0
    mu = min(mu, _LARGEST_MU)
    if _excess(0.0, mu, delta) <= 0:
        return 0.0
    high = 1.0
    while _excess(high, mu, delta) > 0:
        high *= 2
    return float(optimize.brentq(_excess, 0.0, high, args=(mu, delta), xtol=1e-9))


def mu_of_epsilon(epsilon: float, delta: float) -> float:
    """Return the largest mu that is (epsilon, delta)-DP.

    Raises:
        ConfigError: `delta` is not in (0, 1), or mu lies outside of what is computed here, as that
            of an epsilon well above 1000 does.
    """
    _check(delta)

    def excess(mu: float) -> float:
        return _excess(epsilon, mu, delta)

    if not excess(_SMALLEST_MU) <= 0 <= excess(_LARGEST_MU):
        raise ConfigError(
            f"The mu of epsilon {epsilon:.4g} at delta {delta:.1g} does not lie between "
            f"{_SMALLEST_MU:g} and {_LARGEST_MU:g}, and nothing was compared with it: such a claim "
            "hides everything or nothing."
        )
    return float(optimize.brentq(excess, _SMALLEST_MU, _LARGEST_MU, xtol=1e-12))


def _excess(epsilon: float, mu: float, delta: float) -> float:
    """Return by how much the logarithm of what is met is above that of `delta`."""
    first = special.log_ndtr(-epsilon / mu + mu / 2)
    second = epsilon + special.log_ndtr(-epsilon / mu - mu / 2)
    with np.errstate(divide="ignore"):
        met = first + np.log1p(-np.exp(min(second - first, 0.0)))
    return float(max(met, -1e9) - np.log(delta))


def _check(delta: float) -> None:
    if not 0 < delta < 1:
        raise ConfigError(
            f"A delta of {delta} gives Gaussian DP no epsilon: nothing was computed. Choose one "
            "between 0 and 1."
        )
