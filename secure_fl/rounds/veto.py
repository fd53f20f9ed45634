"""A site's veto on what it is about to send: which numbers are held against which promise.

| mode                         | what is looked at                                     | noise     |
|------------------------------|-------------------------------------------------------|-----------|
| `record`                     | every step's noised sum, before the optimiser         | all of it |
| `record-distributed`, `site` | the encoded update with its noise, before the masks   | its share |
| `none`                       | nothing: nothing is claimed                           | none      |

In every mode an update that holds a value which is no number cannot be made (`privacy.update`).

Every mode's noise is drawn anew in each step, independently of all others: that is what is tested.
A mechanism whose noise is correlated over steps (matrix factorisation) is none of these, and does
not get past the type checker here without a test of its own.

The charge is in the ledger before anything is looked at, and stays there: a refused round can be
tried again in another attempt alone, which is charged anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, assert_never

import numpy as np

from audits.site.veto import (
    REMEMBERED,
    Check,
    CheckKind,
    Promise,
    examine,
    sample_of,
    significance_of,
)
from crypto.errors import IntegrityError
from privacy.fixed_point import from_ring
from privacy.noised_grid import ARITHMETIC
from secure_fl.config import DistributedPrivacy, NoPrivacy, RecordPrivacy, SitePrivacy
from secure_fl.guarantee import steps_of
from secure_fl.rounds.grids import noised_grid_of
from secure_fl.rounds.site_state import CheckedKind, VetoMemory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from secure_fl.config import Mechanism
    from secure_fl.policy_veto import VetoSection
    from secure_fl.rounds.encoding import Noised

_PRECISION: Final = {2: 2.0**-8, 4: 2.0**-24, 8: 2.0**-53}
"""Relative rounding error by bytes of a number; two bytes may be a bfloat16."""

_MEND: Final = (
    "Nothing was sent, and what was charged stays charged. This follows from the noised numbers "
    "alone, so that it is a fault of this software, its libraries or its random numbers, and not "
    "of a record: leave the run, and report it with what `secure-fl doctor` prints. The site's "
    "policy says in [veto] what is looked at."
)


class RoundVeto:
    """Looks at what one site noises in one round, and remembers it for the rounds that follow.

    Formal guarantee: it reads noised numbers, the configuration and how many units the site has;
    with correct code it refuses with probability at most 2^-40 in an attempt at a run.
    """

    def __init__(
        self, policy: VetoSection, mechanism: Mechanism, round_: int, units: int, memory: VetoMemory
    ) -> None:
        self._mechanism = mechanism
        self._round = round_
        self._units = units
        self._kinds = _kinds_of(policy)
        planned = steps_of(mechanism, mechanism.training.rounds)
        self._significance = significance_of(planned)
        self.memory = memory
        """What to keep of this run: counts, margins, and samples of the last noised vectors."""

    def step(self, mean: Mapping[str, Tensor]) -> None:
        """Return if a step's noised mean, by name, may be used: the tap of mode `record`.

        Raises:
            IntegrityError: the veto fired; nothing of the round may leave.
        """
        privacy = self._mechanism.privacy
        if not isinstance(privacy, RecordPrivacy) or privacy.sigma is None:
            raise IntegrityError("A noised step came about in a mode without noised steps.")
        parts = [part.detach().cpu().double().numpy().ravel() for part in mean.values()]
        promise = Promise(
            deviation=privacy.sigma * privacy.clip,
            clip=(1 + ARITHMETIC) * privacy.clip,
            units=self._units,
            rate=privacy.sampling_rate,
            precision=max((_PRECISION[part.element_size()] for part in mean.values()), default=0.0),
        )
        self._look(np.concatenate(parts) * privacy.divisor, promise)

    def contribution(self, noised: Noised, cohort: int) -> None:
        """Return if what a site is about to protect in a round of `cohort` sites may leave.

        Raises:
            IntegrityError: the veto fired; nothing of the round may leave.
        """
        mechanism, privacy = self._mechanism, self._mechanism.privacy
        match privacy:
            case NoPrivacy() | RecordPrivacy():
                return  # no claim, and looked at step by step
            case SitePrivacy():
                units, rate = 1, 1.0
            case DistributedPrivacy():
                units, rate = self._units, privacy.sampling_rate
            case _:
                assert_never(privacy)
        grid = noised_grid_of(mechanism, cohort, noised.vector.size)
        promise = Promise(
            deviation=grid.local_deviation,
            clip=(1 + ARITHMETIC) * grid.clip / grid.step,
            units=units,
            rate=rate,
            grid=math.sqrt(grid.size),
        )
        steps, _ = from_ring(noised.vector, 1.0, 2 ** (grid.bits - 1), grid.bits)
        self._look(steps, promise)

    def _look(self, vector: NDArray[np.float64], promise: Promise) -> None:
        earlier = [np.frombuffer(sample, "<f8") for sample in self.memory.seen]
        checks = examine(vector, promise, earlier, self._significance, self._kinds)
        failed = [check for check in checks if not check.passed]
        seen = self.memory.seen
        if not failed:
            own = sample_of(vector).astype("<f8").tobytes()
            seen = (*seen, own)[-REMEMBERED:]
        self.memory = VetoMemory(
            vectors=self.memory.vectors + 1,
            refused=self.memory.refused + bool(failed),
            checked=_counted(self.memory.checked, checks),
            seen=seen,
        )
        if failed:
            said = "; ".join(dict.fromkeys(_words(check) for check in failed))
            raise IntegrityError(
                f"This site vetoed its own sum in round {self._round}: it {said}. {_MEND}"
            )


def _kinds_of(policy: VetoSection) -> frozenset[CheckKind]:
    wanted = {
        CheckKind.NOISE: policy.noise,
        CheckKind.SIZE: policy.size,
        CheckKind.FRESH: policy.fresh,
    }
    return frozenset(kind for kind, on in wanted.items() if on)


def _counted(before: tuple[CheckedKind, ...], checks: tuple[Check, ...]) -> tuple[CheckedKind, ...]:
    """Return how many checks of each kind were made, and their smallest margins, with `checks`."""
    made = {entry.kind: (entry.made, entry.smallest_margin) for entry in before}
    for check in checks:
        if check.kind is not CheckKind.FINITE:
            count, smallest = made.get(check.kind.value, (0, math.inf))
            made[check.kind.value] = (count + 1, min(smallest, check.margin))
    return tuple(CheckedKind(kind, *made[kind]) for kind in sorted(made))


def _words(check: Check) -> str:
    """Return what is wrong with the sum, with the number that decides."""
    match check.kind:
        case CheckKind.FINITE:
            return f"holds {check.statistic:.0f} values that are no numbers"
        case CheckKind.NOISE:
            return (
                f"is {check.statistic:.4g} times as long as the noise that the mechanism says, and "
                f"correct noise is below {check.limit:.4g} times {_chance(check)}: its noise is "
                "missing or too small"
            )
        case CheckKind.SIZE:
            return (
                f"is {check.statistic:.4g} times as long as the noise that the mechanism says, and "
                f"clipped contributions with correct noise are above {check.limit:.4g} times "
                f"{_chance(check)}: something was not clipped"
            )
        case CheckKind.FRESH:
            return (
                f"differs from an earlier one by {check.statistic:.4g} times the noise of one, and "
                f"by less than {check.limit:.4g} times {_chance(check)}: its noise was used before"
            )


def _chance(check: Check) -> str:
    return f"with probability {check.significance:.1g} at most"
