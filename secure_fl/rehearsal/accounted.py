"""What is accounted of a rehearsed plan, and what would be with other noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audits.server.distinguish import Accounted, Claimed
from crypto.errors import ConfigError
from secure_fl.config import Guaranteed
from secure_fl.guarantee import claimed_epsilon
from secure_fl.rehearsal.noised_sums import rounds_of_a_canary

if TYPE_CHECKING:
    from secure_fl.rehearsal.noised_sums import Plan


def accounted_of(plan: Plan) -> Accounted:
    """Return the mechanism of `plan` as it was configured, for one canary over its sums.

    Its multiplier is what is claimed. Where sites share noise, a sum in which all survive and none
    colludes holds more.

    Raises:
        ConfigError: nothing is claimed of it, or its sigma is not resolved.
    """
    privacy = plan.mechanism.privacy
    if not isinstance(privacy, Guaranteed) or privacy.sigma is None:
        raise ConfigError("Nothing is claimed of the plan yet: there is no noise to compare with.")
    rounds = rounds_of_a_canary(privacy, plan.rounds)

    def epsilon_at(multiplier: float) -> float:
        other = privacy.model_copy(update={"sigma": multiplier, "epsilon": None})
        return claimed_epsilon(plan.mechanism.model_copy(update={"privacy": other}), rounds)

    return Accounted(Claimed(plan.epsilon, plan.delta), privacy.sigma, epsilon_at)
