"""Exact per-example gradients in one backward pass, clipped and summed.

Every trainable layer is tapped: its input is kept, and when the backward pass brings its output's
gradient, each example's own gradient is formed at once. The backward pass is asked only for an
anchor, a number without value that every tapped layer hangs on. So no parameter's `.grad` is
touched or computed, and nothing is computed before the first tapped layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from privacy.clipping_rules import ClipRule, FlatClip
from privacy.clipping_units import OpenUnits
from privacy.example_pass import ExamplePass
from privacy.example_rows import Rows, sum_dtype

if TYPE_CHECKING:
    from collections.abc import Mapping


@final
class PerExampleClipper:
    """Exact per-example gradients for the trainable parameters of `model`, clipped and summed.

    With a clip of C, example i contributes min(1, C / |g_i|) g_i, where g_i is the gradient of its
    loss by all trainable parameters as one flat row; a contribution that is not finite is replaced
    by zero. So one example more or less moves the sum by at most C in L2. The factor is taken a
    few rounding errors smaller, so that also the rounded row is no longer than C; what rounding
    in the sum over a batch adds is not covered (see Mironov 2012).

    With `owners`, the rows of one owner are summed first, and it is their sum that is clipped: one
    owner more or less, with all of its rows, moves the sum by at most C. The sum is the same
    however the rows are cut into calls, as long as an owner's rows are not too far apart.

    Edge cases: a batch without examples adds nothing; a layer that a forward pass calls several
    times adds its gradients; a parameter that the losses do not reach has gradient zero; forward
    passes without a gradient (`no_grad`, `generate`) pass through untouched.

    What this class cannot see is a layer that mixes examples, or whose first dimension only
    happens to be as long as the batch: `dp_step.check_examples_do_not_mix` looks for both.

    Gradient checkpointing may be on. The reentrant kind works only in a backward pass that forms
    the whole batch's gradient too, so that kind costs as much more; each pass then checks that
    the rows add up to it.

    Memory: B times the trainable parameters, once, during `accumulate`; for weights larger than
    what their layer saw, that instead. With owners, `open_units` times the trainable parameters
    between calls.

    Args:
        model: the caller's model; hooks are added to it until `detach`. Its trainable parameters
            are those with `requires_grad` now.
        clip: how a gradient is clipped; a number is the clip of a `FlatClip`, in the unit of the
            gradient.
        open_units: how many owners may still get rows in later calls.

    Raises:
        ConfigError: `clip` is not positive and finite, or a trainable parameter's gradient cannot
            be had exactly (see `trainable_layers`); the parameter is named.
    """

    names: tuple[str, ...]
    """The trainable parameters, in model order."""

    def __init__(self, model: nn.Module, *, clip: float | ClipRule, open_units: int = 1) -> None:
        self.rule: ClipRule = FlatClip(clip) if isinstance(clip, int | float) else clip
        self._units = OpenUnits(open_units)
        self._pass = ExamplePass(model)
        self.names = tuple(self._pass.parameters)
        self._groups = self.rule.groups(self.names)
        self._sums: dict[str, Tensor] = {}

    def accumulate(self, losses: Tensor, *, owners: Tensor | None = None) -> None:
        """Add the clipped gradients of `losses` (B,), one per example, to the running sum.

        One backward pass; the graph is freed. B may be zero.

        Args:
            losses: one per example, shape (B,), with a graph.
            owners: to whom each loss belongs, (B,) integers: the rows of one owner are clipped as
                one. An owner's row stays open until `open_units` other owners came after it, or
                `take`. Without, each loss is a unit of its own.

        Raises:
            ConfigError: `losses` is not one number per example, does not depend on the trainable
                parameters, or a layer turned out not to be exact; or an owner came back after its
                row was clipped. Nothing was added.
        """
        units = None if owners is None else self._units.owners_of(owners, losses)
        with torch.autocast(losses.device.type, enabled=False):
            rows = self._pass.run(losses)
            if not rows:
                return
            norms = self._norms(rows)
            usable = norms.isfinite().all(0) & losses.detach().isfinite()
            if units is None:
                self._contribute(rows, norms, usable)
            else:
                self._contribute_units(self._units.add(rows, units, usable.tolist()))

    def example_gradients(self, losses: Tensor) -> dict[str, Tensor]:
        """Return every example's unclipped gradient, (B, *shape) by name; adds nothing.

        These rows are raw: they may be looked at, and must not leave the site.

        Raises:
            ConfigError: as `accumulate`.
        """
        with torch.autocast(losses.device.type, enabled=False):
            rows = self._pass.run(losses)
            return {
                name: rows[name].dense() if name in rows else p.new_zeros((len(losses), *p.shape))
                for name, p in self._pass.parameters.items()
            }

    def plain_gradient(self, losses: Tensor) -> dict[str, Tensor]:
        """Return autograd's own gradient of the summed `losses` (B,) by name; keeps the graph.

        For checks: it is raw, like `example_gradients`, and costs a second backward pass.

        Raises:
            ConfigError: as `accumulate`.
        """
        return self._pass.plain_gradient(losses)

    def take(self) -> dict[str, Tensor]:
        """Return the sum by name since the last call, zeros if nothing came, and start anew.

        Open owners are closed first. The sums are float32, or float64 where the parameter is.
        """
        held = self._units.close()
        if held:
            with torch.autocast(next(iter(held.values())).device.type, enabled=False):
                self._contribute_units(held)
        sums, self._sums = self._sums, {}
        return {
            name: sums[name] if name in sums else torch.zeros_like(p, dtype=sum_dtype(p))
            for name, p in self._pass.parameters.items()
        }

    @property
    def rounding(self) -> float:
        """The largest machine epsilon among the gradients that the last pass brought."""
        return self._pass.rounding

    def detach(self) -> None:
        """Remove the hooks: the model is again what the caller gave."""
        self._pass.detach()

    def _norms(self, rows: Mapping[str, Rows]) -> Tensor:
        """Return the L2 norm of each group's part of each row, (groups, B) float64."""
        none = torch.zeros_like(next(iter(rows.values())).norms())
        return torch.stack(
            [
                torch.linalg.vector_norm(
                    torch.stack([none, *(rows[n].norms() for n in group.names if n in rows)]), dim=0
                )
                for group in self._groups
            ]
        )

    def _contribute_units(self, rows: Mapping[str, Rows]) -> None:
        """Add the clipped rows (U, *shape) of whole units."""
        if rows:
            norms = self._norms(rows)
            self._contribute(rows, norms, norms.isfinite().all(0))

    def _contribute(self, rows: Mapping[str, Rows], norms: Tensor, usable: Tensor) -> None:
        """Add the clipped rows (B, *shape), whose groups have `norms` (groups, B).

        Those that are not `usable` (B,) count as zero.
        """
        mask = None if bool(usable.all()) else usable
        for group, factors in zip(self._groups, self._factors(rows, norms, usable), strict=True):
            for name in group.names:
                if name not in rows:
                    continue
                part = rows[name].weighted_sum(factors, mask)
                if name in self._sums:
                    self._sums[name] += part
                else:
                    self._sums[name] = part.contiguous()

    def _factors(self, rows: Mapping[str, Rows], norms: Tensor, usable: Tensor) -> list[Tensor]:
        """Return each group's factors (B,) float64, a few rounding errors less than the rule's."""
        # One rounding each of the factor and of the product, and those of the float64 norm.
        margin = 4 * max(torch.finfo(row.dtype).eps for row in rows.values()) + 2.0**-44
        return [
            (self.rule.factors(norm, group.clip) * (1 - margin)).masked_fill(~usable, 0.0)
            for group, norm in zip(self._groups, norms, strict=True)
        ]
