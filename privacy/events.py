"""What a mechanism did to the records of one site, as data.

An event says which random mechanism touched the records and how often. Epsilon is computed from
events (`privacy.accounting`) and never stored beside them. The JSON form of an event stands in
ledgers and in reports; reading it is strict: an unknown kind or field is refused, since an event
that is not understood cannot be charged.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TypeAlias

from crypto.errors import ConfigError

SMALLEST_DELTA = 1e-10
"""Below it, the rounding of the accountant's floating-point transforms could be seen."""

LARGEST_STEPS = 2**31
"""More steps than any run makes; keeps every count an exact JSON number, also when summed."""

LARGEST_COUNT = 2**31
"""More coordinates and contributors than any sum has."""

SMALLEST_LOCAL_SIGMA = 16.0
"""In grid steps. From here on a sum of discrete Gaussians is one, but for less than 10^-1000."""

_GAUSSIAN_KIND = "subsampled-gaussian"
_GAUSSIAN_FIELDS = frozenset({"kind", "noise_multiplier", "sampling_rate", "steps"})
_DISTRIBUTED_KIND = "distributed-discrete-gaussian"
_DISTRIBUTED_FIELDS = _GAUSSIAN_FIELDS | {"size", "local_sigma", "contributors"}
_NO_GUARANTEE_KIND = "no-guarantee"


class Unit(enum.Enum):
    """Whose presence the guarantee hides: all that one of these contributed."""

    RECORD = "record"
    PATIENT = "patient"
    USER = "user"
    ACCOUNT = "account"
    SITE = "site"


class Relation(enum.Enum):
    """Which two data sets the guarantee compares."""

    ADD_REMOVE = "add-remove"
    """They differ by one unit that is there or not."""

    REPLACE_ONE = "replace-one"
    """They have one unit in common less: it is exchanged for another. The stronger claim."""

    ZERO_OUT = "zero-out"
    """What one unit contributed is replaced by zero; that it took part is public."""


@dataclass(frozen=True)
class SubsampledGaussian:
    """DP-SGD steps: a Poisson sample, a clipped sum of l2 sensitivity C, noise of sigma times C.

    Attributes:
        noise_multiplier: sigma, the noise's standard deviation divided by the sensitivity C.
        sampling_rate: q in (0, 1], the probability with which each unit enters each step.
        steps: how many such steps, each with its own fresh sample and noise.

    Raises:
        ConfigError: a parameter lies outside of its range, so that no guarantee could be computed.
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int

    def __post_init__(self) -> None:
        require_noise_multiplier(self.noise_multiplier)
        require_sampling_rate(self.sampling_rate)
        require_steps(self.steps)


@dataclass(frozen=True)
class DistributedGaussian:
    """Steps of a sum in Z^size whose noise the sites share: discrete Gaussians, secretly added.

    Attributes:
        noise_multiplier: z, the square root of the sum of the honest survivors' variances over
            the accounted l2 sensitivity of one unit. The rounding to the grid is in the
            sensitivity: C + gamma sqrt(size), with gamma the grid's step.
        sampling_rate: q in (0, 1], the probability with which each unit enters each step; 1 where
            the unit is a site.
        steps: how many such steps, each with its own fresh sample and noise.
        size: how many integers are summed.
        local_sigma: every site's own noise has at least this standard deviation, in grid steps.
        contributors: of at most this many sites the noise is summed.

    Raises:
        ConfigError: a parameter lies outside of its range, so that no guarantee could be computed.
    """

    noise_multiplier: float
    sampling_rate: float
    steps: int
    size: int
    local_sigma: float
    contributors: int

    def __post_init__(self) -> None:
        require_noise_multiplier(self.noise_multiplier)
        require_sampling_rate(self.sampling_rate)
        require_steps(self.steps)
        require_local_sigma(self.local_sigma)
        for count, what in ((self.size, "coordinates"), (self.contributors, "contributors")):
            if isinstance(count, bool) or not isinstance(count, int):
                raise ConfigError(f"{count!r} {what} of a sum cannot be counted.")
            if not 1 <= count <= LARGEST_COUNT:
                raise ConfigError(
                    f"A sum of {count} {what} cannot be accounted: give a whole number from 1 to "
                    f"{LARGEST_COUNT}."
                )


@dataclass(frozen=True)
class NoGuarantee:
    """A use of the records without noise: mode none. It charges infinity."""


Event: TypeAlias = SubsampledGaussian | DistributedGaussian | NoGuarantee


def require_delta(delta: float) -> None:
    """Refuse a delta outside of (0, 1), and one too small for the accountant's arithmetic.

    Raises:
        ConfigError: `delta` is not a number strictly between 0 and 1, or below `SMALLEST_DELTA`.
    """
    if not 0.0 < delta < 1.0:
        raise ConfigError(
            f"A delta of {delta} makes epsilon meaningless: give a number strictly between 0 and "
            "1, well below one over the number of records (1e-5 is common)."
        )
    if delta < SMALLEST_DELTA:
        raise ConfigError(
            f"A delta of {delta} is finer than the accountant's arithmetic, so that the epsilon "
            f"claimed with it could be too small: give a delta of at least {SMALLEST_DELTA}."
        )


def require_noise_multiplier(noise_multiplier: float) -> None:
    """Refuse a noise multiplier that is not positive and finite.

    Raises:
        ConfigError: `noise_multiplier` is no such number.
    """
    if not (math.isfinite(noise_multiplier) and noise_multiplier > 0.0):
        raise ConfigError(
            f"A noise multiplier of {noise_multiplier} gives no guarantee that could be "
            "accounted: give a finite sigma above 0, or ask for mode none by name."
        )


def require_local_sigma(local_sigma: float) -> None:
    """Refuse noise of one site that is too narrow on the grid for a sum to be accounted.

    Raises:
        ConfigError: `local_sigma`, in grid steps, is not finite or below `SMALLEST_LOCAL_SIGMA`.
    """
    if not SMALLEST_LOCAL_SIGMA <= local_sigma < math.inf:
        raise ConfigError(
            f"Noise of {local_sigma} grid steps at each site is refused: below "
            f"{SMALLEST_LOCAL_SIGMA:g} steps a sum of discrete Gaussians is not the one that is "
            "accounted. Use a finer grid, fewer sites or more noise."
        )


def require_sampling_rate(sampling_rate: float) -> None:
    """Refuse a Poisson sampling rate outside of (0, 1].

    Raises:
        ConfigError: `sampling_rate` is not a number in (0, 1].
    """
    if not 0.0 < sampling_rate <= 1.0:
        raise ConfigError(
            f"A sampling rate of {sampling_rate} is no probability with which a record can be "
            "drawn: give a number above 0 and at most 1."
        )


def require_steps(steps: int) -> None:
    """Refuse a number of steps that is not a whole number from 1 to `LARGEST_STEPS`.

    Raises:
        ConfigError: `steps` is not such a number.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= LARGEST_STEPS:
        raise ConfigError(
            f"{steps!r} steps cannot be accounted: give a whole number from 1 to {LARGEST_STEPS}."
        )


def to_json(event: Event) -> dict[str, float | int | str]:
    """Return the JSON form of `event`; `from_json` is its inverse."""
    if isinstance(event, NoGuarantee):
        return {"kind": _NO_GUARANTEE_KIND}
    distributed = isinstance(event, DistributedGaussian)
    fields: dict[str, float | int | str] = {
        "kind": _DISTRIBUTED_KIND if distributed else _GAUSSIAN_KIND,
        "noise_multiplier": event.noise_multiplier,
        "sampling_rate": event.sampling_rate,
        "steps": event.steps,
    }
    if isinstance(event, DistributedGaussian):
        fields["size"] = event.size
        fields["local_sigma"] = event.local_sigma
        fields["contributors"] = event.contributors
    return fields


def from_json(value: object) -> Event:
    """Return the event whose JSON form is `value`, as `json.loads` gave it.

    Raises:
        ConfigError: the kind is unknown, a field is missing, unknown or of another type, or a
            value lies outside of its range.
    """
    if not isinstance(value, dict):
        raise ConfigError(f"A privacy event is a JSON object, not a {type(value).__name__}.")
    if value == {"kind": _NO_GUARANTEE_KIND}:
        return NoGuarantee()
    kind = value.get("kind")
    if kind not in (_GAUSSIAN_KIND, _DISTRIBUTED_KIND, _NO_GUARANTEE_KIND):
        raise ConfigError(
            "A privacy event of unknown kind cannot be charged, so it was refused: it comes from "
            "another version of this program. Read it with the version that wrote it."
        )
    expected = {_GAUSSIAN_KIND: _GAUSSIAN_FIELDS, _DISTRIBUTED_KIND: _DISTRIBUTED_FIELDS}
    if frozenset(value) != expected.get(kind):
        raise ConfigError(
            f"A privacy event of kind {kind} has missing or unknown fields, so it was refused: it "
            "comes from another version of this program, or it was altered."
        )
    noise_multiplier = _number(value["noise_multiplier"], "noise_multiplier")
    sampling_rate = _number(value["sampling_rate"], "sampling_rate")
    steps = _whole(value["steps"], "steps")
    if kind == _GAUSSIAN_KIND:
        return SubsampledGaussian(noise_multiplier, sampling_rate, steps)
    return DistributedGaussian(
        noise_multiplier,
        sampling_rate,
        steps,
        size=_whole(value["size"], "size"),
        local_sigma=_number(value["local_sigma"], "local_sigma"),
        contributors=_whole(value["contributors"], "contributors"),
    )


def _number(value: object, field: str) -> float:
    """Return a JSON number as a float (RFC 8785 writes 1.0 as 1, so whole numbers are fine)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"The {field} of a privacy event is no number, so it was refused.")
    try:
        return float(value)
    except OverflowError as error:
        raise ConfigError(f"The {field} of a privacy event is too large a number.") from error


def _whole(value: object, field: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"The {field} of a privacy event is no whole number: it was refused.")
    return value
