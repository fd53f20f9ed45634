"""Measures every row that is wanted under every seed, and keeps each result as soon as it is there.

A run is whole (masked sums, ledgers, transcript, signed folder) in a folder of its own that is gone
afterwards, so no ledger that outlives it is charged.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from crypto.errors import ConfigError, IntegrityError, SecureFLError
from domains import baselines
from domains.catalogue import ENTRIES, Generated, load_dataset
from domains.classification import SentenceClassification
from domains.overlap import separate
from domains.own_files import NAME as OWN
from domains.records import Dataset
from secure_fl.baselines import local_runs
from secure_fl.baselines.names import SEEDLESS, Row
from secure_fl.baselines.rows import Score, notes_of, private, without_privacy
from secure_fl.baselines.table import Baselines, Line, Result, open_results
from secure_fl.config import Guaranteed
from secure_fl.embedded import EmbeddedPlaces, start_run
from secure_fl.failures import ExitCode, Failure
from secure_fl.launch import Overrides
from secure_fl.sites.workbench import resolve_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from secure_fl.baselines.table import Split
    from secure_fl.config import RunConfig
    from secure_fl.observing import RoundScored, RunBegan, RunEnded
    from secure_fl.rounds.steps import Phase

_HELD_OUT: Final = 5
"""One record of this many is held out for validation."""
_HELD_OUT_NOTE: Final = (
    "Evaluation set: a fifth of the training records, drawn by seed {seed}, to choose settings "
    "with; not comparable with published scores."
)


@dataclass(frozen=True)
class Study:
    """What all rows are measured on.

    Attributes:
        config: the run.
        path: its file, for messages.
        policy: what every site's policy begins as; mode none has to be allowed by it.
        data: the folder of a published data set, where the run needs one.
        validation: whether a fifth of the training records is scored on, and the evaluation set
            left alone.
        note: is told how far it is.
    """

    config: RunConfig
    path: Path
    policy: Path
    data: Path | None
    validation: bool
    note: Callable[[str], None]
    _loaded: dict[int, Dataset] = field(default_factory=dict, init=False, repr=False)

    def seeded(self, seed: int) -> RunConfig:
        """Return the run with another seed.

        Raises:
            ConfigError: it is none.
        """
        return Overrides(seed=seed).apply(self.config, self.path)

    def dataset(self, seed: int) -> Dataset:
        """Return the records under a seed.

        Raises:
            ConfigError: they do not load.
        """
        name = self.config.mechanism.data.dataset
        if name == OWN:
            raise ConfigError(
                "Baselines are measured on data sets of the catalogue; records of the sites' own "
                "are shared out by file, which this command does not do yet. Measure on a data "
                'set like yours, or run with `mode = "none"` and compare.'
            )
        entry = ENTRIES.get(name)
        # Published files do not depend on a seed: they are read once.
        drawn = seed if entry is not None and isinstance(entry.source, Generated) else 0
        if drawn not in self._loaded:
            self._loaded.clear()
            self._loaded[drawn] = load_dataset(name, data=self.data, seed=drawn)
        whole = self._loaded[drawn]
        return held_out(whole, seed) if self.validation else whole


@dataclass(frozen=True)
class Outcome:
    """What was measured.

    Attributes:
        kept: everything that the file holds.
        lines: of the rows and seeds that were asked for.
        code: 0, or that of the first row that could not be measured.
    """

    kept: Baselines
    lines: tuple[Line, ...]
    code: int


def held_out(dataset: Dataset, seed: int) -> Dataset:
    """Return the training records of `dataset`; a fifth, drawn by `seed`, is the evaluation set.

    Training records with the words of one in that fifth are dropped. The evaluation records of
    `dataset` are in neither part.

    Raises:
        ConfigError: the records are too few for a fifth.
    """
    order = np.random.default_rng(seed).permutation(len(dataset.train))
    count = len(dataset.train) // _HELD_OUT
    evaluation = tuple(dataset.train[int(index)] for index in order[:count])
    rest = tuple(dataset.train[int(index)] for index in order[count:])
    parts = separate(rest, evaluation, drop_overlap=True)
    return Dataset.of(
        name=dataset.name,
        labels=dataset.labels,
        train=parts.train,
        evaluation=evaluation,
        licence=dataset.licence,
        notes=(_HELD_OUT_NOTE.format(seed=seed), *parts.notes),
    )


def measure(study: Study, rows: Sequence[Row], seeds: Sequence[int], out: Path) -> Outcome:
    """Measure `rows` under `seeds`, but what `out` holds already, and keep each result there.

    Raises:
        ConfigError: seeds are negative or repeated, the records do not load, or `out` holds
            something else, or cannot be written.
    """
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ConfigError("Seeds are different numbers of 0 or more: nothing was measured.")
    split: Split = "validation" if study.validation else "evaluation"
    records = len(study.dataset(seeds[0]).train)
    begun = Baselines.begin(study.config, split, notes_of(study.config, records))
    measuring = _Measuring(study, out, open_results(out, begun))
    asked = tuple(row for row in Row if row in rows)
    versions = {}
    for seed in seeds:
        dataset = study.dataset(seed)
        versions[seed] = dataset.version.hex()
        for row in asked:
            measuring.one(row, seed, dataset)
    lines = tuple(measuring.line(row, versions) for row in asked)
    return Outcome(measuring.kept, lines, measuring.code)


class _Measuring:
    """One pass over rows and seeds, over a file of results."""

    def __init__(self, study: Study, out: Path, kept: Baselines) -> None:
        self._study = study
        self._out = out
        self._failed: dict[Row, str] = {}
        self.kept = kept
        self.code = int(ExitCode.OK)

    def one(self, row: Row, seed: int, dataset: Dataset) -> None:
        """Measure a row under a seed, unless it is known, or failed under an earlier seed.

        Raises:
            ConfigError: the result kept for it is of other records, or the disk refuses.
        """
        if row in self._failed or self._known(row, seed, dataset.version.hex()):
            return
        said = f"{row.value}, seed {seed}"
        started = time.monotonic()
        try:
            score = _MEASURES[row](self._study, seed, dataset)
        except SecureFLError as error:
            failure = Failure.of(error)
            self._failed[row] = failure.message
            self.code = self.code or int(failure.code)
            self._study.note(f"{said}: {failure.message}")
            return
        seconds = round(time.monotonic() - started, 3)
        self._keep(row, seed, dataset, score, seconds)
        self._study.note(f"{said}: accuracy {score.accuracy:.4f}, {seconds:.1f} s")

    def line(self, row: Row, versions: dict[int, str]) -> Line:
        """Return the line of a row over the seeds that were asked for."""
        results = [
            result
            for result in self.kept.results
            if result.seed in versions
            or (result.row in SEEDLESS and result.dataset in versions.values())
        ]
        return Line.of(row, results, self._failed.get(row))

    def _keep(self, row: Row, seed: int, dataset: Dataset, score: Score, seconds: float) -> None:
        result = Result(
            row=row,
            seed=seed,
            dataset=dataset.version.hex(),
            n=score.n,
            accuracy=score.accuracy,
            macro_f1=score.macro_f1,
            weighted_f1=score.weighted_f1,
            epsilon=score.epsilon,
            delta=score.delta,
            batch_size=score.batch_size,
            seconds=seconds,
        )
        self.kept = self.kept.having(result)
        self.kept.write(self._out)

    def _known(self, row: Row, seed: int, version: str) -> bool:
        own = [result for result in self.kept.results if result.row is row]
        for result in own:
            if result.seed == seed and result.dataset != version:
                raise ConfigError(
                    f"{self._out} holds {row.value}, seed {seed}, on other records than those at "
                    "hand: they cannot stand in one table. Name another --out, or the --data "
                    "folder that it was begun with."
                )
        return any(
            result.seed == seed or (row in SEEDLESS and result.dataset == version) for result in own
        )


def _majority(study: Study, seed: int, dataset: Dataset) -> Score:
    del study, seed
    _require_classes(dataset)
    train, evaluation = (
        np.array([record.label for record in part], np.int64)
        for part in (dataset.train, dataset.evaluation)
    )
    return Score.of(baselines.majority(train, evaluation, len(dataset.labels)))


def _frozen_head(study: Study, seed: int, dataset: Dataset) -> Score:
    _require_classes(dataset)
    config = study.seeded(seed)
    plain = without_privacy(config, len(dataset.train))
    shares = local_runs.scrubbed_shares(plain, dataset, study.policy)
    torch.set_num_threads(config.runtime.threads)
    model = config.mechanism.model
    task = SentenceClassification(
        resolve_model(model, config.runtime), dataset.labels, model.max_length
    )
    train = task.encode([record for share in shares for record in share.records])
    head = baselines.linear_head(task, train, task.encode(dataset.evaluation))
    return Score.of(head.scores)


def _require_classes(dataset: Dataset) -> None:
    if any(record.options for record in (*dataset.train, *dataset.evaluation)):
        raise ConfigError(
            f"The records of {dataset.name} bring options of their own, and this row is of classes "
            "that all records have in common: it was not measured. Leave it out."
        )


def _site_alone(study: Study, seed: int, dataset: Dataset) -> Score:
    return _local(study, seed, dataset, Row.SITE_ALONE)


def _centralised(study: Study, seed: int, dataset: Dataset) -> Score:
    return _local(study, seed, dataset, Row.CENTRALISED)


def _local(study: Study, seed: int, dataset: Dataset, row: Row) -> Score:
    plain = without_privacy(study.seeded(seed), len(dataset.train))
    shares = local_runs.scrubbed_shares(plain, dataset, study.policy)
    train = local_runs.site_alone if row is Row.SITE_ALONE else local_runs.centralised
    return train(
        plain, dataset, shares, lambda line: study.note(f"{row.value}, seed {seed}: {line}")
    )


def _federated(study: Study, seed: int, dataset: Dataset) -> Score:
    plain = without_privacy(study.seeded(seed), len(dataset.train))
    return _whole_run(study, plain, dataset, Row.FEDERATED)


def _dp_head(study: Study, seed: int, dataset: Dataset) -> Score:
    return _private(study, seed, dataset, Row.DP_HEAD)


def _federated_dp(study: Study, seed: int, dataset: Dataset) -> Score:
    return _private(study, seed, dataset, Row.FEDERATED_DP)


def _private(study: Study, seed: int, dataset: Dataset, row: Row) -> Score:
    return _whole_run(study, private(study.seeded(seed), row), dataset, row)


_MEASURES: Final[dict[Row, Callable[[Study, int, Dataset], Score]]] = {
    Row.MAJORITY: _majority,
    Row.FROZEN_HEAD: _frozen_head,
    Row.DP_HEAD: _dp_head,
    Row.SITE_ALONE: _site_alone,
    Row.CENTRALISED: _centralised,
    Row.FEDERATED: _federated,
    Row.FEDERATED_DP: _federated_dp,
}


def _whole_run(study: Study, config: RunConfig, dataset: Dataset, row: Row) -> Score:
    """Run `config` from the start in a folder of its own, and read its last scores there."""
    mechanism = config.mechanism
    watcher = Watcher(f"{row.value}, seed {mechanism.seed}", study.note)
    with tempfile.TemporaryDirectory(prefix="secure-fl-baselines-") as folder:
        places = EmbeddedPlaces(
            state=Path(folder) / "state",
            policy=study.policy,
            data=study.data,
            budget_carried=False,
            dataset=dataset,
        )
        last = start_run(config, Path(folder) / "run", places, watcher).metrics()[-1]
    if last.accuracy is None or last.macro_f1 is None or last.weighted_f1 is None:
        raise IntegrityError("The run's last round was not scored: nothing can be compared.")
    privacy = mechanism.privacy
    return Score(
        n=len(dataset.evaluation),
        accuracy=last.accuracy,
        macro_f1=last.macro_f1,
        weighted_f1=last.weighted_f1,
        epsilon=last.epsilon,
        delta=privacy.delta if isinstance(privacy, Guaranteed) else None,
        batch_size=mechanism.training.batch_size,
    )


class Watcher:
    """Notes each finished round of a run, and nothing else."""

    def __init__(self, run: str, note: Callable[[str], None]) -> None:
        self._run = run
        self._note = note
        self._rounds = 0

    def preparing(self, what: str) -> None:
        """Say nothing."""

    def began(self, run: RunBegan) -> None:
        """Remember how many rounds there are."""
        self._rounds = run.rounds

    def exchanging(self, phase: Phase, round_: int, sites: int) -> None:
        """Say nothing."""

    def replied(self, site: str) -> None:
        """Say nothing."""

    def scored(self, result: RoundScored) -> None:
        """Note the round, and the accuracy where it was measured."""
        scored = "" if result.scores is None else f", accuracy {result.scores.accuracy:.4f}"
        self._note(f"{self._run}: round {result.round} of {self._rounds}{scored}")

    def ended(self, run: RunEnded) -> None:
        """Say nothing."""
