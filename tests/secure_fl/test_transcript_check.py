"""A stored transcript is read again: who confirmed what, and that no site went back in time.

The forger holds every key: what is left to find is what honest parties never sign together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from round_simulator import LIMIT_BYTES, RUN_ID, key_of, mechanism_of, private_mechanism

from crypto.codec import decode, encode
from crypto.errors import IntegrityError
from crypto.masked_sum import Confirmation
from crypto.signatures import Signed, sign_message
from secure_fl.rounds.messages import (
    ExtractSent,
    Heads,
    Hello,
    Joined,
    Released,
    SharesSent,
    Uploaded,
)
from secure_fl.rounds.steps import Phase
from secure_fl.transcript_check import read_transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from round_simulator import Consortium

    from crypto.codec import Message
    from secure_fl.transcript_check import CheckedTranscript

    Make = Callable[..., Consortium]

SITE = "site-2"
CONFIRMATION = "secure-fl.confirmation.v1"


def read(consortium: Consortium, leaves: Sequence[bytes]) -> CheckedTranscript:
    return read_transcript(leaves, consortium.roster, consortium.mechanism, RUN_ID)


def finished(consortium: Consortium) -> list[bytes]:
    """The leaves of a finished run, which check out."""
    consortium.run().finish()
    leaves = list(consortium.transcript.leaves)
    read(consortium, leaves)
    return leaves


def places_of(leaves: Sequence[bytes], label: str, signer: str | None = None) -> list[int]:
    signed = [decode(Signed, leaf, limit_bytes=LIMIT_BYTES) for leaf in leaves]
    return [
        place
        for place, leaf in enumerate(signed)
        if leaf.label == label and signer in {None, leaf.signer}
    ]


def without(leaves: Sequence[bytes], places: Sequence[int]) -> list[bytes]:
    return [leaf for place, leaf in enumerate(leaves) if place not in places]


def changed(leaf: bytes, kind: type[Message], signer: str | None = None, **changes: Any) -> bytes:  # noqa: ANN401 - a field's value
    """The statement in `leaf` with other fields, signed again by its signer or by another."""
    signed = decode(Signed, leaf, limit_bytes=LIMIT_BYTES)
    statement = replace(decode(kind, signed.body, limit_bytes=LIMIT_BYTES), **changes)
    name = signer or signed.signer
    return encode(sign_message(key_of(name), name, statement))


def with_heads(leaf: bytes, kind: type[Message], **changes: Any) -> bytes:  # noqa: ANN401 - a field's value
    signed = decode(Signed, leaf, limit_bytes=LIMIT_BYTES)
    heads: Heads = decode(kind, signed.body, limit_bytes=LIMIT_BYTES).heads  # type: ignore[attr-defined]
    return changed(leaf, kind, heads=replace(heads, **changes))


# -- confirmations -----------------------------------------------------------------------------


@pytest.fixture
def malicious(make_consortium: Make) -> Consortium:
    return make_consortium(mechanism_of(adversary="malicious", training__rounds=2))


def test_a_malicious_run_shows_every_confirmation(malicious: Consortium) -> None:
    leaves = finished(malicious)

    assert len(places_of(leaves, CONFIRMATION)) == 2 * 4
    assert read(malicious, leaves).survivors == dict.fromkeys(range(2), malicious.names)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_round_with_too_few_confirmations_was_not_opened(
    malicious: Consortium, left: int
) -> None:
    leaves = finished(malicious)
    second = places_of(leaves, CONFIRMATION)[4:]

    with pytest.raises(IntegrityError, match="not show that round 2 was opened by enough sites"):
        read(malicious, without(leaves, second[left:]))


def test_a_quorum_of_confirmations_is_enough(malicious: Consortium) -> None:
    leaves = finished(malicious)

    read(malicious, without(leaves, places_of(leaves, CONFIRMATION)[:1]))


def test_one_confirmation_written_three_times_is_one(malicious: Consortium) -> None:
    leaves = finished(malicious)
    first, *others = places_of(leaves, CONFIRMATION)[:4]
    for place in others:
        leaves[place] = leaves[first]

    with pytest.raises(IntegrityError, match="not show that round 1 was opened by enough sites"):
        read(malicious, leaves)


def test_a_semi_honest_run_needs_none(make_consortium: Make) -> None:
    consortium = make_consortium()
    leaves = finished(consortium)

    assert places_of(leaves, CONFIRMATION) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"survivors": ("site-1", "site-2", "site-3")}, "confirmed other survivors than the round"),
        ({"threshold": 2}, "confirmed other survivors than the round"),
        ({"round": 1}, "confirmed other survivors than the round"),
        ({"binding": bytes(32)}, "confirmed of a round that was not closed"),
        ({"session": bytes(32)}, "a session that was never opened"),
        ({"site": "site-3"}, "a party spoke in the name of another"),
    ],
)
def test_a_confirmation_of_something_else(
    malicious: Consortium, changes: dict[str, Any], said: str
) -> None:
    leaves = finished(malicious)
    (place, _) = places_of(leaves, CONFIRMATION, SITE)
    leaves[place] = changed(leaves[place], Confirmation, **changes)

    with pytest.raises(IntegrityError, match=rf"statement {place}: .*{said}"):
        read(malicious, leaves)


def test_the_coordinator_confirms_nothing(malicious: Consortium) -> None:
    leaves = finished(malicious)
    (place, _) = places_of(leaves, CONFIRMATION, SITE)
    leaves[place] = changed(leaves[place], Confirmation, "coordinator")

    with pytest.raises(IntegrityError, match="a party spoke in the name of another"):
        read(malicious, leaves)


def test_the_confirmation_of_a_drop_out(malicious: Consortium) -> None:
    run = malicious.run().until(Phase.OPEN)
    run.exchange(lost=[SITE])
    run.finish()
    leaves = list(malicious.transcript.leaves)
    read(malicious, leaves)
    place = places_of(leaves, CONFIRMATION, "site-1")[0]
    leaves[place] = changed(leaves[place], Confirmation, SITE, site=SITE)

    with pytest.raises(IntegrityError, match="confirmed other survivors than the round"):
        read(malicious, leaves)


def test_a_confirmation_before_the_survivors_were_named(malicious: Consortium) -> None:
    leaves = finished(malicious)
    place = places_of(leaves, CONFIRMATION)[0]
    close = places_of(leaves, "secure-fl.round-close.v2")[0]
    leaves.insert(close, leaves.pop(place))

    with pytest.raises(IntegrityError, match="of a round that was not closed"):
        read(malicious, leaves)


# -- the session is the configured one ---------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"adversary": "semi-honest"},
        {"suite": "x25519-mlkem768-hkdf-sha256-aes256ctr-z32"},
        {"width_bits": 24},
        {"threshold": 4},
        {"sites": ("site-1", "site-2", "site-3"), "threshold": 3},
    ],
)
def test_a_session_other_than_the_configuration_asks_for(
    malicious: Consortium, changes: dict[str, Any]
) -> None:
    leaves = finished(malicious)
    leaves[0] = changed(leaves[0], Hello, **changes)

    with pytest.raises(IntegrityError, match=r"statement 0: .*differ from the signed config"):
        read(malicious, leaves)


def test_a_session_with_a_site_outside_of_the_roster(malicious: Consortium) -> None:
    leaves = finished(malicious)
    leaves[0] = changed(leaves[0], Hello, sites=("site-1", "site-2", "site-3", "site-9"))

    with pytest.raises(IntegrityError, match="sites outside of the roster"):
        read(malicious, leaves)


def test_an_attempt_that_was_begun_twice(consortium: Consortium) -> None:
    first = consortium.run().until(Phase.OPEN, 1)
    consortium.run(attempt=2, first_round=1, parameters=first.sum.parameters).finish()
    leaves = list(consortium.transcript.leaves)
    read(consortium, leaves)
    _, second = places_of(leaves, "secure-fl.hello.v2")
    leaves[second] = leaves[0]

    with pytest.raises(IntegrityError, match=rf"statement {second}: attempt 1 was begun after"):
        read(consortium, leaves)


# -- heads that go back ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("secure-fl.shares-sent.v2", SharesSent),
        ("secure-fl.uploaded.v2", Uploaded),
        ("secure-fl.released.v2", Released),
        ("secure-fl.extract-sent.v3", ExtractSent),
    ],
)
def test_a_site_that_answered_fewer_requests_than_before(
    make_consortium: Make, label: str, kind: type[Message]
) -> None:
    consortium = make_consortium(private_mechanism())
    leaves = finished(consortium)
    place = places_of(leaves, label, SITE)[-1]
    leaves[place] = with_heads(leaves[place], kind, entries=0)

    with pytest.raises(IntegrityError, match="site-2 signed that it had answered 0 requests"):
        read(consortium, leaves)


@pytest.mark.parametrize("field", ["journal", "ledger"])
def test_two_histories_of_one_length(consortium: Consortium, field: str) -> None:
    """The release and the shares beside it are one reply: their heads are the same."""
    leaves = finished(consortium)
    place = places_of(leaves, "secure-fl.shares-sent.v2", SITE)[1]
    leaves[place] = with_heads(leaves[place], SharesSent, **{field: bytes([7]) * 32})

    with pytest.raises(IntegrityError, match="it answered from an older copy of its records"):
        read(consortium, leaves)


def test_an_upload_that_answers_as_many_requests_as_the_one_before(
    consortium: Consortium,
) -> None:
    leaves = finished(consortium)
    first, second = places_of(leaves, "secure-fl.uploaded.v2", SITE)[:2]
    signed = decode(Signed, leaves[first], limit_bytes=LIMIT_BYTES)
    entries = decode(Uploaded, signed.body, limit_bytes=LIMIT_BYTES).heads.entries
    leaves[second] = with_heads(leaves[second], Uploaded, entries=entries)

    with pytest.raises(IntegrityError, match=rf"statement {second}: site-2 signed"):
        read(consortium, leaves)


def test_a_site_that_lost_its_state_says_so_and_begins_again(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = consortium.run().until(Phase.OPEN, 1)
    consortium.parties[SITE].store.saved.clear()
    run.finish()
    leaves = list(consortium.transcript.leaves)

    assert read(consortium, leaves).survivors[3] == consortium.names
    joined = places_of(leaves, "secure-fl.joined.v3", SITE)[1]
    for change in ({"entries": 1}, {"journal": bytes([1]) * 32}):
        forged = [*leaves]
        forged[joined] = with_heads(leaves[joined], Joined, **change)
        with pytest.raises(IntegrityError, match=rf"statement {joined}: site-2 signed"):
            read(consortium, forged)


def test_over_attempts_a_sites_history_goes_on(consortium: Consortium) -> None:
    first = consortium.run().until(Phase.OPEN, 1)
    run = consortium.run(attempt=2, first_round=1, parameters=first.sum.parameters)
    run.finish()
    leaves = list(consortium.transcript.leaves)

    assert read(consortium, leaves).sessions == 2
    place = places_of(leaves, "secure-fl.joined.v3", SITE)[1]
    leaves[place] = with_heads(leaves[place], Joined, entries=1)
    with pytest.raises(IntegrityError, match="site-2 signed that it had answered 1 requests"):
        read(consortium, leaves)


def test_a_site_that_was_silent_has_not_gone_back(make_consortium: Make) -> None:
    """Its replies were lost on the way: it counted them, and the log never saw them."""
    consortium = make_consortium(mechanism_of(training__rounds=4))
    run = consortium.run().until(Phase.CLOSE)
    run.exchange(lost=[SITE])
    run.finish()

    assert read(consortium, consortium.transcript.leaves).survivors[3] == consortium.names
