"""A site's own report, with exact counts; it stays in the site's folder."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from audits.facts import GuaranteedFacts
from audits.report import render_site_report
from audits.site_facts import (
    BudgetFacts,
    LabelCount,
    LedgerEntryFacts,
    PiiCount,
    ProviderFacts,
    SiteFacts,
    VetoCheckFacts,
    VetoFacts,
)
from crypto.digests import sha256
from crypto.errors import IntegrityError
from privacy.events import DistributedGaussian, SubsampledGaussian
from privacy.ledger_acts import Declaration, Restoration
from privacy.ledger_terms import Adaptive
from privacy.scrubbing.modes.modes import ScrubMode
from secure_fl.config import NoPrivacy
from secure_fl.rounds.site_state import NOTHING_SEEN
from secure_fl.storage import write_atomically

if TYPE_CHECKING:
    from audits.facts import ReportFacts, SiteCharge
    from privacy.events import Event
    from privacy.ledger_acts import Line
    from secure_fl.config import Mechanism
    from secure_fl.rounds.site_state import VetoMemory
    from secure_fl.site_home import SiteHome
    from secure_fl.sites.workbench import SiteWorkbench


def write_site_report(
    home: SiteHome,
    workbench: SiteWorkbench,
    facts: ReportFacts,
    mechanism: Mechanism,
) -> None:
    """Write `report.html` and `facts.json` into the site's own folder, readable by it alone."""
    own = _facts(home, workbench, facts, mechanism)
    write_atomically(home.folder / "facts.json", own.to_json())
    write_atomically(home.folder / "report.html", render_site_report(own).encode())


def _facts(
    home: SiteHome,
    workbench: SiteWorkbench,
    facts: ReportFacts,
    mechanism: Mechanism,
) -> SiteFacts:
    preparation = workbench.preparation
    if preparation is None:
        raise IntegrityError("The site trained without prepared records: its report has no counts.")
    name, budget = home.policy.budget_for(mechanism)
    spent = home.ledger.spent(name, budget.delta)
    labels = Counter(record.label for record in workbench.records.records)
    return SiteFacts(
        schema="secure-fl.site-facts.v1",
        site=home.name,
        consortium=home.roster.consortium,
        run=facts.run,
        dataset=name,
        dataset_version=workbench.records.version().hex(),
        training_records=len(workbench.records.records),
        records_changed=preparation.records_changed,
        labels=tuple(
            LabelCount(label=label, records=labels[index])
            for index, label in enumerate(workbench.records.labels)
        ),
        pii=tuple(
            PiiCount(entity=entity, spans=count) for entity, count in preparation.tally.counts
        ),
        scrubbing=next(entry for entry in facts.scrubbing if entry.site == home.name),
        providers=tuple(
            ProviderFacts(entity=p.entity, name=p.name, kind=p.kind.value, digest=p.digest)
            for p in preparation.providers
        ),
        residual=None if preparation.residual is None else preparation.residual.facts(),
        expert_statement=(
            home.policy.expert_statement
            if preparation.mode is ScrubMode.EXPERT_DETERMINATION
            else None
        ),
        charge=_charge(home.name, facts),
        budget=BudgetFacts(
            unit=budget.unit,
            relation=budget.relation,
            delta=budget.delta,
            ceiling_epsilon=home.policy.ceiling(name),
            spent_epsilon=spent if math.isfinite(spent) else None,
            renyi_order=(
                budget.composition.order if isinstance(budget.composition, Adaptive) else None
            ),
        ),
        ledger=_entries(home),
        ledger_head=home.ledger.head().hex(),
        report_sha256=facts.sha256(),
        veto=_veto(home, bytes.fromhex(facts.run.run_id), mechanism),
    )


def _veto(home: SiteHome, run_id: bytes, mechanism: Mechanism) -> VetoFacts | None:
    """Return what the site's looks at its own noised sums gave; None where nothing is claimed."""
    if isinstance(mechanism.privacy, NoPrivacy):
        return None
    state = home.store().load(run_id)
    memory = NOTHING_SEEN if state is None else state.veto
    policy = home.policy.veto
    return VetoFacts(
        sums=memory.vectors,
        refused=memory.refused,
        checks=(
            _checked("noise", policy.noise, memory),
            _checked("size", policy.size, memory),
            _checked("fresh", policy.fresh, memory),
        ),
    )


def _checked(
    kind: Literal["noise", "size", "fresh"],
    on: bool,  # noqa: FBT001 - a column of the table
    memory: VetoMemory,
) -> VetoCheckFacts:
    made = next((entry for entry in memory.checked if entry.kind == kind), None)
    if made is None:
        return VetoCheckFacts(kind=kind, on=on, checks=0, smallest_margin=None)
    return VetoCheckFacts(kind=kind, on=on, checks=made.made, smallest_margin=made.smallest_margin)


def _charge(site: str, facts: ReportFacts) -> SiteCharge | None:
    if not isinstance(facts.privacy, GuaranteedFacts):
        return None
    return next(charge for charge in facts.privacy.sites if charge.site == site)


def _entries(home: SiteHome) -> tuple[LedgerEntryFacts, ...]:
    return tuple(
        LedgerEntryFacts(
            number=entry.sequence,
            recorded=datetime.fromisoformat(entry.time),
            kind=entry.kind.value,
            run=None if isinstance(entry, Declaration | Restoration) else entry.run,
            event=_charged(entry),
            digest=sha256(entry.body()).hex(),
        )
        for entry in home.ledger.history()
    )


def _charged(line: Line) -> str:
    """Return what a line of the ledger charges, or what an officer declared with it."""
    match line:
        case Declaration():
            terms = line.terms
            others = ", ".join(line.shares_people_with) or "no other name"
            return (
                f"{line.dataset}: epsilon is per {terms.unit.value}, {terms.relation.value}, at "
                f"delta {terms.delta:g}; it shares people with {others}"
            )
        case Restoration():
            charged = "; ".join(
                f"{lost.dataset}: {', '.join(map(_said, lost.events))}" for lost in line.charges
            )
            return (
                "a backup took the ledger's place; charged for what was lost: "
                f"{charged or 'nothing'}"
            )
        case _:
            return _said(line.event)


def _said(event: Event) -> str:
    if isinstance(event, SubsampledGaussian):
        return (
            f"{event.steps} steps of DP-SGD, sigma {event.noise_multiplier:.4g}, sampling rate "
            f"{event.sampling_rate:.4g}"
        )
    if isinstance(event, DistributedGaussian):
        return (
            f"{event.steps} sums with shared noise, sigma {event.noise_multiplier:.4g}, sampling "
            f"rate {event.sampling_rate:.4g}"
        )
    return "training without noise: no bound holds"
