"""Who spoilt a sum: named where it can be known, left out then, and nobody named who did not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from msgspec.structs import replace
from round_simulator import (
    LIMIT_BYTES,
    key_of,
    mechanism_of,
    opened_as,
    private_mechanism,
)

from crypto.codec import decode, encode
from crypto.digests import sha256
from crypto.errors import PeerError
from crypto.masked_sum import CulpritError, MaskingSite, Release, SiteKeys
from crypto.masked_sum_shares import DealtShares
from crypto.masked_sum_state import Keyed
from crypto.secrets import SecretBytes, system_entropy
from crypto.shamir import PRIME
from crypto.signatures import Signed, sign_message
from secure_fl.rounds.messages import (
    CloseReply,
    OpenReply,
    OpenRequest,
    RefusalCode,
    Released,
    ShareReply,
    SharesSent,
    Uploaded,
)
from secure_fl.rounds.reading import leaf_of, shares_digest
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from round_simulator import Consortium, Run

    from crypto.codec import Message

    Make = Callable[..., Consortium]
    Lie = Callable[[str, bytes], bytes]

LIAR = "site-2"
HONEST = ("site-1", "site-3", "site-4")


def resigned(signed: Signed, kind: type[Message], **changes: Any) -> Signed:  # noqa: ANN401 - a field's value
    statement = decode(kind, signed.body, limit_bytes=LIMIT_BYTES)
    return sign_message(key_of(signed.signer), signed.signer, replace(statement, **changes))


def altered(dealt: bytes) -> bytes:
    """A bundle that decodes and does not open; the commitments are as they were."""
    message = decode(DealtShares, dealt, limit_bytes=LIMIT_BYTES)
    return encode(replace(message, sealed=bytes(len(message.sealed))))


def spoilt(shares: Mapping[str, bytes], sent: Signed) -> tuple[Signed, dict[str, bytes]]:
    """What a dealer deals whose shares open nowhere but at itself, signed as it must be."""
    bad = {name: data if name == LIAR else altered(data) for name, data in shares.items()}
    return resigned(sent, SharesSent, shares_digest=shares_digest(bad)), bad


def sent_instead(consortium: Consortium, sent: Signed) -> None:
    """Let the liar's machine look for `sent` in the log, so that it plays on."""
    party = consortium.parties[LIAR]
    state = party.state()
    pending = (*state.pending[:-1], leaf_of(sent))
    party.store.save(state.hello.run_id, replace(state, pending=pending))


def deals_garbage(consortium: Consortium) -> Lie:
    def lie(name: str, reply: bytes) -> bytes:
        if name != LIAR:
            return reply
        whole = opened_as(ShareReply, reply)
        sent, shares = spoilt(whole.shares, whole.sent)
        sent_instead(consortium, sent)
        return encode(replace(whole, sent=sent, shares=shares))

    return lie


def deals_garbage_at_close(name: str, reply: bytes) -> bytes:
    if name != LIAR:
        return reply
    whole = opened_as(CloseReply, reply)
    assert whole.next_sent is not None
    sent, shares = spoilt(whole.next_shares, whole.next_sent)
    return encode(replace(whole, next_sent=sent, next_shares=shares))


def deals_another_secret(run: Run) -> Lie:
    """Shares that all open, of secrets that are not those that the dealer announced."""
    machine = MaskingSite.import_state(SecretBytes(run.consortium.parties[LIAR].state().masking))
    phase = machine._rounds[0]
    assert isinstance(phase, Keyed)
    other = (SecretBytes(bytes(32)), SecretBytes(bytes(32)))
    machine._rounds[0] = Keyed(phase.keys, *other)
    keys = {
        name: decode(SiteKeys, signed.body, limit_bytes=LIMIT_BYTES)
        for name, signed in run.coordinator._gathering.keys.items()
    }
    shares = machine.shares_for(0, keys, system_entropy)

    def lie(name: str, reply: bytes) -> bytes:
        if name != LIAR:
            return reply
        whole = opened_as(ShareReply, reply)
        sent = resigned(whole.sent, SharesSent, shares_digest=shares_digest(shares))
        sent_instead(run.consortium, sent)
        return encode(replace(whole, sent=sent, shares=shares))

    return lie


def accuses(*sites: str, by: str = LIAR) -> Lie:
    def lie(name: str, reply: bytes) -> bytes:
        if name != by:
            return reply
        whole = opened_as(OpenReply, reply)
        return encode(replace(whole, uploaded=resigned(whole.uploaded, Uploaded, unusable=sites)))

    return lie


def changed_release(change: Callable[[Release], Release], by: str = LIAR) -> Lie:
    def lie(name: str, reply: bytes) -> bytes:
        if name != by:
            return reply
        whole = opened_as(CloseReply, reply)
        release = encode(change(decode(Release, whole.release, limit_bytes=LIMIT_BYTES)))
        released = resigned(whole.released, Released, shares_digest=sha256(release))
        return encode(replace(whole, release=release, released=released))

    return lie


def without_share_of(site: str) -> Callable[[Release], Release]:
    return lambda release: replace(
        release, shares=tuple(share for share in release.shares if share.peer != site)
    )


def accusations(run: Run) -> dict[str, tuple[str, ...]]:
    """Whom each site says in the log to have dealt it nothing usable."""
    leaves = [opened_as(Signed, leaf) for leaf in run.consortium.transcript.leaves]
    uploads = [
        decode(Uploaded, leaf.body, limit_bytes=LIMIT_BYTES)
        for leaf in leaves
        if leaf.label == "secure-fl.uploaded.v2"
    ]
    return {upload.site: upload.unusable for upload in uploads}


# -- a dealer whose shares open nowhere --------------------------------------------------------


@pytest.mark.parametrize("uploads", [True, False])
def test_a_dealer_whose_shares_open_nowhere_is_named(
    make_consortium: Make, *, uploads: bool
) -> None:
    """Whether it stays in the sum or not: one of its two secrets is needed."""
    run = make_consortium(private_mechanism()).run().until(Phase.SHARE)
    run.exchange(on_reply=deals_garbage(run.consortium))
    run.exchange(absent=[] if uploads else [LIAR])
    assert (LIAR in accusations(run)) is uploads

    with pytest.raises(CulpritError, match="shares that site-2 dealt did not open") as caught:
        run.exchange()

    assert caught.value.culprit == LIAR
    assert run.opened == []
    said = accusations(run)
    assert {said[name] for name in HONEST} == {(LIAR,)}
    for name in HONEST:
        assert (
            "the shares of site-2 for this site did not open"
            in run.consortium.parties[name].notes[0]
        )


def test_it_is_left_out_of_the_next_attempt_which_goes_through(make_consortium: Make) -> None:
    consortium = make_consortium(private_mechanism())
    run = consortium.run().until(Phase.CLOSE)
    run.exchange(on_reply=deals_garbage_at_close)
    parameters = run.sum.parameters
    run.exchange()
    with pytest.raises(CulpritError) as caught:
        run.exchange()

    second = consortium.run(
        attempt=2,
        first_round=1,
        parameters=parameters,
        left_out=frozenset({caught.value.culprit}),
    ).finish()

    assert [opened.round for opened in run.opened] == [0]
    assert [opened.survivors for opened in second.opened] == [HONEST, HONEST]
    draws = [
        (entry.draw.round, entry.draw.attempt)
        for entry in consortium.parties["site-1"].parts.ledger.entries()
        if entry.draw is not None
    ]
    assert draws == [(0, 1), (1, 1), (1, 2), (2, 2)]


def test_without_leaving_it_out_it_spoils_every_attempt(make_consortium: Make) -> None:
    consortium = make_consortium(private_mechanism())
    for attempt in (1, 2):
        run = consortium.run(attempt=attempt).until(Phase.SHARE)
        run.exchange(on_reply=deals_garbage(consortium))
        run.exchange()
        with pytest.raises(CulpritError):
            run.exchange()


def test_a_dealer_of_another_secret_is_named_though_its_shares_open(make_consortium: Make) -> None:
    run = make_consortium(private_mechanism()).run().until(Phase.SHARE)
    run.exchange(on_reply=deals_another_secret(run))
    run.exchange()
    assert accusations(run) == dict.fromkeys(run.consortium.names, ())

    with pytest.raises(CulpritError, match="site-2 dealt wrong shares; go on without it") as caught:
        run.exchange()

    assert caught.value.culprit == LIAR


def test_without_noise_a_sum_that_the_culprit_is_in_is_not_opened_without_it(
    consortium: Consortium,
) -> None:
    """The others released shares for a list with it: two sums could differ by its update alone."""
    run = consortium.run().until(Phase.SHARE)
    run.exchange(on_reply=deals_garbage(consortium))
    run.exchange()
    with pytest.raises(CulpritError):
        run.exchange()
    # It is here again where it is not left out; then the list of the first attempt stands.
    second = consortium.run(attempt=2, left_out=frozenset({LIAR}))
    second.exchange()

    with pytest.raises(PeerError, match=f"{LIAR} did not come back"):
        second.exchange()

    third = consortium.run(attempt=3).until(Phase.OPEN, 1)
    assert third.sum.survivors == consortium.names


# -- accusations that are false, or not enough -------------------------------------------------


def test_a_dealer_accused_by_one_site_is_not_named(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.OPEN)

    run.exchange(on_reply=accuses("site-1"))
    run.exchange(on_reply=changed_release(without_share_of("site-1")))

    assert run.sum.survivors == consortium.names
    assert dict(run.step.refused) == {}
    assert accusations(run)[LIAR] == ("site-1",)


@pytest.mark.parametrize(
    "said",
    [("site-1",), ("site-1", "site-1", "site-1"), ("site-1", "site-3", "site-4", "site-9")],
)
def test_one_accuser_and_one_drop_out_frame_nobody(
    consortium: Consortium, said: tuple[str, ...]
) -> None:
    """A name written several times is one site's word; one may be corrupted among four."""
    run = consortium.run().until(Phase.OPEN)
    run.exchange(on_reply=accuses(*said))

    with pytest.raises(PeerError, match="2 shares of site-1's self-mask seed") as caught:
        run.exchange(absent=["site-4"], on_reply=changed_release(without_share_of("site-1")))

    assert not isinstance(caught.value, CulpritError)


def test_an_accusation_stops_no_sum_that_opens(consortium: Consortium) -> None:
    """However many accuse: with shares enough the sum is opened, and whoever accused is wrong."""
    run = consortium.run().until(Phase.OPEN)

    def all_accuse(name: str, reply: bytes) -> bytes:
        return accuses("site-1", by=name)(name, reply)

    run.exchange(on_reply=all_accuse)
    run.exchange()

    assert run.sum.survivors == consortium.names


def test_a_bundle_that_the_coordinator_alters_is_noted_and_costs_nothing(
    consortium: Consortium,
) -> None:
    run = consortium.run().until(Phase.OPEN)

    def in_transit(name: str, request: bytes) -> bytes:
        if name != "site-1":
            return request
        whole = opened_as(OpenRequest, request)
        return encode(
            replace(whole, inbox={**whole.inbox, "site-3": altered(whole.inbox["site-3"])})
        )

    run.exchange(on_request=in_transit)
    run.exchange()

    assert run.sum.survivors == consortium.names
    assert accusations(run) == {"site-1": ("site-3",), LIAR: (), "site-3": (), "site-4": ()}
    (note,) = consortium.parties["site-1"].notes
    assert note == (
        "round 0: the shares of site-3 for this site did not open; they dealt something else, or "
        "the coordinator altered it"
    )


def test_so_many_altered_bundles_that_no_sum_could_be_opened_mask_nothing(
    consortium: Consortium,
) -> None:
    run = consortium.run().until(Phase.OPEN)

    def in_transit(name: str, request: bytes) -> bytes:
        if name != "site-1":
            return request
        whole = opened_as(OpenRequest, request)
        bad = {site: altered(data) if site != LIAR else data for site, data in whole.inbox.items()}
        return encode(replace(whole, inbox=bad))

    run.exchange(on_request=in_transit)

    party = consortium.parties["site-1"]
    assert run.step.refused == {"site-1": RefusalCode.PROTOCOL}
    assert "The shares of site-3, site-4 for site-1 do not open" in party.notes[-1]
    assert party.workbench.trained == []


# -- a wrong share at the end ------------------------------------------------------------------


def _another_value(release: Release) -> Release:
    first = release.shares[0]
    value = (int.from_bytes(first.share) + 1) % PRIME
    return replace(
        release,
        shares=(replace(first, share=value.to_bytes(len(first.share))), *release.shares[1:]),
    )


@pytest.mark.parametrize("adversary", ["semi-honest", "malicious"])
def test_a_wrong_share_is_named_and_the_sum_opened_from_the_rest(
    make_consortium: Make, adversary: str
) -> None:
    consortium = make_consortium(mechanism_of(adversary=adversary))
    run = consortium.run().until(Phase.CLOSE)
    replies = run.ask()
    wrong = changed_release(_another_value)(LIAR, replies[LIAR])
    release = decode(Release, opened_as(CloseReply, wrong).release, limit_bytes=LIMIT_BYTES)
    with pytest.raises(CulpritError, match="site-2 released another share of site-1's") as caught:
        run.coordinator._sums.check_release(release)  # type: ignore[union-attr]

    run.advance({**replies, LIAR: wrong})

    assert caught.value.culprit == LIAR
    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}
    assert run.sum.survivors == consortium.names
    assert run.finish().sum.survivors == HONEST


# -- garbage in a masked upload ----------------------------------------------------------------


@pytest.mark.parametrize("bits", [24, 32])
@pytest.mark.parametrize("adversary", ["semi-honest", "malicious"])
def test_a_garbage_upload_discards_the_round_and_is_charged(
    make_consortium: Make, adversary: str, bits: int
) -> None:
    """Nobody can be named: the sum is all that there is. The next attempt charges again."""
    consortium = make_consortium(private_mechanism(adversary=adversary, encoding__bits=bits))
    run = consortium.run().until(Phase.OPEN)

    def garbage(name: str, reply: bytes) -> bytes:
        if name != LIAR:
            return reply
        whole = opened_as(OpenReply, reply)
        vector = np.random.default_rng(1).bytes(len(whole.vector))
        uploaded = resigned(whole.uploaded, Uploaded, vector_digest=sha256(vector))
        return encode(replace(whole, vector=vector, uploaded=uploaded))

    run.exchange(on_reply=garbage)
    run.until(Phase.CLOSE)
    with pytest.raises(PeerError, match="The round is discarded") as caught:
        run.exchange()
    assert run.opened == []
    assert not isinstance(caught.value, CulpritError)

    second = consortium.run(attempt=2).until(Phase.OPEN, 1)
    assert second.sum.survivors == consortium.names
    draws = [
        (entry.draw.round, entry.draw.attempt)
        for entry in consortium.parties["site-1"].parts.ledger.entries()
        if entry.draw is not None
    ]
    assert draws == [(0, 1), (0, 2)]
