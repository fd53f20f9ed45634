"""A recogniser for ages over 89, in figures and in words.

Safe Harbor keeps ages up to 89 and asks that all above be one category (45 CFR
164.514(b)(2)(i)(C)). A finding is the age alone, so that "<AGE_OVER_89>-year-old" still reads.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.rules.forms import SHAPE, WRITTEN
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIGURES = re.compile(r"(?:9\d|1[0-2]\d)(?:\.\d)?(?![\d/]\d|\d)")
_UNIT = r"(?:years?|yrs?\.?|y\.?|jahre?n?|ans|a\u00f1os|anni|jaar|\u00e5r|vuotta|anos|lat)"
_AFTER = re.compile(
    rf"(?: ?[-\u2013] ?| to | or )?(?:\d{{2,3}})?[- ]?{_UNIT}[- ]?(?:old|of age|alt|aged|"
    rf"\u00e2g\u00e9e?s?|oud|gammal)\b"
    r"|[- ]?y[./]?o\b\.?|[- ]?y/?o?/o\b|[- ]?yo[mf]?\b|-?j\u00e4hrige?[rnms]?\b|-?vuotias|"
    r"-\u00e5rige?\b"
    r"|[- ](?:ans|a\u00f1os|anni|anos)\b"
    r"|[- ]year[- ](?:man|woman|male|female|lady|gentleman|patient)"
    r"|(?:st|nd|rd|th) (?:birthday|year of life)",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"(?:\b(?:age[ds]?|aged?(?: ?/ ?sex| of)?|age at \w+|age (?:is|was)|age \((?:yrs?|years?|"
    r"y)\)|aging|turn(?:s|ed|ing)|alter|"
    r"edad|\u00e2ge|et\u00e0|leeftijd|ik\u00e4|years old at|over the age of|now)(?: ?[:=(,-]|"
    r" of| is| was| now)? ?"
    r"|\b(?:he|she|who|patient|deceased|mother|father|aunt|uncle|brother|sister|husband|wife|niece|nephew|carer|"
    r"grandmother|grandfather|partner|lady|man|woman|gentleman) "
    r"(?:is|was|just turned|will be)(?: now| also)? )\Z",
    re.IGNORECASE,
)
_LONGEST_CUE = 32
_PRONOUN = re.compile(
    r"(?!age|aging|turn|alter|edad|\u00e2ge|et\u00e0|leeftijd|ik\u00e4|years|over)[\w ]*\Z",
    re.IGNORECASE,
)
_YEARS_ALONE = re.compile(rf"[ -]{_UNIT}(?!\w)", re.IGNORECASE)
_IS_BEFORE = re.compile(r"\b(?:is|was|turned) (?:now |also )?\Z", re.IGNORECASE)
_RANGE = re.compile(r"(?: ?[-\u2013] ?| to )(?:9\d|1[0-2]\d)(?![\w.,]\w)")
_SENTENCE_GOES_ON = re.compile(r"\s{0,2}(?:[.,;)](?!\d)|$|and\b|years|when|at\b)")
_MEASURE_AFTER = re.compile(
    r"(?: ?(?:%|mg|mm|kg|g\b|cm|bpm|/\d|\u00b0|beats|over|percent|points?|degrees|pounds|lbs?|"
    r"days?|"
    r"weeks?|months?|hours?|minutes?|min\b|patients|cases)|[.,]\d)",
    re.IGNORECASE,
)
_UNITS_IN_WORDS = "one|two|three|four|five|six|seven|eight|nine"
_WORDS = re.compile(
    rf"(?<!\w)(?:ninety(?:[- ](?:{_UNITS_IN_WORDS}))?|(?:a|one) hundred(?:[- ](?:and )?"
    rf"(?:{_UNITS_IN_WORDS}|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|"
    r"nineteen))?)(?!\w)",
    re.IGNORECASE,
)
_DECADES = re.compile(
    r"(?:\b(?:his|her|their|the|early|mid|late)[ -])((?:nineties|90s|90's|90ies|100s)\b)|"
    r"(?<!\w)((?:nonagenarian|centenarian|supercentenarian)s?)(?!\w)",
    re.IGNORECASE,
)
_YEARS_OF_A_CENTURY = re.compile(
    r"\b(?:in|of|since|during|from) the (?:early |mid |late |early-|mid-|late-)?\Z", re.IGNORECASE
)
_DECADE_HINTS = ("ineties", "INETIES", "90s", "90'", "90ies", "100s", "enarian", "ENARIAN")
_WORD_HINTS = ("inety", "INETY", "undred", "UNDRED")


def _stands_before(text: str, start: int) -> bool:
    """Say whether nothing before `start` makes its number a part of a longer one."""
    before = text[start - 1 : start]
    return not (before.isalnum() or before in tuple("_.,/$\u20ac\u00a3+")) or not before


def _find_in_figures(text: str) -> Iterator[Span]:
    for match in _FIGURES.finditer(text):
        start, end = match.span()
        if not _stands_before(text, start):
            continue
        if _AFTER.match(text, end):
            yield Span(start, end, "AGE_OVER_89", WRITTEN)
            continue
        if _YEARS_ALONE.match(text, end) and _IS_BEFORE.search(text, max(0, start - 8), start):
            yield Span(start, end, "AGE_OVER_89", SHAPE)
            continue
        cue = _BEFORE.search(text, max(0, start - _LONGEST_CUE), start)
        if cue is None or _MEASURE_AFTER.match(text, end):
            continue
        # "She was 92." may be an age; "Now 92 patients" is not, nor is "He is 120 cm".
        if _PRONOUN.match(cue[0]) and not _SENTENCE_GOES_ON.match(text, end):
            continue
        second = _RANGE.match(text, end)
        yield Span(start, second.end() if second else end, "AGE_OVER_89", SHAPE)


def _find_in_words(text: str) -> Iterator[Span]:
    if not any(hint in text for hint in _WORD_HINTS):
        return
    for match in _WORDS.finditer(text):
        start, end = match.span()
        cue = _BEFORE.search(text, max(0, start - _LONGEST_CUE), start)
        is_years = _YEARS_ALONE.match(text, end) and _IS_BEFORE.search(
            text, max(0, start - 8), start
        )
        if is_years or _AFTER.match(text, end) or (cue and not _PRONOUN.match(cue[0])):
            yield Span(start, end, "AGE_OVER_89", WRITTEN)


def _find_decades(text: str) -> Iterator[Span]:
    if not any(hint in text for hint in _DECADE_HINTS):
        return
    for match in _DECADES.finditer(text):
        place = 1 if match[1] else 2
        start, end = match.span(place)
        if not _YEARS_OF_A_CENTURY.search(text, max(0, start - 20), start):
            yield Span(start, end, "AGE_OVER_89", WRITTEN)


def _find_age(text: str) -> Iterator[Span]:
    yield from _find_in_figures(text)
    yield from _find_in_words(text)
    yield from _find_decades(text)


AGE_RECOGNIZERS = (
    Recognizer("age over 89", ("AGE_OVER_89",), _find_age, (), Trigger.ALWAYS, WRITTEN),
)
