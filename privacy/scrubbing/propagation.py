"""A name or number that was found once is replaced wherever else it stands in its document.

A note names its patient in full at the top, where everything says that it is a name, and by the
surname alone further down, where little does.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from privacy.scrubbing.names.artefact import load_artefact
from privacy.scrubbing.names.gazetteer import ORDINARY
from privacy.scrubbing.names.tokens import plain, tokenise
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LONGEST: Final = 12
"""Tokens in the longest finding that is looked for again as a whole."""
_SHORTEST_NAME: Final = 3
"""Letters in the shortest name that is looked for without the names beside it."""
_SHORTEST_WHOLE: Final = 4
"""Letters and digits in the shortest finding that is looked for again as a whole."""

_NOT_REPEATED: Final = frozenset({"DATE_TIME", "AGE_OVER_89", "NRP"})
"""What is no name of its own: the same words elsewhere can mean something else."""

_AFTER_EPONYM: Final = frozenset(
    "disease syndrome sign signs test tests score scores scale catheter criteria palsy "  # noqa: SIM905 - quoted words read worse
    "lymphoma procedure operation fracture tumor tumour tremor chorea dementia clamp forceps "
    "drain tube valve position manoeuvre maneuver reflex rule index stain smear virus sarcoma "
    "anemia anaemia thyroiditis encephalopathy esophagus oesophagus nodes node cyst "
    "phenomenon contracture line ratio model distribution curve street road avenue hospital "
    "bank".split()
)


def propagated(text: str, found: Sequence[Span]) -> list[Span]:
    """Return `found` and every other place in `text` where the same name or number stands.

    | found | also found elsewhere |
    |---|---|
    | any finding of 4 letters and digits or more | the same words or digits, in any case |
    | PERSON of several names | each name alone, in the same case or in capitals |
    | a name that is an English word (Will, Grace) | only with the other names beside it |
    | a surname before "disease", "sign", "syndrome" | nothing: it is the discoverer's |

    Dates, ages and nationalities are not looked for again. Time is linear in the text and the
    findings together.
    """
    repeated = [span for span in found if span.entity not in _NOT_REPEATED]
    if not repeated:
        return list(found)
    tokens, places = tokenise(text)
    known = _Known(text, repeated)
    return [*found, *known.find(tokens, places)]


class _Known:
    """What is looked for again: whole findings by their first token, and names by themselves."""

    def __init__(self, text: str, found: Sequence[Span]) -> None:
        self._wholes: dict[str, dict[tuple[str, ...], Span]] = defaultdict(dict)
        self._lengths: dict[str, set[int]] = defaultdict(set)
        self._names: dict[str, Span] = {}
        for span in found:
            tokens, _ = tokenise(text[span.start : span.end])
            self._add_whole(tokens, span)
            if span.entity == "PERSON":
                self._add_names(tokens, span)

    def _add_whole(self, tokens: Sequence[str], span: Span) -> None:
        words = tuple(plain(token) for token in tokens)
        size = sum(len(word) for word in words if word[0].isalnum())
        if not words or len(words) > _LONGEST or size < _SHORTEST_WHOLE:
            return
        if len(words) == 1 and (_is_ordinary(words[0]) or span.entity == "PERSON"):
            return
        self._wholes[words[0]].setdefault(words, span)
        self._lengths[words[0]].add(len(words))

    def _add_names(self, tokens: Sequence[str], span: Span) -> None:
        for token in tokens:
            if len(token) < _SHORTEST_NAME or not token[0].isalpha() or _is_ordinary(plain(token)):
                continue
            for form in {token, token.upper(), token.capitalize() if token.isupper() else token}:
                self._names.setdefault(form, span)

    def find(self, tokens: Sequence[str], places: Sequence[tuple[int, int]]) -> Iterator[Span]:
        """Yield the places of whatever is known, the found ones among them."""
        words = [plain(token) for token in tokens]
        lengths, names = self._lengths, self._names
        for first, (token, word) in enumerate(zip(tokens, words, strict=True)):
            if word in lengths:
                yield from self._wholes_at(first, words, places)
            if token in names and _AFTER_EPONYM.isdisjoint(
                _next_word(words[first + 1 : first + 4])
            ):
                yield Span(*places[first], names[token].entity, names[token].score)

    def _wholes_at(
        self, first: int, words: Sequence[str], places: Sequence[tuple[int, int]]
    ) -> Iterator[Span]:
        for length in self._lengths[words[first]]:
            whole = tuple(words[first : first + length])
            source = self._wholes[words[first]].get(whole)
            if source is not None:
                end = places[first + len(whole) - 1][1]
                yield Span(places[first][0], end, source.entity, source.score)


def _next_word(words: list[str]) -> list[str]:
    """Return the word that follows a name, past a possessive `'s`, as a list of at most one."""
    if words[:2] in (["'", "s"], ["\u2019", "s"]):
        words = words[2:]
    return words[:1]


def _is_ordinary(word: str) -> bool:
    return bool(load_artefact().gazetteer.of(word) & int(ORDINARY))
