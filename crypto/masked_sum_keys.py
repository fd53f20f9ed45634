"""A site's key pairs of a masked sum, each of one role and from one 32-byte secret.

The mask secret m of a round is the one thing that is shared among a site's holders. From it come
the X25519 mask key, the ML-KEM mask key and the site's half s_ij = HKDF(m, j) of the secret of
every pair: whoever rebuilds m rebuilds all masks of a drop-out, and whoever does not, none.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NoReturn, final

from crypto.agreement import SECRET_BYTES, AgreementKey, hkdf
from crypto.codec import Digest, Message, Name, encode
from crypto.kem import KEM_SEED_BYTES, KemKey
from crypto.masked_sum_messages import RoundNumber

if TYPE_CHECKING:
    from crypto.masked_sum_session import CipherSuite
    from crypto.secrets import SecretBytes


class KeyRole(enum.Enum):
    """What a key pair is for: a key of one role is derived apart from the other's."""

    CHANNEL = "channel"
    """Shares for its owner are sealed under it; it lives one run."""

    MASK = "mask"
    """Pairwise masks are agreed with it; it lives one round."""


class KeyContext(Message, frozen=True, tag="secure-fl.masking-key.v1"):
    """What the key pairs of a secret are bound to."""

    session: Digest
    site: Name
    role: KeyRole


class PairHalfContext(Message, frozen=True, tag="secure-fl.pair-half.v1"):
    """What a site's half of a pair's secret is bound to."""

    session: Digest
    round: RoundNumber
    site: Name
    peer: Name


@final
class PartyKey:
    """The key pairs of one role that follow from one secret: X25519, and ML-KEM-768 in its suite.

    Attributes:
        secret: 32 bytes.
        agreement: the X25519 pair.
        kem: the ML-KEM-768 pair, or None in a suite without.
    """

    __slots__ = ("agreement", "kem", "secret")

    def __init__(self, secret: SecretBytes, context: KeyContext, suite: CipherSuite) -> None:
        bound = encode(context)
        self.secret = secret
        self.agreement = AgreementKey(hkdf(secret, "masking-x25519", bound, SECRET_BYTES))
        self.kem = (
            KemKey(hkdf(secret, "masking-mlkem768", bound, KEM_SEED_BYTES))
            if suite.is_hybrid
            else None
        )

    @property
    def kem_public(self) -> bytes:
        """The raw ML-KEM-768 public key, or nothing in a suite without."""
        return b"" if self.kem is None else self.kem.public

    def __repr__(self) -> str:
        return f"<masking key {self.agreement.public.hex()[:16]}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A key is not pickled or copied: seal its secret for a store instead.")


def pair_half(mask_secret: SecretBytes, context: PairHalfContext) -> SecretBytes:
    """Return s_ij, 32 bytes: the half of `context.site` of its secret with `context.peer`."""
    return hkdf(mask_secret, "pair-half", encode(context), SECRET_BYTES)
