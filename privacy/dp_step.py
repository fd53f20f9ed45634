"""One DP-SGD step after clipping, and the check that clipping by example meant something.

The step is Abadi et al. 2016, algorithm 1: (sum of clipped gradients + N(0, (sigma C)^2)) / L,
where L is a constant of the configuration (the expected batch), never the batch's own size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from privacy.clipping import PerExampleClipper
    from privacy.noise import NoiseSource

Batch = TypeVar("Batch")

_SEED = 0x5EED  # any number: the same dropout masks in both passes of a check
_ROUNDINGS = 1e3  # how many rounding errors two passes over one example may differ by
_LARGEST_TOLERANCE = 1e-2  # in 16-bit arithmetic the errors alone would allow anything


def noised_mean(
    clipped_sum: Mapping[str, Tensor],
    *,
    clip: float,
    sigma: float,
    divisor: float,
    noise: NoiseSource,
) -> dict[str, Tensor]:
    """Return (clipped_sum + N(0, (sigma clip)^2)) / divisor by name, in the sums' own dtypes.

    The noise is drawn at once for all arrays and added in float64.

    Formal guarantee: with `clipped_sum` of L2 sensitivity `clip` for adding or removing one
    record, this is the Gaussian mechanism of noise multiplier `sigma`.

    Args:
        clipped_sum: what `PerExampleClipper.take` returned; every value is finite.
        clip: C, the clip of that sum, in the gradient's unit.
        sigma: the noise multiplier: the noise's standard deviation in units of `clip`.
        divisor: L, a constant of the configuration, never a count of this step's records.
        noise: where the noise comes from; in a deployed site only `SystemNoise`.

    Raises:
        ConfigError: clip, sigma or divisor is not positive and finite, or the sum is empty.
    """
    for name, value in (("clip", clip), ("sigma", sigma), ("divisor", divisor)):
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(
                f"A {name} of {value} gives no private step: it must be positive and finite. "
                "Training without noise has to be asked for as mode none."
            )
    if not clipped_sum:
        raise ConfigError("There is no sum to add noise to: no parameter is trainable.")
    drawn = noise.gaussian(sum(part.numel() for part in clipped_sum.values()), sigma * clip)
    flat = torch.from_numpy(np.ascontiguousarray(drawn, np.float64))
    mean, offset = {}, 0
    for name, part in clipped_sum.items():
        own = flat[offset : offset + part.numel()].view(part.shape).to(part.device)
        mean[name] = ((part.to(torch.float64) + own) / divisor).to(part.dtype)
        offset += part.numel()
    return mean


def check_examples_do_not_mix(  # noqa: PLR0913 - two batches, and where they differ
    clipper: PerExampleClipper,
    losses: Callable[[Batch], Tensor],
    batch: Batch,
    perturbed: Batch,
    *,
    row: int,
    width: int = 1,
) -> None:
    """Return if changing example `row` changes no other example's loss and gradient.

    Also checks that the per-example gradients add up to the gradient that autograd gives. Run it
    once before training, in the mode the training uses, on generated or public records: a refusal
    is visible from outside. Torch's global generator is seeded meanwhile and then restored, so no
    other thread may train at the same time.

    Args:
        clipper: the clipper of the model that `losses` runs.
        losses: gives one loss per row of a batch, shape (B,), with a graph.
        batch: at least two examples.
        perturbed: the same batch with another example in place `row`, padded to the same shapes,
            so that both passes draw the same dropout masks.
        row: which example differs, 0 <= row < B / width.
        width: how many rows an example is, next to each other; they may mix among themselves.

    Raises:
        ConfigError: examples mix, the rows do not add up, or the two batches show nothing.
    """
    before, rows_before = _observe(clipper, losses, batch)
    after, rows_after = _observe(clipper, losses, perturbed)
    own = range(row * width, (row + 1) * width)
    others = [i for i in range(len(before)) if i not in own]
    if before.shape != after.shape or not others or len(others) > len(before) - width:
        raise ConfigError(
            f"Two batches of {len(before)} and {len(after)} examples that differ in example {row} "
            "cannot show whether examples mix: give two batches of the same two or more examples."
        )
    tolerance = min(_ROUNDINGS * torch.finfo(before.dtype).eps, _LARGEST_TOLERANCE)
    rows = list(own)
    moved_itself = max(
        _apart(before[rows], after[rows]), _apart(rows_before[rows], rows_after[rows])
    )
    if moved_itself <= tolerance:
        raise ConfigError(
            f"Example {row} has the same loss and gradient in both batches, so the check could not "
            "fail: give a perturbed example that reads differently."
        )
    for what, one, two in (("loss", before, after), ("gradient", rows_before, rows_after)):
        moved = [apart for i in others if not (apart := _apart(one[i], two[i])) <= tolerance]
        if moved:
            raise ConfigError(
                f"The model mixes the examples of a batch: changing one moved another's {what} "
                f"by {moved[0]:.1e} of itself. A clip per example would bound nothing. Replace "
                "layers that read the whole batch (BatchNorm, for one)."
            )


def _observe(
    clipper: PerExampleClipper, losses: Callable[[Batch], Tensor], batch: Batch
) -> tuple[Tensor, Tensor]:
    """Return the losses (B,) and the flat per-example gradients (B, d) of `batch`."""
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        found = losses(batch)
        plain = clipper.plain_gradient(found)
        rows = clipper.example_gradients(found)
    flat = torch.cat([rows[name].flatten(1).to(torch.float64) for name in clipper.names], dim=1)
    # Under autocast the gradients are coarser than the losses.
    tolerance = math.sqrt(max(torch.finfo(found.dtype).eps, clipper.rounding))
    whole = torch.cat([plain[name].flatten().to(torch.float64) for name in clipper.names])
    # Relative to the rows, not to their sum, which may cancel.
    scale = flat.norm(dim=1).sum() + whole.norm()
    if not (flat.sum(0) - whole).norm() <= tolerance * scale:
        raise ConfigError(
            "The per-example gradients do not add up to the model's gradient: what is clipped is "
            "not what is trained. A trainable parameter is used in a way that is not seen here."
        )
    return found.detach(), flat


def _apart(one: Tensor, two: Tensor) -> float:
    """Return |one - two| relative to the larger of the two, 0 if both are zero."""
    scale = max(float(one.norm()), float(two.norm()))
    return float((one - two).norm()) / scale if scale else 0.0
