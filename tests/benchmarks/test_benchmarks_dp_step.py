from __future__ import annotations

import io
import json
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from benchmarks import dp_step
from benchmarks.cells import write_cells
from benchmarks.dp_step import DpStepCell, Measured, right_sum, rows_of, trial, workloads
from benchmarks.dp_step_memory import ShownNoise, peak_bytes, shown_noise
from benchmarks.dp_step_models import LLAMA_1B, LORA, PEFT_TYPES, TINY, Workload
from benchmarks.dp_step_variants import CLIP, OPACUS_MODES, Bench
from privacy.noise import InjectedNoise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

BERT, LLAMA = (Workload(architecture, LORA, 3, 8) for architecture in TINY)


def norms(workload: Workload) -> list[float]:
    bench = Bench(workload)
    losses = workload.losses(bench.model, bench.batch)
    parameters = list(bench.trainable.values())
    return [
        float(torch.cat([part.flatten() for part in parts]).norm())
        for loss in losses
        for parts in [torch.autograd.grad(loss, parameters, retain_graph=True)]
    ]


def silent(_: str) -> None:
    pass


def test_tiny_mode_fills_every_field_of_both_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert dp_step.main(["--tiny", "--rounds", "2", "--json"]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    cells = json.loads(line)["cells"]
    assert [cell["architecture"] for cell in cells] == ["BERT 16/1", "Llama 16/1"]
    for cell in cells:
        assert set(cell) == {field.name for field in fields(DpStepCell)}
        assert cell.pop("error") is None
        assert all(value is not None for value in cell.values())
        assert (cell["peft"], cell["batch"], cell["length"]) == (LORA, 4, 8)
        assert (cell["device"], cell["rounds"]) == ("cpu float32", 2)
        assert 0 < cell["min"] <= cell["ratio_to_nonprivate"] <= cell["max"]
        assert cell["peak_bytes"] > 4 * 4 * cell["trainable"]
        assert 0.5 < cell["peak_to_nonprivate"] < 2
    assert "round 2 of 2: " in captured.err


def test_a_table_has_a_line_for_each_way() -> None:
    cell = DpStepCell(
        name="x",
        architecture="BERT 1/1",
        peft=LORA,
        batch=4,
        length=8,
        device="cpu float32",
        rounds=1,
        ratio_to_nonprivate=1.01,
        ratio_to_ghost=0.6,
        ghost_to_nonprivate=1.7,
        error="Opacus ew: RuntimeError: no",
    )
    rows = rows_of(cell)
    assert [row.step for row in rows] == ["ours", *(f"Opacus {mode}" for mode in OPACUS_MODES)]
    assert rows[0].ratio_to_nonprivate == 1.01
    assert (rows[2].ratio_to_nonprivate, rows[2].ours_over_theirs) == (1.7, 0.6)
    out = io.StringIO()
    write_cells("Steps", rows, as_json=False, stream=out)
    assert out.getvalue().splitlines()[-1] == "BERT 1/1: Opacus ew: RuntimeError: no"


def test_a_gpu_that_is_missing_is_said_and_not_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert dp_step.main(["--device", "cuda", "--json"]) == 0
    (cell,) = json.loads(capsys.readouterr().out)["cells"]
    assert cell["error"] == "No CUDA device is at hand here: not measured."
    assert (cell["length"], cell["device"]) == (512, "cuda bfloat16")
    assert cell["ratio_to_nonprivate"] is None
    assert dp_step.main(["--device", "cuda"]) == 0
    assert "not measured" in capsys.readouterr().out


def test_no_rounds_measure_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert dp_step.main(["--rounds", "0"]) == 2
    assert "measure nothing" in capsys.readouterr().err


def test_what_is_measured_by_default_and_in_full() -> None:
    default = workloads(device="cpu", full=False, tiny=False)
    assert [(w.architecture.name, w.peft, w.batch, w.length) for w in default] == [
        ("BERT 384/6", LORA, 16, 128),
        ("BERT 384/6", LORA, 32, 128),
        ("Llama 512/8", LORA, 16, 128),
        ("Llama 512/8", LORA, 32, 128),
    ]
    full = workloads(device="cpu", full=True, tiny=False)
    assert full[:4] == default
    assert {w.peft for w in full} == set(PEFT_TYPES)


def test_the_gpus_model_has_a_billion_parameters_and_grouped_queries() -> None:
    with torch.device("meta"):
        model = LLAMA_1B.build()
    assert 1.0e9 < sum(parameter.numel() for parameter in model.parameters()) < 1.2e9
    assert model.config.num_key_value_heads < model.config.num_attention_heads


@pytest.mark.parametrize("workload", [BERT, LLAMA], ids=["bert", "llama"])
def test_every_example_is_clipped_and_has_its_own_loss(workload: Workload) -> None:
    assert min(norms(workload)) > CLIP
    bench = Bench(workload)
    before = workload.losses(bench.model, bench.batch)
    bench.batch.ids[0] = bench.batch.ids[1]
    after = workload.losses(bench.model, bench.batch)
    assert before.shape == after.shape == (3,)
    assert before[0] != after[0]
    assert torch.equal(before[1:], after[1:])


@pytest.mark.parametrize("way", ["ours", *OPACUS_MODES])
@pytest.mark.parametrize("workload", [BERT, LLAMA], ids=["bert", "llama"])
def test_every_way_reaches_the_sum_of_a_loop_and_leaves_no_trace(
    workload: Workload, way: str
) -> None:
    assert trial(workload, way, right_sum(workload)) is None
    bench = Bench(workload)
    hooks, attributes = count_hooks(bench), count_attributes(bench)
    before = [parameter.detach().clone() for parameter in bench.trainable.values()]
    with dp_step.attach(bench, way) as attached:
        attached.step()
    assert count_hooks(bench) == hooks
    assert count_attributes(bench) <= attributes + 1  # Opacus forgets its `summed_grad`, a None
    for parameter, old in zip(bench.trainable.values(), before, strict=True):
        assert parameter.grad is None
        assert not torch.equal(parameter, old)


def test_16_bit_weights_are_compared_as_coarsely_as_they_are() -> None:
    workload = replace(LLAMA, dtype=torch.bfloat16)
    right = right_sum(workload)
    assert trial(workload, "ours", right) is None
    doubled = {name: 2 * part for name, part in right.items()}
    assert str(trial(workload, "ours", doubled)).startswith("its clipped sum is wrong")


def count_hooks(bench: Bench) -> int:
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
        for m in bench.model.modules()
    )


def count_attributes(bench: Bench) -> int:
    return max(len(vars(parameter)) for parameter in bench.trainable.values())


class Unclipped:
    """What a way would be that forgot to clip."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def clipped_sum(self) -> dict[str, Tensor]:
        bench = self.bench
        losses = bench.workload.losses(bench.model, bench.batch)
        found = torch.autograd.grad(losses.sum(), list(bench.trainable.values()))
        return dict(zip(bench.trainable, found, strict=True))

    def step(self) -> None:
        pass


def test_a_way_that_does_not_clip_has_an_error_instead_of_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def forgetful(bench: Bench) -> Iterator[Unclipped]:
        yield Unclipped(bench)

    monkeypatch.setattr(Bench, "ours", forgetful)
    monkeypatch.setattr(dp_step, "OPACUS_MODES", ())
    cell = dp_step.compare(BERT, 1, silent)
    assert cell.error is not None
    assert cell.error.startswith("ours: its clipped sum is wrong by ")
    assert cell.ratio_to_nonprivate is None
    assert cell.peak_bytes is None


def test_where_opacus_raises_the_first_line_stands_instead_of_a_number() -> None:
    workload = replace(BERT, peft="DoRA r=8")
    reason = trial(workload, "ghost", right_sum(workload))
    assert reason == "NotImplementedError: Parameter tying is not supported with Ghost Clipping"


def test_ratios_are_medians_over_rounds_of_the_ratio_within_one() -> None:
    measured = Measured(
        {
            "nonprivate": {0: 1.0, 1: 10.0, 2: 4.0},
            "ours": {0: 1.1, 1: 10.0, 2: 8.0},
            "ew": {1: 4.0},
        },
        {"nonprivate": 200, "ours": 210},
        {"hooks": "broken"},
    )
    assert measured.ratio("ours", "nonprivate") == pytest.approx(1.1)  # of medians it were 2
    assert measured.ratio("ours", "ew") == pytest.approx(2.5)
    assert measured.ratio("ours", "hooks") is None
    assert measured.ratio("hooks", "nonprivate") is None
    assert measured.peak_ratio("ours") == pytest.approx(1.05)
    assert measured.peak_ratio("hooks") is None
    cell = dp_step._cell(BERT, 7, 3, measured)
    assert (cell.min, cell.ratio_to_nonprivate, cell.max) == pytest.approx((1.0, 1.1, 2.0))
    assert (cell.seconds, cell.peak_bytes, cell.trainable) == (8.0, 210, 7)
    assert cell.error == "Opacus hooks: broken"


def test_every_way_leads_in_turn_and_opacus_comes_every_third_time() -> None:
    ways = ["nonprivate", "ours", *OPACUS_MODES]
    rounds = [dp_step._in_turn(ways, number) for number in range(60)]
    for number, order in enumerate(rounds):
        assert sorted(order) == sorted(ways if number % 3 == 0 else ways[:2])
    assert {order[0] for order in rounds} == set(ways)
    first = sum(order.index("ours") < order.index("nonprivate") for order in rounds)
    assert 20 <= first <= 40


def test_the_peak_counts_what_is_held_at_once() -> None:
    def step() -> None:
        first = torch.empty(1000, dtype=torch.uint8)
        second = torch.empty(5000, dtype=torch.uint8)
        del second
        third = torch.empty(3000, dtype=torch.uint8)
        del first, third

    assert peak_bytes(step, "cpu") == 6000


def test_the_peak_of_a_step_is_the_same_at_every_run() -> None:
    bench = Bench(LLAMA)
    with bench.ours() as attached:
        attached.step()
        assert len({peak_bytes(attached.step, "cpu") for _ in range(3)}) == 1


def test_numpys_noise_is_counted_while_it_is_shown_alone() -> None:
    source = InjectedNoise(np.random.default_rng(1))
    count = 50_000

    def hidden() -> None:
        source.gaussian(count, 1.0)

    def shown() -> None:
        ShownNoise(source).gaussian(count, 1.0)

    assert peak_bytes(hidden, "cpu") == 0
    assert 8 * count <= peak_bytes(shown, "cpu") < 20 * count
    same = InjectedNoise(np.random.default_rng(1)).gaussian(5, 2.0)
    fresh = ShownNoise(InjectedNoise(np.random.default_rng(1)))
    assert np.array_equal(fresh.gaussian(5, 2.0), same)
    bench = Bench(BERT, source)
    with shown_noise(bench):
        assert isinstance(bench.noise, ShownNoise)
    assert bench.noise is source
