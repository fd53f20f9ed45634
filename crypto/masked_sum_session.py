"""What a run's masked sums are bound to: parties, primitives, threshold, adversary and width."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import msgspec

from crypto.codec import Digest, Message, Name, encode, require_name
from crypto.digests import sha256
from crypto.errors import ConfigError, PeerError
from crypto.masked_sum_graph import (
    LARGEST_COMPLETE,
    CohortRisk,
    Neighbourhood,
    default_threshold,
    tails_of,
)
from crypto.ring import WIDTHS_BITS, WidthBits

SMALLEST_COHORT = 2
RUN_ID_BYTES = 16
DIGEST_BYTES = 32


class CipherSuite(enum.Enum):
    """The primitives of a masked sum; a new combination is a new suite, never a default."""

    X25519_HKDF_AES256CTR_Z32 = "x25519-hkdf-sha256-aes256ctr-z32"
    X25519_MLKEM768_HKDF_AES256CTR_Z32 = "x25519-mlkem768-hkdf-sha256-aes256ctr-z32"
    """Masks and shares stay secret if either X25519 or ML-KEM-768 does, also to whoever records
    today's traffic and has a quantum computer later."""

    @property
    def is_hybrid(self) -> bool:
        """Whether ML-KEM-768 stands beside X25519."""
        return self is CipherSuite.X25519_MLKEM768_HKDF_AES256CTR_Z32


class Adversary(enum.Enum):
    """What the coordinator, and the sites that collude with it, are assumed to do."""

    SEMI_HONEST = "semi-honest"
    """They follow the protocol and read what they see: two exchanges per round."""

    MALICIOUS = "malicious"
    """They do as they like: shares are released after the survivors have signed one list."""


class SessionRecord(Message, frozen=True, tag="secure-fl.masking-session.v2"):
    """The encoding of a `Session`; a complete graph has no risk."""

    run_id: Annotated[bytes, msgspec.Meta(min_length=RUN_ID_BYTES, max_length=RUN_ID_BYTES)]
    attempt: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    roster_digest: Digest
    config_digest: Digest
    suite: CipherSuite
    adversary: Adversary
    width_bits: WidthBits
    sites: tuple[Name, ...]
    threshold: int
    degree: int
    risk: tuple[int, int] | None


@dataclass(frozen=True, kw_only=True)
class Session:
    """What is bound into every key, share and mask of a run: step MS.1.

    A re-key after an abort or a resume raises `attempt`, so that nothing of the earlier attempt
    fits. `sites` is sorted; a site's share point is its place in it, counted from one.

    Attributes:
        run_id: 16 bytes.
        attempt: counted from zero.
        roster_digest: of the consortium's signed roster, 32 bytes.
        config_digest: of the run's configuration, 32 bytes.
        suite: the primitives.
        adversary: what is assumed of the coordinator and its colluders.
        sites: names, sorted.
        threshold: t, how many of a site's holders rebuild its secrets.
        width_bits: bits of an element on the wire.
        degree: how many others each site deals shares to; all of them when None.
        risk: what a degree below that was chosen against.

    Raises:
        ConfigError: a length, the order or uniqueness of the names, their number (2 to 100 in the
            complete graph) or the threshold (more than half of the sites, at least 2) is out of
            range; or degree and threshold do not bear the risk, whose tails are in the message.
    """

    run_id: bytes
    attempt: int
    roster_digest: bytes
    config_digest: bytes
    suite: CipherSuite
    adversary: Adversary
    sites: tuple[str, ...]
    threshold: int
    width_bits: WidthBits = 32
    degree: int | None = None
    risk: CohortRisk | None = None

    def __post_init__(self) -> None:
        if len(self.run_id) != RUN_ID_BYTES:
            raise ConfigError(f"A run id has {RUN_ID_BYTES} bytes, not {len(self.run_id)}.")
        if {len(self.roster_digest), len(self.config_digest)} != {DIGEST_BYTES}:
            raise ConfigError(
                f"The roster's and configuration's digests have {DIGEST_BYTES} bytes."
            )
        if not 0 <= self.attempt < 2**32:
            raise ConfigError(f"Attempt {self.attempt} was refused: count attempts from zero.")
        if not isinstance(self.suite, CipherSuite) or not isinstance(self.adversary, Adversary):
            raise ConfigError(
                "Cipher suite and adversary are crypto.masked_sum.CipherSuite's and Adversary's."
            )
        if self.width_bits not in WIDTHS_BITS:
            raise ConfigError(f"Elements of {self.width_bits} bits are not on offer: 24 or 32 are.")
        self._check_sites()
        if self.is_complete:
            self._check_complete()
        else:
            self._check_drawn()

    def _check_sites(self) -> None:
        for site in self.sites:
            require_name(site)
        if list(self.sites) != sorted(set(self.sites)):
            raise ConfigError("The session's sites must be sorted and distinct.")

    def _check_complete(self) -> None:
        count = len(self.sites)
        if not SMALLEST_COHORT <= count <= LARGEST_COMPLETE:
            raise ConfigError(
                f"A masked sum over {count} sites was refused: it needs at least "
                f"{SMALLEST_COHORT}, and its complete graph carries at most {LARGEST_COMPLETE}. "
                "Above, give a degree and the risk that it bears."
            )
        if self.risk is not None:
            raise ConfigError("In a complete graph no risk is assumed: leave it out.")
        lowest = count // 2 + 1
        if not lowest <= self.threshold <= count:
            raise ConfigError(
                f"A threshold of {self.threshold} over {count} sites was refused: below {lowest}, "
                "two disjoint groups could each open a sum, and at 1 each site could read every "
                f"other's secrets. The default is {default_threshold(count)}."
            )

    def _check_drawn(self) -> None:
        count, degree, risk = len(self.sites), self.degree, self.risk
        if count <= LARGEST_COMPLETE or degree is None or risk is None:
            raise ConfigError(
                f"Among {count} sites a degree was given: up to {LARGEST_COMPLETE} sites every one "
                "deals to every other, and above, a degree needs the risk that it bears."
            )
        if not (degree // 2 < self.threshold <= degree < count - 1):
            raise ConfigError(
                f"A threshold of {self.threshold} over {degree} holders among {count} sites was "
                "refused: it is more than half of the holders and at most all of them."
            )
        tails = tails_of(count, Neighbourhood(degree, self.threshold), risk)
        if not tails.suffice():
            raise ConfigError(
                f"{degree} holders of which {self.threshold} rebuild a secret do not bear "
                f"{risk.drop_outs} drop-outs and {risk.corrupted} corrupted sites among {count}: "
                f"2^-{tails.secrecy_bits:.1f} (secrecy) and 2^-{tails.separation_bits:.1f} "
                f"(separation) where 2^-40 is required, 2^-{tails.failure_bits:.1f} (failure) "
                "where 2^-20 is. Use what crypto.masked_sum.choose_neighbourhood returns."
            )

    @property
    def is_complete(self) -> bool:
        """Whether every site deals to every other."""
        return self.degree is None

    @property
    def quorum(self) -> int:
        """How many survivors a sum needs."""
        return self.threshold if self.is_complete else default_threshold(len(self.sites))

    def digest(self) -> bytes:
        """Return the SHA-256 that stands for this session in every message, 32 bytes."""
        return self._digest

    @cached_property
    def _digest(self) -> bytes:
        return sha256(encode(self.record()))

    @cached_property
    def _points(self) -> dict[str, int]:
        return {site: place + 1 for place, site in enumerate(self.sites)}

    def record(self) -> SessionRecord:
        """Return the session in the form that is encoded."""
        return SessionRecord(
            self.run_id,
            self.attempt,
            self.roster_digest,
            self.config_digest,
            self.suite,
            self.adversary,
            self.width_bits,
            self.sites,
            self.threshold,
            len(self.sites) - 1 if self.degree is None else self.degree,
            None if self.risk is None else (self.risk.drop_outs, self.risk.corrupted),
        )

    @classmethod
    def from_record(cls, record: SessionRecord) -> Session:
        """Return the session that `record` describes.

        Raises:
            ConfigError: as for a new session.
        """
        complete = record.degree == len(record.sites) - 1
        return cls(
            run_id=record.run_id,
            attempt=record.attempt,
            roster_digest=record.roster_digest,
            config_digest=record.config_digest,
            suite=record.suite,
            adversary=record.adversary,
            width_bits=record.width_bits,
            sites=record.sites,
            threshold=record.threshold,
            degree=None if complete else record.degree,
            risk=None if record.risk is None else CohortRisk(*record.risk),
        )

    def point(self, site: str) -> int:
        """Return the point at which `site` holds shares: its place among the sites, from 1.

        Raises:
            PeerError: the session has no such site.
        """
        if site not in self._points:
            raise PeerError(f"{site} is not a site of this session: nothing of it was used.")
        return self._points[site]
