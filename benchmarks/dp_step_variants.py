"""One training step in several ways: without privacy, with ours, with each mode of Opacus.

All share one model, one batch and AdamW, and take per-example losses. A way is attached to the
model, runs steps, and is detached again, so that the next finds the model as it was. Opacus is
told that losses are summed, which spares it a multiplication per layer; AdamW does not mind.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import torch
from opacus.grad_sample.utils import prepare_module
from opacus.optimizers import get_optimizer_class
from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

from privacy.clipping import PerExampleClipper
from privacy.dp_step import noised_mean
from privacy.noise import SystemNoise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from benchmarks.dp_step_models import Workload
    from privacy.noise import NoiseSource

CLIP: Final = 1e-3
"""Below every example's norm in the models here: each is clipped, and a wrong clip shows."""
SIGMA: Final = 1.0
_RATE: Final = 1e-5
OPACUS_MODES: Final = ("hooks", "ghost", "functorch", "ew")


class Way(Protocol):
    """A way to take a step, while attached to a model."""

    def step(self) -> None:
        """Forward, backward and the optimiser's step; leaves no gradient behind."""

    def clipped_sum(self) -> dict[str, Tensor]:
        """Return the sum over the batch before noise, by parameter; moves nothing."""


class Bench:
    """One model and batch, and its ways to take a step."""

    def __init__(self, workload: Workload, noise: NoiseSource | None = None) -> None:
        self.workload = workload
        self.model = workload.model()
        self.batch = workload.examples()
        self.trainable = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(self.trainable.values(), lr=_RATE)
        self.noise: NoiseSource = SystemNoise() if noise is None else noise

    @contextmanager
    def nonprivate(self) -> Iterator[Way]:
        """Attach the ordinary step, which needs nothing attached."""
        yield _NonPrivate(self)

    @contextmanager
    def ours(self) -> Iterator[Way]:
        """Attach this library's step.

        Raises:
            ConfigError: the gradients of what is trained here cannot be had exactly.
        """
        clipper = PerExampleClipper(self.model, clip=CLIP)
        try:
            yield _Ours(self, clipper)
        finally:
            clipper.detach()

    @contextmanager
    def opacus(self, mode: str) -> Iterator[Way]:
        """Attach a mode of Opacus' PrivacyEngine as `make_private` would, without its loader.

        Where Opacus fails the model may be left damaged: try a mode on a model of its own first.
        """
        if mode == "ghost":
            wrapped = prepare_module(
                self.model, mode, loss_reduction="sum", max_grad_norm=CLIP, use_ghost_clipping=True
            )
        else:
            wrapped = prepare_module(self.model, mode, loss_reduction="sum")
        try:
            with warnings.catch_warnings():
                # Its hooks fire on the first adapter too, whose input needs no gradient.
                warnings.filterwarnings("ignore", message="Full backward hook is firing.*")
                yield _Opacus(self, wrapped, mode)
        finally:
            wrapped.to_standard_module()
            self.optimizer.zero_grad()


class _NonPrivate:
    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def step(self) -> None:
        bench = self._bench
        bench.workload.losses(bench.model, bench.batch).mean().backward()
        bench.optimizer.step()
        bench.optimizer.zero_grad()

    def clipped_sum(self) -> dict[str, Tensor]:
        """Clip one example at a time: the slow twin of all the others, by autograd alone."""
        bench = self._bench
        total = {name: torch.zeros_like(p) for name, p in bench.trainable.items()}
        losses = bench.workload.losses(bench.model, bench.batch)
        for loss in losses:
            parts = torch.autograd.grad(
                loss, list(bench.trainable.values()), retain_graph=True, materialize_grads=True
            )
            norm = torch.linalg.vector_norm(torch.stack([part.norm() for part in parts]))
            for name, part in zip(total, parts, strict=True):
                total[name] += part * (CLIP / norm).clamp(max=1.0)
        return total


class _Ours:
    def __init__(self, bench: Bench, clipper: PerExampleClipper) -> None:
        self._bench = bench
        self._clipper = clipper

    def step(self) -> None:
        bench = self._bench
        gradient = noised_mean(
            self.clipped_sum(),
            clip=CLIP,
            sigma=SIGMA,
            divisor=bench.workload.batch,
            noise=bench.noise,
        )
        for name, parameter in bench.trainable.items():
            parameter.grad = gradient[name].to(parameter.dtype)
        bench.optimizer.step()
        bench.optimizer.zero_grad()

    def clipped_sum(self) -> dict[str, Tensor]:
        bench = self._bench
        self._clipper.accumulate(bench.workload.losses(bench.model, bench.batch))
        return self._clipper.take()


class _Opacus:
    def __init__(self, bench: Bench, wrapped: nn.Module, mode: str) -> None:
        self._bench = bench
        self._wrapped = wrapped
        self._ghost = mode == "ghost"
        kind = get_optimizer_class(clipping="flat", distributed=False, grad_sample_mode=mode)
        self._optimizer = kind(
            optimizer=bench.optimizer,
            noise_multiplier=SIGMA,
            max_grad_norm=CLIP,
            expected_batch_size=bench.workload.batch,
            loss_reduction="sum",
        )

    def step(self) -> None:
        self._backward()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def clipped_sum(self) -> dict[str, Tensor]:
        self._backward()
        trainable = self._bench.trainable.items()
        if self._ghost:  # its second backward pass gives the clipped sum itself
            total = {name: parameter.grad.clone() for name, parameter in trainable}
        else:
            self._optimizer.clip_and_accumulate()
            total = {name: parameter.summed_grad.clone() for name, parameter in trainable}
        self._optimizer.zero_grad(set_to_none=True)
        return total

    def _backward(self) -> None:
        losses = self._bench.workload.losses(self._wrapped, self._bench.batch)
        if self._ghost:
            DPTensorFastGradientClipping(
                self._wrapped, self._optimizer, losses, loss_reduction="sum"
            ).backward()
        else:
            losses.sum().backward()
