"""Shamir's secret sharing of 32-byte secrets over the prime field of 2^256 + 297 elements.

Shamir, "How to share a secret", 1979: the secret is the constant term of a random polynomial of
degree threshold - 1; a share is its value at a point; fewer shares than the threshold say nothing
about the secret. The arithmetic is Python's and not constant in time: it runs at a site on the
site's own secrets, where nobody else can measure single operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.errors import PeerError
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crypto.secrets import Entropy

PRIME = 2**256 + 297
"""The smallest prime above 2^256, so that each 32-byte secret is one field element."""

SECRET_BYTES = 32
SHARE_BYTES = 33
"""A share's value: one field element, big-endian."""

_COEFFICIENT_BYTES = 48  # reduced modulo PRIME: a bias below 2^-127 (RFC 9380, section 5)


@dataclass(frozen=True, eq=False)
class Share:
    """The polynomial's value at `point` (1 and up); `value` is 33 bytes."""

    point: int
    value: SecretBytes


def split(
    secret: SecretBytes, threshold: int, points: Iterable[int], entropy: Entropy
) -> tuple[Share, ...]:
    """Return one share per point; any `threshold` of them rebuild `secret`.

    Args:
        secret: 32 bytes.
        threshold: how many shares rebuild it, from 2 to the number of points.
        points: distinct field elements, each above zero (at zero lies the secret).
        entropy: the source of the polynomial's coefficients.

    Raises:
        ValueError: a secret of another length, a threshold that one holder meets alone or that
            all together miss, a repeated point, a point out of range.
    """
    where = _distinct(points)
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"Secrets of {SECRET_BYTES} bytes are shared, not of {len(secret)}.")
    if not 2 <= threshold <= len(where):  # noqa: PLR2004 - at 1 every share is the secret
        raise ValueError(
            f"A threshold of {threshold} over {len(where)} points was refused: it must be from 2 "
            "(below, one holder reads the secret alone) to the number of points."
        )
    raw = entropy(_COEFFICIENT_BYTES * (threshold - 1))
    coefficients = [
        int.from_bytes(raw[start : start + _COEFFICIENT_BYTES], "big") % PRIME
        for start in range(0, len(raw), _COEFFICIENT_BYTES)
    ]
    constant = int.from_bytes(secret.reveal(), "big")
    return tuple(
        Share(point, SecretBytes(_horner(coefficients, constant, point).to_bytes(SHARE_BYTES)))
        for point in where
    )


def combine(shares: Iterable[Share], threshold: int) -> SecretBytes:
    """Return the 32-byte secret that the first `threshold` of `shares` lie on.

    A wrong share gives a wrong secret, not an error: the caller compares what comes out with
    what the secret's owner announced.

    Raises:
        PeerError: too few shares, two for one point, a value out of range, or a result that no
            32-byte secret has.
    """
    chosen = list(shares)[:threshold]
    if len(chosen) < threshold:
        raise PeerError(
            f"{len(chosen)} shares do not rebuild a secret with threshold {threshold}: wait for "
            "more sites, or give the round up."
        )
    weights = weights_at_zero([share.point for share in chosen])
    return combine_weighted([share.value for share in chosen], weights)


def weights_at_zero(points: Sequence[int]) -> tuple[int, ...]:
    """Return the Lagrange weights w with f(0) = sum of w[i] f(points[i]), modulo PRIME.

    They depend on the points alone: compute them once for all secrets with the same holders.

    Raises:
        PeerError: a repeated point, or a point out of range.
    """
    try:
        where = _distinct(points)
    except ValueError as error:
        raise PeerError(f"These shares do not fit together: {error}") from error
    weights = []
    for point in where:
        above, below = 1, 1
        for other in where:
            if other != point:
                above = above * other % PRIME
                below = below * (other - point) % PRIME
        weights.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(weights)


def combine_weighted(values: Sequence[SecretBytes], weights: Sequence[int]) -> SecretBytes:
    """Return the secret at zero from share values and the weights of their points, in order.

    Raises:
        PeerError: a value is not a field element, or the result is no 32-byte secret.
        ValueError: there are not as many values as weights.
    """
    total = 0
    for value, weight in zip(values, weights, strict=True):
        total += _element(value) * weight
    total %= PRIME
    if total.bit_length() > 8 * SECRET_BYTES:
        raise PeerError(
            "The shares rebuild no 32-byte secret: at least one of them is wrong, and nothing was "
            "unmasked with it."
        )
    return SecretBytes(total.to_bytes(SECRET_BYTES))


def check_share_value(value: SecretBytes) -> None:
    """Raise PeerError unless `value` is the one 33-byte encoding of a field element."""
    _element(value)


def _element(value: SecretBytes) -> int:
    number = int.from_bytes(value.reveal(), "big")
    if len(value) != SHARE_BYTES or number >= PRIME:
        raise PeerError(
            f"A share of {len(value)} bytes is not an element of the field: it was not used. The "
            "site that sent it altered it, or runs another version."
        )
    return number


def _horner(coefficients: Sequence[int], constant: int, point: int) -> int:
    value = 0
    for coefficient in coefficients:
        value = (value + coefficient) * point % PRIME
    return (value + constant) % PRIME


def _distinct(points: Iterable[int]) -> tuple[int, ...]:
    where = tuple(points)
    if len(set(where)) != len(where):
        raise ValueError("two shares stand at one point.")
    if not all(0 < point < PRIME for point in where):
        raise ValueError("a point lies outside the field's non-zero elements.")
    return where
