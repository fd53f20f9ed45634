"""TenSEAL, and the only place that imports it: ciphertexts, their sums, and the key.

Parameters never come from another party, and neither does TenSEAL's own envelope, whose sizes it
believes (a longer one than the ciphertext makes it read beyond its memory): only the bytes of one
SEAL ciphertext travel, bounded before they are read, and the envelope is built here around them.
SEAL checks what it loads: the parameters' hash, the shape, and every word below its prime.

Encryption is under the secret key. Every site holds it anyway, nobody else can then make
ciphertexts, the noise is smaller and encrypting takes about half the time; TenSEAL serialises
both kinds to equally many bytes (docs/homomorphic-sums.md has the measurements).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

import numpy as np
import tenseal

from crypto.errors import IntegrityError, PeerError
from crypto.homomorphic_plan import Scheme
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crypto.homomorphic_plan import SealParameters

# The wrapper converts each vector to a list and back; TenSEAL's own classes take it as it is.
_NATIVE: Final = tenseal._ts_cpp  # noqa: SLF001 - a third of the time of an encryption
_VECTORS: Final = {Scheme.BFV: _NATIVE.BFVVector, Scheme.CKKS: _NATIVE.CKKSVector}
_SCHEMES: Final = {Scheme.BFV: tenseal.SCHEME_TYPE.BFV, Scheme.CKKS: tenseal.SCHEME_TYPE.CKKS}
_REFUSALS: Final = (RuntimeError, ValueError, MemoryError)
"""What SEAL raises for bytes that it does not take, and for sums it refuses to make.

A damaged length in a key asks for more memory than there is.
"""

_QUARTER: Final = 0.25

# TenSEAL's envelopes are protocol buffers; these are their fields (tensealcontext, tensors).
_CONTEXT_PUBLIC, _CONTEXT_PRIVATE = 2, 3
_PRIVATE_SECRET_KEY = 1
_PUBLIC_KEYS: Final = frozenset({1, 4, 5})
_VECTOR_SIZES, _VECTOR_CIPHERTEXT, _VECTOR_SCALE = 1, 2, 3
_VARINT, _FIXED64, _BYTES = 0, 1, 2
_LONGEST_VARINT_BITS: Final = 63


@final
class Ciphertext:
    """One loaded ciphertext of `slots` numbers."""

    __slots__ = ("vector",)

    def __init__(self, vector: Any) -> None:  # noqa: ANN401 - TenSEAL ships no types
        self.vector = vector


@final
class SealAdder:
    """Adds ciphertexts. It holds encryption parameters and no key of any kind."""

    __slots__ = ("_context", "_parameters")

    def __init__(self, parameters: SealParameters) -> None:
        self._parameters = parameters
        self._context = tenseal.Context.load(keyless_context(parameters), 1)

    def load(self, data: bytes) -> Ciphertext:
        """Return the ciphertext that `data`, from another party, serialises.

        Raises:
            PeerError: it is too long, no ciphertext under these parameters, not of two
                polynomials at the first level, of another scale, or has no secret part.
        """
        return _load(self._context, self._parameters, data)

    def add(self, total: Ciphertext, part: Ciphertext) -> None:
        """Add `part` to `total` in place; when it raises, `total` is what it was.

        Raises:
            PeerError: the sum would have no secret part, so anybody could read it.
        """
        try:
            total.vector.add_(part.vector)
        except _REFUSALS as error:
            # SEAL looks after it has added.
            total.vector.sub_(part.vector)
            raise PeerError(
                "A ciphertext cancels the secret part of the sum: it was not added. Its sender "
                "tried to lay the sum open."
            ) from error

    def subtract(self, total: Ciphertext, part: Ciphertext) -> None:
        """Take `part` away again from `total` in place."""
        total.vector.sub_(part.vector)

    def dump(self, ciphertext: Ciphertext) -> bytes:
        """Return the bytes of a ciphertext."""
        return _open_envelope(ciphertext.vector.serialize())


@final
class SealKey:
    """A secret key for one set of parameters, with what needs it: encryption and decryption.

    It does not print, compare, hash, pickle or copy. Its randomness and that of every ciphertext
    is SEAL's own (BLAKE2b extended output, seeded anew by the operating system each time, also
    after a fork): TenSEAL lets no generator in, so a test cannot fix it.
    No Galois keys are made; the relinearisation keys that TenSEAL always makes are dropped.
    """

    __slots__ = ("_context", "_parameters", "_secret")

    def __init__(self, parameters: SealParameters, secret: SecretBytes) -> None:
        """Take a key that `generate` made, here or at another site.

        Raises:
            PeerError: it is no key for these parameters, or does not decrypt what it encrypts.
        """
        self._parameters = parameters
        self._secret = secret
        private = _field(_PRIVATE_SECRET_KEY, secret.reveal())
        envelope = keyless_context(parameters) + _field(_CONTEXT_PRIVATE, private)
        try:
            self._context = tenseal.Context.load(envelope, 1)
            usable = self._context.has_secret_key() and self._tries_out()
        except _REFUSALS as error:
            raise PeerError(_NO_KEY) from error
        if not usable:
            raise PeerError(_NO_KEY)

    @classmethod
    def generate(cls, parameters: SealParameters) -> SealKey:
        """Make a new key with SEAL's own generator."""
        context = _new_context(parameters)
        data = context.serialize(
            save_public_key=False,
            save_secret_key=True,
            save_galois_keys=False,
            save_relin_keys=False,
        )
        private = _fields(_fields(data)[_CONTEXT_PRIVATE])
        return cls(parameters, SecretBytes(private[_PRIVATE_SECRET_KEY]))

    def export(self) -> SecretBytes:
        """Return the key in SEAL's serialisation, about 50 to 160 KB."""
        return self._secret

    def encrypt(self, values: NDArray[np.int64]) -> bytes:
        """Return a fresh ciphertext of `values`, int64 of shape `(slots,)`, centred residues."""
        numbers = values.tolist()
        if self._parameters.scheme is Scheme.BFV:
            vector = _NATIVE.BFVVector(self._context.data, numbers)
        else:
            scale = 2.0**self._parameters.scale_bits
            vector = _NATIVE.CKKSVector(self._context.data, numbers, scale)
        return _open_envelope(vector.serialize())

    def decrypt(self, data: bytes) -> NDArray[np.int64]:
        """Return the integers of a ciphertext from another party, int64 of shape `(slots,)`.

        What CKKS decrypts is rounded here and nowhere later: an unrounded value would show the
        noise, and from that the key (Li and Micciancio, "On the Security of Homomorphic
        Encryption on Approximate Numbers", EUROCRYPT 2021).

        Raises:
            PeerError: as `SealAdder.load`; or CKKS is a quarter of a step or more from integers.
        """
        vector = _load(self._context, self._parameters, data).vector
        try:
            numbers = vector.decrypt()
        except _REFUSALS as error:
            raise PeerError("A ciphertext of the sum does not decrypt: it was not used.") from error
        if self._parameters.scheme is Scheme.BFV:
            return np.array(numbers, dtype=np.int64)
        return _rounded(np.array(numbers, dtype=np.float64))

    def __repr__(self) -> str:
        return "<homomorphic secret key>"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("Secrets are not compared with ==, which leaks by its timing.")

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("Secrets are not pickled or copied: seal them for a store instead.")

    def _tries_out(self) -> bool:
        sample = np.arange(self._parameters.slots, dtype=np.int64)
        return bool(np.array_equal(self.decrypt(self.encrypt(sample)), sample))


_NO_KEY: Final = (
    "These bytes are no usable homomorphic key for the parameters of this sum: they were not "
    "used. Ask the site that made the key for it again; its configuration must be this one's."
)


@lru_cache(maxsize=8)
def keyless_context(parameters: SealParameters) -> bytes:
    """Return the parameters in TenSEAL's serialisation, about 90 bytes, with no key in them.

    TenSEAL builds no context without making a key; the one made here is dropped unused.
    """
    data: bytes = _new_context(parameters).serialize(
        save_public_key=False, save_secret_key=False, save_galois_keys=False, save_relin_keys=False
    )
    return data


def check_keyless_context(parameters: SealParameters, data: bytes) -> None:
    """Return if `data` is what `keyless_context` gives: these parameters and no key at all.

    The bytes are looked at and never loaded.

    Raises:
        IntegrityError: they hold a secret key, or a public one.
        PeerError: they are anything else.
    """
    if data == keyless_context(parameters):
        return
    try:
        fields = _fields(data)
        public = _fields(fields.get(_CONTEXT_PUBLIC, b""))
    except PeerError:
        fields, public = {}, {}
    if _CONTEXT_PRIVATE in fields:
        raise IntegrityError(
            "What was given to the coordinator holds a secret key: it was not loaded. Erase it, "
            "make a new key at one site, and find out who sent this one."
        )
    if _PUBLIC_KEYS & public.keys():
        raise IntegrityError(
            "What was given to the coordinator holds keys, and adding needs none: they were not "
            "loaded. Send the keyless context."
        )
    raise PeerError(
        "A homomorphic context has other parameters than the configured sum: it was not used. "
        "Its sender runs another configuration, or another version of TenSEAL."
    )


def _new_context(parameters: SealParameters) -> Any:  # noqa: ANN401 - TenSEAL ships no types
    context = tenseal.Context(
        _SCHEMES[parameters.scheme],
        parameters.degree,
        parameters.plain_modulus,
        list(parameters.coefficient_bits),
        tenseal.ENCRYPTION_TYPE.SYMMETRIC,
        n_threads=1,
    )
    if parameters.scheme is Scheme.CKKS:
        context.global_scale = 2.0**parameters.scale_bits
    return context


def _load(context: Any, parameters: SealParameters, data: bytes) -> Ciphertext:  # noqa: ANN401 - as above
    if len(data) > parameters.limit_bytes:
        raise PeerError(
            f"A ciphertext of {len(data)} bytes exceeds the limit of {parameters.limit_bytes}: it "
            "was not read. Its sender runs another configuration, or tries to exhaust memory."
        )
    try:
        vector = _VECTORS[parameters.scheme](context.data, _envelope(parameters, data))
    except _REFUSALS as error:
        raise PeerError(
            "These bytes are not a ciphertext under the configured parameters: they were not "
            "used. Their sender runs another version or configuration, or they were altered."
        ) from error
    loaded = vector.ciphertext()[0]
    shape = (loaded.size(), loaded.coeff_modulus_size(), loaded.scale)
    if shape != (2, parameters.primes, 2.0**parameters.scale_bits) or loaded.is_transparent():
        raise PeerError(
            "A ciphertext has another shape, level or scale than a fresh one, or no secret part: "
            "it was not used."
        )
    return Ciphertext(vector)


def _rounded(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the integers that `numbers`, shape `(slots,)`, are meant to be."""
    nearest = np.rint(numbers)
    # Written so that a NaN fails too.
    if not bool(np.all(np.abs(numbers - nearest) < _QUARTER)) or np.abs(nearest).max() >= 2.0**62:
        raise PeerError(
            "A decrypted sum is a quarter of a step or more away from integers: it was not used. "
            "A ciphertext in it is noisier than honest ones, or was made with another key."
        )
    return nearest.astype(np.int64)


# -- protocol buffers, as much of them as TenSEAL's envelopes take ---------------------------------


def _envelope(parameters: SealParameters, ciphertext: bytes) -> bytes:
    """Return TenSEAL's vector of one full ciphertext."""
    head = _field(_VECTOR_SIZES, _varint(parameters.slots)) + _field(_VECTOR_CIPHERTEXT, ciphertext)
    if parameters.scheme is Scheme.BFV:
        return head
    scale = np.array(2.0**parameters.scale_bits, dtype="<f8").tobytes()
    return head + bytes([_VECTOR_SCALE << 3 | _FIXED64]) + scale


def _open_envelope(data: bytes) -> bytes:
    """Return the one ciphertext in a vector that TenSEAL serialised here."""
    return _fields(data)[_VECTOR_CIPHERTEXT]


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | _BYTES]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _fields(data: bytes) -> dict[int, bytes]:
    """Return the fields of a protocol buffer that hold bytes; numbers are skipped.

    Raises:
        PeerError: it is cut short or malformed.
    """
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            _, at = _read_varint(data, at)
            continue
        size, at = (8, at) if kind == _FIXED64 else _read_varint(data, at)
        if kind not in {_FIXED64, _BYTES} or at + size > len(data):
            raise PeerError("A homomorphic context is cut short or malformed: it was not used.")
        if kind == _BYTES:
            found[key >> 3] = data[at : at + size]
        at += size
    return found


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift < _LONGEST_VARINT_BITS:
        number |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:  # noqa: PLR2004 - the last byte has its top bit clear
            return number, at
    raise PeerError("A homomorphic context is cut short or malformed: it was not used.")
