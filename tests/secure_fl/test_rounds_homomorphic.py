"""Rounds under homomorphic sums: what comes out, who comes back, and what a crash changes."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import ValidationError
from round_simulator import (
    RUN_ID,
    SPEC,
    StoreCrashError,
    code_of,
    expected_parameters,
    mechanism_of,
    opened_as,
    policy_of,
    private_mechanism,
    roster_of,
)

from crypto.codec import decode, encode
from crypto.errors import BudgetError, PeerError
from crypto.homomorphic_plan import Scheme
from privacy.fixed_point import Grid
from secure_fl.rounds.homomorphic_site import HomomorphicState
from secure_fl.rounds.homomorphic_sum import plan_of
from secure_fl.rounds.messages import OpenReply, RoundHeader
from secure_fl.rounds.site_state import Stage
from secure_fl.rounds.steps import Phase
from secure_fl.transcript_check import read_transcript

if TYPE_CHECKING:
    from collections.abc import Callable

    from round_simulator import Consortium, Party, Run

    Make = Callable[..., Consortium]

SITE = "site-2"
LIMIT = 1 << 24
OTHERS = ("site-1", "site-3", "site-4")


def homomorphic(**changes: Any) -> Any:  # noqa: ANN401 - as mechanism_of
    return mechanism_of(protection="homomorphic", **changes)


def held(party: Party) -> HomomorphicState:
    return decode(HomomorphicState, party.state().masking, limit_bytes=LIMIT)


def request_for(run: Run, site: str = SITE) -> bytes:
    assert run.step.exchange is not None
    return run.step.exchange.requests[site]


def assert_plaintext_sums(run: Run) -> None:
    """Every opened round is the exact sum of its survivors' plaintexts."""
    shared = run.consortium.start
    for opened in run.opened:
        expected = expected_parameters(run.consortium, shared, opened.round, opened.survivors)
        assert opened.parameters.tobytes() == expected.tobytes()
        shared = opened.parameters


# -- whole runs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"homomorphic_scheme": "ckks"},
        {"encoding__bits": 24},
        {"cipher_suite": "x25519-mlkem768-hkdf-sha256-aes256ctr-z32"},
        {"encoding__clip_range": 1e-3},  # clamped: both ends of the grid are sent
    ],
    ids=["bfv", "ckks", "24 bits", "hybrid", "clamped"],
)
def test_a_run_is_the_masked_run_to_the_last_bit(
    make_consortium: Make, changes: dict[str, Any]
) -> None:
    run = make_consortium(homomorphic(**changes)).run().finish()

    changes.pop("homomorphic_scheme", None)
    masked = make_consortium(mechanism_of(**changes)).run().finish()
    assert [one.parameters.tobytes() for one in run.opened] == [
        other.parameters.tobytes() for other in masked.opened
    ]
    if "encoding__clip_range" not in changes:
        assert_plaintext_sums(run)
    assert not np.array_equal(run.sum.parameters, run.consortium.start)
    assert run.phases == [Phase.HELLO, Phase.SHARE, *[Phase.OPEN, Phase.CLOSE] * 3]
    assert set(run.sum.extracts) == set(run.consortium.names)


def test_in_a_private_mode_the_sum_is_that_of_the_ring_vectors(make_consortium: Make) -> None:
    run = make_consortium(private_mechanism(protection="homomorphic", training__rounds=2)).run()
    run.finish()

    consortium, shared, step = run.consortium, run.consortium.start, Fraction(Grid(4.0, 4).step)
    for opened in run.opened:
        sites = [party.site.plaintexts[opened.round].view("<i4") for party in _parties(consortium)]
        means = [sum(map(int, column)) * step / 4 for column in zip(*sites, strict=True)]
        expected = shared.astype(np.float64) + np.array([float(mean) for mean in means])
        assert opened.parameters.tobytes() == expected.astype(np.float32).tobytes()
        shared = opened.parameters


def _parties(consortium: Consortium) -> list[Party]:
    return [consortium.parties[name] for name in consortium.names]


def test_an_upload_hides_the_vector_and_two_of_one_vector_differ(make_consortium: Make) -> None:
    consortium = make_consortium(homomorphic())
    uploads = []
    for attempt in (1, 2):
        consortium.run(attempt=attempt).until(Phase.CLOSE)
        reply = opened_as(OpenReply, consortium.parties[SITE].state().reply)
        assert consortium.parties[SITE].site.plaintexts[0].tobytes() not in reply.vector
        uploads.append(reply.vector)
    assert uploads[0] != uploads[1]


def test_the_key_is_one_per_session_and_named_in_every_header(make_consortium: Make) -> None:
    consortium = make_consortium(homomorphic(training__rounds=2))
    keys = []
    for attempt in (1, 2):
        consortium.run(attempt=attempt).until(Phase.CLOSE)
        states = [held(party) for party in _parties(consortium)]
        assert len({state.key for state in states}) == 1
        assert {state.channel for state in states} == {b""}, "the channel has served"
        keys.append(states[0].key)
    assert keys[0] != keys[1]
    headers = [
        decode(RoundHeader, signed.body, limit_bytes=LIMIT)
        for signed in _logged(consortium)
        if signed.label.startswith("secure-fl.round-header")
    ]
    assert len({header.sum_key for header in headers}) == 2
    assert all(header.sum_key is not None for header in headers)


def _logged(consortium: Consortium) -> list[Any]:
    from crypto.signatures import Signed  # noqa: PLC0415 - only here

    return [decode(Signed, leaf, limit_bytes=LIMIT) for leaf in consortium.transcript.leaves]


def test_the_coordinator_is_sent_no_key(make_consortium: Make) -> None:
    consortium = make_consortium(homomorphic(training__rounds=1))
    run = consortium.run()
    passed: list[bytes] = []
    while run.step.exchange is not None:
        run.exchange(on_reply=lambda _, reply: passed.append(reply) or reply)  # type: ignore[func-returns-value]
        if run.phase is Phase.CLOSE:
            exported = held(consortium.parties[SITE]).key
    piece = exported[len(exported) // 2 :][:64]
    assert len(piece) == 64
    for data in (*passed, *consortium.transcript.leaves):
        assert piece not in data


def test_a_finished_site_holds_no_key(make_consortium: Make) -> None:
    consortium = make_consortium(homomorphic(training__rounds=1))
    consortium.run().finish()

    for party in _parties(consortium):
        assert party.state().stage is Stage.FINISHED
        assert party.state().masking == b""


def test_the_transcript_shows_every_round_and_what_it_came_to(make_consortium: Make) -> None:
    consortium = make_consortium(homomorphic())
    consortium.run().finish()

    checked = read_transcript(
        consortium.transcript.leaves, consortium.roster, consortium.mechanism, RUN_ID
    )
    assert checked.survivors == dict.fromkeys(range(3), consortium.names)
    assert set(checked.parameters) == {0, 1, 2}


def test_a_masked_run_loads_no_tenseal() -> None:
    code = (
        "import sys; import secure_fl.rounds.coordinator, secure_fl.rounds.site; "
        "import secure_fl.rounds.homomorphic_sum, secure_fl.rounds.homomorphic_site; "
        "sys.exit('tenseal' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- drop-outs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.HELLO, Phase.SHARE, Phase.OPEN])
@pytest.mark.parametrize("reached", [True, False])
def test_a_site_that_drops_out_before_it_uploads_is_not_in_the_sum_and_stays_away(
    make_consortium: Make, phase: Phase, *, reached: bool
) -> None:
    run = make_consortium(homomorphic()).run().until(phase)

    run.exchange(**{"lost" if reached else "absent": [SITE]})
    run.finish()

    assert [opened.survivors for opened in run.opened] == [OTHERS] * 3
    assert_plaintext_sums(run)


@pytest.mark.parametrize("reached", [True, False])
def test_a_site_that_drops_out_before_it_decrypts_is_in_the_sum(
    make_consortium: Make, *, reached: bool
) -> None:
    run = make_consortium(homomorphic()).run().until(Phase.CLOSE)

    run.exchange(**{"lost" if reached else "absent": [SITE]})
    run.finish()

    assert [opened.survivors for opened in run.opened] == [run.consortium.names, OTHERS, OTHERS]
    assert_plaintext_sums(run)


def test_it_comes_back_with_the_next_attempt_and_a_new_key(make_consortium: Make) -> None:
    consortium = make_consortium(homomorphic())
    first = consortium.run().until(Phase.OPEN, 1)
    before = held(consortium.parties[SITE]).key
    first.exchange(absent=[SITE])
    first.exchange()

    second = consortium.run(attempt=2, first_round=2, parameters=first.sum.parameters)
    second.until(Phase.CLOSE, 2)
    assert held(consortium.parties[SITE]).key != before
    assert second.finish().sum.survivors == consortium.names


def test_without_the_keys_maker_the_attempt_ends_and_the_next_has_another(
    make_consortium: Make,
) -> None:
    consortium = make_consortium(homomorphic())
    first = consortium.run().until(Phase.SHARE)
    with pytest.raises(PeerError, match="site-1 was to make the key of the sum and did not"):
        first.exchange(absent=["site-1"])

    second = consortium.run(attempt=2).until(Phase.HELLO)
    second.exchange(absent=["site-1"])
    second.finish()
    assert [opened.survivors for opened in second.opened] == [("site-2", "site-3", "site-4")] * 3


@pytest.mark.parametrize("phase", [Phase.HELLO, Phase.SHARE, Phase.OPEN, Phase.CLOSE])
def test_too_few_sites_give_the_round_up(make_consortium: Make, phase: Phase) -> None:
    run = make_consortium(homomorphic()).run().until(phase)

    with pytest.raises(PeerError, match=r"Only 2 of 4 sites .* a sum needs 3"):
        run.exchange(absent=[SITE, "site-3"])
    assert run.opened == []


# -- once --------------------------------------------------------------------------------------


def test_the_same_request_gets_the_same_bytes_after_a_restart(make_consortium: Make) -> None:
    consortium = make_consortium(homomorphic(training__rounds=2))
    run = consortium.run()
    for party in _parties(consortium):
        party.restart()
    while run.step.exchange is not None:
        for name, party in consortium.parties.items():
            first = party.site.handle(request_for(run, name))
            saves = party.store.saves
            party.restart()
            assert party.site.handle(request_for(run, name)) == first
            assert party.store.saves == saves
        run.exchange()
    assert [party.workbench.trained for party in _parties(consortium)] == [[0, 1]] * 4
    assert_plaintext_sums(run)


def test_every_other_request_is_refused_at_every_stage(make_consortium: Make) -> None:
    consortium = make_consortium(homomorphic(training__rounds=2))
    run, party = consortium.run(), consortium.parties[SITE]
    seen: dict[tuple[Phase, int], bytes] = {}
    while run.phase is not None:
        seen[run.phase, run.round] = request_for(run)
        key = (run.phase, run.round)
        run.exchange()
        before = encode(party.state())
        for other, request in seen.items():
            if other != key:
                assert code_of(party.site.handle(request)) == "protocol"
        assert encode(party.state()) == before
    assert len(seen) == 6


@pytest.mark.parametrize("phase", [Phase.HELLO, Phase.SHARE, Phase.OPEN, Phase.CLOSE])
def test_a_crash_after_the_state_was_stored_loses_nothing(
    make_consortium: Make, phase: Phase
) -> None:
    consortium = make_consortium(homomorphic(training__rounds=2))
    run, party = consortium.run().until(phase), consortium.parties["site-1"]
    party.store.crash = "after"
    with pytest.raises(StoreCrashError):
        party.site.handle(request_for(run, "site-1"))
    party.restart()
    run.finish()

    assert [opened.survivors for opened in run.opened] == [consortium.names] * 2
    assert_plaintext_sums(run)


@pytest.mark.parametrize("phase", [Phase.HELLO, Phase.SHARE, Phase.CLOSE])
def test_a_crash_before_the_state_was_stored_is_made_good_by_asking_again(
    make_consortium: Make, phase: Phase
) -> None:
    consortium = make_consortium(homomorphic(training__rounds=2))
    run, party = consortium.run().until(phase), consortium.parties["site-1"]
    party.store.crash = "before"
    with pytest.raises(StoreCrashError):
        party.site.handle(request_for(run, "site-1"))
    party.restart()
    run.finish()

    assert [opened.survivors for opened in run.opened] == [consortium.names] * 2
    assert_plaintext_sums(run)


def test_a_coordinator_that_crashed_after_the_close_gets_the_round_again(
    make_consortium: Make,
) -> None:
    consortium = make_consortium(homomorphic())
    first = consortium.run().until(Phase.CLOSE, 1)
    parameters = first.sum.parameters
    first.ask()

    second = consortium.run(attempt=2, first_round=1, parameters=parameters).finish()

    expected = expected_parameters(consortium, parameters, 1, consortium.names)
    assert second.opened[0].parameters.tobytes() == expected.tobytes()
    assert second.sum.round == 2


def test_without_noise_a_round_is_not_decrypted_again_for_other_survivors(
    make_consortium: Make,
) -> None:
    consortium = make_consortium(homomorphic())
    consortium.run().until(Phase.CLOSE).ask()

    second = consortium.run(attempt=2).until(Phase.OPEN)
    second.exchange(absent=["site-4"])
    assert code_of(consortium.parties[SITE].site.handle(request_for(second))) == "protocol"
    assert "the two sums differ by single updates" in consortium.parties[SITE].notes[-1]


# -- what may be configured --------------------------------------------------------------------


def test_the_plan_follows_from_the_encoding() -> None:
    for bits in (24, 32):
        plan = plan_of(homomorphic(encoding__bits=bits), SPEC.size)
        assert plan.bound <= 2 ** (bits - 1) - 1
        assert plan.parameters[0].plain_modulus == 17179754497, "both take the 34-bit modulus"
    assert plan.scheme is Scheme.BFV


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adversary": "malicious"}, "hand one site's ciphertext to the sites as if it were"),
        ({"sites": 101, "cohort": {"drop_out_rate": 0.1, "corrupted_share": 0.2}}, "travel masked"),
        ({"homomorphic_scheme": "bgv"}, "homomorphic_scheme"),
    ],
)
def test_a_configuration_that_would_not_hold_is_refused(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        homomorphic(**changes)


@pytest.mark.parametrize("protection", ["masked", "plain"])
def test_a_scheme_without_homomorphic_sums_is_refused(protection: str) -> None:
    with pytest.raises(ValidationError, match=f"no meaning under the protection `{protection}`"):
        mechanism_of(protection=protection, homomorphic_scheme="bfv")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"allowed_protections": ["masked"]}, "protection `homomorphic` is not allowed"),
        ({"requires_malicious": True}, "has to be assumed malicious"),
        ({"requires_post_quantum": True}, "no post-quantum key"),
        ({"smallest_cohort": 5}, "smallest cohort is 5"),
    ],
)
def test_a_policy_that_asks_for_more_refuses_it(changes: dict[str, Any], words: str) -> None:
    policy_of().check(homomorphic())
    with pytest.raises(BudgetError, match=words):
        policy_of(**changes).check(homomorphic())


def test_a_policy_that_changes_during_a_run_stops_it(make_consortium: Make) -> None:
    consortium = make_consortium(homomorphic())
    run, party = consortium.run().until(Phase.CLOSE), consortium.parties[SITE]
    party.restart(policy=policy_of(allowed_protections=["masked"]))
    assert code_of(party.site.handle(request_for(run))) == "policy"
    party.restart(policy=policy_of(), roster=roster_of(4, serial=2))
    assert code_of(party.site.handle(request_for(run))) == "protocol"
