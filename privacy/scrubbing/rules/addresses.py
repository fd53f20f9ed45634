"""Recognisers for street addresses and post codes that have a form.

Each address starts from a number beside a street word, or from a post box, and goes on over the
flat, the town and the post code that follow, at most four pieces, so that the time is linear in
the text. An address without a street word is for a model.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.rules.address_words import (
    NOT_IN_STREETS,
    NOT_STREETS,
    PREFIXES_BEFORE_SMALL_WORDS,
    RARE_STREET_WORDS,
    ROOM_WORDS,
    STATE_NAMES,
    STATES,
    STREET_PREFIXES,
    STREET_SUFFIXES,
    STREET_WORDS,
)
from privacy.scrubbing.rules.forms import NEEDS_CONTEXT, SHAPE, WEAK, WRITTEN
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def _one_of(words: Sequence[str]) -> str:
    return f"(?:{'|'.join(re.escape(word) for word in sorted(words, key=lambda w: (-len(w), w)))})"


_NUMBER = r"\d{1,5}[A-Za-z]?(?:[-/]\d{1,4}[A-Za-z]?)?"
_CAPITAL = r"[^\W\d_a-z][\w'\u2019.-]*"
_STATE = _one_of((*STATES, *STATE_NAMES))
_ZIP = r"\d{5}(?:-\d{4})?"
_UK_CODE = r"[A-Z]{1,2}\d[A-Z\d]? ?\d[ABD-HJLNP-UW-Z]{2}"
_CANADIAN_CODE = r"[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z] ?\d[ABCEGHJ-NPRSTV-Z]\d"
_GAP = r",?[ \t]{0,4}\n?[ \t]{0,4}"

# --- numbers and street words ----------------------------------------------------------------

_HOUSE = re.compile(r"\d{1,5}[A-Za-z]?(?!\w)")
_GOES_ON = re.compile(r"(?:[-/]\d{1,4}[A-Za-z]?)?,? [^\W_a-z]")
_ENGLISH = re.compile(
    rf"{_NUMBER},? (?:(?:{_CAPITAL}|\d{{1,3}}(?:st|nd|rd|th)|of|the) ){{1,4}}"
    rf"(?P<word>{_one_of(STREET_WORDS)})(?!\w)(?:\.(?! [A-Z][a-z]))?"
    r"(?: (?:[NSEW]|[NS][EW]|North|South|East|West)(?!\w)\.?)?"
)
_RARE = re.compile(
    rf"(?!(?:19|20)\d\d )\d{{3,5}} (?:{_CAPITAL} ){{1,2}}"
    rf"{_one_of(RARE_STREET_WORDS)}(?!\w)(?! \d{{4}}(?!\d))"
)
_HIGHWAY = re.compile(
    rf"{_NUMBER},? (?:US|State|County|Interstate)? ?(?:Highway|Hwy|Route|Rte|Road|"
    rf"Rd) \d{{1,4}}(?!\w)"
)
_NUMBER_BEFORE = re.compile(
    r"(?<![\w.,/$\u20ac\u00a3-])\d{1,5}[A-Za-z]?(?:[-/]\d{1,4})?(?: (?:bis|ter))?,? ?\Z"
)
_NUMBER_AFTER = re.compile(rf",? (?:n[\u00b0\u00ba.]{{1,2}} ?)?{_NUMBER}(?![\w%]|[.,]\d)")
_POST_CODE = re.compile(r",? \d{4,5}\Z")
_NUMBER_AND_STAIR = re.compile(rf"{_NUMBER}(?: [A-Z](?: \d{{1,3}})?(?!\w))?")
_WORDS_BEFORE = re.compile(rf"(?:{_CAPITAL} ){{0,2}}\Z")
_STREET_NOUNS = frozenset((
    "stra\u00dfe", "strasse", "gasse", "platz", "allee", "weg", "straat", "laan", "plein", "utca",
    "alle", "bulevardi", "\u00fat", "t\u00e9r", "katu",
))  # fmt: skip
_ENDINGS = frozenset(word[-2:] for word in (*STREET_SUFFIXES, *_STREET_NOUNS))
_LONGEST_STREET = 40

_SMALL = _one_of(PREFIXES_BEFORE_SMALL_WORDS)
_PREFIXED = re.compile(
    rf"(?<![\w-]){_one_of(STREET_PREFIXES)} (?:{_SMALL}[ ]?){{0,2}}{_CAPITAL}"
    rf"(?:[ -](?:{_SMALL} ?)?{_CAPITAL}){{0,3}}"
)

# --- boxes -----------------------------------------------------------------------------------

_BOX = re.compile(
    r"(?:P\.? ?O\.?|Post Office|G\.?P\.?O\.?|Postal|po|p\.o\.) ?[Bb]ox:? #?\w{1,8}|"
    r"Postfach \d[\d ]{0,8}\d|"
    r"Apartado(?: de [Cc]orreos)? \d+|Casella [Pp]ostale \d+|Bo\u00eete [Pp]ostale \d+|Postbus \d+|"
    r"(?:PSC|CMR|Unit|psc|cmr|unit) \d{1,5},? [Bb]ox \d{1,5}|"
    r"(?:USNS|USCGC|USNV|USS|usns|uscgc|usnv|uss) [^\W\d_]+(?=\n(?:[AFD]PO|[afd]po) )"
)
_MILITARY = re.compile(r"(?:[AFD]PO|[afd]po),? (?:A[AEP]|a[aep]),? \d{5}(?:-\d{4})?(?!\w)")
_GAP_AND_MILITARY = re.compile(rf"{_GAP}{_MILITARY.pattern}")
_BOX_HINTS = ("ox ", "ox:", "Post", "Apartado", "Casella", "postale", "PO ", "po ", "PO,")

# --- what goes before and after --------------------------------------------------------------

_ROOM = (
    rf"(?:{_one_of(ROOM_WORDS)}\.? ?(?:No\.? ?)?#?\w{{1,5}}(?:-\w{{1,4}})?|#\w{{1,6}}|"
    rf"\d{{1,2}}(?:st|nd|rd|th) [Ff]loor)(?!\w)"
)
_TOWN_WORD = r"(?:St\. )?[^\W\d_a-z](?:[\w'\u2019.-]*\w)?"
_TOWN = rf"{_TOWN_WORD}(?: {_TOWN_WORD}){{0,2}}"
_ROOM_BEFORE = re.compile(rf"(?<!\w){_ROOM},? ?\Z")
_CONTINUATION = re.compile(
    rf"{_GAP}(?:{_ROOM}"
    rf"|(?:{_TOWN},? ?\n?[ \t]{{0,4}})?(?<=[ \n\t,]){_STATE},? {_ZIP}(?!\w)"
    rf"|(?:{_TOWN},?[ \n]){{1,2}}(?:{_UK_CODE}|{_CANADIAN_CODE})(?!\w)"
    rf"|(?<=[ \n\t])(?:[A-Z]{{1,2}}-)?\d{{4,5}}(?: [A-Z]{{2}})? {_TOWN}"
    rf"|(?<=[ \n\t])(?:{_UK_CODE}|{_CANADIAN_CODE})(?!\w))"
)
_LONE_ROOM_HINTS = ("Apt", "apt.", "Suite ", "suite ")
_LONE_ROOM = re.compile(r"(?<!\w)(?:Apt\.?|apt\.|Apartment|Suite|suite) #?\d{1,5}[A-Za-z]?(?!\w)")
_MOST_PIECES = 4
_LONGEST_ROOM = 16
_STOPS_A_TOWN = re.compile(r"\W(?:Phone|Tel|Fax|Email|E-mail|Mobile|DOB|MRN|Date)\b.*", re.DOTALL)


def _extended(text: str, start: int, end: int) -> tuple[int, int]:
    """Return an address with the flat before it and the pieces after it."""
    room = _ROOM_BEFORE.search(text, max(0, start - _LONGEST_ROOM), start)
    if room is not None:
        start = room.start()
    for _ in range(_MOST_PIECES):
        piece = _CONTINUATION.match(text, end)
        if piece is None:
            break
        stop = _STOPS_A_TOWN.search(text, end + 1, piece.end())
        end = stop.start() if stop else piece.end()
        if stop:
            break
    return start, end


def _starts_a_number(text: str, start: int) -> bool:
    before = text[start - 1 : start]
    return not before or not (before.isalnum() or before in "_.,/$\u20ac\u00a3-+")


def _find_street(text: str) -> Iterator[Span]:
    done = 0
    for match in _HOUSE.finditer(text):
        start = match.start()
        if start < done:
            continue
        found = None
        if _GOES_ON.match(text, match.end()):
            found = _english_at(text, start)
        if found is None and text[start - 1] == " " and text[start - 3 : start - 1] in _ENDINGS:
            found = _suffixed_before(text, start, match.end(), done)
        if found is not None:
            start, end = _extended(text, *found)
            yield Span(max(start, done), end, "STREET_ADDRESS", WRITTEN)
            done = end
    yield from _find_prefixed(text)
    yield from _find_room(text)
    yield from _find_box(text)


def _english_at(text: str, start: int) -> tuple[int, int] | None:
    if not _starts_a_number(text, start):
        return None
    match = _ENGLISH.match(text, start) or _RARE.match(text, start) or _HIGHWAY.match(text, start)
    if match is None:
        return None
    if match.lastgroup == "word" and match["word"] == "Dr" and _title_follows(text, match.end()):
        return None
    if not NOT_IN_STREETS.isdisjoint(match[0].split()):
        return None
    return match.span()


def _title_follows(text: str, at: int) -> bool:
    """Say whether "Dr" at the end of a street's name is the doctor of the name that follows."""
    return re.match(r"\.? [A-Z][a-z]", text[at : at + 4]) is not None


def _suffixed_before(text: str, start: int, end: int, floor: int) -> tuple[int, int] | None:
    """Return the street of one word, such as Hauptstrasse, that stands before a number."""
    at = start - 2
    limit = max(floor, start - _LONGEST_STREET)
    while at > limit and (text[at - 1].isalnum() or text[at - 1] in "-."):
        at -= 1
    word = text[at : start - 1]
    low = word.lower()
    first = at
    if low in _STREET_NOUNS or low == "str.":
        before = _WORDS_BEFORE.search(text, max(limit, at - _LONGEST_STREET), at)
        if before is None or before.start() == at:
            return None
        first = before.start()
    elif not low.endswith(STREET_SUFFIXES) or low in NOT_STREETS or not word[0].isupper():
        return None
    number = _NUMBER_BEFORE.search(text, max(floor, first - 8), first)
    if number is not None:
        first = number.start()
    after = _NUMBER_AND_STAIR.match(text, start)
    return first, after.end() if after else end


def _find_prefixed(text: str) -> Iterator[Span]:
    for match in _PREFIXED.finditer(text):
        before = _NUMBER_BEFORE.search(text, max(0, match.start() - 14), match.start())
        after = _NUMBER_AFTER.match(text, match.end())
        if before is None and after is None:
            continue
        if before is not None and after is not None and _POST_CODE.match(after[0]):
            after = None  # that is the town's post code
        start = before.start() if before else match.start()
        start, end = _extended(text, start, after.end() if after else match.end())
        yield Span(start, end, "STREET_ADDRESS", WRITTEN)


def _find_room(text: str) -> Iterator[Span]:
    """Yield a flat on its own line, which belongs to an address that has no form."""
    if any(hint in text for hint in _LONE_ROOM_HINTS):
        for match in _LONE_ROOM.finditer(text):
            yield Span(match.start(), match.end(), "STREET_ADDRESS", WRITTEN)


def _find_box(text: str) -> Iterator[Span]:
    if not any(hint in text for hint in _BOX_HINTS):
        return
    for match in _BOX.finditer(text):
        if text[match.start() - 1 : match.start()].isalnum() and match.start():
            continue
        military = _GAP_AND_MILITARY.match(text, match.end())
        end = military.end() if military else _extended(text, match.start(), match.end())[1]
        yield Span(match.start(), end, "STREET_ADDRESS", WRITTEN)
    for match in _MILITARY.finditer(text):
        yield Span(match.start(), match.end(), "STREET_ADDRESS", WRITTEN)


# --- post codes ------------------------------------------------------------------------------

_LETTERED_CODE = re.compile(
    rf"(?<![\w-])(?:(?P<spaced>[A-Z]{{1,2}}\d[A-Z\d]? \d[ABD-HJLNP-UW-Z]{{2}}|"
    rf"{_CANADIAN_CODE.replace(' ?', ' ')})"
    rf"|(?P<compact>{_UK_CODE}|{_CANADIAN_CODE})|(?P<prefixed>(?:CH|DE|AT|FR|NL|BE|FI|SE|DK|"
    rf"D)-\d{{4,5}}(?= [A-Z]))"
    r"|(?P<dutch>[1-9]\d{3} [A-Z]{2}))(?!\w)"
)
_CODE_HINTS = (re.compile(r"\d(?: ?[A-Z]{2}|[A-Z] ?\d)"), re.compile(r"-\d{4}"))
_ZIP_CODE = re.compile(r"\d{5}(?:-\d{4})?(?!\w|[.,]\d|-)")
_STATE_BEFORE = re.compile(rf"(?<![^\W_]){_STATE}[.,]? {{1,2}}\Z")
_LONGEST_STATE = 18
_LETTERED_SCORES = {"spaced": WRITTEN, "compact": NEEDS_CONTEXT, "prefixed": SHAPE, "dutch": WEAK}


def _find_postal_code(text: str) -> Iterator[Span]:
    lettered = any(hint.search(text) for hint in _CODE_HINTS)
    for match in _LETTERED_CODE.finditer(text) if lettered else ():
        score = _LETTERED_SCORES[match.lastgroup or "dutch"]
        yield Span(match.start(), match.end(), "POSTAL_CODE", score)
    for match in _ZIP_CODE.finditer(text):
        start = match.start()
        if not _starts_a_number(text, start):
            continue
        if _STATE_BEFORE.search(text, max(0, start - _LONGEST_STATE), start):
            yield Span(start, match.end(), "POSTAL_CODE", WRITTEN)
        else:
            long = match.end() - start > 5  # noqa: PLR2004 - a ZIP with its four further digits
            yield Span(start, match.end(), "POSTAL_CODE", NEEDS_CONTEXT if long else WEAK)


ADDRESS_RECOGNIZERS = (
    Recognizer(
        "street address", ("STREET_ADDRESS",), _find_street, (), Trigger.ALWAYS, WRITTEN
    ),
    Recognizer(
        "postal code",
        ("POSTAL_CODE",),
        _find_postal_code,
        ("zip", "zipcode", "postcode", "postal", "plz", "postleitzahl", "address", "lives"),
        Trigger.DIGIT,
        WRITTEN,
    ),
)  # fmt: skip
