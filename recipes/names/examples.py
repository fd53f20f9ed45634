"""From labelled texts to the numbers that the network is trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from privacy.scrubbing.names.features import TOKEN_COLUMNS, UNKNOWN_WORD, place_rows, token_row
from privacy.scrubbing.names.tokens import tokenise
from recipes.names.filler import Piece

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from privacy.scrubbing.names.gazetteer import Gazetteer

_UNLISTED: Final = 0.35
"""How often a name is taken off its lists, as most names are on none."""
_UNKNOWN: Final = 0.7
"""How often a word within a name is read as one without weights of its own."""
_UNKNOWN_ELSEWHERE: Final = 0.1
_SCRUBBED_TEXTS, _SCRUBBED_PIECES = 0.3, 0.75
"""How often a text is one that was scrubbed before, and how much of it: the scrubber looks again
at what it wrote, until nothing more is found."""


def _scrubbed(piece: Piece, rng: random.Random) -> Piece:
    if piece.placeholder and rng.random() < _SCRUBBED_PIECES:
        return Piece(piece.placeholder)
    return piece


@dataclass(frozen=True)
class Example:
    """One text: `rows (n, TOKEN_COLUMNS)`, `flags (n, PLACE_FLAGS)`, `kinds (n,)`."""

    rows: NDArray[np.int64]
    flags: NDArray[np.float32]
    kinds: NDArray[np.int64]


class ExampleMaker:
    """Encodes texts; names lose their lists now and then, so that context has to be learned."""

    def __init__(self, vocabulary: Mapping[str, int], gazetteer: Gazetteer) -> None:
        self._vocabulary = vocabulary
        self._gazetteer = gazetteer
        self._rows: dict[str, tuple[int, ...]] = {}

    def examples(
        self, texts: Iterable[Sequence[Piece]], rng: random.Random | None
    ) -> Iterator[Example]:
        """Yield one example per text; without `rng` as the product would see it."""
        for text in texts:
            example = self._example(text, rng)
            if example is not None:
                yield example

    def _example(self, text: Sequence[Piece], rng: random.Random | None) -> Example | None:
        if rng is not None and rng.random() < _SCRUBBED_TEXTS:
            text = [_scrubbed(piece, rng) for piece in text]
        whole = "".join(piece.text for piece in text)
        tokens, places = tokenise(whole)
        if not tokens:
            return None
        ends = np.cumsum([len(piece.text) for piece in text])
        owners = np.searchsorted(ends, [start for start, _ in places], side="right")
        rows = np.array([self._row(token) for token in tokens], np.int64)
        flags = place_rows(tokens, self._gazetteer)
        kinds = np.array([text[owner].kind for owner in owners], np.int64)
        if rng is not None:
            for number in np.unique(owners):
                inside = np.flatnonzero(owners == number)
                self._forget(rows, flags, inside, rng, named=text[number].kind > 0)
        return Example(rows, flags, kinds)

    def _row(self, token: str) -> tuple[int, ...]:
        row = self._rows.get(token)
        if row is None:
            row = self._rows[token] = token_row(token, self._vocabulary, self._gazetteer)
        return row

    def _forget(
        self,
        rows: NDArray[np.int64],
        flags: NDArray[np.float32],
        inside: NDArray[np.int64],
        rng: random.Random,
        *,
        named: bool,
    ) -> None:
        if named and rng.random() < _UNLISTED:
            rows[inside, TOKEN_COLUMNS - 1] = 0
            flags[inside, 0] = 0
        share = _UNKNOWN if named else _UNKNOWN_ELSEWHERE
        lost = [place for place in inside.tolist() if rng.random() < share]
        rows[lost, 0] = UNKNOWN_WORD
