"""Opacus' PRV accountant as a cross-check of the claimed epsilon; the one home of opacus.

Gopi, Lee and Wutschitz 2021, "Numerical composition of differential privacy": another
discretisation of the privacy loss by other authors in other code. Importing this module imports
opacus, which is slow: import it only where the cross-check is made.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from opacus.accountants import PRVAccountant

from privacy.accounting import continuous
from privacy.events import Event, NoGuarantee, require_delta

if TYPE_CHECKING:
    from collections.abc import Iterable

EPSILON_ERROR = 0.01
"""The accountant's own stated error in epsilon: its answer may lie this much above the truth."""


def prv_epsilon(events: Iterable[Event], delta: float) -> float:
    """Return the PRV accountant's upper bound on epsilon under add/remove.

    Noise that sites share is taken for one continuous Gaussian.

    Args:
        events: what happened to the records; none at all costs 0, mode none costs infinity.
        delta: the probability with which the bound may fail, in [1e-10, 1).

    Raises:
        ConfigError: `delta` is out of range.
    """
    require_delta(delta)
    accountant = PRVAccountant()
    for event in continuous(events):
        if isinstance(event, NoGuarantee):
            return math.inf
        accountant.history.append((event.noise_multiplier, event.sampling_rate, event.steps))
    if len(accountant) == 0:
        return 0.0
    return float(accountant.get_epsilon(delta, eps_error=EPSILON_ERROR))
