"""A site's journal of what it answered, and how it finds that it was restored from a backup.

The journal is a hash chain over the requests of a run and their replies. Its head, with that of
the ledger, stands in what the site signs. What the site signed last comes back to it with the
coordinator's next invitation; a site whose own records do not reach that far is an old copy of
itself: its mask keys may have been used, and its ledger may lack what was spent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.codec import decode
from crypto.digests import sha256
from crypto.errors import IntegrityError
from crypto.signatures import schema_of
from secure_fl.rounds.messages import (
    STATEMENT_LIMIT_BYTES,
    Applied,
    ExtractSent,
    Heads,
    Joined,
    KeyMade,
    Released,
    SharesSent,
    Uploaded,
)
from secure_fl.rounds.reading import NO_DIGEST, expect, read_statement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crypto.signatures import Signed
    from privacy.ledger import Ledger
    from secure_fl.rounds.site_checks import Party
    from secure_fl.rounds.site_state import SiteState

HeadedStatement = Joined | SharesSent | KeyMade | Uploaded | Released | Applied | ExtractSent
HEADED: tuple[type[HeadedStatement], ...] = (
    Joined,
    SharesSent,
    KeyMade,
    Uploaded,
    Released,
    Applied,
    ExtractSent,
)
"""The statements in which a site's heads stand."""

_BY_LABEL = {schema_of(kind): kind for kind in HEADED}


def empty(ledger: bytes) -> Heads:
    """Return the heads of a site that has answered nothing of a run; `ledger` is its ledger's."""
    return Heads(entries=0, journal=NO_DIGEST, ledger=ledger)


def extended(heads: Heads, request_digest: bytes, reply: bytes) -> Heads:
    """Return the heads after one more request was answered."""
    link = sha256(heads.journal + request_digest + sha256(reply))
    return Heads(entries=heads.entries + 1, journal=link, ledger=heads.ledger)


def headed(signed: Signed) -> type[HeadedStatement] | None:
    """Return the kind of statement in `signed` if heads stand in it."""
    return _BY_LABEL.get(signed.label)


def heads_in(signed: Signed) -> Heads | None:
    """Return the heads in a statement whose signature was checked before, or None."""
    kind = headed(signed)
    if kind is None:
        return None
    return decode(kind, signed.body, limit_bytes=STATEMENT_LIMIT_BYTES).heads


def check_heads(
    signed: Iterable[Signed], state: SiteState | None, party: Party, ledger: Ledger
) -> None:
    """Return if this site's own last statement, among `signed`, is not ahead of its records.

    Without any state the site lost it: it may come back, with fresh keys, if its ledger is whole.

    Raises:
        IntegrityError: the state or the ledger was restored from an older copy.
        PeerError: a statement in this site's name that it never signed.
    """
    if state is not None:
        check_ledger(ledger, state.heads.ledger)  # whatever the coordinator hides
    for statement in signed:
        kind = headed(statement)
        if statement.signer != party.name:
            continue
        expect(kind is not None, "A statement came as this site's last that holds no heads.")
        if kind is None:
            continue
        heads = read_statement(statement, kind, party.name, party.roster).heads
        check_ledger(ledger, heads.ledger)
        if state is not None and heads.entries >= state.heads.entries:
            raise IntegrityError(
                f"This site has signed that it answered {heads.entries} requests of this run, and "
                f"its state knows of {state.heads.entries}: it was restored from an older copy, "
                "whose mask keys may have been used since. Nothing was answered. Move the run's "
                "state file away; the site then comes back with fresh keys."
            )


def check_ledger(ledger: Ledger, head: bytes) -> None:
    """Return if the ledger once ended in `head`, as this site signed or stored.

    Raises:
        IntegrityError: it did not: it was restored from an older copy.
    """
    if not ledger.knows(head):
        raise IntegrityError(
            "This site's ledger does not hold the head that the site has signed or stored: it was "
            "restored from an older copy, and lacks what was spent since. Nothing was answered. "
            "Restore the newest copy, and tell the compliance officer."
        )
