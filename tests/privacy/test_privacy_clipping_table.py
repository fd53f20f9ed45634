"""Every PEFT type on every architecture, against one example at a time."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from tiny_peft import batch, one_at_a_time, relative_error
from tiny_types import ARCHITECTURES, TYPES, adapted, losses

from privacy.clipping import PerExampleClipper

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type .*Norm:UserWarning"),  # PEFT's
]
EXACT = 1e-12
CELLS = [
    (peft, which)
    for peft, which in product(TYPES, ARCHITECTURES)
    if (peft, which) != ("biases", "llama")  # it has none
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(("peft", "which"), CELLS)
def test_the_clipped_sum_is_that_of_one_example_at_a_time(peft: str, which: str) -> None:
    model, b = adapted(which, peft), batch(5)
    torch.manual_seed(7)
    if "dropout" in peft:  # the same masks: the loop goes over one pass, without the hooks
        singles = list(losses(model, b))
    else:
        singles = [losses(model, b.rows(i, i + 1))[0] for i in range(5)]
    _, norms = one_at_a_time(model, singles, 1.0)
    clip = sorted(norms)[2] * 0.999  # it bites for three of the five
    right, _ = one_at_a_time(model, singles, clip)
    clipper = PerExampleClipper(model, clip=clip)
    torch.manual_seed(7)
    clipper.accumulate(losses(model, b))
    assert relative_error(clipper.take(), right) <= EXACT
