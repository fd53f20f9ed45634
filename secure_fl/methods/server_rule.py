"""What the coordinator makes of a round's sum: a method's own rule, or one step along a gradient.

Where sites send how their parameters moved, the method's rule applies. Under `record-distributed`
they send clipped gradients, which the secure sum noises: the coordinator divides by the configured
divisor and takes the optimiser's step. Either is computed from opened sums alone, so that momentum
costs no privacy (post-processing).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, final

import numpy as np

from crypto.errors import ConfigError, IntegrityError
from secure_fl.config import DistributedPrivacy
from secure_fl.methods.method import is_head
from secure_fl.methods.registry import method_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privacy.update import UpdateSpec
    from secure_fl.config import Mechanism
    from secure_fl.config_training import TrainingSection
    from secure_fl.methods.method import Method, SeenUpdates

_ADAM_FIRST, _ADAM_SECOND, _ADAM_EPSILON = 0.9, 0.999, 1e-8
"""The constants of Kingma and Ba 2015, as torch has them."""


class ServerRule(Protocol):
    """Computes the next round's parameters; may remember what earlier rounds gave."""

    def apply(
        self, shared: NDArray[np.float32], seen: SeenUpdates, round_: int
    ) -> NDArray[np.float32]:
        """Return the parameters after `round_`, counted from 0, from `shared` before it: (d,)."""

    def export(self) -> bytes:
        """Return what the rule remembers; a rule made with it goes on where this one stands."""


def server_rule_of(mechanism: Mechanism, spec: UpdateSpec, memory: bytes = b"") -> ServerRule:
    """Return the rule of a run, with what it remembers of the rounds that are done.

    Raises:
        IntegrityError: `memory` is not what this rule exports.
    """
    if isinstance(mechanism.privacy, DistributedPrivacy):
        return GradientRule(mechanism.training, spec, mechanism.privacy.divisor, memory)
    if memory:
        raise IntegrityError(
            "What the coordinator remembers of earlier rounds belongs to another rule than this "
            "run's: start a new run."
        )
    return MethodRule(method_of(mechanism))


@final
class MethodRule:
    """A method's own rule over what sites' parameters moved by; remembers nothing."""

    def __init__(self, method: Method) -> None:
        self._method = method

    def apply(
        self, shared: NDArray[np.float32], seen: SeenUpdates, round_: int
    ) -> NDArray[np.float32]:
        """Return what the method makes of the round."""
        del round_
        return self._method.server_rule(shared, seen)

    def export(self) -> bytes:
        """Return nothing."""
        return b""


@final
class GradientRule:
    """One step of SGD with momentum, or of Adam, along the noised sum over `divisor`.

    SGD: v = m v + g, p = p - r v. Adam: Kingma and Ba 2015, algorithm 1. In float64; the
    parameters are rounded once. A round of the warm start moves the classifier alone, and what it
    saw of the others is noise that is left out of their moments.

    Args:
        training: the optimiser and its rates.
        spec: names and shapes of the shared parameters.
        divisor: L, a constant of the configuration.
        memory: what `export` of an earlier rule returned; nothing at the start.

    Raises:
        IntegrityError: `memory` has another size than the moments of `spec`.
    """

    def __init__(
        self, training: TrainingSection, spec: UpdateSpec, divisor: float, memory: bytes = b""
    ) -> None:
        self._training = training
        self._divisor = divisor
        heads = [np.full(tensor.size, is_head(tensor.name)) for tensor in spec.parameters]
        self._is_head = np.concatenate(heads)
        self._slots = np.zeros((self._slot_count(), spec.size))
        if memory:
            if len(memory) != self._slots.nbytes:
                raise IntegrityError(
                    "What the coordinator remembers of earlier rounds does not fit the shared "
                    "parameters: start a new run."
                )
            self._slots = np.frombuffer(memory, "<f8").reshape(self._slots.shape).copy()

    def apply(
        self, shared: NDArray[np.float32], seen: SeenUpdates, round_: int
    ) -> NDArray[np.float32]:
        """Return `shared` after one step along the sum, shape (d,).

        Raises:
            ConfigError: the parameters are not finite any more.
            IntegrityError: there was a gradient, and nothing moved.
        """
        gradient = seen.total / self._divisor
        moving = self._is_head if round_ < self._training.head_rounds else np.True_
        gradient = np.where(moving, gradient, 0.0)
        step = np.where(moving, self._rates(round_) * self._direction(gradient, round_), 0.0)
        with np.errstate(over="ignore"):
            moved: NDArray[np.float32] = (shared.astype(np.float64) - step).astype(np.float32)
        if not np.isfinite(moved).all():
            raise ConfigError(
                f"After round {round_ + 1} a parameter is not finite: training diverged. Lower "
                "`mechanism.training.learning_rate` in a new run; what was spent stays spent."
            )
        if step.any() and np.array_equal(moved, shared) and np.abs(step).max() > _spacing(shared):
            raise IntegrityError(
                f"The parameters ignored the gradient of round {round_ + 1}: what is trained is "
                "not what is shared. Report it with the method's name."
            )
        return moved

    def export(self) -> bytes:
        """Return the moments, float64 in little-endian bytes."""
        return self._slots.astype("<f8", copy=False).tobytes()

    def _slot_count(self) -> int:
        if self._training.optimizer == "adam":
            return 2
        return 1 if self._training.momentum else 0

    def _direction(self, gradient: NDArray[np.float64], round_: int) -> NDArray[np.float64]:
        """Return the direction that the optimiser goes in, and take `gradient` into its moments."""
        if self._training.optimizer == "adam":
            first, second = self._slots
            first += (1.0 - _ADAM_FIRST) * (gradient - first)
            second += (1.0 - _ADAM_SECOND) * (gradient**2 - second)
            # The others' moments begin after the warm start.
            since = np.where(self._is_head, 0, self._training.head_rounds)
            age = np.maximum(1, round_ + 1 - since)
            unbiased = first / (1.0 - _ADAM_FIRST**age)
            scale = np.sqrt(second / (1.0 - _ADAM_SECOND**age)) + _ADAM_EPSILON
            direction: NDArray[np.float64] = unbiased / scale
            return direction
        if not self._training.momentum:
            return gradient
        velocity: NDArray[np.float64] = self._slots[0]
        velocity *= self._training.momentum
        velocity += gradient
        return velocity

    def _rates(self, round_: int) -> NDArray[np.float64]:
        """Return each parameter's learning rate in `round_`, shape (d,)."""
        training = self._training
        head = training.learning_rate
        if training.head_learning_rate is not None:
            head = training.head_learning_rate
        left = 1.0 if training.schedule == "constant" else 1.0 - round_ / training.rounds
        rates: NDArray[np.float64] = left * np.where(self._is_head, head, training.learning_rate)
        return rates


def _spacing(shared: NDArray[np.float32]) -> float:
    """Return the largest distance of two neighbouring float32 at the values of `shared`."""
    return float(np.spacing(np.abs(shared).max(initial=np.float32(0.0))))
