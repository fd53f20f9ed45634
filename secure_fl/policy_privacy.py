"""What a site's policy says of a run's privacy: noise, clip, sampling, unit, and what it spends."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from secure_fl.config import (
    DistributedPrivacy,
    Guaranteed,
    NoPrivacy,
    RecordPrivacy,
    SharedNoisePrivacy,
    SitePrivacy,
)
from secure_fl.guarantee import planned_event, sampling_rate_of

if TYPE_CHECKING:
    from secure_fl.config import Mechanism
    from secure_fl.policy import SitePolicy
    from secure_fl.policy_datasets import DatasetBudget


def privacy_problems(policy: SitePolicy, mechanism: Mechanism) -> list[str]:
    """Return every point of the run's privacy that `policy` refuses, each in words.

    Raises:
        ConfigError: the policy limits what a run may spend, and the run has no sigma yet.
    """
    privacy = mechanism.privacy
    match privacy:
        case NoPrivacy():
            if policy.allow_no_privacy:
                return []
            return ["mode none gives no privacy guarantee, and it is not allowed here"]
        case RecordPrivacy():
            problems = _noise_problems(policy, privacy)
        case DistributedPrivacy() | SitePrivacy():
            problems = _noise_problems(policy, privacy)
            problems += _sharing_problems(policy, mechanism, privacy)
        case _:
            assert_never(privacy)
    entry = policy.entry_for(mechanism.data.dataset)
    if entry is None:
        return problems
    return (
        problems + _dataset_problems(entry, privacy) + _spending_problems(policy, mechanism, entry)
    )


def _noise_problems(policy: SitePolicy, privacy: Guaranteed) -> list[str]:
    problems = []
    if privacy.clip > policy.largest_clip:
        problems.append(f"clip {privacy.clip} exceeds the largest of {policy.largest_clip}")
    if policy.smallest_clip is not None and privacy.clip < policy.smallest_clip:
        problems.append(f"clip {privacy.clip} is below the smallest of {policy.smallest_clip}")
    rate = sampling_rate_of(privacy)
    # A site is in every round, and that is public: nothing is sampled that could be limited.
    if not isinstance(privacy, SitePrivacy) and rate > policy.largest_sampling_rate:
        problems.append(
            f"sampling rate {rate} exceeds the largest of {policy.largest_sampling_rate}"
        )
    least = policy.smallest_noise_multiplier
    if least is not None and privacy.sigma is not None and privacy.sigma < least:
        problems.append(f"noise multiplier {privacy.sigma:.4g} is below the smallest of {least:g}")
    if privacy.unit not in policy.allowed_units:
        problems.append(f"a guarantee per {privacy.unit.value} is not allowed")
    return problems


def _sharing_problems(
    policy: SitePolicy, mechanism: Mechanism, privacy: SharedNoisePrivacy
) -> list[str]:
    problems = []
    if privacy.colluders < policy.smallest_colluders:
        problems.append(
            f"its shared noise bears {privacy.colluders} colluding sites, and at least "
            f"{policy.smallest_colluders} have to be borne (`mechanism.privacy.colluders`)"
        )
    paid = mechanism.paid_drop_outs(mechanism.sites)
    if paid < policy.smallest_drop_outs:
        problems.append(
            f"its shared noise pays for {paid} drop-outs, and at least "
            f"{policy.smallest_drop_outs} have to be paid for (`mechanism.privacy.drop_outs`)"
        )
    return problems


def _dataset_problems(entry: DatasetBudget, privacy: Guaranteed) -> list[str]:
    problems = []
    if privacy.unit is not entry.unit:
        problems.append(
            f"the run's guarantee is per {privacy.unit.value}, and that of data set "
            f"`{entry.name}` is per {entry.unit.value}"
        )
    elif privacy.relation is not entry.relation:
        problems.append(
            f"the run's guarantee is under {privacy.relation.value}, and that of data set "
            f"`{entry.name}` is under {entry.relation.value}"
        )
    if privacy.delta > entry.delta:
        problems.append(
            f"the run's delta of {privacy.delta} exceeds {entry.delta} of data set `{entry.name}`"
        )
    return problems


def _spending_problems(policy: SitePolicy, mechanism: Mechanism, entry: DatasetBudget) -> list[str]:
    most = policy.largest_epsilon_per_run
    if most is None:
        return []
    from privacy.accounting import epsilon  # noqa: PLC0415 - dp_accounting is heavy

    spends = epsilon((planned_event(mechanism),), entry.delta, relation=entry.relation)
    if spends <= most:
        return []
    problem = (
        f"it would spend epsilon {spends:.4g} (delta {entry.delta:g}), and one run may spend "
        f"{most:g} at most"
    )
    return [problem]
