"""Lies in homomorphic rounds: which are found, by whom, and which one is not."""

from __future__ import annotations

from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from homomorphic_lies import (
    CKKS,
    HONEST,
    LIAR,
    LIMIT,
    MAKER,
    PLAN,
    ZEROS,
    begun,
    closing,
    only,
    relabelled,
    signed_by,
    summed,
    terms_of,
    uploads_of,
    with_sum,
)
from msgspec.structs import replace
from round_lies import Watched, changed_close, changed_header, other_parameters, request_for
from round_simulator import (
    RUN_ID,
    SPEC,
    code_of,
    expected_parameters,
    key_of,
    opened_as,
)

from crypto.codec import decode, encode
from crypto.digests import sha256
from crypto.errors import IntegrityError, PeerError
from crypto.homomorphic import (
    HomomorphicSite,
    SumKey,
    public_context,
)
from crypto.homomorphic_keys import ChannelKeys
from crypto.homomorphic_messages import UploadBlock
from crypto.masked_sum import CulpritError
from crypto.signatures import Signed, sign_message
from secure_fl.parameters import parameter_digest, vector_to_bytes
from secure_fl.rounds.messages import (
    Applied,
    CloseReply,
    CloseRequest,
    EncryptedBlocks,
    HelloReply,
    KeyMade,
    OpenReply,
    OpenRequest,
    RefusalCode,
    RoundHeader,
    ShareReply,
    ShareRequest,
    SharesSent,
    Uploaded,
)
from secure_fl.rounds.reading import session_of, shares_digest
from secure_fl.rounds.steps import Phase
from secure_fl.transcript_check import read_transcript

if TYPE_CHECKING:
    from collections.abc import Callable

    from round_simulator import Consortium, Run

    Make = Callable[..., Consortium]
    Lie = Callable[[bytes], bytes]

# -- the key -----------------------------------------------------------------------------------


def _flipped_seal(request: bytes) -> bytes:
    whole = opened_as(OpenRequest, request)
    sealed = bytearray(whole.inbox[MAKER])
    sealed[-40] ^= 1
    return encode(replace(whole, inbox={MAKER: bytes(sealed)}))


def _no_key(request: bytes) -> bytes:
    return encode(replace(opened_as(OpenRequest, request), inbox={}))


def _from_another(request: bytes) -> bytes:
    whole = opened_as(OpenRequest, request)
    return encode(replace(whole, inbox={"site-3": whole.inbox[MAKER]}))


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (_flipped_seal, "does not open"),
        (_no_key, "has to come from site-1"),
        (_from_another, "has to come from site-1"),
        (lambda request: changed_header(request, sum_key=ZEROS), "does not open"),
        (lambda request: changed_header(request, sum_key=None), "none where one is due"),
    ],
    ids=["altered", "withheld", "another maker", "another key named", "none named"],
)
def test_a_site_without_the_headers_key_trains_nothing(
    make_consortium: Make, lie: Lie, words: str
) -> None:
    run = begun(make_consortium, Phase.OPEN)
    Watched(run.consortium, LIAR).refuses(lie(request_for(run, LIAR)), words)

    run.exchange(on_request=only(LIAR, lie))
    run.finish()
    assert [opened.survivors for opened in run.opened] == [HONEST] * 3


def test_a_second_key_is_not_taken(make_consortium: Make) -> None:
    run = begun(make_consortium, Phase.OPEN)
    inbox = opened_as(OpenRequest, request_for(run, LIAR)).inbox
    run.until(Phase.OPEN, 1)
    again = encode(replace(opened_as(OpenRequest, request_for(run, LIAR)), inbox=inbox))
    Watched(run.consortium, LIAR).refuses(again, "A key came where this site holds one")
    renamed = changed_header(request_for(run, LIAR), sum_key=ZEROS)
    Watched(run.consortium, LIAR).refuses(renamed, "another key than the one this site holds")


def test_a_site_told_of_other_announcements_makes_a_key_that_nobody_takes(
    make_consortium: Make,
) -> None:
    """The coordinator leaves the first site out of what it tells the second."""
    run = begun(make_consortium, Phase.SHARE)

    def without_the_maker(request: bytes) -> bytes:
        whole = opened_as(ShareRequest, request)
        keys = tuple(signed for signed in whole.keys if signed.signer != MAKER)
        return encode(replace(whole, keys=keys))

    run.exchange(on_request=only(LIAR, without_the_maker))
    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}
    run.finish()
    assert [opened.survivors for opened in run.opened] == [HONEST] * 3


def test_a_coordinator_cannot_hand_out_a_key_of_its_own(make_consortium: Make) -> None:
    """It would have to announce channel keys in a site's name."""
    run = begun(make_consortium, Phase.SHARE)

    def forged(request: bytes) -> bytes:
        whole = opened_as(ShareRequest, request)
        keys = decode(ChannelKeys, whole.keys[0].body, limit_bytes=LIMIT)
        other = replace(keys, channel=bytes([9]) + bytes(31))
        fake = sign_message(key_of("coordinator"), MAKER, other)
        return encode(replace(whole, keys=(fake, *whole.keys[1:])))

    Watched(run.consortium, LIAR).refuses(forged(request_for(run, LIAR)), "signature")


@pytest.mark.parametrize("changes", [{"site": "site-3"}, {"session": ZEROS}, {"channel": ZEROS}])
def test_announced_keys_that_cannot_be_right_drop_their_site(
    make_consortium: Make, changes: dict[str, Any]
) -> None:
    run = begun(make_consortium, Phase.HELLO)

    def lie(reply: bytes) -> bytes:
        whole = opened_as(HelloReply, reply)
        assert whole.keys is not None
        return encode(replace(whole, keys=signed_by(LIAR, whole.keys, ChannelKeys, **changes)))

    run.exchange(on_reply=only(LIAR, lie))
    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}
    run.finish()
    assert [opened.survivors for opened in run.opened] == [HONEST] * 3


def _as_maker(**changes: Any) -> Lie:  # noqa: ANN401 - a field's value
    def lie(reply: bytes) -> bytes:
        whole = opened_as(ShareReply, reply)
        return encode(replace(whole, sent=signed_by(MAKER, whole.sent, KeyMade, **changes)))

    return lie


def _sealed_to_two(reply: bytes) -> bytes:
    whole = opened_as(ShareReply, reply)
    fewer = {site: whole.shares[site] for site in ("site-2", "site-3")}
    sent = signed_by(MAKER, whole.sent, KeyMade, shares_digest=shares_digest(fewer))
    return encode(replace(whole, sent=sent, shares=fewer))


@pytest.mark.parametrize(
    "lie",
    [
        _as_maker(context=public_context(CKKS)),
        _as_maker(context=b"nonsense"),
        _as_maker(shares_digest=ZEROS),
        _as_maker(round=1),
        _sealed_to_two,
    ],
    ids=["other parameters", "nonsense", "another digest", "another round", "one left out"],
)
def test_a_maker_that_lies_to_the_coordinator_opens_no_round(
    make_consortium: Make, lie: Lie
) -> None:
    run = begun(make_consortium, Phase.SHARE)
    with pytest.raises(PeerError, match="site-1 was to make the key of the sum and did not"):
        run.exchange(on_reply=only(MAKER, lie))


def test_a_site_that_deals_where_one_makes_the_key_is_dropped(make_consortium: Make) -> None:
    run = begun(make_consortium, Phase.SHARE)

    def lie(reply: bytes) -> bytes:
        whole = opened_as(ShareReply, reply)
        shares = {"site-3": b"a key of my own"}
        sent = signed_by(LIAR, whole.sent, SharesSent, shares_digest=shares_digest(shares))
        return encode(replace(whole, sent=sent, shares=shares))

    run.exchange(on_reply=only(LIAR, lie))
    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}


# -- uploads -----------------------------------------------------------------------------------


def _upload(change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]) -> Lie:
    """The liar's own upload, changed, and signed as it must be."""

    def lie(reply: bytes) -> bytes:
        whole = opened_as(OpenReply, reply)
        vector = encode(EncryptedBlocks(change(opened_as(EncryptedBlocks, whole.vector).blocks)))
        return signed_upload(whole, vector)

    return lie


def signed_upload(whole: OpenReply, vector: bytes) -> bytes:
    uploaded = signed_by(LIAR, whole.uploaded, Uploaded, vector_digest=sha256(vector))
    return encode(replace(whole, uploaded=uploaded, vector=vector))


@pytest.mark.parametrize(
    "lie",
    [
        _upload(lambda _: ()),
        _upload(lambda blocks: blocks * 2),
        _upload(lambda blocks: (blocks[0][:-1],)),
        lambda reply: signed_upload(opened_as(OpenReply, reply), b"nonsense"),
        lambda reply: signed_upload(opened_as(OpenReply, reply), bytes(1 << 20)),
        lambda reply: encode(replace(opened_as(OpenReply, reply), vector=b"not the signed one")),
    ],
    ids=["none", "twice", "cut", "nonsense", "too long", "unsigned"],
)
def test_an_upload_that_is_none_drops_its_site(make_consortium: Make, lie: Lie) -> None:
    run = begun(make_consortium, Phase.OPEN, training__rounds=1)
    run.exchange(on_reply=only(LIAR, lie))
    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}
    assert run.finish().sum.survivors == HONEST


def test_a_ciphertext_under_another_key_costs_the_round_and_no_site_applies_it(
    make_consortium: Make,
) -> None:
    """It looks like any other, every site finds it, and nobody can tell whose it was."""
    run = begun(make_consortium, Phase.OPEN)
    before = run.consortium.start
    other = SumKey.generate(PLAN)

    def garbage(blocks: tuple[bytes, ...]) -> tuple[bytes, ...]:
        terms, binding = terms_of(run)
        liar = HomomorphicSite(LIAR, replaced(terms, key=other.digest), other, first_round=0)
        made = list(liar.encrypt(binding, np.zeros(PLAN.values, np.int64)))
        assert len(made) == len(blocks)
        read = [decode(UploadBlock, block, limit_bytes=LIMIT) for block in made]
        return tuple(encode(replace(block, binding=terms.bind(binding))) for block in read)

    run.exchange(on_reply=only(LIAR, _upload(garbage)))
    assert run.step.refused == {}
    with pytest.raises(PeerError, match="Only 0 of 4 sites decrypted the sum"):
        run.exchange()
    for party in run.consortium.parties.values():
        assert "what its sites can reach" in party.notes[-1]
    again = run.consortium.run(attempt=2, parameters=before).finish()
    assert [opened.survivors for opened in again.opened] == [run.consortium.names] * 3


@pytest.mark.parametrize("stolen", ["its own of the last round", "another site's"])
def test_blocks_of_another_site_or_round_are_not_added(make_consortium: Make, stolen: str) -> None:
    run, uploads = closing(make_consortium)
    run.until(Phase.OPEN, 1)
    theirs = uploads[LIAR] if stolen.startswith("its own") else uploads_of(run)["site-3"]

    run.exchange(
        on_reply=only(LIAR, lambda reply: signed_upload(opened_as(OpenReply, reply), theirs))
    )

    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}
    assert run.finish().sum.survivors == HONEST


# -- the sum -----------------------------------------------------------------------------------


def test_one_site_that_is_handed_another_sum_is_found_and_named(make_consortium: Make) -> None:
    """Its bytes pass every check of a sum: only the others' word shows that they are none."""
    run, uploads = closing(make_consortium)
    true = opened_as(CloseRequest, request_for(run, LIAR)).sum
    assert true == summed(run, uploads, run.consortium.names), "the tests' adder adds as it does"

    forged = relabelled(run, uploads["site-3"])
    with pytest.raises(CulpritError, match="do not agree on the parameters after round 0") as found:
        run.exchange(on_request=only(LIAR, lambda request: with_sum(request, forged)))
    assert found.value.culprit == LIAR
    assert run.opened == []


def test_two_sites_against_two_end_the_round_without_a_culprit(make_consortium: Make) -> None:
    run, uploads = closing(make_consortium)
    forged = relabelled(run, uploads["site-3"])

    def lie(name: str, request: bytes) -> bytes:
        return with_sum(request, forged) if name in {"site-3", "site-4"} else request

    with pytest.raises(PeerError, match="site-3, site-4 decrypted another sum") as found:
        run.exchange(on_request=lie)
    assert not isinstance(found.value, CulpritError)


def test_what_nobody_finds_one_ciphertext_handed_to_all_is_read_as_the_sum(
    make_consortium: Make,
) -> None:
    """Why an adversary that is malicious is refused: all sites apply one site's update."""
    run, uploads = closing(make_consortium)
    forged = relabelled(run, uploads["site-3"])

    run.exchange(on_request=lambda _, request: with_sum(request, forged))

    consortium = run.consortium
    alone = expected_parameters(consortium, consortium.start, 0, ["site-3"])
    update = alone.astype(np.float64) - consortium.start
    read = (run.sum.parameters.astype(np.float64) - consortium.start) * 4
    np.testing.assert_allclose(read, update, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: b"", "EncryptedBlocks"),
        (lambda _: b"nonsense", "EncryptedBlocks"),
        (lambda _: encode(EncryptedBlocks(())), "ended after 0 of 1 blocks"),
        (lambda blocks: encode(EncryptedBlocks(blocks * 2)), "more than 1 blocks"),
        (lambda _: bytes(1 << 20), "exceeds the limit"),
    ],
    ids=["none", "nonsense", "no blocks", "too many", "too long"],
)
def test_a_sum_that_is_none_is_refused(
    make_consortium: Make, change: Callable[[tuple[bytes, ...]], bytes], words: str
) -> None:
    run, _ = closing(make_consortium)
    request = request_for(run, LIAR)
    blocks = opened_as(EncryptedBlocks, opened_as(CloseRequest, request).sum).blocks
    party = run.consortium.parties[LIAR]
    assert code_of(party.site.handle(with_sum(request, change(blocks)))) == "protocol"
    assert words in party.notes[-1]


def test_a_sum_altered_on_the_way_is_not_counted_as_decrypted(make_consortium: Make) -> None:
    """Else whoever stands between could let a site state another result, and have it blamed."""
    run, uploads = closing(make_consortium)
    whole = opened_as(CloseRequest, request_for(run, LIAR))
    forged = encode(replace(whole, sum=relabelled(run, uploads["site-3"])))
    Watched(run.consortium, LIAR).refuses(forged, "not the one that the close was signed for")
    unnamed = changed_close(request_for(run, LIAR), sum_digest=None)
    Watched(run.consortium, LIAR).refuses(unnamed, "none where one is due")
    assert [opened.survivors for opened in run.finish().opened] == [run.consortium.names] * 3


def test_a_sum_over_other_survivors_than_named_is_refused(make_consortium: Make) -> None:
    run, uploads = closing(make_consortium)
    party = run.consortium.parties[LIAR]
    lied = with_sum(request_for(run, LIAR), summed(run, uploads, HONEST))
    assert code_of(party.site.handle(lied)) == "protocol"
    assert "another one" in party.notes[-1]


def test_other_survivors_than_were_summed_are_refused(make_consortium: Make) -> None:
    run, _ = closing(make_consortium)
    fewer = changed_close(request_for(run, LIAR), survivors=("site-1", "site-2", "site-3"))
    party = run.consortium.parties[LIAR]
    assert code_of(party.site.handle(fewer)) == "protocol"
    assert "another one" in party.notes[-1]


def test_a_sum_of_an_earlier_round_is_refused(make_consortium: Make) -> None:
    run, _ = closing(make_consortium)
    earlier = opened_as(CloseRequest, request_for(run, LIAR)).sum
    run.until(Phase.CLOSE, 1)
    party = run.consortium.parties[LIAR]
    assert code_of(party.site.handle(with_sum(request_for(run, LIAR), earlier))) == "protocol"
    assert "another one" in party.notes[-1]


def test_a_round_is_decrypted_for_one_request_also_when_that_failed(
    make_consortium: Make,
) -> None:
    """Else a coordinator could alter a sum until a site accepts it, and learn from each answer."""
    run, uploads = closing(make_consortium)
    good = request_for(run, LIAR)
    party = run.consortium.parties[LIAR]
    bad = with_sum(good, summed(run, uploads, HONEST))
    assert code_of(party.site.handle(bad)) == "protocol"
    party.restart()
    for request in (good, with_sum(good, b"another")):
        assert code_of(party.site.handle(request)) == "protocol"
        assert "was decrypted for another request before" in party.notes[-1]
    assert code_of(party.site.handle(bad)) == "protocol"
    assert "another one" in party.notes[-1], "the same question has the same answer"
    run.finish()
    assert [opened.survivors for opened in run.opened] == [run.consortium.names, HONEST, HONEST]


def test_a_next_round_over_other_parameters_than_the_sites_came_to_is_refused(
    make_consortium: Make,
) -> None:
    run = begun(make_consortium, Phase.OPEN, 1)
    lie = other_parameters(request_for(run, LIAR), vector_to_bytes(run.consortium.start))
    Watched(run.consortium, LIAR).refuses(lie, "over other parameters than those this site came to")


# -- what a site states ------------------------------------------------------------------------


def _applied(**changes: Any) -> Lie:  # noqa: ANN401 - a field's value
    def lie(reply: bytes) -> bytes:
        whole = opened_as(CloseReply, reply)
        return encode(replace(whole, released=signed_by(LIAR, whole.released, Applied, **changes)))

    return lie


@pytest.mark.parametrize(
    "lie",
    [
        _applied(parameter_digest=ZEROS),
        _applied(survivors=HONEST),
        _applied(round=1),
        _applied(header_digest=ZEROS),
        _applied(session=ZEROS),
        lambda reply: encode(replace(opened_as(CloseReply, reply), release=bytes(44))),
        lambda reply: encode(replace(opened_as(CloseReply, reply), release=b"")),
    ],
    ids=["digest", "survivors", "round", "header", "session", "parameters", "none"],
)
def test_a_statement_that_does_not_fit_drops_its_site(make_consortium: Make, lie: Lie) -> None:
    run = begun(make_consortium, Phase.CLOSE)
    run.exchange(on_reply=only(LIAR, lie))
    assert run.step.refused == {LIAR: RefusalCode.PROTOCOL}
    run.finish()
    assert [opened.survivors for opened in run.opened] == [run.consortium.names, HONEST, HONEST]


def test_other_parameters_under_a_fitting_digest_end_the_round(make_consortium: Make) -> None:
    run = begun(make_consortium, Phase.CLOSE)
    other = vector_to_bytes(run.consortium.start)

    def lie(reply: bytes) -> bytes:
        whole = opened_as(CloseReply, reply)
        released = signed_by(
            LIAR, whole.released, Applied, parameter_digest=parameter_digest(SPEC, other)
        )
        return encode(replace(whole, released=released, release=other))

    with pytest.raises(CulpritError, match="site-2 decrypted another sum or came to") as found:
        run.exchange(on_reply=only(LIAR, lie))
    assert found.value.culprit == LIAR
    # Without noise only the same sites may try the round again, and the liar may have recovered.
    again = run.consortium.run(attempt=2).finish()
    assert [opened.survivors for opened in again.opened] == [run.consortium.names] * 3


# -- the log -----------------------------------------------------------------------------------


def _leaves(run: Run) -> list[Signed]:
    leaves = run.consortium.transcript.leaves
    return [decode(Signed, leaf, limit_bytes=LIMIT) for leaf in leaves]


def _read(run: Run, statements: list[Signed]) -> None:
    consortium = run.consortium
    leaves = [encode(signed) for signed in statements]
    read_transcript(leaves, consortium.roster, consortium.mechanism, RUN_ID)


def _last(statements: list[Signed], label: str) -> int:
    return max(
        place for place, signed in enumerate(statements) if signed.label.endswith(f"{label}.v1")
    )


def test_a_log_in_which_sites_disagree_shows_no_such_round(make_consortium: Make) -> None:
    run = begun(make_consortium, Phase.HELLO).finish()
    statements = _leaves(run)
    _read(run, statements)

    place = _last(statements, "applied")
    site = statements[place].signer
    for field in ("sum_digest", "parameter_digest"):
        changed = signed_by(site, statements[place], Applied, **{field: ZEROS})
        with pytest.raises(IntegrityError, match="does not show that round 3 was opened"):
            _read(run, [*statements[:place], changed, *statements[place + 1 :]])


def test_a_log_with_two_keys_in_a_session_or_another_key_in_a_header_is_refused(
    make_consortium: Make,
) -> None:
    run = begun(make_consortium, Phase.HELLO).finish()
    statements = _leaves(run)
    place = _last(statements, "key-made")
    with pytest.raises(IntegrityError, match="second key of one session"):
        _read(run, [*statements[: place + 1], statements[place], *statements[place + 1 :]])
    other = signed_by(MAKER, statements[place], KeyMade, key=ZEROS)
    with pytest.raises(IntegrityError, match="names another key"):
        _read(run, [*statements[:place], other, *statements[place + 1 :]])


def test_a_log_whose_rounds_do_not_follow_from_one_another_is_refused(
    make_consortium: Make,
) -> None:
    run = begun(make_consortium, Phase.HELLO).finish()
    statements = _leaves(run)
    headers = [p for p, signed in enumerate(statements) if "round-header" in signed.label]
    other = signed_by("coordinator", statements[headers[1]], RoundHeader, parameter_digest=ZEROS)
    with pytest.raises(IntegrityError, match="begins from other parameters than those the sites"):
        _read(run, [*statements[: headers[1]], other, *statements[headers[1] + 1 :]])


def test_the_sessions_key_is_bound_to_its_session(make_consortium: Make) -> None:
    run = begun(make_consortium, Phase.OPEN)
    first = session_of(run.consortium.parties[MAKER].state().hello).digest()
    again = run.consortium.run(attempt=2).until(Phase.OPEN)
    second = session_of(run.consortium.parties[MAKER].state().hello).digest()
    assert first != second
    replayed = opened_as(OpenRequest, request_for(run, LIAR)).inbox
    mixed = encode(replace(opened_as(OpenRequest, request_for(again, LIAR)), inbox=replayed))
    Watched(run.consortium, LIAR).refuses(mixed, "does not open")
