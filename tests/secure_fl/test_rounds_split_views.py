"""A coordinator that tells sites different things: nothing opens over fewer than it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace
from round_lies import (
    Watched,
    by_coordinator,
    changed_header,
    other_parameters,
    request_for,
)
from round_simulator import (
    RUN_ID,
    SPEC,
    expected_parameters,
    mechanism_of,
    opened_as,
    private_mechanism,
)

from crypto.codec import decode, encode
from crypto.errors import PeerError
from crypto.masked_sum import Release
from crypto.merkle import EMPTY_ROOT
from privacy.fixed_point import Grid
from secure_fl.parameters import vector_to_bytes
from secure_fl.rounds.grids import grid_of
from secure_fl.rounds.messages import (
    CloseReply,
    CloseRequest,
    OpenReply,
    OpenRequest,
    RoundClose,
    RoundHeader,
)
from secure_fl.rounds.reading import statement_digest
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from round_simulator import Consortium, Run

    Make = Callable[..., Consortium]

ZEROS = bytes(32)
LIMIT = 1 << 24


# -- two sums that differ by one update --------------------------------------------------------


def _opened_by_three_then_given_up(consortium: Consortium) -> None:
    """Round 0 lost site-4 before its upload; the others released, and nothing was kept."""
    run = consortium.run().until(Phase.OPEN)
    run.exchange(absent=["site-4"])
    run.ask()


def test_without_noise_a_round_is_not_opened_again_for_other_survivors(
    consortium: Consortium,
) -> None:
    _opened_by_three_then_given_up(consortium)
    consortium.transcript = consortium.new_transcript()  # a coordinator that hides its close
    for party in consortium.parties.values():
        party.store.save(
            RUN_ID, replace(party.state(), checkpoint_size=0, checkpoint_root=EMPTY_ROOT)
        )
    run = consortium.run(attempt=2).until(Phase.CLOSE)

    Watched(consortium).refuses(request_for(run), "the two sums differ by single updates")


def test_without_that_check_one_update_would_be_known(
    consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the refusal prevents: the difference of two sums is the update of the absent site."""
    monkeypatch.setattr("secure_fl.rounds.site_checks._hides_single_updates", lambda _: False)
    monkeypatch.setattr(
        "secure_fl.rounds.coordinator.repeatable_cohort", lambda _leaves, _round, senders: senders
    )
    first = consortium.run().until(Phase.OPEN)
    first.exchange(absent=["site-4"])
    first.exchange()
    second = consortium.run(attempt=2).until(Phase.OPEN, 1)

    three = (first.sum.parameters.astype(np.float64) - consortium.start) * 3
    four = (second.sum.parameters.astype(np.float64) - consortium.start) * 4
    known = np.rint((four - three) / Grid(4.0, 4).step)
    plaintext = consortium.parties["site-4"].site.plaintexts[0].view(np.int32)
    step = Grid(4.0, 4).step
    np.testing.assert_allclose(known * step, plaintext * step, atol=1e-6)


def test_without_noise_a_round_is_opened_again_for_the_same_survivors(
    consortium: Consortium,
) -> None:
    _opened_by_three_then_given_up(consortium)

    run = consortium.run(attempt=2).finish()

    survivors = ("site-1", "site-2", "site-3")
    assert run.opened[0].survivors == survivors
    expected = expected_parameters(consortium, consortium.start, 0, survivors)
    assert run.opened[0].parameters.tobytes() == expected.tobytes()


def test_without_noise_a_round_waits_for_the_survivors_that_it_was_closed_for(
    consortium: Consortium,
) -> None:
    _opened_by_three_then_given_up(consortium)
    run = consortium.run(attempt=2)
    run.exchange(absent=["site-2"])

    with pytest.raises(PeerError, match="site-2 did not come back"):
        run.exchange()


def test_without_noise_a_round_is_not_repeated_over_other_parameters(
    consortium: Consortium,
) -> None:
    consortium.run().until(Phase.CLOSE).ask()
    again = consortium.run(attempt=2, parameters=consortium.start * np.float32(1.5))
    again.until(Phase.OPEN)

    Watched(consortium).refuses(request_for(again), "without noise, the two sums differ")


def test_without_noise_parameters_are_not_used_again_in_a_later_round(
    consortium: Consortium,
) -> None:
    run = consortium.run().until(Phase.OPEN, 1)
    raw = vector_to_bytes(consortium.start)
    request = other_parameters(request_for(run), raw)
    whole = decode(RoundHeader, opened_as(OpenRequest, request).header.body, limit_bytes=LIMIT)
    fewer = changed_header(request, cohort=whole.cohort[:3])

    Watched(consortium).refuses(fewer, "without noise, the two sums differ")


def test_with_noise_a_round_is_repeated_and_charged_again(make_consortium: Make) -> None:
    consortium = make_consortium(private_mechanism())
    ledger = consortium.parties["site-1"].parts.ledger
    _opened_by_three_then_given_up(consortium)
    before = ledger.spent("records", 1e-5)

    run = consortium.run(attempt=2).until(Phase.OPEN, 1)

    assert run.sum.survivors == consortium.names
    assert ledger.spent("records", 1e-5) > before


# -- different words to different sites --------------------------------------------------------


def _opened_by_a_liar(run: Run, lie: Callable[[bytes], bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Send site-2 another header, take every upload, and open what can be opened.

    Returns:
        The ring vector that comes out, and the true sum of the plaintexts.
    """
    requests = dict(run.step.exchange.requests)  # type: ignore[union-attr]
    requests["site-2"] = lie(requests["site-2"])
    parties = run.consortium.parties
    sums = run.coordinator._sums
    survivors = []
    for name in sorted(requests):
        reply = opened_as(OpenReply, parties[name].site.handle(requests[name]))
        sums.add(name, reply.vector)
        survivors.append(name)
    releases = {}
    for name, request in requests.items():
        header = opened_as(OpenRequest, request).header
        body = decode(RoundHeader, header.body, limit_bytes=LIMIT)
        close = RoundClose(body.session, body.round, statement_digest(header), tuple(survivors), 3)
        request_ = CloseRequest(
            run_id=RUN_ID, close=by_coordinator(close), confirmations=(), next_keys=()
        )
        reply = parties[name].site.handle(encode(request_))
        releases[name] = decode(Release, opened_as(CloseReply, reply).release, limit_bytes=LIMIT)
    total = np.zeros(SPEC.size, np.uint32)
    for name in survivors:
        total += parties[name].site.plaintexts[0]
    return sums.unmask(releases), total  # type: ignore[union-attr]


def _one_round(make_consortium: Make) -> Run:
    return make_consortium(mechanism_of(training__rounds=1)).run().until(Phase.OPEN)


def test_masks_cancel_when_all_sites_were_told_the_same(make_consortium: Make) -> None:
    opened, total = _opened_by_a_liar(_one_round(make_consortium), lambda request: request)

    np.testing.assert_array_equal(opened, total)


def test_masks_do_not_cancel_over_different_parameters(make_consortium: Make) -> None:
    run = _one_round(make_consortium)
    other = vector_to_bytes(run.consortium.start * np.float32(1.5))

    opened, total = _opened_by_a_liar(run, lambda request: other_parameters(request, other))

    assert (opened != total).all()
    with pytest.raises(PeerError, match="honest sites cannot reach"):
        grid_of(run.consortium.mechanism).decode_sum(opened, 4)


def test_masks_do_not_cancel_under_different_headers(make_consortium: Make) -> None:
    run = _one_round(make_consortium)

    def another_log(request: bytes) -> bytes:
        whole = opened_as(OpenRequest, request)
        # Another log that holds the site's statements too: its root is in the header.
        transcript = run.consortium.new_transcript()
        transcript.restore(run.consortium.transcript.leaves[:-1])
        mine = run.consortium.parties["site-2"].state().pending
        transcript.append(by_coordinator(RoundClose(ZEROS, 9, ZEROS, ("x", "y"), 2)))
        split = changed_header(
            request, checkpoint_size=transcript.size, checkpoint_root=transcript.root()
        )
        return encode(
            replace(
                opened_as(OpenRequest, split),
                checkpoint=transcript.checkpoint(),
                proof=transcript.proof(mine, 0),
                parameters=whole.parameters,
            )
        )

    opened, total = _opened_by_a_liar(run, another_log)

    assert (opened != total).all()


def test_masks_do_not_cancel_for_different_cohorts(make_consortium: Make) -> None:
    run = _one_round(make_consortium)

    def smaller(request: bytes) -> bytes:
        whole = opened_as(
            OpenRequest, changed_header(request, cohort=("site-1", "site-2", "site-3"))
        )
        inbox = {name: share for name, share in whole.inbox.items() if name != "site-4"}
        return encode(replace(whole, inbox=inbox))

    requests = dict(run.step.exchange.requests)  # type: ignore[union-attr]
    parties = run.consortium.parties
    requests["site-2"] = smaller(requests["site-2"])
    total = np.zeros(SPEC.size, np.uint32)
    masked = np.zeros(SPEC.size, np.uint32)
    for name in sorted(requests):
        reply = opened_as(OpenReply, parties[name].site.handle(requests[name]))
        masked += np.frombuffer(reply.vector, "<u4")
        total += parties[name].site.plaintexts[0]

    assert (masked != total).all()
    # No list of survivors that both kinds of site accept has site-4 in it.
    header = opened_as(OpenRequest, requests["site-2"]).header
    session = decode(RoundHeader, header.body, limit_bytes=LIMIT).session
    close = RoundClose(session, 0, statement_digest(header), run.consortium.names, 3)
    request_ = CloseRequest(
        run_id=RUN_ID, close=by_coordinator(close), confirmations=(), next_keys=()
    )
    Watched(run.consortium, "site-2").refuses(encode(request_), "site-4 cannot have survived")
