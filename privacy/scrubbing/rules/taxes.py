"""Recognisers for the numbers under which people and firms are taxed, by country."""

from __future__ import annotations

from typing import TYPE_CHECKING

from privacy.scrubbing.checksums import taxes as tax
from privacy.scrubbing.checksums.banking import ein_is_issuable
from privacy.scrubbing.checksums.vat import VAT_COUNTRIES, vat_has_its_form, vat_is_valid
from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.rules.forms import (
    CERTAIN,
    NEEDS_CONTEXT,
    NONE,
    SHAPE,
    WEAK,
    WRITTEN,
    Form,
    checked,
    finder,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def _any_of(*checks: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda number: any(check(number) for check in checks)


def _with_date_score(number: str) -> float:
    """Score a Swedish, Danish or Finnish number of digits with its hyphen or plus."""
    ten = number.replace("+", "")[-10:]
    if tax.personnummer_is_valid(ten) or tax.cpr_is_valid(ten) or _henkilotunnus_is_valid(number):
        return WRITTEN
    return NEEDS_CONTEXT if tax.cpr_is_plausible(ten) else WEAK


def _vat_score(number: str) -> float:
    if not vat_has_its_form(number):
        return NONE
    return WRITTEN if vat_is_valid(number) else WEAK


_has_two_check_digits = _any_of(tax.cpf_is_valid, tax.fodselsnummer_is_valid, tax.belgian_is_valid)
_one_check_digit_score = checked(_any_of(tax.steuer_id_is_valid, tax.pesel_is_valid), NEEDS_CONTEXT)

_COUNTRY = f"(?:{'|'.join(VAT_COUNTRIES)})"

# Before shorter forms stand the longer ones that start alike.
_NUMBERS = (
    Form("US_EIN", r"\d\d-\d{7}", checked(ein_is_issuable, SHAPE)),
    Form(
        "TAX_ID",
        r"(?:19|20)?\d{6}[-+]\d{4}",  # Swedish, Danish
        _with_date_score,
    ),
    Form(
        "TAX_ID",
        r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]",  # Finnish
        lambda number: WRITTEN if _henkilotunnus_is_valid(number) else NEEDS_CONTEXT,
    ),
    Form("TAX_ID", r"\d{8}-?[A-Z]|[XYZ][ -]?\d{7}[ -]?[A-Z]", checked(tax.nif_is_valid, WRITTEN)),
    Form(
        "TAX_ID",
        r"[A-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-D]",
        checked(tax.nino_is_issuable, WRITTEN, NONE),
    ),
    Form(
        "TAX_ID",
        rf"{_COUNTRY}[ -]?(?:[A-Z0-9]{{8,12}}|\d{{2,4}}(?:[ .]\d{{3,4}}){{2,3}})",
        _vat_score,
    ),
    Form("TAX_ID", r"CHE[ -]?\d{3}\.?\d{3}\.?\d{3}", lambda _: WRITTEN),
    Form("TAX_ID", r"\d{3}\.\d{3}\.\d{3}-\d\d", checked(tax.cpf_is_valid, CERTAIN, SHAPE)),
    Form("TAX_ID", r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", checked(tax.belgian_is_valid, CERTAIN, SHAPE)),
    Form("TAX_ID", r"\d\d\.\d{3}\.\d{3}/\d{4}-\d\d", checked(tax.cnpj_is_valid, CERTAIN, SHAPE)),
    Form("TAX_ID", r"756\.?\d{4}\.?\d{4}\.?\d\d", checked(tax.ahv_is_valid, CERTAIN)),
    Form(
        "TAX_ID",
        r"[1-478] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d",
        checked(tax.nir_is_valid, CERTAIN),
    ),
    Form("TAX_ID", r"\d{14}", checked(tax.cnpj_is_valid, SHAPE)),
    Form("TAX_ID", r"\d\d ?\d\d ?\d{3} ?\d{3} ?\d{3}", checked(tax.spi_is_valid, SHAPE)),
    Form("TAX_ID", r"\d{4}[ -]?\d{4}[ -]?\d{4}", checked(tax.aadhaar_is_valid, NEEDS_CONTEXT)),
    Form(
        "TAX_ID",
        r"\d{11}|\d\d \d{3} \d{3} \d{3}|\d{6} \d{5}",
        lambda number: SHAPE if _has_two_check_digits(number) else _one_check_digit_score(number),
    ),
    Form(
        "TAX_ID",
        r"\d{5} ?\d{5}",
        checked(
            _any_of(tax.utr_is_valid, tax.personnummer_is_valid, tax.cpr_is_valid), NEEDS_CONTEXT
        ),
    ),
    Form(
        "TAX_ID",
        r"\d{3}[ .-]?\d{3}[ .-]?\d{3}|\d{4}\.\d\d\.\d{3}",
        checked(
            _any_of(
                tax.bsn_is_valid, tax.sin_is_valid, tax.tfn_is_valid, tax.portuguese_is_valid
            ),
            NEEDS_CONTEXT,
        ),
    ),
)  # fmt: skip


def _henkilotunnus_is_valid(compact: str) -> bool:
    # The hyphen of the last century was taken for a separator.
    return tax.henkilotunnus_is_valid(
        compact if len(compact) == 11 else f"{compact[:6]}-{compact[6:]}"  # noqa: PLR2004 - with its sign
    )


def _codice_score(compact: str) -> float:
    if compact.isalpha():
        return NONE
    return CERTAIN if tax.codice_fiscale_is_valid(compact) else SHAPE


_LETTERED = (
    Form(
        "TAX_ID",
        r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",
        _codice_score,
    ),
    Form("TAX_ID", r"[A-Z]{5}\d{4}[A-Z]", checked(tax.pan_is_plausible, SHAPE)),
)

_TAX_WORDS = (
    "tax", "taxes", "tin", "taxpayer", "ein", "fein", "employer", "irs", "utr", "nino", "nin",
    "insurance", "vat", "steuer", "steuernummer", "steuerid", "idnr", "identifikationsnummer",
    "ust", "ustid", "mwst", "tva", "iva", "btw", "moms", "nif", "nie", "dni", "cif", "nir", "spi",
    "insee", "fiscal", "fiscale", "codice", "bsn", "burgerservicenummer", "personnummer",
    "samordningsnummer", "hetu", "henkil\u00f6tunnus", "cpr", "f\u00f8dselsnummer", "pesel", "pan",
    "aadhaar", "aadhar", "uid", "cpf", "cnpj", "sin", "tfn", "ahv", "avs", "rijksregisternummer",
)  # fmt: skip

TAX_RECOGNIZERS = (
    Recognizer(
        "tax number",
        ("TAX_ID", "US_EIN"),
        finder(_NUMBERS, opening="[0-9A-Z][0-9A-Z -]"),
        _TAX_WORDS,
        Trigger.SIX_DIGITS,
    ),
    Recognizer(
        "tax code with letters",
        ("TAX_ID",),
        finder(_LETTERED, opening="[A-Z]{5}"),
        _TAX_WORDS,
        Trigger.FIVE_CAPITALS_AND_DIGIT,
    ),
)
