"""The sealed bundle of shares that one site deals to another for one round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.agreement import hkdf
from crypto.codec import Digest, Message, Name, decode, encode
from crypto.errors import PeerError
from crypto.masked_sum_messages import RoundNumber
from crypto.secrets import SecretBytes
from crypto.shamir import SHARE_BYTES, check_share_value

if TYPE_CHECKING:
    from crypto.agreement import AgreementKey
    from crypto.secrets import Entropy

LARGEST_BUNDLE_BYTES = 512
"""A bundle is about 130 bytes; a longer one is refused unread."""

_KEY_BYTES = 32
_NONCE_BYTES = 12

ShareValue = Annotated[bytes, msgspec.Meta(min_length=SHARE_BYTES, max_length=SHARE_BYTES)]


class HeldShares(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True, eq=False
):
    """What one site holds of another's two secrets for one round."""

    mask_key: SecretBytes
    self_mask: SecretBytes


class ShareBundle(Message, frozen=True, tag="secure-fl.share-bundle.v1"):
    """The plaintext of a bundle: one share of each of the sender's secrets."""

    mask_key: ShareValue
    self_mask: ShareValue

    def __repr__(self) -> str:
        return "<share bundle>"


class BundleContext(Message, frozen=True, tag="secure-fl.share-context.v1"):
    """What a bundle's key and its associated data are bound to: one direction of one round.

    The digests of both sites' announced keys stand in it, so that a bundle opens only if both
    saw the same announcements.
    """

    session: Digest
    round: RoundNumber
    sender: Name
    receiver: Name
    sender_keys: Digest
    receiver_keys: Digest


def seal_shares(
    shares: HeldShares,
    channel: AgreementKey,
    receiver_channel: bytes,
    context: BundleContext,
    entropy: Entropy,
) -> bytes:
    """Return nonce | AES-256-GCM ciphertext and tag, under the key of this direction and round.

    The key serves one message; the nonce is random all the same, so that a site which repeats
    itself after a crash does not reuse one.

    Raises:
        PeerError: the receiver's channel key is of low order.
    """
    nonce = entropy(_NONCE_BYTES)
    bundle = ShareBundle(shares.mask_key.reveal(), shares.self_mask.reveal())
    cipher = _cipher(channel, receiver_channel, context)
    return nonce + cipher.encrypt(nonce, encode(bundle), encode(context))


def open_shares(
    data: bytes, channel: AgreementKey, sender_channel: bytes, context: BundleContext
) -> HeldShares:
    """Return the shares that `context.sender` dealt to `context.receiver`.

    Raises:
        PeerError: the bundle is not the sender's, not for this site, round or session, was
            altered, or holds no field elements. The sender is named.
    """
    refused = (
        f"The shares of {context.sender} for {context.receiver} in round {context.round} do not "
        "open: they were altered, swapped or replayed on the way, dealt under other keys, or are "
        "no shares. "
        f"Nothing was masked; go on without {context.sender}, or re-key."
    )
    if not _NONCE_BYTES < len(data) <= LARGEST_BUNDLE_BYTES:
        raise PeerError(refused)
    nonce, ciphertext = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
    cipher = _cipher(channel, sender_channel, context)
    try:
        plaintext = cipher.decrypt(nonce, ciphertext, encode(context))
        bundle = decode(ShareBundle, plaintext, limit_bytes=LARGEST_BUNDLE_BYTES)
        held = HeldShares(SecretBytes(bundle.mask_key), SecretBytes(bundle.self_mask))
        check_share_value(held.mask_key)
        check_share_value(held.self_mask)
    except (InvalidTag, PeerError) as error:
        raise PeerError(refused) from error
    return held


def _cipher(channel: AgreementKey, peer_channel: bytes, context: BundleContext) -> AESGCM:
    key = hkdf(channel.shared(peer_channel), "share-channel", encode(context), _KEY_BYTES)
    return AESGCM(key.reveal())
