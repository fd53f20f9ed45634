"""How the gates of an audit judge correct code, and code with a seeded fault.

    python -m benchmarks.audit_gates                    correct code and every fault, every mode
    python -m benchmarks.audit_gates --runs 30          as many rehearsals of each
    python -m benchmarks.audit_gates --processes 2      as many of them side by side
    python -m benchmarks.audit_gates --only correct

On correct code no gate may say `violated`; with a fault the gate that is named for it has to. Each
row is a mode at an epsilon; `named` counts the rehearsals in which the named gate turned, `any` in
which one did.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from audits.findings import Verdict
from benchmarks.audit_bugs import BUGS, COLLUDERS_UNPAID, SCRUBBING_OFF, SeededBug
from benchmarks.cells import Cell, write_cells
from secure_fl.auditing.scrubbing_probe import probe_scrubbing
from secure_fl.config import RunConfig, load_config
from secure_fl.guarantee import resolve_sigma
from secure_fl.rehearsal import judge, plan_of, rehearse_all
from secure_fl.rehearsal.colluding import colluding_plan, judge_colluding, rehearse_colluding
from secure_fl.rehearsal.noised_sums import CANARIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from audits.findings import Finding
    from secure_fl.config import Mechanism

_EXAMPLES: Final = Path(__file__).resolve().parents[1] / "examples"
_BASES: Final = {
    "record": "finance-fpb-dp.toml",
    "record-distributed": "finance-fpb-shared.toml",
    "site": "finance-fpb-shared.toml",
}
_CORRECT: Final = "correct code"
_CORRECT_SHARES: Final = "correct shares, two of eight collude"
_CORRECT_SCRUBBING: Final = "correct scrubbing"
_FAULTS: Final = {bug.name: bug for bug in (*BUGS, COLLUDERS_UNPAID, SCRUBBING_OFF)}
_OF_SITES: Final = "site"
_SHARED: Final = ("record-distributed", _OF_SITES)
_COLLUDING: Final = {"sites": 8, "colluders": 2, "drop_outs": 1}
"""Shares that do not count two colluders leave five honest sites sqrt(5 / 7) of the noise."""


@dataclass(frozen=True)
class GateCell(Cell):
    """What became of some rehearsals.

    Attributes:
        mode: of privacy.
        epsilon: the run's.
        runs: how many rehearsals.
        gate: that is named for the fault.
        named: in how many of them it said violated.
        any: in how many one of the gates did.
        inconclusive: in how many one of the gates had no power.
    """

    mode: str
    epsilon: float
    runs: int
    gate: str | None
    named: int | None
    any: int
    inconclusive: int


@dataclass(frozen=True)
class Row:
    """One row of the table, before anything was rehearsed; it can be sent to another process.

    Attributes:
        correct: its name where the code is.
        mode: of privacy.
        epsilon: the run's.
        fault: the seeded one's name; None on correct code.
    """

    correct: str
    mode: str
    epsilon: float
    fault: str | None

    @property
    def name(self) -> str:
        """What stands in the table."""
        return self.fault or self.correct

    def counted(self, runs: int) -> GateCell:
        """Rehearse `runs` times and count verdicts."""
        bug = None if self.fault is None else _FAULTS[self.fault]
        if self.correct == _CORRECT_SCRUBBING:
            return measured_scrubbing(self.mode, self.epsilon, bug)
        of = measured_colluding if self.correct == _CORRECT_SHARES else measured
        return of(self.mode, self.epsilon, bug, runs)


def mechanism_of(mode: str, epsilon: float) -> Mechanism:
    """Return an example's mechanism in `mode` at `epsilon`, its sigma resolved."""
    config = load_config(_EXAMPLES / _BASES[mode])
    table = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    privacy = table["mechanism"]["privacy"]
    for derived in ("sigma", "noise_multiplier"):
        privacy.pop(derived, None)
    privacy["epsilon"] = epsilon
    if mode == _OF_SITES:
        kept = ("delta", "epsilon", "clip", "colluders", "drop_outs")
        table["mechanism"]["privacy"] = {"mode": mode} | {
            key: privacy[key] for key in kept if key in privacy
        }
        table["mechanism"]["training"]["batch_size"] = 8
    return resolve_sigma(RunConfig.model_validate(table).mechanism)


def measured(mode: str, epsilon: float, bug: SeededBug | None, runs: int) -> GateCell:
    """Rehearse `runs` times and count verdicts."""
    # Correct code with as many canaries as the audit takes, faults with a thousand.
    plan = plan_of(mechanism_of(mode, epsilon), None if bug is None else CANARIES)
    plan = plan if bug is None else bug.plan(plan)

    def found() -> tuple[Finding, ...]:
        with nullcontext() if bug is None else bug.seeded(plan):
            rehearsed = rehearse_all(plan, lambda _, __: None)
        return judge(plan, rehearsed)

    return _counted(_CORRECT if bug is None else bug.name, (mode, epsilon), bug, runs, found)


def _counted(
    name: str,
    at: tuple[str, float],
    bug: SeededBug | None,
    runs: int,
    find: Callable[[], tuple[Finding, ...]],
) -> GateCell:
    """Count the verdicts of `runs` rehearsals at a mode and an epsilon."""
    named = violated = weak = 0
    for _ in range(runs):
        found = find()
        verdicts = {finding.gate: finding.verdict for finding in found}
        violated += Verdict.VIOLATED in verdicts.values()
        weak += Verdict.INCONCLUSIVE in verdicts.values()
        named += bug is not None and verdicts[bug.gate] is Verdict.VIOLATED
        _tell(*at, bug, found)
    gate, turned = (None, None) if bug is None else (bug.gate, named)
    return GateCell(name, *at, runs, gate, turned, violated, weak)


def colluding_mechanism(mode: str, epsilon: float) -> Mechanism:
    """Return the mechanism of `mechanism_of` among eight sites, of which two may collude."""
    mechanism = mechanism_of(mode, epsilon)
    table = mechanism.model_dump(mode="json", by_alias=True, exclude_none=True)
    table["sites"] = _COLLUDING["sites"]
    table["privacy"] |= {key: _COLLUDING[key] for key in ("colluders", "drop_outs")}
    del table["privacy"]["sigma"]
    return resolve_sigma(type(mechanism).model_validate(table))


def measured_colluding(mode: str, epsilon: float, bug: SeededBug | None, runs: int) -> GateCell:
    """Rehearse `runs` times what two colluding sites of eight are left with, and count verdicts."""
    plan, collusion = colluding_plan(colluding_mechanism(mode, epsilon))

    def found() -> tuple[Finding, ...]:
        with nullcontext() if bug is None else bug.seeded(plan):
            left = rehearse_colluding(plan, collusion, lambda _, __: None)
        return judge_colluding(plan, collusion, left)

    return _counted(_CORRECT_SHARES if bug is None else bug.name, (mode, epsilon), bug, runs, found)


def measured_scrubbing(mode: str, epsilon: float, bug: SeededBug | None) -> GateCell:
    """Scrub the invented notes; they are the same in every rehearsal, so one is enough."""
    mechanism = mechanism_of(mode, epsilon)
    with nullcontext() if bug is None else bug.seeded(plan_of(mechanism, CANARIES)):
        found = probe_scrubbing(mechanism)
    _tell(mode, epsilon, bug, (found,))
    violated = int(found.verdict is Verdict.VIOLATED)
    return GateCell(
        _CORRECT_SCRUBBING if bug is None else bug.name,
        mode,
        epsilon,
        1,
        None if bug is None else bug.gate,
        None if bug is None else violated,
        violated,
        int(found.verdict is Verdict.INCONCLUSIVE),
    )


def _tell(mode: str, epsilon: float, bug: SeededBug | None, found: Sequence[Finding]) -> None:
    said = ", ".join(f"{finding.gate} {finding.verdict.value}" for finding in found)
    name = _CORRECT if bug is None else bug.name
    print(f"{mode}, epsilon {epsilon:g}, {name}: {said}", file=sys.stderr, flush=True)


def rows_of(modes: Sequence[str], epsilons: Sequence[float], only: str) -> list[Row]:
    """Return the rows whose name has `only` in it.

    A fault is looked for at the largest epsilon, where it is hardest to see.
    """

    def each(correct: str, mode: str, faults: Sequence[SeededBug]) -> list[Row]:
        right = [Row(correct, mode, epsilon, None) for epsilon in epsilons]
        return right + [Row(correct, mode, epsilons[-1], fault.name) for fault in faults]

    rows: list[Row] = []
    for mode in modes:
        rows += each(_CORRECT, mode, [bug for bug in BUGS if bug.of_sites or mode != _OF_SITES])
    for mode in modes:
        rows += each(_CORRECT_SHARES, mode, [COLLUDERS_UNPAID]) if mode in _SHARED else []
    # Records are scrubbed before they are trained on, in every mode alike.
    rows += each(_CORRECT_SCRUBBING, modes[0], [SCRUBBING_OFF])[len(epsilons) - 1 :]
    return [row for row in rows if only in row.name]


def counted(rows: Sequence[Row], runs: int, processes: int) -> list[GateCell]:
    """Return what became of `runs` rehearsals of each of `rows`, so many side by side."""
    if processes == 1:
        _one_thread()
        return [row.counted(runs) for row in rows]
    # The invented notes are the same in every rehearsal of scrubbing.
    often = [1 if row.correct == _CORRECT_SCRUBBING else runs for row in rows]
    tasks = [row for row, times in zip(rows, often, strict=True) for _ in range(times)]
    with multiprocessing.get_context("spawn").Pool(processes, _one_thread) as pool:
        single = iter(pool.map(_once, tasks, chunksize=1))
    return [_together([next(single) for _ in range(times)]) for times in often]


def _one_thread() -> None:
    torch.set_num_threads(1)  # as a run's audit by default: arrays this small gain nothing by more


def _once(row: Row) -> GateCell:
    return row.counted(1)


def _together(cells: Sequence[GateCell]) -> GateCell:
    """Return the sum of what was counted in rehearsals of one row."""
    return replace(
        cells[0],
        runs=sum(cell.runs for cell in cells),
        named=None if cells[0].named is None else sum(cell.named or 0 for cell in cells),
        any=sum(cell.any for cell in cells),
        inconclusive=sum(cell.inconclusive for cell in cells),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; return 1 if a gate alarmed on correct code, or missed its fault."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.audit_gates", description="Audits of seeded faults."
    )
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--modes", nargs="*", default=list(_BASES))
    parser.add_argument("--epsilons", nargs="*", type=float, default=[1.0, 4.0, 8.0])
    parser.add_argument("--only", default="", help="a word in the row's name")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    rows = rows_of(options.modes, options.epsilons, options.only)
    cells = counted(rows, options.runs, options.processes)
    write_cells("Gates on correct and on faulty code", cells, as_json=options.json)
    good = all(cell.any == 0 if cell.named is None else cell.named == cell.runs for cell in cells)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
