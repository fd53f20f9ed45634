"""A naive twin of the masked sum: the formulas as the papers write them, one number at a time.

It shares no code with `crypto`: X25519 is RFC 7748's ladder, HKDF is RFC 5869 over hmac, the mask
is one AES block per counter value, sharing is a polynomial in Python's integers. Only tests use it.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CURVE_PRIME = 2**255 - 19
SHARE_PRIME = 2**256 + 297


def x25519(scalar: bytes, u: bytes) -> bytes:
    """RFC 7748, section 5: the Montgomery ladder on curve25519."""
    k = bytearray(scalar)
    k[0] &= 248
    k[31] = (k[31] & 127) | 64
    bits = int.from_bytes(k, "little")
    p = CURVE_PRIME
    x1 = int.from_bytes(u, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in range(254, -1, -1):
        bit = (bits >> t) & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % p, b * b % p, d * a % p, c * b % p
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % p, x1 * (da - cb) ** 2 % p
        x2, z2 = aa * bb % p, e * (aa + 121665 * e) % p
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, p - 2, p) % p).to_bytes(32, "little")


def public_key(secret: bytes) -> bytes:
    return x25519(secret, (9).to_bytes(32, "little"))


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, sections 2.2 and 2.3, with SHA-256."""
    pseudo_random = hmac.digest(salt or bytes(32), secret, "sha256")
    out, last, counter = b"", b"", 1
    while len(out) < length:
        last = hmac.digest(pseudo_random, last + info + bytes([counter]), "sha256")
        out, counter = out + last, counter + 1
    return out[:length]


def key_stream(key: bytes, n_bytes: int, start: int = 2) -> bytes:
    """SP 800-38A, 6.5: one AES block per value of a 128-bit big-endian counter.

    From two: GCM keeps counter block one for its tag (SP 800-38D, 7.1).
    """
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - one block each
    counters = range(start, start + -(-n_bytes // 16))
    return b"".join(encryptor.update(c.to_bytes(16, "big")) for c in counters)[:n_bytes]


def mask_words(key: bytes, size: int) -> list[int]:
    stream = key_stream(key, 4 * size)
    return [int.from_bytes(stream[i : i + 4], "little") for i in range(0, 4 * size, 4)]


def evaluate(coefficients: Sequence[int], point: int) -> int:
    """The polynomial's value; `coefficients[0]` is the constant term."""
    return sum(c * point**power for power, c in enumerate(coefficients)) % SHARE_PRIME


def interpolate_at_zero(shares: Mapping[int, int]) -> int:
    """Lagrange's formula at zero over the share field."""
    total = 0
    for point, value in shares.items():
        term = value
        for other in shares:
            if other != point:
                term = term * other * pow(other - point, SHARE_PRIME - 2, SHARE_PRIME)
        total += term
    return total % SHARE_PRIME


def encoded(*fields: object) -> bytes:
    """A message's bytes: MessagePack of its schema tag and its fields in order."""
    return msgspec.msgpack.encode(list(fields))


def binding_digest(
    session: bytes, number: int, header: bytes, cohort: Sequence[str], parameters: bytes
) -> bytes:
    tag = "secure-fl.round-binding.v1"
    return hashlib.sha256(encoded(tag, session, number, header, list(cohort), parameters)).digest()


def self_mask(seed: bytes, site: str, binding: bytes, size: int) -> list[int]:
    context = encoded("secure-fl.self-mask.v1", binding, site)
    key = hkdf(seed, b"", b"secure-fl/v1/self-mask\x00" + context, 32)
    return mask_words(key, size)


def mask_scalar(mask_secret: bytes, session: bytes, site: str) -> bytes:
    """The X25519 scalar that follows from a site's mask secret."""
    context = encoded("secure-fl.masking-key.v1", session, site, "mask")
    return hkdf(mask_secret, b"", b"secure-fl/v1/masking-x25519\x00" + context, 32)


def keys_digest(fields: Sequence[object]) -> bytes:
    """What stands for announced keys: SHA-256 of the message with these fields, in order."""
    return hashlib.sha256(encoded("secure-fl.site-keys.v2", *fields)).digest()


@dataclass(frozen=True)
class Cohort:
    """The X25519 secrets of a cohort, and the digests of what was announced, by site."""

    scalars: Mapping[str, bytes]
    announced: Mapping[str, bytes]
    binding: bytes


def pairwise_mask(site: str, peer: str, cohort: Cohort, size: int) -> list[int]:
    """What `site` adds for `peer`: the pair's mask, negated if its own name is the greater."""
    low, high = sorted((site, peer))
    context = encoded(
        "secure-fl.pairwise-mask.v2",
        cohort.binding,
        low,
        high,
        cohort.announced[low],
        cohort.announced[high],
        *(False, False),  # neither end sent a half of the pair's secret
    )
    agreed = x25519(cohort.scalars[low], public_key(cohort.scalars[high]))
    words = mask_words(hkdf(agreed, b"", b"secure-fl/v1/pairwise-mask\x00" + context, 32), size)
    return words if site == low else [-word for word in words]


def upload(site: str, vector: Sequence[int], cohort: Cohort, seed: bytes) -> list[int]:
    """The masked vector of `site`."""
    own = self_mask(seed, site, cohort.binding, len(vector))
    total = [x + m for x, m in zip(vector, own, strict=True)]
    for peer in cohort.scalars:
        if peer != site:
            mask = pairwise_mask(site, peer, cohort, len(vector))
            total = [x + m for x, m in zip(total, mask, strict=True)]
    return [x % 2**32 for x in total]


def plain_sum(vectors: Sequence[Sequence[int]]) -> list[int]:
    """What the coordinator must learn, and all that it may."""
    return [sum(column) % 2**32 for column in zip(*vectors, strict=True)]
