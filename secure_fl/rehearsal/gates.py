"""What every gate says of one rehearsal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from audits.findings import Window
from audits.server.clip_probe import clip_probe
from audits.server.distinguish import distinguish
from audits.server.noise_reuse import noise_reuse
from audits.server.noise_scale import noise_scale
from audits.server.sampling import sampling
from secure_fl.config import RecordPrivacy
from secure_fl.rehearsal.accounted import accounted_of
from secure_fl.rehearsal.noised_sums import probe_of, rehearse

if TYPE_CHECKING:
    from collections.abc import Callable

    from audits.findings import Finding
    from audits.server.evidence import NoisedSums
    from secure_fl.rehearsal.noised_sums import Plan


@dataclass(frozen=True)
class Rehearsed:
    """The sums of a plan, and those of its probe, which has little noise."""

    sums: NoisedSums
    probe: NoisedSums


def rehearse_all(plan: Plan, note: Callable[[int, int], None]) -> Rehearsed:
    """Return the sums of `plan` and of its probe; `note` is told how many of how many are done.

    Raises:
        ConfigError: the mechanism cannot be run on this machine.
    """
    probe = probe_of(plan)
    sites = plan.cohort if isinstance(plan.mechanism.privacy, RecordPrivacy) else 1
    first, second = plan.rounds * sites, probe.rounds * sites
    return Rehearsed(
        rehearse(plan, lambda done, _: note(done, first + second)),
        rehearse(probe, lambda done, _: note(first + done, first + second)),
    )


def judge(plan: Plan, rehearsed: Rehearsed) -> tuple[Finding, ...]:
    """Return the findings of all gates on what was rehearsed, the headline first.

    Raises:
        ConfigError: there are too few canaries to tell anything apart.
    """
    # One site's noised steps are seen at the site: a server sees them only in a sum.
    tapped = isinstance(plan.mechanism.privacy, RecordPrivacy)
    window = Window.SITE if tapped else Window.SERVER
    return (
        distinguish(rehearsed.sums, accounted_of(plan), window, plan.until),
        noise_scale(rehearsed.sums, window),
        noise_reuse(rehearsed.sums, window),
        clip_probe(rehearsed.probe, window),
        sampling(rehearsed.probe, window),
    )
