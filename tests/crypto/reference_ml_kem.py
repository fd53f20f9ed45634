"""A naive twin of ML-KEM-768: the algorithms of FIPS 203 as they are printed, one number at a time.

It shares no code with `crypto` or with OpenSSL and hides nothing from a clock. Only tests use it.
Names and numbers of algorithms are those of FIPS 203 (August 2024).
"""

from __future__ import annotations

import hashlib

Poly = list[int]

Q, N, K, ETA, DU, DV = 3329, 256, 3, 2, 10, 4


def bit_reversed(value: int) -> int:
    """BitRev7 of section 4.3."""
    return int(f"{value:07b}"[::-1], 2)


ZETAS = [pow(17, bit_reversed(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * bit_reversed(i) + 1, Q) for i in range(128)]


def byte_encode(width: int, values: Poly) -> bytes:
    """Algorithm 5: ByteEncode_d."""
    packed = sum(value << (width * at) for at, value in enumerate(values))
    return packed.to_bytes(32 * width, "little")


def byte_decode(width: int, data: bytes) -> Poly:
    """Algorithm 6: ByteDecode_d."""
    packed = int.from_bytes(data, "little")
    modulus = Q if width == 12 else 1 << width
    return [((packed >> (width * at)) & ((1 << width) - 1)) % modulus for at in range(N)]


def compress(width: int, values: Poly) -> Poly:
    """Formula 4.7; halves are rounded up, and there are none since q is odd."""
    return [(2 * (value << width) + Q) // (2 * Q) % (1 << width) for value in values]


def decompress(width: int, values: Poly) -> Poly:
    """Formula 4.8."""
    return [(2 * Q * value + (1 << width)) >> (width + 1) for value in values]


def sample_ntt(seed: bytes) -> Poly:
    """Algorithm 7: SampleNTT, by rejection from SHAKE128."""
    stream = hashlib.shake_128(seed).digest(3 * 1024)
    out: Poly = []
    at = 0
    while len(out) < N:
        first, second, third = stream[at : at + 3]
        out += [d for d in (first + 256 * (second % 16), second // 16 + 16 * third) if d < Q]
        at += 3
    return out[:N]


def sample_cbd(data: bytes) -> Poly:
    """Algorithm 8: SamplePolyCBD with eta = 2."""
    bits = [data[at // 8] >> (at % 8) & 1 for at in range(8 * len(data))]
    return [
        (sum(bits[at : at + ETA]) - sum(bits[at + ETA : at + 2 * ETA])) % Q
        for at in range(0, len(bits), 2 * ETA)
    ]


def ntt(poly: Poly) -> Poly:
    """Algorithm 9: NTT."""
    out, i, length = list(poly), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            for j in range(start, start + length):
                t = ZETAS[i] * out[j + length] % Q
                out[j], out[j + length] = (out[j] + t) % Q, (out[j] - t) % Q
            i += 1
        length //= 2
    return out


def inverse_ntt(poly: Poly) -> Poly:
    """Algorithm 10: the inverse of the NTT."""
    out, i, length = list(poly), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            for j in range(start, start + length):
                t = out[j]
                out[j] = (t + out[j + length]) % Q
                out[j + length] = ZETAS[i] * (out[j + length] - t) % Q
            i -= 1
        length *= 2
    return [value * 3303 % Q for value in out]


def multiply(left: Poly, right: Poly) -> Poly:
    """Algorithms 11 and 12: the product of two NTT representations."""
    out: Poly = []
    for i, gamma in enumerate(GAMMAS):
        a0, a1, b0, b1 = *left[2 * i : 2 * i + 2], *right[2 * i : 2 * i + 2]
        out += [(a0 * b0 + a1 * b1 * gamma) % Q, (a0 * b1 + a1 * b0) % Q]
    return out


def add(left: Poly, right: Poly) -> Poly:
    return [(a + b) % Q for a, b in zip(left, right, strict=True)]


def subtract(left: Poly, right: Poly) -> Poly:
    return [(a - b) % Q for a, b in zip(left, right, strict=True)]


def dot(left: list[Poly], right: list[Poly]) -> Poly:
    out = [0] * N
    for a, b in zip(left, right, strict=True):
        out = add(out, multiply(a, b))
    return out


def noise(seed: bytes, at: int) -> Poly:
    """PRF_eta of formula 4.3, and then SamplePolyCBD."""
    return sample_cbd(hashlib.shake_256(seed + bytes([at])).digest(64 * ETA))


def matrix(rho: bytes) -> list[list[Poly]]:
    """A-hat of algorithm 13, lines 3 to 7: entry [i][j] is sampled from rho || j || i."""
    return [[sample_ntt(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def pke_key_gen(d: bytes) -> tuple[bytes, bytes]:
    """Algorithm 13: K-PKE.KeyGen."""
    seed = hashlib.sha3_512(d + bytes([K])).digest()
    rho, sigma = seed[:32], seed[32:]
    s = [ntt(noise(sigma, at)) for at in range(K)]
    e = [ntt(noise(sigma, K + at)) for at in range(K)]
    t = [add(dot(row, s), e[i]) for i, row in enumerate(matrix(rho))]
    public = b"".join(byte_encode(12, poly) for poly in t) + rho
    return public, b"".join(byte_encode(12, poly) for poly in s)


def pke_encrypt(public: bytes, m: bytes, r: bytes) -> bytes:
    """Algorithm 14: K-PKE.Encrypt."""
    t = [byte_decode(12, public[384 * i : 384 * (i + 1)]) for i in range(K)]
    a = matrix(public[384 * K :])
    y = [ntt(noise(r, at)) for at in range(K)]
    columns = [[a[i][j] for i in range(K)] for j in range(K)]
    u = [add(inverse_ntt(dot(columns[j], y)), noise(r, K + j)) for j in range(K)]
    mu = decompress(1, byte_decode(1, m))
    v = add(add(inverse_ntt(dot(t, y)), noise(r, 2 * K)), mu)
    first = b"".join(byte_encode(DU, compress(DU, poly)) for poly in u)
    return first + byte_encode(DV, compress(DV, v))


def pke_decrypt(secret: bytes, ciphertext: bytes) -> bytes:
    """Algorithm 15: K-PKE.Decrypt."""
    cut = 32 * DU
    u = [decompress(DU, byte_decode(DU, ciphertext[cut * i : cut * (i + 1)])) for i in range(K)]
    v = decompress(DV, byte_decode(DV, ciphertext[cut * K :]))
    s = [byte_decode(12, secret[384 * i : 384 * (i + 1)]) for i in range(K)]
    w = subtract(v, inverse_ntt(dot(s, [ntt(poly) for poly in u])))
    return byte_encode(1, compress(1, w))


def key_gen(d: bytes, z: bytes) -> tuple[bytes, bytes]:
    """Algorithm 16: ML-KEM.KeyGen_internal, (ek, dk)."""
    public, secret = pke_key_gen(d)
    return public, secret + public + hashlib.sha3_256(public).digest() + z


def encaps(public: bytes, m: bytes) -> tuple[bytes, bytes]:
    """Algorithm 17: ML-KEM.Encaps_internal, (K, c)."""
    seed = hashlib.sha3_512(m + hashlib.sha3_256(public).digest()).digest()
    return seed[:32], pke_encrypt(public, m, seed[32:])


def decaps(dk: bytes, ciphertext: bytes) -> bytes:
    """Algorithm 18: ML-KEM.Decaps_internal."""
    secret, public = dk[: 384 * K], dk[384 * K : 768 * K + 32]
    digest, z = dk[768 * K + 32 : 768 * K + 64], dk[768 * K + 64 :]
    m = pke_decrypt(secret, ciphertext)
    seed = hashlib.sha3_512(m + digest).digest()
    if pke_encrypt(public, m, seed[32:]) == ciphertext:
        return seed[:32]
    return hashlib.shake_256(z + ciphertext).digest(32)
