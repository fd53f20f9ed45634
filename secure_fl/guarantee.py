"""What a mechanism promises, as events that a ledger charges and an accountant composes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from privacy.events import NoGuarantee, SubsampledGaussian
from secure_fl.config import RecordPrivacy

if TYPE_CHECKING:
    from privacy.events import Event
    from secure_fl.config import Mechanism


def planned_event(mechanism: Mechanism) -> Event:
    """Return everything that one site's records go through in the whole run."""
    return _event(mechanism, mechanism.training.rounds * mechanism.training.local_steps)


def round_event(mechanism: Mechanism) -> Event:
    """Return what one site's records go through in one round."""
    return _event(mechanism, mechanism.training.local_steps)


def resolve_sigma(mechanism: Mechanism) -> Mechanism:
    """Return `mechanism` with its sigma filled in from the target epsilon, if it has none.

    Raises:
        ConfigError: both are given, and sigma does not reach the target.
    """
    # dp_accounting takes a second to import, and mode none needs none of it.
    from privacy import accounting  # noqa: PLC0415 - dp_accounting is heavy

    privacy = mechanism.privacy
    if not isinstance(privacy, RecordPrivacy):
        return mechanism
    steps = mechanism.training.rounds * mechanism.training.local_steps
    if privacy.sigma is None:
        if privacy.epsilon is None:
            raise ConfigError("Neither epsilon nor sigma is given: no noise scale follows.")
        sigma = accounting.calibrate_sigma(
            privacy.epsilon, privacy.delta, privacy.sampling_rate, steps
        )
        return mechanism.model_copy(update={"privacy": privacy.model_copy(update={"sigma": sigma})})
    if privacy.epsilon is not None:
        reached = accounting.epsilon((planned_event(mechanism),), privacy.delta)
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
    if not isinstance(privacy, RecordPrivacy):
        return float("inf")
    event = _event(mechanism, rounds * mechanism.training.local_steps)
    return accounting.epsilon((event,), privacy.delta)


def _event(mechanism: Mechanism, steps: int) -> Event:
    privacy = mechanism.privacy
    if not isinstance(privacy, RecordPrivacy):
        return NoGuarantee()
    if privacy.sigma is None:
        raise ConfigError(
            "The mechanism has a target epsilon but no sigma yet, so nothing can be charged: "
            "the coordinator resolves sigma before it proposes a run."
        )
    return SubsampledGaussian(
        noise_multiplier=privacy.sigma, sampling_rate=privacy.sampling_rate, steps=steps
    )
