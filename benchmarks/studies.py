"""Privacy against utility: the grid whose results are committed under `studies/`.

    python -m benchmarks.studies --data finance.phrasebank=DIR --data finance.tfns=DIR ...
    python -m benchmarks.studies                  prints what `studies/` holds, and runs nothing

Every cell is a whole run of an example under its privacy, with another epsilon, and on another data
set where it says so: a tuned adapter (the normalisations) beside the linear head alone, with noise
at each site (`record`) and with noise that the sites share (`record-distributed`).

    Financial PhraseBank        epsilon 1, 3 and 8, three seeds
    TFNS, PubMedQA, Amazon      epsilon 8, one seed; settings are those of the PhraseBank, the
                                divisor follows the number of published training records

A step of norm tuning over Amazon's users reads thirteen times what one over as many sentences does,
since a user is 27 titles: there it has 15 or 16 steps after the head's, where the PhraseBank's has
70, or the grid would not finish in a night on two cores.

A cell has a file of its own, replaced whole after every seed: stopped, the command goes on after
the last seed that was saved, and several of them may run at once on different `--only`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from benchmarks.cells import Cell, write_cells
from crypto.errors import ConfigError, SecureFLError
from secure_fl.baselines.names import Row
from secure_fl.baselines.study import Study, measure
from secure_fl.baselines.table import Baselines, Line
from secure_fl.config import RunConfig, explain, load_config
from secure_fl.failures import ExitCode, Failure
from secure_fl.launch import POLICY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[1]
EXAMPLES: Final = ROOT / "examples"
RESULTS: Final = ROOT / "studies"
_FILES: Final = {
    ("record", "norms"): "finance-fpb-dp.toml",
    ("record", "head"): "finance-fpb-dp-head.toml",
    ("record-distributed", "norms"): "finance-fpb-shared.toml",
    ("record-distributed", "head"): "finance-fpb-shared-head.toml",
}
"""By mode and by what is trained."""
_OWN_SET: Final = "finance.phrasebank"


@dataclass(frozen=True)
class Schedule:
    """How long norm tuning runs where the example's schedule would take too long.

    Attributes:
        rounds: in all, the head's own among them.
        averaged_rounds: the last ones, whose mean the run ends with.
        sampling_rate: chance of each record to be in a step's batch.
    """

    rounds: int
    averaged_rounds: int
    sampling_rate: float


@dataclass(frozen=True)
class DataSet:
    """What a grid is run on.

    Attributes:
        records: published training records, which the divisor follows.
        longest: tokens of a text.
        unit: what the guarantee is about.
        epsilons: of the grid.
        seeds: likewise.
        micro_batch: records in one forward pass.
        norms: by mode, another schedule of norm tuning; the example's where there is none.
    """

    records: int
    longest: int
    unit: str
    epsilons: tuple[float, ...]
    seeds: tuple[int, ...]
    micro_batch: int = 24
    norms: Mapping[str, Schedule] = field(default_factory=dict)


DATA_SETS: Final = {
    _OWN_SET: DataSet(3634, 128, "record", (8.0, 3.0, 1.0), (0, 1, 2)),
    "finance.tfns": DataSet(9543, 96, "record", (8.0,), (0,)),
    "biomedical.pubmedqa": DataSet(500, 256, "record", (8.0,), (0,), 8),
    "recommendation.amazon-games": DataSet(
        5000,
        32,
        "user",
        (8.0,),
        (0,),
        micro_batch=4,
        norms={
            "record-distributed": Schedule(46, 8, 0.1),
            "record": Schedule(9, 2, 0.1),
        },
    ),
}


@dataclass(frozen=True)
class Job:
    """One file of results."""

    dataset: str
    mode: str
    trained: str
    epsilon: float

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"{self.dataset}-{self.mode}-{self.trained}-epsilon-{self.epsilon:g}"

    @property
    def out(self) -> Path:
        """Where its results are kept."""
        return RESULTS / f"{self.name}.json"

    def config(self) -> RunConfig:
        """Return the example with this job's data set and epsilon.

        Raises:
            ConfigError: the example does not load, or does not take them.
        """
        path = EXAMPLES / _FILES[self.mode, self.trained]
        example = load_config(path)
        on = DATA_SETS[self.dataset]
        table = example.model_dump(mode="json", by_alias=True, exclude_none=True)
        table["name"] = self.name
        mechanism = table["mechanism"]
        mechanism["data"]["dataset"] = self.dataset
        mechanism["model"]["max_length"] = on.longest
        privacy = mechanism["privacy"]
        divisor = privacy["divisor"] * on.records / DATA_SETS[_OWN_SET].records
        schedule = on.norms.get(self.mode) if self.trained == "norms" else None
        if schedule is not None:
            mechanism["training"] |= {
                "rounds": schedule.rounds,
                "averaged_rounds": schedule.averaged_rounds,
            }
            divisor *= schedule.sampling_rate / privacy["sampling_rate"]
            privacy["sampling_rate"] = schedule.sampling_rate
        privacy |= {"epsilon": self.epsilon, "unit": on.unit, "divisor": round(divisor, 1)}
        for derived in ("noise_multiplier", "sigma"):
            privacy.pop(derived, None)
        table["runtime"] |= {"micro_batch": on.micro_batch, "workers": 1}
        try:
            return RunConfig.model_validate(table)
        except ValidationError as error:
            raise ConfigError(explain(error, f"{path}, changed for {self.name},")) from None


@dataclass(frozen=True)
class StudyCell(Cell):
    """One job: means over its seeds, beside the sample standard deviation of the first score.

    `score` is the accuracy, of a ranking HR@10; `macro_f1` is NDCG@10 there.
    """

    mode: str
    trained: str
    epsilon: float
    seeds: tuple[int, ...] = ()
    score: float | None = None
    score_sd: float | None = None
    macro_f1: float | None = None
    claimed: float | None = None
    error: str | None = None


def jobs(only: Sequence[str] = ()) -> tuple[Job, ...]:
    """Return the grid, the quick ones of a data set first; `only` those with such words in it."""
    found = [
        Job(name, mode, trained, epsilon)
        for name, on in DATA_SETS.items()
        for trained, mode, epsilon in product(
            ("head", "norms"), ("record-distributed", "record"), on.epsilons
        )
    ]
    return tuple(job for job in found if all(word in job.name for word in only))


def cell_of(job: Job, error: str | None = None) -> StudyCell:
    """Return what the job's file holds; no scores where there is none."""
    cell = StudyCell(job.dataset, job.mode, job.trained, job.epsilon, error=error)
    if not job.out.exists():
        return cell
    kept = Baselines.model_validate_json(job.out.read_bytes())
    line = Line.of(Row.FEDERATED_DP, kept.results)
    ranking = line.ranking
    return StudyCell(
        job.dataset,
        job.mode,
        job.trained,
        job.epsilon,
        seeds=line.seeds,
        score=line.accuracy if ranking is None else ranking.hit_rate_10,
        score_sd=line.accuracy_sd if ranking is None else line.hit_rate_10_sd,
        macro_f1=line.macro_f1 if ranking is None else ranking.ndcg_10,
        claimed=line.epsilon,
        error=error,
    )


def run(job: Job, folder: Path) -> str | None:
    """Measure what the job's file lacks; return why it could not be, or None."""
    try:
        config = job.config()
        study = Study(config, job.out, EXAMPLES / POLICY_NAME, folder, validation=False, note=_note)
        outcome = measure(study, (Row.FEDERATED_DP,), DATA_SETS[job.dataset].seeds, job.out)
    except SecureFLError as error:
        return Failure.of(error).message
    return next((line.error for line in outcome.lines if line.error is not None), None)


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _folders(given: Sequence[str]) -> dict[str, Path]:
    folders = {}
    for entry in given:
        name, _, folder = entry.partition("=")
        if name not in DATA_SETS or not folder:
            raise ConfigError(
                f"--data {entry} is not one of {', '.join(DATA_SETS)} with =DIR: nothing was run."
            )
        folders[name] = Path(folder)
    return folders


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing and print the grid; return 0, or the code of what went wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies", description="Privacy against utility."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--only", nargs="*", default=[], help="words in the names of the files")
    options = parser.parse_args(arguments)
    try:
        folders = _folders(options.data)
    except SecureFLError as error:
        print(error, file=sys.stderr)
        return ExitCode.CONFIG
    cells = []
    for job in jobs(options.only):
        folder = folders.get(job.dataset)
        if folder is not None:
            _note(job.name)
        cells.append(cell_of(job, None if folder is None else run(job, folder)))
    write_cells("Privacy against utility", cells, as_json=options.json)
    return ExitCode.OK if all(cell.error is None for cell in cells) else ExitCode.CONFIG


if __name__ == "__main__":
    sys.exit(main())
