"""What SEAL and TenSEAL do with hostile bytes, and what is promised about noise and rounding."""

from __future__ import annotations

import resource
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

import crypto.homomorphic_seal as module
from crypto.errors import PeerError
from crypto.homomorphic_plan import NOISE_OF_ONE, Scheme, SealParameters, SumPlan
from crypto.homomorphic_seal import SealAdder, SealKey, keyless_context
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Callable

NARROW, WIDE, CKKS = (
    SumPlan(1, largest, 2, scheme).parameters[0]
    for largest, scheme in [(5, Scheme.BFV), (2**29, Scheme.BFV), (5, Scheme.CKKS)]
)
SETS = [NARROW, WIDE, CKKS]
NAMES = ["20 bits", "34 bits", "ckks"]
KEYS: dict[SealParameters, SealKey] = {}
TRIES = 400
_SIZE = slice(8, 16)
_MODE = 5
"""Where SEAL's 16-byte header has the length and the compression (0: none, 1: zlib, 2: zstd)."""


def key_of(parameters: SealParameters) -> SealKey:
    if parameters not in KEYS:
        KEYS[parameters] = SealKey.generate(parameters)
    return KEYS[parameters]


def sample(parameters: SealParameters, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-500, 500, parameters.slots, endpoint=True)


def peak_kilobytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def sealed(mode: int, body: bytes, like: bytes) -> bytes:
    """SEAL's header over another body."""
    header = bytearray(like[:16])
    header[_MODE] = mode
    header[_SIZE] = (16 + len(body)).to_bytes(8, "little")
    return bytes(header) + body


@pytest.mark.parametrize("parameters", SETS, ids=NAMES)
def test_what_is_encrypted_is_decrypted(parameters: SealParameters) -> None:
    key, values = key_of(parameters), sample(parameters)
    assert np.array_equal(key.decrypt(key.encrypt(values)), values)


@pytest.mark.parametrize("parameters", SETS, ids=NAMES)
def test_undoing_an_addition_leaves_the_bytes_as_they_were(parameters: SealParameters) -> None:
    key, adder = key_of(parameters), SealAdder(parameters)
    first, second = (key.encrypt(sample(parameters, seed)) for seed in range(2))
    total, part = adder.load(first), adder.load(second)
    before = adder.dump(total)
    adder.add(total, part)
    assert adder.dump(total) != before
    adder.subtract(total, part)
    assert adder.dump(total) == before == first


# -- hostile bytes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", SETS, ids=NAMES)
def test_mutated_ciphertexts_are_refused_or_stay_ciphertexts(parameters: SealParameters) -> None:
    """Nothing but PeerError may come of any bytes; a crash would end the test process."""
    key, adder = key_of(parameters), SealAdder(parameters)
    good = key.encrypt(sample(parameters))
    generator = np.random.default_rng(7)
    refused = 0
    before = peak_kilobytes()
    for number in range(TRIES):
        data = bytearray(good)
        at = int(generator.integers(0, (16, 200, len(good))[number % 3]))
        match number % 4:
            case 0:
                data[at] ^= 1 << int(generator.integers(0, 8))
            case 1:
                data[at : at + int(generator.integers(1, 40))] = generator.bytes(8)
            case 2:
                data = data[:at]
            case _:
                data[max(at, 16) :] = generator.bytes(int(generator.integers(0, 30_000)))
        if number % 2 and len(data) >= 16:
            data[_SIZE] = len(data).to_bytes(8, "little")
        try:
            total = adder.load(good)
            adder.add(total, adder.load(bytes(data)))
            adder.dump(total)
            key.decrypt(bytes(data))
        except PeerError:
            refused += 1
    assert TRIES // 2 < refused < TRIES
    assert peak_kilobytes() - before < 50_000


@pytest.mark.parametrize(
    "body",
    [
        lambda: (1, zlib.compress(bytes(60_000_000), 9)),
        # A zstd frame of one-byte blocks, each of which stands for 128 KiB of zeros.
        lambda: (
            2,
            b"\x28\xb5\x2f\xfd\x00\x38" + b"\x02\x00\x10\x00" * 15_000 + b"\x03\x00\x10\x00",
        ),
        lambda: (0, b""),
        lambda: (0, bytes(60_000)),
        lambda: (3, bytes(60_000)),
    ],
    ids=["zlib bomb", "zstd bomb", "nothing", "plain zeros", "no such mode"],
)
def test_a_bomb_is_refused_without_its_memory(body: Callable[[], tuple[int, bytes]]) -> None:
    adder = SealAdder(NARROW)
    good = key_of(NARROW).encrypt(sample(NARROW))
    mode, content = body()
    data = sealed(mode, content, good)
    assert len(data) <= NARROW.limit_bytes
    before = peak_kilobytes()
    with pytest.raises(PeerError):
        adder.load(data)
    assert peak_kilobytes() - before < 20_000


def test_longer_bytes_than_the_limit_never_reach_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    adder = SealAdder(NARROW)
    monkeypatch.setattr(module, "_VECTORS", {})
    with pytest.raises(PeerError, match="exceeds the limit"):
        adder.load(bytes(NARROW.limit_bytes + 1))
    with pytest.raises(KeyError):
        adder.load(bytes(NARROW.limit_bytes))


def test_ciphertexts_of_other_parameters_are_refused() -> None:
    for parameters in SETS:
        for other in SETS:
            if other is not parameters:
                with pytest.raises(PeerError, match=r"not a ciphertext|exceeds"):
                    SealAdder(parameters).load(key_of(other).encrypt(sample(other)))


def test_a_ciphertext_of_three_polynomials_is_refused() -> None:
    key = key_of(NARROW)
    vector = module._NATIVE.BFVVector(key._context.data, sample(NARROW).tolist())
    key._context.auto_relin = False
    product = vector.mul(module._NATIVE.BFVVector(key._context.data, sample(NARROW).tolist()))
    key._context.auto_relin = True
    data = module._open_envelope(product.serialize())
    with pytest.raises(PeerError, match=r"exceeds the limit|another shape"):
        SealAdder(NARROW).load(data)


def test_a_ciphertext_of_another_scale_is_refused() -> None:
    key = key_of(CKKS)
    vector = module._NATIVE.CKKSVector(key._context.data, [1.0] * CKKS.slots, 2.0**39)
    with pytest.raises(PeerError, match="another shape, level or scale"):
        SealAdder(CKKS).load(module._open_envelope(vector.serialize()))


def test_a_ciphertext_without_a_secret_part_is_refused() -> None:
    """With its second polynomial zero, anybody reads it; SEAL loads it all the same."""
    adder = SealAdder(NARROW)
    good = key_of(NARROW).encrypt(sample(NARROW))
    parms = adder.load(good).vector.ciphertext()[0].parms_id()
    scale, correction = np.array([1.0], dtype="<f8").tobytes(), 1
    members = np.array(parms, dtype="<u8").tobytes() + b"\0"
    members += np.array([2, NARROW.degree, 1], dtype="<u8").tobytes() + scale
    members += np.array([correction], dtype="<u8").tobytes()
    words = np.array([2 * NARROW.degree] + [5] * NARROW.degree + [0] * NARROW.degree, dtype="<u8")
    with pytest.raises(PeerError, match="no secret part"):
        adder.load(sealed(0, members + sealed(0, words.tobytes(), good), good))
    words[-1] = 1
    adder.load(sealed(0, members + sealed(0, words.tobytes(), good), good))


def test_the_envelope_is_always_one_full_ciphertext() -> None:
    """TenSEAL would read as many numbers as an envelope says, beyond the memory of a ciphertext."""
    for parameters in SETS:
        key = key_of(parameters)
        data = key.encrypt(sample(parameters))
        vector = SealAdder(parameters).load(data).vector
        assert vector.size() == parameters.slots
        assert len(vector.ciphertext()) == 1
        assert module._envelope(parameters, data) == vector.serialize()


@pytest.mark.parametrize("data", [b"", b"x", bytes(50_000)])
def test_what_is_no_secret_key_is_refused(data: bytes) -> None:
    for parameters in SETS:
        with pytest.raises(PeerError, match="no usable homomorphic key"):
            SealKey(parameters, SecretBytes(data))


def test_a_mutated_secret_key_is_refused_or_is_another_key() -> None:
    good = key_of(NARROW).export().reveal()
    generator = np.random.default_rng(3)
    refused = 0
    for _ in range(60):
        data = bytearray(good)
        data[int(generator.integers(0, len(data)))] ^= 1 << int(generator.integers(0, 8))
        try:
            changed = SealKey(NARROW, SecretBytes(bytes(data)))
        except PeerError:
            refused += 1
        else:
            assert np.array_equal(changed.decrypt(changed.encrypt(sample(NARROW))), sample(NARROW))
    assert 5 < refused < 60


# -- keys that are not there -----------------------------------------------------------------------


def test_no_galois_keys_are_made_and_no_relinearisation_keys_are_kept() -> None:
    for parameters in SETS:
        context = key_of(parameters)._context
        assert not context.has_galois_keys()
        assert not context.has_relin_keys()
        assert context.has_secret_key()
        assert len(keyless_context(parameters)) < 128
        # Half a polynomial's words under all primes, and no more.
        words = len(parameters.coefficient_bits) * parameters.degree
        assert len(key_of(parameters).export()) < 8 * words + 1024


# -- noise and rounding ----------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", SETS[:2], ids=NAMES[:2])
def test_the_noise_of_many_stays_within_the_budget(parameters: SealParameters) -> None:
    key, adder = key_of(parameters), SealAdder(parameters)
    budget = key._context.decryptor().data.invariant_noise_budget
    total = adder.load(key.encrypt(sample(parameters)))
    fresh = budget(total.vector.ciphertext()[0])
    for _ in range(parameters.most_parties - 1):
        adder.add(total, adder.load(key.encrypt(sample(parameters))))
    left = budget(total.vector.ciphertext()[0])
    assert fresh > left >= 1
    # What one may add at worst, 22, is 4.5 bits; q / 2 t takes the rest.
    bits = parameters.coefficient_bits[0] - parameters.plain_modulus.bit_length() - 1
    assert fresh >= bits - NOISE_OF_ONE.bit_length()


def noisy(offset: float) -> bytes:
    """A ciphertext whose numbers lie `offset` of a step beside integers."""
    numbers = (sample(CKKS) + offset).tolist()
    vector = module._NATIVE.CKKSVector(key_of(CKKS)._context.data, numbers, 2.0**40)
    return module._open_envelope(vector.serialize())


def test_ckks_is_rounded_to_its_integers_before_it_leaves() -> None:
    for offset in (0.0, 0.2, -0.2):
        got = key_of(CKKS).decrypt(noisy(offset))
        assert got.dtype == np.int64
        assert np.array_equal(got, sample(CKKS))


@pytest.mark.parametrize("offset", [0.26, -0.26, 0.5])
def test_ckks_a_quarter_of_a_step_away_is_an_error_and_not_a_number(offset: float) -> None:
    with pytest.raises(PeerError, match="quarter of a step"):
        key_of(CKKS).decrypt(noisy(offset))


@pytest.mark.parametrize("wrong", [0.25, float("nan"), float("inf"), 2.0**62, -(2.0**63)])
def test_one_number_among_many_is_enough(wrong: float) -> None:
    numbers = np.zeros(4096)
    assert not module._rounded(numbers).any()
    numbers[77] = wrong
    with np.errstate(invalid="ignore"), pytest.raises(PeerError, match="quarter of a step"):
        module._rounded(numbers)


def test_the_error_of_the_largest_ckks_sum_is_far_below_a_quarter() -> None:
    key = key_of(CKKS)
    generator = np.random.default_rng(1)
    numbers = generator.choice([-(2.0**36), 2.0**36, 2.0**36 - 1], CKKS.slots)
    vector = module._NATIVE.CKKSVector(key._context.data, numbers.tolist(), 2.0**40)
    error = np.abs(np.array(vector.decrypt()) - numbers).max()
    assert 0 < error < 0.01


def test_a_double_is_not_what_decrypt_returns() -> None:
    """Rounded values alone leave, whatever the scheme: no code outside sees the noise."""
    for parameters in SETS:
        assert key_of(parameters).decrypt(key_of(parameters).encrypt(sample(parameters))).dtype == (
            np.int64
        )
