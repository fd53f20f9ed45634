"""What a run promised of privacy, and what each site was charged for it, as facts of the report.

All of it follows from configuration, transcript and ledger extracts: `verify` computes it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from audits.facts import (
    CrossCheck,
    DistributedPrivacyFacts,
    LedgerHead,
    NoiseShareFacts,
    NoPrivacyFacts,
    RecordPrivacyFacts,
    Selection,
    SiteCharge,
    SitePrivacyFacts,
)
from crypto.errors import ConfigError, IntegrityError
from privacy import accounting
from privacy.ledger_entries import charged_events
from privacy.opacus_prv import prv_epsilon
from secure_fl.config import DistributedPrivacy, NoPrivacy, RecordPrivacy, SitePrivacy
from secure_fl.guarantee import planned_event, round_event, steps_of
from secure_fl.rounds.grids import noise_shares_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from privacy.events import Event
    from privacy.ledger_entries import ExtractEntry
    from secure_fl.config import Guaranteed, Mechanism
    from secure_fl.transcript_check import CheckedTranscript

    PrivacyFacts = RecordPrivacyFacts | DistributedPrivacyFacts | SitePrivacyFacts | NoPrivacyFacts


def privacy_facts(
    mechanism: Mechanism,
    checked: CheckedTranscript,
    extracts: Mapping[str, Sequence[ExtractEntry]],
) -> PrivacyFacts:
    """Return what was promised, and what each site that joined was charged for it.

    Raises:
        IntegrityError: the mechanism has no sigma, or a round was held by so few sites that
            nobody's share of the noise counts.
    """
    match mechanism.privacy:
        case RecordPrivacy() as privacy:
            return _record(mechanism, privacy, checked, extracts)
        case DistributedPrivacy() as privacy:
            return _distributed(mechanism, privacy, checked, extracts)
        case SitePrivacy() as privacy:
            return _whole_sites(mechanism, privacy, checked, extracts)
        case NoPrivacy():
            return NoPrivacyFacts(
                sites=tuple(
                    LedgerHead(site=site, ledger_head=checked.heads[site].hex())
                    for site in sorted(checked.joined)
                )
            )


@dataclass(frozen=True)
class _Claimed:
    """What is claimed in every mode: for the plan, and for what each site was charged."""

    sigma: float
    epsilon: float
    accountant: str
    steps: int
    sites: tuple[SiteCharge, ...]


def _claimed(
    mechanism: Mechanism,
    privacy: Guaranteed,
    checked: CheckedTranscript,
    extracts: Mapping[str, Sequence[ExtractEntry]],
) -> _Claimed:
    if privacy.sigma is None:
        raise IntegrityError("A private run ended without a sigma: its report cannot be written.")
    plan = (planned_event(mechanism),)
    claim = accounting.claim(plan, privacy.delta, relation=privacy.relation)
    return _Claimed(
        sigma=privacy.sigma,
        epsilon=claim.epsilon,
        accountant=claim.method.value,
        steps=steps_of(mechanism, mechanism.training.rounds),
        sites=tuple(
            _charge(site, _events_of(site, mechanism, checked, extracts), privacy, checked)
            for site in sorted(checked.joined)
        ),
    )


def _record(
    mechanism: Mechanism,
    privacy: RecordPrivacy,
    checked: CheckedTranscript,
    extracts: Mapping[str, Sequence[ExtractEntry]],
) -> RecordPrivacyFacts:
    claimed = _claimed(mechanism, privacy, checked, extracts)
    plan = (planned_event(mechanism),)
    return RecordPrivacyFacts(
        unit=privacy.unit,
        relation=privacy.relation,
        target_epsilon=privacy.epsilon,
        epsilon=claimed.epsilon,
        delta=privacy.delta,
        noise_multiplier=claimed.sigma,
        clip=privacy.clip,
        steps=claimed.steps,
        accountant=claimed.accountant,
        cross_checks=(
            CrossCheck(
                accountant="dp-accounting RDP",
                epsilon=accounting.rdp_epsilon(plan, privacy.delta),
            ),
            CrossCheck(accountant="Opacus PRV", epsilon=prv_epsilon(plan, privacy.delta)),
        ),
        selection=Selection(privacy.selection),
        sites=claimed.sites,
        sampling_rate=privacy.sampling_rate,
    )


def _distributed(
    mechanism: Mechanism,
    privacy: DistributedPrivacy,
    checked: CheckedTranscript,
    extracts: Mapping[str, Sequence[ExtractEntry]],
) -> DistributedPrivacyFacts:
    claimed = _claimed(mechanism, privacy, checked, extracts)
    return DistributedPrivacyFacts(
        unit=privacy.unit,
        relation=privacy.relation,
        target_epsilon=privacy.epsilon,
        epsilon=claimed.epsilon,
        delta=privacy.delta,
        noise_multiplier=claimed.sigma,
        clip=privacy.clip,
        steps=claimed.steps,
        accountant=claimed.accountant,
        cross_checks=_of_shared_noise(mechanism, privacy),
        selection=Selection(privacy.selection),
        sites=claimed.sites,
        shares=_shares(mechanism, checked),
        sampling_rate=privacy.sampling_rate,
    )


def _whole_sites(
    mechanism: Mechanism,
    privacy: SitePrivacy,
    checked: CheckedTranscript,
    extracts: Mapping[str, Sequence[ExtractEntry]],
) -> SitePrivacyFacts:
    claimed = _claimed(mechanism, privacy, checked, extracts)
    return SitePrivacyFacts(
        unit=privacy.unit,
        relation=privacy.relation,
        target_epsilon=privacy.epsilon,
        epsilon=claimed.epsilon,
        delta=privacy.delta,
        noise_multiplier=claimed.sigma,
        clip=privacy.clip,
        steps=claimed.steps,
        accountant=claimed.accountant,
        cross_checks=_of_shared_noise(mechanism, privacy),
        selection=Selection(privacy.selection),
        sites=claimed.sites,
        shares=_shares(mechanism, checked),
    )


def _of_shared_noise(
    mechanism: Mechanism, privacy: DistributedPrivacy | SitePrivacy
) -> tuple[CrossCheck, ...]:
    """Return the second bound that is proved of discrete noise, and what continuous would give."""
    plan = (planned_event(mechanism),)
    return (
        CrossCheck(
            accountant="dp-accounting PLD of continuous noise that is rounded",
            epsilon=accounting.smoothed_epsilon(plan, privacy.delta, relation=privacy.relation),
        ),
        CrossCheck(
            accountant="dp-accounting PLD of one continuous Gaussian",
            epsilon=accounting.approximate_epsilon(plan, privacy.delta, relation=privacy.relation),
            approximation=True,
        ),
    )


def _shares(mechanism: Mechanism, checked: CheckedTranscript) -> tuple[NoiseShareFacts, ...]:
    """Return how the noise was shared, once for each number of sites that a round began with."""
    facts = []
    for cohort in sorted(set(checked.cohorts.values()), reverse=True):
        try:
            shares = noise_shares_of(mechanism, cohort)
        except ConfigError as error:
            raise IntegrityError(
                f"The transcript shows a round of {cohort} sites, so few that nobody's share of "
                "the noise counts: its sum was opened without the noise that is claimed."
            ) from error
        facts.append(
            NoiseShareFacts(
                cohort=shares.cohort, drop_outs=shares.drop_outs, colluders=shares.colluders
            )
        )
    return tuple(facts)


@dataclass(frozen=True)
class _Events:
    """What one site's records went through: set aside, drawn, and charged in all."""

    reserved: tuple[Event, ...]
    drawn: tuple[Event, ...]
    charged: tuple[Event, ...]


def _events_of(
    site: str,
    mechanism: Mechanism,
    checked: CheckedTranscript,
    extracts: Mapping[str, Sequence[ExtractEntry]],
) -> _Events:
    """Return a site's events from its extract, or else from the statements that it signed."""
    if site in checked.extracts:
        entries = extracts[site]
        return _Events(
            reserved=tuple(entry.event for entry in entries if entry.draw is None),
            drawn=tuple(entry.event for entry in entries if entry.draw is not None),
            charged=charged_events(entries),
        )
    uploads = checked.uploads.get(site, set())
    repeated = len(uploads) - len({round_ for round_, _ in uploads})
    plan, each = planned_event(mechanism), round_event(mechanism)
    return _Events((plan,), (each,) * len(uploads), (plan, *(each,) * repeated))


def _charge(
    site: str, events: _Events, privacy: Guaranteed, checked: CheckedTranscript
) -> SiteCharge:
    def epsilon(of: tuple[Event, ...]) -> float:
        return accounting.epsilon(of, privacy.delta, relation=privacy.relation)

    return SiteCharge(
        site=site,
        reserved_epsilon=epsilon(events.reserved),
        drawn_epsilon=epsilon(events.drawn),
        charged_epsilon=epsilon(events.charged),
        extra_draws=len(events.charged) - len(events.reserved),
        ledger_head=checked.heads[site].hex(),
    )
