"""A site that was silent, or lost its state, comes back within the session, at no exchange more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from round_lies import Watched, changed_hello
from round_simulator import (
    LIMIT_BYTES,
    RUN_ID,
    code_of,
    expected_parameters,
    key_of,
    mechanism_of,
    opened_as,
    policy_of,
    private_mechanism,
)

from crypto.codec import decode, encode
from crypto.errors import PeerError
from crypto.masked_sum import CulpritError, SiteKeys
from crypto.signatures import sign_message
from secure_fl.rounds.messages import (
    CloseRequest,
    HelloReply,
    HelloRequest,
    OpenReply,
    Refusal,
    RefusalCode,
    ShareReply,
    ShareRequest,
)
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from round_simulator import Consortium, Party, Run

    Make = Callable[..., Consortium]

AWAY = "site-2"
OTHERS = ("site-1", "site-3", "site-4")
START = {"masked": [Phase.HELLO, Phase.SHARE], "plain": [Phase.HELLO]}
ROUND = {
    ("masked", "semi-honest"): [Phase.OPEN, Phase.CLOSE],
    ("masked", "malicious"): [Phase.OPEN, Phase.CONFIRM, Phase.CLOSE],
    ("plain", "semi-honest"): [Phase.OPEN, Phase.CLOSE],
}
KINDS = sorted(ROUND)


def invitation(run: Run, site: str = AWAY) -> bytes:
    """The request that asks `site` back beside the exchange that is next."""
    assert run.step.exchange is not None
    request = run.step.exchange.requests[site]
    assert opened_as(HelloRequest, request).hello.signer == "coordinator"
    return request


def away_in(consortium: Consortium, round_: int = 0) -> Run:
    """A run in which a site was silent in the OPEN of `round_`, and is now asked back."""
    run = consortium.run().until(Phase.OPEN, round_)
    run.exchange(absent=[AWAY])
    return run.until(Phase.OPEN, round_ + 1)


def lose_state(consortium: Consortium) -> Party:
    party = consortium.parties[AWAY]
    party.store.saved.clear()
    party.restart()
    return party


def draws(party: Party) -> list[tuple[int, int]]:
    entries = party.parts.ledger.entries()
    return [(entry.draw.round, entry.draw.attempt) for entry in entries if entry.draw is not None]


def assert_sums(run: Run, without: list[int]) -> None:
    """Every round was opened, those of `without` without the site, each with the exact sum."""
    shared = run.consortium.start
    for opened in run.opened:
        survivors = OTHERS if opened.round in without else run.consortium.names
        assert opened.survivors == survivors, opened.round
        expected = expected_parameters(run.consortium, shared, opened.round, survivors)
        assert opened.parameters.tobytes() == expected.tobytes()
        shared = opened.parameters


# -- back again, from wherever it was lost -----------------------------------------------------


@pytest.mark.parametrize(("protection", "adversary"), KINDS)
@pytest.mark.parametrize(
    ("phase", "round_", "without"),
    [
        (Phase.HELLO, 0, [0]),
        (Phase.OPEN, 1, [1, 2]),
        (Phase.CLOSE, 1, [2]),
    ],
)
@pytest.mark.parametrize("how", ["silent", "lost reply", "restart", "lost state"])
def test_a_site_is_back_after_a_round_and_no_exchange_more(  # noqa: PLR0913, PLR0917 - parameters
    make_consortium: Make,
    protection: str,
    adversary: str,
    phase: Phase,
    round_: int,
    without: list[int],
    how: str,
) -> None:
    consortium = make_consortium(
        mechanism_of(protection=protection, adversary=adversary, training__rounds=4)
    )
    run = consortium.run().until(phase, round_)

    run.exchange(**{"lost" if how == "lost reply" else "absent": [AWAY]})
    if how == "restart":
        consortium.parties[AWAY].restart()
    elif how == "lost state":
        lose_state(consortium)
    run.finish()

    assert_sums(run, without)
    assert run.phases == START[protection] + ROUND[protection, adversary] * 4
    assert set(run.sum.extracts) == set(consortium.names)


@pytest.mark.parametrize("lost", ["nothing", "state"])
@pytest.mark.parametrize("reached", [True, False])
def test_a_site_that_missed_the_shares_is_back_too(
    make_consortium: Make, lost: str, *, reached: bool
) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=3))
    run = consortium.run().until(Phase.SHARE)
    run.exchange(**{"lost" if reached else "absent": [AWAY]})
    if lost == "state":
        lose_state(consortium)

    run.finish()

    assert_sums(run, [0])


@pytest.mark.parametrize("missed", [Phase.OPEN, Phase.CLOSE])
@pytest.mark.parametrize("reached", [True, False])
def test_a_site_that_misses_its_way_back_is_asked_again(
    make_consortium: Make, missed: Phase, *, reached: bool
) -> None:
    """Its hello goes beside OPEN, its shares beside CLOSE: it may be silent in either."""
    consortium = make_consortium(mechanism_of(training__rounds=5))
    run = away_in(consortium).until(missed, 1)

    run.exchange(**{"lost" if reached else "absent": [AWAY]})
    run.finish()

    assert_sums(run, [0, 1, 2])
    assert run.phases == START["masked"] + [Phase.OPEN, Phase.CLOSE] * 5


def test_a_site_that_loses_its_state_on_its_way_back(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=5))
    run = away_in(consortium).until(Phase.CLOSE, 1)
    lose_state(consortium)

    run.finish()

    assert "whose state it lost" in consortium.parties[AWAY].notes[-1]
    assert_sums(run, [0, 1, 2])


def test_two_sites_come_back_at_once(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(sites=7, training__rounds=3), members=7)
    run = consortium.run().until(Phase.OPEN)
    run.exchange(absent=["site-2", "site-6"])

    run.finish()

    assert [len(opened.survivors) for opened in run.opened] == [5, 5, 7]
    assert len(run.phases) == 2 + 2 * 3


def test_a_site_that_comes_and_goes_is_taken_each_time(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=7))
    run = away_in(consortium)
    run.until(Phase.OPEN, 3)
    run.exchange(absent=[AWAY])

    run.finish()

    assert_sums(run, [0, 1, 3, 4])


def test_what_a_site_that_came_back_was_charged(make_consortium: Make) -> None:
    """One reservation, and one draw for each round that it trained in."""
    consortium = make_consortium(private_mechanism(training__rounds=4))
    run = consortium.run().until(Phase.OPEN, 1)
    run.exchange(absent=[AWAY])
    lose_state(consortium)
    run.finish()

    party = consortium.parties[AWAY]
    assert draws(party) == [(0, 1), (3, 1)]
    assert sum(entry.draw is None for entry in party.parts.ledger.entries()) == 1
    assert [opened.survivors for opened in run.opened[1:]] == [OTHERS, OTHERS, consortium.names]


# -- who is asked back -------------------------------------------------------------------------


def test_nobody_is_asked_back_for_a_round_that_the_plan_does_not_have(
    make_consortium: Make,
) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=2))
    run = away_in(consortium)

    assert run.step.exchange is not None
    assert set(run.step.exchange.requests) == set(OTHERS)


@pytest.mark.parametrize(
    "code", [code for code in RefusalCode if code is not RefusalCode.UNKNOWN_RUN]
)
def test_a_site_that_refused_is_not_asked_back(consortium: Consortium, code: RefusalCode) -> None:
    run = consortium.run().until(Phase.OPEN)
    run.exchange(on_reply=lambda name, reply: encode(Refusal(code=code)) if name == AWAY else reply)
    run.until(Phase.OPEN, 1)

    assert run.step.exchange is not None
    assert set(run.step.exchange.requests) == set(OTHERS)


def test_a_site_whose_policy_says_no_by_now_stays_away(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = away_in(consortium)
    party = consortium.parties[AWAY]
    party.restart(policy=policy_of(allowed_methods=["ffa-lora"]))
    head = party.parts.ledger.head()

    run.finish()

    assert "the method `fedit` is not allowed" in party.notes[-1]
    assert len(party.notes) == 1
    assert party.parts.ledger.head() == head
    assert_sums(run, [0, 1, 2, 3])


# -- invitations that are not what they must be ------------------------------------------------


def test_an_invitation_that_was_answered_is_answered_the_same(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = away_in(consortium)
    party = consortium.parties[AWAY]
    first = party.site.handle(invitation(run))
    saves, head = party.store.saves, party.parts.ledger.head()
    party.restart()

    assert party.site.handle(invitation(run)) == first
    assert (party.store.saves, party.parts.ledger.head()) == (saves, head)


def test_a_replayed_invitation_is_refused(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = away_in(consortium)
    old = invitation(run)
    run.until(Phase.OPEN, 2)

    Watched(consortium, AWAY).refuses(old, "asked back for round 2, and is in round 2 already")
    run.finish()
    Watched(consortium, AWAY).refuses(old, "an old request was replayed")
    assert_sums(run, [0, 1])


def test_the_first_invitation_is_not_the_way_back(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = consortium.run()
    run.exchange()
    first = run.requests[AWAY]
    run.until(Phase.OPEN)
    run.exchange(absent=[AWAY])

    Watched(consortium, AWAY).refuses(first, "asked back for round 0, and is in round 0 already")


@pytest.mark.parametrize("round_", [0, 1])
def test_an_invitation_to_a_round_that_is_past(make_consortium: Make, round_: int) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=5))
    run = consortium.run().until(Phase.OPEN, 1)
    run.exchange(absent=[AWAY])
    run.until(Phase.OPEN, 2)
    request = encode(replace(opened_as(HelloRequest, invitation(run)), round=round_))

    Watched(consortium, AWAY).refuses(request, f"asked back for round {round_}, and is in round 1")


@pytest.mark.parametrize("round_", [3, 4, 2**32])
def test_an_invitation_beyond_the_plan(consortium: Consortium, round_: int) -> None:
    run = away_in(consortium)
    request = encode(replace(opened_as(HelloRequest, invitation(run)), round=round_))

    Watched(consortium, AWAY).refuses(request, f"there is no round {round_} in it")


def test_an_invitation_before_the_session_begins(consortium: Consortium) -> None:
    """The site lost its state: only the session itself says where it began."""
    first = consortium.run().until(Phase.OPEN, 1)
    run = consortium.run(attempt=2, first_round=1, parameters=first.sum.parameters)
    run.until(Phase.OPEN, 1)
    lose_state(consortium)
    run.exchange(absent=[AWAY])
    run.until(Phase.OPEN, 2)
    request = run.coordinator._gathering.invitation(2)
    past = encode(replace(opened_as(HelloRequest, request), round=0))

    assert code_of(consortium.parties[AWAY].site.handle(past)) == "protocol"
    assert "there is no round 0 in it" in consortium.parties[AWAY].notes[-1]


def test_an_invitation_that_speaks_of_another_session(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = away_in(consortium)

    request = changed_hello(invitation(run), first_round=1)

    Watched(consortium, AWAY).refuses(request, "Attempt 1 of a run that is at attempt 1")


# -- keys are used once, whoever asks ----------------------------------------------------------


def test_a_coordinator_that_invites_twice_for_one_round_gets_one_set_of_keys(
    make_consortium: Make,
) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = away_in(consortium)
    whole = opened_as(HelloRequest, invitation(run))
    consortium.parties[AWAY].site.handle(invitation(run))
    again = encode(replace(whole, heads=whole.heads[:-1]))

    Watched(consortium, AWAY).refuses(again, "asked back for round 2, and is in round 2 already")


@pytest.mark.parametrize("phase", [Phase.SHARE, Phase.OPEN])
def test_a_site_that_is_there_is_not_asked_back_for_its_own_round(
    make_consortium: Make, phase: Phase
) -> None:
    """It would announce a second set of keys for a round that is under way."""
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = consortium.run().until(phase)
    request = run.coordinator._gathering.invitation(0)

    Watched(consortium).refuses(request, "asked back for round 0, and is in round 0 already")


def test_a_site_that_announced_its_next_keys_does_not_announce_others(
    make_consortium: Make,
) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = consortium.run().until(Phase.CLOSE)
    request = run.coordinator._gathering.invitation(1)

    Watched(consortium).refuses(request, "keys up to round 1 were made")


def test_a_site_led_away_from_a_round_masks_nothing_in_it(make_consortium: Make) -> None:
    """Asked back for the round after, it leaves the one under way for good."""
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = consortium.run().until(Phase.OPEN)
    party = consortium.parties["site-1"]
    assert run.step.exchange is not None
    opened_as(HelloReply, party.site.handle(run.coordinator._gathering.invitation(1)))

    Watched(consortium).refuses(run.step.exchange.requests["site-1"], "out of order")
    assert party.workbench.trained == []


def test_others_deal_once_for_the_round_in_which_a_site_comes_back(make_consortium: Make) -> None:
    """Whatever keys the returning site announces, nobody's own are shared a second time."""
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = away_in(consortium)
    run.exchange()
    close = opened_as(CloseRequest, run.step.exchange.requests["site-1"])  # type: ignore[union-attr]
    assert {signed.signer for signed in close.next_keys} == set(consortium.names)
    run.exchange()
    again = encode(ShareRequest(run_id=RUN_ID, round=2, keys=close.next_keys))

    for name in OTHERS:
        Watched(consortium, name).refuses(again, "A request out of order came: round 2 is ready")
    assert consortium.parties[AWAY].site.handle(again) == run.replies[AWAY]


def test_other_keys_of_the_returning_site_for_one_of_the_others(make_consortium: Make) -> None:
    """A coordinator hands out two key sets of it: shares dealt under different lists never open."""
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = away_in(consortium)
    run.exchange()
    requests = dict(run.step.exchange.requests)  # type: ignore[union-attr]
    whole = opened_as(CloseRequest, requests["site-1"])
    keys = {signed.signer: signed for signed in whole.next_keys}
    second = replace(
        decode(SiteKeys, keys[AWAY].body, limit_bytes=LIMIT_BYTES),
        self_mask_commitment=bytes(32),
    )
    keys[AWAY] = sign_message(key_of(AWAY), AWAY, second)
    requests["site-1"] = encode(replace(whole, next_keys=tuple(keys.values())))
    run.advance({name: consortium.parties[name].site.handle(r) for name, r in requests.items()})

    run.exchange()

    # site-1 dealt under another list: to it nobody's shares open, and its own to nobody. Nothing
    # is masked by it, and the others' sum stays closed.
    assert set(run.step.refused) == {"site-1"}
    assert "do not open" in consortium.parties["site-1"].notes[-1]
    assert 2 not in consortium.parties["site-1"].site.plaintexts
    with pytest.raises(CulpritError, match="site-1's mask secret"):
        run.exchange()
    assert [opened.round for opened in run.opened] == [0, 1]


# -- a site that lies on its way back ----------------------------------------------------------


def _keys_of_another_round(reply: bytes) -> bytes:
    whole = opened_as(HelloReply, reply)
    assert whole.keys is not None
    keys = decode(SiteKeys, whole.keys.body, limit_bytes=LIMIT_BYTES)
    return encode(replace(whole, keys=sign_message(key_of(AWAY), AWAY, replace(keys, round=1))))


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(lambda _: b"nonsense", id="nonsense"),
        pytest.param(_keys_of_another_round, id="keys of another round"),
        pytest.param(
            lambda r: encode(replace(opened_as(HelloReply, r), keys=None)), id="without keys"
        ),
    ],
)
def test_a_liar_on_its_way_back_is_not_taken_and_stops_nobody(
    make_consortium: Make, lie: Callable[[bytes], bytes]
) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = away_in(consortium)

    run.exchange(on_reply=lambda name, reply: lie(reply) if name == AWAY else reply)
    run.finish()

    assert_sums(run, [0, 1, 2, 3])


def test_shares_that_do_not_fit_keep_the_returning_site_out(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = away_in(consortium).until(Phase.CLOSE, 1)

    def without_one(name: str, reply: bytes) -> bytes:
        if name != AWAY:
            return reply
        whole = opened_as(ShareReply, reply)
        return encode(replace(whole, shares=dict(list(whole.shares.items())[1:])))

    run.exchange(on_reply=without_one)
    run.finish()

    assert_sums(run, [0, 1, 2, 3])


def test_an_upload_in_place_of_an_answer_to_the_invitation(make_consortium: Make) -> None:
    """A site outside of the cohort is asked for a hello: an upload of it is not looked at."""
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = consortium.run().until(Phase.OPEN)
    upload = run.ask()[AWAY]
    opened_as(OpenReply, upload)
    run.advance({name: data for name, data in run.replies.items() if name != AWAY})
    run.until(Phase.OPEN, 1)

    run.exchange(on_reply=lambda name, reply: upload if name == AWAY else reply)
    run.finish()

    assert_sums(run, [0, 1, 2, 3])


def test_a_site_that_is_left_out_is_not_taken_back(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = consortium.run(left_out=frozenset({AWAY}))

    run.finish()

    assert_sums(run, [0, 1, 2, 3])
    assert consortium.transcript.size > 0


def test_too_many_left_out_leave_too_few(consortium: Consortium) -> None:
    run = consortium.run(left_out=frozenset({AWAY, "site-3"}))

    with pytest.raises(PeerError, match="Only 2 of 4 sites joined"):
        run.exchange()
