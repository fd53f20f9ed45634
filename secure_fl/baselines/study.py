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

from crypto.errors import ConfigError, IntegrityError, SecureFLError
from domains.catalogue import ENTRIES, Generated, load_dataset
from domains.own_files import NAME as OWN
from secure_fl.baselines import floors, local_runs
from secure_fl.baselines.held import Held
from secure_fl.baselines.names import SEEDLESS, Row
from secure_fl.baselines.rows import Score, notes_of, private, without_privacy
from secure_fl.baselines.table import Baselines, Line, Result, open_results
from secure_fl.config import Guaranteed
from secure_fl.dataset_notes import say_if_published
from secure_fl.embedded import EmbeddedPlaces, start_run
from secure_fl.failures import ExitCode, Failure
from secure_fl.launch import Overrides
from secure_fl.own_records import simulated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from secure_fl.baselines.table import Split
    from secure_fl.config import RunConfig
    from secure_fl.observing import RoundScored, RunBegan, RunEnded
    from secure_fl.rounds.steps import Phase


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
    _loaded: dict[int, Held] = field(default_factory=dict, init=False, repr=False)

    def seeded(self, seed: int) -> RunConfig:
        """Return the run with another seed.

        Raises:
            ConfigError: it is none.
        """
        return Overrides(seed=seed).apply(self.config, self.path)

    def held(self, seed: int) -> Held:
        """Return the records under a seed, and who holds what where they say it themselves.

        Raises:
            ConfigError: they do not load, or are too few for a fifth.
        """
        name = self.config.mechanism.data.dataset
        entry = ENTRIES.get(name)
        # Published files do not depend on a seed: they are read once. Of a site's own file a
        # seeded fifth is the evaluation set.
        seeded = name == OWN or (entry is not None and isinstance(entry.source, Generated))
        drawn = seed if seeded else 0
        if drawn not in self._loaded:
            self._loaded.clear()
            self._loaded[drawn] = self._load(name, drawn)
        whole = self._loaded[drawn]
        return whole.validation(seed, self._unit()) if self.validation else whole

    def _load(self, name: str, seed: int) -> Held:
        if name != OWN:
            options = self.config.mechanism.data.options()
            hub = self.config.runtime.allow_hub
            loaded = load_dataset(name, data=self.data, seed=seed, options=options, allow_hub=hub)
            say_if_published(loaded)
            return Held(loaded)
        found = simulated(self.seeded(seed), self.data)
        return Held(found.dataset, found.shares)

    def _unit(self) -> str | None:
        """Return the column that says whose a record is, where the run names one."""
        return None if self.config.data is None else self.config.data.unit


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


def measure(study: Study, rows: Sequence[Row], seeds: Sequence[int], out: Path) -> Outcome:
    """Measure `rows` under `seeds`, but what `out` holds already, and keep each result there.

    Raises:
        ConfigError: seeds are negative or repeated, the records do not load, or `out` holds
            something else, or cannot be written.
    """
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ConfigError("Seeds are different numbers of 0 or more: nothing was measured.")
    split: Split = "validation" if study.validation else "evaluation"
    records = len(study.held(seeds[0]).dataset.train)
    begun = Baselines.begin(study.config, split, notes_of(study.config, records))
    measuring = _Measuring(study, out, open_results(out, begun))
    asked = tuple(row for row in Row if row in rows)
    versions = {}
    for seed in seeds:
        held = study.held(seed)
        versions[seed] = held.dataset.version.hex()
        for row in asked:
            measuring.one(row, seed, held)
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

    def one(self, row: Row, seed: int, held: Held) -> None:
        """Measure a row under a seed, unless it is known, or failed under an earlier seed.

        Raises:
            ConfigError: the result kept for it is of other records, or the disk refuses.
        """
        if row in self._failed or self._known(row, seed, held.dataset.version.hex()):
            return
        said = f"{row.value}, seed {seed}"
        started = time.monotonic()
        try:
            score = _MEASURES[row](self._study, seed, held)
        except SecureFLError as error:
            failure = Failure.of(error)
            self._failed[row] = failure.message
            self.code = self.code or int(failure.code)
            self._study.note(f"{said}: {failure.message}")
            return
        seconds = round(time.monotonic() - started, 3)
        self._keep(row, seed, held, score, seconds)
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

    def _keep(self, row: Row, seed: int, held: Held, score: Score, seconds: float) -> None:
        result = Result(
            row=row,
            seed=seed,
            dataset=held.dataset.version.hex(),
            n=score.n,
            accuracy=score.accuracy,
            macro_f1=score.macro_f1,
            weighted_f1=score.weighted_f1,
            epsilon=score.epsilon,
            delta=score.delta,
            batch_size=score.batch_size,
            seconds=seconds,
            ranking=score.ranking,
            auc=score.auc,
        )
        self.kept = self.kept.having(result)
        self.kept.write(self._out)

    def _known(self, row: Row, seed: int, version: str) -> bool:
        own = [result for result in self.kept.results if result.row is row]
        for result in own:
            if result.seed == seed and result.dataset != version:
                raise ConfigError(
                    f"{self._out} holds {row.value}, seed {seed}, on other records than those at "
                    "hand: they cannot stand in one table. Name another --out, or the records "
                    "that it was begun with (--data, or [data] of the run)."
                )
        return any(
            result.seed == seed or (row in SEEDLESS and result.dataset == version) for result in own
        )


def _majority(study: Study, seed: int, held: Held) -> Score:
    del study, seed
    return floors.majority(held.dataset)


def _frozen_head(study: Study, seed: int, held: Held) -> Score:
    floors.require_classes(held.dataset)
    config = study.seeded(seed)
    plain = without_privacy(config, len(held.dataset.train))
    shares = local_runs.scrubbed_shares(plain, held, study.policy)
    train = [record for share in shares for record in share.records]
    return floors.frozen_head(config, held.dataset, train)


def _site_alone(study: Study, seed: int, held: Held) -> Score:
    return _local(study, seed, held, Row.SITE_ALONE)


def _centralised(study: Study, seed: int, held: Held) -> Score:
    return _local(study, seed, held, Row.CENTRALISED)


def _local(study: Study, seed: int, held: Held, row: Row) -> Score:
    plain = without_privacy(study.seeded(seed), len(held.dataset.train))
    shares = local_runs.scrubbed_shares(plain, held, study.policy)
    train = local_runs.site_alone if row is Row.SITE_ALONE else local_runs.centralised
    return train(
        plain, held.dataset, shares, lambda line: study.note(f"{row.value}, seed {seed}: {line}")
    )


def _federated(study: Study, seed: int, held: Held) -> Score:
    plain = without_privacy(study.seeded(seed), len(held.dataset.train))
    return _whole_run(study, plain, held, Row.FEDERATED)


def _dp_head(study: Study, seed: int, held: Held) -> Score:
    return _private(study, seed, held, Row.DP_HEAD)


def _federated_dp(study: Study, seed: int, held: Held) -> Score:
    return _private(study, seed, held, Row.FEDERATED_DP)


def _private(study: Study, seed: int, held: Held, row: Row) -> Score:
    return _whole_run(study, private(study.seeded(seed), row), held, row)


_MEASURES: Final[dict[Row, Callable[[Study, int, Held], Score]]] = {
    Row.MAJORITY: _majority,
    Row.POPULARITY: lambda _, __, held: floors.popularity(held.dataset),
    Row.LAST_ITEM: lambda _, __, held: floors.last_item(held.dataset),
    Row.FROZEN_HEAD: _frozen_head,
    Row.DP_HEAD: _dp_head,
    Row.SITE_ALONE: _site_alone,
    Row.CENTRALISED: _centralised,
    Row.FEDERATED: _federated,
    Row.FEDERATED_DP: _federated_dp,
}


def _whole_run(study: Study, config: RunConfig, held: Held, row: Row) -> Score:
    """Run `config` from the start in a folder of its own, and read its last scores there."""
    mechanism = config.mechanism
    watcher = Watcher(f"{row.value}, seed {mechanism.seed}", study.note)
    with tempfile.TemporaryDirectory(prefix="secure-fl-baselines-") as folder:
        places = EmbeddedPlaces(
            state=Path(folder) / "state",
            policy=study.policy,
            data=study.data,
            budget_carried=False,
            dataset=held.dataset,
            shares=held.shares,
        )
        last = start_run(config, Path(folder) / "run", places, watcher).metrics()[-1]
    if last.accuracy is None:
        raise IntegrityError("The run's last round was not scored: nothing can be compared.")
    privacy = mechanism.privacy
    return Score(
        n=len(held.dataset.evaluation),
        accuracy=last.accuracy,
        macro_f1=last.macro_f1,
        weighted_f1=last.weighted_f1,
        epsilon=last.epsilon,
        delta=privacy.delta if isinstance(privacy, Guaranteed) else None,
        batch_size=mechanism.training.batch_size,
        ranking=last.ranking,
        # What a run signs holds none, so it is taken from what the run's observer is told.
        auc=watcher.auc,
    )


class Watcher:
    """Notes each finished round of a run, and keeps the last area under the ROC curve."""

    def __init__(self, run: str, note: Callable[[str], None]) -> None:
        self._run = run
        self._note = note
        self._rounds = 0
        self.auc: float | None = None
        """Of the last scored round; None unless there are two classes."""

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
        if result.scores is not None:
            self.auc = result.scores.auc
        scored = "" if result.scores is None else f", accuracy {result.scores.accuracy:.4f}"
        self._note(f"{self._run}: round {result.round} of {self._rounds}{scored}")

    def ended(self, run: RunEnded) -> None:
        """Say nothing."""
