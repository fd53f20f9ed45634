"""What protection costs: the demonstration's run against the same run without it.

Two runs of `examples/finance.toml` take turns in one process: one as the file says (DP-SGD at
each site, masked sums), one with `privacy.mode = "none"` and the plain sum. Model, records,
sites, steps, micro-batches and rounds are the same, and so is the number of records per step,
on average: Poisson samples vary in size. So what is compared is time per record read.

Measured are rounds, from sending `open` to the applied sum; evaluation is left out. Each ratio
says how many times as long a round takes with a thing as without it:

    total                 protected round / plain round, per record
    total, bare           protected round / the plain run's training alone, per record: here the
                          sum, signatures, ledger and log of the plain run count as protection too
    clip and noise        protected training / plain training, per record
    masks                 (plain round + what a protected one does more outside training) / plain
                          round: masks, keys, shares, and their signatures and sealed state
    ledger and log        protected round / the same without ledger, transcript and its proofs
    opening exchanges     (all plain rounds of the configured run + what the protected one does
                          more before its first round) / all plain rounds. Measured once; the
                          plan's accounting was done before in this process and is remembered

A ratio is the median over pairs of neighbours, which lead in turn; min and max are over pairs.
Process time leaves out what other processes do to the machine, and waiting for the disk; wall
time is shown beside it.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import torch

from benchmarks.cells import Cell, write_cells
from benchmarks.stepped_run import Bench, SteppedRun, Stretch
from crypto.errors import ConfigError, SecureFLError
from domains.catalogue import load_dataset
from secure_fl.config import NoPrivacy, RecordPrivacy, load_config
from secure_fl.failures import Failure
from secure_fl.guarantee import resolve_sigma
from secure_fl.views import Protection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from secure_fl.config import Mechanism, RunConfig

_CONFIG: Final = Path(__file__).resolve().parents[1] / "examples" / "finance.toml"
_PAIRS: Final = 5
_WARM_UP: Final = 1
"""Rounds of each run that are not measured: memory is allocated and kernels are chosen then."""


@dataclass(frozen=True)
class OverheadCell(Cell):
    """One ratio.

    Attributes:
        clock: process or wall time.
        n: sites.
        d: shared parameters.
        steps: optimiser steps of each site in one measured stretch.
        ratio: time with over time without, median over pairs.
        min: of the pairs.
        max: of the pairs.
        pairs: how many.
        seconds: what the thing itself took in a stretch, median.
    """

    clock: str
    n: int
    d: int
    steps: int
    ratio: float
    min: float
    max: float
    pairs: int
    seconds: float


@dataclass(frozen=True)
class Pair:
    """A stretch of the protected run and its neighbour of the plain one."""

    protected: Stretch
    plain: Stretch

    def per_record(self, protected: float, plain: float) -> float:
        """Return the ratio of two durations, each by the records of its own stretch."""
        return (protected / self.protected.records) / (plain / self.plain.records)

    @property
    def masks(self) -> float:
        """Seconds that the protected stretch takes more outside training."""
        return self.protected.rest - self.plain.rest


def plain_twin(mechanism: Mechanism, records: int) -> Mechanism:
    """Return `mechanism` without privacy and masks, with batches as large as samples on average.

    Args:
        mechanism: a private one.
        records: of one site.

    Raises:
        ConfigError: it is not private, so there is nothing to compare.
    """
    if not isinstance(mechanism.privacy, RecordPrivacy):
        raise ConfigError(
            "The configuration has privacy.mode = none: there is no protection to measure. "
            "Give one with mode record."
        )
    batch = max(1, round(mechanism.privacy.sampling_rate * records))
    return mechanism.model_copy(
        update={
            "privacy": NoPrivacy(mode="none"),
            "protection": Protection.PLAIN,
            "training": mechanism.training.model_copy(update={"batch_size": batch}),
        }
    )


def planned(mechanism: Mechanism, rounds: int) -> Mechanism:
    """Return `mechanism` over `rounds` rounds and without scrubbing, which no round does."""
    return mechanism.model_copy(
        update={
            "training": mechanism.training.model_copy(update={"rounds": rounds}),
            "data": mechanism.data.model_copy(update={"scrub": ()}),
        }
    )


def measure(
    config: RunConfig, *, pairs: int, rounds: int, note: Callable[[str], None]
) -> tuple[OverheadCell, ...]:
    """Return the ratios for the run that `config` describes, on generated records.

    Args:
        config: a private run; its number of rounds is replaced.
        pairs: how many stretches of each run are measured.
        rounds: rounds in one stretch.
        note: is told how far it is.

    Raises:
        SecureFLError: the run cannot be done here.
    """
    if pairs < 1 or rounds < 1:
        raise ConfigError(f"{pairs} pairs of {rounds} rounds measure nothing: give 1 or more.")
    torch.set_num_threads(config.runtime.threads)
    # The last round differs (it makes no keys for a next one), so one more is planned than done.
    mechanism = planned(config.mechanism, _WARM_UP + pairs * rounds + 1)
    dataset = load_dataset(mechanism.data.dataset, data=None, seed=mechanism.seed)
    plain = plain_twin(mechanism, len(dataset.train) // mechanism.sites)
    protected = resolve_sigma(mechanism)
    bench = Bench.of(protected, config.runtime, dataset)
    with tempfile.TemporaryDirectory(prefix="secure-fl-overhead-") as folder:
        place = Path(folder)
        with (
            SteppedRun(bench, protected, place / "protected") as ours,
            SteppedRun(bench, plain, place / "plain") as theirs,
        ):
            session = Pair(ours.open_session(), theirs.open_session())
            ours.rounds(_WARM_UP)
            theirs.rounds(_WARM_UP)
            measured = []
            for number in range(pairs):
                measured.append(_neighbours(ours, theirs, rounds, protected_first=number % 2 == 0))
                pair = measured[-1]
                ratio = pair.per_record(pair.protected.cpu, pair.plain.cpu)
                note(f"pair {number + 1} of {pairs}: {ratio:.4f}")
    size = _Size(protected.sites, bench.adapted.spec.size, rounds * protected.training.local_steps)
    configured = config.mechanism.training.rounds / rounds
    return (*_cells(size, measured), _opening_cell(size, session, measured, configured))


def _neighbours(
    ours: SteppedRun, theirs: SteppedRun, rounds: int, *, protected_first: bool
) -> Pair:
    """Measure both runs, one after the other; who leads alternates, so that a drift cancels."""
    gc.collect()
    if protected_first:
        return Pair(protected=ours.rounds(rounds), plain=theirs.rounds(rounds))
    plain = theirs.rounds(rounds)
    return Pair(protected=ours.rounds(rounds), plain=plain)


@dataclass(frozen=True)
class _Size:
    """The size that all cells share."""

    n: int
    d: int
    steps: int

    def cell(
        self, name: str, clock: str, ratios: Sequence[float], seconds: Sequence[float]
    ) -> OverheadCell:
        return OverheadCell(
            name=name,
            clock=clock,
            n=self.n,
            d=self.d,
            steps=self.steps,
            ratio=median(ratios),
            min=min(ratios),
            max=max(ratios),
            pairs=len(ratios),
            seconds=median(seconds),
        )


def _cells(size: _Size, pairs: Sequence[Pair]) -> tuple[OverheadCell, ...]:
    def cell(
        name: str, ratio: Callable[[Pair], float], cost: Callable[[Pair], float]
    ) -> OverheadCell:
        return size.cell(name, "process", [ratio(p) for p in pairs], [cost(p) for p in pairs])

    return (
        cell("total", lambda p: p.per_record(p.protected.cpu, p.plain.cpu), _protected_seconds),
        size.cell(
            "total",
            "wall",
            [p.per_record(p.protected.wall, p.plain.wall) for p in pairs],
            [p.protected.wall for p in pairs],
        ),
        cell(
            "total, bare",
            lambda p: p.per_record(p.protected.cpu, p.plain.training),
            _protected_seconds,
        ),
        cell(
            "clip and noise",
            lambda p: p.per_record(p.protected.training, p.plain.training),
            lambda p: p.protected.training,
        ),
        cell("masks", lambda p: (p.plain.cpu + p.masks) / p.plain.cpu, lambda p: p.masks),
        cell(
            "ledger and log",
            lambda p: p.protected.cpu / (p.protected.cpu - p.protected.log),
            lambda p: p.protected.log,
        ),
    )


def _protected_seconds(pair: Pair) -> float:
    return pair.protected.cpu


def _opening_cell(
    size: _Size, session: Pair, pairs: Sequence[Pair], stretches: float
) -> OverheadCell:
    """Return what the opening exchanges add to a run of `stretches` stretches; measured once."""
    plain = stretches * median(pair.plain.cpu for pair in pairs)
    more = session.protected.cpu - session.plain.cpu
    return size.cell("opening exchanges", "process", [(plain + more) / plain], [more])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the ratios; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead", description="What protection costs in a round."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--pairs", type=int, default=_PAIRS, help="measured pairs")
    parser.add_argument("--rounds", type=int, default=1, help="rounds in each half of a pair")
    parser.add_argument("--config", type=Path, default=_CONFIG, help="a private run to measure")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        cells = measure(config, pairs=options.pairs, rounds=options.rounds, note=_note)
    except SecureFLError as error:
        failure = Failure.of(error)
        failure.tell(sys.stderr, as_json=options.json)
        return int(failure.code)
    title = "Protected over plain: DP-SGD, masked sums, ledger and log against none of them"
    write_cells(title, cells, as_json=options.json)
    return 0


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
