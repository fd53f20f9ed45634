"""Every PEFT type on every architecture, against one example at a time."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
import torch
from peft import PeftModel, get_peft_model_state_dict
from test_privacy_clipping import count_hooks
from tiny_peft import batch, one_at_a_time, relative_error
from tiny_types import ARCHITECTURES, TYPES, adapted, base, losses

from privacy import example_rows
from privacy.clipping import PerExampleClipper

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.mark.parametrize("factored", [False, True], ids=["written out", "factored"])
@pytest.mark.parametrize("which", ARCHITECTURES)
def test_whole_weights_are_exact_as_factors_and_written_out(
    which: str, *, factored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example_rows, "_factors_are_smaller", lambda _: factored)
    model, b = adapted(which, "everything"), batch(5)
    singles = [losses(model, b.rows(i, i + 1))[0] for i in range(5)]
    _, norms = one_at_a_time(model, singles, 1.0)
    clip = sorted(norms)[2] * 0.999
    right, _ = one_at_a_time(model, singles, clip)
    clipper = PerExampleClipper(model, clip=clip)
    clipper.accumulate(losses(model, b))
    assert relative_error(clipper.take(), right) <= EXACT


PEFTS = [
    "LoRA with dropout",
    "rank-stabilised LoRA",
    "DoRA",
    "IA3",
    "prompt tuning",
    "prefix tuning",
    "prefix tuning, projected",
    "p-tuning",
    "norms",
]


@pytest.mark.filterwarnings("ignore:Position ids are not supported:UserWarning")  # PEFT's
@pytest.mark.parametrize("which", ["llama", "gpt2", "qwen"])
@pytest.mark.parametrize("peft", PEFTS)
def test_the_model_stays_the_peft_model_that_it_was(peft: str, which: str, tmp_path: Path) -> None:
    """It is saved and loaded, and generates the same, with the taps in place and after them."""
    model, twin, b = adapted(which, peft), adapted(which, peft), batch(3)
    hooks = count_hooks(model)
    clipper = PerExampleClipper(model, clip=1.0)
    clipper.accumulate(losses(model, b))
    assert type(model) is type(twin)
    assert [type(m) for m in model.modules()] == [type(m) for m in twin.modules()]
    states = get_peft_model_state_dict(model), get_peft_model_state_dict(twin)
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(one, states[1][name]) for name, one in states[0].items())
    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(base(which), tmp_path).double()
    some = {"input_ids": b.ids[:1, :4], "attention_mask": b.mask[:1, :4], "do_sample": False}
    outputs = [m.eval().generate(**some, max_new_tokens=3) for m in (model, twin, again)]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    for m in (model, twin):
        m.train()
    torch.manual_seed(7)
    mine = losses(model, b)
    clipper.detach()
    assert count_hooks(model) == hooks
    torch.manual_seed(7)
    assert torch.equal(mine, losses(twin, b))
    torch.manual_seed(7)
    assert torch.equal(mine, losses(model, b))
