"""Masked sums beside Flower's SecAgg+: time, bytes and memory, measured in one process.

In each cell both sides sum the same float32 vectors over the same cohort, with the same drop-outs
(which deal shares and then upload nothing) and the same threshold, over the complete graph. One
client is timed, and the whole server: keys, dealing and opening shares, encoding, masking and
release; adding, unmasking and decoding. Left out on both sides are training, transport and
signatures (Flower has none), and Flower's strategy, which averages n copies of the average. Both
sums must be right, or the cell holds an error instead of numbers.

    ratio              process time of Flower over ours, median over paired repetitions
    to reference       ours over the masks' floor at 0.26 ns per element and mask, what one core
                       of the reference machine needs for AES-256 keystream and an addition
    to floor           ours over the same floor as measured here, in the same repetition: AES-256
                       keystream by GCM over zeros, and a uint32 addition per element
    masks to floor     the same of those calls alone that mask and unmask, where encoding, keys,
                       shares, packing and adding up are left out
    ours, flower mb    what one client uploads, in MB per million parameters

Both sides clamp what lies beyond the range of +-8 and round at random, as they do in a real round.

With `--full` also vectors of ten million, the memory of Flower's server, and 1000 sites of ours.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from benchmarks.cells import Cell, write_cells
from benchmarks.secagg_flower import CLIP, TARGET_RANGE, FlowerClient, FlowerRounds
from benchmarks.secagg_ours import MaskedRound, session_of
from benchmarks.stopwatch import Stopwatch
from crypto.errors import PeerError, SecureFLError
from crypto.masked_sum import CohortRisk, default_threshold
from secure_fl.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.secagg_ours import Watch
    from crypto.ring import WidthBits

REFERENCE_NS: Final = 0.26
"""Nanoseconds per element and mask on the reference machine, one core."""
_WIDTHS: Final[tuple[WidthBits, ...]] = (32, 24)
_DROP_RATE: Final = 0.2
_COHORTS: Final = (10, 30)
_MILLION: Final = 1_000_000
_REPETITIONS: Final = 3
_ONCE_ABOVE: Final = 300 * _MILLION
"""From this n x d on, Flower's clients take minutes: measured once."""
_FLOOR_WORDS: Final = 1 << 15
_FLOOR_BLOCKS: Final = 128
_LARGE: Final = (1000, 100_000)
_LARGE_DROP_RATE: Final = 0.02
_LARGE_CORRUPTED: Final = 0.1


@dataclass(frozen=True)
class SecaggCell(Cell):
    """One comparison; times are process time, medians over repetitions.

    Attributes:
        n: clients.
        d: float32 parameters.
        drops: clients that upload nothing.
        bits: of an element of ours on the wire.
        ratio: Flower over ours.
        ours: seconds of one client and the server.
        flower: the same of Flower.
        to_reference: ours over the reference machine's floor.
        to_floor: ours over the floor measured here.
        masks_to_floor: of ours only what masks and unmasks, over the floor measured here.
        floor_ns: nanoseconds per element and mask, measured here.
        ours_mb: uploaded per client, MB per million parameters.
        flower_mb: the same of Flower.
        peak_mb: largest memory of our server.
        flower_peak_mb: the same of Flower's.
        repetitions: how many.
        error: why there are no numbers.
    """

    n: int
    d: int
    drops: int
    bits: int
    ratio: float | None = None
    ours: float | None = None
    flower: float | None = None
    to_reference: float | None = None
    to_floor: float | None = None
    masks_to_floor: float | None = None
    floor_ns: float | None = None
    ours_mb: float | None = None
    flower_mb: float | None = None
    peak_mb: float | None = None
    flower_peak_mb: float | None = None
    repetitions: int = 1
    error: str | None = None


@dataclass(frozen=True)
class Size:
    """What both sides sum: `n` vectors of shape `(d,)`, of which the last `drops` stay away."""

    n: int
    d: int
    drops: int

    @property
    def masks(self) -> int:
        """How many masks one client and the server expand, in the complete graph."""
        survivors = self.n - self.drops
        return self.n + survivors + self.drops * survivors

    def vector(self, place: int) -> NDArray[np.float32]:
        """Return the vector of the client at `place`, in [-1, 1); always the same."""
        drawn = np.random.default_rng(place).random(self.d, dtype=np.float32)
        return drawn * np.float32(2) - np.float32(1)

    def expected(self) -> NDArray[np.float64]:
        """Return the sum over those who do not drop out."""
        total = np.zeros(self.d)
        for place in range(self.n - self.drops):
            total += self.vector(place)
        return total


@dataclass(frozen=True)
class Measured:
    """Seconds of one client and of the server, and what one client uploads.

    `masking` is the part within the calls that mask and unmask, where that is measured.
    """

    client: float
    server: float
    uploaded_bytes: int
    masking: float = 0.0

    @property
    def seconds(self) -> float:
        """Both together."""
        return self.client + self.server


def run_flower(size: Size, expected: NDArray[np.float64]) -> Measured:
    """Run one round of Flower's SecAgg+.

    Raises:
        PeerError: its sum is wrong by more than its encoding may be.
    """
    rounds = flower_rounds(size)
    average = rounds.run()
    survivors = size.n - size.drops
    # Rounding at random moves each value by less than a step, the weights are all the same.
    _require_close(average, expected / survivors, 2 * CLIP / TARGET_RANGE, "Flower's average")
    timed = rounds.clients[0]
    return Measured(timed.seconds, rounds.server_seconds, timed.uploaded_bytes)


def flower_rounds(size: Size) -> FlowerRounds:
    """Return a server and clients of Flower for `size`, node ids from 1."""
    clients = tuple(FlowerClient(place + 1, _fit(size, place)) for place in range(size.n))
    rounds = FlowerRounds(clients, size.d, default_threshold(size.n))
    rounds.drop(*range(size.n - size.drops + 1, size.n + 1))
    rounds.grid.keep_uploads = False
    return rounds


def _fit(size: Size, place: int) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    return lambda parameters: size.vector(place) + parameters


def run_ours(size: Size, width_bits: WidthBits, expected: NDArray[np.float64]) -> Measured:
    """Run one round of masked sums.

    Raises:
        PeerError: its sum is wrong by more than its encoding may be.
    """
    server = Stopwatch()
    running = masked_round(size, width_bits, server)
    total = running.run()
    survivors = size.n - size.drops
    _require_close(total, expected, survivors * running.grid.step, "the masked sum")
    site, masking = running.site.seconds, running.masking.seconds
    return Measured(site, server.seconds, running.uploaded_bytes, masking)


def masked_round(size: Size, width_bits: WidthBits, server: Watch) -> MaskedRound:
    """Return a round of ours for `size`, over the complete graph, whose server is watched."""
    session = session_of(size.n, width_bits=width_bits)
    dropped = frozenset(session.sites[size.n - size.drops :])
    return MaskedRound(session, size.vector, size.d, dropped, server=server)


def _require_close(
    got: NDArray[np.float64] | None, wanted: NDArray[np.float64], error: float, what: str
) -> None:
    if got is None:
        raise PeerError(f"{what} did not come: a party gave up, and nothing was measured.")
    # A little is allowed for float64 sums of float32 values, taken in another order.
    furthest = float(np.max(np.abs(got - wanted)))
    if furthest > error * (1 + 1e-6):
        raise PeerError(
            f"{what} is wrong by {furthest:g}, where its encoding allows {error:g}: nothing that "
            "was measured counts."
        )


def floor_ns() -> float:
    """Return the nanoseconds that one element of one mask needs here: AES-256-GCM and an addition.

    The best of a few tries over blocks that stay in the cache, by process time.
    """
    zeros = bytes(4 * _FLOOR_WORDS)
    mask, total = (np.zeros(_FLOOR_WORDS, np.uint32) for _ in range(2))
    out = mask.view(np.uint8).data
    best = float("inf")
    for _ in range(5):
        encryptor = Cipher(algorithms.AES(bytes(32)), modes.GCM(bytes(12))).encryptor()
        began = time.process_time()
        for _ in range(_FLOOR_BLOCKS):
            encryptor.update_into(zeros, out)
            np.add(total, mask, out=total)
        best = min(best, time.process_time() - began)
    return best * 1e9 / (_FLOOR_BLOCKS * _FLOOR_WORDS)


def compare(size: Size, repetitions: int, note: Callable[[str], None]) -> tuple[SecaggCell, ...]:
    """Return a cell per width; in each repetition all sides run one after the other."""
    expected = size.expected()
    floors: list[float] = []
    theirs: list[Measured] = []
    ours: dict[WidthBits, list[Measured]] = {width: [] for width in _WIDTHS}
    for number in range(repetitions):
        note(f"n = {size.n}, d = {size.d}, {size.drops} drop-outs: {number + 1} of {repetitions}")
        try:
            theirs.append(run_flower(size, expected))
            for width in _WIDTHS:
                ours[width].append(run_ours(size, width, expected))
        except SecureFLError as error:
            return tuple(_failed(size, width, str(error)) for width in _WIDTHS)
        floors.append(floor_ns())
    return tuple(_cell(size, width, ours[width], theirs, floors) for width in _WIDTHS)


def _failed(size: Size, width: WidthBits, reason: str) -> SecaggCell:
    return SecaggCell("client and server", size.n, size.d, size.drops, width, error=reason)


def _cell(
    size: Size,
    width: WidthBits,
    ours: Sequence[Measured],
    theirs: Sequence[Measured],
    floors: Sequence[float],
) -> SecaggCell:
    elements = size.masks * size.d / 1e9
    pairs = list(zip(ours, theirs, floors, strict=True))
    return SecaggCell(
        name="client and server",
        n=size.n,
        d=size.d,
        drops=size.drops,
        bits=width,
        ratio=median(their.seconds / our.seconds for our, their, _ in pairs),
        ours=median(our.seconds for our in ours),
        flower=median(their.seconds for their in theirs),
        to_reference=median(our.seconds / (elements * REFERENCE_NS) for our in ours),
        to_floor=median(our.seconds / (elements * floor) for our, _, floor in pairs),
        masks_to_floor=median(our.masking / (elements * floor) for our, _, floor in pairs),
        floor_ns=median(floors),
        ours_mb=ours[0].uploaded_bytes / size.d,
        flower_mb=theirs[0].uploaded_bytes / size.d,
        repetitions=len(pairs),
    )


class PeakMemory:
    """The largest memory that Python traced within some calls, in MB; slow, so never timed."""

    def __init__(self) -> None:
        self.mb = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look until the block ends."""
        tracemalloc.reset_peak()
        try:
            yield
        finally:
            self.mb = max(self.mb, tracemalloc.get_traced_memory()[1] / 1e6)


def our_memory(size: Size, width_bits: WidthBits = 32) -> SecaggCell:
    """Return the peak of our server from the first message to the opened sum, ring to ring.

    Counted is what is alive while the server works: its sum, the upload at hand, and blocks.
    """
    peak = PeakMemory()
    tracemalloc.start()
    try:
        running = masked_round(size, width_bits, peak)
        running.prepare()
        running.upload()
        releases = running.release()
        with peak.running():
            running.coordinator.unmask(releases)
    finally:
        tracemalloc.stop()
    return SecaggCell("server memory", size.n, size.d, size.drops, width_bits, peak_mb=peak.mb)


def flower_memory(size: Size) -> SecaggCell:
    """Return the peak of Flower's server, from where it has all uploads to its average."""
    tracemalloc.start()
    try:
        rounds = flower_rounds(size)
        rounds.grid.uploaded = tracemalloc.reset_peak
        rounds.run()
        peak = tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
    return SecaggCell("server memory", size.n, size.d, size.drops, 64, flower_peak_mb=peak)


def many_sites(n: int, d: int) -> SecaggCell:
    """Return what one site and the server need where neighbourhoods are drawn: ours alone.

    Flower's graph is the server's to draw, and 2 % of drop-outs is what is assumed and what occurs.
    """
    drops = round(n * _LARGE_DROP_RATE)
    size = Size(n, d, drops)
    risk = CohortRisk.of(n, _LARGE_DROP_RATE, _LARGE_CORRUPTED)
    session = session_of(n, risk=risk)
    server = Stopwatch()
    dropped = frozenset(session.sites[n - drops :])
    running = MaskedRound(session, size.vector, d, dropped, server=server)
    _require_close(running.run(), size.expected(), n * running.grid.step, "the masked sum")
    return SecaggCell(
        f"{session.degree} of {n}, threshold {session.threshold}",
        n,
        d,
        drops,
        32,
        ours=running.site.seconds + server.seconds,
        ours_mb=running.uploaded_bytes / d,
    )


def measure(*, full: bool, note: Callable[[str], None]) -> tuple[SecaggCell, ...]:
    """Return all cells; with `full`, those that take ten minutes too.

    Raises:
        SecureFLError: a session is not on offer.
    """
    cells: list[SecaggCell] = []
    for d in (_MILLION, 10 * _MILLION) if full else (_MILLION,):
        for n in _COHORTS:
            for drops in (0, round(_DROP_RATE * n)):
                once = n * d >= _ONCE_ABOVE
                cells += compare(Size(n, d, drops), 1 if once else _REPETITIONS, note)
    largest = Size(_COHORTS[-1], 10 * _MILLION, 0)
    note(f"memory of our server, n = {largest.n}, d = {largest.d}")
    cells.append(our_memory(largest))
    if full:
        note("memory of Flower's server, the same")
        cells.append(flower_memory(largest))
        note(f"{_LARGE[0]} sites")
        cells.append(many_sites(*_LARGE))
    return tuple(cells)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the cells; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.secagg", description="Masked sums beside Flower's SecAgg+."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--full", action="store_true", help="ten million, and 1000 sites, too")
    options = parser.parse_args(arguments)
    try:
        cells = measure(full=options.full, note=_note)
    except SecureFLError as error:
        failure = Failure.of(error)
        failure.tell(sys.stderr, as_json=options.json)
        return int(failure.code)
    title = "Masked sums beside Flower's SecAgg+: one client and the server, process time"
    write_cells(title, cells, as_json=options.json)
    return 0


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
