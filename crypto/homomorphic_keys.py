"""How the sites of a homomorphic sum come to hold one key that the coordinator cannot read.

Each site announces channel keys, signed by whoever carries them. The first of those that announced
any, by name, makes the `SumKey` and seals it to each other site under their pairwise channel (HE.2
of docs/homomorphic-sums.md). What is sealed binds the session, both sites' keys, all announcements
and the key's digest: a sealed key that was altered, swapped, replayed, or sealed by a site that saw
other announcements does not open. TenSEAL is not needed here, and not imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.agreement import check_public, hkdf
from crypto.codec import Digest, Message, Name, PublicKey, decode, encode
from crypto.digests import sha256
from crypto.errors import PeerError
from crypto.kem import (
    KEM_CIPHERTEXT_BYTES,
    KEM_PUBLIC_BYTES,
    check_kem_public,
    encapsulate,
    hybrid_secret,
)
from crypto.masked_sum_keys import KeyContext, KeyRole, PartyKey
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crypto.masked_sum_session import CipherSuite, Session
    from crypto.secrets import Entropy

LARGEST_EXPORTED_BYTES: Final = 1 << 19
"""Two moduli's secret keys take about 100 KB, CKKS' takes 160 KB."""

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_LARGEST_SEALED_BYTES: Final = LARGEST_EXPORTED_BYTES + 64
_LARGEST_MESSAGE_BYTES: Final = _LARGEST_SEALED_BYTES + KEM_CIPHERTEXT_BYTES + 256
_LABEL: Final = "sum-key-channel"


class ChannelKeys(Message, frozen=True, tag="secure-fl.channel-keys.v1"):
    """A site's public keys for one session of homomorphic sums.

    Attributes:
        session: the session's digest.
        site: whose keys they are.
        channel: X25519; the sum's key is sealed to the site under it.
        channel_kem: ML-KEM-768, for the same; nothing in a suite without.
    """

    session: Digest
    site: Name
    channel: PublicKey
    channel_kem: Annotated[bytes, msgspec.Meta(max_length=KEM_PUBLIC_BYTES)]

    def digest(self) -> bytes:
        """Return the SHA-256 that stands for these keys in what is bound to them, 32 bytes."""
        return sha256(encode(self))


class ChannelAnnouncements(Message, frozen=True, tag="secure-fl.channel-announcements.v1"):
    """The digests of all channel keys of a session, in the order of their sites."""

    digests: tuple[Digest, ...]


class SealContext(Message, frozen=True, tag="secure-fl.sum-key-context.v1"):
    """What a sealed key and the key it is sealed under are bound to."""

    session: Digest
    sender: Name
    receiver: Name
    sender_keys: Digest
    receiver_keys: Digest
    announced: Digest
    key: Digest


class SealedKey(Message, frozen=True, tag="secure-fl.sealed-sum-key.v1"):
    """A `SumKey` on its way to one site.

    Attributes:
        sealed: nonce, ciphertext and tag.
        channel_ciphertext: the ML-KEM ciphertext under which it is sealed too, in that suite.
    """

    sealed: Annotated[bytes, msgspec.Meta(max_length=_LARGEST_SEALED_BYTES)]
    channel_ciphertext: Annotated[bytes, msgspec.Meta(max_length=KEM_CIPHERTEXT_BYTES)]


def channel_key(secret: SecretBytes, session: Session, site: str) -> PartyKey:
    """Return the channel key pairs of `site` that follow from 32 secret bytes."""
    return PartyKey(secret, KeyContext(session.digest(), site, KeyRole.CHANNEL), session.suite)


def announcement(channel: PartyKey, session: Session, site: str) -> ChannelKeys:
    """Return what `site` announces of `channel`."""
    return ChannelKeys(session.digest(), site, channel.agreement.public, channel.kem_public)


def check_channel_keys(session: Session, keys: ChannelKeys) -> None:
    """Return if `keys` are a session site's, for this session, and sound.

    Raises:
        PeerError: they are not. The site is named.
    """
    session.point(keys.site)
    if keys.session != session.digest():
        raise PeerError(
            f"{keys.site} announced channel keys of another session: they were not used. It runs "
            "another configuration, roster or attempt, or somebody replayed an old message."
        )
    try:
        check_public(keys.channel)
        _check_kem(keys.channel_kem, session.suite)
    except PeerError as error:
        raise PeerError(f"{keys.site} announced keys that cannot be used. {error}") from error


def check_announced(session: Session, announced: Mapping[str, ChannelKeys]) -> None:
    """Return if the keys of all sites are sound and no two sites announced the same one.

    Raises:
        PeerError: they are not. The site is named.
    """
    owners: dict[bytes, str] = {}
    for site in sorted(announced):
        keys = announced[site]
        check_channel_keys(session, keys)
        for public in filter(None, (keys.channel, keys.channel_kem)):
            if keys.site != site or public in owners:
                raise PeerError(
                    f"{site} announced a key that {owners.get(public, keys.site)} announced too: "
                    "no key was sealed. One of them copied it; leave both out and find out which."
                )
            owners[public] = site


def key_maker(announced: Mapping[str, ChannelKeys]) -> str:
    """Return the site that makes the key: the first by name of those that announced channel keys.

    Raises:
        PeerError: nobody did.
    """
    if not announced:
        raise PeerError("No site announced channel keys: nobody can make the sum's key.")
    return min(announced)


@dataclass(frozen=True, eq=False)
class KeyChannels:
    """One site's channels to the others of its session.

    Attributes:
        session: what the channels are bound to.
        site: whose end this is.
        channel: its key pairs.
        announced: the channel keys of every site that announced any, this one among them.
    """

    session: Session
    site: str
    channel: PartyKey
    announced: Mapping[str, ChannelKeys]

    def seal(self, receiver: str, exported: SecretBytes, digest: bytes, entropy: Entropy) -> bytes:
        """Return the exported key whose digest is `digest`, for `receiver` alone (HE.2).

        Each channel seals one key in its life; the nonce is random all the same, so that a site
        which repeats itself after a crash does not reuse one.

        Raises:
            PeerError: the receiver's keys cannot be used.
        """
        peer = self.announced[receiver]
        encapsulated, ciphertext = SecretBytes(b""), b""
        if self.channel.kem is not None:
            encapsulated, ciphertext = encapsulate(peer.channel_kem)
        context = self._context(self.site, receiver, digest)
        kem_public = peer.channel_kem
        cipher = self._cipher(peer, encapsulated, (kem_public, ciphertext), context)
        nonce = entropy(_NONCE_BYTES)
        sealed = nonce + cipher.encrypt(nonce, exported.reveal(), context)
        return encode(SealedKey(sealed, ciphertext))

    def open(self, sender: str, data: bytes, digest: bytes) -> SecretBytes:
        """Return the exported key that `sender` sealed to this site.

        Raises:
            PeerError: it is not the sender's, not for this site or session, was altered, or is
                another key than the one of `digest`. The sender is named.
        """
        message = decode(SealedKey, data, limit_bytes=_LARGEST_MESSAGE_BYTES)
        context = self._context(sender, self.site, digest)
        nonce, ciphertext = message.sealed[:_NONCE_BYTES], message.sealed[_NONCE_BYTES:]
        refused = (
            f"The key that {sender} sealed to {self.site} does not open: it was altered, swapped "
            "or replayed on the way, sealed under other keys or announcements, or is not the one "
            "that the round's header names. It was not used; resume the run, which makes a new one."
        )
        try:
            encapsulated = SecretBytes(b"")
            if self.channel.kem is not None:
                encapsulated = self.channel.kem.decapsulate(message.channel_ciphertext)
            exchanged = (self.channel.kem_public, message.channel_ciphertext)
            cipher = self._cipher(self.announced[sender], encapsulated, exchanged, context)
            return SecretBytes(cipher.decrypt(nonce, ciphertext, context))
        except (InvalidTag, ValueError, PeerError) as error:
            raise PeerError(refused) from error

    def _context(self, sender: str, receiver: str, key: bytes) -> bytes:
        digests = tuple(self.announced[site].digest() for site in sorted(self.announced))
        return encode(
            SealContext(
                session=self.session.digest(),
                sender=sender,
                receiver=receiver,
                sender_keys=self.announced[sender].digest(),
                receiver_keys=self.announced[receiver].digest(),
                announced=sha256(encode(ChannelAnnouncements(digests))),
                key=key,
            )
        )

    def _cipher(
        self,
        peer: ChannelKeys,
        encapsulated: SecretBytes,
        exchanged: tuple[bytes, bytes],
        context: bytes,
    ) -> AESGCM:
        """Return the cipher of one channel; X25519's public keys are in `context` by digest."""
        agreed = self.channel.agreement.shared(peer.channel)
        if self.channel.kem is None:
            key = hkdf(agreed, _LABEL, context, _KEY_BYTES)
        else:
            key = hybrid_secret(
                agreed, [encapsulated], exchanged=exchanged, label=_LABEL, context=context
            )
        return AESGCM(key.reveal())


def _check_kem(public: bytes, suite: CipherSuite) -> None:
    if suite.is_hybrid:
        check_kem_public(public)
    elif public:
        raise PeerError(
            "A post-quantum key came in a session whose cipher suite has none: its owner runs "
            "another suite."
        )
