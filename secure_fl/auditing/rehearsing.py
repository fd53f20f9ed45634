"""The attack that rehearses the run's clip, noise and masks on gradient canaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from secure_fl.config import Guaranteed
from secure_fl.rehearsal import judge, plan_of, rehearse_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from audits.findings import Finding
    from secure_fl.auditing.subject import Subject


def run(subject: Subject, note: Callable[[int, int], None]) -> tuple[Finding, ...]:
    """Return the findings of the gates on a rehearsal of the run's mechanism.

    Raises:
        ConfigError: the run claims nothing, or cannot be rehearsed here.
    """
    mechanism = subject.config.mechanism
    if not isinstance(mechanism.privacy, Guaranteed):
        raise ConfigError(
            "The run has no privacy guarantee, so that there is no claim that could be refuted."
        )
    plan = plan_of(mechanism)
    return judge(plan, rehearse_all(plan, note))
