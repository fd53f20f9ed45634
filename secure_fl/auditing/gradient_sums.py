"""Sums of adapter gradients at a run's start, clipped and noised by the code that the run uses.

One step, from the parameters that the run starts with. Where a unit is a site, its update is
lengthened to the clip: a site is allowed that much. Without privacy a sum is of plain gradients:
plain descent moves along their mean, Adam hides more of them than that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from crypto.errors import ConfigError
from privacy.clipping import PerExampleClipper
from privacy.clipping_rules import AutomaticClip, FlatClip, PerLayerClip
from privacy.dp_step import noised_mean
from privacy.noise import SystemNoise
from secure_fl.config import DistributedPrivacy, NoPrivacy, RecordPrivacy, SitePrivacy
from secure_fl.views import View

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from numpy.typing import NDArray
    from torch import Tensor

    from domains.encoding import EncodedRecords
    from domains.tasks import Task
    from privacy.clipping_rules import ClipRule
    from secure_fl.config import Guaranteed, Mechanism
    from secure_fl.sites.adapted_model import AdaptedModel

    Gradients = dict[str, Tensor]

_SHORTEST: Final = 1e-12
"""Gradients far shorter than the clip are still brought to it where a unit is a site."""


def texts_in_a_sum(mechanism: Mechanism) -> int:
    """Return how many texts one opened sum is expected to be made of, repeated ones included."""
    privacy, training = mechanism.privacy, mechanism.training
    sites = 1 if mechanism.protection.reveals is View.EACH else mechanism.sites
    match privacy:
        case DistributedPrivacy():
            return max(1, round(privacy.divisor))
        case RecordPrivacy():
            return max(1, round(privacy.divisor * training.local_steps * sites))
        case SitePrivacy() | NoPrivacy():
            return (training.batch_size or 1) * training.local_steps * sites


class GradientSums:
    """Makes sums of texts' gradients under a run's mechanism; used as a context.

    Args:
        task: reads the texts.
        adapted: the run's model at its start.
        mechanism: the run's, sigma resolved.

    Raises:
        ConfigError: it is private and has no sigma, or the model's gradients cannot be clipped.
    """

    def __init__(self, task: Task, adapted: AdaptedModel, mechanism: Mechanism) -> None:
        privacy = mechanism.privacy
        self._task, self._adapted = task, adapted
        self._privacy = None if isinstance(privacy, NoPrivacy) else privacy
        if self._privacy is not None and self._privacy.sigma is None:
            raise ConfigError("The run has no sigma: its noise cannot be rehearsed.")
        rule = FlatClip(1.0) if self._privacy is None else _rule(self._privacy)
        self._clipper = PerExampleClipper(adapted.model, clip=rule)
        self._noise = SystemNoise()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clipper.detach()

    @property
    def private(self) -> bool:
        """Whether noise is added."""
        return self._privacy is not None

    @property
    def noise_deviation(self) -> float:
        """The standard deviation of the noise in each number that is opened."""
        if self._privacy is None:
            return 0.0
        return (self._privacy.sigma or 0.0) * self._privacy.clip / self._divisor

    def of_text(self, encoded: EncodedRecords, record: int) -> Gradients:
        """Return what one text adds to a sum, by name: clipped where the run clips."""
        for batch in self._task.micro_batches(encoded, np.array([record], np.int64), 1):
            losses = self._task.losses(self._adapted.model, batch)
            if self._privacy is not None:
                self._clipper.accumulate(losses, owners=torch.from_numpy(batch.indices))
                continue
            rows = self._clipper.example_gradients(losses)
            return {name: own.sum(dim=0) for name, own in rows.items()}
        return self._clipper.take()

    def nothing(self) -> Gradients:
        """Return the sum over no text."""
        return {name: torch.zeros_like(p) for name, p in self._adapted.parameters.items()}

    def opened(self, summed: Gradients) -> Gradients:
        """Return a sum as it is opened: with noise where the run adds noise."""
        if self._privacy is None:
            return summed
        return noised_mean(
            summed,
            clip=self._privacy.clip,
            sigma=self._privacy.sigma or 0.0,
            divisor=self._divisor,
            noise=self._noise,
        )

    @property
    def _divisor(self) -> float:
        match self._privacy:
            case RecordPrivacy() | DistributedPrivacy() as privacy:
                return privacy.divisor
            case _:
                return 1.0


def _rule(privacy: Guaranteed) -> ClipRule:
    if isinstance(privacy, SitePrivacy):
        return AutomaticClip(privacy.clip, gamma=_SHORTEST)
    match privacy.clipping:
        case "flat":
            return FlatClip(privacy.clip)
        case "per-layer":
            return PerLayerClip(privacy.clip)
        case "automatic":
            return AutomaticClip(privacy.clip)


def added(one: Gradients, other: Gradients) -> Gradients:
    """Return the sum of two."""
    return {name: part + other[name] for name, part in one.items()}


def matrix(gradients: Gradients, name: str) -> NDArray[np.float32]:
    """Return one parameter's part."""
    found: NDArray[np.float32] = gradients[name].detach().to(torch.float32).cpu().numpy()
    return found
