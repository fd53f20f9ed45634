"""A coordinator that may do anything: no share is released before a quorum signed one list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from round_lies import Watched, by_coordinator, request_for
from round_simulator import (
    RUN_ID,
    expected_parameters,
    key_of,
    mechanism_of,
    opened_as,
)

from crypto.codec import decode, encode
from crypto.errors import PeerError
from crypto.masked_sum import Confirmation, Release
from crypto.signatures import Signed, sign_message
from secure_fl.rounds.messages import (
    CloseReply,
    CloseRequest,
    ConfirmReply,
    ConfirmRequest,
    RefusalCode,
    RoundClose,
)
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from round_simulator import Consortium, Run

    Make = Callable[..., Consortium]

LIMIT = 1 << 24
LIAR = "site-2"
HONEST = ("site-1", "site-3", "site-4")


def malicious(make_consortium: Make, rounds: int = 1, **changes: Any) -> Consortium:  # noqa: ANN401 - values of a TOML file
    mechanism = mechanism_of(adversary="malicious", training__rounds=rounds, **changes)
    return make_consortium(mechanism)


def told(run: Run, survivors: tuple[str, ...]) -> bytes:
    """The request to confirm `survivors`, whatever the honest one says."""
    confirm = opened_as(ConfirmRequest, request_for(run))
    close = replace(decode(RoundClose, confirm.close.body, limit_bytes=LIMIT), survivors=survivors)
    return encode(replace(confirm, close=by_coordinator(close)))


def word_in(reply: bytes) -> Signed:
    return opened_as(ConfirmReply, reply).confirmed


def words_of(run: Run) -> dict[str, Signed]:
    """Every survivor's signed word of the round that is to be confirmed."""
    return {name: word_in(reply) for name, reply in run.ask().items()}


def changed_word(signed: Signed, signer: str | None = None, **changes: Any) -> Signed:  # noqa: ANN401 - a field's value
    """The same word with other content, signed by its own signer or by somebody else."""
    word = replace(decode(Confirmation, signed.body, limit_bytes=LIMIT), **changes)
    name = signer or signed.signer
    return sign_message(key_of(name), name, word)


def close_for(confirm: bytes, words: Collection[Signed]) -> bytes:
    """The request for shares that follows from a request to confirm, with `words` under it."""
    close = opened_as(ConfirmRequest, confirm).close
    return encode(
        CloseRequest(run_id=RUN_ID, close=close, confirmations=tuple(words), next_keys=())
    )


def released(reply: bytes) -> Release:
    return decode(Release, opened_as(CloseReply, reply).release, limit_bytes=LIMIT)


# -- the honest exchange -----------------------------------------------------------------------


def test_three_exchanges_for_each_round_and_the_same_sum(make_consortium: Make) -> None:
    consortium = malicious(make_consortium, rounds=2)
    run = consortium.run().finish()

    assert run.phases == [
        Phase.HELLO,
        Phase.SHARE,
        *[Phase.OPEN, Phase.CONFIRM, Phase.CLOSE] * 2,
    ]
    other = make_consortium(mechanism_of(training__rounds=2)).run().finish()
    assert run.sum.parameters.tobytes() == other.sum.parameters.tobytes()


def test_nothing_is_confirmed_under_plain(make_consortium: Make) -> None:
    """There is no mask whose shares would wait for a confirmation."""
    consortium = malicious(make_consortium, protection="plain", rounds=2)

    assert consortium.run().finish().phases == [Phase.HELLO, *[Phase.OPEN, Phase.CLOSE] * 2]


def test_a_semi_honest_session_has_nothing_to_confirm(make_consortium: Make) -> None:
    run = make_consortium().run().until(Phase.CLOSE)
    close = opened_as(CloseRequest, request_for(run)).close
    request = encode(ConfirmRequest(run_id=RUN_ID, close=close))

    Watched(run.consortium).refuses(request, "in a session that has no such exchange")


def test_no_share_is_released_before_the_survivors_are_confirmed(make_consortium: Make) -> None:
    run = malicious(make_consortium).run().until(Phase.CONFIRM)

    Watched(run.consortium).refuses(close_for(request_for(run), ()), "A request out of order came")


# -- two stories -------------------------------------------------------------------------------


def test_different_survivors_told_to_different_sites_open_nothing(make_consortium: Make) -> None:
    """Each list is one that its hearer could release for, and neither has a quorum."""
    run = malicious(make_consortium).run().until(Phase.CONFIRM)
    lists = {
        name: told(run, HONEST if name in {"site-1", "site-3"} else run.consortium.names)
        for name in run.consortium.names
    }
    words = [
        word_in(run.consortium.parties[name].site.handle(confirm))
        for name, confirm in lists.items()
    ]

    for name, confirm in lists.items():
        Watched(run.consortium, name).refuses(close_for(confirm, words), "tells two stories")


def test_each_story_told_with_its_own_words_only_has_no_quorum(make_consortium: Make) -> None:
    run = malicious(make_consortium).run().until(Phase.CONFIRM)
    lists = {
        name: told(run, HONEST if name in {"site-1", "site-3"} else run.consortium.names)
        for name in run.consortium.names
    }
    words = {
        name: word_in(run.consortium.parties[name].site.handle(confirm))
        for name, confirm in lists.items()
    }
    same = {name: [words[n] for n in lists if lists[n] == lists[name]] for name in lists}

    for name, confirm in lists.items():
        Watched(run.consortium, name).refuses(
            close_for(confirm, same[name]), "2 survivors confirmed each other, and 3 are needed"
        )


def test_in_a_semi_honest_session_both_stories_are_believed(make_consortium: Make) -> None:
    """What the confirmations prevent: both of one site's secrets get shares released."""
    consortium = make_consortium(mechanism_of(training__rounds=1))
    run = consortium.run().until(Phase.CLOSE)
    whole = opened_as(CloseRequest, request_for(run))
    close = decode(RoundClose, whole.close.body, limit_bytes=LIMIT)
    without = encode(replace(whole, close=by_coordinator(replace(close, survivors=HONEST))))

    one = released(consortium.parties["site-1"].site.handle(without))
    other = released(consortium.parties["site-3"].site.handle(request_for(run)))

    kinds = {share.kind for release in (one, other) for share in release.shares[1:2]}
    assert len(kinds) == 2


def test_survivors_are_confirmed_once(make_consortium: Make) -> None:
    run = malicious(make_consortium).run().until(Phase.CONFIRM)
    run.ask()

    Watched(run.consortium).refuses(told(run, HONEST), "A request out of order came")


def test_a_close_for_other_survivors_than_confirmed(make_consortium: Make) -> None:
    run = malicious(make_consortium).run().until(Phase.CONFIRM)
    words = words_of(run)

    Watched(run.consortium).refuses(
        close_for(told(run, HONEST), words.values()), "confirmed other survivors than those it is"
    )


@pytest.mark.parametrize(
    ("survivors", "said"),
    [
        (("site-1", "site-2"), "A sum over 2 survivors is below the threshold"),
        (("site-2", "site-3", "site-4"), "set of the session's sites with this one in it"),
        (("site-1", "site-3", "site-2"), "not a sorted set"),
        (("site-1", "site-2", "site-9"), "not a sorted set of the session's sites"),
    ],
)
def test_survivors_that_no_honest_round_has_are_not_confirmed(
    make_consortium: Make, survivors: tuple[str, ...], said: str
) -> None:
    run = malicious(make_consortium).run().until(Phase.CONFIRM)

    Watched(run.consortium).refuses(told(run, survivors), said)


# -- confirmations that are not what they must be ----------------------------------------------


@pytest.mark.parametrize("signer", ["site-2", "coordinator"])
def test_nobody_confirms_in_the_name_of_another(make_consortium: Make, signer: str) -> None:
    """One key would be enough for a whole quorum if the name in a word were not its signer's."""
    run = malicious(make_consortium).run().until(Phase.CONFIRM)
    honest = words_of(run)
    forged = [changed_word(honest[name], signer) for name in ("site-2", "site-3", "site-4")]

    Watched(run.consortium).refuses(
        close_for(request_for(run), [honest["site-1"], *forged]), "in the name of another"
    )


def test_a_word_under_a_key_that_is_not_its_signers(make_consortium: Make) -> None:
    run = malicious(make_consortium).run().until(Phase.CONFIRM)
    honest = words_of(run)
    word = decode(Confirmation, honest["site-3"].body, limit_bytes=LIMIT)
    honest["site-3"] = sign_message(key_of(LIAR), "site-3", word)

    Watched(run.consortium).refuses(close_for(request_for(run), honest.values()), "does not verify")


@pytest.mark.parametrize(
    ("few", "said"),
    [
        ((), "0 survivors confirmed each other, and 3 are needed"),
        (("site-1", "site-2"), "2 survivors confirmed each other, and 3 are needed"),
        (("site-1", "site-2", "site-2", "site-2"), "2 survivors confirmed each other"),
    ],
)
def test_confirmations_below_the_quorum(
    make_consortium: Make, few: tuple[str, ...], said: str
) -> None:
    run = malicious(make_consortium).run().until(Phase.CONFIRM)
    words = words_of(run)

    Watched(run.consortium).refuses(
        close_for(request_for(run), [words[name] for name in few]), said
    )


@pytest.mark.parametrize(
    "change",
    [
        {"session": bytes(32)},
        {"round": 1},
        {"binding": bytes(32)},
        {"threshold": 2},
        {"survivors": HONEST},
    ],
)
def test_one_word_about_something_else(make_consortium: Make, change: dict[str, Any]) -> None:
    run = malicious(make_consortium).run().until(Phase.CONFIRM)
    words = words_of(run)
    words[LIAR] = changed_word(words[LIAR], **change)

    Watched(run.consortium).refuses(
        close_for(request_for(run), words.values()), "site-2 confirmed another round, cohort"
    )


def test_words_replayed_from_an_earlier_round(make_consortium: Make) -> None:
    run = malicious(make_consortium, rounds=2).run().until(Phase.CONFIRM)
    earlier = words_of(run)
    run.advance(run.replies)
    run.until(Phase.CONFIRM, 1)
    run.ask()

    Watched(run.consortium).refuses(
        close_for(request_for(run), earlier.values()), "confirmed another round, cohort"
    )


def test_words_replayed_from_an_earlier_attempt(make_consortium: Make) -> None:
    consortium = malicious(make_consortium)
    earlier = words_of(consortium.run().until(Phase.CONFIRM))
    run = consortium.run(attempt=2).until(Phase.CONFIRM)
    run.ask()

    Watched(consortium).refuses(
        close_for(request_for(run), earlier.values()), "confirmed another round, cohort"
    )


def test_the_word_of_a_drop_out_counts_for_nothing(make_consortium: Make) -> None:
    run = malicious(make_consortium).run().until(Phase.OPEN)
    run.exchange(lost=["site-4"])
    words = words_of(run)
    drop_out = changed_word(words["site-1"], "site-4", site="site-4")
    some = [words["site-1"], words["site-2"], drop_out]

    Watched(run.consortium).refuses(
        close_for(request_for(run), some), "site-4 confirmed another round, cohort"
    )


def test_exactly_a_quorum_of_words_is_enough(make_consortium: Make) -> None:
    run = malicious(make_consortium).run().until(Phase.CONFIRM)
    words = words_of(run)
    enough = [words[name] for name in ("site-2", "site-3", "site-4")]

    reply = run.consortium.parties["site-1"].site.handle(close_for(request_for(run), enough))

    assert released(reply).survivors == run.consortium.names


# -- a site that lies, or goes, in this exchange -----------------------------------------------


def _reply(word: Callable[[Signed], Signed]) -> Callable[[str, bytes], bytes]:
    def lie(name: str, reply: bytes) -> bytes:
        return encode(ConfirmReply(confirmed=word(word_in(reply)))) if name == LIAR else reply

    return lie


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(lambda name, r: b"nonsense" if name == LIAR else r, id="nonsense"),
        pytest.param(_reply(lambda w: changed_word(w, survivors=HONEST)), id="other survivors"),
        pytest.param(_reply(lambda w: changed_word(w, round=1)), id="another round"),
        pytest.param(_reply(lambda w: changed_word(w, session=bytes(32))), id="another session"),
        pytest.param(_reply(lambda w: changed_word(w, binding=bytes(32))), id="another binding"),
        pytest.param(_reply(lambda w: changed_word(w, threshold=2)), id="another threshold"),
        pytest.param(_reply(lambda w: changed_word(w, site="site-3")), id="another's name"),
        pytest.param(_reply(lambda w: changed_word(w, "site-3")), id="another's key"),
    ],
)
def test_a_liar_that_confirms_is_dropped_and_the_sum_is_opened(
    make_consortium: Make, lie: Callable[[str, bytes], bytes]
) -> None:
    run = malicious(make_consortium, rounds=2).run().until(Phase.CONFIRM)

    run.exchange(on_reply=lie)

    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}
    assert run.step.exchange is not None
    assert set(run.step.exchange.requests) == set(HONEST)
    run.finish()
    # Its update is in the sum: it uploaded honestly.
    assert [opened.survivors for opened in run.opened] == [run.consortium.names, HONEST]


@pytest.mark.parametrize("reached", [True, False])
@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.CONFIRM, Phase.CLOSE])
def test_a_drop_out_in_any_exchange_of_a_round(
    make_consortium: Make, phase: Phase, *, reached: bool
) -> None:
    consortium = malicious(make_consortium, rounds=3)
    run = consortium.run().until(phase)

    run.exchange(**{"lost" if reached else "absent": ["site-2"]})
    run.finish()

    first = HONEST if phase is Phase.OPEN else consortium.names
    assert [opened.survivors for opened in run.opened] == [first, HONEST, consortium.names]
    shared = consortium.start
    for opened in run.opened:
        expected = expected_parameters(consortium, shared, opened.round, opened.survivors)
        assert opened.parameters.tobytes() == expected.tobytes()
        shared = opened.parameters
    assert len(run.phases) == 2 + 3 * 3


def test_one_drop_out_in_each_exchange_is_one_too_many(make_consortium: Make) -> None:
    run = malicious(make_consortium).run().until(Phase.OPEN)
    run.exchange(absent=["site-1"])

    with pytest.raises(PeerError, match="Only 2 of 4 sites confirmed the survivors in round 0"):
        run.exchange(absent=["site-2"])


def test_who_confirmed_nothing_is_not_asked_for_shares(make_consortium: Make) -> None:
    run = malicious(make_consortium).run().until(Phase.CONFIRM)
    run.exchange(absent=[LIAR])

    assert run.step.exchange is not None
    assert set(run.step.exchange.requests) == set(HONEST)
