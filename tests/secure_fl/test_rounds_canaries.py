"""A site that lies about its canaries is left out, or what it opens is not taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from round_simulator import (
    LIMIT_BYTES,
    RUN_ID,
    key_of,
    mechanism_of,
    opened_as,
    policy_of,
    unchanged,
)

from crypto.codec import decode, encode
from crypto.errors import IntegrityError, PeerError
from crypto.signatures import sign_message
from secure_fl.canaries import check_opened, committed, seed_of
from secure_fl.rounds.messages import CloseReply, ExtractSent, HelloReply, Joined, RefusalCode
from secure_fl.rounds.steps import Phase
from secure_fl.transcript_check import read_transcript

if TYPE_CHECKING:
    from collections.abc import Callable

    from round_simulator import Consortium

    Make = Callable[..., Consortium]
    Change = Callable[[str, bytes], bytes | None]

LIAR = "site-2"
HONEST = ("site-1", "site-3", "site-4")
ASKED: dict[str, Any] = {"each": 4, "repetitions": [1, 2], "number": "0" * 32}


def with_canaries(make: Make, **changes: Any) -> Consortium:  # noqa: ANN401 - as in the simulator
    return make(mechanism_of(canaries=ASKED, **changes), policy=policy_of(most_canaries=12))


def checked(consortium: Consortium) -> None:
    read_transcript(consortium.transcript.leaves, consortium.roster, consortium.mechanism, RUN_ID)


def joining_with(canaries: bytes) -> Change:
    """The liar's first statement, committed to something else."""

    def change(site: str, reply: bytes) -> bytes:
        if site != LIAR:
            return reply
        whole = opened_as(HelloReply, reply)
        joined = decode(Joined, whole.joined.body, limit_bytes=LIMIT_BYTES)
        said = sign_message(key_of(LIAR), LIAR, replace(joined, canaries=canaries))
        return encode(replace(whole, joined=said))

    return change


def opening(canaries: bytes) -> Change:
    """The liar's last statement, with another seed."""

    def change(site: str, reply: bytes) -> bytes:
        if site != LIAR:
            return reply
        whole = opened_as(CloseReply, reply)
        assert whole.extract_sent is not None
        sent = decode(ExtractSent, whole.extract_sent.body, limit_bytes=LIMIT_BYTES)
        said = sign_message(key_of(LIAR), LIAR, replace(sent, canaries=canaries))
        return encode(replace(whole, extract_sent=said))

    return change


@pytest.mark.parametrize("protection", ["masked", "plain", "homomorphic"])
def test_honest_sites_are_all_taken(make_consortium: Make, protection: str) -> None:
    consortium = with_canaries(make_consortium, protection=protection, training__rounds=1)
    run = consortium.run().finish()
    assert set(run.sum.extracts) == set(consortium.names)
    assert run.step.refused == {}
    checked(consortium)


@pytest.mark.parametrize("value", [bytes(32), bytes(31), b"", b"\x01"])
def test_another_seed_at_the_end_is_not_taken(make_consortium: Make, value: bytes) -> None:
    consortium = with_canaries(make_consortium)
    run = consortium.run().until(Phase.CLOSE, 2)

    run.exchange(on_reply=opening(value))

    assert run.step.exchange is None
    assert set(run.sum.extracts) == set(HONEST)
    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}
    checked(consortium)


def test_a_seed_in_a_run_without_is_not_taken(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.CLOSE, 2)

    run.exchange(on_reply=opening(bytes(32)))

    assert set(run.sum.extracts) == set(HONEST)
    checked(consortium)


def test_without_the_check_the_folder_would_never_verify(
    make_consortium: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One site could spoil the run for all: that is why the coordinator looks first."""
    consortium = with_canaries(make_consortium)
    with monkeypatch.context() as patch:
        patch.setattr("secure_fl.rounds.coordinator.check_opened", lambda *_: None)
        run = consortium.run().until(Phase.CLOSE, 2)
        run.exchange(on_reply=opening(bytes(32)))
        assert set(run.sum.extracts) == set(consortium.names)
    with pytest.raises(IntegrityError, match="site-2 opened other canaries"):
        checked(consortium)


@pytest.mark.parametrize(("asked", "value"), [(True, b""), (False, bytes(32))])
def test_a_site_whose_commitment_is_missing_or_is_one_too_many_is_left_out(
    make_consortium: Make, *, asked: bool, value: bytes
) -> None:
    consortium = with_canaries(make_consortium) if asked else make_consortium()
    run = consortium.run()

    run.exchange(on_reply=joining_with(value))

    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}
    assert run.step.exchange is not None
    assert set(run.step.exchange.requests) == set(HONEST)
    assert set(run.finish().sum.extracts) == set(HONEST)
    checked(consortium)


def test_a_site_that_comes_back_with_other_canaries_is_left_out(make_consortium: Make) -> None:
    """In a second attempt, which a coordinator begins anew from its log."""
    consortium = with_canaries(make_consortium)
    first = consortium.run().until(Phase.OPEN, 1)
    again = consortium.run(attempt=2, first_round=1, parameters=first.sum.parameters)

    again.exchange(on_reply=joining_with(bytes(32)))

    assert again.step.refused == {LIAR: RefusalCode.PROTOCOL}
    assert set(again.finish().sum.extracts) == set(HONEST)
    checked(consortium)


def test_a_site_that_comes_back_as_it_was_is_taken(make_consortium: Make) -> None:
    consortium = with_canaries(make_consortium)
    first = consortium.run().until(Phase.OPEN, 1)
    again = consortium.run(attempt=2, first_round=1, parameters=first.sum.parameters)

    again.exchange(on_reply=unchanged)

    assert set(again.finish().sum.extracts) == set(consortium.names)
    checked(consortium)


def test_what_one_site_opened_is_no_answer_for_another(make_consortium: Make) -> None:
    consortium = with_canaries(make_consortium)
    mechanism = consortium.mechanism
    one, other = (
        seed_of(mechanism, consortium.parties[name].workbench.canary_key)
        for name in ("site-1", LIAR)
    )
    assert one is not None
    assert other is not None
    check_opened(mechanism, LIAR, committed(mechanism, other), other.reveal())
    with pytest.raises(PeerError, match="site-2 opened other canaries"):
        check_opened(mechanism, LIAR, committed(mechanism, other), one.reveal())
