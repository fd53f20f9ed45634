"""What one site deals to another for one round: a sealed bundle of shares, and commitments to them.

The commitments travel beside the ciphertext and are part of its associated data. So the receiver
and the coordinator know the same ones: a share that is released later is compared with its
commitment, and whoever releases another one is named. A commitment is SHA-256 over a context and
the share; a share is a uniform field element of 256 bits, so the digest hides it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.agreement import hkdf
from crypto.codec import Digest, Message, Name, decode, encode
from crypto.digests import sha256
from crypto.errors import PeerError
from crypto.kem import KEM_CIPHERTEXT_BYTES, WRAPPED_BYTES, encapsulate, hybrid_secret
from crypto.masked_sum_graph import GRAPH_SEED_BYTES
from crypto.masked_sum_messages import RoundNumber, ShareKind
from crypto.secrets import SecretBytes
from crypto.shamir import SHARE_BYTES, check_share_value

if TYPE_CHECKING:
    from crypto.masked_sum_keys import PartyKey
    from crypto.masked_sum_messages import SiteKeys
    from crypto.secrets import Entropy

LARGEST_SEALED_BYTES = 512
"""A sealed bundle is about 170 bytes."""

LARGEST_DEALT_BYTES = 4096
"""With commitments, and in the hybrid suite two KEM ciphertexts, it is about 2.6 KB."""

_KEY_BYTES = 32
_NONCE_BYTES = 12

ShareValue = Annotated[bytes, msgspec.Meta(min_length=SHARE_BYTES, max_length=SHARE_BYTES)]


class HeldShares(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True, eq=False
):
    """What one site holds of another's two secrets for one round.

    `graph_seed` is what the other drew its neighbours from; empty in a complete graph.
    """

    mask_key: SecretBytes
    self_mask: SecretBytes
    graph_seed: bytes


class ShareBundle(Message, frozen=True, tag="secure-fl.share-bundle.v2"):
    """The plaintext of a bundle: one share of each of the sender's secrets, and its graph seed."""

    mask_key: ShareValue
    self_mask: ShareValue
    graph_seed: Annotated[bytes, msgspec.Meta(max_length=GRAPH_SEED_BYTES)]

    def __repr__(self) -> str:
        return "<share bundle>"


class DealtShares(Message, frozen=True, tag="secure-fl.dealt-shares.v1"):
    """What travels from a dealer to one holder.

    Attributes:
        mask_key: the commitment to the holder's share of the mask secret.
        self_mask: the commitment to its share of the self-mask seed.
        sealed: nonce, ciphertext and tag of the bundle; empty for the dealer itself.
        channel_ciphertext: the ML-KEM ciphertext under which it is sealed too, in that suite.
        pair_half: the dealer's half of the pair's secret, wrapped under the holder's mask key.
    """

    mask_key: Digest
    self_mask: Digest
    sealed: Annotated[bytes, msgspec.Meta(max_length=LARGEST_SEALED_BYTES)]
    channel_ciphertext: Annotated[bytes, msgspec.Meta(max_length=KEM_CIPHERTEXT_BYTES)]
    pair_half: Annotated[bytes, msgspec.Meta(max_length=WRAPPED_BYTES)]

    def commitment(self, kind: ShareKind) -> bytes:
        """Return the commitment to the holder's share of one secret, 32 bytes."""
        return self.mask_key if kind is ShareKind.MASK_KEY else self.self_mask


class BundleContext(Message, frozen=True, tag="secure-fl.share-context.v2"):
    """What a bundle's key and its associated data are bound to: one direction of one round.

    The digests of both sites' announced keys stand in it, and that of all announcements, so that
    a bundle opens only if both saw the same ones.
    """

    session: Digest
    round: RoundNumber
    sender: Name
    receiver: Name
    sender_keys: Digest
    receiver_keys: Digest
    announced: Digest


class CommitmentContext(Message, frozen=True, tag="secure-fl.share-commitment.v1"):
    """What the commitment to one share is bound to."""

    session: Digest
    round: RoundNumber
    dealer: Name
    holder: Name
    kind: ShareKind


def commit_to_share(context: CommitmentContext, share: SecretBytes) -> bytes:
    """Return SHA-256(context | NUL | share), 32 bytes."""
    return sha256(encode(context) + b"\x00" + share.reveal())


def commitments_to(context: BundleContext, shares: HeldShares) -> tuple[bytes, bytes]:
    """Return the commitments to both shares of a bundle: the mask key's, then the self mask's."""
    return _commitment(context, ShareKind.MASK_KEY, shares.mask_key), _commitment(
        context, ShareKind.SELF_MASK, shares.self_mask
    )


def seal_shares(
    shares: HeldShares,
    channel: PartyKey,
    receiver: SiteKeys,
    context: BundleContext,
    entropy: Entropy,
) -> DealtShares:
    """Return a bundle under AES-256-GCM, with the key of this direction and round.

    The key serves one message; the nonce is random all the same, so that a site which repeats
    itself after a crash does not reuse one. In the hybrid suite the key comes from X25519 and a
    fresh ML-KEM encapsulation both.

    Raises:
        PeerError: the receiver's keys cannot be used.
    """
    nonce = entropy(_NONCE_BYTES)
    bundle = ShareBundle(shares.mask_key.reveal(), shares.self_mask.reveal(), shares.graph_seed)
    commitments = commitments_to(context, shares)
    encapsulated, ciphertext = SecretBytes(b""), b""
    if channel.kem is not None:
        encapsulated, ciphertext = encapsulate(receiver.channel_kem)
    cipher = _cipher(channel, receiver.channel, encapsulated, ciphertext, context)
    associated = encode(context) + b"".join(commitments)
    sealed = nonce + cipher.encrypt(nonce, encode(bundle), associated)
    return DealtShares(*commitments, sealed, ciphertext, b"")


def open_shares(
    dealt: DealtShares, channel: PartyKey, sender: SiteKeys, context: BundleContext
) -> HeldShares:
    """Return the shares that `context.sender` dealt to `context.receiver`.

    Raises:
        PeerError: the bundle is not the sender's, not for this site, round or session, was
            altered, holds no field elements, or others than were committed to. The sender is named.
    """
    refused = (
        f"The shares of {context.sender} for {context.receiver} in round {context.round} do not "
        "open: they were altered, swapped or replayed on the way, dealt under other keys, are no "
        "shares, or not the ones committed to."
    )
    nonce, ciphertext = dealt.sealed[:_NONCE_BYTES], dealt.sealed[_NONCE_BYTES:]
    associated = encode(context) + dealt.mask_key + dealt.self_mask
    try:
        encapsulated = SecretBytes(b"")
        if channel.kem is not None:
            encapsulated = channel.kem.decapsulate(dealt.channel_ciphertext)
        cipher = _cipher(channel, sender.channel, encapsulated, dealt.channel_ciphertext, context)
        plaintext = cipher.decrypt(nonce, ciphertext, associated)
        bundle = decode(ShareBundle, plaintext, limit_bytes=LARGEST_SEALED_BYTES)
        held = HeldShares(
            SecretBytes(bundle.mask_key), SecretBytes(bundle.self_mask), bundle.graph_seed
        )
        check_share_value(held.mask_key)
        check_share_value(held.self_mask)
    except (InvalidTag, ValueError, PeerError) as error:
        raise PeerError(refused) from error
    if commitments_to(context, held) != (dealt.mask_key, dealt.self_mask):
        raise PeerError(refused)
    return held


def _commitment(context: BundleContext, kind: ShareKind, share: SecretBytes) -> bytes:
    where = CommitmentContext(
        context.session, context.round, context.sender, context.receiver, kind
    )
    return commit_to_share(where, share)


def _cipher(
    channel: PartyKey,
    peer_channel: bytes,
    encapsulated: SecretBytes,
    ciphertext: bytes,
    context: BundleContext,
) -> AESGCM:
    agreed, bound = channel.agreement.shared(peer_channel), encode(context)
    if channel.kem is None:
        return AESGCM(hkdf(agreed, "share-channel", bound, _KEY_BYTES).reveal())
    # The context holds the digests of both sites' public keys.
    key = hybrid_secret(
        agreed, [encapsulated], exchanged=[ciphertext], label="share-channel", context=bound
    )
    return AESGCM(key.reveal())
