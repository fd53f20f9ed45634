"""What is about to be written to a ledger, and the checks of an officer's word that go with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crypto.errors import BudgetError
from privacy.ledger_acts import Declaration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from privacy.ledger_accounts import Accounts
    from privacy.ledger_acts import Line
    from privacy.ledger_fingerprints import Fingerprints
    from privacy.ledger_terms import Budget


@dataclass(frozen=True)
class Proposal:
    """Lines to be appended in one transaction, and fingerprints to be stored with the last one."""

    lines: tuple[Line, ...] = ()
    prints: frozenset[bytes] = frozenset()

    def and_then(self, line: Line, prints: frozenset[bytes] = frozenset()) -> Proposal:
        """Return this with one more line."""
        return replace(self, lines=(*self.lines, line), prints=prints)


def declaration_needed(
    accounts: Accounts, dataset: str, budget: Budget, time: str
) -> Declaration | None:
    """Return what has to be declared before `dataset` is used; None where it was declared already.

    Raises:
        ConfigError: a name has a wrong form.
    """
    new = Declaration(
        sequence=accounts.sequence + 1,
        time=time,
        dataset=dataset,
        terms=budget.terms,
        composition=budget.composition,
        shares_people_with=tuple(sorted({*budget.shares_people_with} - {dataset})),
    )
    old = accounts.declaration(dataset)
    if old is not None and replace(new, sequence=old.sequence, time=old.time) == old:
        return None
    return new


def require_new_people(
    accounts: Accounts,
    dataset: str,
    records: Fingerprints,
    seen: Mapping[str, AbstractSet[bytes]],
    largest_share: float,
) -> None:
    """Refuse records that were used under another name which shares no people with `dataset`.

    Args:
        accounts: what was declared so far.
        dataset: the name that the records are asked for under.
        records: their fingerprints.
        seen: those of them that are stored, by data set's name.
        largest_share: how large a part of the records may come back, 0 to 1.

    Raises:
        BudgetError: more come back, or it cannot be known, since the other name's fingerprints
            were made under another secret. The counts are the site's own business.
    """
    strangers = accounts.other_keys(dataset, records.key)
    if strangers:
        raise BudgetError(
            f"The records of `{strangers[0]}` were fingerprinted under another identity of this "
            f"site, so whether some of them come back as `{dataset}` cannot be seen: nothing was "
            f"charged. The compliance officer declares in the policy that `{dataset}` "
            f'`shares_people_with = ["{strangers[0]}"]`, and both spend from one budget.'
        )
    own = accounts.people(dataset)
    for name, found in sorted(seen.items()):
        if name in own or len(found) <= largest_share * len(records.values):
            continue
        raise BudgetError(
            f"{len(found)} of the {len(records.values)} records of `{dataset}` were used before as "
            f"`{name}`, and would spend a second time what was spent there: nothing was charged. "
            f"The compliance officer declares in the policy that `{dataset}` `shares_people_with = "
            f'["{name}"]`, or the records are taken out.'
        )
