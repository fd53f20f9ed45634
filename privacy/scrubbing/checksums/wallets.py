"""Checksums of wallet addresses: Base58Check, Bech32 and the capitals of Ethereum (EIP-55)."""

from __future__ import annotations

from hashlib import sha256

_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BASE58_OF_XRP = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
_PAYLOAD_BYTES = 25
_BITCOIN_VERSIONS = frozenset((0x00, 0x05))
_OTHER_VERSIONS = frozenset((0x1E, 0x16, 0x30, 0x32, 0x41, 0x4C))
"""Dogecoin, its scripts, Litecoin, its scripts, Tron and Dash, as each project's parameters say."""

_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32M = 0x2BC830A3
_SEGWIT_PREFIXES = frozenset(("bc", "ltc"))

_KECCAK_PADDING = 0x01
_HASH_BYTES = 32
_LANE_BITS = 64
_LANE_MASK = (1 << _LANE_BITS) - 1
_RATE_BYTES = 136
_ROUNDS = 24
_ETHEREUM_DIGITS = 40
_CAPITAL_FROM = 8


def bitcoin_base58_is_valid(address: str) -> bool:
    """Say whether a P2PKH or P2SH address carries its double SHA-256 checksum (Base58Check)."""
    return _base58_version(address, _BASE58) in _BITCOIN_VERSIONS


def other_base58_is_valid(address: str) -> bool:
    """Say whether a Litecoin, Dogecoin, Dash or Tron address carries its Base58Check checksum."""
    return _base58_version(address, _BASE58) in _OTHER_VERSIONS


def xrp_is_valid(address: str) -> bool:
    """Say whether an XRP Ledger account carries its checksum (Base58Check in XRP's alphabet)."""
    return _base58_version(address, _BASE58_OF_XRP) == 0


def _base58_version(address: str, alphabet: str) -> int | None:
    """Return the version byte of a Base58Check address of 25 bytes, None where it is none."""
    number = 0
    for character in address:
        place = alphabet.find(character)
        if place < 0:
            return None
        number = number * 58 + place
    if number.bit_length() > 8 * _PAYLOAD_BYTES:
        return None
    raw = number.to_bytes(_PAYLOAD_BYTES, "big")
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    if zeros != len(address) - len(address.lstrip(alphabet[0])):
        return None
    checksum = sha256(sha256(raw[:-4]).digest()).digest()[:4]
    return raw[0] if checksum == raw[-4:] else None


def segwit_is_valid(address: str) -> bool:
    """Say whether a segwit address carries its Bech32 (BIP 173) or Bech32m (BIP 350) checksum.

    The prefixes of Bitcoin (bc) and Litecoin (ltc).
    """
    if address not in (address.lower(), address.upper()):
        return False
    prefix, separator, data = address.lower().partition("1")
    values = [_BECH32.find(character) for character in data]
    if prefix not in _SEGWIT_PREFIXES or not separator or not values or min(values) < 0:
        return False
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    checksum = 1
    for value in expanded + values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_BECH32_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum == (1 if values[0] == 0 else _BECH32M)


def ethereum_is_valid(address: str) -> bool:
    """Say whether the capitals of a `0x` address are its checksum (EIP-55).

    An address in one case carries no checksum, so it is not valid in this sense.
    """
    digits = address[2:]
    if len(digits) != _ETHEREUM_DIGITS or not digits.isascii() or not digits.isalnum():
        return False
    low = digits.lower()
    if digits in (low, digits.upper()):
        return False
    nibbles = keccak_256(low.encode()).hex()
    return all(
        digit.isdecimal() or digit.isupper() is (int(nibble, 16) >= _CAPITAL_FROM)
        for digit, nibble in zip(digits, nibbles[:_ETHEREUM_DIGITS], strict=True)
    )


def keccak_256(message: bytes) -> bytes:
    """Return the Keccak-256 hash of `message`, 32 bytes.

    hashlib offers SHA3-256 alone, which is the same sponge with another padding.
    """
    return _sponge(message, _KECCAK_PADDING)


def _sponge(message: bytes, padding: int) -> bytes:
    """Return 32 bytes of Keccak[512] of `message` padded from the byte `padding` (FIPS 202, 4)."""
    padded = bytearray(message)
    padded += bytes((padding,)) + bytes(-(len(message) + 1) % _RATE_BYTES)
    padded[-1] |= 0x80
    state = [0] * 25
    for start in range(0, len(padded), _RATE_BYTES):
        for lane in range(_RATE_BYTES // 8):
            at = start + 8 * lane
            state[lane] ^= int.from_bytes(padded[at : at + 8], "little")
        state = _keccak_f(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[: _HASH_BYTES // 8])


def _rotated(lane: int, bits: int) -> int:
    bits %= _LANE_BITS
    return (lane << bits | lane >> (_LANE_BITS - bits)) & _LANE_MASK


def _keccak_f(state: list[int]) -> list[int]:
    """Return the permutation Keccak-f[1600] of 25 lanes, lane (x, y) at x + 5y (FIPS 202, 3.2)."""
    register = 1
    for _ in range(_ROUNDS):
        parity = [
            state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20]
            for x in range(5)
        ]
        state = [
            state[at] ^ parity[(at - 1) % 5] ^ _rotated(parity[(at + 1) % 5], 1) for at in range(25)
        ]
        x, y, moved = 1, 0, state[1]
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            moved, state[x + 5 * y] = (
                state[x + 5 * y],
                _rotated(moved, (step + 1) * (step + 2) // 2),
            )
        state = [
            state[at] ^ (~state[at - at % 5 + (at + 1) % 5] & state[at - at % 5 + (at + 2) % 5])
            for at in range(25)
        ]
        for bit in range(7):
            register = (register << 1) ^ ((register >> 7) * 0x171)
            if register & 2:
                state[0] ^= 1 << ((1 << bit) - 1)
    return state
