"""Homomorphic sums: exact BFV against NVIDIA FLARE's CKKS, in bytes, time, error and memory.

One sum over two sites is timed from the second site's encryption to the opened sum: encrypting and
serialising its vector, loading and adding it, serialising the sum, loading and decrypting it. What
is compared runs in turn, and who leads alternates; a ratio is the median over neighbours, min and
max are over pairs. Process time leaves out what other processes do to the machine.

    as built      crypto.homomorphic with its framing and checks, under the secret key
    TenSEAL       its own calls over the same parameters, under the secret and the public key

Every ratio is to CKKS in the same kind of row and under the same kind of encryption. Errors are in
steps of the grid: those of TenSEAL's CKKS are of what it decrypts, before anything is rounded.
Memory is by how much the peak of the process grew, measured first and in this order.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import resource
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

import numpy as np
import tenseal

from benchmarks.cells import Cell, write_cells
from crypto.errors import ConfigError, SecureFLError
from crypto.homomorphic import (
    HomomorphicCoordinator,
    HomomorphicSite,
    RoundBinding,
    Scheme,
    SumKey,
    SumPlan,
    SumTerms,
    public_context,
)
from secure_fl.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_VALUES: Final = 1 << 19
"""128 full blocks, so that no unused slot is counted."""
_PAIRS: Final = 5
_PARTIES: Final = 3
_SITES: Final = ("site-1", "site-2")
_MIB: Final = float(1 << 20)
_RING: Final = (2**31 - 1) // _PARTIES
"""Largest of one site, such that the sum lies within 32 bits, as a masked one's does."""

_PLANS: Final = {
    "BFV, 20 bits": (2**16, Scheme.BFV),
    "BFV, 34 bits": (_RING, Scheme.BFV),
    "BFV, 2 x 34 bits": (2**60, Scheme.BFV),
    "CKKS, FLARE's": (_RING, Scheme.CKKS),
}
"""Largest of one site and scheme, by name; the last is what the others are compared with."""

_MEASURED_MEMORY: Final = ("BFV, 34 bits",)


@dataclass(frozen=True)
class HomomorphicCell(Cell):
    """One row.

    Attributes:
        calls: whose: `as built` or `TenSEAL`.
        key: what encrypts: the secret or the public key.
        d: values summed.
        bytes_per_value: of one site's upload.
        bytes_ratio: to CKKS.
        seconds: of one sum, as described above, median.
        time_ratio: to CKKS, median over pairs.
        min: of the time ratios.
        max: of the time ratios.
        pairs: how many.
        max_error: largest difference to the plaintext sum, in steps.
        mebibytes: by how much the process's peak grew.
    """

    calls: str
    key: str
    d: int
    bytes_per_value: float | None = None
    bytes_ratio: float | None = None
    seconds: float | None = None
    time_ratio: float | None = None
    min: float | None = None
    max: float | None = None
    pairs: int | None = None
    max_error: float | None = None
    mebibytes: float | None = None


@dataclass(frozen=True)
class Measured:
    """One sum: process seconds, bytes of one upload, largest error in steps."""

    seconds: float
    upload_bytes: int
    max_error: float


class BuiltSum:
    """A session of `crypto.homomorphic` between two sites and a coordinator."""

    def __init__(self, plan: SumPlan) -> None:
        self.plan = plan
        self._key = SumKey.generate(plan)
        self._terms = SumTerms(_digest("session"), plan, self._key.digest)
        self._coordinator = HomomorphicCoordinator(self._terms, public_context(plan), first_round=0)
        self._round = 0

    def site(self, name: str) -> HomomorphicSite:
        """Return one of the two sites."""
        return HomomorphicSite(name, self._terms, self._key, first_round=0)

    def begin(self) -> RoundBinding:
        """Begin the next round."""
        binding = RoundBinding(self._round, _digest("header"), _SITES, _digest("parameters"))
        self._coordinator.begin(binding)
        self._round += 1
        return binding

    def add(self, name: str, blocks: Sequence[bytes]) -> None:
        """Add an upload."""
        self._coordinator.add(name, blocks)

    def sum_once(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Measured:
        """Sum two vectors, int64 of shape `(d,)`."""
        binding = self.begin()
        one, two = (self.site(name) for name in _SITES)
        self.add(_SITES[0], list(one.encrypt(binding, first)))
        began = time.process_time()
        upload = list(two.encrypt(binding, second))
        self.add(_SITES[1], upload)
        got = one.decrypt(binding, _SITES, list(self._coordinator.close()))
        seconds = time.process_time() - began
        error = float(np.abs(got - (first + second)).max())
        return Measured(seconds, sum(map(len, upload)), error)


class TensealSum:
    """The same sum by TenSEAL's own calls, one vector per block."""

    def __init__(self, plan: SumPlan, *, public: bool) -> None:
        (part,) = plan.parameters
        bfv = plan.scheme is Scheme.BFV
        kinds = tenseal.ENCRYPTION_TYPE
        self._slots = part.slots
        self._context = tenseal.context(
            tenseal.SCHEME_TYPE.BFV if bfv else tenseal.SCHEME_TYPE.CKKS,
            part.degree,
            part.plain_modulus,
            list(part.coefficient_bits),
            kinds.ASYMMETRIC if public else kinds.SYMMETRIC,
            n_threads=1,
        )
        if not bfv:
            self._context.global_scale = 2.0**part.scale_bits
        self._encrypt = tenseal.bfv_vector if bfv else tenseal.ckks_vector
        self._load = tenseal.bfv_vector_from if bfv else tenseal.ckks_vector_from

    def _upload(self, vector: NDArray[np.int64]) -> list[bytes]:
        parts = (
            vector[at : at + self._slots].tolist() for at in range(0, vector.size, self._slots)
        )
        return [self._encrypt(self._context, part).serialize() for part in parts]

    def sum_once(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> Measured:
        """Sum two vectors, int64 of shape `(d,)`."""
        totals = [self._load(self._context, data) for data in self._upload(first)]
        began = time.process_time()
        upload = self._upload(second)
        for total, data in zip(totals, upload, strict=True):
            total.add_(self._load(self._context, data))
        opened = [self._load(self._context, total.serialize()).decrypt() for total in totals]
        seconds = time.process_time() - began
        error = float(np.abs(np.concatenate(opened) - (first + second)).max())
        return Measured(seconds, sum(map(len, upload)), error)


@dataclass(frozen=True)
class Contender:
    """One way to sum, and the largest absolute value that it is given."""

    name: str
    largest: int
    sum_once: Callable[[NDArray[np.int64], NDArray[np.int64]], Measured]

    def run(self, values: int, seed: int) -> Measured:
        """Sum two vectors that are uniform over the whole range."""
        generator = np.random.default_rng(seed)
        first, second = generator.integers(
            -self.largest, self.largest, (2, values), endpoint=True, dtype=np.int64
        )
        return self.sum_once(first, second)


@dataclass(frozen=True)
class Group:
    """What is compared with each other: whose calls, under which key, over how much."""

    calls: str
    key: str
    values: int
    pairs: int

    def rows(self, contenders: Sequence[Contender], baseline: Contender) -> list[HomomorphicCell]:
        """Measure each contender in turn with the baseline, which gets the last row."""
        cells = []
        theirs: list[Measured] = []
        for contender in contenders:
            neighbours = [self._neighbours(contender, baseline, at) for at in range(self.pairs)]
            theirs += [other for _, other in neighbours]
            cells.append(self._row(contender.name, neighbours))
        return [*cells, self._row(baseline.name, [(one, one) for one in theirs])]

    def _neighbours(
        self, contender: Contender, baseline: Contender, at: int
    ) -> tuple[Measured, Measured]:
        gc.collect()
        if at % 2:
            other = baseline.run(self.values, at)
            return contender.run(self.values, at), other
        return contender.run(self.values, at), baseline.run(self.values, at)

    def _row(self, name: str, pairs: Sequence[tuple[Measured, Measured]]) -> HomomorphicCell:
        ratios = [ours.seconds / other.seconds for ours, other in pairs]
        return HomomorphicCell(
            name=name,
            calls=self.calls,
            key=self.key,
            d=self.values,
            bytes_per_value=median(ours.upload_bytes for ours, _ in pairs) / self.values,
            bytes_ratio=median(ours.upload_bytes / other.upload_bytes for ours, other in pairs),
            seconds=median(ours.seconds for ours, _ in pairs),
            time_ratio=median(ratios),
            min=min(ratios),
            max=max(ratios),
            pairs=len(pairs),
            max_error=max(ours.max_error for ours, _ in pairs),
        )


def measure(values: int, pairs: int) -> tuple[HomomorphicCell, ...]:
    """Return the rows for vectors of `values` elements.

    Raises:
        ConfigError: nothing would be measured.
    """
    if values < 1 or pairs < 1:
        raise ConfigError(f"{pairs} pairs over {values} values measure nothing: give 1 or more.")
    plans = {
        name: SumPlan(values, largest, _PARTIES, scheme)
        for name, (largest, scheme) in _PLANS.items()
    }
    # What grew the peak before would hide what grows it here.
    memory = [row for name in _MEASURED_MEMORY for row in _memory(name, plans[name])]
    built = [Contender(name, plan.largest, BuiltSum(plan).sum_once) for name, plan in plans.items()]
    rows = Group("as built", "secret", values, pairs).rows(built[:-1], built[-1])
    for key in ("secret", "public"):
        raw = [
            Contender(name, plan.largest, TensealSum(plan, public=key == "public").sum_once)
            for name, plan in plans.items()
            if len(plan.parameters) == 1
        ]
        rows += Group("TenSEAL", key, values, pairs).rows(raw[:-1], raw[-1])
    return (*rows, *memory)


def _memory(name: str, plan: SumPlan) -> list[HomomorphicCell]:
    """Return what encrypting, the running sum, and holding a whole upload add to the peak."""
    vector = np.ones(plan.values, dtype=np.int64)
    built = BuiltSum(plan)
    binding = built.begin()
    site = built.site(_SITES[0])
    kept: list[bytes] = []
    peaks = [_peak_mebibytes()]
    for _ in site.encrypt(binding, vector):
        pass
    peaks.append(_peak_mebibytes())
    kept.extend(site.encrypt(binding, vector))
    peaks.append(_peak_mebibytes())
    built.add(_SITES[0], kept)
    peaks.append(_peak_mebibytes())
    stages = ("encrypting, block by block", "the whole upload, kept", "the running sum")
    return [
        HomomorphicCell(
            f"{name}: {stage}", "as built", "secret", plan.values, mebibytes=after - before
        )
        for stage, before, after in zip(stages, peaks[:-1], peaks[1:], strict=True)
    ]


def _peak_mebibytes() -> float:
    """Return the process's largest resident size so far; Linux counts it in KiB, macOS in bytes."""
    unit = _MIB if sys.platform == "darwin" else _MIB / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.homomorphic",
        description="Homomorphic sums: exact BFV against FLARE's CKKS.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--pairs", type=int, default=_PAIRS, help="measured pairs")
    parser.add_argument("--values", type=int, default=_VALUES, help="values in a vector")
    options = parser.parse_args(arguments)
    try:
        cells = measure(options.values, options.pairs)
    except SecureFLError as error:
        failure = Failure.of(error)
        failure.tell(sys.stderr, as_json=options.json)
        return int(failure.code)
    write_cells("Homomorphic sums over two sites", cells, as_json=options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
