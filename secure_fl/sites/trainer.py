"""Local training between two sums: with DP-SGD on every step, or plainly where mode none says so.

The model stays in evaluation mode: dropout would be a second source of randomness, shared by all
threads, and a resumed run could not repeat itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from crypto.digests import sha256
from crypto.errors import IntegrityError
from privacy.clipping import PerExampleClipper
from privacy.dp_step import check_examples_do_not_mix, noised_mean
from privacy.sampling import poisson_sample, shuffled_batches
from privacy.update import Update
from secure_fl.config import RecordPrivacy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from domains.classification import EncodedRecords, SentenceClassification
    from privacy.noise import NoiseSource
    from secure_fl.config import Mechanism
    from secure_fl.sites.adapted_model import AdaptedModel


@dataclass(frozen=True)
class TrainingParts:
    """What a local trainer works with."""

    site: str
    task: SentenceClassification
    adapted: AdaptedModel
    encoded: EncodedRecords
    micro_batch: int
    noise: NoiseSource


class LocalTrainer:
    """Trains one site's copy of the adapter on that site's records."""

    def __init__(self, parts: TrainingParts, mechanism: Mechanism) -> None:
        self._parts = parts
        self._mechanism = mechanism
        self._checked = False

    def train(self, shared: NDArray[np.float32], round_: int) -> Update:
        """Return how local training moved the parameters from `shared`, shape (d,).

        Raises:
            IntegrityError: a parameter had a gradient and did not move, or moved without one:
                what is trained is not what is shared.
        """
        self._parts.adapted.load(shared)
        privacy = self._mechanism.privacy
        if isinstance(privacy, RecordPrivacy):
            touched = self._private_steps(privacy, round_)
        else:
            touched = self._plain_steps(round_)
        moved = self._parts.adapted.flat() - shared
        update = Update.from_flat(self._parts.adapted.spec, moved)
        for name, change in update.parameters.items():
            if bool(np.any(change)) != (name in touched):
                raise IntegrityError(
                    f"After training, {name} {'moved without' if np.any(change) else 'ignored'} "
                    "its gradient: the adapter in memory is not the one that is trained. Nothing "
                    "was sent."
                )
        return update

    def _private_steps(self, privacy: RecordPrivacy, round_: int) -> set[str]:
        """Run DP-SGD steps (Abadi et al. 2016) and return which parameters had a gradient."""
        parts, model = self._parts, self._parts.adapted.model
        if privacy.sigma is None:
            raise IntegrityError("A private round was started without a sigma: nothing was drawn.")
        optimizer = self._optimizer()
        touched: set[str] = set()
        clipper = PerExampleClipper(model, clip=privacy.clip)
        try:
            self._check_once(clipper)
            for step in range(self._mechanism.training.local_steps):
                self._set_rate(optimizer, round_, step)
                sampled = poisson_sample(
                    len(parts.encoded), privacy.sampling_rate, parts.noise.stream()
                )
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
                touched |= self._step(optimizer, gradient)
        finally:
            clipper.detach()
        return touched

    def _plain_steps(self, round_: int) -> set[str]:
        """Run ordinary steps on seeded batches and return which parameters had a gradient."""
        parts, model = self._parts, self._parts.adapted.model
        optimizer = self._optimizer()
        touched: set[str] = set()
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
            touched |= self._step(optimizer, gradient)
        return touched

    def _step(self, optimizer: torch.optim.Optimizer, gradient: dict[str, Tensor]) -> set[str]:
        """Take one optimiser step along `gradient` and return the names with a gradient."""
        touched = set()
        for name, parameter in self._parts.adapted.parameters.items():
            parameter.grad = gradient[name].to(parameter.dtype) if name in gradient else None
            if parameter.grad is not None and bool(torch.any(parameter.grad)):
                touched.add(name)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return touched

    def _optimizer(self) -> torch.optim.Optimizer:
        """Return a fresh optimiser: its moments would otherwise be state of raw records."""
        parameters = list(self._parts.adapted.parameters.values())
        rate = self._mechanism.training.learning_rate
        if self._mechanism.training.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=rate)
        return torch.optim.Adam(parameters, lr=rate)

    def _set_rate(self, optimizer: torch.optim.Optimizer, round_: int, step: int) -> None:
        training = self._mechanism.training
        if training.schedule == "constant":
            return
        done = (round_ * training.local_steps + step) / (training.rounds * training.local_steps)
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * (1.0 - done)

    def _batches(self, round_: int) -> Iterator[NDArray[np.int64]]:
        """Yield this round's batches, a function of seed, site and round alone."""
        training = self._mechanism.training
        if training.batch_size is None:
            raise IntegrityError("Mode none was started without a batch size.")
        text = f"{self._mechanism.seed}/{self._parts.site}/{round_}"
        seed = int.from_bytes(sha256(text.encode())[:8], "big")
        return shuffled_batches(
            len(self._parts.encoded), training.batch_size, seed=seed, batches=training.local_steps
        )

    def _check_once(self, clipper: PerExampleClipper) -> None:
        """Prove at start-up that one record's gradient does not depend on its neighbours."""
        if self._checked or len(self._parts.encoded) == 0:
            return
        few = np.arange(min(4, len(self._parts.encoded)), dtype=np.int64)
        batch = next(self._parts.task.micro_batches(self._parts.encoded, few, few.size))
        check_examples_do_not_mix(self._parts.task, self._parts.adapted.model, clipper, batch)
        self._checked = True
