"""A naive twin of a whole round of a masked sum: every message that its parties exchange.

Like `reference_masked_sum` it shares no code with `crypto`. What is random in a round comes in
with `Secrets`, so that a run has one transcript; ML-KEM is the twin in `reference_ml_kem`. Only
tests and `make_vectors.py` use it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import reference_masked_sum as twin
import reference_ml_kem as slow
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from reference_masked_sum import encoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHARE_BYTES = 33
HYBRID = "x25519-mlkem768-hkdf-sha256-aes256ctr-z32"
CLASSICAL = "x25519-hkdf-sha256-aes256ctr-z32"
MASK_KEY, SELF_MASK = "mask-key", "self-mask"


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def derived(secret: bytes, label: str, context: bytes, length: int = 32) -> bytes:
    """HKDF under the label of one purpose."""
    return twin.hkdf(secret, b"", b"secure-fl/v1/" + label.encode() + b"\x00" + context, length)


@dataclass(frozen=True)
class Settings:
    """The session; `degree` and `risk` only above a hundred sites."""

    run_id: bytes
    attempt: int
    roster_digest: bytes
    config_digest: bytes
    suite: str
    adversary: str
    width_bits: int
    sites: tuple[str, ...]
    threshold: int
    degree: int | None = None
    risk: tuple[int, int] | None = None

    def record(self) -> bytes:
        return encoded(*self.fields())

    def fields(self) -> list[object]:
        return [
            "secure-fl.masking-session.v2",
            self.run_id,
            self.attempt,
            self.roster_digest,
            self.config_digest,
            self.suite,
            self.adversary,
            self.width_bits,
            list(self.sites),
            self.threshold,
            len(self.sites) - 1 if self.degree is None else self.degree,
            None if self.risk is None else list(self.risk),
        ]

    @property
    def digest(self) -> bytes:
        return sha256(self.record())

    @property
    def is_hybrid(self) -> bool:
        return self.suite == HYBRID


@dataclass(frozen=True)
class Secrets:
    """Everything random of one site in one round.

    Polynomials are their coefficients without the constant term, lowest power first. `nonces` are
    by holder; `channel_seeds` and `mask_seeds` are the m of an encapsulation, by holder.
    """

    channel: bytes
    mask: bytes
    seed: bytes
    mask_polynomial: tuple[int, ...]
    seed_polynomial: tuple[int, ...]
    nonces: Mapping[str, bytes]
    channel_seeds: Mapping[str, bytes]
    mask_seeds: Mapping[str, bytes]


@dataclass(frozen=True)
class Keys:
    """The key pairs that follow from one 32-byte secret in one role."""

    scalar: bytes
    public: bytes
    kem_public: bytes
    kem_secret: bytes


@dataclass(frozen=True)
class Round:
    """One round of a session, from keys to the opened sum."""

    settings: Settings
    number: int
    header_digest: bytes
    parameter_digest: bytes
    secrets: Mapping[str, Secrets]
    vectors: Mapping[str, Sequence[int]]
    survivors: tuple[str, ...]

    # -- keys --------------------------------------------------------------------------------

    def keys(self, site: str, role: str) -> Keys:
        return self._keys[site, role]

    @cached_property
    def _keys(self) -> dict[tuple[str, str], Keys]:
        found = {}
        for site, secrets in self.secrets.items():
            for role, secret in (("channel", secrets.channel), ("mask", secrets.mask)):
                context = encoded("secure-fl.masking-key.v1", self.settings.digest, site, role)
                scalar = derived(secret, "masking-x25519", context)
                kem = (b"", b"")
                if self.settings.is_hybrid:
                    seed = derived(secret, "masking-mlkem768", context, 64)
                    kem = slow.key_gen(seed[:32], seed[32:])
                found[site, role] = Keys(scalar, twin.public_key(scalar), *kem)
        return found

    def commitment(self, site: str) -> bytes:
        tag = "secure-fl.self-mask-commitment.v1"
        context = encoded(tag, self.settings.digest, self.number, site)
        return sha256(context + b"\x00" + self.secrets[site].seed)

    def key_fields(self, site: str) -> list[Any]:
        """The fields of a site's announcement, its schema first."""
        channel, mask = self.keys(site, "channel"), self.keys(site, "mask")
        return [
            "secure-fl.site-keys.v2",
            self.settings.digest,
            site,
            self.number,
            channel.public,
            channel.kem_public,
            mask.public,
            mask.kem_public,
            self.commitment(site),
        ]

    def announcement(self, site: str) -> bytes:
        return encoded(*self.key_fields(site))

    def announced(self) -> bytes:
        digests = [sha256(self.announcement(site)) for site in sorted(self.secrets)]
        return sha256(encoded("secure-fl.announcements.v1", digests))

    # -- shares ------------------------------------------------------------------------------

    def share(self, dealer: str, holder: str, kind: str) -> bytes:
        secrets = self.secrets[dealer]
        secret, polynomial = (
            (secrets.mask, secrets.mask_polynomial)
            if kind == MASK_KEY
            else (secrets.seed, secrets.seed_polynomial)
        )
        point = self.settings.sites.index(holder) + 1
        value = twin.evaluate([int.from_bytes(secret), *polynomial], point)
        return value.to_bytes(SHARE_BYTES)

    def share_commitment(self, dealer: str, holder: str, kind: str, share: bytes) -> bytes:
        tag = "secure-fl.share-commitment.v1"
        context = encoded(tag, self.settings.digest, self.number, dealer, holder, kind)
        return sha256(context + b"\x00" + share)

    def bundle_context(self, dealer: str, holder: str) -> bytes:
        return encoded(
            "secure-fl.share-context.v2",
            self.settings.digest,
            self.number,
            dealer,
            holder,
            sha256(self.announcement(dealer)),
            sha256(self.announcement(holder)),
            self.announced(),
        )

    def pair_half(self, site: str, peer: str) -> bytes:
        """What `site` sends to `peer` under ML-KEM."""
        tag = "secure-fl.pair-half.v1"
        context = encoded(tag, self.settings.digest, self.number, site, peer)
        return derived(self.secrets[site].mask, "pair-half", context)

    def dealt_fields(self, dealer: str, holder: str, **crooked: bytes) -> list[Any]:
        """The fields of what a dealer sends to a holder, its schema first.

        `crooked` puts another `mask_key` or `self_mask` share or `graph_seed` into the bundle.
        """
        mask = crooked.get(MASK_KEY.replace("-", "_"), self.share(dealer, holder, MASK_KEY))
        own = crooked.get(SELF_MASK.replace("-", "_"), self.share(dealer, holder, SELF_MASK))
        commitments = [
            self.share_commitment(dealer, holder, MASK_KEY, mask),
            self.share_commitment(dealer, holder, SELF_MASK, own),
        ]
        tag = "secure-fl.dealt-shares.v1"
        if dealer == holder:
            return [tag, *commitments, b"", b"", b""]
        context = self.bundle_context(dealer, holder)
        bundle = encoded("secure-fl.share-bundle.v2", mask, own, crooked.get("graph_seed", b""))
        sealed, ciphertext = self._sealed(dealer, holder, bundle, context + b"".join(commitments))
        half = self._wrapped(dealer, holder, context) if self.settings.is_hybrid else b""
        return [tag, *commitments, sealed, ciphertext, half]

    def dealt(self, dealer: str, holder: str) -> bytes:
        return encoded(*self.dealt_fields(dealer, holder))

    def channel_key(
        self, dealer: str, holder: str, encapsulated: bytes, ciphertext: bytes
    ) -> bytes:
        theirs = self.keys(holder, "channel").public
        agreed = twin.x25519(self.keys(dealer, "channel").scalar, theirs)
        context = self.bundle_context(dealer, holder)
        if self.settings.is_hybrid:
            context = encoded("secure-fl.hybrid-secret.v1", 2, [ciphertext], context)
        return derived(agreed + encapsulated, "share-channel", context)

    def _sealed(
        self, dealer: str, holder: str, bundle: bytes, associated: bytes
    ) -> tuple[bytes, bytes]:
        encapsulated, ciphertext = b"", b""
        if self.settings.is_hybrid:
            m = self.secrets[dealer].channel_seeds[holder]
            encapsulated, ciphertext = slow.encaps(self.keys(holder, "channel").kem_public, m)
        nonce = self.secrets[dealer].nonces[holder]
        key = self.channel_key(dealer, holder, encapsulated, ciphertext)
        return nonce + AESGCM(key).encrypt(nonce, bundle, associated), ciphertext

    def _wrapped(self, dealer: str, holder: str, context: bytes) -> bytes:
        public = self.keys(holder, "mask").kem_public
        shared, ciphertext = slow.encaps(public, self.secrets[dealer].mask_seeds[holder])
        key = derived(
            shared, "kem-wrap", encoded("secure-fl.kem-wrap.v1", public, ciphertext, context)
        )
        return ciphertext + AESGCM(key).encrypt(bytes(12), self.pair_half(dealer, holder), None)

    # -- masks -------------------------------------------------------------------------------

    def binding(self) -> bytes:
        return encoded(
            "secure-fl.round-binding.v1",
            self.settings.digest,
            self.number,
            self.header_digest,
            sorted(self.secrets),
            self.parameter_digest,
        )

    def self_mask_key(self, site: str) -> bytes:
        context = encoded("secure-fl.self-mask.v1", sha256(self.binding()), site)
        return derived(self.secrets[site].seed, "self-mask", context)

    def pair_key(self, site: str, peer: str) -> bytes:
        low, high = sorted((site, peer))
        hybrid = self.settings.is_hybrid
        context = encoded(
            "secure-fl.pairwise-mask.v2",
            sha256(self.binding()),
            low,
            high,
            sha256(self.announcement(low)),
            sha256(self.announcement(high)),
            hybrid,
            hybrid,
        )
        halves = [self.pair_half(low, high), self.pair_half(high, low)] if hybrid else []
        agreed = twin.x25519(self.keys(low, "mask").scalar, self.keys(high, "mask").public)
        return derived(b"".join([agreed, *halves]), "pairwise-mask", context)

    def masked(self, site: str) -> list[int]:
        """The ring elements that a site uploads, one number at a time."""
        size = len(self.vectors[site])
        total = list(self.vectors[site])
        for at, word in enumerate(twin.mask_words(self.self_mask_key(site), size)):
            total[at] += word
        for peer in self.secrets:
            if peer != site:
                sign = 1 if site < peer else -1
                for at, word in enumerate(twin.mask_words(self.pair_key(site, peer), size)):
                    total[at] += sign * word
        return [value % 2**self.settings.width_bits for value in total]

    def upload(self, site: str) -> bytes:
        return packed(self.masked(site), self.settings.width_bits)

    # -- the close ---------------------------------------------------------------------------

    def confirmation_fields(self, site: str) -> list[Any]:
        return [
            "secure-fl.confirmation.v1",
            self.settings.digest,
            self.number,
            site,
            sha256(self.binding()),
            list(self.survivors),
            self.settings.threshold,
        ]

    def release_fields(self, site: str) -> list[Any]:
        shares = []
        for peer in sorted(self.secrets):
            kind = SELF_MASK if peer in self.survivors else MASK_KEY
            shares.append([peer, kind, self.share(peer, site, kind)])
        return [
            "secure-fl.release.v2",
            self.settings.digest,
            self.number,
            site,
            list(self.survivors),
            shares,
        ]

    def total(self) -> list[int]:
        """The sum over the survivors: all that the coordinator may learn."""
        columns = zip(*(self.vectors[site] for site in self.survivors), strict=True)
        return [sum(column) % 2**self.settings.width_bits for column in columns]

    def elsewhere(self, **changes: Any) -> Round:  # noqa: ANN401 - fields of a round
        """The same secrets in another round or session."""
        return replace(self, **changes)


def packed(elements: Sequence[int], width_bits: int) -> bytes:
    """Words, or the low 16 bits of all elements and then the next 8 of all."""
    if width_bits == 32:
        return b"".join(value.to_bytes(4, "little") for value in elements)
    low = b"".join((value % 2**16).to_bytes(2, "little") for value in elements)
    return low + bytes(value // 2**16 for value in elements)


def drawn_neighbours(seed: bytes, site: str, names: Sequence[str], degree: int) -> list[str]:
    """Whom a site draws above a hundred: one of those left at a time, by a word's remainder."""
    left = sorted(set(names) - {site})
    stream = iter(twin.mask_words(derived(seed, "neighbours", site.encode()), 4 * degree))
    chosen = []
    for _ in range(degree):
        word = next(word for word in stream if word < 2**32 // len(left) * len(left))
        pick = word % len(left)
        chosen.append(left[pick])
        left[pick] = left[0]
        left.pop(0)
    return sorted(chosen)
