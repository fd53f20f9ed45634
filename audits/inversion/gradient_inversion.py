"""For contrast: search for inputs whose gradient points where a plain gradient does.

Zhu, Liu and Han 2019, "Deep leakage from gradients", arXiv:1906.08935, matched gradients by
optimising dummy inputs and labels. Balunovic, Dimitrov, Jovanovic and Vechev 2022, "LAMP",
arXiv:2202.08827, did it for text with the cosine as measure, and with discrete swaps between
descents: two tokens that changed places are a minimum that no descent leaves. Here are the two,
without LAMP's language model and its penalty on lengths.

It needs no rank, is never exact, and may miss what the span shows at once; it says what is left of
a text where the span says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

    GradientOf = Callable[[Tensor, Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Sought:
    """The shapes of what is looked for.

    Attributes:
        tokens: how many, t.
        width: of an embedding, d.
        classes: of the label.
    """

    tokens: int
    width: int
    classes: int

    def __post_init__(self) -> None:
        if min(self.tokens, self.width, self.classes) < 1:
            raise ConfigError(
                f"{self} has nothing in it to be recovered. Give at least one token, one number of "
                "an embedding and one class."
            )


@dataclass(frozen=True)
class Search:
    """How long to look.

    Attributes:
        restarts: from how many random starts, at most.
        descents: per start, each after the best swap of two tokens; one means no swaps.
        iterations: of L-BFGS in each descent.
        spread: standard deviation of the dummy embeddings at the start.
        enough: the cosine similarity at which the search ends.
    """

    restarts: int = 4
    descents: int = 2
    iterations: int = 120
    spread: float = 1.0
    enough: float = 1 - 1e-6

    def __post_init__(self) -> None:
        if min(self.restarts, self.descents, self.iterations) < 1 or not self.spread > 0:
            raise ConfigError(
                f"{self} tries nothing: that nothing was recovered would mean nothing. Give at "
                "least one restart, descent and iteration, and a spread above 0."
            )


@dataclass(frozen=True, eq=False)
class GradientInversion:
    """The best match that was found; the embeddings are not shown.

    Attributes:
        similarity: of the two gradients as flat vectors, 1 where they point the same way.
        embeddings: (t, d).
        label: the class that the dummy label gives the most weight.
    """

    similarity: float
    embeddings: Tensor = field(repr=False)
    label: int

    def nearest_tokens(self, table: Tensor) -> tuple[int, ...]:
        """Return for each of the t embeddings the closest row of the `table` (V, d) (Euclid).

        Raises:
            ConfigError: the table has rows of another length.
        """
        if table.ndim != self.embeddings.ndim or table.shape[1] != self.embeddings.shape[1]:
            raise ConfigError(
                f"A table of the shape {tuple(table.shape)} does not hold embeddings of "
                f"{self.embeddings.shape[1]} numbers: no token is nearest. Give the model's own."
            )
        apart = torch.cdist(self.embeddings, table.to(self.embeddings))
        return tuple(int(token) for token in apart.argmin(dim=1))


def invert_gradient(
    target: Mapping[str, Tensor],
    gradient_of: GradientOf,
    sought: Sought,
    generator: torch.Generator,
    search: Search | None = None,
) -> GradientInversion:
    """Return dummy inputs whose gradient has the greatest cosine similarity with the `target`.

    The same target, generator state and machine give the same result.

    Args:
        target: what was seen, by parameter; its types and devices are the dummies' too.
        gradient_of: (embeddings (t, d), label (classes,) of probabilities) to the gradients by
            parameter, differentiable: made with `create_graph=True`.
        sought: the shapes of the two.
        generator: draws the starts, on the CPU.
        search: how long to look.

    Raises:
        ConfigError: the target is empty or all zeros, or `gradient_of` answers other parameters
            or cannot be differentiated.
    """
    matching = _Matching(target, gradient_of)
    search = search or Search()
    found: list[GradientInversion] = []
    for attempt in _attempts(matching, sought, generator, search):
        found.append(attempt)
        if attempt.similarity >= search.enough:
            break
    return max(found, key=lambda attempt: attempt.similarity)


def _attempts(
    matching: _Matching, sought: Sought, generator: torch.Generator, search: Search
) -> Iterator[GradientInversion]:
    for _ in range(search.restarts):
        start = torch.randn(sought.tokens, sought.width, generator=generator, dtype=torch.float64)
        dummies = _Dummies(
            (search.spread * start).to(matching.wanted), matching.wanted.new_zeros(sought.classes)
        )
        for descent in range(search.descents):
            if descent:
                dummies.swap(matching)
            yield dummies.descend(matching, search.iterations)


class _Matching:
    """The cosine similarity between a dummy's gradient and the one that was seen."""

    def __init__(self, target: Mapping[str, Tensor], gradient_of: GradientOf) -> None:
        if not any(bool(part.any()) for part in target.values()):
            raise ConfigError(
                "The gradient to be matched is empty or 0 throughout: everything matches it. Give "
                "one that a record was summed into."
            )
        self._names = tuple(target)
        self._gradient_of = gradient_of
        self.wanted = _flat(target, self._names).detach()

    def similarity(self, embeddings: Tensor, label: Tensor) -> Tensor:
        """Return the cosine, a scalar that can be differentiated."""
        gradients = self._gradient_of(embeddings, torch.softmax(label, dim=0))
        if set(gradients) != set(self._names):
            raise ConfigError(
                f"Gradients of {sorted(gradients)} were answered for {sorted(self._names)}: they "
                "cannot be matched. Compute the gradients that were seen, and no others."
            )
        cosine = functional.cosine_similarity(_flat(gradients, self._names), self.wanted, dim=0)
        if not cosine.requires_grad:
            raise ConfigError(
                "The gradients do not depend on the dummy inputs: the search would stand still. "
                "Compute them with create_graph=True."
            )
        return cosine


class _Dummies:
    """One start: the embeddings and the label's logits, changed in place by the search."""

    def __init__(self, embeddings: Tensor, label: Tensor) -> None:
        self._embeddings = embeddings.requires_grad_()
        self._label = label.requires_grad_()

    def descend(self, matching: _Matching, iterations: int) -> GradientInversion:
        """Follow L-BFGS to a nearby maximum of the similarity, and return it."""
        both = [self._embeddings, self._label]
        optimiser = torch.optim.LBFGS(
            both,
            max_iter=iterations,
            history_size=50,
            tolerance_grad=1e-10,
            tolerance_change=1e-12,
            line_search_fn="strong_wolfe",
        )

        def distance() -> Tensor:
            apart = 1 - matching.similarity(*both)
            for part, slope in zip(both, torch.autograd.grad(apart, both), strict=True):
                part.grad = slope
            return apart.detach()

        optimiser.step(distance)  # type: ignore[no-untyped-call] # torch leaves it untyped
        reached = float(matching.similarity(*both).detach())
        return GradientInversion(
            similarity=reached if math.isfinite(reached) else -1.0,  # a descent that overflowed
            embeddings=self._embeddings.detach().clone(),
            label=int(self._label.argmax()),
        )

    def swap(self, matching: _Matching) -> None:
        """Exchange the two tokens whose exchange costs the least similarity; LAMP's discrete step.

        Taken although it costs: the descent after it leads elsewhere.
        """
        before = self._embeddings.detach().clone()
        orders = [_swapped(len(before), *pair) for pair in combinations(range(len(before)), 2)]
        if not orders:
            return
        gains = [
            float(matching.similarity(before[order].requires_grad_(), self._label).detach())
            for order in orders
        ]
        with torch.no_grad():
            self._embeddings.copy_(before[orders[gains.index(max(gains))]])


def _swapped(length: int, first: int, second: int) -> list[int]:
    order = list(range(length))
    order[first], order[second] = second, first
    return order


def _flat(gradients: Mapping[str, Tensor], names: tuple[str, ...]) -> Tensor:
    return torch.cat([gradients[name].flatten() for name in names])
