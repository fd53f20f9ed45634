"""What the parties of a homomorphic sum say to each other, and what every block is bound to.

Blocks are not signed here: rounds wrap a whole upload and hand over only what verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from crypto.codec import Digest, Message, Name, decode, encode
from crypto.digests import sha256
from crypto.errors import ConfigError, PeerError

if TYPE_CHECKING:
    from crypto.homomorphic_plan import SumPlan
    from crypto.masked_sum_messages import RoundBinding

_DIGEST_BYTES = 32

SMALLEST_SUM = 2
"""A sum over one site would be that site's vector."""

BlockNumber = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
"""The place of a block in its vector, counted from zero."""

Ciphertexts = Annotated[tuple[bytes, ...], msgspec.Meta(min_length=1, max_length=2)]
"""SEAL ciphertexts of the same numbers, one per modulus."""


class TermsRecord(Message, frozen=True, tag="secure-fl.homomorphic-terms.v1"):
    """What the rounds of a session have in common."""

    session: Digest
    plan: Digest
    key: Digest


class SumRecord(Message, frozen=True, tag="secure-fl.homomorphic-survivors.v1"):
    """What a block of a sum is bound to."""

    binding: Digest
    survivors: tuple[Name, ...]


class UploadBlock(Message, frozen=True, tag="secure-fl.homomorphic-upload.v1"):
    """One block of a site's vector."""

    binding: Digest
    site: Name
    index: BlockNumber
    ciphertexts: Ciphertexts


class SumBlock(Message, frozen=True, tag="secure-fl.homomorphic-sum.v1"):
    """One block of the sum over the survivors."""

    binding: Digest
    index: BlockNumber
    ciphertexts: Ciphertexts


class PublicContext(Message, frozen=True, tag="secure-fl.homomorphic-context.v1"):
    """What the coordinator is given: the parameters of each modulus, and no key of any kind."""

    contexts: Annotated[tuple[bytes, ...], msgspec.Meta(min_length=1, max_length=2)]


B = TypeVar("B", UploadBlock, SumBlock)


@dataclass(frozen=True)
class SumTerms:
    """What the parties agreed on before the first round; all blocks of a session bind it.

    Attributes:
        session: digest of the session (run, attempt, roster, configuration), 32 bytes.
        plan: what is summed.
        key: digest of the sites' key, `SumKey.digest`, 32 bytes.

    Raises:
        ConfigError: a digest has another length.
    """

    session: bytes
    plan: SumPlan
    key: bytes

    def __post_init__(self) -> None:
        if {len(self.session), len(self.key)} != {_DIGEST_BYTES}:
            raise ConfigError(f"The session's and the key's digests have {_DIGEST_BYTES} bytes.")

    def bind(self, binding: RoundBinding) -> bytes:
        """Return the digest that every upload of a round carries, 32 bytes.

        Raises:
            PeerError: the cohort is larger than the plan allows.
        """
        if len(binding.cohort) > self.plan.parties:
            raise PeerError(
                f"Round {binding.round} names {len(binding.cohort)} sites where the sum is planned "
                f"for {self.plan.parties}: it could wrap, so nothing was encrypted or added."
            )
        terms = TermsRecord(self.session, self.plan.digest(), self.key)
        return binding.record(sha256(encode(terms))).digest()

    def bind_sum(self, binding: RoundBinding, survivors: tuple[str, ...]) -> bytes:
        """Return the digest that every block of a sum carries, 32 bytes.

        Raises:
            PeerError: the survivors are unsorted, outside the cohort, or fewer than two.
        """
        if list(survivors) != sorted(set(survivors) & set(binding.cohort)):
            raise PeerError(
                "The survivors of a homomorphic sum are unsorted, doubled or outside the cohort: "
                "it was not used."
            )
        if len(survivors) < SMALLEST_SUM:
            raise PeerError(
                f"A homomorphic sum over {len(survivors)} sites was refused: it would be that "
                "site's own vector. Wait for more sites, or start the round again."
            )
        return sha256(encode(SumRecord(self.bind(binding), survivors)))


def read_block(kind: type[B], data: bytes, plan: SumPlan, place: tuple[bytes, int]) -> B:
    """Return the block of this kind that `data` encodes, if it belongs at `place`.

    Args:
        kind: which blocks are acceptable here.
        data: the bytes as another party sent them.
        plan: bounds their length and number.
        place: the digest that the block must carry, and its index.

    Raises:
        PeerError: too long, not such a block, or of another session, round, key, plan or place.
    """
    block = decode(kind, data, limit_bytes=plan.block_limit_bytes)
    if (block.binding, block.index) != place:
        raise PeerError(
            f"Where block {place[1]} of this round was expected came block {block.index} of "
            f"{'this' if block.binding == place[0] else 'another'} one: it was not used. Blocks "
            "were reordered or replayed, or the sender has another key, plan, header or session."
        )
    if len(block.ciphertexts) != len(plan.parameters):
        raise PeerError(
            f"Block {block.index} holds {len(block.ciphertexts)} ciphertexts where the plan has "
            f"{len(plan.parameters)} moduli: it was not used."
        )
    return block
