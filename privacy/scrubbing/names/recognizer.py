"""Names, places and addresses that have no form of their own, found by the small names model.

The model is trained on text that the project generates (`make ner`), so it knows no real record.
Its files are read once per process, and only if their digests are the pinned ones.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Final

import numpy as np
from threadpoolctl import ThreadpoolController

from privacy.scrubbing.names.artefact import load_artefact, pinned_digest
from privacy.scrubbing.names.features import place_rows, token_row
from privacy.scrubbing.names.gazetteer import ORDINARY, Listed
from privacy.scrubbing.names.network import KINDS, REACH
from privacy.scrubbing.names.tokens import plain, tokenise
from privacy.scrubbing.recognizers import ProviderKind, Recognizer
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from privacy.scrubbing.names.artefact import Artefact

_FLOOR: Final = 0.25
"""A token less likely than this to be part of anything ends a finding."""
_NUMBER: Final = "UNIQUE_ID"
_SURE: Final = {_NUMBER: 0.65}
"""Of a number the model knows no type, so that a rule that does comes first."""
_AREAS: Final = int(Listed.COUNTRY | Listed.REGION)
_LISTED: Final = 0.6
_AFTER_LATIN: Final = 0x250
_LATIN_EXTENDED, _AFTER_LATIN_EXTENDED = 0x1E00, 0x1F00
"""Latin letters in Unicode: the first four blocks, and Latin Extended Additional."""
_CHUNK: Final = 4096
"""Tokens in one pass: bounds the memory that a long text takes."""
_CACHED_TOKENS: Final = 50_000


class NamesModel:
    """Finds the spans of `KINDS` in a text; a token's own part is computed once and kept.

    Formal guarantees: the same text gives the same spans; time and memory are linear in the text,
    and cutting it into chunks changes nothing, as neighbouring chunks overlap by the reach of the
    windows.
    """

    def __init__(self, artefact: Artefact) -> None:
        self._network = artefact.network
        self._vocabulary = artefact.vocabulary
        self._gazetteer = artefact.gazetteer
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self._threads = ThreadpoolController()
        # One at a time: two that set and restore the number of threads would leave it changed.
        self._alone = threading.Lock()

    def find(self, text: str) -> Iterator[Span]:
        """Yield disjoint ascending spans, each scored by its likeliest token."""
        tokens, places = tokenise(text)
        if tokens:
            probabilities = self.probabilities(tokens)
            untaught = self._untaught(tokens)
            probabilities[untaught] = 0
            probabilities[untaught, 0] = 1
            yield from _spans(text, tokens, places, probabilities)

    def _untaught(self, tokens: Sequence[str]) -> list[int]:
        """Return the places of words in other scripts than Latin that are hardly names.

        The model learned such a word as a name within English. In a text that is written in that
        script every word would be one, so there the lists alone decide; and no letter is a name.
        """
        foreign = [
            n for n, token in enumerate(tokens) if token[0].isalpha() and not _is_latin(token)
        ]
        latin = sum(token[0].isalpha() for token in tokens) - len(foreign)
        by_list = len(foreign) > latin
        return [
            n
            for n in foreign
            if len(tokens[n]) == 1 or (by_list and not self._gazetteer.of(plain(tokens[n])))
        ]

    def probabilities(self, tokens: Sequence[str]) -> NDArray[np.float32]:
        """Return how likely each token of one text is of each kind: `(n, len(KINDS))`."""
        flags = place_rows(tokens, self._gazetteer)
        parts = []
        # Its products are small: on a busy machine, threads that wait for each other take twenty
        # times as long as one.
        with self._alone, self._threads.limit(limits=1, user_api="blas"):
            for start in range(0, len(tokens), _CHUNK):
                first, last = max(0, start - REACH), min(len(tokens), start + _CHUNK + REACH)
                vectors = self._token_vectors(tokens[first:last])
                found = self._network.probabilities(vectors, flags[first:last])
                parts.append(found[start - first : start - first + _CHUNK])
        return np.concatenate(parts)

    def _token_vectors(self, tokens: Sequence[str]) -> NDArray[np.float32]:
        new = sorted({token for token in tokens if token not in self._vectors})
        if new:
            if len(self._vectors) + len(new) > _CACHED_TOKENS:
                self._vectors.clear()
                new = sorted(set(tokens))
            rows = [token_row(token, self._vocabulary, self._gazetteer) for token in new]
            self._vectors.update(zip(new, self._network.token_vectors(np.array(rows)), strict=True))
        return np.array([self._vectors[token] for token in tokens])


def _is_latin(token: str) -> bool:
    first = ord(token[0])
    return first < _AFTER_LATIN or _LATIN_EXTENDED <= first < _AFTER_LATIN_EXTENDED


def _spans(
    text: str,
    tokens: Sequence[str],
    places: Sequence[tuple[int, int]],
    probabilities: NDArray[np.float32],
) -> Iterator[Span]:
    """Yield runs of tokens that are likely part of one kind, trimmed of marks at their ends."""
    likely = 1 - probabilities[:, 0]
    kinds = 1 + probabilities[:, 1:].argmax(axis=1)
    inside = np.flatnonzero(likely >= _FLOOR)
    for run in _runs(inside, kinds, tokens):
        entity = KINDS[kinds[run[0]]]
        first, last = _trimmed(text, tokens, places, run, entity)
        if first > last or (entity == _NUMBER and not _has_digit(tokens[first : last + 1])):
            continue
        score = float(likely[first : last + 1].max()) * _SURE.get(entity, 1.0)
        yield Span(places[first][0], places[last][1], entity, round(score, 4))


def _trimmed(
    text: str,
    tokens: Sequence[str],
    places: Sequence[tuple[int, int]],
    run: Sequence[int],
    entity: str,
) -> tuple[int, int]:
    """Return the first and last token of a run without what stands around a name or number."""

    def belongs(place: int) -> bool:
        token = tokens[place]
        return token[0].isalnum() and (entity != _NUMBER or token.isascii())

    first, last = run[0], run[-1]
    while first <= last and not belongs(first):
        first += 1
    while first <= last and not (belongs(last) or _is_full_stop(text, places, last)):
        last -= 1
    return first, last


def _has_digit(tokens: Sequence[str]) -> bool:
    return any(token[0].isdigit() for token in tokens)


def _is_full_stop(text: str, places: Sequence[tuple[int, int]], last: int) -> bool:
    """Say whether a token is the dot of an initial or abbreviation: part of what it closes."""
    start, end = places[last]
    return text[start:end] == "." and last > 0 and places[last - 1][1] - places[last - 1][0] == 1


def _runs(
    inside: NDArray[np.int64], kinds: NDArray[np.int64], tokens: Sequence[str]
) -> Iterator[list[int]]:
    """Yield maximal lists of consecutive tokens of one kind; only an address goes over lines."""
    run: list[int] = []
    for place in inside.tolist():
        joins = run and place == run[-1] + 1 and kinds[place] == kinds[run[0]]
        ends_line = tokens[place] == "\n" and KINDS[kinds[place]] != "STREET_ADDRESS"
        if run and (not joins or ends_line):
            yield run
            run = []
        if not ends_line:
            run.append(place)
    if run:
        yield run


@functools.cache
def _model() -> NamesModel:
    return NamesModel(load_artefact())


def find_names(text: str) -> Iterator[Span]:
    """Yield the names, places and addresses of one folded text.

    Raises:
        IntegrityError: the model's files are not the pinned ones.
    """
    return _model().find(text)


def find_listed_places(text: str) -> Iterator[Span]:
    """Yield countries and provinces by the list alone, where they are written with a capital.

    The model goes by context too, and lets one pass in a sentence that it was not taught.

    Raises:
        IntegrityError: the list is not the pinned one.
    """
    gazetteer = load_artefact().gazetteer
    tokens, places = tokenise(text)
    words = [plain(token) for token in tokens]
    phrases = gazetteer.phrases(words)
    run: list[tuple[int, int]] = []
    for token, word, place, phrase in zip(tokens, words, places, phrases, strict=True):
        capital = token[0].isupper()
        if run and not (capital and phrase & _AREAS):
            yield Span(run[0][0], run[-1][1], "LOCATION", _LISTED)
            run = []
        if capital and phrase & _AREAS:
            run.append(place)
        elif capital and gazetteer.of(word) & _AREAS and not gazetteer.of(word) & int(ORDINARY):
            yield Span(*place, "LOCATION", _LISTED)
    if run:
        yield Span(run[0][0], run[-1][1], "LOCATION", _LISTED)


NAME_RECOGNIZERS = (
    Recognizer(
        "listed countries and provinces",
        ("LOCATION",),
        find_listed_places,
        best_score=_LISTED,
        kind=ProviderKind.NAMES_MODEL,
        digest=pinned_digest(),
    ),
    Recognizer(
        "names model",
        KINDS[1:],
        find_names,
        kind=ProviderKind.NAMES_MODEL,
        digest=pinned_digest(),
    ),
)
