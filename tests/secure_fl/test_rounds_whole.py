"""Whole runs: what comes out, in how many exchanges, and what drop-outs change."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from round_simulator import (
    RUN_ID,
    SPEC,
    code_of,
    expected_parameters,
    mechanism_of,
    private_mechanism,
    update_of,
)

from crypto.errors import ConfigError, PeerError
from privacy.events import NoGuarantee, SubsampledGaussian
from privacy.fixed_point import Grid
from secure_fl.rounds.site_state import Stage
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from round_simulator import Consortium, Run

    Make = Callable[..., Consortium]


def test_a_masked_run_is_the_plaintext_sum_to_the_last_bit(consortium: Consortium) -> None:
    run = consortium.run().finish()

    shared = consortium.start
    assert [opened.round for opened in run.opened] == [0, 1, 2]
    for opened in run.opened:
        expected = expected_parameters(consortium, shared, opened.round, consortium.names)
        assert opened.parameters.tobytes() == expected.tobytes()
        shared = opened.parameters
    assert not np.array_equal(shared, consortium.start)
    assert set(run.sum.extracts) == set(consortium.names)


def test_in_a_private_mode_the_sum_is_that_of_the_ring_vectors(make_consortium: Make) -> None:
    consortium = make_consortium(private_mechanism(training__rounds=2))

    run = consortium.run().finish()

    shared = consortium.start
    step = Grid(4.0, 4).step
    for opened in run.opened:
        vectors = [party.site.plaintexts[opened.round] for party in consortium.parties.values()]
        total = [sum(column) for column in zip(*(_signed(v) for v in vectors), strict=True)]
        mean = np.array([value * step / 4 for value in total])
        expected = (shared.astype(np.float64) + mean).astype(np.float32)
        assert opened.parameters.tobytes() == expected.tobytes()
        # Stochastic rounding: next to the update, by less than one step.
        for name, vector in zip(consortium.names, vectors, strict=True):
            exact = update_of(name, opened.round, shared).tolist()
            for value, ring in zip(exact, _signed(vector), strict=True):
                assert abs(Fraction(value) - ring * Fraction(step)) < Fraction(step)
        shared = opened.parameters


def _signed(vector: np.ndarray) -> list[int]:
    return [value - 2**32 if value >= 2**31 else value for value in vector.tolist()]


def test_no_upload_is_the_plaintext_and_two_of_one_update_differ(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.CLOSE)
    uploads = {name: consortium.parties[name].state().reply for name in consortium.names}

    for name, party in consortium.parties.items():
        plaintext = party.site.plaintexts[0].astype("<u4").tobytes()
        assert plaintext not in uploads[name]
    again = consortium.run(attempt=2).until(Phase.CLOSE)
    assert again.round == run.round
    for name, party in consortium.parties.items():
        assert party.state().reply != uploads[name]


def test_two_exchanges_to_begin_and_two_for_each_round(consortium: Consortium) -> None:
    run = consortium.run().finish()

    rounds = [Phase.OPEN, Phase.CLOSE] * 3
    assert run.phases == [Phase.HELLO, Phase.SHARE, *rounds]


def test_the_plain_protection_needs_no_shares_and_gives_the_same(make_consortium: Make) -> None:
    masked, plain = make_consortium(), make_consortium(mechanism_of(protection="plain"))

    one, other = masked.run().finish(), plain.run().finish()

    assert other.phases == [Phase.HELLO, *[Phase.OPEN, Phase.CLOSE] * 3]
    assert one.sum.parameters.tobytes() == other.sum.parameters.tobytes()
    uploaded = plain.parties["site-1"].site.plaintexts[2]
    assert len(uploaded) == SPEC.size


def test_the_median_runs_under_plain_and_is_refused_under_masks(make_consortium: Make) -> None:
    consortium = make_consortium(mechanism_of(method="fedit-median", protection="plain"))
    run = consortium.run().until(Phase.OPEN, 1)

    step = Grid(4.0, 4).step
    each = [update_of(name, 0, consortium.start) / step for name in consortium.names]
    expected = consortium.start + np.median(np.rint(np.array(each)) * step, axis=0)
    np.testing.assert_array_equal(run.sum.parameters, expected.astype(np.float32))
    with pytest.raises(ConfigError, match="every single update"):
        make_consortium(mechanism_of(method="fedit-median")).run()


def test_more_sites_on_the_roster_than_the_run_needs(make_consortium: Make) -> None:
    consortium = make_consortium(members=6)

    run = consortium.run().finish()

    assert run.sum.survivors == ("site-1", "site-2", "site-3", "site-4")
    assert consortium.parties["site-6"].store.saves == 0


def test_fewer_sites_on_the_roster_than_the_run_needs(make_consortium: Make) -> None:
    with pytest.raises(ConfigError, match="needs 4 sites and the roster has 3"):
        make_consortium(members=3).run()


# -- drop-outs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("phase", "without"), [(Phase.HELLO, 1), (Phase.SHARE, 1), (Phase.OPEN, 2)]
)
@pytest.mark.parametrize("reached", [True, False])
@pytest.mark.parametrize("adversary", ["semi-honest", "malicious"])
def test_one_site_that_drops_out_before_it_uploads_comes_back(
    make_consortium: Make, phase: Phase, without: int, adversary: str, *, reached: bool
) -> None:
    """It is asked back beside the next round that opens, and takes part in the one after."""
    consortium = make_consortium(mechanism_of(adversary=adversary))
    run = consortium.run().until(phase)

    run.exchange(**{"lost" if reached else "absent": ["site-2"]})
    run.finish()

    survivors = ("site-1", "site-3", "site-4")
    shared = consortium.start
    assert [opened.survivors for opened in run.opened[:without]] == [survivors] * without
    assert [o.survivors for o in run.opened[without:]] == [consortium.names] * (3 - without)
    for opened in run.opened:
        expected = expected_parameters(consortium, shared, opened.round, opened.survivors)
        assert opened.parameters.tobytes() == expected.tobytes()
        shared = opened.parameters


@pytest.mark.parametrize("reached", [True, False])
def test_one_site_that_drops_out_before_it_releases(
    consortium: Consortium, *, reached: bool
) -> None:
    run = consortium.run().until(Phase.CLOSE)

    run.exchange(**{"lost" if reached else "absent": ["site-2"]})

    # Its update was in the sum that the others opened; the next round goes on without it.
    assert run.sum.survivors == consortium.names
    expected = expected_parameters(consortium, consortium.start, 0, consortium.names)
    assert run.sum.parameters.tobytes() == expected.tobytes()
    run.finish()
    assert run.opened[1].survivors == ("site-1", "site-3", "site-4")
    assert run.opened[2].survivors == consortium.names
    assert set(run.sum.extracts) == set(consortium.names)


@pytest.mark.parametrize("phase", list(Phase))
def test_too_few_sites_give_the_round_up(make_consortium: Make, phase: Phase) -> None:
    run = make_consortium(mechanism_of(adversary="malicious")).run().until(phase)

    with pytest.raises(PeerError, match=r"Only 2 of 4 sites .* a sum needs 3"):
        run.exchange(absent=["site-2", "site-3"])

    assert run.opened == []


@pytest.mark.parametrize("phase", list(Phase))
def test_a_new_attempt_goes_on_where_the_last_one_was_given_up(
    make_consortium: Make, phase: Phase
) -> None:
    consortium = make_consortium(mechanism_of(adversary="malicious"))
    later = {Phase.OPEN, Phase.CONFIRM, Phase.CLOSE}
    first = consortium.run().until(phase, 1) if phase in later else None
    if first is None:
        first = consortium.run().until(phase)
    done = len(first.opened)
    parameters = first.sum.parameters if first.opened else consortium.start
    with pytest.raises(PeerError):
        first.exchange(absent=["site-2", "site-3"])

    second = consortium.run(attempt=2, first_round=done, parameters=parameters).finish()

    shared = consortium.start
    for opened in [*first.opened, *second.opened]:
        expected = expected_parameters(consortium, shared, opened.round, opened.survivors)
        assert opened.parameters.tobytes() == expected.tobytes()
        shared = opened.parameters
    assert second.sum.round == 2


def test_a_site_that_dropped_out_comes_back_with_the_next_attempt(consortium: Consortium) -> None:
    first = consortium.run().until(Phase.OPEN, 1)
    first.exchange(absent=["site-4"])
    first.exchange()
    assert first.sum.survivors == ("site-1", "site-2", "site-3")
    parameters = first.sum.parameters

    second = consortium.run(attempt=2, first_round=2, parameters=parameters).finish()

    assert second.sum.survivors == consortium.names


def test_a_round_that_was_opened_is_kept_when_the_next_cannot_open(consortium: Consortium) -> None:
    run = consortium.run().until(Phase.CLOSE)

    def without_shares(name: str, reply: bytes) -> bytes:
        return reply if name in {"site-1", "site-2"} else _strip_shares(reply)

    run.exchange(on_reply=without_shares)

    assert run.sum.round == 0
    expected = expected_parameters(consortium, consortium.start, 0, consortium.names)
    assert run.sum.parameters.tobytes() == expected.tobytes()
    with pytest.raises(PeerError, match="Only 2 of 4 sites are left in round 1"):
        run.exchange()
    with pytest.raises(PeerError, match="Only 2 of 4"):
        run.advance({})


def _strip_shares(reply: bytes) -> bytes:
    from msgspec.structs import replace  # noqa: PLC0415 - only here
    from round_simulator import opened_as  # noqa: PLC0415 - only here

    from crypto.codec import encode  # noqa: PLC0415 - only here
    from secure_fl.rounds.messages import CloseReply  # noqa: PLC0415 - only here

    return encode(replace(opened_as(CloseReply, reply), next_sent=None, next_shares={}))


# -- what is charged, and what remains ------------------------------------------------------


def test_a_site_reserves_the_plan_and_draws_each_round(make_consortium: Make) -> None:
    consortium = make_consortium(private_mechanism())
    consortium.run().finish()

    for party in consortium.parties.values():
        entries = party.parts.ledger.entries(run=RUN_ID.hex())
        assert [entry.event for entry in entries] == [
            SubsampledGaussian(4.0, 0.1, 6),
            *[SubsampledGaussian(4.0, 0.1, 2)] * 3,
        ]
        draws = [entry.draw for entry in entries if entry.draw is not None]
        assert [(draw.round, draw.attempt) for draw in draws] == [(0, 1), (1, 1), (2, 1)]
        alone = party.parts.ledger.spent("records", 1e-5)
        assert 0 < alone < 10


def test_mode_none_charges_no_guarantee(consortium: Consortium) -> None:
    consortium.run().finish()

    entries = consortium.parties["site-1"].parts.ledger.entries()
    assert {entry.event for entry in entries} == {NoGuarantee()}


def test_a_finished_site_holds_no_masking_secret_and_answers_nothing_more(
    consortium: Consortium,
) -> None:
    run = consortium.run().until(Phase.CLOSE, 2)
    request = run.step.exchange.requests["site-1"]  # type: ignore[union-attr]
    opening = run.requests["site-1"]
    run.finish()
    party = consortium.parties["site-1"]

    assert party.state().stage is Stage.FINISHED
    assert party.state().masking == b""
    assert party.site.handle(request) == run.replies["site-1"]
    assert code_of(party.site.handle(opening)) == "protocol"


def test_the_coordinator_cannot_be_driven_past_the_end(consortium: Consortium) -> None:
    run: Run = consortium.run().finish()

    with pytest.raises(PeerError, match="no round is open"):
        run.advance({})
