"""What leaves a site: an ordered tree of named float32 arrays, and its shape.

An `Update` is an element of a vector space: updates of one `UpdateSpec` add and scale. Its values
are read-only and finite, and live in one flat buffer: parameters first, then statistics, each in
the order that the spec declares. Nothing else may leave a site.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from crypto.digests import digest_json
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

Float32 = NDArray[np.float32]
_SCHEMA = "secure-fl.update-spec.v1"


_NORM_MARGIN = 4 * float(np.finfo(np.float32).eps)
"""More than the float32 rounding of every value can add to a norm, relative to it."""


@dataclass(frozen=True)
class TensorSpec:
    """The name and shape of one array of an update.

    Raises:
        ConfigError: the name is empty, or a side of the shape is not a positive integer.
    """

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.name or any(side < 1 for side in self.shape):
            raise ConfigError(
                f"An array named {self.name!r} of shape {self.shape} cannot be part of an update: "
                "give it a name and a shape whose sides are all positive."
            )

    @property
    def size(self) -> int:
        """The number of values: 1 for the empty shape."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class UpdateSpec:
    """Names, shapes and order of an update; its digest goes into every signed message.

    Raises:
        ConfigError: two arrays of one part bear the same name, or there is none at all.
    """

    parameters: tuple[TensorSpec, ...]
    statistics: tuple[TensorSpec, ...] = ()

    def __post_init__(self) -> None:
        if not self.parameters and not self.statistics:
            raise ConfigError(
                "An update without a single array has nothing to sum: no parameter is trainable. "
                "Check the method's target modules."
            )
        for part in (self.parameters, self.statistics):
            names = [tensor.name for tensor in part]
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ConfigError(
                    f"The name {repeated[0]!r} stands twice in one update: the second array would "
                    "overwrite the first. Give every array its own name."
                )

    @property
    def size(self) -> int:
        """The length d of the flat vector, statistics included."""
        return sum(tensor.size for tensor in (*self.parameters, *self.statistics))

    def digest(self) -> bytes:
        """Return the SHA-256 (32 bytes) of names, shapes and order."""
        return digest_json(
            {
                "schema": _SCHEMA,
                "parameters": [[tensor.name, list(tensor.shape)] for tensor in self.parameters],
                "statistics": [[tensor.name, list(tensor.shape)] for tensor in self.statistics],
            }
        )


@dataclass(frozen=True, eq=False, repr=False)
class Update:
    """Named read-only float32 arrays for `parameters` and for `statistics`.

    Built from mappings (whose order becomes the spec's order) or with `from_flat`. The input is
    copied; no view of the buffer can be made writeable again. It does not print its values.

    Raises:
        ConfigError: a value is not finite in float32, or the spec is refused.
    """

    parameters: Mapping[str, Float32]
    statistics: Mapping[str, Float32] = field(default_factory=dict)

    def __post_init__(self) -> None:
        spec = UpdateSpec(_specs(self.parameters), _specs(self.statistics))
        arrays = (*self.parameters.values(), *self.statistics.values())
        with np.errstate(over="ignore"):
            flat = np.concatenate([np.asarray(array, np.float32).ravel() for array in arrays])
        self._settle(spec, flat)

    def _settle(self, spec: UpdateSpec, flat: Float32) -> None:
        """Freeze `flat` (d,) as the content: views on `bytes` can never be made writeable."""
        frozen: Float32 = np.frombuffer(flat.tobytes(), np.float32)
        parameters, offset = _views(spec.parameters, frozen, 0)
        statistics, _ = _views(spec.statistics, frozen, offset)
        for name, array in (*parameters.items(), *statistics.items()):
            if not np.isfinite(array).all():
                raise ConfigError(
                    f"The update's array {name!r} holds a value that is not finite: one such value "
                    "would spoil the sum of all sites. Training diverged: lower the learning rate."
                )
        object.__setattr__(self, "parameters", MappingProxyType(parameters))
        object.__setattr__(self, "statistics", MappingProxyType(statistics))
        object.__setattr__(self, "_spec", spec)
        object.__setattr__(self, "_flat", frozen)

    @classmethod
    def from_flat(cls, spec: UpdateSpec, flat: NDArray[np.floating[Any]]) -> Self:
        """Return the update of shape `spec` whose values are `flat`, of shape (d,).

        Raises:
            ConfigError: `flat` has another shape than (spec.size,), or a value is not finite.
        """
        if flat.shape != (spec.size,):
            raise ConfigError(
                f"A vector of shape {flat.shape} does not fill an update of {spec.size} values: "
                "the sender and the receiver train different parameters."
            )
        self = cls.__new__(cls)
        with np.errstate(over="ignore"):
            self._settle(spec, flat.astype(np.float32))
        return self

    @property
    def spec(self) -> UpdateSpec:
        """Names, shapes and order."""
        found: UpdateSpec = self.__dict__["_spec"]
        return found

    def flat(self) -> Float32:
        """Return all values, read-only and without a copy, shape (d,)."""
        found: Float32 = self.__dict__["_flat"]
        return found

    def l2(self) -> float:
        """Return the Euclidean norm of `flat()`, summed in float64."""
        return float(np.linalg.norm(self.flat().astype(np.float64)))

    def __add__(self, other: Update) -> Update:
        """Return the float32 sum.

        Raises:
            ConfigError: the two differ in names, shapes or order, or the sum overflows.
        """
        if not isinstance(other, Update):
            return NotImplemented
        if self.spec != other.spec:
            raise ConfigError(
                "Two updates with different arrays cannot be added: the sum would pair unlike "
                "parameters. Let both sites train with one configuration."
            )
        with np.errstate(over="ignore"):
            return Update.from_flat(self.spec, self.flat() + other.flat())

    def __mul__(self, factor: float) -> Update:
        """Return every value times `factor`, multiplied in float64 and rounded once.

        Raises:
            ConfigError: a product is not finite in float32.
        """
        return Update.from_flat(self.spec, self.flat().astype(np.float64) * float(factor))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"<update of {self.spec.size} values>"


def clipped_update(spec: UpdateSpec, flat: NDArray[np.floating[Any]], clip: float) -> Update:
    """Return min(1, clip / |x|) x as an update, for x = `flat` of shape (d,).

    Formal guarantee: whatever `flat` holds, the result's l2 norm is at most `clip`, in float32 too:
    the factor is taken a few rounding errors smaller. One that is not finite contributes zero,
    since to refuse it would show others that training diverged.

    Raises:
        ConfigError: `clip` is not positive and finite, or `flat` has another shape than the spec.
    """
    if not (math.isfinite(clip) and clip > 0):
        raise ConfigError(
            f"A clip of {clip} bounds nothing: choose a positive, finite l2 norm, such as 1.0."
        )
    wide = flat.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        norm = float(np.linalg.norm(wide))
    if not math.isfinite(norm):
        return Update.from_flat(spec, np.zeros_like(wide))
    limit = clip * (1.0 - _NORM_MARGIN)
    return Update.from_flat(spec, wide * (limit / norm) if norm > limit else wide)


def _specs(arrays: Mapping[str, Float32]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, tuple(np.shape(array))) for name, array in arrays.items())


def _views(
    specs: tuple[TensorSpec, ...], flat: Float32, offset: int
) -> tuple[dict[str, Float32], int]:
    """Return the named views of `flat` from `offset` on, and the offset after them."""
    views = {}
    for tensor in specs:
        views[tensor.name] = flat[offset : offset + tensor.size].reshape(tensor.shape)
        offset += tensor.size
    return views, offset
