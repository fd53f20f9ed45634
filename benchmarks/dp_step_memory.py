"""The largest memory of one training step, exact and the same at every run.

On a CPU the profiler lists what torch's allocator gave and took back; the largest running sum is
the peak. numpy's arrays do not pass through that allocator, so noise is drawn through a source that
shows their peak to the profiler as one tensor. On a GPU the caching allocator keeps its own peak.
Counted is what a step adds to what stands before it: weights and the optimiser's state, which are
the same with privacy and without, are left out, and could only bring a ratio nearer to one.
"""

from __future__ import annotations

import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.profiler import ProfilerActivity, profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.dp_step_variants import Bench
    from privacy.noise import NoiseSource


def peak_bytes(step: Callable[[], None], device: str) -> int:
    """Run `step` once and return how many bytes it held at most beyond what stood before it."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = profiler.profiler.kineto_results.events()  # type: ignore[union-attr] # set on exit
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    held = peak = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        held += change
        peak = max(peak, held)
    return peak


@contextmanager
def shown_noise(bench: Bench) -> Iterator[None]:
    """Within the block, let `bench` draw its noise so that `peak_bytes` sees numpy's arrays too."""
    before = bench.noise
    bench.noise = ShownNoise(before)
    try:
        yield
    finally:
        bench.noise = before


class ShownNoise:
    """The draws of another source; their memory is shown to torch's profiler as one tensor."""

    def __init__(self, source: NoiseSource) -> None:
        self._source = source

    def gaussian(self, count: int, standard_deviation: float) -> NDArray[np.float64]:
        """Return the source's `count` draws, shape (count,)."""
        tracemalloc.start()
        try:
            drawn = self._source.gaussian(count, standard_deviation)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        torch.empty(peak, dtype=torch.uint8)
        return drawn
