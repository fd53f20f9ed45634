"""Recognisers for e-mail, web and network addresses and telephone numbers, all offline.

`tldextract` reads the list of public suffixes in its own package and is told to fetch nothing;
`phonenumbers` carries its numbering plans.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import TYPE_CHECKING

import phonenumbers
import tldextract

from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.rules.digit_groups import (
    Run,
    is_date_or_years,
    joined_by,
    parts,
    runs,
    stands_alone,
)
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

_CERTAIN = 1.0
_WRITTEN = 0.6
_SHAPE = 0.5
_NEEDS_CONTEXT = 0.3
_WEAK = 0.1


@functools.cache
def _top_level_domains() -> frozenset[str]:
    # No list address and no cache folder: what remains is the snapshot inside the package.
    extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    return frozenset(suffix.rpartition(".")[2] for suffix in extract.tlds)


_LOCAL_MARKS = frozenset("!#$%&'*+/=?^_`{|}~.-\u2019")
_DOMAIN = re.compile(r"\w[\w-]*(?:\.[\w-]*\w)*|\[[0-9A-Fa-f:.]{3,45}\]")


def _email_score(domain: str) -> float:
    suffix = domain.rpartition(".")[2].lower()
    if "." not in domain:
        return _NEEDS_CONTEXT if not domain[0].isdecimal() else 0.0
    # A suffix that is not public is an intranet's; the address names a person all the same.
    return _CERTAIN if suffix in _top_level_domains() else _SHAPE


def _find_email(text: str) -> Iterator[Span]:
    # From each sign outwards: a pattern for the part before it would take quadratic time.
    floor = 0
    at = text.find("@")
    while at >= 0:
        start = at
        while start > floor and (text[start - 1].isalnum() or text[start - 1] in _LOCAL_MARKS):
            start -= 1
        while start < at and not text[start].isalnum() and text[start] != "_":
            start += 1
        domain = _DOMAIN.match(text, at + 1)
        if domain is not None and start < at:
            score = _email_score(domain[0])
            if score:
                yield Span(start, domain.end(), "EMAIL_ADDRESS", score)
        floor = at + 1
        at = text.find("@", floor)


_WITH_SCHEME = re.compile(
    r"(?<!\w)(?:https?|ftps?|sftp|wss?|ssh|file|ldap)://[^\s<>\"'`{}|\\^]+|"
    r"(?<![\w.@-])www\d?\.\w[^\s<>\"'`{}|\\^]*",
    re.IGNORECASE,
)
_BARE = re.compile(r"(?<![\w.@-])\w[\w-]*+(?:\.\w[\w-]*+)++")
_INNER_DOT = re.compile(r"\w\.\w")
_PATH = re.compile(r"(?::\d{1,5})?(?:[/?#][^\s<>\"'`{}|\\^]*)?")
_TRAILING = ".,;:!?)]*_"


def _names_a_host(host: str) -> bool:
    labels = host.split(".")
    suffix = labels[-1]
    if suffix.lower() not in _top_level_domains():
        return False
    # "results.In the" is a missing space, "2.pm" is a time, and neither is a host.
    capital_after_small = not suffix.islower() and not host.isupper()
    return not capital_after_small and any(character.isalpha() for character in labels[-2])


def _find_url(text: str) -> Iterator[Span]:
    if "://" in text or "www" in text.lower():
        for match in _WITH_SCHEME.finditer(text):
            end = match.start() + len(match[0].rstrip(_TRAILING))
            yield Span(match.start(), end, "URL", _WRITTEN)
    # From each inner dot outwards, since almost no word has one.
    floor = 0
    for dot in _INNER_DOT.finditer(text):
        start = dot.start()
        if start < floor:
            continue
        while start > floor and (text[start - 1].isalnum() or text[start - 1] in "_-."):
            start -= 1
        bare = _BARE.match(text, start)
        if bare is None:
            floor = dot.start() + 1
            continue
        floor = bare.end()
        if _names_a_host(bare[0]):
            path = _PATH.match(text, floor)
            tail = "" if path is None else path[0].rstrip(_TRAILING)
            yield Span(start, floor + len(tail), "URL", _SHAPE)


_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,}(?:\.\d{1,3}){0,3}(?:%\w+)?(?:/\d{1,3})?(?![\w:])")
_IPV4_HINT = re.compile(r"\d\.\d{1,3}\.\d")
_IPV6_HINT = re.compile(":[0-9A-Fa-f]{0,4}:")


def _is_address(candidate: str) -> bool:
    if candidate.strip(":") == "" or not (":" in candidate or "." in candidate):
        return False
    try:
        ipaddress.ip_interface(candidate)
    except ValueError:
        return False
    return True


def _find_ip(text: str) -> Iterator[Span]:
    for pattern, hint in ((_IPV4, _IPV4_HINT), (_IPV6, _IPV6_HINT)):
        if not hint.search(text):
            continue
        for match in pattern.finditer(text):
            if _is_address(match[0]):
                yield Span(match.start(), match.end(), "IP_ADDRESS", _WRITTEN)


_PHONE_GROUPS = joined_by(r" ?[-./] ?| ?\(|\) ?[-./]?|  ?")
_EXTENSION = re.compile(r" ?(?:x|ext\.?|extension) ?\d{1,5}(?!\w)", re.IGNORECASE)
_INTERNATIONAL = re.compile(r"(?:\+|00)[1-9]")
_NANP = re.compile(r"(?:1[-. ]?)?(?:\(\d{3}\) ?|\d{3}([-. /]))\d{3}[-. ]\d{4}")
_TRUNK = re.compile(r"\(?0[1-9]")
_REGIONS = ("GB", "DE", "FR", "IT", "ES", "NL", "CH", "AT", "BE", "SE", "FI", "IN", "AU")
_FEWEST_DIGITS = 7
_MOST_DIGITS = 15


def _is_valid_number(candidate: str, region: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(candidate, region))
    except phonenumbers.NumberParseException:
        return False


def _phone_score(candidate: str) -> float:
    """Return how sure the form of a candidate is, before any context."""
    if is_date_or_years(candidate, 0, len(candidate)):
        return 0.0
    if _INTERNATIONAL.match(candidate):
        plus = "+" + candidate.lstrip("+").removeprefix("00")
        if _is_valid_number(plus, None):
            return _CERTAIN
        return _SHAPE if candidate[0] == "+" else _WEAK
    nanp = _NANP.fullmatch(candidate)
    if nanp:
        return _SHAPE if nanp[1] == " " else _WRITTEN
    if _TRUNK.match(candidate) and any(_is_valid_number(candidate, region) for region in _REGIONS):
        return _SHAPE
    return 0.0


def _opening(text: str, part: Run) -> int:
    """Return where a part starts with the `(` or `+` before it."""
    start = part.start
    if start and text[start - 1] == "(" and ")" in text[part.start : part.end]:
        start -= 1
    return start - 1 if start and text[start - 1] == "+" else start


def _closing(text: str, end: int) -> int:
    """Return where a number that ends at `end` ends with its extension."""
    extension = _EXTENSION.match(text, end)
    return extension.end() if extension else end


def _is_fraction(text: str, start: int) -> bool:
    """Say whether the digits at `start` stand behind a decimal point."""
    return text[start - 1 : start] in (".", ",") and text[start - 2 : start - 1].isdecimal()


def _find_phone(text: str) -> Iterator[Span]:
    for run in runs(text, _PHONE_GROUPS, fewest=_FEWEST_DIGITS):
        if is_date_or_years(text, run.start, run.end):
            continue
        done = 0
        for first, part in parts(run, shortest=_FEWEST_DIGITS, longest=_MOST_DIGITS):
            start, end = _opening(text, part), _closing(text, part.end)
            if first < done or not stands_alone(text, start, end) or _is_fraction(text, start):
                continue
            score = _phone_score(text[start : part.end])
            if score >= _NEEDS_CONTEXT:
                yield Span(start, end, "PHONE_NUMBER", score)
                done = first + len(part.groups)
        start, end = _opening(text, run), _closing(text, run.end)
        # The whole run too, since a part may be only the middle of an unknown format.
        if (
            _FEWEST_DIGITS <= run.digits <= _MOST_DIGITS
            and stands_alone(text, start, end)
            and not _is_fraction(text, start)
        ):
            yield Span(start, end, "PHONE_NUMBER", _WEAK)


CONTACT_RECOGNIZERS = (
    Recognizer(
        "e-mail address",
        ("EMAIL_ADDRESS",),
        _find_email,
        ("email", "emails", "mail", "mailto", "contact", "address"),
        Trigger.AT_SIGN,
    ),
    Recognizer("web address", ("URL",), _find_url, (), Trigger.DOT_OR_SCHEME, _WRITTEN),
    Recognizer(
        "IP address", ("IP_ADDRESS",), _find_ip, (), Trigger.ADDRESS_PUNCTUATION, _WRITTEN
    ),
    Recognizer(
        "telephone number",
        ("PHONE_NUMBER",),
        _find_phone,
        (
            "phone", "phones", "telephone", "tel", "telefon", "mobile", "mob", "cell", "cellphone",
            "call", "calls", "called", "calling", "fax", "dial", "ring", "sms", "whatsapp", "text",
            "answering", "contact", "reach", "message", "messages", "hotline", "landline",
        ),
        Trigger.SIX_DIGITS,
    ),
)  # fmt: skip
