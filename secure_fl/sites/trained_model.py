"""What a trainer asks of the model whose parameters it moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from privacy.update import UpdateSpec


class TrainedModel(Protocol):
    """A model, and the vector of its parameters that is shared."""

    @property
    def model(self) -> nn.Module:
        """The module that losses are computed with."""

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The shared parameters by name, in the order of the vector."""

    @property
    def spec(self) -> UpdateSpec:
        """Names, shapes and order of what is shared."""

    @property
    def head_only(self) -> bool:
        """Whether nothing but the classifier is trained at the moment."""

    @property
    def frozen_layers(self) -> int:
        """How many of the model's layers, from the first on, nothing is trained in or before."""

    def train_head_only(self, *, only: bool) -> None:
        """Freeze all but the classifier, or train every shared parameter again."""

    def load(self, shared: NDArray[np.float32]) -> None:
        """Set the shared parameters from the flat vector `shared`, shape (d,)."""

    def flat(self) -> NDArray[np.float32]:
        """Return the shared parameters as one vector, shape (d,)."""

    def flat_but_head(self) -> NDArray[np.float32]:
        """Return the shared parameters that are not the classifier's, shape (d - h,)."""
