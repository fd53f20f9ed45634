"""Linear head: the adapter stays at the identity and only the classifier is averaged.

The floor that an adapter has to beat: features of the frozen base model and a linear layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from secure_fl.methods.method import SeenUpdates, add_mean, is_head
from secure_fl.views import View

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LinearHead:
    """Mean of the classifier; B stays zero, so the adapter changes nothing."""

    name: str = "linear-head"
    needs: View = View.SUM
    reference: str = "linear probing of frozen features"
    tuned: str = "the classifier alone, on frozen features"
    reason: str = "The rule is the mean of one linear layer on frozen features."
    tunes_norms: bool = False
    tunes_biases: bool = False

    def trains(self, parameter: str) -> bool:
        """Return whether `parameter` is the head's."""
        return is_head(parameter)

    def server_rule(self, shared: NDArray[np.float32], seen: SeenUpdates) -> NDArray[np.float32]:
        """Return `shared` moved by the mean update, shape (d,)."""
        return add_mean(shared, seen)
