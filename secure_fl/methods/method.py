"""What every federated tuning method states about itself.

A method is what is trainable x what is shared in a round x the server's rule on what it sees.
It sends `delta`s: what a site's parameters moved by in one round. The mean is over sites, each 1/n,
since a weight by record count that the coordinator applied would publish the count: a site that
counts more (`mechanism.training.weighting`) sends a longer delta.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from crypto.errors import ConfigError
from domains.heads import HEAD_NAMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from secure_fl.views import View


_HEAD = re.compile(rf"\.({'|'.join(HEAD_NAMES)})\.modules_to_save\.")


@dataclass(frozen=True)
class SeenUpdates:
    """What the coordinator saw of one round.

    Attributes:
        total: the sum over the survivors, shape (d,).
        survivors: how many updates are in the sum.
        each: the single updates, shape (survivors, d), where the protection reveals them.
    """

    total: NDArray[np.float64]
    survivors: int
    each: NDArray[np.float64] | None = None

    def mean(self) -> NDArray[np.float64]:
        """Return the mean update, shape (d,)."""
        return self.total / self.survivors

    def single_updates(self) -> NDArray[np.float64]:
        """Return the single updates, shape (survivors, d).

        Raises:
            ConfigError: only the sum was seen; no rule may pretend otherwise.
        """
        if self.each is None:
            raise ConfigError(
                "This server rule reads single updates and only their sum was revealed: nothing "
                "was computed. Choose a method that needs only the sum."
            )
        return self.each


class Method(Protocol):
    """One federated tuning method."""

    @property
    def name(self) -> str:
        """The name in a configuration."""

    @property
    def needs(self) -> View:
        """The most that the server rule has to read."""

    @property
    def reference(self) -> str:
        """Where the method was published."""

    @property
    def tuned(self) -> str:
        """What is trained, as a phrase for the report; `{rank}` stands for the adapter's rank."""

    @property
    def reason(self) -> str:
        """Why the rule is right under that view, in a sentence for the report."""

    @property
    def tunes_norms(self) -> bool:
        """Whether the normalisations that the adapter names are tuned, and saved with it."""

    @property
    def tunes_biases(self) -> bool:
        """Whether biases of the base model are tuned, and saved with the adapter."""

    def trains(self, parameter: str) -> bool:
        """Return whether the PEFT model's `parameter` is trained and shared by every site."""

    def server_rule(self, shared: NDArray[np.float32], seen: SeenUpdates) -> NDArray[np.float32]:
        """Return the parameters of the next round, shape (d,), from this round's."""


def is_head(parameter: str) -> bool:
    """Return whether `parameter` belongs to the classifier that PEFT trains in full."""
    return _HEAD.search(parameter) is not None


def is_factor(parameter: str, factor: str) -> bool:
    """Return whether `parameter` is the low-rank factor `factor`, "A" or "B"."""
    return f".lora_{factor}." in parameter


def is_adapted_bias(parameter: str) -> bool:
    """Return whether `parameter` is the bias of a linear layer that an adapter is on."""
    return parameter.endswith(".base_layer.bias")


def is_norm(parameter: str) -> bool:
    """Return whether `parameter` is of a normalisation that PEFT trains in full."""
    return ".modules_to_save." in parameter and not is_head(parameter)


def add_mean(shared: NDArray[np.float32], seen: SeenUpdates) -> NDArray[np.float32]:
    """Return `shared` plus the mean update, shape (d,)."""
    moved: NDArray[np.float32] = (shared.astype(np.float64) + seen.mean()).astype(np.float32)
    return moved
