"""BitFit: biases, normalisations and the head are averaged (Ben Zaken et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from secure_fl.methods.method import SeenUpdates, add_mean, is_adapted_bias, is_head, is_norm
from secure_fl.views import View

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class BitFit:
    """Mean of the head, and of the biases and normalisations that `target_modules` names.

    The smallest shared part that moves what the model reads out of a sentence: under differential
    privacy the noise grows with the root of the number of shared parameters, and a bias is one
    number where a low-rank factor is `rank` of them.
    """

    name: str = "bitfit"
    needs: View = View.SUM
    reference: str = "Ben Zaken et al. 2022, arXiv:2106.10199"
    tuned: str = "the biases and normalisations of the adapted layers, and the classifier"
    reason: str = (
        "The rule is the mean of biases, normalisations and head, each a sum divided by the public "
        "number of survivors."
    )
    tunes_norms: bool = True
    tunes_biases: bool = True

    def trains(self, parameter: str) -> bool:
        """Return whether `parameter` is an adapted layer's bias or normalisation, or the head's."""
        return is_adapted_bias(parameter) or is_norm(parameter) or is_head(parameter)

    def server_rule(self, shared: NDArray[np.float32], seen: SeenUpdates) -> NDArray[np.float32]:
        """Return `shared` moved by the mean update, shape (d,)."""
        return add_mean(shared, seen)
