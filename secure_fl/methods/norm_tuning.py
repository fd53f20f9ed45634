"""Norm tuning: normalisations and the head are averaged (Qi et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from secure_fl.methods.method import SeenUpdates, add_mean, is_head, is_norm
from secure_fl.views import View

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class NormTuning:
    """Mean of the head and of the normalisations that `target_modules` names; nothing else moves.

    Two numbers for each feature of a layer: under differential privacy, whose noise grows with the
    root of the number of shared parameters, that much less noise than a low-rank factor gathers.
    """

    name: str = "norm-tuning"
    needs: View = View.SUM
    reference: str = "Qi et al. 2022, arXiv:2211.08682"
    tuned: str = "the normalisations of the adapted layers, and the classifier"
    reason: str = (
        "The rule is the mean of normalisations and head, each a sum divided by the public number "
        "of survivors."
    )
    tunes_norms: bool = True
    tunes_biases: bool = False

    def trains(self, parameter: str) -> bool:
        """Return whether `parameter` is an adapted layer's normalisation, or the head's."""
        return is_norm(parameter) or is_head(parameter)

    def server_rule(self, shared: NDArray[np.float32], seen: SeenUpdates) -> NDArray[np.float32]:
        """Return `shared` moved by the mean update, shape (d,)."""
        return add_mean(shared, seen)
