"""A coordinator that lies: every site refuses by a code, spends nothing and masks nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from msgspec.structs import replace
from round_lies import (
    Watched,
    by_coordinator,
    changed_close,
    changed_header,
    changed_hello,
    other_parameters,
    request_for,
)
from round_simulator import (
    RUN_ID,
    SPEC,
    key_of,
    mechanism_of,
    opened_as,
    policy_of,
    private_mechanism,
    roster_of,
)

from crypto.codec import decode, encode
from crypto.errors import ConfigError
from crypto.masked_sum import SiteKeys
from crypto.signatures import Signed, sign_message
from secure_fl.parameters import vector_to_bytes
from secure_fl.rounds.messages import (
    CloseRequest,
    Hello,
    HelloRequest,
    OpenRequest,
    Refusal,
    RefusalCode,
    RoundClose,
    RoundHeader,
    ShareRequest,
)
from secure_fl.rounds.site_state import Stage
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from round_simulator import Consortium, Run

    from secure_fl.config import Mechanism

    Make = Callable[..., Consortium]

ZEROS = bytes(32)
LIMIT = 1 << 24


# -- the proposal ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"roster_digest": ZEROS}, "another roster than the one pinned here"),
        ({"config_digest": ZEROS}, "does not have the digest that the coordinator signed"),
        ({"sites": ("site-1", "site-2", "site-3", "stranger")}, "may be one that the coordinator"),
        ({"sites": ("site-1", "site-1", "site-2", "site-3")}, "not a sorted set"),
        ({"sites": ("site-2", "site-1", "site-3", "site-4")}, "not a sorted set"),
        ({"sites": ("coordinator", "site-1", "site-2", "site-3")}, "not a sorted set"),
        ({"sites": ("site-2", "site-3", "site-4")}, "not in the proposed cohort"),
        ({"sites": ("site-1", "site-2", "site-3")}, "differ from the signed configuration"),
        ({"threshold": 2}, "a session that cannot be"),
        ({"threshold": 4}, "differ from the signed configuration"),
        ({"suite": "rot13"}, "the session was refused"),
        ({"suite": "x25519-mlkem768-hkdf-sha256-aes256ctr-z32"}, "Cipher suite, adversary or"),
        ({"adversary": "malicious"}, "Cipher suite, adversary or width differ"),
        ({"adversary": "nobody"}, "this version has semi-honest, malicious"),
        ({"width_bits": 24}, "Cipher suite, adversary or width differ"),
        ({"width_bits": 16}, "elements of 16 bits"),
        ({"degree": 2}, "a session that cannot be"),
        ({"risk": (1, 1)}, "a session that cannot be"),
        ({"attempt": 2**32}, "a session that cannot be"),
        ({"first_round": 2**32}, "there is no round 0 in it"),
        ({"first_round": 1}, "there is no round 0 in it"),
    ],
)
def test_a_proposal_that_is_not_the_consortiums(
    consortium: Consortium, changes: dict[str, Any], words: str
) -> None:
    # Nothing was reserved either.
    Watched(consortium).refuses(changed_hello(request_for(consortium.run()), **changes), words)


@pytest.mark.parametrize("round_", [3, 4, 2**32 - 1])
def test_an_invitation_to_a_round_beyond_the_plan(consortium: Consortium, round_: int) -> None:
    whole = opened_as(HelloRequest, request_for(consortium.run()))

    Watched(consortium).refuses(encode(replace(whole, round=round_)), "ends after 3")


def test_a_proposal_signed_by_a_site(consortium: Consortium) -> None:
    whole = opened_as(HelloRequest, request_for(consortium.run()))
    hello = decode(Hello, whole.hello.body, limit_bytes=LIMIT)
    watched = Watched(consortium)

    openly = replace(whole, hello=sign_message(key_of("site-2"), "site-2", hello))
    watched.refuses(encode(openly), "came signed by site-2")
    in_disguise = replace(whole, hello=sign_message(key_of("site-2"), "coordinator", hello))
    watched.refuses(encode(in_disguise), "does not verify")
    stranger = replace(whole, hello=sign_message(key_of("nobody"), "nobody", hello))
    watched.refuses(encode(stranger), "came signed by nobody")


def test_a_configuration_that_differs_from_the_signed_one(consortium: Consortium) -> None:
    whole = opened_as(HelloRequest, request_for(consortium.run()))

    other = replace(whole, mechanism=mechanism_of(seed=1).to_json())

    Watched(consortium).refuses(encode(other), "does not have the digest")


@pytest.mark.parametrize(
    ("proposed", "code", "words"),
    [
        (mechanism_of(method="fedavg"), "config", "no method `fedavg`"),
        (mechanism_of(method="fedit-median"), "config", "every single update"),
        (mechanism_of(adapter__rank=16), "policy", "rank 16 exceeds"),
        (mechanism_of(data__dataset="health.notes"), "policy", "names no data set"),
        (mechanism_of(sites=3), "protocol", "differ from the signed configuration"),
        (private_mechanism(privacy__sigma=0.05), "policy", "its ceiling is 10"),
        (private_mechanism(privacy__epsilon=0.01), "config", "above the epsilon"),
    ],
)
def test_a_configuration_that_the_site_does_not_want(
    consortium: Consortium, proposed: Mechanism, code: str, words: str
) -> None:
    whole = opened_as(HelloRequest, request_for(consortium.run()))
    request = changed_hello(
        encode(replace(whole, mechanism=proposed.to_json())), config_digest=proposed.digest()
    )

    Watched(consortium).refuses(request, words, code)


def test_a_sigma_that_is_left_open_is_refused_and_not_searched_for(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    def searched(*_: object, **__: object) -> float:
        pytest.fail("a proposal made this site search for a sigma")

    monkeypatch.setattr("privacy.accounting.calibrate_sigma", searched)
    aimed = private_mechanism(privacy__sigma=None, privacy__epsilon=8.0)
    whole = opened_as(HelloRequest, request_for(consortium.run()))
    request = changed_hello(
        encode(replace(whole, mechanism=aimed.to_json())), config_digest=aimed.digest()
    )

    Watched(consortium).refuses(request, "no sigma yet", "config")


def test_an_old_session_is_not_joined_again(consortium: Consortium) -> None:
    old = request_for(consortium.run(attempt=1))
    consortium.run(attempt=2).exchange()
    watched = Watched(consortium)

    watched.refuses(old, "Attempt 1 of a run that is at attempt 2")
    other = changed_hello(old, attempt=2, first_round=1)
    watched.refuses(other, "Attempt 2 of a run that is at attempt 2")


def test_a_later_attempt_under_another_configuration(consortium: Consortium) -> None:
    consortium.run().exchange()
    watched = Watched(consortium)
    consortium.mechanism = mechanism_of(seed=1)

    watched.refuses(request_for(consortium.run(attempt=2)), "A changed configuration is a new run")


def test_a_later_attempt_does_not_go_back_behind_an_opened_sum(consortium: Consortium) -> None:
    consortium.run().until(Phase.OPEN, 2)
    watched = Watched(consortium)

    watched.refuses(request_for(consortium.run(attempt=2)), "has released shares for round 1")
    # The coordinator may have crashed before it kept round 1: that one is asked for again.
    again = consortium.run(attempt=3, first_round=1)
    assert again.exchange().joined.keys() == set(consortium.names)


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\xc1", b"nonsense", bytes(1000), encode(Refusal(RefusalCode.POLICY))]
)
def test_bytes_that_are_no_request(consortium: Consortium, data: bytes) -> None:
    Watched(consortium).refuses(data, "These bytes are not a")


# -- the keys ----------------------------------------------------------------------------------


def _keys_of(run: Run) -> ShareRequest:
    return opened_as(ShareRequest, request_for(run))


def test_keys_that_are_not_the_sessions(consortium: Consortium) -> None:
    old = _keys_of(consortium.run(attempt=1).until(Phase.SHARE))
    run = consortium.run(attempt=2).until(Phase.SHARE)
    now = _keys_of(run)
    watched = Watched(consortium)

    def asks(*keys: Signed, round_: int = 0) -> bytes:
        return encode(replace(now, keys=keys, round=round_))

    forged = sign_message(
        key_of("coordinator"), "site-2", decode(SiteKeys, now.keys[1].body, limit_bytes=LIMIT)
    )
    watched.refuses(asks(*now.keys[:2]), "Shares among 2 sites were asked for")
    watched.refuses(asks(*now.keys[1:]), "does not hold the keys that site-1 announced")
    watched.refuses(asks(old.keys[0], *now.keys[1:]), "announced keys of another session")
    watched.refuses(asks(*now.keys[:3], old.keys[3]), "announced keys of another session")
    watched.refuses(asks(*now.keys[:3], now.keys[2]), "Two sets of keys of site-3")
    watched.refuses(asks(now.keys[0], forged, *now.keys[2:]), "does not verify")
    watched.refuses(
        asks(
            *now.keys[:3],
            by_coordinator(SiteKeys(ZEROS, "site-4", 0, b"k" * 32, b"", b"m" * 32, b"", ZEROS)),
        ),
        "which is not in this session",
    )
    watched.refuses(asks(*now.keys, round_=1), "Shares were asked for round 1")
    run.exchange()
    assert run.phase is Phase.OPEN


def test_a_copied_key_is_found(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.SHARE)
    keys = _keys_of(run).keys
    mine = decode(SiteKeys, keys[0].body, limit_bytes=LIMIT)
    copied = sign_message(key_of("site-2"), "site-2", replace(mine, site="site-2"))

    request = encode(replace(_keys_of(run), keys=(keys[0], copied, *keys[2:])))

    Watched(consortium).refuses(request, "announced a key that site-1 announced too")


def test_a_policy_that_wants_more_sites_than_announced_keys(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(threshold=4), policy=policy_of(smallest_cohort=4))
    run = consortium.run().until(Phase.SHARE)
    request = encode(replace(_keys_of(run), keys=_keys_of(run).keys[:3]))

    Watched(consortium).refuses(request, "this site's smallest cohort is 4")


# -- the header --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"session": ZEROS}, "another session: it was replayed"),
        ({"round": 0}, "opens round 0, and round 1 is next"),
        ({"round": 2}, "opens round 2, and round 1 is next"),
        ({"config_digest": ZEROS}, "another configuration"),
        ({"cohort": ("site-1", "site-2", "stranger")}, "not a sorted set of the session's sites"),
        ({"cohort": ("site-2", "site-3", "site-4")}, "with this one in it"),
        ({"cohort": ("site-2", "site-1", "site-3")}, "not a sorted set"),
        ({"cohort": ("site-1", "site-2")}, "A cohort of 2 sites is below"),
        ({"cohort": ("site-1",)}, "A cohort of 1 sites is below"),
        ({"cohort": ("site-1", "site-2", "site-3")}, "The shares that came are not the cohort's"),
        ({"parameter_digest": ZEROS}, "not the ones that the header was signed for"),
        ({"checkpoint_size": 1}, "not the one that the round's header names"),
        ({"checkpoint_root": ZEROS}, "not the one that the round's header names"),
    ],
)
def test_a_header_that_is_not_the_rounds(
    consortium: Consortium, changes: dict[str, Any], words: str
) -> None:
    run = consortium.run().until(Phase.OPEN, 1)
    watched = Watched(consortium)

    watched.refuses(changed_header(request_for(run), **changes), words)

    # Nothing was lost: the honest request is still answered.
    run.exchange()
    assert run.phase is Phase.CLOSE


def test_a_round_beyond_the_plan(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.OPEN, 2)
    request = request_for(run)
    state = consortium.parties["site-1"].state()
    # As if the site had been through the last round: its stage is the first thing looked at.
    consortium.parties["site-1"].store.save(RUN_ID, replace(state, round=3))

    beyond = changed_header(request, round=3)
    Watched(consortium).refuses(beyond, "the plan that was reserved is over")


def test_other_parameters_than_were_signed(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.OPEN)
    whole = opened_as(OpenRequest, request_for(run))
    watched = Watched(consortium)

    longer, other = whole.parameters + bytes(4), bytes(len(whole.parameters))
    for parameters in (longer, other, b""):
        request = encode(replace(whole, parameters=parameters))
        watched.refuses(request, "not the ones that the header was signed for")
    watched.refuses(other_parameters(request_for(run), longer), "bytes of parameters came")
    infinite = vector_to_bytes(np.full(SPEC.size, np.inf, np.float32))
    # Found before the ledger is charged: such a round would cost budget and give nothing.
    watched.refuses(other_parameters(request_for(run), infinite), "not finite")


def test_a_header_signed_by_a_site(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.OPEN)
    whole = opened_as(OpenRequest, request_for(run))
    header = decode(RoundHeader, whole.header.body, limit_bytes=LIMIT)
    watched = Watched(consortium)

    for signer, words in (("site-2", "came signed by site-2"), ("coordinator", "does not verify")):
        forged = replace(whole, header=sign_message(key_of("site-2"), signer, header))
        watched.refuses(encode(forged), words)
    close = by_coordinator(RoundClose(header.session, 0, ZEROS, consortium.names, 3))
    watched.refuses(encode(replace(whole, header=close)), "A RoundHeader was expected")


def test_requests_of_an_earlier_round_or_attempt_are_not_answered(consortium: Consortium) -> None:
    first = consortium.run()
    seen: list[bytes] = []
    while len(first.opened) < 2:
        seen.append(request_for(first))
        first.exchange()
    watched = Watched(consortium)
    # The last one answered gets its stored bytes again; everything before is refused.
    for request in seen[:-1]:
        watched.refuses(request, "")

    second = consortium.run(attempt=2, first_round=2, parameters=first.sum.parameters)
    second.until(Phase.OPEN, 2)
    again = Watched(consortium)
    for request in seen:
        again.refuses(request, "")
    second.finish()


def test_requests_of_another_run_are_not_answered(consortium: Consortium) -> None:
    one = consortium.run()
    consortium.transcript = consortium.new_transcript(b"the-second-run!!")
    other = consortium.run(run_id=b"the-second-run!!")
    one.until(Phase.OPEN)
    other.until(Phase.OPEN)
    watched = Watched(consortium)

    crossed = replace(opened_as(OpenRequest, request_for(one)), run_id=b"the-second-run!!")
    watched.refuses(encode(crossed), "another session: it was replayed")
    unknown = replace(opened_as(OpenRequest, request_for(one)), run_id=b"never-joined-run")
    watched.refuses(encode(unknown), "never joined", "unknown-run")
    one.finish()
    other.finish()


# -- the close ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"session": ZEROS}, "belong to another round than the open one"),
        ({"round": 1}, "belong to another round than the open one"),
        ({"header_digest": ZEROS}, "belong to another round than the open one"),
        ({"threshold": 2}, "at another threshold"),
        ({"threshold": 2, "survivors": ("site-1", "site-2")}, "at another threshold"),
        ({"survivors": ("site-1", "site-2")}, "A sum over 2 survivors is below"),
        ({"survivors": ("site-2", "site-3", "site-4")}, "with this one in it"),
        ({"survivors": ("site-1", "site-2", "stranger")}, "not a sorted set"),
        ({"survivors": ("site-2", "site-1", "site-3")}, "not a sorted set"),
        ({"survivors": ("site-1", "site-1", "site-2")}, "not a sorted set"),
    ],
)
@pytest.mark.parametrize("protection", ["masked", "plain"])
def test_a_close_that_is_not_the_rounds(
    make_consortium: Make, changes: dict[str, Any], words: str, protection: str
) -> None:
    consortium = make_consortium(mechanism_of(protection=protection))
    run = consortium.run().until(Phase.CLOSE)

    Watched(consortium).refuses(changed_close(request_for(run), **changes), words)

    run.exchange()
    assert run.sum.survivors == consortium.names


def test_a_close_signed_by_a_site(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.CLOSE)
    whole = opened_as(CloseRequest, request_for(run))
    close = decode(RoundClose, whole.close.body, limit_bytes=LIMIT)

    forged = replace(whole, close=sign_message(key_of("site-3"), "coordinator", close))

    Watched(consortium).refuses(encode(forged), "does not verify")


def test_a_second_close_for_other_survivors_opens_nothing(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.CLOSE)
    request = request_for(run)
    run.exchange()

    other = changed_close(request, survivors=("site-1", "site-2", "site-3"))

    Watched(consortium).refuses(other, "A request out of order came: round 1 is ready")


def test_a_survivor_outside_of_the_cohort(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.OPEN)
    run.exchange(absent=["site-4"])
    run.until(Phase.OPEN, 1)
    run.exchange()

    request = changed_close(request_for(run), survivors=consortium.names)

    Watched(consortium).refuses(request, "site-4 cannot have survived")


# -- what changes while a run is under way -----------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.CLOSE])
def test_a_policy_that_was_tightened_holds_from_the_next_request(
    consortium: Consortium, phase: Phase
) -> None:
    run = consortium.run().until(phase, 1)
    consortium.parties["site-1"].restart(policy=policy_of(allow_no_privacy=False))

    Watched(consortium).refuses(request_for(run), "mode none gives no privacy", "policy")


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.CLOSE])
def test_a_session_ends_with_its_roster(consortium: Consortium, phase: Phase) -> None:
    run = consortium.run().until(phase, 1)
    consortium.parties["site-1"].restart(roster=roster_of(4, serial=2))

    Watched(consortium).refuses(request_for(run), "opened under another roster")


# -- what a refusal says -----------------------------------------------------------------------


def test_a_refusal_never_carries_text_and_the_sites_log_has_the_words(
    consortium: Consortium,
) -> None:
    party = consortium.parties["site-1"]
    party.workbench.prepare_fails_with = ConfigError("the record of Erika Mustermann is damaged")

    reply = party.site.handle(request_for(consortium.run()))

    assert reply == encode(Refusal(code=RefusalCode.CONFIG))
    assert b"Erika" not in reply
    assert party.notes == ["refused: the record of Erika Mustermann is damaged"]
    assert len({len(encode(Refusal(code=code))) for code in RefusalCode}) > 1  # the code alone
    assert {code.value for code in RefusalCode} == {
        "policy",
        "config",
        "protocol",
        "record",
        "unknown-run",
    }


def test_a_refused_site_has_no_state(consortium: Consortium) -> None:
    run = consortium.run()
    party = consortium.parties["site-1"]
    party.workbench.prepare_fails_with = ConfigError("no")
    run.exchange()

    assert party.store.load(RUN_ID) is None
    assert party.parts.ledger.entries() == ()
    assert run.step.refused == {"site-1": RefusalCode.CONFIG}
    run.finish()
    assert run.sum.survivors == ("site-2", "site-3", "site-4")
    assert consortium.parties["site-2"].state().stage is Stage.FINISHED
