"""What a mechanism promises, as events that a ledger charges and an accountant composes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from privacy.events import (
    LARGEST_COUNT,
    SMALLEST_LOCAL_SIGMA,
    DistributedGaussian,
    NoGuarantee,
    SubsampledGaussian,
)
from secure_fl.config import Guaranteed, RecordPrivacy, SharedNoisePrivacy, SitePrivacy

if TYPE_CHECKING:
    from privacy.events import Event
    from secure_fl.config import Mechanism


def planned_event(mechanism: Mechanism) -> Event:
    """Return everything that one site's records go through in the whole run."""
    return _event(mechanism, mechanism.training.rounds)


def round_event(mechanism: Mechanism) -> Event:
    """Return what one site's records go through in one round."""
    return _event(mechanism, 1)


def steps_of(mechanism: Mechanism, rounds: int) -> int:
    """Return how many noised sums `rounds` rounds make of one site's records.

    A round is one sum where noise is shared, however many steps a site makes in it.
    """
    if isinstance(mechanism.privacy, SharedNoisePrivacy):
        return rounds
    return rounds * mechanism.training.local_steps


def resolve_sigma(mechanism: Mechanism) -> Mechanism:
    """Return `mechanism` with its sigma filled in from the target epsilon, if it has none.

    Raises:
        ConfigError: both are given, and sigma does not reach the target.
    """
    # dp_accounting takes a second to import, and mode none needs none of it.
    from privacy import accounting  # noqa: PLC0415 - dp_accounting is heavy

    privacy = mechanism.privacy
    if not isinstance(privacy, Guaranteed):
        return mechanism
    if privacy.sigma is None:
        if privacy.epsilon is None:
            raise ConfigError("Neither epsilon nor sigma is given: no noise scale follows.")
        sigma = _calibrated(mechanism, privacy, privacy.epsilon)
        return mechanism.model_copy(update={"privacy": privacy.model_copy(update={"sigma": sigma})})
    if privacy.epsilon is not None:
        reached = accounting.epsilon(
            (planned_event(mechanism),), privacy.delta, relation=privacy.relation
        )
        if reached > privacy.epsilon:
            raise ConfigError(
                f"sigma {privacy.sigma} gives epsilon {reached:.4g} at delta {privacy.delta}, "
                f"above the epsilon of {privacy.epsilon} that the file promises: raise sigma, or "
                "leave it out and it is calibrated."
            )
    return mechanism


def claimed_epsilon(mechanism: Mechanism, rounds: int) -> float:
    """Return the epsilon of the plan's first `rounds` rounds; infinite in mode none."""
    from privacy import accounting  # noqa: PLC0415 - as above

    privacy = mechanism.privacy
    if not isinstance(privacy, Guaranteed):
        return float("inf")
    event = _event(mechanism, rounds)
    return accounting.epsilon((event,), privacy.delta, relation=privacy.relation)


def _calibrated(mechanism: Mechanism, privacy: Guaranteed, epsilon: float) -> float:
    from privacy import accounting  # noqa: PLC0415 - as above

    rate = sampling_rate_of(privacy)
    steps = steps_of(mechanism, mechanism.training.rounds)
    if isinstance(privacy, RecordPrivacy):
        return accounting.calibrate_sigma(
            epsilon, privacy.delta, rate, steps, relation=privacy.relation
        )
    return accounting.calibrate_distributed(
        epsilon,
        privacy.delta,
        rate,
        steps,
        size=LARGEST_COUNT,
        contributors=mechanism.sites,
        relation=privacy.relation,
    )


def sampling_rate_of(privacy: Guaranteed) -> float:
    """Return the probability with which a unit enters a sum: 1 where the unit is a site."""
    return 1.0 if isinstance(privacy, SitePrivacy) else privacy.sampling_rate


def _event(mechanism: Mechanism, rounds: int) -> Event:
    privacy = mechanism.privacy
    if not isinstance(privacy, Guaranteed):
        return NoGuarantee()
    if privacy.sigma is None:
        raise ConfigError(
            "The mechanism has a target epsilon but no sigma yet, so nothing can be charged: "
            "the coordinator resolves sigma before it proposes a run."
        )
    steps, rate = steps_of(mechanism, rounds), sampling_rate_of(privacy)
    if isinstance(privacy, RecordPrivacy):
        return SubsampledGaussian(noise_multiplier=privacy.sigma, sampling_rate=rate, steps=steps)
    # Bounds, not this run's numbers: the claim holds for every smaller sum, and does not feel them.
    return DistributedGaussian(
        noise_multiplier=privacy.sigma,
        sampling_rate=rate,
        steps=steps,
        size=LARGEST_COUNT,
        local_sigma=SMALLEST_LOCAL_SIGMA,
        contributors=mechanism.sites,
    )
