"""FFA-LoRA: A is frozen at a common seed; B and the head are averaged (Sun et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from secure_fl.methods.method import SeenUpdates, add_mean, is_factor, is_head
from secure_fl.views import View

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class FFALoRA:
    """Mean of B and of the head under one A that every site draws from the run's seed.

    With a common A, mean(B_i) A = mean(B_i A): the average is exact. Under differential
    privacy the noise is linear in the product too, instead of quadratic.
    """

    name: str = "ffa-lora"
    needs: View = View.SUM
    reference: str = "Sun et al. 2024, arXiv:2403.12313"
    tuned: str = "the factor B of LoRA of rank {rank} under a common A, and the classifier"
    reason: str = (
        "A is the same at every site, so the mean of B times A is the mean of the products: "
        "the average under a sum is exact."
    )
    tunes_norms: bool = False
    tunes_biases: bool = False

    def trains(self, parameter: str) -> bool:
        """Return whether `parameter` is B or the head."""
        return is_factor(parameter, "B") or is_head(parameter)

    def server_rule(self, shared: NDArray[np.float32], seen: SeenUpdates) -> NDArray[np.float32]:
        """Return `shared` moved by the mean update, shape (d,)."""
        return add_mean(shared, seen)
