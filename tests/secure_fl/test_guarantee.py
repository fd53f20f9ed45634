"""What is reserved is what the rounds draw, and what is claimed is what was reserved."""

from __future__ import annotations

import math

import pytest
from round_simulator import RECORD_PRIVACY, mechanism_of, private_mechanism

from crypto.errors import ConfigError
from privacy import accounting
from privacy.events import NoGuarantee, SubsampledGaussian
from secure_fl.config import RecordPrivacy
from secure_fl.guarantee import claimed_epsilon, planned_event, resolve_sigma, round_event


@pytest.mark.parametrize(("rounds", "local_steps"), [(1, 1), (3, 2), (10, 7)])
def test_the_rounds_compose_to_the_plan(rounds: int, local_steps: int) -> None:
    mechanism = private_mechanism(training__rounds=rounds, training__local_steps=local_steps)
    each, plan = round_event(mechanism), planned_event(mechanism)

    assert isinstance(each, SubsampledGaussian)
    assert isinstance(plan, SubsampledGaussian)
    assert each.steps * rounds == plan.steps == rounds * local_steps
    assert (each.noise_multiplier, each.sampling_rate) == (4.0, 0.1)
    assert (plan.noise_multiplier, plan.sampling_rate) == (4.0, 0.1)
    together = accounting.epsilon([each] * rounds, 1e-5)
    assert together == accounting.epsilon([plan], 1e-5) == claimed_epsilon(mechanism, rounds)


def test_the_claim_grows_with_the_rounds() -> None:
    mechanism = private_mechanism()

    claims = [claimed_epsilon(mechanism, rounds) for rounds in (1, 2, 3)]

    assert 0 < claims[0] < claims[1] < claims[2] < math.inf


def test_mode_none_claims_and_plans_nothing() -> None:
    assert planned_event(mechanism_of()) == round_event(mechanism_of()) == NoGuarantee()
    assert math.isinf(claimed_epsilon(mechanism_of(), 1))
    assert resolve_sigma(mechanism_of()) == mechanism_of()


def test_a_target_is_resolved_to_a_sigma_that_just_meets_it() -> None:
    aimed = mechanism_of(
        privacy={**RECORD_PRIVACY, "sigma": None, "epsilon": 2.0}, training__batch_size=None
    )

    resolved = resolve_sigma(aimed)

    assert isinstance(resolved.privacy, RecordPrivacy)
    assert resolved.privacy.sigma is not None
    assert 1.99 < claimed_epsilon(resolved, 3) <= 2.0
    # A site checks the proposal by the same computation.
    assert resolve_sigma(resolved) == resolved
    assert resolved.digest() != aimed.digest()


def test_a_sigma_that_misses_the_promised_epsilon_is_refused() -> None:
    with pytest.raises(ConfigError, match="above the epsilon of"):
        resolve_sigma(private_mechanism(privacy__epsilon=0.01))
