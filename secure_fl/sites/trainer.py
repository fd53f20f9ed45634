"""Local training between two sums, in each mode of privacy.

`record`: DP-SGD on every step. `record-distributed`: one clipped sum of gradients, which gets its
noise under the secure sum. `site`: plain steps, whose outcome is clipped as a whole and gets its
noise there too. `none`: plain steps.

The model stays in evaluation mode: dropout would be a second source of randomness, shared by all
threads, and a resumed run could not repeat itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from crypto.digests import sha256
from crypto.errors import IntegrityError
from domains.classification import SentenceClassification
from domains.records import Record
from privacy.clipping import PerExampleClipper
from privacy.clipping_rules import AutomaticClip, FlatClip, PerLayerClip
from privacy.dp_step import check_examples_do_not_mix, noised_mean
from privacy.sampling import poisson_sample, shuffled_batches
from privacy.update import Update, clipped_update
from secure_fl.config import (
    DistributedPrivacy,
    NoPrivacy,
    RecordPrivacy,
    SampledPrivacy,
    SitePrivacy,
)
from secure_fl.methods.method import is_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from crypto.keystream import KeyStream
    from domains.encoding import MicroBatch
    from domains.tasks import TrainedTask
    from privacy.clipping_rules import ClipRule
    from privacy.noise import NoiseSource
    from secure_fl.config import Mechanism
    from secure_fl.sites.losses import RecordLosses
    from secure_fl.sites.trained_model import TrainedModel
    from secure_fl.sites.units import UnitRows


_PROBES = (
    "The company opened a new plant in the north of the country last spring.",
    "Shares of the bank fell after it had lowered its forecast for the year.",
    "Both parties agreed on a price, and the sale is expected to close soon.",
)


_RULES: Final[Mapping[str, Callable[[float], ClipRule]]] = MappingProxyType(
    {"flat": FlatClip, "per-layer": PerLayerClip, "automatic": AutomaticClip}
)

_WRONG_ADAPTER = (
    "the adapter in memory is not the one that is trained. Nothing was sent. Start the site again; "
    "if it comes back, report it with the model's name."
)


@dataclass(frozen=True)
class TrainingParts:
    """What a local trainer works with."""

    site: str
    task: TrainedTask
    adapted: TrainedModel
    records: RecordLosses
    units: UnitRows
    """Whose each of the records is: what is sampled and clipped together."""
    noise: NoiseSource
    streams: Callable[[], KeyStream]
    """Gives a fresh stream for every Poisson sample; `fresh_stream` at a deployed site."""
    tap: Callable[[Mapping[str, Tensor]], None] | None = None
    """Sees every step's noised mean in mode `record`, which is charged: the site's own audit."""


@dataclass
class Expected:
    """Which parameters a round's steps may move, and which they must: the post-step check."""

    may_move: set[str] = field(default_factory=set)
    must_move: set[str] = field(default_factory=set)


class LocalTrainer:
    """Trains one site's copy of the adapter on that site's records."""

    def __init__(self, parts: TrainingParts, mechanism: Mechanism) -> None:
        self._parts = parts
        self._mechanism = mechanism
        if isinstance(mechanism.privacy, SampledPrivacy):
            check_examples_stay_apart(parts.task, parts.adapted.model, mechanism.privacy.clip)

    def train(self, shared: NDArray[np.float32], round_: int) -> Update:
        """Return what this site gives to the round's sum, from parameters `shared`, shape (d,).

        Under `record-distributed` that is the sum of the sampled units' clipped gradients, else how
        local training moved the parameters, times the site's weight where the run has weights:
        under `site` clipped as a whole, and in both of these modes WITHOUT NOISE, which has to be
        added before it leaves.

        Raises:
            IntegrityError: a parameter had a gradient and did not move, or moved without one:
                what is trained is not what is shared.
        """
        adapted = self._parts.adapted
        adapted.load(shared)
        adapted.train_head_only(only=round_ < self._mechanism.training.head_rounds)
        match self._mechanism.privacy:
            case DistributedPrivacy() as privacy:
                return self._clipped_sum(privacy)
            case RecordPrivacy() as privacy:
                moved = self._moved(shared, self._private_steps(privacy, round_))
            case SitePrivacy() as privacy:
                moved = self._weighted(self._moved(shared, self._plain_steps(round_)))
                return clipped_update(adapted.spec, moved, privacy.clip)
            case NoPrivacy():
                moved = self._weighted(self._moved(shared, self._plain_steps(round_)))
        return Update.from_flat(adapted.spec, moved)

    def _moved(self, shared: NDArray[np.float32], expected: Expected) -> NDArray[np.float32]:
        """Return how the parameters moved from `shared`, shape (d,), after the post-step check."""
        moved = self._parts.adapted.flat() - shared
        start = 0
        for tensor in self._parts.adapted.spec.parameters:
            changed = bool(np.any(moved[start : start + tensor.size]))
            start += tensor.size
            if changed and tensor.name not in expected.may_move:
                raise IntegrityError(f"{tensor.name} moved without a gradient: {_WRONG_ADAPTER}")
            if not changed and tensor.name in expected.must_move:
                raise IntegrityError(f"{tensor.name} ignored its gradient: {_WRONG_ADAPTER}")
        return moved

    def _weighted(self, moved: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `moved`, shape (d,), as often as this site counts.

        Before the clip of mode `site`, so that one site moves the sum by no more than that.
        """
        weighting = self._mechanism.training.weighting
        if weighting is None:
            return moved
        weight = weighting.weight_of(len(self._parts.records))
        with np.errstate(over="ignore"):  # what is too large for float32 is refused, or clipped
            return (moved.astype(np.float64) * weight).astype(np.float32)

    def _clipped_sum(self, privacy: DistributedPrivacy) -> Update:
        """Return the sum of one Poisson sample's clipped gradients, zero where nothing is trained.

        It is raw: the guarantee begins with the noise that is added under the secure sum.
        """
        clipper = self._clipper(privacy)
        try:
            summed = self._sampled_sum(clipper, privacy.sampling_rate)
        finally:
            clipper.detach()
        spec = self._parts.adapted.spec
        parts = [
            summed[tensor.name].to(torch.float32).cpu().numpy().ravel()
            if tensor.name in summed
            else np.zeros(tensor.size, np.float32)
            for tensor in spec.parameters
        ]
        return Update.from_flat(spec, np.concatenate(parts))

    def _sampled_sum(self, clipper: PerExampleClipper, rate: float) -> dict[str, Tensor]:
        """Return the clipped sum over one fresh Poisson sample of this site's units."""
        parts = self._parts
        sampled = parts.units.rows_of(poisson_sample(len(parts.units), rate, parts.streams()))
        # An empty sample is a step of noise alone; it was charged like any other.
        single = parts.units.are_records
        for rows, losses in parts.records.batches(
            sampled, head_only=parts.adapted.head_only, neighbours=not single
        ):
            apart = single and parts.records.one_row_each
            owners = None if apart else torch.from_numpy(parts.units.owners_of(rows))
            clipper.accumulate(losses, owners=owners)
        return clipper.take()

    def _clipper(self, privacy: SampledPrivacy) -> PerExampleClipper:
        # Rows of one unit follow on each other, but for the order within a micro-batch.
        return PerExampleClipper(
            self._parts.adapted.model,
            clip=_RULES[privacy.clipping](privacy.clip),
            open_units=self._parts.records.micro_batch,
        )

    def _private_steps(self, privacy: RecordPrivacy, round_: int) -> Expected:
        """Run DP-SGD steps (Abadi et al. 2016) and return what has to have moved."""
        if privacy.sigma is None:
            raise IntegrityError("A private round was started without a sigma: nothing was drawn.")
        optimizer = self._optimizer()
        expected = Expected()
        clipper = self._clipper(privacy)
        try:
            for step in range(self._mechanism.training.local_steps):
                self._set_rate(optimizer, round_, step)
                gradient = noised_mean(
                    self._sampled_sum(clipper, privacy.sampling_rate),
                    clip=privacy.clip,
                    sigma=privacy.sigma,
                    divisor=privacy.divisor,
                    noise=self._parts.noise,
                )
                if self._parts.tap is not None:
                    self._parts.tap(gradient)
                self._step(optimizer, gradient, expected)
        finally:
            clipper.detach()
        return expected

    def _plain_steps(self, round_: int) -> Expected:
        """Run ordinary steps on seeded batches and return what has to have moved."""
        parts = self._parts
        optimizer = self._optimizer()
        expected = Expected()
        for step, sampled in enumerate(self._batches(round_)):
            self._set_rate(optimizer, round_, step)
            optimizer.zero_grad(set_to_none=True)
            for _, losses in parts.records.batches(sampled, head_only=parts.adapted.head_only):
                loss = losses.sum() / len(sampled)
                loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            gradient = {
                name: parameter.grad
                for name, parameter in parts.adapted.parameters.items()
                if parameter.grad is not None
            }
            self._step(optimizer, gradient, expected)
        return expected

    def _step(
        self, optimizer: torch.optim.Optimizer, gradient: dict[str, Tensor], expected: Expected
    ) -> None:
        """Take one optimiser step along `gradient`, and note which parameters it has to move."""
        rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        for name, parameter in self._parts.adapted.parameters.items():
            parameter.grad = gradient[name].to(parameter.dtype) if name in gradient else None
            if parameter.grad is None or not bool(torch.any(parameter.grad)):
                continue
            expected.may_move.add(name)
            rate = rates.get(id(parameter), self._mechanism.training.learning_rate)
            step = rate * parameter.grad.abs()
            # Below the spacing of floats at its value, a parameter rightly stays where it is.
            spacing = torch.finfo(parameter.dtype).eps * parameter.detach().abs()
            if bool(torch.any(step > spacing)):
                expected.must_move.add(name)
        before = {name: p.detach().clone() for name, p in self._parts.adapted.parameters.items()}
        optimizer.step()
        if isinstance(optimizer, torch.optim.SGD) and not self._mechanism.training.momentum:
            self._check_step(before, rates)
        optimizer.zero_grad(set_to_none=True)

    def _check_step(self, before: dict[str, Tensor], rates: dict[int, float]) -> None:
        """Return if every parameter moved by minus its rate times its gradient.

        Raises:
            IntegrityError: one did not: what is trained is not what was noised.
        """
        for name, parameter in self._parts.adapted.parameters.items():
            if parameter.grad is None:
                continue
            rate = rates.get(id(parameter), self._mechanism.training.learning_rate)
            expected = before[name] - rate * parameter.grad
            apart = (parameter.detach() - expected).abs()
            # Two roundings: of the product, and of the difference.
            spacing = torch.finfo(parameter.dtype).eps * (expected.abs() + before[name].abs())
            if bool(torch.any(apart > 2 * spacing)):
                raise IntegrityError(f"{name} moved otherwise than its gradient: {_WRONG_ADAPTER}")

    def _optimizer(self) -> torch.optim.Optimizer:
        """Return a fresh optimiser: its moments would otherwise be state of raw records."""
        training = self._mechanism.training
        named = self._parts.adapted.parameters.items()
        groups = [
            {"params": [p for name, p in named if not is_head(name)], "lr": training.learning_rate},
            {"params": [p for name, p in named if is_head(name)], "lr": self._head_rate()},
        ]
        filled = [group for group in groups if group["params"]]
        if training.optimizer == "sgd":
            return torch.optim.SGD(filled, momentum=training.momentum)
        return torch.optim.Adam(filled)

    def _head_rate(self) -> float:
        training = self._mechanism.training
        given = training.head_learning_rate
        return training.learning_rate if given is None else given

    def _set_rate(self, optimizer: torch.optim.Optimizer, round_: int, step: int) -> None:
        """Lower every group's rate by the share of the run's steps that are done."""
        training = self._mechanism.training
        if training.schedule == "constant":
            return
        done = (round_ * training.local_steps + step) / (training.rounds * training.local_steps)
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("first_lr", group["lr"]) * (1.0 - done)

    def _batches(self, round_: int) -> Iterator[NDArray[np.int64]]:
        """Yield this round's batches, a function of seed, site and round alone."""
        training = self._mechanism.training
        if training.batch_size is None:
            raise IntegrityError("Mode none was started without a batch size.")
        site = int.from_bytes(sha256(self._parts.site.encode())[:4], "big")
        drawn = 0
        for number in count():
            for batch in shuffled_batches(
                len(self._parts.records),
                training.batch_size,
                seed=self._mechanism.seed,
                path=(site, round_, number),
            ):
                yield batch.indices
                drawn += 1
                if drawn == training.local_steps:
                    return


def check_examples_stay_apart(task: TrainedTask, model: nn.Module, clip: float) -> None:
    """Prove, on public sentences, that one record's gradient does not depend on its neighbours.

    Raises:
        ConfigError: the model mixes the records of a batch, so that clipping bounds nothing.
    """
    batch, perturbed, width = _probe_batches(task)
    clipper = PerExampleClipper(model, clip=clip)
    try:
        check_examples_do_not_mix(
            clipper,
            lambda examples: task.losses(model, examples),
            batch,
            perturbed,
            row=1,
            width=width,
        )
    finally:
        clipper.detach()


def _probe_batches(task: TrainedTask) -> tuple[MicroBatch, MicroBatch, int]:
    """Return two batches of two public sentences of one length, which differ in the second.

    And how many rows each sentence is read as.
    """
    options = task.labels or ("yes", "no")
    brings = not isinstance(task, SentenceClassification)
    encoded = task.encode(
        [
            Record(f"probe-{i}", text, 0, options=options if brings else ())
            for i, text in enumerate(_PROBES)
        ]
    )
    # Equal lengths, cut where nothing but the sentence goes: what is chosen from stands at the end.
    length = min(row.size for row in encoded.token_ids)
    starts = encoded.prompt_lengths
    if starts is not None:
        starts = np.array(
            [
                start - row.size + length
                for start, row in zip(starts, encoded.token_ids, strict=True)
            ],
            np.int64,
        )
    kept = slice(-length, None) if brings else slice(length)
    cut = replace(
        encoded,
        token_ids=tuple(row[kept] for row in encoded.token_ids),
        token_types=tuple(row[kept] for row in encoded.token_types),
        prompt_lengths=starts,
    )

    def batch(second: int) -> MicroBatch:
        return next(task.micro_batches(cut, np.array([0, second], dtype=np.int64), 2))

    return batch(1), batch(2), encoded.rows_of(0).size
