"""What a ledger says of each named data set, for people and for machines.

Every epsilon is computed from events when it is asked for. Epsilons do not add up: what all runs
together spent is less than the sum of what each would have spent alone.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audits.numerals import bound
from crypto.errors import ConfigError
from privacy.ledger_spending import said
from privacy.ledger_terms import Planned, composition_json

if TYPE_CHECKING:
    from typing import TextIO

    from privacy.ledger import Ledger
    from privacy.ledger_terms import Composition, Terms
    from secure_fl.policy import SitePolicy


@dataclass(frozen=True)
class Part:
    """What one run, or one year, was charged alone."""

    name: str
    spent: float


@dataclass(frozen=True)
class DatasetAccount:
    """One named data set.

    Attributes:
        name: the officer's.
        terms: what epsilon means; None for a name that was charged for a restored backup alone.
        composition: how its runs compose.
        people: the names that share people with it, and spend with it.
        ceiling: the policy's; None where the policy names it no more, or is not there.
        spent: over all runs; infinite after a use without a guarantee.
        years: by calendar year.
        runs: by run, in the order of their first charge.
    """

    name: str
    terms: Terms | None
    composition: Composition
    people: tuple[str, ...]
    ceiling: float | None
    spent: float
    years: tuple[Part, ...]
    runs: tuple[Part, ...]

    @property
    def left(self) -> float | None:
        """The ceiling minus what is spent, not below 0; None where there is no ceiling."""
        return None if self.ceiling is None else max(0.0, self.ceiling - self.spent)


def accounts_of(ledger: Ledger, policy: SitePolicy | None) -> tuple[DatasetAccount, ...]:
    """Return the account of every data set that the ledger knows, ascending by name.

    Raises:
        IntegrityError: the ledger does not verify.
    """
    return tuple(_account(ledger, policy, name) for name in ledger.names())


def _account(ledger: Ledger, policy: SitePolicy | None, name: str) -> DatasetAccount:
    charges = ledger.charges(name)
    people = tuple(sorted(ledger.people(name) - {name}))
    try:
        total = ledger.total(name)
    except ConfigError:
        # Charged by a restoration, and never declared: what was lost of it has no terms.
        return _undeclared(ledger, policy, name)
    runs = dict.fromkeys(charge.run for charge in charges if charge.run is not None)
    years = sorted({charge.year for charge in charges})
    return DatasetAccount(
        name=name,
        terms=total.terms,
        composition=total.composition,
        people=people,
        ceiling=_ceiling(policy, name),
        spent=total.epsilon,
        years=tuple(Part(str(year), ledger.total(name, year=year).epsilon) for year in years),
        runs=tuple(Part(run, ledger.total(name, run=run).epsilon) for run in runs),
    )


def _undeclared(ledger: Ledger, policy: SitePolicy | None, name: str) -> DatasetAccount:
    entries = () if policy is None else policy.datasets
    delta = next((entry.delta for entry in entries if entry.name == name), None)
    if delta is not None:
        spent = ledger.spent(name, delta)
    else:
        # Nothing says what epsilon would mean here: no number could be claimed.
        spent = math.inf if ledger.charges(name) else 0.0
    return DatasetAccount(
        name=name,
        terms=None,
        composition=Planned(),
        people=tuple(sorted(ledger.people(name) - {name})),
        ceiling=_ceiling(policy, name),
        spent=spent,
        years=(),
        runs=(),
    )


def _ceiling(policy: SitePolicy | None, name: str) -> float | None:
    if policy is None or all(entry.name != name for entry in policy.datasets):
        return None
    return policy.ceiling(name)


def write_accounts(
    ledger: Ledger, policy: SitePolicy | None, stream: TextIO, *, as_json: bool
) -> None:
    """Write what the ledger says of each data set to `stream`.

    Raises:
        IntegrityError: the ledger does not verify.
    """
    accounts = accounts_of(ledger, policy)
    head, entries = ledger.head().hex(), len(ledger.history())
    if as_json:
        value = {
            "schema": "secure-fl.ledger-show.v1",
            "head": head,
            "entries": entries,
            "datasets": [_as_json(account) for account in accounts],
        }
        stream.write(json.dumps(value, ensure_ascii=False) + "\n")
        return
    _write_tables(accounts, stream)
    counted = "1 entry" if entries == 1 else f"{entries} entries"
    stream.write(f"{counted}, which verify. Head: {head}\n")


def _as_json(account: DatasetAccount) -> dict[str, object]:
    terms = account.terms
    return {
        "name": account.name,
        "unit": None if terms is None else terms.unit.value,
        "relation": None if terms is None else terms.relation.value,
        "delta": None if terms is None else terms.delta,
        "composition": composition_json(account.composition),
        "shares_people_with": list(account.people),
        "ceiling": account.ceiling,
        "left": account.left,
        **_spent_json(account.spent),
        "years": [{"year": int(part.name), **_spent_json(part.spent)} for part in account.years],
        "runs": [{"run": part.name, **_spent_json(part.spent)} for part in account.runs],
    }


def _spent_json(spent: float) -> dict[str, object]:
    """Return an epsilon; JSON has no infinity, which stands for a use without any guarantee."""
    return {"spent": None if math.isinf(spent) else spent, "no_guarantee": math.isinf(spent)}


def _write_tables(accounts: tuple[DatasetAccount, ...], stream: TextIO) -> None:
    from rich.console import Console  # noqa: PLC0415 - a machine that reads JSON needs none
    from rich.table import Table  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    console = Console(file=stream, highlight=False)
    if not accounts:
        console.print("No data set was used yet.")
    for account in accounts:
        console.print(Text(account.name, style="bold"))
        console.print(Text(f"  {_meaning(account)}"))
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        for row in _rows(account):
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
        console.print()


def _meaning(account: DatasetAccount) -> str:
    terms = account.terms
    if terms is None:
        return "charged for a backup that was restored, and never declared"
    shared = f"; shares people with {', '.join(account.people)}" if account.people else ""
    return (
        f"per {terms.unit.value}, {terms.relation.value}, delta {terms.delta:g}, "
        f"{said(account.composition)}{shared}"
    )


def _rows(account: DatasetAccount) -> list[tuple[str, str]]:
    ceiling, left = account.ceiling, account.left
    rows = [
        ("  ceiling", "not in the policy" if ceiling is None else bound(ceiling, places=4)),
        ("  spent", _shown(account.spent)),
    ]
    if left is not None:
        rows.append(("  left", "none" if left == 0.0 else f"{_floored(left)}"))
    rows += [(f"  in {part.name}, alone", _shown(part.spent)) for part in account.years]
    rows += [(f"  run {part.name}, alone", _shown(part.spent)) for part in account.runs]
    return rows


def _shown(epsilon: float) -> str:
    return "infinity (no guarantee)" if math.isinf(epsilon) else bound(epsilon, places=4)


def _floored(epsilon: float) -> str:
    return f"{math.floor(epsilon * 1e4) / 1e4:.4f}"
