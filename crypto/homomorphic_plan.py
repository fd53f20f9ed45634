"""Which encryption parameters hold a sum: arithmetic on ranges, noise and bytes, and no ciphertext.

A plan knows no key and loads no library, so that a configuration is checked in microseconds. The
steps HE.n that comments cite stand in docs/homomorphic-sums.md.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np

from crypto.codec import Message, encode
from crypto.digests import sha256
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

STANDARD_BITS: Final = {4096: 109, 8192: 218}
"""Largest coefficient modulus, in bits, that 128-bit security allows per polynomial degree, for a
ternary secret: Albrecht et al., "Homomorphic Encryption Standard" (2018), table 1."""

NOISE_OF_ONE: Final = 22
"""Bound on a fresh ciphertext's noise, in units of the coefficient modulus: SEAL draws errors from
a centred binomial distribution on [-21, 21], and scaling a message rounds by at most one half."""

LARGEST_SUM: Final = 1 << 62
"""Sums are int64, and their reconstruction needs one bit of room."""

_LARGEST_CKKS_SUM: Final = 1 << 36
"""Doubles carry 53 bits: up to here, rounding in the transforms stays far below a quarter step."""

_CKKS_PARTIES: Final = 1 << 10
"""Worst-case noise of this many, 8192 * 22 * 2^10 / 2^40 = 0.0002 steps, is far below a quarter."""

_WORD_BYTES: Final = 8
_POLYNOMIALS: Final = 2
"""A ciphertext that was only added is two polynomials."""

_CIPHERTEXT_EXTRA_BYTES: Final = 1024
"""SEAL's header, its fields and what compression adds to incompressible words; about 200."""

_BLOCK_EXTRA_BYTES: Final = 256
"""The fields of a block beside its ciphertexts, with the longest name; about 120."""


class Scheme(enum.Enum):
    """How the numbers lie in a ciphertext."""

    BFV = "bfv"
    """Integers modulo a prime, added exactly: the default."""

    CKKS = "ckks"
    """Approximate reals with NVIDIA FLARE's parameters, rounded to the integers they stand for."""


@dataclass(frozen=True)
class SealParameters:
    """One set of encryption parameters.

    Attributes:
        scheme: BFV or CKKS.
        degree: of the polynomials, N.
        coefficient_bits: sizes of the primes of the coefficient modulus; the last one serves keys
            only and is in no ciphertext.
        plain_modulus: the batching prime t of BFV (1 modulo 2N); 0 for CKKS.
        scale_bits: log2 of what CKKS multiplies numbers with; 0 for BFV.

    Raises:
        ConfigError: 128-bit security does not allow this modulus at this degree.
    """

    scheme: Scheme
    degree: int
    coefficient_bits: tuple[int, ...]
    plain_modulus: int
    scale_bits: int

    def __post_init__(self) -> None:
        bits, allowed = sum(self.coefficient_bits), STANDARD_BITS.get(self.degree, 0)
        if bits > allowed:
            raise ConfigError(
                f"A coefficient modulus of {bits} bits at polynomial degree {self.degree} was "
                f"refused: the homomorphic encryption standard allows {allowed} bits for 128-bit "
                "security, and more could be broken."
            )

    @property
    def slots(self) -> int:
        """Numbers in one ciphertext."""
        return self.degree if self.scheme is Scheme.BFV else self.degree // 2

    @property
    def primes(self) -> int:
        """Primes of the coefficient modulus that are in a ciphertext."""
        return len(self.coefficient_bits) - 1

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of a ciphertext in memory."""
        return _POLYNOMIALS * self.degree * self.primes * _WORD_BYTES

    @property
    def limit_bytes(self) -> int:
        """Bytes above which a serialised ciphertext is refused unread."""
        return self.ciphertext_bytes + _CIPHERTEXT_EXTRA_BYTES

    @property
    def most_parties(self) -> int:
        """Largest n for which every outcome of the noise decrypts exactly.

        BFV decrypts exactly while n times the noise of one is below q / (2 t); q is taken as half
        of what its bits say, since a prime of b bits is above 2^(b-1).
        """
        if self.scheme is Scheme.CKKS:
            return _CKKS_PARTIES
        bits = sum(self.coefficient_bits[:-1]) - 1
        return ((1 << bits) // (2 * self.plain_modulus) - 1) // NOISE_OF_ONE


_NARROW: Final = (SealParameters(Scheme.BFV, 4096, (36, 36), 1032193, 0),)
_WIDE: Final = (SealParameters(Scheme.BFV, 4096, (48, 48), 17179754497, 0),)
_TWO_MODULI: Final = (*_WIDE, SealParameters(Scheme.BFV, 4096, (48, 48), 17179672577, 0))
_FLARE: Final = (SealParameters(Scheme.CKKS, 8192, (60, 40, 40), 0, 40),)
"""NVIDIA FLARE's defaults: poly_modulus_degree, coeff_mod_bit_sizes and scale_bits."""


class PlanRecord(Message, frozen=True, tag="secure-fl.homomorphic-plan.v1"):
    """The encoding of a `SumPlan`."""

    scheme: Scheme
    values: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    largest: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    parties: Annotated[int, msgspec.Meta(ge=1, lt=2**32)]


@dataclass(frozen=True)
class SumPlan:
    """What is summed, and the parameters that follow from it.

    All tensors of an update lie one after the other in one vector, so that only the last of all
    ciphertexts has unused slots.

    Trust, whatever the plan: all sites hold one key, so ONE SITE AND THE COORDINATOR TOGETHER READ
    EVERY SITE'S VECTOR.

    Formal guarantees: with at most `parties` addends of absolute value at most `largest`, a BFV
    sum is exact for every outcome of the encryption's randomness; the plain modulus is at least
    twice as large as the number of possible sums, so that a ciphertext that holds anything else
    passes the range check with probability at most 2^-u for its u used slots.

    Attributes:
        values: numbers in one site's vector, d.
        largest: the largest absolute integer that one site may send.
        parties: the most sites whose vectors are added.
        scheme: BFV unless asked for otherwise.

    Raises:
        ConfigError: no parameters hold parties * largest, or that many ciphertexts' noise.
    """

    values: int
    largest: int
    parties: int
    scheme: Scheme = Scheme.BFV

    def __post_init__(self) -> None:
        if min(self.values, self.largest) < 1 or self.parties < 2:  # noqa: PLR2004 - a sum has two addends
            raise ConfigError(
                f"A sum of {self.values} values up to {self.largest} over {self.parties} sites was "
                "refused: it takes at least one value, a largest of 1 and two sites."
            )
        most = self.parameters[0].most_parties
        if self.parties > most:
            raise ConfigError(
                f"A homomorphic sum over {self.parties} sites was refused: the noise of so many "
                f"ciphertexts could spoil a sum up to {self.bound}. At most {most} sites fit."
            )

    @property
    def bound(self) -> int:
        """The largest absolute value of a sum: parties * largest."""
        return self.parties * self.largest

    @property
    def parameters(self) -> tuple[SealParameters, ...]:
        """One set per modulus: the smallest ciphertexts that hold the range.

        A 20-bit prime, else a 34-bit one (a longer coefficient modulus costs less than a second
        ciphertext), else two 34-bit primes and the Chinese remainder theorem.

        Raises:
            ConfigError: none holds it.
        """
        choices = (_NARROW, _WIDE, _TWO_MODULI) if self.scheme is Scheme.BFV else (_FLARE,)
        for choice in choices:
            if self.bound <= _largest_sum(choice):
                return choice
        most = _largest_sum(choices[-1])
        raise ConfigError(
            f"The sum could wrap, so it was refused: {self.parties} sites * {self.largest} = "
            f"{self.bound} > {most}, the largest sum that {self.scheme.value} carries here. Use a "
            "coarser grid, a smaller clip or fewer sites."
        )

    @property
    def slots(self) -> int:
        """Numbers in one block."""
        return self.parameters[0].slots

    @property
    def blocks(self) -> int:
        """Blocks of one vector: ceil(values / slots)."""
        return -(-self.values // self.slots)

    @property
    def block_limit_bytes(self) -> int:
        """Bytes above which a block on the wire is refused unread."""
        return sum(part.limit_bytes for part in self.parameters) + _BLOCK_EXTRA_BYTES

    @property
    def running_bytes(self) -> int:
        """Bytes that the coordinator's running sum takes."""
        return self.blocks * sum(part.ciphertext_bytes for part in self.parameters)

    def digest(self) -> bytes:
        """Return the SHA-256 that stands for this plan in every block, 32 bytes."""
        return sha256(encode(PlanRecord(self.scheme, self.values, self.largest, self.parties)))


def _largest_sum(parameters: tuple[SealParameters, ...]) -> int:
    """Largest B with 2 (2B + 1) <= the product of the plain moduli, and what integers carry."""
    if parameters[0].scheme is Scheme.CKKS:
        return _LARGEST_CKKS_SUM
    product = 1
    for part in parameters:
        product *= part.plain_modulus
    return min((product // 2 - 1) // 2, LARGEST_SUM)


def split(values: NDArray[np.int64], modulus: int) -> NDArray[np.int64]:
    """Return the residues of `values`, shape `(k,)`, in [-(modulus - 1) / 2, (modulus - 1) / 2]."""
    residues: NDArray[np.int64] = np.mod(values, np.int64(modulus))
    return np.where(residues > modulus // 2, residues - modulus, residues)


def join(
    low: NDArray[np.int64], high: NDArray[np.int64], moduli: tuple[int, int], bound: int
) -> NDArray[np.int64] | None:
    """Return the integers with these centred residues, shape `(k,)`, if all lie within `bound`.

    Garner's form of the Chinese remainder theorem: x = low + m1 * k with
    k = (high - low) / m1 modulo m2. Moduli are below 2^35, so k's product is taken in two halves
    of 17 bits, and what is out of range is found before it can leave int64.

    Returns:
        None when a value lies beyond `bound`, at most `LARGEST_SUM`.
    """
    first, second = moduli
    inverse = pow(first, -1, second)
    upper, lower = np.int64(inverse >> 17), np.int64(inverse & 0x1FFFF)
    difference = np.mod(high - low, np.int64(second))
    product = np.mod(difference * upper, np.int64(second)) * np.int64(1 << 17)
    quotient = split(product + difference * lower, second)
    if np.abs(quotient).max(initial=0) > bound // first + 1:
        return None
    values: NDArray[np.int64] = low + np.int64(first) * quotient
    return values if np.abs(values).max(initial=0) <= bound else None
