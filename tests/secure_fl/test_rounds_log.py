"""The coordinator's log: each site notices one that lacks its words, shrinks, or was split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from round_simulator import LIMIT_BYTES, code_of, key_of, mechanism_of, opened_as

from crypto.checkpoint import Checkpoint
from crypto.codec import decode, encode
from crypto.errors import PeerError
from crypto.signatures import Signed, sign_message
from secure_fl.rounds import log_check
from secure_fl.rounds.messages import LogProof, OpenRequest, RoundClose, RoundHeader
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from round_simulator import Consortium, Run

    from secure_fl.transcript import Transcript

    Make = Callable[..., Consortium]

SITE = "site-1"


def at_round_one(consortium: Consortium) -> Run:
    return consortium.run().until(Phase.OPEN, 1)


def with_log(run: Run, leaves: Sequence[bytes], *, seen: int | None = None) -> bytes:
    """The request to `SITE` over another log, with everything signed and proved as it can be."""
    assert run.step.exchange is not None
    whole = opened_as(OpenRequest, run.step.exchange.requests[SITE])
    state = run.consortium.parties[SITE].state()
    log = run.consortium.new_transcript()
    log.restore(leaves)
    header = decode(RoundHeader, whole.header.body, limit_bytes=LIMIT_BYTES)
    changed = replace(header, checkpoint_size=log.size, checkpoint_root=log.root())
    proof = _proof(log, state.pending, state.checkpoint_size if seen is None else seen)
    return encode(
        replace(
            whole,
            header=sign_message(key_of("coordinator"), "coordinator", changed),
            checkpoint=log.checkpoint(),
            proof=proof,
        )
    )


def _proof(log: Transcript, pending: Sequence[bytes], seen: int) -> LogProof:
    """Proofs of what is in the log; what is not gets the proof of some other leaf."""
    known = [leaf if leaf in log.leaves else log.leaves[0] for leaf in pending]
    return log.proof(known, min(seen, log.size))


def refused(run: Run, request: bytes) -> str:
    party = run.consortium.parties[SITE]
    head = party.parts.ledger.head()
    reply = party.site.handle(request)
    # The log is the coordinator's: it is the peer that broke the protocol, not our record.
    assert code_of(reply) == "protocol"
    assert party.parts.ledger.head() == head
    assert party.workbench.trained == [0]
    return party.notes[-1]


def test_the_honest_log_is_taken(consortium: Consortium) -> None:
    run = at_round_one(consortium)
    leaves = consortium.transcript.leaves[:-1]  # the header itself is logged after its checkpoint

    reply = consortium.parties[SITE].site.handle(with_log(run, leaves))

    assert consortium.parties[SITE].notes == []
    assert len(reply) > 100


@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_a_log_that_lacks_a_statement_of_this_site(consortium: Consortium, which: int) -> None:
    run = at_round_one(consortium)
    missing = consortium.parties[SITE].state().pending[which]
    leaves = [leaf for leaf in consortium.transcript.leaves[:-1] if leaf != missing]

    said = refused(run, with_log(run, leaves))

    assert "log does not check out" in said
    assert "not proved to be in the log" in said


def test_a_log_whose_past_was_rewritten(consortium: Consortium) -> None:
    run = at_round_one(consortium)
    leaves = list(consortium.transcript.leaves[:-1])
    leaves[1], leaves[2] = leaves[2], leaves[1]

    assert "its past was rewritten, or it was split" in refused(run, with_log(run, leaves))


def test_a_log_that_shrank(consortium: Consortium) -> None:
    run = at_round_one(consortium)
    seen = consortium.parties[SITE].state().checkpoint_size
    own = consortium.parties[SITE].state().pending
    leaves = [*consortium.transcript.leaves[: seen - 6], *own]

    assert "does not extend" in refused(run, with_log(run, leaves))


def test_a_log_that_forgot_what_was_seen(consortium: Consortium) -> None:
    run = at_round_one(consortium)
    leaves = consortium.transcript.leaves[:-1]

    # It claims that this site has seen nothing yet.
    assert "does not extend" in refused(run, with_log(run, leaves, seen=0))


def test_proofs_that_are_not_one_for_each_statement(consortium: Consortium) -> None:
    run = at_round_one(consortium)
    assert run.step.exchange is not None
    whole = opened_as(OpenRequest, run.step.exchange.requests[SITE])

    for inclusion in (whole.proof.inclusion[:-1], (), (*whole.proof.inclusion, (0, ()))):
        request = replace(whole, proof=replace(whole.proof, inclusion=inclusion))
        assert "statements of this site must be in the log" in refused(run, encode(request))
    swapped = replace(whole.proof, inclusion=tuple(reversed(whole.proof.inclusion)))
    assert "not proved" in refused(run, encode(replace(whole, proof=swapped)))


def test_a_checkpoint_of_another_signer_run_or_root(consortium: Consortium) -> None:
    run = at_round_one(consortium)
    assert run.step.exchange is not None
    whole = opened_as(OpenRequest, run.step.exchange.requests[SITE])
    honest = decode(Checkpoint, whole.checkpoint.body, limit_bytes=LIMIT_BYTES)

    def given(signer: str, checkpoint: Checkpoint, key: str = "coordinator") -> str:
        signed = sign_message(key_of(key), signer, checkpoint)
        return refused(run, encode(replace(whole, checkpoint=signed)))

    assert "came signed by site-2" in given("site-2", honest, "site-2")
    assert "does not verify" in given("coordinator", honest, "site-2")
    assert "header names" in given("coordinator", replace(honest, run_id=bytes(16)))
    assert "header names" in given("coordinator", replace(honest, size=honest.size + 1))
    assert "header names" in given("coordinator", replace(honest, root=bytes(32)))


def test_a_log_that_was_split_does_not_heal(make_consortium: Make) -> None:
    """Two sites are shown two logs in round 0; one log in round 1 convinces only one of them."""
    consortium = make_consortium()
    run = consortium.run().until(Phase.OPEN)
    extra = sign_message(
        key_of("coordinator"), "coordinator", RoundClose(bytes(32), 9, bytes(32), ("x",), 2)
    )
    split = [*consortium.transcript.leaves[:-1], encode(extra)]
    assert run.step.exchange is not None
    requests = {**run.step.exchange.requests, SITE: with_log(run, split)}
    replies = {name: consortium.parties[name].site.handle(data) for name, data in requests.items()}
    assert consortium.parties[SITE].notes == []

    # The honest rules drop the site whose header differs; in its eyes the log is broken for good.
    step = run.advance(replies)
    assert set(step.refused) == {SITE}
    state = consortium.parties[SITE].state()
    grown = [*consortium.transcript.leaves, *state.pending]
    log = consortium.new_transcript()
    log.restore(grown)
    with pytest.raises(PeerError, match="does not extend"):
        _verify_as(consortium, log, state.pending)


def _verify_as(consortium: Consortium, log: Transcript, pending: Sequence[bytes]) -> None:
    state = consortium.parties[SITE].state()
    header = RoundHeader(bytes(32), 1, bytes(32), consortium.names, bytes(32), log.size, log.root())
    signed = sign_message(key_of("coordinator"), "coordinator", header)
    request = OpenRequest(
        run_id=state.hello.run_id,
        header=signed,
        checkpoint=log.checkpoint(),
        parameters=b"",
        inbox={},
        proof=log.proof(pending, state.checkpoint_size),
    )
    log_check.verify(request, header, state, consortium.roster)


def test_a_resumed_run_shows_the_same_log(consortium: Consortium) -> None:
    first = consortium.run().until(Phase.OPEN, 1)
    parameters = first.sum.parameters
    seen = consortium.parties[SITE].state().checkpoint_size
    assert seen > 0
    stored = list(consortium.transcript.leaves)
    consortium.transcript = consortium.new_transcript()
    consortium.transcript.restore(stored)

    run = consortium.run(attempt=2, first_round=1, parameters=parameters).finish()

    assert run.sum.survivors == consortium.names
    assert consortium.parties[SITE].state().checkpoint_size > seen


def test_a_coordinator_that_lost_its_log_is_not_followed(consortium: Consortium) -> None:
    first = consortium.run().until(Phase.OPEN, 1)
    consortium.transcript = consortium.new_transcript()

    run = consortium.run(attempt=2, first_round=1, parameters=first.sum.parameters)

    # Each site says how much of the log it has seen: more than there is now.
    with pytest.raises(PeerError, match="Only 0 of 4 sites joined in round 1"):
        run.exchange()


def test_everything_that_was_signed_is_in_the_log_once(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=2))
    consortium.run().finish()

    labels = [
        decode(Signed, leaf, limit_bytes=LIMIT_BYTES).label.split(".")[1]
        for leaf in consortium.transcript.leaves
    ]
    assert len(set(consortium.transcript.leaves)) == len(labels)
    assert labels == [
        "hello",
        *["joined", "site-keys"] * 4,
        *["shares-sent"] * 4,
        "round-header",
        *["uploaded", "site-keys"] * 4,
        "round-close",
        *["released", "shares-sent"] * 4,
        "round-header",
        *["uploaded"] * 4,
        "round-close",
        *["released", "extract-sent"] * 4,
    ]


def test_no_vector_share_or_parameter_is_in_the_log(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.CLOSE)
    assert run.step.exchange is not None
    run.finish()

    longest = max(len(leaf) for leaf in consortium.transcript.leaves)
    everything = b"".join(consortium.transcript.leaves)
    assert longest < 1000
    for party in consortium.parties.values():
        for vector in party.site.plaintexts.values():
            assert vector[:4].tobytes() not in everything
    assert run.sum.parameters[:4].tobytes() not in everything
