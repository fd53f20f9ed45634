"""FedIT: both low-rank factors and the head are averaged (Zhang et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from secure_fl.methods.method import SeenUpdates, add_mean, is_factor, is_head
from secure_fl.views import View

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class FedIT:
    """Mean of A, mean of B, mean of the head.

    The mean of the products B_i A_i is not the product of the means; FedIT accepts that
    cross-term, which vanishes as sites agree. FFA-LoRA is the method without it.
    """

    name: str = "fedit"
    needs: View = View.SUM
    reference: str = "Zhang et al. 2023, arXiv:2305.05644"
    tuned: str = "both factors of LoRA of rank {rank}, and the classifier"
    reason: str = (
        "The rule is the mean of A, of B and of the head, each a sum divided by the public "
        "number of survivors; the product of the means differs from the mean of the products "
        "by a cross-term that FedIT accepts."
    )
    tunes_norms: bool = False
    tunes_biases: bool = False

    def trains(self, parameter: str) -> bool:
        """Return whether `parameter` is A, B or the head."""
        return is_factor(parameter, "A") or is_factor(parameter, "B") or is_head(parameter)

    def server_rule(self, shared: NDArray[np.float32], seen: SeenUpdates) -> NDArray[np.float32]:
        """Return `shared` moved by the mean update, shape (d,)."""
        return add_mean(shared, seen)
