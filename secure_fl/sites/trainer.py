"""Local training between two sums: with DP-SGD on every step, or plainly where mode none says so.

The model stays in evaluation mode: dropout would be a second source of randomness, shared by all
threads, and a resumed run could not repeat itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import torch

from crypto.digests import sha256
from crypto.errors import IntegrityError
from domains.classification import EncodedRecords
from domains.records import Record
from privacy.clipping import PerExampleClipper
from privacy.dp_step import check_examples_do_not_mix, noised_mean
from privacy.sampling import poisson_sample, shuffled_batches
from privacy.update import Update
from secure_fl.config import RecordPrivacy
from secure_fl.methods.method import is_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from crypto.keystream import KeyStream
    from domains.classification import SentenceClassification
    from privacy.noise import NoiseSource
    from secure_fl.config import Mechanism
    from secure_fl.sites.adapted_model import AdaptedModel


_PROBES = (
    "The company opened a new plant in the north of the country last spring.",
    "Shares of the bank fell after it had lowered its forecast for the year.",
    "Both parties agreed on a price, and the sale is expected to close soon.",
)


_WRONG_ADAPTER = (
    "the adapter in memory is not the one that is trained. Nothing was sent. Start the site again; "
    "if it comes back, report it with the model's name."
)


@dataclass(frozen=True)
class TrainingParts:
    """What a local trainer works with."""

    site: str
    task: SentenceClassification
    adapted: AdaptedModel
    encoded: EncodedRecords
    micro_batch: int
    noise: NoiseSource
    streams: Callable[[], KeyStream]
    """Gives a fresh stream for every Poisson sample; `fresh_stream` at a deployed site."""


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
        if isinstance(mechanism.privacy, RecordPrivacy):
            check_examples_stay_apart(parts, mechanism.privacy.clip)

    def train(self, shared: NDArray[np.float32], round_: int) -> Update:
        """Return how local training moved the parameters from `shared`, shape (d,).

        Raises:
            IntegrityError: a parameter had a gradient and did not move, or moved without one:
                what is trained is not what is shared.
        """
        self._parts.adapted.load(shared)
        privacy = self._mechanism.privacy
        if isinstance(privacy, RecordPrivacy):
            expected = self._private_steps(privacy, round_)
        else:
            expected = self._plain_steps(round_)
        moved = self._parts.adapted.flat() - shared
        update = Update.from_flat(self._parts.adapted.spec, moved)
        for name, change in update.parameters.items():
            if np.any(change) and name not in expected.may_move:
                raise IntegrityError(f"{name} moved without a gradient: {_WRONG_ADAPTER}")
            if not np.any(change) and name in expected.must_move:
                raise IntegrityError(f"{name} ignored its gradient: {_WRONG_ADAPTER}")
        return update

    def _private_steps(self, privacy: RecordPrivacy, round_: int) -> Expected:
        """Run DP-SGD steps (Abadi et al. 2016) and return what has to have moved."""
        parts, model = self._parts, self._parts.adapted.model
        if privacy.sigma is None:
            raise IntegrityError("A private round was started without a sigma: nothing was drawn.")
        optimizer = self._optimizer()
        expected = Expected()
        clipper = PerExampleClipper(model, clip=privacy.clip)
        try:
            for step in range(self._mechanism.training.local_steps):
                self._set_rate(optimizer, round_, step)
                sampled = poisson_sample(len(parts.encoded), privacy.sampling_rate, parts.streams())
                # An empty sample is a step of noise alone; it was charged like any other.
                for batch in parts.task.micro_batches(parts.encoded, sampled, parts.micro_batch):
                    clipper.accumulate(parts.task.losses(model, batch))
                gradient = noised_mean(
                    clipper.take(),
                    clip=privacy.clip,
                    sigma=privacy.sigma,
                    divisor=privacy.divisor,
                    noise=parts.noise,
                )
                self._step(optimizer, gradient, expected)
        finally:
            clipper.detach()
        return expected

    def _plain_steps(self, round_: int) -> Expected:
        """Run ordinary steps on seeded batches and return what has to have moved."""
        parts, model = self._parts, self._parts.adapted.model
        optimizer = self._optimizer()
        expected = Expected()
        for step, batch_indices in enumerate(self._batches(round_)):
            self._set_rate(optimizer, round_, step)
            optimizer.zero_grad(set_to_none=True)
            for batch in parts.task.micro_batches(parts.encoded, batch_indices, parts.micro_batch):
                loss = parts.task.losses(model, batch).sum() / len(batch_indices)
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
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

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
            return torch.optim.SGD(filled)
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
                len(self._parts.encoded),
                training.batch_size,
                seed=self._mechanism.seed,
                path=(site, round_, number),
            ):
                yield batch.indices
                drawn += 1
                if drawn == training.local_steps:
                    return


def check_examples_stay_apart(parts: TrainingParts, clip: float) -> None:
    """Prove, on public sentences, that one record's gradient does not depend on its neighbours.

    Raises:
        ConfigError: the model mixes the records of a batch, so that clipping bounds nothing.
    """
    task, model = parts.task, parts.adapted.model
    encoded = task.encode([Record(f"probe-{i}", text, 0) for i, text in enumerate(_PROBES)])
    length = min(row.size for row in encoded.token_ids)
    first, second, third = (row[:length] for row in encoded.token_ids)
    labels = encoded.labels[:2]
    both = np.arange(2, dtype=np.int64)
    batch, perturbed = (
        next(task.micro_batches(EncodedRecords(rows, labels), both, 2))
        for rows in ((first, second), (first, third))
    )
    clipper = PerExampleClipper(model, clip=clip)
    try:
        check_examples_do_not_mix(
            clipper, lambda examples: task.losses(model, examples), batch, perturbed, row=1
        )
    finally:
        clipper.detach()
