"""What the parties of a masked sum say to each other, and what everything is bound to.

The messages are not signed here: rounds wrap them in `crypto.signatures.Signed` and hand over
only what verified against the pinned roster.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec

from crypto.agreement import check_public
from crypto.codec import Digest, Message, Name, PublicKey, encode
from crypto.digests import sha256
from crypto.errors import PeerError
from crypto.kem import KEM_PUBLIC_BYTES, check_kem_public
from crypto.masked_sum_session import DIGEST_BYTES
from crypto.shamir import SHARE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crypto.masked_sum_session import CipherSuite, Session

RoundNumber = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
"""A round of a run, counted from zero."""


class ShareKind(enum.Enum):
    """Which of a site's two secrets a share is of."""

    SELF_MASK = "self-mask"
    """The seed of its self mask: released for a survivor."""

    MASK_KEY = "mask-key"
    """The secret of its mask key: released for a drop-out."""


KemPublic = Annotated[bytes, msgspec.Meta(max_length=KEM_PUBLIC_BYTES)]
"""An ML-KEM-768 public key, or nothing in a suite without one."""


class SiteKeys(Message, frozen=True, tag="secure-fl.site-keys.v2"):
    """A site's public keys for one round, and its commitment to that round's self-mask seed.

    Attributes:
        session: the session's digest.
        site: whose keys they are.
        round: the one round that they serve.
        channel: X25519; shares for the site are sealed under it.
        channel_kem: ML-KEM-768, for the same.
        mask: X25519; pairwise masks are agreed with it.
        mask_kem: ML-KEM-768; peers send their half of a pair's secret under it.
        self_mask_commitment: see `commit_to_seed`.
    """

    session: Digest
    site: Name
    round: RoundNumber
    channel: PublicKey
    channel_kem: KemPublic
    mask: PublicKey
    mask_kem: KemPublic
    self_mask_commitment: Digest

    def digest(self) -> bytes:
        """Return the SHA-256 that stands for these keys in what is bound to them, 32 bytes."""
        return sha256(encode(self))


class Announcements(Message, frozen=True, tag="secure-fl.announcements.v1"):
    """The digests of all keys that were announced for a round, in the order of their sites."""

    digests: tuple[Digest, ...]


def announced_digest(keys: Mapping[str, SiteKeys]) -> bytes:
    """Return the SHA-256 of a round's announcements, 32 bytes: whom neighbours are drawn from."""
    return sha256(encode(Announcements(tuple(keys[site].digest() for site in sorted(keys)))))


class BindingRecord(Message, frozen=True, tag="secure-fl.round-binding.v1"):
    """The encoding of a `RoundBinding` within its session."""

    session: Digest
    round: RoundNumber
    header_digest: Digest
    cohort: tuple[Name, ...]
    parameter_digest: Digest

    def digest(self) -> bytes:
        """Return the SHA-256 that masks are bound to, 32 bytes."""
        return sha256(encode(self))


@dataclass(frozen=True)
class RoundBinding:
    """What the masks of one round are bound to; sites that differ in any of it never cancel.

    Attributes:
        round: the round's number.
        header_digest: digest of the coordinator's signed header.
        cohort: the sites whose shares arrived, sorted.
        parameter_digest: digest of the shared parameters that the round starts from.

    Raises:
        PeerError: a digest is not 32 bytes, or the cohort is not sorted and distinct.
    """

    round: int
    header_digest: bytes
    cohort: tuple[str, ...]
    parameter_digest: bytes

    def __post_init__(self) -> None:
        if {len(self.header_digest), len(self.parameter_digest)} != {DIGEST_BYTES}:
            raise PeerError(f"The header's and parameters' digests have {DIGEST_BYTES} bytes.")
        if list(self.cohort) != sorted(set(self.cohort)):
            raise PeerError("A cohort that is not sorted and distinct was refused.")

    def record(self, session: bytes) -> BindingRecord:
        """Return the binding in the form that is encoded; `session` is the session's digest."""
        return BindingRecord(
            session, self.round, self.header_digest, self.cohort, self.parameter_digest
        )


class Confirmation(Message, frozen=True, tag="secure-fl.confirmation.v1"):
    """A survivor's word that it was told of these survivors and of no others.

    `binding` is the digest of the round's `BindingRecord`, in which header, cohort and parameters
    stand.
    """

    session: Digest
    round: RoundNumber
    site: Name
    binding: Digest
    survivors: tuple[Name, ...]
    threshold: int


class ReleasedShare(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One share of one of `peer`'s two secrets. Its value does not print."""

    peer: Name
    kind: ShareKind
    share: Annotated[bytes, msgspec.Meta(min_length=SHARE_BYTES, max_length=SHARE_BYTES)]

    def __repr__(self) -> str:
        return f"<share of {self.peer}'s {self.kind.value}>"


class Release(Message, frozen=True, tag="secure-fl.release.v2"):
    """A survivor's shares: for each site whose shares it holds exactly one, in name order."""

    session: Digest
    round: RoundNumber
    site: Name
    survivors: tuple[Name, ...]
    shares: tuple[ReleasedShare, ...]


class SeedContext(Message, frozen=True, tag="secure-fl.self-mask-commitment.v1"):
    """What a commitment to a self-mask seed is bound to."""

    session: Digest
    round: RoundNumber
    site: Name


def commit_to_seed(session: bytes, round_number: int, site: str, seed: bytes) -> bytes:
    """Return SHA-256(context | NUL | seed); hiding, since the seed is 32 uniform bytes."""
    return sha256(encode(SeedContext(session, round_number, site)) + b"\x00" + seed)


def check_keys(session: Session, keys: SiteKeys, round_number: int) -> None:
    """Raise PeerError unless `keys` are a session site's, for this session and round, and sound."""
    session.point(keys.site)
    if keys.session != session.digest():
        raise PeerError(
            f"{keys.site} announced keys of another session: they were not used. It runs another "
            "configuration, roster or attempt, or somebody replayed an old message."
        )
    if keys.round != round_number:
        raise PeerError(
            f"{keys.site} announced keys for round {keys.round} where round {round_number} is "
            "being prepared: they were not used."
        )
    try:
        for public in (keys.channel, keys.mask):
            check_public(public)
        for kem in (keys.channel_kem, keys.mask_kem):
            _check_kem(kem, session.suite)
    except PeerError as error:
        raise PeerError(f"{keys.site} announced keys that cannot be used. {error}") from error


def _check_kem(public: bytes, suite: CipherSuite) -> None:
    if suite.is_hybrid:
        check_kem_public(public)
    elif public:
        raise PeerError(
            "A post-quantum key came in a session whose cipher suite has none: its owner runs "
            "another suite."
        )


def check_distinct(keys: Iterable[SiteKeys]) -> None:
    """Raise PeerError if one public key stands twice: a copied key has no honest owner."""
    owners: dict[bytes, str] = {}
    for entry in keys:
        for public in filter(None, (entry.channel, entry.mask, entry.channel_kem, entry.mask_kem)):
            if public in owners:
                raise PeerError(
                    f"{entry.site} announced a key that {owners[public]} announced too: no shares "
                    "were dealt. One of them copied it; leave both out and find out which."
                )
            owners[public] = entry.site


class CulpritError(PeerError):
    """A party broke the protocol, and what it sent shows which one.

    Attributes:
        culprit: the site's name.
    """

    def __init__(self, culprit: str, message: str) -> None:
        super().__init__(message)
        self.culprit = culprit
