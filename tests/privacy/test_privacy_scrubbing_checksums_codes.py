"""Check digits of patients, devices, securities and wallets: examples, errors and twins."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.scrubbing.checksums import health, securities, wallets

if TYPE_CHECKING:
    from collections.abc import Callable

PUBLISHED: list[tuple[Callable[[str], bool], tuple[str, ...]]] = [
    (health.nhs_is_valid, ("9434765919", "4505577104")),
    (health.npi_is_valid, ("1234567893",)),
    (health.gtin_is_valid, ("00614141999996", "4006381333931", "036000291452", "73513537")),
    (health.imei_is_valid, ("490154203237518",)),
    (health.vin_is_valid, ("1HGCM82633A004352", "1M8GDM9AXKP042788", "5GZCZ43D13S812715")),
    (securities.lei_is_valid, ("5493001KJTIIGC8Y1R12", "529900T8BM49AURSDO55")),
    (securities.isin_is_valid, ("US0378331005", "GB0002634946", "DE000BAY0017")),
    (securities.cusip_is_valid, ("037833100", "17275R102", "38259P508")),
    (securities.sedol_is_valid, ("0263494", "B0YBKJ7")),
]


@pytest.mark.parametrize(("check", "numbers"), PUBLISHED)
def test_published_numbers_are_valid_and_no_single_wrong_digit_is(
    check: Callable[[str], bool], numbers: tuple[str, ...]
) -> None:
    for number in numbers:
        assert check(number)
        for place, right in enumerate(number):
            for wrong in "0123456789":
                if right.isdecimal() and wrong != right:
                    assert not check(number[:place] + wrong + number[place + 1 :])


def test_most_wrong_digits_of_a_dea_number_are_caught() -> None:
    # Every second digit counts twice, so five more or less in it does not show.
    assert health.dea_is_valid("AB1234563")
    passing = [
        place
        for place in range(2, 9)
        for wrong in "0123456789"
        if wrong != "AB1234563"[place]
        and health.dea_is_valid("AB1234563"[:place] + wrong + "AB1234563"[place + 1 :])
    ]
    assert passing == [3, 5, 7]


@pytest.mark.parametrize(
    ("number", "valid"),
    [
        ("1EG4TE5MK73", True), ("0EG4TE5MK73", False), ("1SG4TE5MK73", False),
        ("1EGATE5MK73", False), ("1EG4TE5MK7", False), ("1EG4TE5M373", False),
    ],
)  # fmt: skip
def test_each_place_of_a_medicare_number_has_its_characters(number: str, valid: bool) -> None:  # noqa: FBT001
    assert health.mbi_is_valid(number) is valid


@given(st.one_of(st.text(max_size=24), st.text(alphabet="0123456789ABXZ\u0661", max_size=21)))
def test_no_check_raises_on_any_text(text: str) -> None:
    for check in (
        *(check for check, _ in PUBLISHED),
        health.dea_is_valid, health.mbi_is_valid, wallets.bitcoin_base58_is_valid,
        wallets.other_base58_is_valid, wallets.xrp_is_valid, wallets.segwit_is_valid,
        wallets.ethereum_is_valid,
    ):  # fmt: skip
        assert check(text) in (True, False)


# --- twins ---------------------------------------------------------------------------------

CODE = st.text(alphabet="0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=40)


def remainder_97(code: str) -> int:
    rest = 0
    for character in "".join(str("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(c)) for c in code):
        rest = (rest * 10 + int(character)) % 97
    return rest


@given(st.text(alphabet="0123456789ABCXYZ", min_size=18, max_size=18))
def test_an_lei_has_one_pair_of_check_digits(body: str) -> None:
    right = 98 - remainder_97(body + "00")
    assert [n for n in range(2, 99) if securities.lei_is_valid(f"{body}{n:02}")] == [right]


def naive_luhn(digits: str) -> bool:
    doubled = [int(c) * (2 if i % 2 else 1) for i, c in enumerate(digits[::-1])]
    return sum(sum(map(int, str(value))) for value in doubled) % 10 == 0


@given(st.text(alphabet="0123456789ABCXYZ", min_size=9, max_size=9))
def test_an_isin_has_one_check_digit(body: str) -> None:
    spelled = "".join(str(ord(c) - 55) if c.isalpha() else c for c in "US" + body)
    for digit in "0123456789":
        assert securities.isin_is_valid(f"US{body}{digit}") == naive_luhn(spelled + digit)


@given(st.text(alphabet="0123456789ABCXYZ", min_size=8, max_size=8))
def test_a_cusip_has_one_check_digit(body: str) -> None:
    total = 0
    for place, character in enumerate(body, start=1):
        value = int(character) if character.isdecimal() else ord(character) - 55
        value = value * 2 if place % 2 == 0 else value
        total += sum(int(digit) for digit in f"{value:02}")
    right = [d for d in "0123456789" if (total + int(d)) % 10 == 0]
    assert [d for d in "0123456789" if securities.cusip_is_valid(body + d)] == right


@given(st.text(alphabet="0123456789", min_size=9, max_size=9))
def test_an_nhs_number_has_one_check_digit_or_is_never_issued(body: str) -> None:
    check = 11 - sum(int(d) * w for d, w in zip(body, range(10, 1, -1), strict=True)) % 11
    right = [] if check == 10 else [str(check % 11)]
    assert [d for d in "0123456789" if health.nhs_is_valid(body + d)] == right


VIN_VALUES = {
    "A": 1, "B": 2, "C": 3, "D": 4, "E": 5, "F": 6, "G": 7, "H": 8, "J": 1, "K": 2, "L": 3, "M": 4,
    "N": 5, "P": 7, "R": 9, "S": 2, "T": 3, "U": 4, "V": 5, "W": 6, "X": 7, "Y": 8, "Z": 9,
}  # fmt: skip


@given(st.text(alphabet="0123456789ABCDEFGHJKLMNPRSTUVWXYZ", min_size=16, max_size=16))
def test_a_vin_has_one_check_character(rest: str) -> None:
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 9, 8, 7, 6, 5, 4, 3, 2)
    total = sum(
        (VIN_VALUES[c] if c in VIN_VALUES else int(c)) * w
        for c, w in zip(rest, weights, strict=True)
    )
    right = "X" if total % 11 == 10 else str(total % 11)
    found = [c for c in "0123456789X" if health.vin_is_valid(rest[:8] + c + rest[8:])]
    assert found == [right]


@given(st.text(alphabet="0123456789", min_size=13, max_size=13))
def test_a_gtin_has_one_check_digit(body: str) -> None:
    total = 3 * sum(map(int, body[::2])) + sum(map(int, body[1::2]))
    found = [d for d in "0123456789" if health.gtin_is_valid(body + d)]
    assert found == [str(-total % 10)]


# --- wallets -------------------------------------------------------------------------------


def test_keccak_gives_its_published_hashes() -> None:
    empty = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert wallets.keccak_256(b"").hex() == empty
    abc = "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"
    assert wallets.keccak_256(b"abc").hex() == abc


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_the_sponge_with_the_other_padding_is_hashlibs_sha3(message: bytes) -> None:
    assert wallets._sponge(message, 0x06) == hashlib.sha3_256(message).digest()


# From EIP-55.
MIXED = [
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("address", MIXED)
def test_the_capitals_of_an_ethereum_address_are_its_checksum(address: str) -> None:
    assert wallets.ethereum_is_valid(address)
    letters = [place for place, c in enumerate(address) if place > 1 and c.isalpha()]
    for place in letters:
        swapped = address[:place] + address[place].swapcase() + address[place + 1 :]
        assert not wallets.ethereum_is_valid(swapped)
    assert not wallets.ethereum_is_valid(address.lower())


OTHERS = [
    (wallets.other_base58_is_valid, "LaMT348PWRnrqeeWArpwQPbuanpXDZGEUz"),
    (wallets.other_base58_is_valid, "TJCnKsPa7y5okkXvQAidZBzqx3QyQ6sxMW"),
    (wallets.other_base58_is_valid, "DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L"),
    (wallets.xrp_is_valid, "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh"),
    (wallets.bitcoin_base58_is_valid, "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"),
    (wallets.segwit_is_valid, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
]


@pytest.mark.parametrize(("check", "address"), OTHERS)
def test_other_wallets_carry_their_checksum(check: Callable[[str], bool], address: str) -> None:
    assert check(address)
    for place, right in enumerate(address[4:], start=4):
        for wrong in "a2zQ":
            if wrong != right:
                assert not check(address[:place] + wrong + address[place + 1 :])
