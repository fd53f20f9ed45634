"""Check digits of tax numbers: published examples, single errors, and twins written otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.scrubbing.checksums import banking as checksums
from privacy.scrubbing.checksums import taxes as tax
from privacy.scrubbing.checksums.vat import vat_has_its_form, vat_is_valid

if TYPE_CHECKING:
    from collections.abc import Callable

# A check, examples that its authority or its literature prints, and whether no single wrong
# digit passes (where two remainders share a check digit, some do).
PUBLISHED: list[tuple[Callable[[str], bool], tuple[str, ...], bool]] = [
    (tax.utr_is_valid, ("1123456789",), False),
    (tax.steuer_id_is_valid, ("86095742719", "65929970489"), True),
    (tax.spi_is_valid, ("3023217600053",), True),
    (tax.nir_is_valid, ("255081416802538",), True),
    (tax.nif_is_valid, ("12345678Z", "X1234567L"), True),
    (tax.bsn_is_valid, ("123456782", "111222333"), True),
    (tax.belgian_is_valid, ("85073003328", "93051822361"), False),
    (tax.ahv_is_valid, ("7569217076985",), True),
    (tax.portuguese_is_valid, ("501964843",), False),
    (tax.personnummer_is_valid, ("8112189876",), True),
    (tax.henkilotunnus_is_valid, ("131052-308T",), True),
    (tax.cpr_is_valid, ("0707614285",), True),
    (tax.fodselsnummer_is_valid, ("15076500565",), True),
    (tax.pesel_is_valid, ("44051401359",), True),
    (tax.aadhaar_is_valid, ("234123412346",), True),
    (tax.cpf_is_valid, ("11144477735",), False),
    (tax.cnpj_is_valid, ("11222333000181",), False),
    (tax.sin_is_valid, ("193456787",), True),
    (tax.tfn_is_valid, ("123456782",), True),
    (tax.codice_fiscale_is_valid, ("RSSMRA85T10A562S",), False),
]  # fmt: skip

VAT_NUMBERS = [
    "ATU13585627", "BE0428759497", "DE136695976", "DK13585628", "ES54362315K", "ESB58378431",
    "FI20774740", "FR40303265045", "GB980780684", "IE6433435F", "IT00743110157", "LU15027442",
    "NL000099998B57", "NL004495445B01", "PL8567346215", "PT501964843", "SE123456789701",
]  # fmt: skip


def wrong_by_one_digit(number: str) -> list[str]:
    return [
        number[:place] + wrong + number[place + 1 :]
        for place, right in enumerate(number)
        if right.isdecimal()
        for wrong in "0123456789"
        if wrong != right
    ]


@pytest.mark.parametrize(("check", "numbers", "every"), PUBLISHED)
def test_published_numbers_are_valid_and_wrong_digits_are_not(
    check: Callable[[str], bool],
    numbers: tuple[str, ...],
    every: bool,  # noqa: FBT001 - a column of the table
) -> None:
    for number in numbers:
        assert check(number)
        wrong = wrong_by_one_digit(number)
        passing = [other for other in wrong if check(other)]
        assert len(passing) <= (0 if every else len(wrong) // 10), passing


@pytest.mark.parametrize("number", VAT_NUMBERS)
def test_vat_numbers_of_the_literature_are_valid_and_few_wrong_ones_are(number: str) -> None:
    assert vat_is_valid(number)
    wrong = wrong_by_one_digit(number)
    if not number.startswith("IE"):  # whose check letter is not computed here
        # The two digits after a Dutch B count branches, so they are not checked.
        assert sum(map(vat_is_valid, wrong)) <= len(wrong) // (5 if number[:2] == "NL" else 10)


@pytest.mark.parametrize(
    "number", ["DE036695976", "XX123456789", "DE13669597", "SE123456789702", ""]
)
def test_what_has_not_its_countrys_form_is_no_vat_number(number: str) -> None:
    assert not vat_has_its_form(number)
    assert not vat_is_valid(number)


@pytest.mark.parametrize(
    ("number", "issuable"),
    [
        ("AB123456C", True), ("BG123456A", False), ("QQ123456C", False), ("AO123456A", False),
        ("AB123456E", False), ("ab123456c", False),
    ],
)  # fmt: skip
def test_national_insurance_numbers_have_issued_letters(number: str, issuable: bool) -> None:  # noqa: FBT001
    assert tax.nino_is_issuable(number) is issuable


@pytest.mark.parametrize(
    ("number", "plausible"), [("ABCPE1234F", True), ("ABCDE1234F", False), ("ABCPE12345", False)]
)
def test_the_fourth_letter_of_a_pan_is_a_kind_of_holder(number: str, plausible: bool) -> None:  # noqa: FBT001
    assert tax.pan_is_plausible(number) is plausible


@pytest.mark.parametrize(
    ("digits", "issuable"),
    [("123456789", True), ("073456789", False), ("893456789", False), ("990000000", True)],
)
def test_employer_numbers_have_a_campus_prefix(digits: str, issuable: bool) -> None:  # noqa: FBT001
    assert checksums.ein_is_issuable(digits) is issuable


@given(st.one_of(st.text(max_size=20), st.text(alphabet="0123456789ABXYZ-+\u0661", max_size=16)))
def test_no_check_raises_on_any_text(text: str) -> None:
    for check in (
        *(check for check, _, _ in PUBLISHED),
        tax.nino_is_issuable, tax.pan_is_plausible, tax.cpr_is_plausible, vat_is_valid,
        checksums.ein_is_issuable,
    ):  # fmt: skip
        assert check(text) in (True, False)


# --- twins ---------------------------------------------------------------------------------

# Tables as printed in Verhoeff's dissertation.
VERHOEFF_PRODUCT = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678", "5987604321",
    "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
VERHOEFF_SHIFT = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901",
    "2793806415", "7046913258",
)  # fmt: skip


def naive_verhoeff(digits: str) -> bool:
    check = 0
    for place, digit in enumerate(digits[::-1]):
        check = int(VERHOEFF_PRODUCT[check][int(VERHOEFF_SHIFT[place % 8][int(digit)])])
    return check == 0


def naive_mod_11_10(digits: str) -> bool:
    # ISO 7064: the last sum must be 1, with 10 doubled and reduced modulo 11 on the way.
    product = 10
    for digit in digits[:-1]:
        total = (product + int(digit)) % 10
        product = (2 * (10 if total == 0 else total)) % 11
    return (product + int(digits[-1])) % 10 == 1


def naive_eleven_test(digits: str, weights: list[int]) -> bool:
    return sum(w * int(d) for w, d in zip(weights, digits, strict=True)) % 11 == 0


def naive_luhn(digits: str) -> bool:
    doubled = [int(c) * (2 if i % 2 else 1) for i, c in enumerate(digits[::-1])]
    return sum(sum(map(int, str(value))) for value in doubled) % 10 == 0


def digits_of(count: int) -> st.SearchStrategy[str]:
    return st.text(alphabet="0123456789", min_size=count, max_size=count)


@given(digits_of(12))
def test_aadhaar_agrees_with_verhoeffs_tables(digits: str) -> None:
    assert tax.aadhaar_is_valid(digits) == (digits[0] not in "01" and naive_verhoeff(digits))


@given(digits_of(11))
def test_mod_11_10_agrees_with_its_twin(digits: str) -> None:
    assert tax.mod_11_10_is_valid([int(d) for d in digits]) == naive_mod_11_10(digits)


@given(digits_of(9))
def test_nine_digits_agree_with_their_twins(digits: str) -> None:
    dutch = naive_eleven_test(digits, [9, 8, 7, 6, 5, 4, 3, 2, -1]) and digits != "000000000"
    assert tax.bsn_is_valid(digits) == dutch
    australian = naive_eleven_test(digits, [1, 4, 3, 7, 5, 8, 6, 9, 10])
    assert tax.tfn_is_valid(digits) == australian
    assert tax.sin_is_valid(digits) == (digits[0] not in "08" and naive_luhn(digits))
    rest = sum((9 - i) * int(d) for i, d in enumerate(digits[:8])) % 11
    expected = 0 if rest < 2 else 11 - rest
    assert tax.portuguese_is_valid(digits) == (digits[0] != "0" and int(digits[8]) == expected)


@given(digits_of(10))
def test_ten_digits_agree_with_their_twins(digits: str) -> None:
    rest = (
        sum(int(d) * w for d, w in zip(digits[1:], (6, 7, 8, 9, 10, 5, 4, 3, 2), strict=True)) % 11
    )
    check = 11 - rest
    check = check - 9 if check > 9 else check
    assert tax.utr_is_valid(digits) == (int(digits[0]) == check)
    day, month = int(digits[:2]), int(digits[2:4])
    is_date = 1 <= month <= 12 and 1 <= day <= (
        29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31
    )
    danish = naive_eleven_test(digits, [4, 3, 2, 7, 6, 5, 4, 3, 2, 1])
    assert tax.cpr_is_valid(digits) == (is_date and danish)


def naive_cpf_digit(digits: str) -> str:
    rest = (
        sum(int(d) * w for d, w in zip(digits, range(len(digits) + 1, 1, -1), strict=True))
        * 10
        % 11
    )
    return str(rest % 10)


@given(digits_of(9))
def test_a_cpf_that_is_completed_naively_is_valid(body: str) -> None:
    first = body + naive_cpf_digit(body)
    number = first + naive_cpf_digit(first)
    assert tax.cpf_is_valid(number) == (len(set(number)) > 1)
    assert not tax.cpf_is_valid(first + str((int(number[-1]) + 1) % 10))


@given(digits_of(13))
def test_a_nir_that_is_completed_naively_is_valid(body: str) -> None:
    body = "2" + body[1:3] + "07" + body[5:]
    key = next(key for key in range(1, 98) if (int(body) + key) % 97 == 0)
    assert tax.nir_is_valid(f"{body}{key:02}")
    assert not tax.nir_is_valid(f"{body}{key % 97 + 1:02}")


ODD_LETTERS = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3,
         6, 8, 12, 14, 16, 10, 22, 25, 24, 23],
        strict=True,
    )
)  # fmt: skip


@given(
    st.from_regex(r"[A-Z]{6}[0-9]{2}[ABCDEHLMPRST][0-9]{2}[A-Z][0-9]{3}", fullmatch=True),
)
def test_a_codice_fiscale_that_is_completed_naively_is_valid(body: str) -> None:
    total = 0
    for place, character in enumerate(body, start=1):
        if place % 2:
            total += ODD_LETTERS[character]
        else:
            total += int(character) if character.isdecimal() else ord(character) - 65
    right = chr(65 + total % 26)
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        assert tax.codice_fiscale_is_valid(body + letter) == (letter == right)


@given(digits_of(8))
def test_a_nif_has_one_letter(digits: str) -> None:
    valid = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if tax.nif_is_valid(digits + c)]
    assert valid == ["TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) - int(digits) // 23 * 23]]
