"""What a DP training step costs: beside the same step without privacy, and beside Opacus.

A step is forward, backward and AdamW on one batch of equally long examples, by per-example losses.
The DP step also clips each example's gradient, draws the noise from the cryptographic stream, adds
and divides. Model, batch, optimiser and losses are the same objects for all, and in each round all
ways take their steps one after the other, in an order that turns from round to round. A way is
attached to the model outside the clock: a run does that once per round of training.

Every way must first reach the clipped sum of a loop over single examples, or the cell holds an
error instead of its numbers; so it does where Opacus raises. Opacus' modes are those of its 1.6:
`hooks`, `ghost` (ghost clipping), `functorch`, `ew` (expanded weights).

    ratio to nonprivate        time of ours / time without privacy
    ours over theirs           time of ours / time of Opacus in that mode
    peak bytes                 what the step holds at most, see `benchmarks.dp_step_memory`
    peak to nonprivate         the same over that of the step without privacy

A ratio is the median over rounds of the ratio within a round; min and max are over rounds. Opacus
takes part in every third round: its ratios need fewer. Time is process time of `--threads` threads
(on a GPU wall time, of synchronised steps).

With `--full` also larger and other adapters. With `--device cuda` one cell: a Llama of 1.1 billion
bfloat16 parameters at length 512; where no GPU is at hand it says so and has no numbers.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Final

import torch

from benchmarks.cells import Cell, write_cells
from benchmarks.dp_step_memory import peak_bytes, shown_noise
from benchmarks.dp_step_models import (
    BERT_384_6,
    LLAMA_1B,
    LLAMA_512_8,
    LORA,
    PEFT_TYPES,
    TINY,
    Workload,
)
from benchmarks.dp_step_variants import OPACUS_MODES, Bench
from crypto.errors import ConfigError, SecureFLError
from secure_fl.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor

    from benchmarks.dp_step_variants import Way

NONPRIVATE: Final = "nonprivate"
OURS: Final = "ours"
_ROUNDS: Final = 15
_OPACUS_EVERY: Final = 3
_BATCHES: Final = (16, 32)
_TRIAL_BATCH: Final = 4
_TOLERANCE: Final = 1e-3
"""Opacus adds 1e-6 to each norm before it divides; 16-bit weights get `_COARSE`."""
_COARSE: Final = 5e-2
_NO_GPU: Final = "No CUDA device is at hand here: not measured."


@dataclass(frozen=True)
class DpStepCell(Cell):
    """One model, adapter and batch; times are per step.

    Attributes:
        architecture: hidden size / layers.
        peft: the adapter.
        batch: examples in a step.
        length: tokens of each.
        trainable: parameters.
        device: where, and in which dtype.
        rounds: how many, of the DP step and the ordinary one.
        seconds: of the DP step, median.
        ratio_to_nonprivate: the DP step's time over the ordinary step's, median over rounds.
        min: of that ratio.
        max: of that ratio.
        ratio_to_hooks: the DP step's time over that of Opacus' hooks; the other modes likewise.
        hooks_to_nonprivate: the time of Opacus' hooks over the ordinary step's; others likewise.
        peak_bytes: what the DP step holds at most.
        peak_to_nonprivate: the same over the ordinary step's.
        hooks_peak_to_nonprivate: that of Opacus' hooks over the ordinary step's; others likewise.
        error: why there are no numbers, by way.
    """

    architecture: str
    peft: str
    batch: int
    length: int
    device: str
    trainable: int | None = None
    rounds: int = 0
    seconds: float | None = None
    ratio_to_nonprivate: float | None = None
    min: float | None = None
    max: float | None = None
    ratio_to_hooks: float | None = None
    ratio_to_ghost: float | None = None
    ratio_to_functorch: float | None = None
    ratio_to_ew: float | None = None
    hooks_to_nonprivate: float | None = None
    ghost_to_nonprivate: float | None = None
    functorch_to_nonprivate: float | None = None
    ew_to_nonprivate: float | None = None
    peak_bytes: int | None = None
    peak_to_nonprivate: float | None = None
    hooks_peak_to_nonprivate: float | None = None
    ghost_peak_to_nonprivate: float | None = None
    functorch_peak_to_nonprivate: float | None = None
    ew_peak_to_nonprivate: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class StepRow(Cell):
    """One line of the table: a way to take the step, in one cell."""

    peft: str
    batch: int
    length: int
    step: str
    ratio_to_nonprivate: float | None = None
    min: float | None = None
    max: float | None = None
    ours_over_theirs: float | None = None
    seconds: float | None = None
    peak_to_nonprivate: float | None = None
    peak_bytes: int | None = None
    error: str | None = None


@dataclass
class Measured:
    """What was measured of one workload, by way.

    Attributes:
        seconds: of a step, by the number of the round.
        peaks: bytes.
        errors: why a way has no numbers.
    """

    seconds: dict[str, dict[int, float]] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def ratios(self, one: str, other: str) -> list[float]:
        """Return the time of `one` over that of `other`, in each round that had both."""
        ones, others = self.seconds[one], self.seconds[other]
        return [ones[number] / others[number] for number in sorted(ones.keys() & others.keys())]

    def ratio(self, one: str, other: str) -> float | None:
        """Return the median over rounds, None if one of them was not measured."""
        if one not in self.seconds or other not in self.seconds:
            return None
        return median(self.ratios(one, other))

    def peak_ratio(self, one: str) -> float | None:
        """Return the peak of `one` over that of the ordinary step."""
        return self.peaks[one] / self.peaks[NONPRIVATE] if one in self.peaks else None


def attach(bench: Bench, way: str) -> AbstractContextManager[Way]:
    """Return the context in which `way` can take steps on the model of `bench`."""
    if way == NONPRIVATE:
        return bench.nonprivate()
    return bench.ours() if way == OURS else bench.opacus(way)


def right_sum(workload: Workload) -> dict[str, Tensor]:
    """Return the clipped sum of a small batch, one example at a time and by autograd alone."""
    with Bench(replace(workload, batch=_TRIAL_BATCH)).nonprivate() as loop:
        return loop.clipped_sum()


def trial(workload: Workload, way: str, right: Mapping[str, Tensor]) -> str | None:
    """Return why `way` cannot be measured on `workload`: it fails, or its clipped sum is wrong.

    Args:
        workload: what is to be measured.
        way: the name of a way.
        right: what `right_sum` gave.
    """
    bench = Bench(replace(workload, batch=_TRIAL_BATCH))  # a failure may damage the model
    try:
        with attach(bench, way) as tried:
            found = tried.clipped_sum()
            tried.step()
    except Exception as error:  # noqa: BLE001 - whatever Opacus raises is the result of the cell
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    flat = torch.cat([(found[name] - part).flatten().double() for name, part in right.items()])
    whole = torch.cat([part.flatten().double() for part in right.values()])
    apart = float(flat.norm() / whole.norm())
    if apart <= (_TOLERANCE if workload.dtype == torch.float32 else _COARSE):
        return None
    return f"its clipped sum is wrong by {apart:.1e} of itself"


def compare(workload: Workload, rounds: int, note: Callable[[str], None]) -> DpStepCell:
    """Return the cell of `workload`."""
    measured, right = Measured(), right_sum(workload)
    for way in (OURS, *OPACUS_MODES):
        if (reason := trial(workload, way, right)) is not None:
            measured.errors[way] = reason
    ways = [way for way in (NONPRIVATE, OURS, *OPACUS_MODES) if way not in measured.errors]
    measured.seconds = {way: {} for way in ways}
    bench = Bench(workload)
    for way in ways:  # the first steps allocate memory and choose kernels
        _seconds(bench, way)
    for number in range(rounds):
        gc.collect()
        for way in _in_turn(ways, number):
            measured.seconds[way][number] = _seconds(bench, way)
        reached = measured.ratio(OURS, NONPRIVATE)
        told = "" if reached is None else f": {reached:.4f}"
        note(f"{workload.name}: round {number + 1} of {rounds}{told}")
    with shown_noise(bench):
        for way in ways:
            with attach(bench, way) as attached:
                measured.peaks[way] = peak_bytes(attached.step, workload.device)
    trainable = sum(parameter.numel() for parameter in bench.trainable.values())
    return _cell(workload, trainable, rounds, measured)


def _in_turn(ways: list[str], number: int) -> list[str]:
    """Return those of `ways` that take part in a round, led by turns and in both directions."""
    with_opacus = number % _OPACUS_EVERY == 0
    present = [way for way in ways if with_opacus or way not in OPACUS_MODES]
    turn = number // _OPACUS_EVERY if with_opacus else number
    first = turn // 2 % len(present)
    turned = present[first:] + present[:first]
    return turned[::-1] if turn % 2 else turned


def _seconds(bench: Bench, way: str) -> float:
    """Return the time of one step."""
    on_gpu = torch.device(bench.workload.device).type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    with attach(bench, way) as attached:
        if on_gpu:
            torch.cuda.synchronize()
        began = clock()
        attached.step()
        if on_gpu:
            torch.cuda.synchronize()
        return clock() - began


def _cell(workload: Workload, trainable: int, rounds: int, measured: Measured) -> DpStepCell:
    error = "; ".join(f"{_title(way)}: {reason}" for way, reason in measured.errors.items())
    ratios = [] if OURS in measured.errors else measured.ratios(OURS, NONPRIVATE)
    return replace(
        _empty(workload),
        trainable=trainable,
        rounds=rounds,
        seconds=median(measured.seconds[OURS].values()) if ratios else None,
        ratio_to_nonprivate=measured.ratio(OURS, NONPRIVATE),
        min=min(ratios, default=None),
        max=max(ratios, default=None),
        ratio_to_hooks=measured.ratio(OURS, "hooks"),
        ratio_to_ghost=measured.ratio(OURS, "ghost"),
        ratio_to_functorch=measured.ratio(OURS, "functorch"),
        ratio_to_ew=measured.ratio(OURS, "ew"),
        hooks_to_nonprivate=measured.ratio("hooks", NONPRIVATE),
        ghost_to_nonprivate=measured.ratio("ghost", NONPRIVATE),
        functorch_to_nonprivate=measured.ratio("functorch", NONPRIVATE),
        ew_to_nonprivate=measured.ratio("ew", NONPRIVATE),
        peak_bytes=measured.peaks.get(OURS),
        peak_to_nonprivate=measured.peak_ratio(OURS),
        hooks_peak_to_nonprivate=measured.peak_ratio("hooks"),
        ghost_peak_to_nonprivate=measured.peak_ratio("ghost"),
        functorch_peak_to_nonprivate=measured.peak_ratio("functorch"),
        ew_peak_to_nonprivate=measured.peak_ratio("ew"),
        error=error or None,
    )


def _empty(workload: Workload) -> DpStepCell:
    return DpStepCell(
        workload.name,
        workload.architecture.name,
        workload.peft,
        workload.batch,
        workload.length,
        f"{workload.device} {str(workload.dtype).removeprefix('torch.')}",
    )


def _title(way: str) -> str:
    return way if way == OURS else f"Opacus {way}"


def rows_of(cell: DpStepCell) -> tuple[StepRow, ...]:
    """Return the lines that show `cell` in the table: ours, then Opacus' by mode."""
    ours = StepRow(
        cell.architecture,
        cell.peft,
        cell.batch,
        cell.length,
        OURS,
        ratio_to_nonprivate=cell.ratio_to_nonprivate,
        min=cell.min,
        max=cell.max,
        seconds=cell.seconds,
        peak_to_nonprivate=cell.peak_to_nonprivate,
        peak_bytes=cell.peak_bytes,
        error=cell.error,
    )
    theirs = (
        StepRow(
            cell.architecture,
            cell.peft,
            cell.batch,
            cell.length,
            _title(mode),
            ratio_to_nonprivate=getattr(cell, f"{mode}_to_nonprivate"),
            ours_over_theirs=getattr(cell, f"ratio_to_{mode}"),
            peak_to_nonprivate=getattr(cell, f"{mode}_peak_to_nonprivate"),
        )
        for mode in OPACUS_MODES
        if cell.rounds
    )
    return (ours, *theirs)


def workloads(*, device: str, full: bool, tiny: bool) -> tuple[Workload, ...]:
    """Return what is measured: both models and batches with LoRA; with `full`, other adapters."""
    if device == "cuda":
        shape = (16, 512)
        return (Workload(LLAMA_1B, LORA, *shape, device=device, dtype=torch.bfloat16),)
    if tiny:
        return tuple(Workload(model, LORA, _TRIAL_BATCH, 8) for model in TINY)
    models = (BERT_384_6, LLAMA_512_8)
    chosen = [Workload(model, LORA, batch) for model in models for batch in _BATCHES]
    if full:
        others = [peft for peft in PEFT_TYPES if peft != LORA]
        chosen += [Workload(model, peft, _BATCHES[0]) for model in models for peft in others]
    return tuple(chosen)


def measure(
    chosen: Sequence[Workload], *, rounds: int, note: Callable[[str], None]
) -> tuple[DpStepCell, ...]:
    """Return a cell per workload; one whose device is missing says so instead of numbers.

    Raises:
        ConfigError: there are no rounds.
    """
    if rounds < 1:
        raise ConfigError(f"{rounds} rounds measure nothing: give 1 or more.")
    cells = []
    for workload in chosen:
        if workload.device == "cuda" and not torch.cuda.is_available():
            cells.append(replace(_empty(workload), error=_NO_GPU))
            continue
        cells.append(compare(workload, rounds, note))
    return tuple(cells)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the cells; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.dp_step",
        description="A DP training step beside the ordinary one, and beside Opacus.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--full", action="store_true", help="other adapters than LoRA too")
    parser.add_argument("--tiny", action="store_true", help="only see that it runs")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="measured rounds")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    chosen = workloads(device=options.device, full=options.full, tiny=options.tiny)
    try:
        cells = measure(chosen, rounds=options.rounds, note=_note)
    except SecureFLError as error:
        failure = Failure.of(error)
        failure.tell(sys.stderr, as_json=options.json)
        return int(failure.code)
    title = "A DP step beside the ordinary step: time and memory, ours and Opacus'"
    shown = cells if options.json else [row for cell in cells for row in rows_of(cell)]
    write_cells(title, shown, as_json=options.json)
    return 0


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
