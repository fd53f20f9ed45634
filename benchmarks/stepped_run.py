"""A run that goes on by one round at a time, so that two runs can take turns in one process.

The coordinator, the sites' machines, their trainers, ledgers, stores and the transcript are the
ones of a real run, on the same disk. Left out is what is not part of a round: evaluation, and
the report. All sites work on one copy of the model, one after another.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import tomli_w

from benchmarks.stopwatch import Stopwatch
from crypto.errors import ConfigError, PeerError
from crypto.secrets import system_entropy
from domains.classification import SentenceClassification
from domains.partition import share_out
from domains.records import content_digest
from privacy.events import Unit
from privacy.noise import SystemNoise
from privacy.scrubbing import Coverage
from privacy.streams import fresh_stream
from secure_fl.config import RecordPrivacy
from secure_fl.consortium import open_consortium
from secure_fl.methods import find_method
from secure_fl.policy import DatasetBudget, SitePolicy
from secure_fl.rounds import log_check
from secure_fl.rounds.coordinator import Coordinator
from secure_fl.rounds.steps import Phase, Proposal
from secure_fl.runfolder import RunFolder
from secure_fl.sites.adapted_model import AdaptedModel
from secure_fl.sites.losses import RecordLosses
from secure_fl.sites.trainer import LocalTrainer, TrainingParts
from secure_fl.sites.units import UnitRows
from secure_fl.sites.workbench import resolve_model
from secure_fl.transcript import Transcript
from secure_fl.transport.in_process import InProcessTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from domains.encoding import EncodedRecords, MicroBatch
    from domains.records import Dataset, Record
    from privacy.update import Update, UpdateSpec
    from secure_fl.config import Mechanism, Runtime
    from secure_fl.consortium import Consortium
    from secure_fl.rounds.site_parts import Tap
    from secure_fl.rounds.steps import Exchange, Step
    from secure_fl.transport import Handler

_AMPLE_EPSILON = 1e6
"""The ceiling of a benchmark's data set: it is generated and protects nobody."""


class CountingTask(SentenceClassification):
    """The task, with a count of the records that went through a training pass."""

    records = 0

    def losses(self, model: nn.Module, batch: MicroBatch) -> Tensor:
        """Return the losses (B,), and count B records."""
        self.records += len(batch)
        return super().losses(model, batch)


@dataclass(frozen=True)
class Stretch:
    """What some rounds took.

    Attributes:
        records: how many records the sites' steps read.
        cpu: process time from sending `open` to the applied sum, in seconds.
        wall: the same by the clock on the wall, in seconds.
        training: the part of `cpu` within the sites' trainers.
        log: the part of `cpu` within ledgers and transcript, proofs and their checks included.
    """

    records: int
    cpu: float
    wall: float
    training: float
    log: float

    @property
    def rest(self) -> float:
        """Process time outside training, in seconds."""
        return self.cpu - self.training


@dataclass(frozen=True)
class Bench:
    """What two runs that are compared have in common: records, model and stopwatches."""

    task: CountingTask
    adapted: AdaptedModel
    shares: tuple[tuple[Record, ...], ...]
    encoded: tuple[EncodedRecords, ...]
    start: NDArray[np.float32]
    micro_batch: int
    training: Stopwatch = field(default_factory=Stopwatch)
    log: Stopwatch = field(default_factory=Stopwatch)

    @classmethod
    def of(cls, mechanism: Mechanism, runtime: Runtime, dataset: Dataset) -> Bench:
        """Return the bench for runs whose model, method and sites are those of `mechanism`."""
        resolved = resolve_model(mechanism.model, runtime)
        task = CountingTask(resolved, dataset.labels, mechanism.model.max_length)
        adapted = AdaptedModel(
            task.build_model(mechanism.seed),
            mechanism.adapter,
            find_method(mechanism.method, mechanism.protection),
            mechanism.seed,
        )
        shares = share_out(dataset.train, mechanism.sites, mechanism.seed, mechanism.data.rule())
        encoded = tuple(task.encode(share) for share in shares)
        return cls(task, adapted, shares, encoded, adapted.flat(), runtime.micro_batch)


class _Workbench:
    """A site's trainer over the bench's one model."""

    def __init__(self, bench: Bench, site: str, number: int, mechanism: Mechanism) -> None:
        self._bench = bench
        self._version = content_digest(bench.task.labels, bench.shares[number], ())
        parts = TrainingParts(
            site=site,
            task=bench.task,
            adapted=bench.adapted,
            records=RecordLosses(
                bench.task, bench.adapted, bench.encoded[number], bench.micro_batch
            ),
            units=UnitRows.of(bench.shares[number], Unit.RECORD, None),
            noise=SystemNoise(),
            streams=fresh_stream,
            tap=self._tapped,
        )
        self._tap: Tap | None = None
        self._units = len(parts.units)
        self._trainer = LocalTrainer(parts, mechanism)

    def prepare(self, mechanism: Mechanism) -> bytes:
        """Return the records' version; nothing is scrubbed, since a round scrubs nothing."""
        del mechanism
        return self._version

    def record_digests(self) -> frozenset[bytes]:
        """Return nothing: the records of a benchmark are invented anew."""
        return frozenset()

    def coverage(self) -> Coverage:
        """Return that nothing was looked for."""
        return Coverage(looked_for=(), not_looked_for=())

    def canary_seed(self, mechanism: Mechanism) -> None:
        """Return nothing: there are no canaries."""
        del mechanism

    def spec(self, mechanism: Mechanism) -> UpdateSpec:
        """Return names, shapes and order of what is shared."""
        del mechanism
        return self._bench.adapted.spec

    def units(self, mechanism: Mechanism) -> int:
        """Return how many records there are."""
        del mechanism
        return self._units

    def train(
        self,
        mechanism: Mechanism,
        shared: NDArray[np.float32],
        round_: int,
        tap: Tap | None = None,
    ) -> Update:
        """Return how the site's records moved the shared parameters, timed."""
        del mechanism
        self._tap = tap
        with self._bench.training.running():
            return self._trainer.train(shared, round_)

    def _tapped(self, mean: Mapping[str, Tensor]) -> None:
        if self._tap is not None:
            self._tap(mean)


class SteppedRun:
    """One run, a round at a time; use it in a `with` block."""

    def __init__(self, bench: Bench, mechanism: Mechanism, folder: Path) -> None:
        """Set up consortium, sites and coordinator in the new folder `folder`.

        Raises:
            ConfigError: the mechanism cannot be run.
        """
        self._bench = bench
        folder.mkdir()
        policy = folder / "policy.toml"
        policy.write_bytes(_policy(mechanism))
        self._consortium = open_consortium(folder / "state", mechanism.sites, policy)
        self._folder = RunFolder.create(folder / "run")
        run_id = system_entropy(16)
        roster = self._consortium.roster
        key = self._consortium.coordinator_key
        self._transcript = Transcript(run_id, roster.coordinator().name, key)
        self._kept = 0
        self._coordinator = Coordinator(
            Proposal(run_id, 1, 0, mechanism, roster, bench.adapted.spec),
            bench.start,
            key,
            self._transcript,
        )
        self._transport = InProcessTransport(
            _handlers(self._consortium, bench, mechanism), workers=1
        )
        self._step: Step | None = None
        self.parameters = bench.start
        """The shared parameters after the last round, shape (d,)."""
        self._watches = ExitStack()

    def __enter__(self) -> Self:
        watching = self._bench.log.watching
        enter = self._watches.enter_context
        for home in self._consortium.sites:
            enter(watching(home.ledger, "reserve", "draw", "head"))
        enter(watching(self._transcript, "append", "checkpoint", "root", "proof"))
        enter(watching(self._folder, "append_leaves"))
        # A site's check of the log is a function of a module, and so the same for every run.
        enter(watching(log_check, "verify"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._watches.close()
        self._consortium.close()

    def open_session(self) -> Stretch:
        """Do the exchanges that come once in a run, before its first round.

        Raises:
            PeerError: a site refuses.
        """
        return self._timed(self._session)

    def rounds(self, count: int) -> Stretch:
        """Do the next `count` rounds.

        Raises:
            PeerError: a site refuses.
        """
        return self._timed(lambda: self._rounds(count))

    def _timed(self, work: Callable[[], object]) -> Stretch:
        bench = self._bench
        before = (bench.task.records, bench.training.seconds, bench.log.seconds)
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        return Stretch(
            cpu=time.process_time() - cpu,
            wall=time.perf_counter() - wall,
            records=bench.task.records - before[0],
            training=bench.training.seconds - before[1],
            log=bench.log.seconds - before[2],
        )

    def _session(self) -> None:
        self._step = self._coordinator.begin()
        while self._due().phase is not Phase.OPEN:
            self._exchange()

    def _rounds(self, count: int) -> None:
        for _ in range(count):
            self._exchange()
            self._exchange()
            if self._step is None or self._step.opened is None:
                raise PeerError(f"A round of the benchmark was not opened. {self._said()}")
            self.parameters = self._step.opened.parameters

    def _due(self) -> Exchange:
        if self._step is None or self._step.exchange is None:
            raise ConfigError(
                "The benchmark asked for a round that its run had not planned: nothing was "
                "measured. Plan more rounds."
            )
        return self._step.exchange

    def _exchange(self) -> None:
        due = self._due()
        self._folder.append_leaves(self._transcript.leaves[self._kept :])
        self._kept = self._transcript.size
        if due.phase is Phase.HELLO:
            replies = self._transport.broadcast(next(iter(due.requests.values())))
        else:
            replies = self._transport.exchange(due.requests)
        try:
            self._step = self._coordinator.advance(replies)
        except PeerError as error:
            raise PeerError(f"{error} {self._said()}".strip()) from error

    def _said(self) -> str:
        """Return what the sites' logs last said."""
        homes = self._consortium.sites
        return " ".join(f"{home.name}: {home.log.last}" for home in homes if home.log.last)


def _handlers(consortium: Consortium, bench: Bench, mechanism: Mechanism) -> dict[str, Handler]:
    return {
        home.name: home.machine(_Workbench(bench, home.name, number, mechanism)).handle
        for number, home in enumerate(consortium.sites)
    }


def _policy(mechanism: Mechanism) -> bytes:
    """Return a site policy that allows this mechanism and no other base model or method."""
    privacy = mechanism.privacy if isinstance(mechanism.privacy, RecordPrivacy) else None
    policy = SitePolicy(
        schema="secure-fl.site-policy.v1",
        smallest_cohort=2,
        smallest_threshold=2,
        allowed_methods=(mechanism.method,),
        allowed_protections=(mechanism.protection,),
        allow_no_privacy=privacy is None,
        allowed_base_models=(mechanism.model.weights_sha256,),
        largest_rank=mechanism.adapter.rank,
        largest_clip=privacy.clip if privacy is not None else 1.0,
        required_scrubbing=(),
        datasets=(
            DatasetBudget(
                name="benchmark",
                dataset=mechanism.data.dataset,
                epsilon=_AMPLE_EPSILON,
                delta=privacy.delta if privacy is not None else 1e-5,
                unit=privacy.unit if privacy is not None else Unit.RECORD,
            ),
        ),
    )
    table = policy.model_dump(mode="json", by_alias=True, exclude_none=True)
    return tomli_w.dumps(table).encode()
