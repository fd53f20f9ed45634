"""Recognisers for what banks write: IBAN, BIC, cards, accounts, routing numbers, wallets.

A number whose checksum fails is still scrubbed where the word for it stands beside it: a mistyped
account number points at its owner as well as the right one does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from privacy.scrubbing.checksums.banking import (
    COUNTRIES,
    IBAN_LENGTHS,
    aba_is_valid,
    card_network_is_known,
    iban_is_valid,
    luhn_is_valid,
)
from privacy.scrubbing.checksums.wallets import (
    bitcoin_base58_is_valid,
    ethereum_is_valid,
    other_base58_is_valid,
    segwit_is_valid,
    xrp_is_valid,
)
from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.rules.digit_groups import (
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
_SHAPE = 0.5
_NEEDS_CONTEXT = 0.3
_WEAK = 0.1

_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[ -]?\d\d")
_SPACED_CHARACTER = re.compile(r"[ -]?([A-Za-z0-9])")


def _find_iban(text: str) -> Iterator[Span]:
    for opening in _IBAN_START.finditer(text):
        start, end = opening.start(), opening.start()
        length = IBAN_LENGTHS.get(text[start : start + 2].upper(), 0)
        characters: list[str] = []
        while len(characters) < length:
            step = _SPACED_CHARACTER.match(text, end)
            if step is None:
                break
            characters.append(step[1])
            end = step.end()
        if not length or len(characters) < length or not stands_alone(text, start, end):
            continue
        valid = iban_is_valid("".join(characters).upper())
        yield Span(start, end, "IBAN_CODE", _CERTAIN if valid else _WEAK)


# Look-behinds stand after the first character, so that the search skips to where it occurs.
_SWIFT_FIELD = re.compile(r":5\d[A-Z]?:/{0,2}\Z")
"""The tag of a party in a SWIFT MT message, such as `:57A:`."""

_BIC = re.compile(r"[A-Z](?<!\w[A-Z])[A-Z]{3}([A-Z]{2})([A-Z0-9]{2}(?:[A-Z0-9]{3})?)(?!\w)")


def _find_bic(text: str) -> Iterator[Span]:
    for match in _BIC.finditer(text):
        if match[1] in COUNTRIES:
            if _SWIFT_FIELD.search(text, max(0, match.start() - 6), match.start()):
                yield Span(match.start(), match.end(), "BIC_CODE", _SHAPE)
                continue
            # Eight capitals are also an English word: DIVIDEND reads as a bank in Germany.
            score = _WEAK if match[2].isalpha() else _SHAPE
            yield Span(match.start(), match.end(), "BIC_CODE", score)


_CARD_GROUPS = joined_by("[ -]")
_SHORTEST_CARD = 12


def _card_score(digits: str) -> float:
    known, checked = card_network_is_known(digits), luhn_is_valid(digits)
    if known and checked:
        return _CERTAIN
    return _NEEDS_CONTEXT if checked else _WEAK if known else 0.0


def _find_card(text: str) -> Iterator[Span]:
    for run in runs(text, _CARD_GROUPS, fewest=_SHORTEST_CARD):
        done = 0
        for first, part in parts(run, shortest=_SHORTEST_CARD, longest=19):
            # Nobody mixes spaces and hyphens in one card: that is a number beside another.
            mixed = len({text[end] for _, end in part.groups[:-1]}) > 1
            if first < done or mixed or not stands_alone(text, part.start, part.end):
                continue
            score = _card_score("".join(text[start:end] for start, end in part.groups))
            if score:
                yield Span(part.start, part.end, "CREDIT_CARD", score)
            if score == _CERTAIN:
                done = first + len(part.groups)


_BANK_NUMBER = re.compile(r"\d(?<!\w\d)\d{7,16}(?!\w)")


def _find_us_bank_number(text: str) -> Iterator[Span]:
    for match in _BANK_NUMBER.finditer(text):
        yield Span(match.start(), match.end(), "US_BANK_NUMBER", _WEAK)


_ABA = re.compile(r"\d(?<![\w-]\d)\d{3}-?\d{4}-?\d(?![\w-])")


def _find_aba(text: str) -> Iterator[Span]:
    for match in _ABA.finditer(text):
        if aba_is_valid(match[0].replace("-", "")):
            yield Span(match.start(), match.end(), "ABA_ROUTING_NUMBER", _NEEDS_CONTEXT)


_ACCOUNT_GROUPS = joined_by(" ?[-/] ?| ")
_SHORTEST_ACCOUNT = 6
_LONGEST_ACCOUNT = 24
_MASKED = re.compile(r"(?<!\w)(?:[Xx*\u2022]{2,}[ -]?){1,5}\d{2,6}(?!\w)")
_MASK_HINT = re.compile("[Xx*\u2022]{2}")
_MONEY_BEFORE = re.compile(
    r"(?:\b(?:EUR|USD|GBP|CHF|SEK|NOK|DKK|JPY|INR)|[$\u20ac\u00a3\u00a5]) ?$"
)
_MONEY_AFTER = re.compile(
    r" ?(?:[.,]\d|%|[$\u20ac\u00a3\u00a5]|(?:EUR|USD|GBP|CHF|SEK|NOK|DKK|JPY|INR|euros?|dollars?|"
    r"pounds?|m|mn|mln|million|bn|billion|shares?|percent|per cent)\b)"
)
_LONGEST_MONEY_WORD = 4


def _is_amount(text: str, start: int, end: int) -> bool:
    before = _MONEY_BEFORE.search(text, max(0, start - _LONGEST_MONEY_WORD), start)
    return before is not None or _MONEY_AFTER.match(text, end) is not None


def _find_account_number(text: str) -> Iterator[Span]:
    for run in runs(text, _ACCOUNT_GROUPS, fewest=_SHORTEST_ACCOUNT):
        start, end = run.start, run.end
        if _SWIFT_FIELD.search(text, max(0, start - 7), start):
            yield Span(start, end, "ACCOUNT_NUMBER", _SHAPE)
            continue
        if (
            run.digits <= _LONGEST_ACCOUNT
            and stands_alone(text, start, end)
            and not is_date_or_years(text, start, end)
            and not _is_amount(text, start, end)
        ):
            yield Span(start, end, "ACCOUNT_NUMBER", _WEAK)
    if not _MASK_HINT.search(text):
        return
    for match in _MASKED.finditer(text):
        yield Span(match.start(), match.end(), "ACCOUNT_NUMBER", _NEEDS_CONTEXT)


_BASE58_ADDRESS = re.compile(r"(?<!\w)[13LMDXATr9][1-9A-HJ-NP-Za-km-z]{24,34}(?!\w)")
_BECH32_ADDRESS = re.compile(r"(?<!\w)(?:bc|ltc)1[02-9ac-hj-np-z]{22,71}(?!\w)", re.IGNORECASE)
_ETHEREUM_ADDRESS = re.compile(r"(?<!\w)0x[0-9A-Fa-f]{40}(?!\w)")
_BASE58_CHECKS = (bitcoin_base58_is_valid, other_base58_is_valid, xrp_is_valid)


def _find_crypto(text: str) -> Iterator[Span]:
    for match in _BASE58_ADDRESS.finditer(text):
        if any(check(match[0]) for check in _BASE58_CHECKS):
            yield Span(match.start(), match.end(), "CRYPTO", _CERTAIN)
    for match in _BECH32_ADDRESS.finditer(text):
        if segwit_is_valid(match[0]):
            yield Span(match.start(), match.end(), "CRYPTO", _CERTAIN)
    for match in _ETHEREUM_ADDRESS.finditer(text):
        score = _CERTAIN if ethereum_is_valid(match[0]) else _SHAPE
        yield Span(match.start(), match.end(), "CRYPTO", score)


_ACCOUNT_WORDS = (
    "account", "accounts", "acct", "acc", "accountno", "a/c", "konto", "kontonummer", "compte",
    "cuenta", "conto", "rekening", "tili", "tilinumero",
)  # fmt: skip

BANKING_RECOGNIZERS = (
    Recognizer(
        "iban",
        ("IBAN_CODE",),
        _find_iban,
        ("iban", "ibans", "bank", "transfer", "wire", *_ACCOUNT_WORDS),
        Trigger.COUNTRY_AND_CHECK,
    ),
    Recognizer(
        "bic",
        ("BIC_CODE",),
        _find_bic,
        ("bic", "swift", "swiftcode", "correspondent"),
        Trigger.SIX_CAPITALS,
        _SHAPE,
    ),
    Recognizer(
        "credit card",
        ("CREDIT_CARD",),
        _find_card,
        (
            "card", "cards", "cc", "credit", "creditcard", "debit", "visa", "mastercard", "amex",
            "maestro", "discover", "diners", "jcb", "unionpay", "rupay",
        ),
        Trigger.SIX_DIGITS,
    ),
    Recognizer(
        "US bank number",
        ("US_BANK_NUMBER",),
        _find_us_bank_number,
        ("bank", "check", "checking", "savings", "debit", "deposit", *_ACCOUNT_WORDS),
        Trigger.SIX_DIGITS,
        _WEAK,
    ),
    Recognizer(
        "ABA routing number",
        ("ABA_ROUTING_NUMBER",),
        _find_aba,
        ("aba", "routing", "rtn", "transit", "bank", "wire"),
        Trigger.SIX_DIGITS,
        _NEEDS_CONTEXT,
    ),
    Recognizer(
        "account number",
        ("ACCOUNT_NUMBER",),
        _find_account_number,
        ("sort", "ending", "customer", "policy", "loan", "mortgage", *_ACCOUNT_WORDS),
        Trigger.DIGIT,
        _NEEDS_CONTEXT,
    ),
    Recognizer("wallet address", ("CRYPTO",), _find_crypto, (), Trigger.TWENTY_FIVE_CHARACTERS),
)  # fmt: skip
