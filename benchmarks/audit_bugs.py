"""Faults that a privacy mechanism had or could have, put into the code that a run executes.

Each is a context in which the platform's own functions are replaced. An audit that does not turn a
verdict inside of it is worth nothing: the gate that has to turn is named.
"""

from __future__ import annotations

import math
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count, repeat
from typing import TYPE_CHECKING, Final
from unittest.mock import patch
from weakref import WeakKeyDictionary

import numpy as np
import torch

from audits.server import clip_probe, noise_reuse, noise_scale, sampling
from audits.site import collusion
from privacy.clipping_rules import AutomaticClip, ClipGroup, FlatClip, PerLayerClip
from privacy.discrete_gaussian import SystemDiscreteNoise
from privacy.noise import SystemNoise
from privacy.noise_shares import NoiseShares
from privacy.sampling import poisson_sample, shuffled_batches
from privacy.scrubbing import Scrubbed, Scrubber
from privacy.streams import fresh_stream
from privacy.update import Update
from secure_fl.auditing import scrubbing_probe
from secure_fl.config import RecordPrivacy, SampledPrivacy, SitePrivacy
from secure_fl.rehearsal.canary_layers import layers_of_size
from secure_fl.sites import trainer
from secure_fl.sites.losses import RecordLosses
from secure_fl.sites.trainer import LocalTrainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from torch import Tensor

    from privacy.clipping import PerExampleClipper
    from privacy.scrubbing import Document
    from privacy.update import UpdateSpec
    from secure_fl.rehearsal import Plan

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]


@dataclass(frozen=True)
class SeededBug:
    """A fault and the gate that has to see it.

    Attributes:
        name: in a table.
        gate: whose verdict has to turn to violated.
        seeded: the context in which the fault is there, for a plan.
        of_sites: whether it can be had where the unit is a whole site.
        per_layer: whether it can be had only where gradients are clipped layer by layer.
    """

    name: str
    gate: str
    seeded: Callable[[Plan], AbstractContextManager[None]]
    of_sites: bool = True
    per_layer: bool = False

    def plan(self, plan: Plan) -> Plan:
        """Return `plan`, clipped layer by layer if the fault needs that."""
        privacy = plan.mechanism.privacy
        if not (self.per_layer and isinstance(privacy, SampledPrivacy)):
            return plan
        clipped = privacy.model_copy(update={"clipping": "per-layer"})
        mechanism = plan.mechanism.model_copy(update={"privacy": clipped})
        return replace(plan, mechanism=mechanism)


def _scaled(factor: Callable[[Plan], float]) -> Callable[[Plan], AbstractContextManager[None]]:
    """Return the fault that all noise is multiplied by a factor."""
    gaussian, draw = SystemNoise.gaussian, SystemDiscreteNoise.draw

    @contextmanager
    def seeded(plan: Plan) -> Iterator[None]:
        times = factor(plan)

        def less(self: SystemNoise, count: int, deviation: float) -> Floats:
            return gaussian(self, count, deviation) * times

        def fewer(self: SystemDiscreteNoise, count: int) -> Integers:
            return np.rint(draw(self, count) * times).astype(np.int64)

        with (
            patch.object(SystemNoise, "gaussian", less),
            patch.object(SystemDiscreteNoise, "draw", fewer),
        ):
            yield

    return seeded


@contextmanager
def _noise_on_the_first_tensor(plan: Plan) -> Iterator[None]:
    """Leave every tensor but the first without noise."""
    del plan
    gaussian, draw = SystemNoise.gaussian, SystemDiscreteNoise.draw

    def first(self: SystemNoise, count: int, deviation: float) -> Floats:
        drawn = gaussian(self, count, deviation)
        drawn[layers_of_size(count).rows[0] :] = 0
        return drawn

    def first_whole(self: SystemDiscreteNoise, count: int) -> Integers:
        drawn = draw(self, count)
        drawn[layers_of_size(count).rows[0] :] = 0
        return drawn

    with (
        patch.object(SystemNoise, "gaussian", first),
        patch.object(SystemDiscreteNoise, "draw", first_whole),
    ):
        yield


@contextmanager
def _same_noise_twice(plan: Plan) -> Iterator[None]:
    """Let every second sum have the noise of the one before it."""
    gaussian, draw = SystemNoise.gaussian, SystemDiscreteNoise.draw
    drawers = 1 if isinstance(plan.mechanism.privacy, RecordPrivacy) else plan.cohort
    floats: list[Floats] = []
    integers: list[Integers] = []

    def again(self: SystemNoise, count: int, deviation: float) -> Floats:
        if len(floats) == drawers:
            return floats.pop(0)
        floats.append(gaussian(self, count, deviation))
        return floats[-1].copy()

    calls = 0

    def again_whole(self: SystemDiscreteNoise, count: int) -> Integers:
        nonlocal calls
        calls += 1
        if (calls - 1) // drawers % 2:
            return integers.pop(0)
        integers.append(draw(self, count))
        return integers[-1].copy()

    with (
        patch.object(SystemNoise, "gaussian", again),
        patch.object(SystemDiscreteNoise, "draw", again_whole),
    ):
        yield


def _unclipped(_: object, norms: Tensor, clip: float) -> Tensor:
    del clip
    return torch.ones_like(norms)


def _whole_update(spec: UpdateSpec, moved: NDArray[np.float32], clip: float) -> Update:
    del clip
    return Update.from_flat(spec, moved)


@contextmanager
def _clipping_off(plan: Plan) -> Iterator[None]:
    """Let gradients, or a site's whole update, be as long as they are."""
    del plan
    with ExitStack() as stack:
        for rule in (FlatClip, PerLayerClip, AutomaticClip):
            stack.enter_context(patch.object(rule, "factors", _unclipped))
        stack.enter_context(patch.object(trainer, "clipped_update", _whole_update))
        yield


@contextmanager
def _whole_clip_in_each_layer(plan: Plan) -> Iterator[None]:
    """Clip every layer to what is meant for all of them, without the division by sqrt(k)."""
    del plan
    groups = PerLayerClip.groups

    def undivided(self: PerLayerClip, names: Sequence[str]) -> tuple[ClipGroup, ...]:
        return tuple(ClipGroup(group.names, self.clip) for group in groups(self, names))

    with patch.object(PerLayerClip, "groups", undivided):
        yield


@contextmanager
def _clip_after_averaging(plan: Plan) -> Iterator[None]:
    """Clip the batch's mean gradient instead of each record's own."""
    original = LocalTrainer._sampled_sum  # noqa: SLF001 - the fault is put in there

    def averaged(self: LocalTrainer, clipper: PerExampleClipper, rate: float) -> dict[str, Tensor]:
        with _clipping_off(plan):
            summed = original(self, clipper, rate)
        expected = rate * len(self._parts.units)
        norm = math.sqrt(sum(float(part.norm()) ** 2 for part in summed.values())) / expected
        factor = min(1.0, clipper.rule.sensitivity / norm) if norm else 1.0
        return {name: part * factor for name, part in summed.items()}

    with patch.object(LocalTrainer, "_sampled_sum", averaged):
        yield


def _batches_of(
    batches: Callable[[int, float], Iterator[Integers]],
) -> Callable[[Plan], AbstractContextManager[None]]:
    """Return the fault that each site takes its batches in turn, of so many units at a rate."""
    original = LocalTrainer._sampled_sum  # noqa: SLF001 - the fault is put in there

    @contextmanager
    def seeded(plan: Plan) -> Iterator[None]:
        del plan
        held: WeakKeyDictionary[LocalTrainer, Iterator[Integers]] = WeakKeyDictionary()

        def sampled(
            self: LocalTrainer, clipper: PerExampleClipper, rate: float
        ) -> dict[str, Tensor]:
            if self not in held:
                held[self] = batches(len(self._parts.units), rate)
            with patch.object(trainer, "poisson_sample", lambda *_: next(held[self])):
                return original(self, clipper, rate)

        with patch.object(LocalTrainer, "_sampled_sum", sampled):
            yield

    return seeded


def _shuffled_epochs(units: int, rate: float) -> Iterator[Integers]:
    for epoch in count():
        for batch in shuffled_batches(
            units, max(1, round(rate * units)), seed=epoch, path=(units,)
        ):
            yield batch.indices


def _same_sample(units: int, rate: float) -> Iterator[Integers]:
    return repeat(poisson_sample(units, rate, fresh_stream()))


@contextmanager
def _scalar_mean_loss(plan: Plan) -> Iterator[None]:
    """Divide every record's loss by how many are in its batch, as a mean loss does."""
    del plan
    original = RecordLosses.batches

    def divided(
        self: RecordLosses,
        indices: Integers,
        *,
        head_only: bool,
        neighbours: bool = False,
    ) -> Iterator[tuple[Integers, Tensor]]:
        for rows, losses in original(self, indices, head_only=head_only, neighbours=neighbours):
            yield rows, losses / len(losses)

    with patch.object(RecordLosses, "batches", divided):
        yield


@contextmanager
def _colluders_unpaid(plan: Plan) -> Iterator[None]:
    """Let every site add a share as if nobody told anybody what they drew."""
    del plan

    def smaller(self: NoiseShares, variance: float) -> int:
        return math.ceil(variance / (self.cohort - self.drop_outs))

    with patch.object(NoiseShares, "share_of", smaller):
        yield


@contextmanager
def _scrubbing_off(plan: Plan) -> Iterator[None]:
    """Let every text come back as it went in."""
    del plan

    def unchanged(
        self: Scrubber, texts: Iterable[str], documents: Iterable[Document] | None = None
    ) -> Iterator[Scrubbed]:
        del self, documents
        for text in texts:
            yield Scrubbed(text, ())

    with patch.object(Scrubber, "scrub_all", unchanged):
        yield


BUGS: Final = (
    SeededBug("noise off", noise_scale.GATE, _scaled(lambda _: 0.0)),
    SeededBug("noise too small by sqrt 2", noise_scale.GATE, _scaled(lambda _: math.sqrt(0.5))),
    SeededBug(
        "noise too small by the number of sites",
        noise_scale.GATE,
        _scaled(lambda plan: 1 / plan.cohort),
    ),
    SeededBug("noise on the first tensor only", noise_scale.GATE, _noise_on_the_first_tensor),
    SeededBug("clipping off", clip_probe.GATE, _clipping_off),
    SeededBug("clip after averaging", clip_probe.GATE, _clip_after_averaging, of_sites=False),
    SeededBug(
        "per-layer clip without the division by sqrt k",
        clip_probe.GATE,
        _whole_clip_in_each_layer,
        of_sites=False,
        per_layer=True,
    ),
    SeededBug("the same noise twice", noise_reuse.GATE, _same_noise_twice),
    SeededBug("a scalar-mean loss", clip_probe.GATE, _scalar_mean_loss, of_sites=False),
    SeededBug("shuffled epochs", sampling.GATE, _batches_of(_shuffled_epochs), of_sites=False),
    SeededBug(
        "the same sample at every step", sampling.GATE, _batches_of(_same_sample), of_sites=False
    ),
)
"""Faults of the mechanism, which a rehearsal of it has to show."""
COLLUDERS_UNPAID: Final = SeededBug(
    "noise not enlarged for colluders", collusion.NOISE, _colluders_unpaid
)
"""A fault of how noise is shared: the attack `colluders` has to show it."""
SCRUBBING_OFF: Final = SeededBug("scrubbing off", scrubbing_probe.GATE, _scrubbing_off)
"""A fault of what comes before the mechanism: the attack `scrubbing` has to show it."""


def bugs_of(plan: Plan) -> tuple[SeededBug, ...]:
    """Return the faults that the mechanism of `plan` can have."""
    whole = isinstance(plan.mechanism.privacy, SitePrivacy)
    return tuple(bug for bug in BUGS if bug.of_sites or not whole)
