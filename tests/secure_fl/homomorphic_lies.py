"""What a lying party changes in homomorphic rounds, for their tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from round_lies import changed_close
from round_simulator import (
    SPEC,
    key_of,
    mechanism_of,
    opened_as,
)

from crypto.codec import decode, encode
from crypto.digests import sha256
from crypto.homomorphic import (
    HomomorphicCoordinator,
    RoundBinding,
    Scheme,
    SumPlan,
    SumTerms,
    public_context,
)
from crypto.homomorphic_messages import SumBlock, UploadBlock
from crypto.signatures import Signed, sign_message
from secure_fl.rounds.homomorphic_sum import plan_of, read_blocks
from secure_fl.rounds.messages import (
    CloseRequest,
    EncryptedBlocks,
    OpenReply,
    OpenRequest,
    RoundHeader,
)
from secure_fl.rounds.reading import statement_digest
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from round_simulator import Consortium, Run

    Make = Callable[..., Consortium]
    Lie = Callable[[bytes], bytes]

LIAR = "site-2"
HONEST = ("site-1", "site-3", "site-4")
MAKER = "site-1"
ZEROS = bytes(32)
LIMIT = 1 << 24
PLAN = plan_of(mechanism_of(protection="homomorphic"), SPEC.size)
CKKS = SumPlan(PLAN.values, PLAN.largest, PLAN.parties, Scheme.CKKS)


def begun(make: Make, phase: Phase, round_: int = 0, **changes: Any) -> Run:  # noqa: ANN401 - as mechanism_of
    mechanism = mechanism_of(protection="homomorphic", **changes)
    return make(mechanism).run().until(phase, round_)


def only(site: str, lie: Lie) -> Callable[[str, bytes], bytes]:
    return lambda name, data: lie(data) if name == site else data


def signed_by(signer: str, signed: Signed, kind: type[Any], **changes: Any) -> Signed:  # noqa: ANN401 - a value
    statement = decode(kind, signed.body, limit_bytes=LIMIT)
    return sign_message(key_of(signer), signer, replace(statement, **changes))


def uploads_of(run: Run) -> dict[str, bytes]:
    """What each site uploads in the round that is about to be opened."""
    return {name: opened_as(OpenReply, reply).vector for name, reply in run.ask().items()}


def terms_of(run: Run) -> tuple[SumTerms, RoundBinding]:
    """What the round that was opened last is bound to, from what its coordinator sent."""
    signed = opened_as(OpenRequest, run.requests[MAKER]).header
    header = decode(RoundHeader, signed.body, limit_bytes=LIMIT)
    assert header.sum_key is not None
    digest, parameters = statement_digest(signed), header.parameter_digest
    binding = RoundBinding(header.round, digest, header.cohort, parameters)
    return SumTerms(header.session, PLAN, header.sum_key), binding


def summed(run: Run, uploads: dict[str, bytes], survivors: tuple[str, ...]) -> bytes:
    """A sum over `survivors` as the coordinator's own library makes it of what was uploaded."""
    terms, binding = terms_of(run)
    adder = HomomorphicCoordinator(terms, public_context(PLAN), first_round=binding.round)
    adder.begin(binding)
    for site in survivors:
        adder.add(site, read_blocks(uploads[site], PLAN))
    return encode(EncryptedBlocks(tuple(adder.close())))


def relabelled(run: Run, upload: bytes) -> bytes:
    """One site's ciphertext, passed off as the sum over all: any coordinator can make this."""
    terms, binding = terms_of(run)
    bound = terms.bind_sum(binding, run.consortium.names)
    blocks = [decode(UploadBlock, data, limit_bytes=LIMIT) for data in read_blocks(upload, PLAN)]
    return encode(
        EncryptedBlocks(
            tuple(encode(SumBlock(bound, block.index, block.ciphertexts)) for block in blocks)
        )
    )


def with_sum(request: bytes, data: bytes) -> bytes:
    """The request with another sum, signed as only the coordinator can."""
    signed = changed_close(request, sum_digest=sha256(data))
    return encode(replace(opened_as(CloseRequest, signed), sum=data))


def closing(make: Make, round_: int = 0) -> tuple[Run, dict[str, bytes]]:
    """A run before the close of a round, and what was uploaded in it."""
    run = begun(make, Phase.OPEN, round_)
    uploads = uploads_of(run)
    run.advance(run.replies)
    return run, uploads
