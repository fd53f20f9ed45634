"""What is reached on the Financial PhraseBank: federated tuning beside what it has to beat.

    python -m benchmarks.fpb --data DIR          scored on the test split of FinGPT
    python -m benchmarks.fpb --data DIR --tune   scored on a fifth of the training split

Four sites hold equal shares of the training split. The rows:

    majority          always the commonest training label
    frozen            logistic regression on features of the untuned model; sees all records at once
    fedit             examples/finance-fpb.toml, without differential privacy
    fedit-dp          examples/finance-fpb-dp-fedit.toml: noise at each site on all low-rank factors
    head-dp           examples/finance-fpb-dp-head.toml: the classifier alone, on frozen features
    norms-dp          examples/finance-fpb-dp.toml: the normalisations of all layers, too
    head-shared       examples/finance-fpb-shared-head.toml: the same two, with noise that the
    norms-shared      examples/finance-fpb-shared.toml       sites share under the secure sum

Every tuned row is a whole run (masked sums, ledgers, transcript, signed folder) with a fresh state
for each seed, and its scores are read from the run folder. A seed decides who holds what and the
initial values; the noise of a private run is fresh in any case. Means are over seeds; `sd` is the
sample standard deviation over them. `runs` is lower than the number of seeds where a row depends on
no seed.

With `--tune` a fifth of the training split, drawn by the run's seed, takes the place of the test
split, and the test split is dropped as soon as it was read: settings chosen so have not seen it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Final

import torch
from safetensors.torch import load_file

from benchmarks.cells import Cell, write_cells
from crypto.errors import ConfigError, IntegrityError, SecureFLError
from domains.finance import phrasebank
from secure_fl.baselines import floors
from secure_fl.baselines.held import held_out
from secure_fl.baselines.study import Watcher
from secure_fl.config import Guaranteed, load_config
from secure_fl.embedded import EmbeddedPlaces, start_run
from secure_fl.failures import ExitCode, Failure
from secure_fl.launch import POLICY_NAME, Overrides
from secure_fl.methods.method import is_head
from secure_fl.runner import Evaluator
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from domains.records import Dataset
    from secure_fl.baselines.rows import Score as Floor
    from secure_fl.config import RunConfig
    from secure_fl.runfolder import RoundMetrics, RunFolder

EXAMPLES: Final = Path(__file__).resolve().parents[1] / "examples"
MAJORITY: Final = "majority"
FROZEN: Final = "frozen"
TUNED: Final = {
    "fedit": "finance-fpb.toml",
    "fedit-dp": "finance-fpb-dp-fedit.toml",
    "head-dp": "finance-fpb-dp-head.toml",
    "norms-dp": "finance-fpb-dp.toml",
    "head-shared": "finance-fpb-shared-head.toml",
    "norms-shared": "finance-fpb-shared.toml",
}
"""The tuned rows and the file in `examples/` that holds the settings of each."""
ROWS: Final = (MAJORITY, FROZEN, *TUNED)


@dataclass(frozen=True)
class UtilityCell(Cell):
    """One row: scores between 0 and 1, as means over `runs`.

    Attributes:
        split: `test`, or `validation` with --tune.
        n: evaluation records.
        runs: how many runs the means are over.
        seeds: of these runs; empty where no seed matters.
        epsilon: the largest that a run claims, at `delta`; None without a guarantee.
        delta: as configured.
        accuracy: mean.
        accuracy_sd: sample standard deviation; None for one run.
        without_adapter: accuracy of the same run's classifier with the adapter at its start; mean.
        macro_f1: mean.
        macro_f1_sd: likewise.
        weighted_f1: mean.
        weighted_f1_sd: likewise.
        seconds: of one run, preparation and evaluation included, by the clock on the wall; mean.
        error: why there are no numbers.
    """

    split: str
    n: int | None = None
    runs: int = 0
    seeds: tuple[int, ...] = ()
    epsilon: float | None = None
    delta: float | None = None
    accuracy: float | None = None
    accuracy_sd: float | None = None
    without_adapter: float | None = None
    macro_f1: float | None = None
    macro_f1_sd: float | None = None
    weighted_f1: float | None = None
    weighted_f1_sd: float | None = None
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Score:
    """What one run came to."""

    n: int
    accuracy: float
    macro_f1: float
    weighted_f1: float
    epsilon: float | None = None
    delta: float | None = None
    without_adapter: float | None = None


@dataclass(frozen=True)
class Study:
    """What all rows are measured on.

    Attributes:
        dataset: the records, by seed.
        examples: the folder with the settings of the tuned rows and their site policy.
        data: the folder of the published files.
        split: which records are the evaluation set, in a word.
        seeded: whether the evaluation set depends on the seed.
        note: is told how far it is.
    """

    dataset: Callable[[int], Dataset]
    examples: Path
    data: Path
    split: str
    seeded: bool
    note: Callable[[str], None]

    def config(self, row: str) -> RunConfig:
        """Return the settings of a tuned row.

        Raises:
            ConfigError: its file is missing, or is none that can be run.
        """
        return load_config(self.examples / TUNED[row])


def study_of(data: Path, *, tune: bool, note: Callable[[str], None]) -> Study:
    """Return the study on the published files in `data`.

    Raises:
        ConfigError: they do not load.
    """
    published = phrasebank.load(data)
    whole = (lambda _: published) if not tune else cache(partial(held_out, published))
    return Study(
        dataset=whole,
        examples=EXAMPLES,
        data=data,
        split="validation" if tune else "test",
        seeded=tune,
        note=note,
    )


def measure(study: Study, rows: Sequence[str], seeds: Sequence[int]) -> tuple[UtilityCell, ...]:
    """Return one cell per row; a row that cannot be measured says why in `error`."""
    return tuple(_row(study, row, seeds) for row in rows)


def _row(study: Study, row: str, seeds: Sequence[int]) -> UtilityCell:
    runs: dict[str, Callable[[Study, int], Score]] = {MAJORITY: _majority, FROZEN: _frozen}
    matters = study.seeded or row in TUNED
    used = tuple(seeds) if matters else tuple(seeds[:1])
    started = time.monotonic()
    scores = []
    try:
        for seed in used:
            scores.append(runs[row](study, seed) if row in runs else _tuned(study, row, seed))
            study.note(f"{row}, seed {seed}: accuracy {scores[-1].accuracy:.4f}")
    except SecureFLError as error:
        study.note(f"{row}: {error}")
        return UtilityCell(name=row, split=study.split, error=str(error))
    seconds = (time.monotonic() - started) / len(used)
    return _cell(row, study.split, scores, used if matters else (), seconds)


def _cell(
    row: str, split: str, scores: Sequence[Score], seeds: tuple[int, ...], seconds: float
) -> UtilityCell:
    accuracy = [score.accuracy for score in scores]
    macro = [score.macro_f1 for score in scores]
    weighted = [score.weighted_f1 for score in scores]
    claimed = [score.epsilon for score in scores if score.epsilon is not None]
    return UtilityCell(
        name=row,
        split=split,
        n=scores[0].n,
        runs=len(scores),
        seeds=seeds,
        epsilon=max(claimed) if claimed else None,
        delta=scores[0].delta,
        accuracy=mean(accuracy),
        accuracy_sd=_spread(accuracy),
        without_adapter=_mean([score.without_adapter for score in scores]),
        macro_f1=mean(macro),
        macro_f1_sd=_spread(macro),
        weighted_f1=mean(weighted),
        weighted_f1_sd=_spread(weighted),
        seconds=seconds,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _spread(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None


def _majority(study: Study, seed: int) -> Score:
    return _floor(floors.majority(study.dataset(seed)))


def _frozen(study: Study, seed: int) -> Score:
    """Return the floor on the base model, at the length, that the row `fedit` tunes."""
    dataset = study.dataset(seed)
    return _floor(floors.frozen_head(study.config("fedit"), dataset, dataset.train))


def _floor(score: Floor) -> Score:
    return Score(score.n, score.accuracy, score.macro_f1, score.weighted_f1)


def _tuned(study: Study, row: str, seed: int) -> Score:
    """Run the row's settings from the start in a folder of its own, and read its scores there."""
    path = study.examples / TUNED[row]
    config = Overrides(seed=seed).apply(study.config(row), path)
    dataset = study.dataset(seed)
    with tempfile.TemporaryDirectory(prefix="secure-fl-fpb-") as folder:
        places = EmbeddedPlaces(
            state=Path(folder) / "state",
            policy=study.examples / POLICY_NAME,
            data=study.data,
            budget_carried=False,
            dataset=dataset,
        )
        run = start_run(
            config, Path(folder) / "run", places, Watcher(f"{row}, seed {seed}", study.note)
        )
        last = final_scores(run.metrics()[-1])
        zeroed = without_adapter(config, run, dataset)
    privacy = config.mechanism.privacy
    return Score(
        n=len(dataset.evaluation),
        accuracy=last.accuracy,
        macro_f1=last.macro_f1,
        weighted_f1=last.weighted_f1,
        epsilon=last.epsilon,
        delta=privacy.delta if isinstance(privacy, Guaranteed) else None,
        without_adapter=zeroed,
    )


def without_adapter(config: RunConfig, run: RunFolder, dataset: Dataset) -> float:
    """Return the accuracy of a run's classifier on the model as it was before the run.

    If the adapter did not matter, it would be the accuracy of the run.
    """
    task, adapted = build_task(config.mechanism, dataset.labels, config.runtime)
    saved = load_file(run.path / "adapter" / "adapter_model.safetensors")
    with torch.no_grad():
        for name, parameter in adapted.parameters.items():
            if is_head(name):
                # PEFT's published naming leaves these two parts out.
                stored = name.replace(".default", "").replace(".modules_to_save", "")
                parameter.copy_(saved[stored])
    evaluator = Evaluator(task, adapted, task.encode(dataset.evaluation))
    return evaluator.score(adapted.flat()).accuracy


@dataclass(frozen=True)
class FinalScores:
    """The scores of a run's last round, and the epsilon it claims."""

    accuracy: float
    macro_f1: float
    weighted_f1: float
    epsilon: float | None


def final_scores(row: RoundMetrics) -> FinalScores:
    """Return the scores of the last round, which every run measures.

    Raises:
        IntegrityError: it was not scored.
    """
    if row.accuracy is None or row.macro_f1 is None or row.weighted_f1 is None:
        raise IntegrityError("The run's last round was not scored: nothing can be compared.")
    return FinalScores(row.accuracy, row.macro_f1, row.weighted_f1, row.epsilon)


_NO_DATA: Final = (
    "not measured: the published files are not part of this project; name their folder with "
    "--data DIR"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows; return 0, or 1 if a row could not be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fpb", description="Utility on the Financial PhraseBank."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--data", type=Path, help="the folder of the published files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument(
        "--tune", action="store_true", help="score on a fifth of the training split instead"
    )
    options = parser.parse_args(arguments)
    split = "validation" if options.tune else "test"
    if options.data is None:
        # `make bench` runs every benchmark, also where the published files are not.
        cells = tuple(UtilityCell(name=row, split=split, error=_NO_DATA) for row in options.rows)
        write_cells("Financial PhraseBank", cells, as_json=options.json)
        return ExitCode.OK
    try:
        if min(options.seeds) < 0 or len(set(options.seeds)) < len(options.seeds):
            raise ConfigError("Seeds are different numbers of 0 or more: nothing was measured.")
        study = study_of(options.data, tune=options.tune, note=_note)
    except SecureFLError as error:
        failure = Failure.of(error)
        failure.tell(sys.stderr, as_json=options.json)
        return int(failure.code)
    cells = measure(study, options.rows, options.seeds)
    write_cells(f"Financial PhraseBank, {split} split", cells, as_json=options.json)
    return ExitCode.INTERNAL if any(cell.error for cell in cells) else ExitCode.OK


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
