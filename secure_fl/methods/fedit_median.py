"""FedIT with a coordinate-wise median in place of the mean (Yin et al. 2018).

The median resists a minority of arbitrary updates, and for that it must read every update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from secure_fl.methods.fedit import FedIT
from secure_fl.views import View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from secure_fl.methods.method import SeenUpdates


@dataclass(frozen=True)
class FedITMedian:
    """Coordinate-wise median of A, B and the head over the survivors."""

    name: str = "fedit-median"
    needs: View = View.EACH
    reference: str = "Zhang et al. 2023 with the rule of Yin et al. 2018, arXiv:1803.01498"
    tuned: str = "both factors of LoRA of rank {rank}, and the classifier"
    reason: str = (
        "A median cannot be computed from a sum: the coordinator reads every site's update in "
        "clear, and only differential privacy stands between it and the records."
    )
    tunes_norms: bool = False
    tunes_biases: bool = False

    def trains(self, parameter: str) -> bool:
        """Return whether `parameter` is A, B or the head."""
        return FedIT().trains(parameter)

    def server_rule(self, shared: NDArray[np.float32], seen: SeenUpdates) -> NDArray[np.float32]:
        """Return `shared` moved by the median update, shape (d,)."""
        median = np.median(seen.single_updates(), axis=0)
        moved: NDArray[np.float32] = (shared.astype(np.float64) + median).astype(np.float32)
        return moved
