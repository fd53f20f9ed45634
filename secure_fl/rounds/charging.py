"""What a site's ledger sets aside, charges and shows of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.agreement import hkdf
from crypto.digests import canonical_json
from privacy.events import to_json as event_to_json
from privacy.ledger_fingerprints import Fingerprints
from secure_fl.guarantee import planned_event, round_event

if TYPE_CHECKING:
    from crypto.secrets import SecretBytes
    from crypto.signatures import SigningKey
    from privacy.ledger import Ledger
    from secure_fl.config import Mechanism
    from secure_fl.rounds.messages import Hello
    from secure_fl.rounds.site_parts import SiteParts
    from secure_fl.rounds.site_state import SiteState


def reserve(parts: SiteParts, mechanism: Mechanism, hello: Hello) -> tuple[bytes, bytes]:
    """Return the whole plan's event in canonical JSON, and the ledger's head with it set aside.

    Raises:
        BudgetError: the data set cannot afford it, the policy names none, or records come back
            that were used under another name; which and how many, the site's own log says.
    """
    version = parts.workbench.prepare(mechanism)
    dataset, budget = parts.policy.budget_for(mechanism)
    event = planned_event(mechanism)
    records = Fingerprints.of(parts.workbench.record_digests(), fingerprint_key(parts.key))
    head = parts.ledger.reserve(
        dataset, version, hello.run_id.hex(), event, budget, records=records
    )
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
    return extract_json(parts.ledger, state.hello.run_id.hex(), parts.key)


def extract_json(ledger: Ledger, run: str, key: SigningKey) -> bytes:
    """Return a ledger's entries of `run` as they may leave the site whose identity is `key`.

    Raises:
        ConfigError: the ledger has no entry of this run.
    """
    entries = ledger.extract(run, hkdf(key.seed(), "ledger-commitment", b"", 32))
    return canonical_json([entry.to_json() for entry in entries])


def fingerprint_key(key: SigningKey) -> SecretBytes:
    """Return the secret of the site whose identity is `key` for its records' fingerprints."""
    return hkdf(key.seed(), "ledger-fingerprints", b"", 32)
