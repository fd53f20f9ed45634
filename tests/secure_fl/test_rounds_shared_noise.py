"""Rounds whose noise is shared: what the sum holds, who pays for whom, and what is refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from round_simulator import SPEC, mechanism_of, policy_of, update_of

from crypto.errors import ConfigError, IntegrityError, PeerError
from crypto.secrets import system_entropy
from privacy.discrete_gaussian import SystemDiscreteNoise
from privacy.events import DistributedGaussian, Relation, Unit
from secure_fl.guarantee import planned_event, resolve_sigma
from secure_fl.rounds.encoding import Encoded, encoded_update, noised_update
from secure_fl.rounds.grids import noise_shares_of, noised_grid_of
from secure_fl.rounds.site_sums import _OpenPlain
from secure_fl.rounds.steps import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from round_simulator import Consortium

    from secure_fl.config import Mechanism

SIGMA = 2.5
DIVISOR = 4.0
RATE = 0.1
DISTRIBUTED: dict[str, Any] = {
    "mode": "record-distributed",
    "unit": "record",
    "delta": 1e-5,
    "sigma": SIGMA,
    "sampling_rate": 0.1,
    "clip": 1.0,
    "divisor": DIVISOR,
    "colluders": 1,
}
SITE: dict[str, Any] = {"mode": "site", "delta": 1e-5, "sigma": SIGMA, "clip": 1.0, "colluders": 1}


def distributed(**changes: Any) -> Mechanism:  # noqa: ANN401 - values of a TOML file
    of_privacy = {key: changes.pop(key) for key in list(changes) if key in {"drop_outs", "sigma"}}
    return mechanism_of(
        privacy=DISTRIBUTED | of_privacy,
        training__batch_size=None,
        training__local_steps=1,
        training__optimizer="sgd",
        **changes,
    )


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, NDArray[np.int64]]]:
    """The standard deviation and the integers of every share of noise, as they are drawn."""
    shares: list[tuple[float, NDArray[np.int64]]] = []

    draw = SystemDiscreteNoise.draw

    def tapped(source: SystemDiscreteNoise, count: int) -> NDArray[np.int64]:
        values = draw(source, count)
        shares.append((math.sqrt(source.variance), values.copy()))
        return values

    monkeypatch.setattr(SystemDiscreteNoise, "draw", tapped)
    return shares


def test_the_parameters_follow_from_all_updates_and_all_shares_to_the_bit(
    make_consortium: Callable[..., Consortium], drawn: list[tuple[float, NDArray[np.int64]]]
) -> None:
    consortium = make_consortium(distributed())
    run = consortium.run().finish()

    grid = noised_grid_of(consortium.mechanism, 4, SPEC.size)
    shared = consortium.start
    for round_, opened in enumerate(run.opened):
        shares = [values for _, values in drawn[4 * round_ : 4 * round_ + 4]]
        plain = [
            party.site.plaintexts[round_].view(np.int32).astype(np.int64)
            for party in consortium.parties.values()
        ]
        total = np.sum([*plain, *shares], axis=0) * grid.step
        expected = (shared.astype(np.float64) - RATE * total / DIVISOR).astype(np.float32)
        assert np.array_equal(opened.parameters, expected)
        # Without noise it is the sum of the updates, but for the rounding of each.
        updates = np.sum([update_of(name, round_, shared) for name in consortium.names], axis=0)
        np.testing.assert_allclose(
            np.sum(plain, axis=0) * grid.step, updates, rtol=0, atol=4 * grid.step
        )
        shared = opened.parameters
    assert len(drawn) == 4 * len(run.opened)


def test_each_site_pays_for_one_drop_out_and_one_colluder(
    make_consortium: Callable[..., Consortium], drawn: list[tuple[float, NDArray[np.int64]]]
) -> None:
    consortium = make_consortium(distributed())
    run = consortium.run().until(Phase.OPEN)
    run.exchange()
    deviation, values = drawn[0]
    grid = noised_grid_of(consortium.mechanism, 4, SPEC.size)
    counted = 4 - 1 - 1
    assert deviation * math.sqrt(counted) == pytest.approx(SIGMA * grid.sensitivity, rel=1e-5)
    assert np.abs(values).max() < 10 * deviation
    assert grid.sensitivity <= (1 + 1 / 64) * 1.0 / grid.step


def test_a_cohort_that_shrank_has_larger_shares(
    make_consortium: Callable[..., Consortium], drawn: list[tuple[float, NDArray[np.int64]]]
) -> None:
    """Three sites, of which none may drop out and one colludes: two shares count."""
    consortium = make_consortium(distributed())
    run = consortium.run()
    run.exchange(absent={"site-4"})
    run.exchange()
    run.exchange()
    assert len(drawn) == 3
    shares = noise_shares_of(consortium.mechanism, 3)
    assert (shares.drop_outs, shares.counted) == (0, 2)
    grid = noised_grid_of(consortium.mechanism, 3, SPEC.size)
    assert drawn[0][0] * math.sqrt(2) == pytest.approx(SIGMA * grid.sensitivity, rel=1e-5)
    assert run.phase is Phase.CLOSE


def test_a_site_missing_from_the_sum_was_paid_for(
    make_consortium: Callable[..., Consortium],
) -> None:
    consortium = make_consortium(distributed())
    run = consortium.run().until(Phase.OPEN)
    run.exchange(absent={"site-2"})
    run.exchange()
    assert run.sum.survivors == ("site-1", "site-3", "site-4")


def test_no_share_is_released_when_more_are_missing_than_were_paid_for(
    make_consortium: Callable[..., Consortium],
) -> None:
    """The threshold alone would open it: with one drop-out the noise of three is too little."""
    consortium = make_consortium(distributed(drop_outs=0))
    run = consortium.run().until(Phase.OPEN)
    run.exchange(absent={"site-2"})
    with pytest.raises(PeerError):
        run.exchange()
    assert not run.opened
    notes = consortium.parties["site-1"].notes
    assert any("holds less noise than was promised: 0 may drop out" in note for note in notes)


def test_a_cohort_in_which_nobodys_noise_counts_is_refused() -> None:
    mechanism = mechanism_of(
        privacy=DISTRIBUTED | {"colluders": 2, "drop_outs": 1},
        training__batch_size=None,
        training__local_steps=1,
    )
    assert noise_shares_of(mechanism, 4).counted == 1
    with pytest.raises(ConfigError, match="leaves nobody whose noise counts"):
        noise_shares_of(mechanism, 2)


def test_the_ledger_is_charged_for_shared_noise_before_any_is_drawn(
    make_consortium: Callable[..., Consortium], monkeypatch: pytest.MonkeyPatch
) -> None:
    consortium = make_consortium(distributed())
    ledgers = [party.parts.ledger for party in consortium.parties.values()]
    seen: list[int] = []

    draw = SystemDiscreteNoise.draw

    def watched(source: SystemDiscreteNoise, count: int) -> NDArray[np.int64]:
        seen.append(sum(len(ledger.entries()) for ledger in ledgers))
        return draw(source, count)

    monkeypatch.setattr(SystemDiscreteNoise, "draw", watched)
    before = sum(len(ledger.entries()) for ledger in ledgers)
    run = consortium.run().until(Phase.OPEN)
    reserved = sum(len(ledger.entries()) for ledger in ledgers)
    run.exchange()

    assert reserved > before
    assert seen == [reserved + site + 1 for site in range(4)]
    event = ledgers[0].entries()[-1].event
    assert isinstance(event, DistributedGaussian)
    assert (event.noise_multiplier, event.sampling_rate, event.steps) == (SIGMA, 0.1, 1)
    assert planned_event(consortium.mechanism) == DistributedGaussian(
        SIGMA, 0.1, 3, event.size, event.local_sigma, 4
    )


def test_a_round_that_is_attempted_again_is_noised_again(
    make_consortium: Callable[..., Consortium], drawn: list[tuple[float, NDArray[np.int64]]]
) -> None:
    consortium = make_consortium(distributed())
    consortium.run().until(Phase.OPEN).exchange()
    again = consortium.run(attempt=2).until(Phase.OPEN)
    again.exchange()
    assert len(drawn) == 8
    assert not np.array_equal(drawn[0][1], drawn[4][1])
    ledger = consortium.parties["site-1"].parts.ledger
    assert len(ledger.entries()) >= 3  # the plan, and two draws: the second is charged on top


def test_a_share_of_the_noise_never_leaves_without_masks() -> None:
    """Whoever wires a protection without a secure sum to this mode finds a closed door."""
    mechanism = distributed()
    zeros = np.zeros(SPEC.size, np.float32)
    encoded = encoded_update(mechanism, zeros, 4, system_entropy)
    assert isinstance(encoded, Encoded)
    assert encoded.noise is not None
    with pytest.raises(IntegrityError, match="about to leave without masks"):
        _OpenPlain(32).protect(noised_update(encoded))


def test_a_share_whose_draws_can_be_repeated_is_refused() -> None:
    with pytest.raises(ConfigError, match="can be repeated, and so subtracted"):
        encoded_update(distributed(), np.zeros(SPEC.size, np.float32), 4, bytes)


@pytest.mark.parametrize("protection", ["plain", "homomorphic"])
def test_configurations_without_masks_are_refused(protection: str) -> None:
    with pytest.raises(ValueError, match="holds only its share of the noise"):
        distributed(protection=protection)


@pytest.mark.parametrize("adversary", ["semi-honest", "malicious"])
def test_a_whole_site_is_hidden_by_the_same_shares(
    make_consortium: Callable[..., Consortium],
    drawn: list[tuple[float, NDArray[np.int64]]],
    adversary: str,
) -> None:
    entry = {
        "name": "records",
        "dataset": "finance.generated",
        "epsilon": 30.0,
        "delta": 1e-5,
        "unit": "site",
        "relation": "zero-out",
    }
    mechanism = mechanism_of(privacy=SITE, adversary=adversary)
    consortium = make_consortium(mechanism, policy=policy_of(datasets=[entry]))
    run = consortium.run().finish()
    assert len(run.opened) == 3
    assert len(drawn) == 12

    grid = noised_grid_of(mechanism, 4, SPEC.size)
    noise = np.sum([values for _, values in drawn[:4]], axis=0) * grid.step
    plain = np.sum(
        [p.site.plaintexts[0].view(np.int32) for p in consortium.parties.values()], axis=0
    )
    expected = consortium.start.astype(np.float64) + (plain * grid.step + noise) / 4
    assert np.array_equal(run.opened[0].parameters, expected.astype(np.float32))

    event = consortium.parties["site-1"].parts.ledger.entries()[-1].event
    assert isinstance(event, DistributedGaussian)
    assert event.sampling_rate == 1.0
    assert mechanism.privacy.mode == "site"
    assert (mechanism.privacy.unit, mechanism.privacy.relation) == (Unit.SITE, Relation.ZERO_OUT)


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_sigma_is_calibrated_to_the_claimed_bound(epsilon: float) -> None:
    from privacy import accounting  # noqa: PLC0415 - heavy

    for privacy in (DISTRIBUTED, SITE):
        changes: dict[str, Any] = {} if privacy is SITE else {"training__batch_size": None}
        target = {key: value for key, value in privacy.items() if key != "sigma"}
        mechanism = resolve_sigma(
            mechanism_of(privacy=target | {"epsilon": epsilon}, training__local_steps=1, **changes)
        )
        reached = accounting.epsilon(
            (planned_event(mechanism),), 1e-5, relation=mechanism.privacy.relation
        )
        assert 0.995 * epsilon < reached <= epsilon
