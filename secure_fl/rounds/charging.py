"""What a site's ledger sets aside, charges and shows of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.agreement import hkdf
from crypto.digests import canonical_json
from privacy.events import to_json as event_to_json
from secure_fl.guarantee import planned_event, round_event

if TYPE_CHECKING:
    from secure_fl.config import Mechanism
    from secure_fl.rounds.messages import Hello
    from secure_fl.rounds.site_parts import SiteParts
    from secure_fl.rounds.site_state import SiteState


def reserve(parts: SiteParts, mechanism: Mechanism, hello: Hello) -> tuple[bytes, bytes]:
    """Return the whole plan's event in canonical JSON, and the ledger's head with it set aside.

    Raises:
        BudgetError: the data set cannot afford it, or the policy names none.
    """
    version = parts.workbench.prepare(mechanism)
    dataset, budget = parts.policy.budget_for(mechanism)
    event = planned_event(mechanism)
    head = parts.ledger.reserve(dataset, version, hello.run_id.hex(), event, budget)
    return canonical_json(event_to_json(event)), head


def charge(parts: SiteParts, mechanism: Mechanism, state: SiteState) -> tuple[bytes, bytes]:
    """Return the event of this round, and the ledger's head after it was charged."""
    dataset, budget = parts.policy.budget_for(mechanism)
    event = round_event(mechanism)
    head = parts.ledger.draw(
        dataset, state.hello.run_id.hex(), state.round, state.hello.attempt, event, budget
    )
    return canonical_json(event_to_json(event)), head


def extract(parts: SiteParts, state: SiteState) -> bytes:
    """Return the ledger's entries of this run in canonical JSON, with data sets as commitments."""
    key = hkdf(parts.key.seed(), "ledger-commitment", b"", 32)
    entries = parts.ledger.extract(state.hello.run_id.hex(), key)
    return canonical_json([entry.to_json() for entry in entries])
