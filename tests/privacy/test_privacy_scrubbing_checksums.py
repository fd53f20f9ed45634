from __future__ import annotations

import importlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.scrubbing.checksums import banking as checksums
from privacy.scrubbing.checksums import wallets as checksums_wallets

REGISTRY_IBANS = [
    "AE070331234567890123456",
    "AT611904300234573201",
    "BE68539007547034",
    "CH9300762011623852957",
    "DE89370400440532013000",
    "ES9121000418450200051332",
    "FI2112345600000785",
    "FR1420041010050500013M02606",
    "GB29NWBK60161331926819",
    "IT60X0542811101000000123456",
    "MT84MALT011000012345MTLCAST001S",
    "NL91ABNA0417164300",
    "NO9386011117947",
    "SE4550000000058398257466",
]


@pytest.mark.parametrize("iban", REGISTRY_IBANS)
def test_the_registrys_example_ibans_are_valid(iban: str) -> None:
    assert checksums.iban_is_valid(iban)


@pytest.mark.parametrize("iban", REGISTRY_IBANS)
def test_every_single_wrong_digit_of_an_iban_is_caught(iban: str) -> None:
    for place, right in enumerate(iban[4:], start=4):
        for wrong in "0123456789":
            if right.isdecimal() and wrong != right:
                assert not checksums.iban_is_valid(iban[:place] + wrong + iban[place + 1 :])


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "DE",
        "DE8937040044053201300",  # one short
        "DE893704004405320130000",  # one long
        "ZZ89370400440532013000",  # no such country
        "DE89 3704 0044 0532 0130 00",  # separators are the caller's
        "DE8937040044053201300\u0660",  # a digit of another script
    ],
)
def test_what_is_no_iban_is_refused_without_an_error(bad: str) -> None:
    assert not checksums.iban_is_valid(bad)


REGISTRY_IBANS_PRESIDIO_READS_TOO_SHORT = {
    "MU": "MU17BOMM0101101030300200000MUR",
    "PS": "PS92PALS000000000400123456702",
    "PT": "PT50000201231234567890154",
    "QA": "QA58DOHB00001234567890ABCDEFG",
}


def test_iban_lengths_agree_with_presidios_formats() -> None:
    patterns = importlib.import_module(
        "presidio_analyzer.predefined_recognizers.generic.iban_patterns"
    )
    # After the country code come pieces of known width such as ([0-9][ ]?){4} and [0-9]{2}[ ]?.
    piece = re.compile(r"\[[^\]]+\]\)?(?:\{(\d+)\})?")
    presidio = {
        country: 2 + sum(int(width or 1) for width in piece.findall(form[4:].replace("[ ]?", "")))
        for country, form in patterns.regex_per_country.items()
    }
    assert len(presidio) > 60
    for country, example in REGISTRY_IBANS_PRESIDIO_READS_TOO_SHORT.items():
        assert presidio.pop(country) < len(example)
        assert checksums.iban_is_valid(example)
    assert {country: checksums.IBAN_LENGTHS[country] for country in presidio} == presidio


def naive_luhn(digits: str) -> bool:
    doubled = [int(c) * (2 if i % 2 else 1) for i, c in enumerate(digits[::-1])]
    return sum(sum(map(int, str(value))) for value in doubled) % 10 == 0


@given(st.text(alphabet="0123456789", min_size=1, max_size=25))
def test_luhn_agrees_with_its_naive_twin(digits: str) -> None:
    assert checksums.luhn_is_valid(digits) == naive_luhn(digits)


@given(st.text(max_size=20))
def test_no_checksum_raises_on_any_text(text: str) -> None:
    for check in (
        checksums.iban_is_valid,
        checksums.luhn_is_valid,
        checksums.card_network_is_known,
        checksums.aba_is_valid,
        checksums_wallets.bitcoin_base58_is_valid,
        checksums_wallets.segwit_is_valid,
    ):
        assert check(text) in (True, False)


@pytest.mark.parametrize(
    "card",
    [
        "4111111111111111",
        "4222222222222",
        "5555555555554444",
        "2223003122003222",  # Mastercard's second series
        "378282246310005",
        "6011111111111117",
        "3530111333300000",
        "30569309025904",
        "6759649826438453",
        "6200000000000005",
    ],
)
def test_the_networks_published_test_cards_are_cards(card: str) -> None:
    assert checksums.luhn_is_valid(card)
    assert checksums.card_network_is_known(card)


@pytest.mark.parametrize("other", ["0000000000000000", "9111111111111111", "41111111111111"])
def test_no_network_issues_other_prefixes_or_lengths(other: str) -> None:
    assert not checksums.card_network_is_known(other)


@pytest.mark.parametrize("routing", ["021000021", "011401533", "091000019", "322271627"])
def test_published_routing_numbers_are_valid(routing: str) -> None:
    assert checksums.aba_is_valid(routing)


@pytest.mark.parametrize(
    "routing", ["021000022", "121000021", "931000021", "02100002", "000000000"]
)
def test_other_nine_digits_are_no_routing_number(routing: str) -> None:
    expected = routing == "000000000"  # its sum is zero: the Fed's own prefix 00
    assert checksums.aba_is_valid(routing) is expected


@pytest.mark.parametrize(
    "address",
    [
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
        "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
        "1111111111111111111114oLvT2",
    ],
)
def test_bitcoin_addresses_carry_their_checksum(address: str) -> None:
    assert checksums_wallets.bitcoin_base58_is_valid(address)
    assert not checksums_wallets.bitcoin_base58_is_valid(
        address[:-1] + ("2" if address[-1] != "2" else "3")
    )
    assert not checksums_wallets.bitcoin_base58_is_valid("1" + address)


# From BIP 173 and BIP 350.
@pytest.mark.parametrize(
    "address",
    [
        "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
        "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7kt5nd6y",
    ],
)
def test_segwit_addresses_carry_their_checksum(address: str) -> None:
    assert checksums_wallets.segwit_is_valid(address)


@pytest.mark.parametrize(
    "address",
    [
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",  # Bech32, not Bech32m
        "bc1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",  # mixed case
        "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",  # the test network
        "bc1",
        "",
    ],
)
def test_other_segwit_addresses_are_refused(address: str) -> None:
    assert not checksums_wallets.segwit_is_valid(address)


@pytest.mark.parametrize("ssn", ["536904399", "001010001", "899999999"])
def test_issuable_social_security_numbers(ssn: str) -> None:
    assert checksums.ssn_is_issuable(ssn)


@pytest.mark.parametrize(
    "ssn",
    ["000123456", "666123456", "900123456", "536004399", "536900000", "078051120", "111111111"],
)
def test_numbers_that_were_never_issued(ssn: str) -> None:
    assert not checksums.ssn_is_issuable(ssn)


@pytest.mark.parametrize(
    ("itin", "issuable"),
    [("900701234", True), ("912941234", True), ("900931234", False), ("800701234", False)],
)
def test_taxpayer_numbers_have_area_nine_and_an_irs_group(itin: str, issuable: bool) -> None:  # noqa: FBT001
    assert checksums.itin_is_issuable(itin) is issuable
