"""What a round's change of the low-rank factors shows: its rank above rounding, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import NONE, RECORD, Setting, Watcher, tiny_config

from privacy.update import TensorSpec, UpdateSpec
from secure_fl.auditing import lora_inversion
from secure_fl.auditing.subject import open_subject
from secure_fl.embedded import start_run
from secure_fl.opened_ranks import opened_ranks
from secure_fl.rounds.grids import grid_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from tiny_model import TinyModel

    from secure_fl.config import Mechanism
    from secure_fl.runfolder import LayerRank

RANK, IN, OUT = 6, 24, 20
A = "base_model.model.layer.0.query.lora_A.default.weight"
B = "base_model.model.layer.0.query.lora_B.default.weight"
SPEC = UpdateSpec(
    (TensorSpec(A, (RANK, IN)), TensorSpec(B, (OUT, RANK)), TensorSpec("head.weight", (3, IN)))
)


def flat(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float32]:
    return np.concatenate([a.ravel(), b.ravel(), np.ones(3 * IN)]).astype(np.float32)


def low(rng: np.random.Generator, rows: int, columns: int, rank: int) -> NDArray[np.float64]:
    return rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns))


@pytest.fixture(scope="module")
def mechanism(tiny: TinyModel) -> Mechanism:
    return tiny_config(tiny, NONE).mechanism


def ranks(
    mechanism: Mechanism, a: NDArray[Any], b: NDArray[Any], survivors: int = 4
) -> dict[str, LayerRank]:
    rng = np.random.default_rng(1)
    start = flat(0.1 * rng.normal(size=(RANK, IN)), np.zeros((OUT, RANK)))
    after = start + flat(a, b)
    return {r.factor: r for r in opened_ranks(mechanism, SPEC, start, after, survivors)}


@given(seed=st.integers(0, 2**32 - 1), of_a=st.integers(1, RANK), of_b=st.integers(1, RANK))
def test_as_many_directions_as_were_summed(
    mechanism: Mechanism, seed: int, of_a: int, of_b: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = 0.01 * low(rng, RANK, IN, of_a), 0.01 * low(rng, OUT, RANK, of_b)
    found = ranks(mechanism, a, b)
    assert [r.numerical_rank for r in found.values()] == [of_a, of_b]
    assert {r.rank for r in found.values()} == {RANK}
    values = np.linalg.svd(b, compute_uv=False)
    assert found[B.removeprefix("base_model.model.")].stable_rank == pytest.approx(
        (values**2).sum() / values[0] ** 2, abs=1e-3
    )


def test_rounding_of_the_sum_is_no_direction(mechanism: Mechanism) -> None:
    rng = np.random.default_rng(3)
    step, survivors = grid_of(mechanism).step, 4
    rounded = rng.uniform(-0.5, 0.5, size=(survivors, OUT, RANK)).mean(axis=0) * step
    b = low(rng, OUT, RANK, 2) + rounded
    [found] = ranks(mechanism, np.zeros((RANK, IN)), b, survivors).values()
    assert found.numerical_rank == 2


def test_a_factor_that_did_not_move_is_not_metered(mechanism: Mechanism) -> None:
    found = ranks(mechanism, np.zeros((RANK, IN)), np.ones((OUT, RANK)))
    assert list(found) == [B.removeprefix("base_model.model.")]
    other = UpdateSpec((TensorSpec("head.weight", (3, IN)),))
    before = np.zeros(3 * IN, np.float32)
    assert opened_ranks(mechanism, other, before, before + 1, 4) == ()


def test_a_run_keeps_the_ranks_of_every_round_and_the_audit_draws_them(
    tiny: TinyModel, tmp_path: Path
) -> None:
    setting = Setting(tmp_path, tiny)
    folder = start_run(
        tiny_config(tiny, RECORD, rounds=2), setting.out, setting.places(), Watcher()
    )
    opened = [row.opened for row in folder.metrics()]
    assert [len(ranks) for ranks in opened] == [len(opened[0])] * 2
    assert opened[0]
    # Noise fills the rank.
    assert all(each.numerical_rank == each.rank for ranks in opened for each in ranks)
    [found] = lora_inversion.run_meters(open_subject(setting.out), lambda _, __: None)
    layers = {each.factor.split(".lora_")[0] for each in opened[0]}
    assert {series.name for series in found.series} == layers
    assert all([point.x for point in series.points] == [1, 2] for series in found.series)
    [count] = [m.value for m in found.details if m.name.startswith("sums that the run opened")]
    assert count == 2 * len(layers)
