"""Labelled texts from the templates: what the names model is trained on."""

from __future__ import annotations

import zlib
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING, Final

from domains.notes import LabelledNote, NoteKind, Part, labelled_notes
from privacy.scrubbing.names.network import KINDS
from recipes.names.filler import (
    IDENTIFIER,
    LOCATION,
    ORGANIZATION,
    PERSON,
    POSTAL,
    STREET,
    Filler,
    Piece,
)
from recipes.names.grammar import choose, pieces
from recipes.names.words import WORDS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from recipes.names.lists import Lists


def templates() -> tuple[str, ...]:
    """Return the templates of `templates.txt`."""
    lines = resources.files("recipes.names").joinpath("templates.txt").read_text("utf-8")
    found = (line.replace("\\n", "\n") for line in lines.splitlines())
    return tuple(line for line in found if line.strip() and not line.startswith("# "))


class TextMaker:
    """Writes labelled texts; the same for the same lists and seed.

    Args:
        lists: names, places and words.
        seed: of the drawing.
        prose: sentences with nobody in them, taken as they are for a share of the texts.
    """

    def __init__(self, lists: Lists, seed: int, prose: Sequence[str] = ()) -> None:
        self._prose = prose
        self._filler = Filler(lists, seed)
        self._rng = self._filler.rng
        self._templates = templates()
        self._slots = self._slot_table()

    def texts(self, count: int) -> Iterator[list[Piece]]:
        """Yield `count` texts, each as its pieces in order."""
        for _ in range(count):
            if self._prose and self._rng.random() < _PROSE:
                yield [Piece(self._rng.choice(self._prose), drawn=True)]
                continue
            number = self._rng.choice((1, 1, 1, 2, 3))
            text: list[Piece] = []
            for place in range(number):
                if place:
                    text.append(Piece(self._rng.choice((" ", " ", "\n", "\n\n"))))
                text += self.one(self._rng.choice(self._templates))
            yield _as_people_type(text, self._rng)

    def one(self, template: str) -> list[Piece]:
        """Return one drawing of `template`."""
        text: list[Piece] = []
        for part, number in pieces(choose(template, self._rng)):
            if number is None:
                text.append(Piece(part))
            else:
                text += self._fill(part)
        return text

    def _fill(self, slot: str) -> list[Piece]:
        """Return what stands in `slot`.

        Raises:
            KeyError: a template names a slot that there is not.
        """
        filler = self._filler
        if slot in {"address", "address_lower", "address_or_street"}:
            found = filler.address()
            if slot == "address_lower":
                return [replace(p, text=p.text.lower()) for p in found]
            return found
        if slot == "titled":
            title = self._rng.choice(WORDS.titles)
            return [Piece(f"{title} "), Piece(self._some_name(), PERSON)]
        kind, make = self._slots[slot]
        return [Piece(make(), kind, slot in _DRAWN_SLOTS, _ENTITIES.get(slot, ""))]

    def _some_name(self) -> str:
        return self._filler.last() if self._rng.random() < 0.6 else self._filler.person()

    def _slot_table(self) -> Mapping[str, tuple[int, Callable[[], str]]]:
        f, rng = self._filler, self._rng

        def one_of(choices: tuple[str, ...]) -> Callable[[], str]:
            return lambda: rng.choice(choices)

        return {
            "person": (PERSON, f.person),
            "any_person": (PERSON, f.any_person),
            "first": (PERSON, f.first),
            "last": (PERSON, f.last),
            "person_lower": (PERSON, lambda: f.person().lower()),
            "person_upper": (PERSON, lambda: f.person().upper()),
            "person_any_case": (PERSON, lambda: rng.choice((str, str.lower))(f.person())),
            "city": (LOCATION, f.city),
            "country": (LOCATION, f.country),
            "place": (LOCATION, f.place),
            "place_lower": (LOCATION, lambda: f.place().lower()),
            "region_code": (LOCATION, f.region_code),
            "street": (STREET, f.street),
            "street_name": (STREET, f.street_name),
            "unit": (STREET, f.unit),
            "postal": (POSTAL, f.postal),
            "org": (ORGANIZATION, f.org),
            "org_or_place": (ORGANIZATION, f.org),
            "place_or_street": (LOCATION, f.place),
            "place_or_none": (0, lambda: ""),
            "letter": (0, lambda: rng.choice("ABCDE")),
            "initial": (PERSON, lambda: rng.choice("ABCDEFGHJKLMNPRSTVW") + "."),
            "title": (0, one_of(WORDS.titles)),
            "role": (0, one_of(WORDS.roles)),
            "poss": (0, one_of(("his", "her", "their"))),
            "pron": (0, one_of(("he", "she", "they"))),
            "age": (0, lambda: str(rng.randint(1, 89))),
            "num": (0, lambda: str(rng.randint(1, rng.choice((9, 99, 9999))))),
            "card": (0, lambda: f.number(16)),
            "year": (0, lambda: str(rng.randint(1900, 2030))),
            "time": (0, lambda: f"{rng.randint(0, 23)}:{rng.randint(0, 59):02d}"),
            "month": (0, one_of(WORDS.months)),
            "date": (0, self._date),
            "datetime": (0, lambda: f"{self._date()} {rng.randint(0, 23)}:{rng.randint(10, 59)}"),
            "money": (0, self._money),
            "phone": (0, self._phone),
            "email": (0, lambda: f"{f.first().lower()}@{f.word()}.{rng.choice(_ENDINGS)}"),
            "url": (0, lambda: f"https://www.{f.word()}{f.word()}.{rng.choice(_ENDINGS)}/"),
            "word": (0, f.word),
            "Word": (0, lambda: f.word().capitalize()),
            "words": (0, f.words),
            "Words": (0, lambda: _capitalised(f.words())),
            "Title_words": (0, lambda: f.words(1, 5).title()),
            "UPPER_words": (0, lambda: f.words(1, 5).upper()),
            "corner": (STREET, self._corner),
            "Company": (ORGANIZATION, f.org),
            "amount": (0, self._amount),
            "pct": (0, self._share),
            "quarter": (0, lambda: f"Q{rng.randint(1, 4)} {rng.randint(2000, 2030)}"),
            "Acro": (0, lambda: f.capitals(rng.randint(2, 5))),
            "code": (0, f.code),
            "ident": (IDENTIFIER, f.identifier),
            "term": (0, f.term),
            "Term": (0, lambda: f.term().capitalize()),
            "stat": (0, self._statistic),
            "Eponym": (0, one_of(WORDS.eponyms)),
            "Drug": (0, one_of(WORDS.drugs)),
            "Brand": (0, one_of(WORDS.brands)),
            "Model": (0, one_of(WORDS.models)),
        }  # fmt: skip

    def _corner(self) -> str:
        f, rng = self._filler, self._rng
        return f"the corner of {f.street_part()} and {rng.choice((f.street_name, f.street_part))()}"

    def _money(self) -> str:
        rng = self._rng
        return f"{rng.choice(_SIGNS)}{rng.randint(1, 9999):,}.{self._filler.number(2)}"

    def _share(self) -> str:
        tenths = self._rng.choice(("", f".{self._filler.number(1)}"))
        return f"{self._rng.randint(0, 120)}{tenths}{self._rng.choice(_PERCENT)}"

    def _amount(self) -> str:
        rng = self._rng
        value = f"{rng.randint(0, 999)}{rng.choice(('', '.', ','))}{self._filler.number(1)}"
        sign = rng.choice(("EUR", "EUR ", "USD ", "$", "SEK ", "EURO ", "GBP", "Rs ", "", "\u20ac"))
        return sign + value + rng.choice(_SCALES)

    def _statistic(self) -> str:
        rng, n = self._rng, self._filler.number
        return rng.choice((
            f"p < 0.{n(2)}", f"P=0.{n(3)}", f"p=.{n(2)}",
            f"OR {n(1)}.{n(2)}, 95% CI {n(1)}.{n(1)}-{n(1)}.{n(1)}",
            f"r = 0.{n(2)}", f"n={n(2)}", f"HR = {n(1)}.{n(2)}", f"{n(2)}.{n(1)} +/- {n(1)}.{n(1)}",
            f"{n(2)} vs {n(2)} mg/dL", f"chi2 = {n(1)}.{n(2)}",
        ))  # fmt: skip

    def _date(self) -> str:
        rng = self._rng
        day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1920, 2030)
        return rng.choice((
            f"{year}-{month:02d}-{day:02d}", f"{month}/{day}/{year}", f"{day}.{month}.{year}",
            f"{day} {WORDS.months[month - 1]} {year}", f"{WORDS.months[month - 1]} {day}, {year}",
        ))  # fmt: skip

    def _phone(self) -> str:
        n = self._filler.number
        return self._rng.choice((
            f"{n(3)}-{n(3)}-{n(4)}", f"+{n(2)} {n(2)} {n(3)} {n(4)}", f"({n(3)}) {n(3)}-{n(4)}",
            f"0{n(3)} {n(2)} {n(2)} {n(2)}", n(10),
        ))  # fmt: skip


def note_texts(count: int, seed: int, *, leave_out: bool = False) -> Iterator[list[Piece]]:
    """Yield `count` clinical and as many banking notes of the training part, as pieces.

    With `leave_out` without those of `is_left_out`, so that a setting can be judged on them.
    """
    for kind in NoteKind:
        for note in labelled_notes(kind, Part.TRAIN, count, seed):
            if not (leave_out and is_left_out(note.template)):
                yield list(_note_pieces(note))


def is_left_out(template: str) -> bool:
    """Say whether a template of the training part is one of the sixth that is for validation."""
    return zlib.crc32(template.encode()) % 6 == 0


def _note_pieces(note: LabelledNote) -> Iterator[Piece]:
    done = 0
    for span in note.spans:
        yield Piece(note.text[done : span.start])
        words = note.text[span.start : span.end]
        yield Piece(words, _kind_of(span.entity), drawn=True, entity=span.entity)
        done = span.end
    yield Piece(note.text[done:])


def _kind_of(entity: str) -> int:
    """Return the kind of a note's label: numbers that offices give out are one kind."""
    if entity in _NO_KIND:
        return 0
    return KINDS.index(entity) if entity in KINDS else IDENTIFIER


_NO_KIND: Final = frozenset(
    {"AGE_OVER_89", "DATE_TIME", "EMAIL_ADDRESS", "IP_ADDRESS", "NRP", "PHONE_NUMBER", "URL"}
)
"""What the rules find by its form."""


def _capitalised(words: str) -> str:
    return words[:1].upper() + words[1:]


_PROSE: Final = 0.2
_LOWER, _UPPER, _NO_MARKS = 0.07, 0.03, 0.05


def _as_people_type(text: list[Piece], rng: random.Random) -> list[Piece]:
    """Return `text`, now and then in small letters, in capitals or without its marks."""
    draw = rng.random()
    if draw < _LOWER:
        return [replace(p, text=p.text.lower()) for p in text]
    if draw < _LOWER + _UPPER:
        return [replace(p, text=p.text.upper()) for p in text]
    if draw < _LOWER + _UPPER + _NO_MARKS:
        drop = str.maketrans("", "", ".,;:!?")
        return [replace(p, text=p.text.translate(drop)) for p in text]
    return text


_ENDINGS: Final = ("com", "de", "org", "se", "fr")
_SCALES: Final = (" mn", " million", "m", " bn", "", " tonnes", "mln", " %")
_ENTITIES: Final = {
    "date": "DATE_TIME", "datetime": "DATE_TIME", "phone": "PHONE_NUMBER", "email": "EMAIL_ADDRESS",
    "url": "URL", "card": "CREDIT_CARD",
}  # fmt: skip
_PERCENT: Final = ("%", "%", " %", " percent", " pct")
_DRAWN_SLOTS: Final = frozenset({
    "Acro", "code", "term", "Term",
    "word", "Word", "words", "Words", "Title_words", "UPPER_words", "email", "url",
})  # fmt: skip
_SIGNS: Final = "$\u20ac\u00a3"
