"""The split of FinGPT's benchmark, where the publishers of a data set made none.

`datasets.Dataset.train_test_split(test_size=share, seed=42)` takes the first ceil(share * rows) of
`numpy.random.default_rng(42).permutation(rows)` for the test set, and the rest in that order.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

_SEED: Final = 42


def fingpt_test_rows(rows: int, share: float) -> tuple[int, ...]:
    """Return the 0-based rows of the test set, in the order that the split draws them."""
    order = np.random.default_rng(_SEED).permutation(rows)
    return tuple(int(index) for index in order[: math.ceil(rows * share)])
