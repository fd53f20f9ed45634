"""The attack of colluding sites, which rehearses sums and subtracts what they put into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secure_fl.rehearsal.colluding import colluding_plan, judge_colluding, rehearse_colluding

if TYPE_CHECKING:
    from collections.abc import Callable

    from audits.findings import Finding
    from secure_fl.auditing.subject import Subject


def run(subject: Subject, note: Callable[[int, int], None]) -> tuple[Finding, ...]:
    """Return what as many colluding sites as the run says it bears are left with.

    Raises:
        ConfigError: the run shares no noise, claims nothing, or cannot be rehearsed here.
    """
    plan, collusion = colluding_plan(subject.config.mechanism)
    return judge_colluding(plan, collusion, rehearse_colluding(plan, collusion, note))
