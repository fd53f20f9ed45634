"""Invented numbers carry the check digits of their standards, in ranges that reach nobody.

The checks are those by which scrubbing finds such numbers: written by the standards, not after
the generator.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from domains.notes import identifiers
from domains.notes.people import Person
from privacy.scrubbing.checksums import banking as checksums
from privacy.scrubbing.checksums import health as checksums_health
from privacy.scrubbing.checksums import securities as checksums_securities
from privacy.scrubbing.checksums import taxes as checksums_tax
from privacy.scrubbing.checksums.wallets import bitcoin_base58_is_valid

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = Callable[[np.random.Generator], str]
    Check = Callable[[str], bool]

DRAWS = 300
CHECKED: dict[str, tuple[Draw, Check]] = {
    "iban": (identifiers.iban, checksums.iban_is_valid),
    "card": (identifiers.card, checksums.luhn_is_valid),
    "card network": (identifiers.card, checksums.card_network_is_known),
    "routing": (identifiers.routing_number, checksums.aba_is_valid),
    "ssn": (identifiers.ssn, checksums.ssn_is_issuable),
    "itin": (identifiers.itin, checksums.itin_is_issuable),
    "lei": (identifiers.lei, checksums_securities.lei_is_valid),
    "isin": (identifiers.isin, checksums_securities.isin_is_valid),
    "cusip": (identifiers.cusip, checksums_securities.cusip_is_valid),
    "sedol": (identifiers.sedol, checksums_securities.sedol_is_valid),
    "nhs": (identifiers.nhs_number, checksums_health.nhs_is_valid),
    "npi": (identifiers.npi, checksums_health.npi_is_valid),
    "dea": (identifiers.dea, checksums_health.dea_is_valid),
    "medicare": (identifiers.medicare_id, checksums_health.mbi_is_valid),
    "imei": (identifiers.imei, checksums_health.imei_is_valid),
    "vin": (identifiers.vin, checksums_health.vin_is_valid),
    "bitcoin": (identifiers.bitcoin, bitcoin_base58_is_valid),
}
TAX_CHECKS = (
    checksums_tax.nino_is_issuable, checksums_tax.bsn_is_valid, checksums_tax.cpf_is_valid,
    checksums_tax.pesel_is_valid, checksums_tax.pan_is_plausible, checksums_tax.sin_is_valid,
)  # fmt: skip


def drawn(draw: Draw) -> list[str]:
    return [draw(np.random.default_rng(seed)) for seed in range(DRAWS)]


def compact(value: str) -> str:
    return re.sub("[ .-]", "", value)


@pytest.mark.parametrize("name", CHECKED)
def test_every_number_passes_the_check_of_its_standard(name: str) -> None:
    draw, check = CHECKED[name]
    values = drawn(draw)
    assert [value for value in values if not check(compact(value))] == []
    assert len(set(values)) > DRAWS // 2


def test_tax_numbers_are_those_of_six_countries() -> None:
    values = [compact(value) for value in drawn(identifiers.tax_id)]
    for check in TAX_CHECKS:
        assert any(check(value) for value in values), check.__name__
    assert all(any(check(value) for check in TAX_CHECKS) for value in values)


def test_a_device_identifier_holds_a_valid_article_number() -> None:
    for value in drawn(identifiers.udi):
        match = re.fullmatch(r"\(01\)(\d{14})\(21\)\w+", value)
        assert match
        assert checksums_health.gtin_is_valid(match[1])


def test_addresses_on_the_network_are_of_the_blocks_for_documentation() -> None:
    blocks = [
        ipaddress.ip_network(block)
        for block in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
    ]
    for value in drawn(identifiers.ip_address):
        address = ipaddress.ip_address(value)
        assert any(address in block for block in blocks if block.version == address.version)


def test_mail_and_web_addresses_are_at_reserved_domains() -> None:
    person = Person("Zoë Ann", "Lee", "O'Neill")
    mails = drawn(lambda rng: identifiers.email(rng, person))
    for host in [m.partition("@")[2] for m in mails] + [
        re.sub("^https?://", "", url).partition("/")[0] for url in drawn(identifiers.url)
    ]:
        assert re.search(r"(^|\.)example\.(com|org|net)$", host), host
    assert all(re.fullmatch(r"[a-z0-9._+]+@[a-z.]+", mail) for mail in mails)


def test_phone_numbers_are_of_ranges_that_reach_nobody() -> None:
    reserved = (
        r"55501\d\d", r"2079460\d{3}", r"1134960\d{3}", r"1632960\d{3}", r"7700900\d{3}",
        r"3023125\d{3}", r"17139200\d\d", r"199\d{6}", r"639 ?98\d{4}", r"25550\d{4}",
        r"491570\d{3}", r"2091\d{5}", r"8465004\d\d",
    )  # fmt: skip
    pattern = re.compile("|".join(reserved))
    for value in drawn(identifiers.phone):
        digits = re.sub(r"\(0\)|\D", "", value)
        assert pattern.search(digits), value


def test_a_name_is_written_as_a_mailbox_without_accents() -> None:
    person = Person("Jürgen", "Øyvind", "Łuczak")
    assert (person.ascii_first, person.ascii_last) == ("Jurgen", "Luczak")
