"""The names model: a window network over tokens, in numpy.

Per token: the sum of learned rows for its word, affixes, shape and lists, rectified (one hidden
vector). Then layers over windows of tokens, each added to what it read:
h + relu(W [h(i-2d) ... h(i+2d)] + b), with the distances d between neighbours of each layer.
A softmax over the kinds closes it (the window approach of Collobert et al., JMLR 12, 2011).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from privacy.scrubbing.names.features import AFFIXES, list_flags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

KINDS: Final = (
    "", "PERSON", "LOCATION", "STREET_ADDRESS", "POSTAL_CODE", "ORGANIZATION", "UNIQUE_ID",
)  # fmt: skip
"""What a token can be part of; the first is none of them."""

WINDOW: Final = 5
DISTANCES: Final = (1, 2, 1)
"""Between the neighbours that each layer reads."""
REACH: Final = sum(distance * (WINDOW // 2) for distance in DISTANCES)
"""How many tokens to either side can move a token's scores."""


@dataclass(frozen=True, slots=True)
class Network:
    """The weights, float32.

    `word (words, h)`, `affix (AFFIXES, AFFIX_BUCKETS, h)`, `shape (SHAPES, h)`, `lists (LISTS, h)`,
    `place (PLACE_FLAGS, h)`, `bias (h,)`; per layer `window (WINDOW * h, h)` and its bias `(h,)`;
    `kind (h, kinds)` and its bias.
    """

    word: NDArray[np.float32]
    affix: NDArray[np.float32]
    shape: NDArray[np.float32]
    lists: NDArray[np.float32]
    place: NDArray[np.float32]
    bias: NDArray[np.float32]
    windows: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    kind: NDArray[np.float32]
    kind_bias: NDArray[np.float32]

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[np.float16]]) -> Network:
        """Return the network in the tensors of a weights file, where tables are two factors.

        Raises:
            KeyError: a tensor is missing.
        """

        def at(name: str) -> NDArray[np.float32]:
            return tensors[name].astype(np.float32)

        return cls(
            word=at("word") @ at("word.out"),
            affix=at("affix") @ at("affix.out"),
            shape=at("shape"),
            lists=at("lists"),
            place=at("place"),
            bias=at("bias"),
            windows=tuple(
                (at(f"window.{layer}"), at(f"window.{layer}.bias"))
                for layer in range(len(DISTANCES))
            ),
            kind=at("kind"),
            kind_bias=at("kind.bias"),
        )

    def token_vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what each row of `features.token_row` adds up to: `(n, columns)` to `(n, h)`."""
        total = self.word[rows[:, 0]] + self.shape[rows[:, 1 + AFFIXES]] + self.bias
        for number in range(AFFIXES):
            total += self.affix[number, rows[:, 1 + number]]
        return np.asarray(total + list_flags(rows[:, 2 + AFFIXES]) @ self.lists)

    def probabilities(
        self, vectors: NDArray[np.float32], flags: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return how likely each token is of each kind: `(n, len(KINDS))`, rows adding up to 1.

        Args:
            vectors: `token_vectors` of consecutive tokens, `(n, h)`.
            flags: `features.place_rows` of them.
        """
        hidden = np.maximum(vectors + flags @ self.place, 0)
        for (weights, bias), distance in zip(self.windows, DISTANCES, strict=True):
            edge = distance * (WINDOW // 2)
            padded = np.pad(hidden, ((edge, edge), (0, 0)))
            neighbours = [
                padded[step * distance : step * distance + len(hidden)] for step in range(WINDOW)
            ]
            hidden = hidden + np.maximum(np.concatenate(neighbours, axis=1) @ weights + bias, 0)
        scores = hidden @ self.kind + self.kind_bias
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))
