"""How the gradient of one example, or of one unit of privacy, is made short.

A rule says which parameters are measured together and by what each group's part is multiplied. Its
sensitivity is the largest L2 norm that is left of a whole gradient: what noise has to hide.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass(frozen=True)
class ClipGroup:
    """Parameters that are measured as one row.

    Attributes:
        names: their names in the model.
        clip: the largest L2 norm that is left of their part.
    """

    names: tuple[str, ...]
    clip: float

    def __post_init__(self) -> None:
        _require_clip(self.clip)


class ClipRule(Protocol):
    """How gradients are clipped."""

    @property
    def sensitivity(self) -> float:
        """By how much one unit more or less moves the sum at most, in L2."""

    def groups(self, names: Sequence[str]) -> tuple[ClipGroup, ...]:
        """Return each of the parameters `names` in just one group.

        Raises:
            ConfigError: the rule was not made for these parameters.
        """

    def factors(self, norms: Tensor, clip: float) -> Tensor:
        """Return what parts of L2 norm `norms` (B,) are multiplied by: norms * factors <= clip."""


@dataclass(frozen=True)
class FlatClip:
    """The whole gradient g as one row: min(1, clip / |g|) g (Abadi et al. 2016).

    Formal guarantee: sensitivity `clip`.

    Attributes:
        clip: the largest L2 norm of a contribution, in the unit of the gradient.

    Raises:
        ConfigError: `clip` is not positive and finite.
    """

    clip: float

    def __post_init__(self) -> None:
        _require_clip(self.clip)

    @property
    def sensitivity(self) -> float:
        """`clip`."""
        return self.clip

    def groups(self, names: Sequence[str]) -> tuple[ClipGroup, ...]:
        """Return one group of all."""
        return (ClipGroup(tuple(names), self.clip),)

    def factors(self, norms: Tensor, clip: float) -> Tensor:
        """Return min(1, clip / norm) (B,)."""
        return clip / norms.clamp_min(clip)


@dataclass(frozen=True)
class PerLayerClip:
    """Every layer's part as a row of its own, all k layers alike: clipped to clip / sqrt(k).

    Formal guarantee: sensitivity sqrt(k (clip / sqrt(k))^2) = `clip`.

    Attributes:
        clip: the largest L2 norm of a whole contribution, in the unit of the gradient.

    Raises:
        ConfigError: `clip` is not positive and finite.
    """

    clip: float

    def __post_init__(self) -> None:
        _require_clip(self.clip)

    @property
    def sensitivity(self) -> float:
        """`clip`, for all layers together."""
        return self.clip

    def groups(self, names: Sequence[str]) -> tuple[ClipGroup, ...]:
        """Return a group for each layer: the parameters whose names differ in the last part."""
        layers: dict[str, list[str]] = {}
        for name in names:
            layers.setdefault(name.rpartition(".")[0], []).append(name)
        share = self.clip / math.sqrt(len(layers))
        return tuple(ClipGroup(tuple(own), share) for own in layers.values())

    def factors(self, norms: Tensor, clip: float) -> Tensor:
        """Return min(1, clip / norm) (B,)."""
        return clip / norms.clamp_min(clip)


@dataclass(frozen=True)
class GroupedClip:
    """Groups that the caller names, each as a row of its own with its own clip.

    Formal guarantee: sensitivity sqrt(sum of the squared clips).

    Attributes:
        parts: the groups; together they name every trainable parameter just once.
    """

    parts: tuple[ClipGroup, ...]

    @property
    def sensitivity(self) -> float:
        """The square root of the sum of the squared clips."""
        return math.hypot(*(part.clip for part in self.parts))

    def groups(self, names: Sequence[str]) -> tuple[ClipGroup, ...]:
        """Return the parts.

        Raises:
            ConfigError: they leave out one of `names`, name one twice, or name another.
        """
        named = Counter(name for part in self.parts for name in part.names)
        if named != Counter(names):
            wrong = sorted(n for n in {*named, *names} if named[n] != (n in names))
            raise ConfigError(
                f"{wrong[0]} stands in {named[wrong[0]]} of the groups that are clipped and "
                f"{'is' if wrong[0] in names else 'is not'} trainable: what is not measured just "
                "once is not bounded. Name every trainable parameter in one group."
            )
        return self.parts

    def factors(self, norms: Tensor, clip: float) -> Tensor:
        """Return min(1, clip / norm) (B,)."""
        return clip / norms.clamp_min(clip)


@dataclass(frozen=True)
class AutomaticClip:
    """The whole gradient g, brought near one length: clip / (|g| + gamma) g (Bu et al. 2022).

    Short gradients are made longer, so that the clip's size no longer matters to training: it
    scales the learning rate. A gradient of zero stays zero.

    Formal guarantee: sensitivity `clip`, since |g| / (|g| + gamma) < 1.

    Attributes:
        clip: the L2 norm that contributions come near to, and never exceed.
        gamma: the gradient norm, in the gradient's unit, that is brought to half of it.

    Raises:
        ConfigError: `clip` or `gamma` is not positive and finite.
    """

    clip: float
    gamma: float = 0.01

    def __post_init__(self) -> None:
        _require_clip(self.clip)
        if not (math.isfinite(self.gamma) and self.gamma > 0):
            raise ConfigError(
                f"A gamma of {self.gamma} would make the smallest gradient as long as the "
                "longest, or nothing at all: choose a positive, finite number, such as 0.01."
            )

    @property
    def sensitivity(self) -> float:
        """`clip`."""
        return self.clip

    def groups(self, names: Sequence[str]) -> tuple[ClipGroup, ...]:
        """Return one group of all."""
        return (ClipGroup(tuple(names), self.clip),)

    def factors(self, norms: Tensor, clip: float) -> Tensor:
        """Return clip / (norm + gamma) (B,)."""
        return clip / (norms + self.gamma)


def _require_clip(clip: float) -> None:
    if not (math.isfinite(clip) and clip > 0):
        raise ConfigError(
            f"A clip of {clip} bounds nothing: choose a positive, finite L2 norm, such as 1.0."
        )
