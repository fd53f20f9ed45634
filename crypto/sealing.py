"""Authenticated encryption of what a party keeps on its own disk.

AES-256-GCM-SIV (RFC 8452) under a random 96-bit nonce. Its nonce may repeat (a machine restored
from a snapshot draws the same random bytes again) and all that shows is whether two plaintexts
were equal. There is one format and no fall-back to a weaker one.

    sealed = "secure-fl.sealed.v1" || NUL || nonce (12) || ciphertext || tag (16)

The associated data is the header and the label, so that bytes sealed for one purpose do not open
for another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from crypto.errors import ConfigError, IntegrityError

if TYPE_CHECKING:
    from crypto.secrets import Entropy, SecretBytes

KEY_BYTES: Final = 32
OVERHEAD_BYTES: Final = 48

_HEADER: Final = b"secure-fl.sealed.v1\0"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_LARGEST_PLAINTEXT_BYTES: Final = 2**31 - 1 - _TAG_BYTES


def seal(key: SecretBytes, label: str, plaintext: bytes, entropy: Entropy) -> bytes:
    """Return `plaintext`, encrypted and authenticated for the purpose `label`.

    Args:
        key: 32 secret bytes.
        label: what the bytes are for; opening asks for the same label.
        plaintext: at most 2^31 - 17 bytes.
        entropy: the source of the nonce.

    Raises:
        ConfigError: the key has another length, the plaintext is too long, or this machine's
            OpenSSL has no AES-GCM-SIV.
    """
    if len(plaintext) > _LARGEST_PLAINTEXT_BYTES:
        raise ConfigError(
            f"{len(plaintext)} bytes are more than one sealing holds "
            f"({_LARGEST_PLAINTEXT_BYTES}): nothing was written. Store them in parts."
        )
    cipher = _cipher(key)
    nonce = entropy(_NONCE_BYTES)
    return _HEADER + nonce + cipher.encrypt(nonce, plaintext, _associated(label))


def unseal(key: SecretBytes, label: str, sealed: bytes) -> bytes:
    """Return the plaintext of what `seal` made under the same key and label.

    Raises:
        ConfigError: the key has another length, or this machine's OpenSSL has no AES-GCM-SIV.
        IntegrityError: `sealed` was altered or cut, or was sealed under another key or label.
    """
    cipher = _cipher(key)
    nonce_at = len(_HEADER)
    body_at = nonce_at + _NONCE_BYTES
    if not sealed.startswith(_HEADER) or len(sealed) < body_at + _TAG_BYTES:
        raise IntegrityError(
            f"What should be sealed for {label!r} is cut short or is no sealed data of this "
            "version: it was not read. Restore it from its backup."
        )
    try:
        return cipher.decrypt(sealed[nonce_at:body_at], sealed[body_at:], _associated(label))
    except InvalidTag as error:
        raise IntegrityError(
            f"What is sealed for {label!r} does not open: it was altered, or sealed under another "
            "key or for another purpose. It was not read. Restore it, or its key, from backup."
        ) from error


def _cipher(key: SecretBytes) -> AESGCMSIV:
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"A sealing key is {KEY_BYTES} secret bytes, not {len(key)}: restore the key file "
            "from its backup."
        )
    try:
        return AESGCMSIV(key.reveal())
    except UnsupportedAlgorithm as error:
        raise ConfigError(
            "This machine's OpenSSL has no AES-GCM-SIV (it came with OpenSSL 3.2): install the "
            "cryptography wheel from the lock file, which carries its own."
        ) from error


def _associated(label: str) -> bytes:
    return _HEADER + label.encode("utf-8")
