"""A recogniser for names that something announces: a title, a label, a salutation, a degree.

Precise rather than complete: a name that nothing announces is for a model. Names may have any
script with capitals, hyphens, apostrophes, particles and initials, and end with the line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from privacy.scrubbing.recognizers import ProviderKind, Recognizer, Trigger
from privacy.scrubbing.rules.forms import WRITTEN
from privacy.scrubbing.rules.name_words import (
    AFTER_COMMA,
    DEGREES,
    DIRECTIONS,
    DOTTED_TITLES,
    LONGEST_NAME_LABEL,
    NAME_LABELS,
    NOT_FIRST_NAMES,
    NOT_NAMES,
    PARTICLES,
    PERSON_LABELS,
    ROLES,
    SPECIES,
    TITLES,
    WORDS_AS_WELL,
)
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

_LABELLED = 0.85
_MOST_WORDS = 5
_LOOK_BACK = 48

_PIECE = re.compile(r"(?:[^\W\d_]\.){1,3}|[^\W\d_]+(?:['\u2019\u2010-][^\W\d_]+)*\.?")
_GAP = re.compile(r"[ \u00a0]|-(?=[^\W\d_])")
_LAST_NAME_FIRST = re.compile(r", ?")
_POSSESSIVE = re.compile(r"['\u2019]s\Z", re.IGNORECASE)
_LABEL_GOES_ON = re.compile(r" ?(?:[:#=]|[Nn]o\.?[ :]|\([A-Za-z])")


def _is_capital(piece: str) -> bool:
    return piece[0].isupper()


def _is_no_name(bare: str) -> bool:
    """Say whether a capitalised word ends a name, also where a whole text is in capitals."""
    if bare in NOT_NAMES or bare in TITLES:
        return True
    return bare.isupper() and (bare.capitalize() in NOT_NAMES or bare.capitalize() in TITLES)


def _is_initial(piece: str) -> bool:
    return len(piece.rstrip(".")) == 1 or (piece.count(".") > 1)


def _read_name(text: str, start: int) -> tuple[int, int]:
    """Return where a name that starts at `start` ends, and its words; (`start`, 0) for none."""
    at, end, words, count = start, start, 0, 0
    while count < _MOST_WORDS + 2:
        match = _PIECE.match(text, at)
        if match is None:
            break
        piece = match[0]
        bare = piece.rstrip(".")
        capital = _is_capital(piece)
        if capital and (
            (len(bare) > 1 and _is_no_name(bare))
            or (words and _LABEL_GOES_ON.match(text, match.end()))
        ):
            break
        if not capital and not (bare in PARTICLES and not piece.endswith(".")):
            break
        stop = match.end()
        if capital:
            possessive = _POSSESSIVE.search(bare)
            words += 1
            if possessive is not None:
                return match.start() + possessive.start(), words
            # A dot after a whole word ends the sentence, after "J." and "Jr." it does not.
            whole = piece.endswith(".") and not _is_initial(piece)
            end = stop - 1 if whole else stop
            if whole and bare not in ("St", "Jr", "Sr", "Wm", "Chas"):
                break
        count += 1
        if words == _MOST_WORDS:
            break
        gap = _GAP.match(text, stop)
        at = gap.end() if gap else stop if _is_initial(piece) else -1
        if at < 0:
            break
    return (end, words) if words else (start, 0)


def _has_a_whole_word(text: str, start: int, end: int) -> bool:
    return any(len(word) > 1 for word in re.findall(r"[^\W\d_]+", text[start:end]))


# --- titles --------------------------------------------------------------------------------

_TITLE = re.compile(
    rf"(?<![\w-])(?=[A-Z][A-Za-z\u00f1-]{{0,8}}[. \u00a0])"
    rf"(?:{'|'.join(sorted(TITLES, key=len, reverse=True))}"
    rf"|(?:{'|'.join(DOTTED_TITLES)})(?=\.))(?:\.[ \u00a0]?|"
    rf"[ \u00a0]{{1,2}}|\.?ssa )"
    r"(?:(?:med|jur|phil|rer|nat|habil|dent|vet)\. ?){0,3}(?=[^\W\d_])|"
    r"(?<![\w-])(?:DR|MR|MRS|MS|PROF|REV)\. ?(?=[A-Z])"
)
_CAPITALISED = re.compile(r"[A-Z][A-Za-z\u00f1-]{0,8}")
_TITLE_WORDS = frozenset((*TITLES, *DOTTED_TITLES, "DR", "MR", "MRS", "MS", "PROF", "REV"))
_COUPLE = re.compile(r"(?:and|und|et|&) (?:Mrs?|Ms|Dr|Frau|Mme|Miss)\b\.? ")
_AND_ANOTHER = re.compile(r" (?:and|&|und|et) (?=[^\W\d_a-z])")


def _find_titled(text: str) -> Iterator[Span]:
    done = 0
    for word in _CAPITALISED.finditer(text):
        match = _TITLE.match(text, word.start()) if word[0] in _TITLE_WORDS else None
        if match is None or match.end() < done:
            continue
        start = match.end()
        title = match[0].rstrip(" .\u00a0")
        couple = _COUPLE.match(text, start)
        start = couple.end() if couple else start
        start = _after_titles(text, start)
        end, words = _read_name(text, start)
        if not words or not _has_a_whole_word(text, start, end):
            continue
        first = _PIECE.match(text, start)
        if first is None or first[0].rstrip(".") in ROLES or _is_none(title, first[0], text, end):
            continue
        yield Span(start, end, "PERSON", _LABELLED)
        done = end
        if title in ("Drs", "Messrs", "MM"):
            another = _AND_ANOTHER.match(text, end)
            if another is not None:
                stop, more = _read_name(text, another.end())
                if more:
                    yield Span(another.end(), stop, "PERSON", _LABELLED)
                    done = stop


def _after_titles(text: str, at: int) -> int:
    for _ in range(3):
        title = _TITLE.match(text, at)
        if title is None:
            break
        at = title.end()
    return at


def _is_none(title: str, first: str, text: str, end: int) -> bool:
    """Say whether a title that is a word too stands before a word that is no name."""
    if title not in WORDS_AS_WELL:
        return False
    if first.isupper() and len(first) > 1:
        return True
    following = re.match(r" ([a-z]+)", text[end : end + 16])
    return title == "Don" and following is not None and following[1] in ("t", "not")


# --- labels --------------------------------------------------------------------------------

_LABEL_END = re.compile(r":| -(?= )")
_LAST_LABEL_WORDS = frozenset(label.rpartition(" ")[2] for label in (*NAME_LABELS, *PERSON_LABELS))
_LABEL_WORD = re.compile(r"[^\W\d_]+")
_AFTER_LABEL = re.compile(r"[ \t\u00a0]*(?:\n[ \t]{0,4})?(?:[-*\u2022] ?)?")
_LABEL_BREAK = re.compile(r"[^\w\s'\u2019/()-]|\n|\d")


def _label_before(text: str, colon: int) -> str | None:
    """Return the longest known label that ends before `colon`."""
    tail = text[max(0, colon - _LOOK_BACK) : colon].rstrip(" )")
    if tail[tail.rfind(" ") + 1 :].rpartition("\n")[2].lower() not in _LAST_LABEL_WORDS:
        return None
    last = tail[max((mark.end() for mark in _LABEL_BREAK.finditer(tail)), default=0) :]
    words = [word.lower() for word in _LABEL_WORD.findall(last)]
    for count in range(min(LONGEST_NAME_LABEL, len(words)), 0, -1):
        label = " ".join(words[-count:])
        if label in NAME_LABELS or label in PERSON_LABELS:
            return label
    return None


def _find_labelled(text: str) -> Iterator[Span]:
    for mark in _LABEL_END.finditer(text):
        label = _label_before(text, mark.start())
        if label is not None:
            yield from _name_after_label(text, mark.end(), needs_two=label not in NAME_LABELS)


def _name_after_label(text: str, at: int, *, needs_two: bool) -> Iterator[Span]:
    gap = _AFTER_LABEL.match(text, at)
    start = gap.end() if gap else at
    bare = start
    start = _after_titles(text, start)
    end, words = _read_name(text, start)
    if not words:
        return
    comma = _LAST_NAME_FIRST.match(text, end)
    if comma is not None:
        # "Berg, Anna": only where what follows the comma is a name that ends there too.
        stop, more = _read_name(text, comma.end())
        if more in (1, 2) and not re.match(r"\w", text[stop : stop + 1]):
            end, words = stop, words + more
    if words < (2 if needs_two and start == bare else 1):
        return
    if _has_a_whole_word(text, start, end):
        yield Span(start, end, "PERSON", _LABELLED)


# --- salutations and phrases -----------------------------------------------------------------

_SALUTATION = re.compile(
    r"(?<!\w)(?:Dear|Hi|Hello|Hallo|Lieber|Liebe|Sehr geehrter|Sehr geehrte|Cher|Ch\u00e8re|"
    r"Estimado|"
    r"Estimada|Caro|Cara|Geachte|Beste|DEAR)[ \u00a0](?=[^\W\d_])"
)
_CLOSING = re.compile(
    r"(?<!\w)(?:(?:Kind|Best|Warm|Kindest|Warmest|With|With best|With kind) (?:regards|wishes)|"
    r"Regards|"
    r"Sincerely(?: yours)?|Yours(?: sincerely| faithfully| truly)?|Respectfully|Cordially|Cheers|"
    r"Many thanks|Thanks|Thank you|Mit freundlichen Gr\u00fc\u00dfen|Viele Gr\u00fc\u00dfe|"
    r"Freundliche Gr\u00fc\u00dfe|"
    r"Cordialement|Bien \u00e0 vous|Atentamente|Un saludo|Saludos|Cordiali saluti|"
    r"Met vriendelijke groet(?:en)?)"
    r"[,.!]?[ \t]*\n\s{0,4}(?=[^\W\d_])",
    re.IGNORECASE,
)
_NAME_IS = re.compile(
    r"\b(?:[Mm]y|[Hh]is|[Hh]er|[Tt]heir) (?:full |maiden |first |last |family )?"
    r"(?:name|surname) is (?=[^\W\d_])|\b(?:ask for|speak (?:to|with)|"
    r"ich hei\u00dfe|je m'appelle|me llamo|mi chiamo|ik heet|"
    r"account holder|cardholder|next of kin is) (?=[^\W\d_])"
)
_NAMED = re.compile(r"\b(?:signed by|beneficiary|under the name of) (?=[^\W\d_a-z])")
_I_AM = re.compile(r"\b(?:I am|I'm|I\u2019m|Ich bin) (?=[^\W\d_a-z])")
_SIGNED = re.compile(
    r"\b(?:Electronically signed|[Ss]igned|[Dd]ictated|[Rr]eviewed|[Vv]erified) by (?=[^\W\d_])"
)


_ANNOUNCEMENTS = (
    (_SALUTATION, 1, (
        "dear ", "hi ", "hello ", "hallo ", "lieb", "geehrt", "cher", "ch\u00e8re", "estimad",
        "car", "geachte ", "beste ",
    )),
    (_CLOSING, 1, (
        "regards", "wishes", "sincerely", "yours", "respectfully", "cordial", "cheers", "thank",
        "gr\u00fc\u00dfe", "bien \u00e0", "atentamente", "saludo", "groet",
    )),
    (_NAME_IS, 1, (
        "name is ", "ask for ", "speak ", "hei\u00dfe ", "appelle ", "llamo ", "chiamo ", "heet ",
        "holder ", "kin is ",
    )),
    (_NAMED, 2, ("signed by ", "beneficiary ", "the name of ")),
    (_I_AM, 2, ("i am ", "i'm ", "i\u2019m ", "ich bin ")),
    (_SIGNED, 2, ("signed by ", "dictated by ", "reviewed by ", "verified by ")),
)  # fmt: skip
"""Each phrase, how many words a name has after it, and what it holds in small letters."""


_SMALL = re.compile(
    r"\b(?:my name is ((?!on\b|not\b|in\b|wrong|correct|misspel|missing)"
    r"[^\W\d_]{2,}(?: [^\W\d_]{2,})?)"
    r"(?=[.,;!?\n]|\Z)|(?:mrs?|ms|dr|prof)\. ([^\W\d_]{2,}))"
)
_SMALL_HINTS = ("my name is ", "mr. ", "mrs. ", "ms. ", "dr. ", "prof. ")


def _find_in_small_letters(text: str) -> Iterator[Span]:
    """Yield what people write in chats: "my name is anna berg", "ms. berg"."""
    if any(hint in text for hint in _SMALL_HINTS):
        for match in _SMALL.finditer(text):
            start, end = match.span(match.lastindex or 1)
            yield Span(start, end, "PERSON", WRITTEN)


def _find_announced(text: str) -> Iterator[Span]:
    low = text.lower()
    for pattern, fewest, hints in _ANNOUNCEMENTS:
        if not any(hint in low for hint in hints):
            continue
        for match in pattern.finditer(text):
            start = _after_titles(text, match.end())
            end, words = _read_name(text, start)
            if words >= fewest and _is_capital(text[start]) and _has_a_whole_word(text, start, end):
                yield Span(start, end, "PERSON", WRITTEN)


# --- degrees and initials --------------------------------------------------------------------

_DEGREE = re.compile(
    rf"[, ](?=[A-Z][A-Za-z.]{{1,6}})(?:{'|'.join(map(re.escape, DEGREES))})(?![\w-])"
)
_NAME_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*\.?")
_ZIP_AFTER = re.compile(r",? \d{5}")
_INITIAL = re.compile(r"[A-Z\u00c0-\u00de][. ](?=[ -]?[^\W\d_a-z])")
_INITIALS = re.compile(
    r"(?:[^\W\d_a-z]\.[ -]?){1,3}(?=[^\W\d_a-z][^\W\d_])|"
    r"(?:[^\W\d_a-z]\. |(?![AI] )[^\W\d_a-z] ){1,2}(?=[^\W\d_a-z][^\W\d_])"
)
_FIRST_NAME = re.compile(r"(?<![\w.'-])[^\W\d_a-z][^\W\d_]+ \Z")
_LONGEST_FIRST_NAME = 20
_ONE_INITIAL_BEFORE = re.compile(
    r"(?:^|[\n:(;,\u2022-] ?|(?<!\w)(?:by|and|with|from|for|to|nurse|surgeon) )\Z",
    re.IGNORECASE,
)
_NOT_INITIALS = frozenset((
    "U.S.", "U.K.", "E.U.", "U.N.", "D.C.", "P.O.", "U.A.E.", "B.V.", "N.V.", "S.A.", "A.G.",
    "I.V.", "P.S.", "N.B.", "L.A.", "N.Y.", "A.M.", "P.M.", "Q.D.", "B.I.",
))  # fmt: skip


def _find_with_degree(text: str) -> Iterator[Span]:
    for match in _DEGREE.finditer(text):
        degree = match[0][1:]
        if degree in AFTER_COMMA and text[match.start() - 1 : match.start()] not in ("", ","):
            continue
        if _ZIP_AFTER.match(text, match.end()):
            continue
        before = text[max(0, match.start() - _LOOK_BACK) : match.start()].rstrip(" ,")
        end = max(0, match.start() - _LOOK_BACK) + len(before)
        before = before[before.rfind("\n") + 1 :]
        words = list(_NAME_WORD.finditer(before))
        start = _start_of_last_name(before, words)
        if start is not None:
            yield Span(end - len(before) + start, end, "PERSON", _LABELLED)


def _start_of_last_name(before: str, words: list[re.Match[str]]) -> int | None:
    """Return where the name starts that ends `before`, None where its last words are none."""
    at, start, count, wholes = len(before), None, 0, 0
    for word in reversed(words):
        between = before[word.end() : at]
        bare = word[0].rstrip(".")
        if between not in ("", " ") or bare in NOT_NAMES or bare in TITLES:
            break
        if not _is_capital(word[0]) and bare not in PARTICLES:
            break
        if word[0].endswith(".") and len(bare) > 1:
            break
        at = word.start()
        if _is_capital(word[0]):
            start, count = at, count + 1
            wholes += len(bare) > 1
        if count == 4:  # noqa: PLR2004 - longer is a heading
            break
    return start if wholes and count > 1 else None


def _find_with_initials(text: str) -> Iterator[Span]:
    done = 0
    for match in _INITIAL.finditer(text):
        place = match.start()
        before = text[place - 1 : place]
        if place < done or before.isalnum() or before in ("_", ".", "'", "-"):
            continue
        initials = _INITIALS.match(text, place)
        if initials is None:
            continue
        start = _start_of_first_name(text, place)
        if start is None or (start == place and "." not in initials[0]):
            continue
        if _is_with_initials(text, start, initials):
            end, _ = _read_name(text, start)
            yield Span(start, end, "PERSON", WRITTEN)
            done = end


def _start_of_first_name(text: str, place: int) -> int | None:
    """Return where the name starts whose initials stand at `place`, None for Hepatitis B."""
    first = _FIRST_NAME.search(text, max(0, place - _LONGEST_FIRST_NAME), place)
    if first is None:
        return place
    word = first[0].rstrip()
    if word in NOT_FIRST_NAMES:
        return None
    # "The J. R. Smith house": the name starts behind the word.
    return place if word in NOT_NAMES or word in TITLES else first.start()


def _is_with_initials(text: str, start: int, found: re.Match[str]) -> bool:
    """Say whether the initials `found`, after the first name at `start`, belong to a name."""
    initials, last = found[0].strip(" -"), found.end()
    end, words = _read_name(text, start)
    if initials.replace(" ", "") in _NOT_INITIALS or end <= last or words < 2:  # noqa: PLR2004 - an initial and a name
        return False
    if _follows_initial_as_no_name(text, last):
        return False
    if start < found.start() or len(initials.rstrip(".")) > 1:
        return True
    before = text[max(0, start - 9) : start]
    return _ONE_INITIAL_BEFORE.search(before) is not None


def _follows_initial_as_no_name(text: str, at: int) -> bool:
    piece = _PIECE.match(text, at)
    if piece is None or piece[0].isupper():
        return True
    bare = piece[0].rstrip(".")
    return bare in NOT_NAMES or bare in SPECIES or bare in DIRECTIONS


def _find_cued_names(text: str) -> Iterator[Span]:
    yield from _find_titled(text)
    yield from _find_labelled(text)
    yield from _find_announced(text)
    yield from _find_in_small_letters(text)
    yield from _find_with_degree(text)
    yield from _find_with_initials(text)


NAME_CUE_RECOGNIZERS = (
    Recognizer(
        "announced name",
        ("PERSON",),
        _find_cued_names,
        (),
        Trigger.ALWAYS,
        _LABELLED,
        ProviderKind.CUE,
    ),
)
