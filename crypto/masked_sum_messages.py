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
from crypto.codec import Digest, Message, Name, PublicKey, encode, require_name
from crypto.digests import sha256
from crypto.errors import ConfigError, PeerError
from crypto.shamir import SHARE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

LARGEST_COHORT = 100
"""The complete graph of pairwise masks carries this many sites."""

SMALLEST_COHORT = 2
RUN_ID_BYTES = 16
DIGEST_BYTES = 32

RoundNumber = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
"""A round of a run, counted from zero."""


class CipherSuite(enum.Enum):
    """The primitives of a masked sum; a new combination is a new suite, never a default."""

    X25519_HKDF_AES256CTR_Z32 = "x25519-hkdf-sha256-aes256ctr-z32"


class ShareKind(enum.Enum):
    """Which of a site's two secrets a share is of."""

    SELF_MASK = "self-mask"
    """The seed of its self mask: released for a survivor."""

    MASK_KEY = "mask-key"
    """The secret of its mask key: released for a drop-out."""


def default_threshold(sites: int) -> int:
    """Return floor(2n/3) + 1, above which no two survivor lists open both of a site's secrets.

    Bonawitz et al. 2017, section 6.2: needed against a coordinator that lies about survivors.
    """
    return 2 * sites // 3 + 1


class SessionRecord(Message, frozen=True, tag="secure-fl.masking-session.v1"):
    """The encoding of a `Session`."""

    run_id: Annotated[bytes, msgspec.Meta(min_length=RUN_ID_BYTES, max_length=RUN_ID_BYTES)]
    attempt: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    roster_digest: Digest
    config_digest: Digest
    suite: CipherSuite
    sites: tuple[Name, ...]
    threshold: int


@dataclass(frozen=True)
class Session:
    """What is bound into every key, share and mask of a run.

    A re-key after an abort or a resume raises `attempt`, so that nothing of the earlier attempt
    fits. `sites` is sorted; a site's share point is its place in it, counted from one.

    Raises:
        ConfigError: a length, the order or uniqueness of the names, the number of sites (2 to
            100) or the threshold (more than half of the sites, at least 2) is out of range.
    """

    run_id: bytes
    attempt: int
    roster_digest: bytes
    config_digest: bytes
    suite: CipherSuite
    sites: tuple[str, ...]
    threshold: int

    def __post_init__(self) -> None:
        if len(self.run_id) != RUN_ID_BYTES:
            raise ConfigError(f"A run id has {RUN_ID_BYTES} bytes, not {len(self.run_id)}.")
        if {len(self.roster_digest), len(self.config_digest)} != {DIGEST_BYTES}:
            raise ConfigError(
                f"The roster's and configuration's digests have {DIGEST_BYTES} bytes."
            )
        if not 0 <= self.attempt < 2**32:
            raise ConfigError(f"Attempt {self.attempt} was refused: count attempts from zero.")
        if not isinstance(self.suite, CipherSuite):
            raise ConfigError("The cipher suite is one of crypto.masked_sum.CipherSuite.")
        self._check_sites()

    def _check_sites(self) -> None:
        count = len(self.sites)
        if not SMALLEST_COHORT <= count <= LARGEST_COHORT:
            raise ConfigError(
                f"A masked sum over {count} sites was refused: it needs at least "
                f"{SMALLEST_COHORT}, and its complete graph carries at most {LARGEST_COHORT}."
            )
        for site in self.sites:
            require_name(site)
        if list(self.sites) != sorted(set(self.sites)):
            raise ConfigError("The session's sites must be sorted and distinct.")
        lowest = count // 2 + 1
        if not lowest <= self.threshold <= count:
            raise ConfigError(
                f"A threshold of {self.threshold} over {count} sites was refused: below {lowest}, "
                "two disjoint groups could each open a sum, and at 1 each site could read every "
                f"other's secrets. The default is {default_threshold(count)}."
            )

    def digest(self) -> bytes:
        """Return the SHA-256 that stands for this session in every message, 32 bytes."""
        return sha256(encode(self.record()))

    def record(self) -> SessionRecord:
        """Return the session in the form that is encoded."""
        return SessionRecord(
            self.run_id,
            self.attempt,
            self.roster_digest,
            self.config_digest,
            self.suite,
            self.sites,
            self.threshold,
        )

    @classmethod
    def from_record(cls, record: SessionRecord) -> Session:
        """Return the session that `record` describes.

        Raises:
            ConfigError: as for a new session.
        """
        return cls(
            record.run_id,
            record.attempt,
            record.roster_digest,
            record.config_digest,
            record.suite,
            record.sites,
            record.threshold,
        )

    def point(self, site: str) -> int:
        """Return the point at which `site` holds shares: its place among the sites, from 1.

        Raises:
            PeerError: the session has no such site.
        """
        if site not in self.sites:
            raise PeerError(f"{site} is not a site of this session: nothing of it was used.")
        return self.sites.index(site) + 1


class SiteKeys(Message, frozen=True, tag="secure-fl.site-keys.v1"):
    """A site's public keys for one round, and its commitment to that round's self-mask seed."""

    session: Digest
    site: Name
    round: RoundNumber
    channel: PublicKey
    mask: PublicKey
    self_mask_commitment: Digest

    def digest(self) -> bytes:
        """Return the SHA-256 that the shares dealt under these keys are bound to, 32 bytes."""
        return sha256(encode(self))


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


class ReleasedShare(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One share of one of `peer`'s two secrets. Its value does not print."""

    peer: Name
    kind: ShareKind
    share: Annotated[bytes, msgspec.Meta(min_length=SHARE_BYTES, max_length=SHARE_BYTES)]

    def __repr__(self) -> str:
        return f"<share of {self.peer}'s {self.kind.value}>"


class Release(Message, frozen=True, tag="secure-fl.release.v1"):
    """A survivor's shares, for each site of the cohort exactly one, in name order."""

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
    for public in (keys.channel, keys.mask):
        try:
            check_public(public)
        except PeerError as error:
            raise PeerError(f"{keys.site} announced keys that cannot be used. {error}") from error


def check_distinct(keys: Iterable[SiteKeys]) -> None:
    """Raise PeerError if one public key stands twice: a copied key has no honest owner."""
    owners: dict[bytes, str] = {}
    for entry in keys:
        for public in (entry.channel, entry.mask):
            if public in owners:
                raise PeerError(
                    f"{entry.site} announced a key that {owners[public]} announced too: no shares "
                    "were dealt. One of them copied it; leave both out and find out which."
                )
            owners[public] = entry.site
