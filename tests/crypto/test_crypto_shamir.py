"""Shamir sharing: the field, a naive twin, secrecy below the threshold, and bad shares."""

from __future__ import annotations

import os
from itertools import combinations

import pytest
import reference_masked_sum as twin
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import shamir
from crypto.errors import PeerError
from crypto.secrets import SecretBytes
from crypto.shamir import (
    PRIME,
    Share,
    check_share_value,
    combine,
    combine_weighted,
    split,
    weights_at_zero,
)

SECRETS = st.binary(min_size=32, max_size=32)
EDGES = [bytes(32), b"\xff" * 32, (1).to_bytes(32)]


def share(point: int, value: int) -> Share:
    return Share(point, SecretBytes(value.to_bytes(33)))


def test_the_worked_example_of_a_small_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example in Wikipedia's article: f(x) = 1234 + 166 x + 94 x^2 modulo 1613.

    No standard publishes shares over this module's own field; the arithmetic is the same.
    """
    monkeypatch.setattr(shamir, "PRIME", 1613)
    drawn = (94).to_bytes(48) + (166).to_bytes(48)
    shares = split(SecretBytes((1234).to_bytes(32)), 3, range(1, 7), lambda _length: drawn)
    values = [int.from_bytes(each.value.reveal()) for each in shares]
    assert values == [1494, 329, 965, 176, 1188, 775]
    for chosen in combinations(shares, 3):
        assert int.from_bytes(combine(chosen, 3).reveal()) == 1234


def test_the_modulus_is_the_smallest_prime_above_2_to_the_256() -> None:
    def is_prime(number: int) -> bool:  # Miller-Rabin with 40 fixed bases
        odd, twos = number - 1, 0
        while odd % 2 == 0:
            odd, twos = odd // 2, twos + 1
        for base in range(2, 42):
            x = pow(base, odd, number)
            if x in {1, number - 1}:
                continue
            if all((x := x * x % number) != number - 1 for _ in range(twos - 1)):
                return False
        return True

    assert is_prime(PRIME)
    assert not any(is_prime(number) for number in range(2**256, PRIME))


@settings(deadline=None)
@given(secret=SECRETS, n=st.integers(2, 12), data=st.data())
def test_any_threshold_of_shares_rebuilds_the_secret(
    secret: bytes, n: int, data: st.DataObject
) -> None:
    threshold = data.draw(st.integers(2, n))
    points = data.draw(st.lists(st.integers(1, 200), min_size=n, max_size=n, unique=True))
    shares = split(SecretBytes(secret), threshold, points, os.urandom)
    chosen = data.draw(st.permutations(shares))[:threshold]
    assert combine(chosen, threshold).reveal() == secret
    values = {part.point: int.from_bytes(part.value.reveal()) for part in chosen}
    assert twin.interpolate_at_zero(values) == int.from_bytes(secret)


@pytest.mark.parametrize("secret", EDGES, ids=["zero", "all-ones", "one"])
def test_the_edges_of_the_field_survive(secret: bytes) -> None:
    shares = split(SecretBytes(secret), 3, range(1, 6), os.urandom)
    for chosen in combinations(shares, 3):
        assert combine(chosen, 3).reveal() == secret


def test_the_shares_are_the_polynomial_that_the_twin_evaluates() -> None:
    raw = bytes(range(48 * 3))
    coefficients = [int.from_bytes(raw[i : i + 48]) % PRIME for i in range(0, 144, 48)]
    secret = bytes(range(32))
    shares = split(SecretBytes(secret), 4, range(1, 8), lambda length: raw[:length])
    naive = [int.from_bytes(secret), *reversed(coefficients)]
    assert [int.from_bytes(part.value.reveal()) for part in shares] == [
        twin.evaluate(naive, point) for point in range(1, 8)
    ]


def test_below_the_threshold_every_secret_fits_what_is_seen() -> None:
    # The proof of secrecy, by construction: two shares of a threshold of three, and for each of
    # two secrets a third share exists that makes them rebuild it.
    seen = split(SecretBytes(b"a" * 32), 3, (1, 2, 3), os.urandom)[:2]
    for secret in (b"b" * 32, bytes(32)):
        at_zero = Share(0, SecretBytes(b"\x00" + secret))
        points = {0: at_zero, **{part.point: part for part in seen}}
        third = 0
        for point, part in points.items():
            term = int.from_bytes(part.value.reveal())
            for other in points:
                if other != point:
                    term = term * (3 - other) * pow(point - other, -1, PRIME) % PRIME
            third = (third + term) % PRIME
        assert combine([*seen, share(3, third)], 3).reveal() == secret


def test_fresh_entropy_gives_other_shares() -> None:
    first = split(SecretBytes(b"s" * 32), 2, (1, 2), os.urandom)
    second = split(SecretBytes(b"s" * 32), 2, (1, 2), os.urandom)
    assert first[0].value.reveal() != second[0].value.reveal()


@pytest.mark.parametrize("threshold", [-1, 0, 1, 4])
def test_a_threshold_of_one_or_above_all_is_refused(threshold: int) -> None:
    with pytest.raises(ValueError, match="threshold"):
        split(SecretBytes(bytes(32)), threshold, (1, 2, 3), os.urandom)


@pytest.mark.parametrize("points", [(1, 1, 2), (0, 1, 2), (1, 2, PRIME), (1, -1, 2)])
def test_points_that_repeat_or_hit_the_secret_are_refused(points: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="point"):
        split(SecretBytes(bytes(32)), 2, points, os.urandom)
    with pytest.raises(PeerError, match="do not fit together"):
        weights_at_zero(points)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_secrets_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        split(SecretBytes(bytes(length)), 2, (1, 2), os.urandom)


def test_too_few_shares_are_refused() -> None:
    shares = split(SecretBytes(bytes(32)), 3, (1, 2, 3), os.urandom)
    with pytest.raises(PeerError, match="2 shares do not rebuild"):
        combine(shares[:2], 3)


def test_two_shares_at_one_point_are_refused() -> None:
    shares = split(SecretBytes(bytes(32)), 2, (1, 2), os.urandom)
    with pytest.raises(PeerError, match="do not fit together"):
        combine([shares[0], shares[0]], 2)


@pytest.mark.parametrize(
    "value", [PRIME.to_bytes(33), b"\xff" * 33, bytes(32), bytes(34), b""], ids=len
)
def test_a_value_outside_the_field_is_refused(value: bytes) -> None:
    with pytest.raises(PeerError, match="not an element"):
        check_share_value(SecretBytes(value))
    with pytest.raises(PeerError, match="not an element"):
        combine([share(1, 5), Share(2, SecretBytes(value))], 2)


def test_a_wrong_share_rebuilds_a_wrong_secret_or_none() -> None:
    secret = b"s" * 32
    shares = split(SecretBytes(secret), 2, (1, 2), os.urandom)
    value = int.from_bytes(shares[1].value.reveal())
    try:
        got = combine([shares[0], share(2, (value + 1) % PRIME)], 2).reveal()
    except PeerError:
        got = b""
    assert got != secret


def test_a_result_that_no_32_byte_secret_has_is_refused() -> None:
    # The line through (1, v) and (2, v) is constant: it rebuilds v, here above 2^256.
    with pytest.raises(PeerError, match="no 32-byte secret"):
        combine([share(1, 2**256), share(2, 2**256)], 2)


def test_values_and_weights_must_match_in_number() -> None:
    with pytest.raises(ValueError, match="zip"):
        combine_weighted([SecretBytes(bytes(33))], weights_at_zero([1, 2]))


def test_a_share_does_not_change_and_is_compared_by_identity_alone() -> None:
    share = Share(1, SecretBytes(bytes(33)))
    assert share == share  # noqa: PLR0124 - what equality is
    assert share != Share(1, share.value)  # comparing values would leak them by its timing
    with pytest.raises(AttributeError):
        share.point = 2  # type: ignore[misc]


def test_shares_do_not_print() -> None:
    (first, _) = split(SecretBytes(b"\xaa" * 32), 2, (1, 2), os.urandom)
    assert first.value.reveal().hex() not in repr(first)
    assert "secret bytes" in repr(first)
    assert len(first.value) == shamir.SHARE_BYTES
