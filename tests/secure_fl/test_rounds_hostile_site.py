"""A site that lies: it is dropped, and the others' sum is opened without it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from msgspec.structs import replace
from round_simulator import (
    LIMIT_BYTES,
    SPEC,
    expected_parameters,
    key_of,
    mechanism_of,
    opened_as,
)

from crypto.codec import decode, encode
from crypto.digests import canonical_json, sha256
from crypto.errors import PeerError
from crypto.masked_sum import Release, SiteKeys
from crypto.shamir import PRIME
from crypto.signatures import Signed, sign_message
from secure_fl.rounds.messages import (
    CloseReply,
    ExtractSent,
    HelloReply,
    Joined,
    OpenReply,
    RefusalCode,
    Released,
    ShareReply,
    SharesSent,
    Uploaded,
)
from secure_fl.rounds.reading import shares_digest
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from round_simulator import Consortium, Run

    from crypto.codec import Message

    Make = Callable[..., Consortium]
    Lie = Callable[[bytes], bytes]

LIAR = "site-2"
HONEST = ("site-1", "site-3", "site-4")
ZEROS = bytes(32)


def resigned(signed: Signed, kind: type[Message], **changes: Any) -> Signed:  # noqa: ANN401 - a value
    """The liar's own statement, changed and signed again."""
    statement = decode(kind, signed.body, limit_bytes=LIMIT_BYTES)
    return sign_message(key_of(LIAR), LIAR, replace(statement, **changes))


def by_another(signed: Signed, signer: str, kind: type[Message]) -> Signed:
    """The same statement, signed by somebody else under their own name."""
    return sign_message(key_of(signer), signer, decode(kind, signed.body, limit_bytes=LIMIT_BYTES))


def flipped(signed: Signed) -> Signed:
    body = bytearray(signed.body)
    body[-1] ^= 1
    return replace(signed, body=bytes(body))


def only(lie: Lie) -> Callable[[str, bytes], bytes]:
    return lambda name, reply: lie(reply) if name == LIAR else reply


def assert_dropped(run: Run, *, opened: int = 0) -> None:
    """The liar is refused, and every round from `opened` on is opened without it."""
    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}
    assert run.step.exchange is not None
    assert set(run.step.exchange.requests) == set(HONEST)
    consortium = run.consortium
    shared = consortium.start
    for result in run.finish().opened:
        survivors = HONEST if result.round >= opened else consortium.names
        assert result.survivors == survivors
        expected = expected_parameters(consortium, shared, result.round, survivors)
        assert result.parameters.tobytes() == expected.tobytes()
        shared = result.parameters


# -- the beginning -----------------------------------------------------------------------------


def _joined(**changes: Any) -> Lie:  # noqa: ANN401 - a field's value
    def lie(reply: bytes) -> bytes:
        whole = opened_as(HelloReply, reply)
        return encode(replace(whole, joined=resigned(whole.joined, Joined, **changes)))

    return lie


def _first_keys(**changes: Any) -> Lie:  # noqa: ANN401 - a field's value
    def lie(reply: bytes) -> bytes:
        whole = opened_as(HelloReply, reply)
        assert whole.keys is not None
        return encode(replace(whole, keys=resigned(whole.keys, SiteKeys, **changes)))

    return lie


def _no_keys(reply: bytes) -> bytes:
    return encode(replace(opened_as(HelloReply, reply), keys=None))


def _joined_by_another(reply: bytes) -> bytes:
    whole = opened_as(HelloReply, reply)
    return encode(replace(whole, joined=by_another(whole.joined, "site-3", Joined)))


def _altered_joined(reply: bytes) -> bytes:
    whole = opened_as(HelloReply, reply)
    return encode(replace(whole, joined=flipped(whole.joined)))


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(lambda _: b"nonsense", id="nonsense"),
        pytest.param(lambda _: b"", id="nothing"),
        pytest.param(lambda reply: reply + b"\0", id="left over bytes"),
        pytest.param(_joined(session=ZEROS), id="another session"),
        pytest.param(_joined(site="site-3"), id="speaks for another"),
        pytest.param(_joined(event=b"{}"), id="another plan"),
        pytest.param(_joined(checkpoint_size=10**6), id="saw more than there is"),
        pytest.param(_joined_by_another, id="signed by another"),
        pytest.param(_altered_joined, id="altered"),
        pytest.param(_no_keys, id="no keys"),
        pytest.param(_first_keys(round=1), id="keys of another round"),
        pytest.param(_first_keys(session=ZEROS), id="keys of another session"),
        pytest.param(_first_keys(site="site-3"), id="keys of another"),
        pytest.param(_first_keys(mask=bytes(32)), id="a key of low order"),
    ],
)
def test_a_liar_in_the_first_exchange(consortium: Consortium, lie: Lie) -> None:
    run = consortium.run()

    run.exchange(on_reply=only(lie))

    assert_dropped(run)
    assert consortium.transcript.size > 0


def _shares(change: Callable[[dict[str, bytes]], dict[str, bytes]], **changes: Any) -> Lie:  # noqa: ANN401 - a field's value
    def lie(reply: bytes) -> bytes:
        whole = opened_as(ShareReply, reply)
        shares = change(dict(whole.shares))
        fields = {"shares_digest": shares_digest(shares)} | changes
        return encode(
            replace(whole, shares=shares, sent=resigned(whole.sent, SharesSent, **fields))
        )

    return lie


def _without_last(shares: dict[str, bytes]) -> dict[str, bytes]:
    return dict(list(shares.items())[:-1])


def _with_extra(shares: dict[str, bytes]) -> dict[str, bytes]:
    return shares | {LIAR: b"to itself"}


def _shares_altered(reply: bytes) -> bytes:
    whole = opened_as(ShareReply, reply)
    return encode(replace(whole, shares=dict.fromkeys(whole.shares, b"x")))


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(_shares_altered, id="altered after signing"),
        pytest.param(_shares(_without_last), id="one peer left out"),
        pytest.param(_shares(_with_extra), id="one too many"),
        pytest.param(_shares(lambda _: {}), id="none"),
        pytest.param(_shares(dict, round=1), id="of another round"),
        pytest.param(_shares(dict, session=ZEROS), id="of another session"),
        pytest.param(_shares(dict, shares_digest=ZEROS), id="another digest"),
    ],
)
def test_a_liar_in_the_second_exchange(consortium: Consortium, lie: Lie) -> None:
    run = consortium.run().until(Phase.SHARE)

    run.exchange(on_reply=only(lie))

    assert_dropped(run)


# -- an upload ---------------------------------------------------------------------------------


def _uploaded(**changes: Any) -> Lie:  # noqa: ANN401 - a field's value
    def lie(reply: bytes) -> bytes:
        whole = opened_as(OpenReply, reply)
        return encode(replace(whole, uploaded=resigned(whole.uploaded, Uploaded, **changes)))

    return lie


def _vector(change: Callable[[bytes], bytes], *, sign: bool) -> Lie:
    def lie(reply: bytes) -> bytes:
        whole = opened_as(OpenReply, reply)
        vector = change(whole.vector)
        uploaded = whole.uploaded
        if sign:
            uploaded = resigned(uploaded, Uploaded, vector_digest=sha256(vector))
        return encode(replace(whole, vector=vector, uploaded=uploaded))

    return lie


def _next_keys(**changes: Any) -> Lie:  # noqa: ANN401 - a field's value
    def lie(reply: bytes) -> bytes:
        whole = opened_as(OpenReply, reply)
        assert whole.next_keys is not None
        return encode(replace(whole, next_keys=resigned(whole.next_keys, SiteKeys, **changes)))

    return lie


def _uploaded_by_another(reply: bytes) -> bytes:
    whole = opened_as(OpenReply, reply)
    return encode(replace(whole, uploaded=by_another(whole.uploaded, "site-4", Uploaded)))


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(_vector(lambda v: bytes([v[0] ^ 1]) + v[1:], sign=False), id="altered"),
        pytest.param(_vector(lambda v: v[:-4], sign=True), id="too short"),
        pytest.param(_vector(lambda v: v + bytes(4), sign=True), id="too long"),
        pytest.param(_vector(lambda v: v[:-1], sign=True), id="no whole words"),
        pytest.param(_vector(lambda _: b"", sign=True), id="empty"),
        pytest.param(_uploaded(header_digest=ZEROS), id="another header"),
        pytest.param(_uploaded(round=1), id="another round"),
        pytest.param(_uploaded(session=ZEROS), id="another session"),
        pytest.param(_uploaded(site="site-4"), id="speaks for another"),
        pytest.param(_uploaded(event=b"{}"), id="charged another event"),
        pytest.param(_uploaded_by_another, id="signed by another"),
        pytest.param(lambda r: encode(replace(opened_as(OpenReply, r), next_keys=None)), id="keys"),
        pytest.param(_next_keys(round=2), id="keys of another round"),
        pytest.param(_next_keys(mask=bytes(32)), id="a key of low order"),
    ],
)
def test_a_liar_that_uploads(consortium: Consortium, lie: Lie) -> None:
    run = consortium.run().until(Phase.OPEN)

    run.exchange(on_reply=only(lie))

    assert_dropped(run)


def test_an_upload_of_an_earlier_round_is_not_taken_again(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.OPEN)
    run.exchange()
    old = run.replies[LIAR]
    run.exchange()

    run.exchange(on_reply=only(lambda _: old))

    assert_dropped(run, opened=1)


def test_another_sites_reply_is_not_taken_for_ones_own(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.OPEN)

    replies = run.ask()
    run.advance(replies | {LIAR: replies["site-1"]})

    assert_dropped(run)


@pytest.mark.parametrize("protection", ["masked", "plain"])
def test_a_reply_that_was_not_asked_for_is_not_used(make_consortium: Make, protection: str) -> None:
    consortium = make_consortium(mechanism_of(protection=protection))
    run = consortium.run().until(Phase.OPEN)
    run.exchange(absent=[LIAR])
    run.exchange()
    late = run.replies["site-1"]

    # The liar was asked back for the next round, and says what belongs to the one that is open.
    run.advance(run.ask() | {LIAR: late, "stranger": late, "coordinator": late})

    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}
    run.finish()
    assert [opened.survivors for opened in run.opened] == [HONEST] * 3


def test_garbage_in_clear_is_traced_to_its_sender(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(protection="plain"))
    run = consortium.run().until(Phase.OPEN)
    garbage = np.full(SPEC.size, 2**31, "<u4").tobytes()

    run.exchange(on_reply=only(_vector(lambda _: garbage, sign=True)))

    assert_dropped(run)


def test_garbage_under_masks_is_found_in_the_sum(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.OPEN)

    run.exchange(on_reply=only(_vector(lambda v: bytes(len(v)), sign=True)))

    with pytest.raises(PeerError, match="The round is discarded"):
        run.exchange()
    assert run.opened == []


# -- a release ---------------------------------------------------------------------------------


def _release(change: Callable[[Release], Release]) -> Lie:
    """Another release, with everything signed as it must be."""

    def lie(reply: bytes) -> bytes:
        whole = opened_as(CloseReply, reply)
        release = encode(change(decode(Release, whole.release, limit_bytes=LIMIT_BYTES)))
        return _signed_release(whole, release)

    return lie


def _signed_release(whole: CloseReply, release: bytes) -> bytes:
    released = resigned(whole.released, Released, shares_digest=sha256(release))
    return encode(replace(whole, release=release, released=released))


def _released(**changes: Any) -> Lie:  # noqa: ANN401 - a field's value
    def lie(reply: bytes) -> bytes:
        whole = opened_as(CloseReply, reply)
        return encode(replace(whole, released=resigned(whole.released, Released, **changes)))

    return lie


def _garbage_release(reply: bytes) -> bytes:
    return _signed_release(opened_as(CloseReply, reply), b"no release")


def _unsigned_release(reply: bytes) -> bytes:
    whole = opened_as(CloseReply, reply)
    altered = bytearray(whole.release)
    altered[-1] ^= 1  # a share of another value, which alone would spoil the opening
    return encode(replace(whole, release=bytes(altered)))


def _wrong_share(release: Release) -> Release:
    value = (int.from_bytes(release.shares[0].share) + 1) % PRIME
    wrong = replace(release.shares[0], share=value.to_bytes(33))
    return replace(release, shares=(wrong, *release.shares[1:]))


def _too_large_a_share(release: Release) -> Release:
    shares = tuple(replace(share, share=b"\xff" * len(share.share)) for share in release.shares)
    return replace(release, shares=shares)


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(_garbage_release, id="garbage, signed"),
        pytest.param(_unsigned_release, id="altered after signing"),
        pytest.param(_release(_wrong_share), id="a share of another value"),
        pytest.param(_release(lambda r: replace(r, shares=r.shares[::-1])), id="shares swapped"),
        pytest.param(_release(lambda r: replace(r, survivors=HONEST)), id="other survivors within"),
        pytest.param(_release(lambda r: replace(r, round=1)), id="another round within"),
        pytest.param(_release(lambda r: replace(r, session=ZEROS)), id="another session within"),
        pytest.param(_release(lambda r: replace(r, site="site-1")), id="another's name within"),
        pytest.param(_release(_too_large_a_share), id="a share beyond the field"),
        pytest.param(_released(survivors=HONEST), id="other survivors"),
        pytest.param(_released(round=1), id="another round"),
        pytest.param(_released(header_digest=ZEROS), id="another header"),
    ],
)
def test_a_liar_that_releases_is_dropped_and_the_sum_is_opened(
    consortium: Consortium, lie: Lie
) -> None:
    run = consortium.run().until(Phase.CLOSE)

    run.exchange(on_reply=only(lie))

    # Its update is in the sum: it uploaded honestly.
    assert run.sum.survivors == consortium.names
    assert_dropped(run, opened=1)


def test_shares_for_the_next_round_that_do_not_fit_drop_their_sender(
    consortium: Consortium,
) -> None:
    run = consortium.run().until(Phase.CLOSE)

    def lie(reply: bytes) -> bytes:
        whole = opened_as(CloseReply, reply)
        assert whole.next_sent is not None
        shares = _without_last(dict(whole.next_shares))
        sent = resigned(whole.next_sent, SharesSent, shares_digest=shares_digest(shares))
        return encode(replace(whole, next_shares=shares, next_sent=sent))

    run.exchange(on_reply=only(lie))

    assert run.sum.survivors == consortium.names
    assert_dropped(run, opened=1)


def _extract(change: Callable[[list[dict[str, Any]]], object], *, canonical: bool = True) -> Lie:
    """Another extract of the ledger, signed as it must be."""

    def lie(reply: bytes) -> bytes:
        changed: Any = change(json.loads(opened_as(CloseReply, reply).extract))
        return _with_extract(
            reply, canonical_json(changed) if canonical else json.dumps(changed).encode()
        )

    return lie


def _with_extract(reply: bytes, extract: bytes) -> bytes:
    whole = opened_as(CloseReply, reply)
    assert whole.extract_sent is not None
    sent = resigned(whole.extract_sent, ExtractSent, extract_digest=sha256(extract))
    return encode(replace(whole, extract=extract, extract_sent=sent))


def _extract_altered_on_the_way(reply: bytes) -> bytes:
    whole = opened_as(CloseReply, reply)
    altered = whole.extract.replace(b"2026-", b"2027-")
    assert altered != whole.extract
    return encode(replace(whole, extract=altered))


_NOISY = {
    "kind": "subsampled-gaussian",
    "noise_multiplier": 1,
    "sampling_rate": 0.5,
    "steps": 1,
}


def _each(**changes: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:  # noqa: ANN401 - a value
    return lambda entries: [entry | changes for entry in entries]


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(_extract_altered_on_the_way, id="not the signed one"),
        pytest.param(_extract(lambda e: [e[0], *_each(event=_NOISY)(e[1:])]), id="other draws"),
        pytest.param(lambda reply: _with_extract(reply, b"nonsense"), id="nonsense"),
        pytest.param(lambda reply: _with_extract(reply, b"\xff"), id="no text"),
        pytest.param(lambda reply: _with_extract(reply, b"7"), id="no list"),
        pytest.param(lambda reply: _with_extract(reply, b"[" * 100_000), id="a deep one"),
        pytest.param(_extract(lambda entries: entries, canonical=False), id="another encoding"),
        pytest.param(_extract(lambda _: []), id="nothing was reserved"),
        pytest.param(_extract(lambda entries: entries[:1]), id="nothing was drawn"),
        pytest.param(_extract(lambda entries: entries[:-1]), id="one draw short"),
        pytest.param(_extract(lambda entries: entries[1:]), id="no plan"),
        pytest.param(_extract(_each(run="another")), id="another run"),
        pytest.param(_extract(_each(schema="v9")), id="another schema"),
        pytest.param(
            _extract(_each(event=_NOISY)),
            id="another mechanism",
        ),
    ],
)
def test_an_extract_that_does_not_fit_is_not_kept(consortium: Consortium, lie: Lie) -> None:
    run = consortium.run().until(Phase.CLOSE, 2)

    run.exchange(on_reply=only(lie))

    assert run.step.exchange is None
    assert set(run.sum.extracts) == set(HONEST)
    assert run.sum.survivors == consortium.names
    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}


def test_an_extract_before_the_last_round_is_not_looked_at(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.CLOSE)
    early = sign_message(key_of(LIAR), LIAR, ExtractSent(ZEROS, LIAR, sha256(b"[]"), ZEROS, b""))

    run.exchange(
        on_reply=only(
            lambda reply: encode(
                replace(opened_as(CloseReply, reply), extract_sent=early, extract=b"[]")
            )
        )
    )

    assert run.step.refused == {}
    assert set(run.finish().sum.extracts) == set(consortium.names)


def test_the_extract_covers_every_attempt(consortium: Consortium) -> None:
    first = consortium.run().until(Phase.CLOSE, 1)
    parameters = first.sum.parameters
    run = consortium.run(attempt=2, first_round=1, parameters=parameters).until(Phase.CLOSE, 2)

    def forgets_the_first_attempt(entries: list[dict[str, Any]]) -> object:
        # What is left still covers every round that counts, and hides one that was charged.
        return [entry for entry in entries if (entry.get("attempt"), entry.get("round")) != (1, 1)]

    run.exchange(on_reply=only(_extract(forgets_the_first_attempt)))

    assert set(run.sum.extracts) == set(HONEST)


def test_an_extract_signed_for_another_session_is_not_kept(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.CLOSE, 2)

    def lie(reply: bytes) -> bytes:
        whole = opened_as(CloseReply, reply)
        assert whole.extract_sent is not None
        sent = resigned(whole.extract_sent, ExtractSent, session=ZEROS)
        return encode(replace(whole, extract_sent=sent))

    run.exchange(on_reply=only(lie))

    assert set(run.sum.extracts) == set(HONEST)


def test_more_liars_than_the_threshold_bears_stop_the_round(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.OPEN)

    with pytest.raises(PeerError, match="Refusals: site-1: protocol, site-2: protocol"):
        run.exchange(on_reply=lambda name, reply: b"" if name in {"site-1", "site-2"} else reply)


def test_what_a_refusal_in_words_would_say_is_not_repeated(consortium: Consortium) -> None:
    run = consortium.run()

    with pytest.raises(PeerError) as caught:
        run.exchange(on_reply=lambda _name, _reply: b"\x92\xb4secure-fl.refusal.v1\xa6Erika!")

    assert "Erika" not in str(caught.value)
