"""Every message between coordinator and sites.

A *statement* is small, holds digests, is signed, and goes into the transcript. A *request* or a
*reply* is what travels: signed statements and the larger parts that they bind by digest.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import msgspec

from crypto.checkpoint import RunId
from crypto.codec import Digest, Message, Name
from crypto.masked_sum import LARGEST_COHORT
from crypto.signatures import Signed

Entities = Annotated[
    tuple[Annotated[str, msgspec.Meta(pattern=r"^[A-Z][A-Z0-9_]{0,63}\Z")], ...],
    msgspec.Meta(max_length=200),
]
Names = Annotated[tuple[Name, ...], msgspec.Meta(max_length=LARGEST_COHORT)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**32)]

STATEMENT_LIMIT_BYTES = 1 << 19
"""A header of 4096 names takes up to 270 KB; one of a hundred, 7 KB at most."""

REPLY_LIMIT_BYTES = 1 << 30

_LARGEST_CONTEXT_BYTES = 1 << 12
"""Encryption parameters take about 100 bytes per modulus; what holds a key is far longer."""


class Heads(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Where a site's own records stand when it signs: a site behind its own head was restored.

    Attributes:
        entries: how many requests of the run the site had answered before.
        journal: the head of the hash chain over them and their replies.
        ledger: the head of its ledger.
    """

    entries: Number
    journal: Digest
    ledger: Digest


class Hello(Message, frozen=True, tag="secure-fl.hello.v2"):
    """Statement: the coordinator proposes a session of a run.

    `degree` and `risk` (drop-outs, corrupted sites) are those of a cohort of more than 100 sites.
    """

    run_id: RunId
    attempt: Number
    first_round: Number
    config_digest: Digest
    roster_digest: Digest
    suite: str
    adversary: str
    width_bits: Number
    sites: Names
    threshold: Number
    degree: Number | None
    risk: tuple[Number, Number] | None


Canaries = Annotated[bytes, msgspec.Meta(max_length=32)]
"""A commitment to canaries or their seed, 32 bytes; empty where there are none."""


class Joined(Message, frozen=True, tag="secure-fl.joined.v3"):
    """Statement: a site takes part, and has reserved the run's whole plan in its ledger.

    `event` is the reserved event in canonical JSON: a function of the configuration alone.
    `looked_for` and `not_looked_for` are the PII entities of the site's scrubbing; what it found
    is not said. `checkpoint_size` is that of the last checkpoint this site saw, so that the
    coordinator can show that its log only grew since. `canaries` is the Merkle root over the site's
    canaries, empty in a run without: who is a member is settled before the first round.
    """

    session: Digest
    site: Name
    event: bytes
    heads: Heads
    looked_for: Entities
    not_looked_for: Entities
    checkpoint_size: Number
    canaries: Canaries


class SharesSent(Message, frozen=True, tag="secure-fl.shares-sent.v2"):
    """Statement: a site's encrypted shares for one round, bound by their digest."""

    session: Digest
    round: Number
    site: Name
    heads: Heads
    shares_digest: Digest


class KeyMade(Message, frozen=True, tag="secure-fl.key-made.v1"):
    """Statement: a site made the key of the session's homomorphic sums and sealed it to the others.

    `key` is its digest, `context` what the coordinator needs for adding ciphertexts: encryption
    parameters without a key of any kind. `shares_digest` binds what was sealed.
    """

    session: Digest
    round: Number
    site: Name
    heads: Heads
    key: Digest
    context: Annotated[bytes, msgspec.Meta(max_length=_LARGEST_CONTEXT_BYTES)]
    shares_digest: Digest


class RoundHeader(Message, frozen=True, tag="secure-fl.round-header.v2"):
    """Statement: the coordinator opens a round for exactly this cohort and these parameters.

    `sum_key` is the digest of the key that the sites of a homomorphic sum share; None elsewhere.
    """

    session: Digest
    round: Number
    config_digest: Digest
    cohort: Names
    parameter_digest: Digest
    checkpoint_size: Number
    checkpoint_root: Digest
    sum_key: Digest | None = None


class Uploaded(Message, frozen=True, tag="secure-fl.uploaded.v2"):
    """Statement: a site's protected update, and what its ledger charged for it.

    `unusable` are the sites whose shares for this one did not open: they dealt something else, or
    the coordinator altered it.
    """

    session: Digest
    round: Number
    site: Name
    heads: Heads
    header_digest: Digest
    vector_digest: Digest
    event: bytes
    unusable: Names


class RoundClose(Message, frozen=True, tag="secure-fl.round-close.v2"):
    """Statement: the coordinator names the survivors whose sum it will open.

    `sum_digest` is that of the bytes of their homomorphic sum; None elsewhere.
    """

    session: Digest
    round: Number
    header_digest: Digest
    survivors: Names
    threshold: Number
    sum_digest: Digest | None = None


class Released(Message, frozen=True, tag="secure-fl.released.v2"):
    """Statement: a site released its shares for exactly these survivors."""

    session: Digest
    round: Number
    site: Name
    heads: Heads
    header_digest: Digest
    survivors: Names
    shares_digest: Digest


class Applied(Message, frozen=True, tag="secure-fl.applied.v1"):
    """Statement: a site decrypted a homomorphic sum and applied the method's rule to it itself.

    `sum_digest` is that of the encrypted sum's bytes, `parameter_digest` that of the parameters
    which follow. Sites that were handed the same sum state the same.
    """

    session: Digest
    round: Number
    site: Name
    heads: Heads
    header_digest: Digest
    survivors: Names
    sum_digest: Digest
    parameter_digest: Digest


class ExtractSent(Message, frozen=True, tag="secure-fl.extract-sent.v3"):
    """Statement: what a site's ledger holds of this run, bound by its digest.

    Data sets stand in the extract as commitments under a secret of the site. `canaries` is the seed
    of the site's canaries, opened after the last round; empty in a run without.
    """

    session: Digest
    site: Name
    heads: Heads
    extract_digest: Digest
    canaries: Canaries


class LogProof(Message, frozen=True, tag="secure-fl.log-proof.v1"):
    """What a site needs to see that its messages are in the log and that the log only grew."""

    inclusion: tuple[tuple[Number, tuple[Digest, ...]], ...]
    consistency: tuple[Digest, ...]


class HelloRequest(Message, frozen=True, tag="secure-fl.hello-request.v2"):
    """Request of the first exchange, or to a site that may have come back: the same to every site.

    `round` is the first round that the site would take part in. `heads` are the last statements of
    sites in the log: a site that was restored from a backup finds itself behind its own.
    """

    hello: Signed
    mechanism: bytes
    round: Number
    heads: tuple[Signed, ...]


class HelloReply(Message, frozen=True, tag="secure-fl.hello-reply.v1"):
    """Reply: the site joined, with its keys.

    Under masks they are for the first round, under homomorphic sums channel keys for the session.
    """

    joined: Signed
    keys: Signed | None


class ShareRequest(Message, frozen=True, tag="secure-fl.share-request.v1"):
    """Request of the second exchange: every site's signed keys."""

    run_id: RunId
    round: Number
    keys: tuple[Signed, ...]


class ShareReply(Message, frozen=True, tag="secure-fl.share-reply.v1"):
    """Reply: one encrypted share bundle per peer.

    Under homomorphic sums: the key's maker seals it to each other site, and these deal nothing.
    """

    sent: Signed
    shares: dict[Name, bytes]


class OpenRequest(Message, frozen=True, tag="secure-fl.open-request.v1"):
    """Request: the round's header, the parameters, and the shares addressed to this site.

    Under homomorphic sums, in a session's first round: the key as its maker sealed it to this site.
    """

    run_id: RunId
    header: Signed
    checkpoint: Signed
    parameters: bytes
    inbox: dict[Name, bytes]
    proof: LogProof


class EncryptedBlocks(Message, frozen=True, tag="secure-fl.encrypted-blocks.v1"):
    """A vector or a sum as `crypto.homomorphic` encrypts it, block by block."""

    blocks: tuple[bytes, ...]


class OpenReply(Message, frozen=True, tag="secure-fl.open-reply.v1"):
    """Reply: the protected update, and under masks the keys of the next round.

    A homomorphic update is one `EncryptedBlocks`.
    """

    uploaded: Signed
    vector: bytes
    next_keys: Signed | None


class ConfirmRequest(Message, frozen=True, tag="secure-fl.confirm-request.v1"):
    """Request against a malicious coordinator: the survivors, to be signed back."""

    run_id: RunId
    close: Signed


class ConfirmReply(Message, frozen=True, tag="secure-fl.confirm-reply.v1"):
    """Reply: the site's signed word, a `crypto.masked_sum.Confirmation`."""

    confirmed: Signed


class CloseRequest(Message, frozen=True, tag="secure-fl.close-request.v3"):
    """Request: the survivors, what they confirmed, and everybody's keys of the next round.

    `sum` is a homomorphic sum, one `EncryptedBlocks`, the same bytes for all; empty elsewhere.
    """

    run_id: RunId
    close: Signed
    confirmations: tuple[Signed, ...]
    next_keys: tuple[Signed, ...]
    sum: bytes = b""


class CloseReply(Message, frozen=True, tag="secure-fl.close-reply.v1"):
    """Reply: the released shares; the next round's encrypted shares, or the ledger's extract.

    Under homomorphic sums `released` is an `Applied`, and `release` the parameters it binds.
    """

    released: Signed
    release: bytes
    next_sent: Signed | None
    next_shares: dict[Name, bytes]
    extract_sent: Signed | None
    extract: bytes


class RefusalCode(Enum):
    """All that a site tells about a failure; the details stay in its own log."""

    POLICY = "policy"
    CONFIG = "config"
    PROTOCOL = "protocol"
    RECORD = "record"
    UNKNOWN_RUN = "unknown-run"
    """It has no state of this run's session: it can come back in the next round."""


class Refusal(Message, frozen=True, tag="secure-fl.refusal.v1"):
    """Reply: the site does not go on."""

    code: RefusalCode


Request = HelloRequest | ShareRequest | OpenRequest | ConfirmRequest | CloseRequest
REQUESTS: tuple[type[Request], ...] = (
    HelloRequest,
    ShareRequest,
    OpenRequest,
    ConfirmRequest,
    CloseRequest,
)
