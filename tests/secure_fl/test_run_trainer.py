"""One site's training: repeatable where it may be, noised where it must be, and what is shared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tiny_run import NONE, RECORD, small_dataset, tiny_config

from crypto.errors import ConfigError, IntegrityError
from domains.frozen_layers import layers_of
from privacy.events import Unit
from privacy.noise import InjectedNoise, SystemNoise
from privacy.streams import fresh_stream
from secure_fl.methods.method import is_head
from secure_fl.sites.losses import RecordLosses
from secure_fl.sites.trainer import LocalTrainer, TrainingParts
from secure_fl.sites.units import UnitRows
from secure_fl.sites.workbench import SiteRecords, SiteWorkbench, build_task

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tiny_model import TinyModel

    from privacy.noise import NoiseSource
    from secure_fl.config import RunConfig


def parts_of(
    config: RunConfig,
    noise: NoiseSource | None = None,
    *,
    records: int = 41,
    micro_batch: int | None = None,
    column: str | None = None,
) -> TrainingParts:
    """Return what a site trains with."""
    data = small_dataset()
    task, adapted = build_task(config.mechanism, data.labels, config.runtime)
    used = data.train[:records]
    unit = getattr(config.mechanism.privacy, "unit", Unit.RECORD)
    size = micro_batch or config.runtime.micro_batch
    return TrainingParts(
        site="site-1",
        task=task,
        adapted=adapted,
        records=RecordLosses(task, adapted, task.encode(used), size),
        units=UnitRows.of(used, unit, column),
        noise=noise or SystemNoise(),
        streams=fresh_stream,
    )


def update_of(
    config: RunConfig, round_: int = 0, parts: TrainingParts | None = None
) -> NDArray[Any]:
    made = parts or parts_of(config)
    start = made.adapted.flat()
    return LocalTrainer(made, config.mechanism).train(start, round_).flat()


# -- without privacy: a function of seed, site and round -------------------------------------------


def test_in_mode_none_the_same_round_gives_the_same_bytes(tiny: TinyModel) -> None:
    config = tiny_config(tiny)
    first = update_of(config)
    assert first.any()
    assert update_of(config).tobytes() == first.tobytes()
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 - the global generators must not matter
    assert update_of(config).tobytes() == first.tobytes()


def test_round_site_and_seed_each_give_other_batches(tiny: TinyModel) -> None:
    config = tiny_config(tiny)
    first = update_of(config)
    assert not np.array_equal(update_of(config, 1), first)
    assert not np.array_equal(update_of(config, 0, replace(parts_of(config), site="site-2")), first)


def test_a_trainer_that_was_used_before_trains_like_a_new_one(tiny: TinyModel) -> None:
    """No moment of an optimiser, and no adapter, is carried from round to round."""
    config = tiny_config(tiny)
    parts = parts_of(config)
    trainer = LocalTrainer(parts, config.mechanism)
    start = parts.adapted.flat()
    once = trainer.train(start, 1)
    trainer.train(start + 0.5, 0)
    assert trainer.train(start, 1).flat().tobytes() == once.flat().tobytes()


def test_the_micro_batch_moves_speed_and_not_the_update(tiny: TinyModel) -> None:
    config = tiny_config(tiny)
    small = parts_of(config, micro_batch=3)
    np.testing.assert_allclose(update_of(config, 0, small), update_of(config), atol=1e-4)


# -- the post-step check ---------------------------------------------------------------------------


@pytest.mark.parametrize("privacy", [NONE, RECORD], ids=["none", "record"])
def test_an_optimiser_over_other_parameters_is_found(
    tiny: TinyModel, monkeypatch: pytest.MonkeyPatch, privacy: dict[str, Any]
) -> None:
    """The trap of a DP library: the gradients are right, and what is shared never moves."""
    config = tiny_config(tiny, privacy)
    parts = parts_of(config)
    other = [torch.nn.Parameter(p.detach().clone()) for p in parts.adapted.parameters.values()]

    def lost(trainer: LocalTrainer) -> torch.optim.Optimizer:
        del trainer
        return torch.optim.Adam(other, lr=0.1)

    monkeypatch.setattr(LocalTrainer, "_optimizer", lost)
    with pytest.raises(IntegrityError, match=r"ignored its gradient: .*Nothing was sent"):
        update_of(config, 0, parts)


def test_a_parameter_that_moves_without_a_gradient_is_found(
    tiny: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first step B is zero, so no gradient passes to A: nothing may move it."""
    config = tiny_config(tiny, training={"local_steps": 1})
    parts = parts_of(config)
    step = LocalTrainer._step

    def drift(trainer: LocalTrainer, *arguments: object) -> None:
        step(trainer, *arguments)
        name = next(name for name in parts.adapted.parameters if ".lora_A." in name)
        with torch.no_grad():
            parts.adapted.parameters[name] += 0.1

    monkeypatch.setattr(LocalTrainer, "_step", drift)
    with pytest.raises(IntegrityError, match=r"lora_A.* moved without a gradient"):
        update_of(config, 0, parts)


@pytest.mark.parametrize("rate", [1e-2, 1e-4, 1e-6, 1e-8])
def test_steps_too_small_for_a_float_are_no_fault(tiny: TinyModel, rate: float) -> None:
    training = {"optimizer": "sgd", "learning_rate": rate, "local_steps": 3}
    update_of(tiny_config(tiny, training=training))


def test_a_step_that_follows_another_gradient_is_found(
    tiny: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the way is a move too: what was noised is not what was trained."""
    training = {"optimizer": "sgd", "local_steps": 1}
    config = tiny_config(tiny, RECORD, training=training)
    step = torch.optim.SGD.step

    def half(optimizer: torch.optim.SGD) -> None:
        for group in optimizer.param_groups:
            group["lr"] /= 2
        step(optimizer)

    monkeypatch.setattr(torch.optim.SGD, "step", half)
    with pytest.raises(IntegrityError, match="moved otherwise than its gradient"):
        update_of(config)


# -- noise -----------------------------------------------------------------------------------------


def test_a_workbench_refuses_noise_that_can_be_repeated(tiny: TinyModel) -> None:
    data = small_dataset()
    records = SiteRecords(data.name, data.labels, data.train)
    runtime = tiny_config(tiny).runtime
    for noise in (
        InjectedNoise(np.random.default_rng(0)),
        SystemNoise(bytes),
    ):
        with pytest.raises(ConfigError, match="there would be no privacy"):
            SiteWorkbench("site-1", records, runtime, noise)


def test_a_step_without_records_is_noise_of_the_claimed_scale(tiny: TinyModel) -> None:
    """With rate 1 and nobody sampled, the update is minus the noise over the divisor."""
    privacy = RECORD | {"sampling_rate": 1e-12, "clip": 0.7, "divisor": 5.0, "sigma": 1.3}
    training = {"optimizer": "sgd", "learning_rate": 1.0, "local_steps": 1}
    update = update_of(tiny_config(tiny, privacy, training=training))
    expected = 1.3 * 0.7 / 5.0
    # The sample deviation of d draws is within 5 / sqrt(2 d) of the true one but once in 1e6.
    assert np.std(update) == pytest.approx(expected, rel=5 / np.sqrt(2 * update.size))
    assert abs(np.mean(update)) < 5 * expected / np.sqrt(update.size)


def test_steps_add_their_noise(tiny: TinyModel) -> None:
    privacy = RECORD | {"sampling_rate": 1e-12, "clip": 0.7, "divisor": 5.0, "sigma": 1.3}
    training = {"optimizer": "sgd", "learning_rate": 1.0, "local_steps": 16}
    update = update_of(tiny_config(tiny, privacy, training=training))
    assert np.std(update) == pytest.approx(4 * 1.3 * 0.7 / 5.0, rel=5 / np.sqrt(2 * update.size))


def test_one_record_moves_a_private_step_by_the_clip_at_most(tiny: TinyModel) -> None:
    """The same injected noise with and without the records: the difference is their sum."""
    privacy = RECORD | {"sampling_rate": 1.0, "clip": 0.01, "divisor": 1.0}
    training = {"optimizer": "sgd", "learning_rate": 1.0, "local_steps": 1}
    config = tiny_config(tiny, privacy, training=training)

    def update(records: int) -> NDArray[Any]:
        noise = InjectedNoise(np.random.default_rng(1))
        return update_of(config, 0, parts_of(config, noise, records=records))

    for fewer in (1, 7, 40):
        moved = np.linalg.norm((update(fewer + 1) - update(fewer)).astype(np.float64))
        assert 0.9 * 0.01 < moved < 0.01 * 1.001, "every record here is long enough to be clipped"


def test_private_training_does_not_repeat_itself(tiny: TinyModel) -> None:
    config = tiny_config(tiny, RECORD)
    assert not np.array_equal(update_of(config), update_of(config))


def test_the_workbench_trains_on_the_data_set_that_was_asked_for(tiny: TinyModel) -> None:
    config = tiny_config(tiny, dataset="finance.phrasebank")
    data = small_dataset()
    records = SiteRecords(data.name, data.labels, data.train)
    bench = SiteWorkbench("site-1", records, config.runtime, SystemNoise())
    with pytest.raises(ConfigError, match=r"was given `finance\.generated`"):
        bench.prepare(config.mechanism)
    assert data.train[0].text not in repr(records)


# -- where noise is shared: what leaves the trainer is raw, and bounded ----------------------------

DISTRIBUTED: dict[str, Any] = {
    "mode": "record-distributed",
    "unit": "record",
    "delta": 1e-5,
    "sigma": 1.5,
    "sampling_rate": 1.0,
    "clip": 0.01,
    "divisor": 10.0,
    "colluders": 1,
}
SITE: dict[str, Any] = {"mode": "site", "delta": 1e-5, "sigma": 1.5, "clip": 0.01, "colluders": 1}
ONE_STEP = {"local_steps": 1}


def test_under_shared_noise_a_site_gives_the_sum_of_its_clipped_gradients(tiny: TinyModel) -> None:
    """The twin clips one record at a time by autograd."""
    config = tiny_config(tiny, DISTRIBUTED, training=ONE_STEP)
    parts = parts_of(config, records=9)
    given = update_of(config, 0, parts).astype(np.float64)

    expected = np.zeros(given.size)
    for record in range(9):
        ((_, losses),) = parts.records.batches(np.array([record]), head_only=False)
        gradients = torch.autograd.grad(losses.sum(), list(parts.adapted.parameters.values()))
        row = np.concatenate([g.numpy().ravel() for g in gradients]).astype(np.float64)
        expected += row * min(1.0, 0.01 / np.linalg.norm(row))

    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-6 * 0.01 * 9)


def test_one_unit_more_moves_the_sum_by_the_clip_at_most(tiny: TinyModel) -> None:
    """A customer has several records here: clipped one by one they would move it further."""
    data = small_dataset(train=123).train[:60]
    owners = [record.columns["customer"] for record in data]
    most = max(owners.count(owner) for owner in owners)
    assert most >= 3, "the premise"
    by_user = tiny_config(tiny, DISTRIBUTED | {"unit": "user"}, training=ONE_STEP)
    parts = parts_of(by_user, records=60, column="customer")
    sizes = [len(row) for row in parts.units.rows]
    clip = 0.01

    def summed(kept: list[int], config: RunConfig, units: UnitRows) -> NDArray[Any]:
        chosen = replace(units, rows=tuple(units.rows[unit] for unit in kept))
        return update_of(config, 0, replace(parts, units=chosen)).astype(np.float64)

    unit = int(np.argmax(sizes))
    others = [i for i in range(len(sizes)) if i != unit]
    moved = summed([*others, unit], by_user, parts.units) - summed(others, by_user, parts.units)
    assert 0.9 * clip < np.linalg.norm(moved) <= clip * (1 + 1e-4)

    rows = list(map(int, parts.units.rows[unit]))
    by_record = tiny_config(tiny, DISTRIBUTED, training=ONE_STEP)
    single = parts_of(by_record, records=60).units
    rest = [i for i in range(60) if i not in rows]
    moved = summed([*rest, *rows], by_record, single) - summed(rest, by_record, single)
    assert np.linalg.norm(moved) > 1.2 * clip


@pytest.mark.parametrize("clipping", ["flat", "per-layer", "automatic"])
def test_every_rule_bounds_what_one_record_adds(tiny: TinyModel, clipping: str) -> None:
    clip = 0.01
    config = tiny_config(tiny, DISTRIBUTED | {"clipping": clipping}, training=ONE_STEP)
    with_it = update_of(config, 0, parts_of(config, records=8)).astype(np.float64)
    without = update_of(config, 0, parts_of(config, records=7)).astype(np.float64)
    moved = np.linalg.norm(with_it - without)
    # Layers that the first step does not reach leave their shares unused.
    assert 0.2 * clip < moved <= clip * (1 + 1e-4)
    flat = tiny_config(tiny, DISTRIBUTED, training=ONE_STEP)
    same = np.allclose(with_it, update_of(flat, 0, parts_of(flat, records=8)), rtol=0, atol=1e-7)
    assert same is (clipping == "flat")


def test_a_site_gives_its_change_clipped_as_a_whole(tiny: TinyModel) -> None:
    training = {"batch_size": 8, "optimizer": "sgd", "learning_rate": 0.1, "local_steps": 4}
    whole = update_of(tiny_config(tiny, NONE, training=training)).astype(np.float64)
    clipped = update_of(tiny_config(tiny, SITE, training=training)).astype(np.float64)

    assert np.linalg.norm(whole) > 0.01
    assert 0.0099 < np.linalg.norm(clipped) <= 0.01
    cosine = whole @ clipped / np.linalg.norm(whole) / np.linalg.norm(clipped)
    assert cosine == pytest.approx(1.0, abs=1e-6)


def test_a_site_whose_training_diverged_gives_nothing(
    tiny: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To refuse would show it."""
    config = tiny_config(tiny, SITE, training={"batch_size": 8, "local_steps": 1})

    def diverged(trainer: LocalTrainer, shared: NDArray[Any], expected: object) -> NDArray[Any]:
        del trainer, expected
        return np.full_like(shared, np.inf)

    monkeypatch.setattr(LocalTrainer, "_moved", diverged)
    assert not update_of(config).any()


# -- the warm start, and what is computed once -----------------------------------------------------


@pytest.mark.parametrize("privacy", [NONE, RECORD, DISTRIBUTED, SITE], ids=lambda p: p["mode"])
def test_a_warm_start_moves_the_classifier_alone(tiny: TinyModel, privacy: dict[str, Any]) -> None:
    training = {"local_steps": 1, "head_rounds": 1}
    if privacy["mode"] == "site":
        training["batch_size"] = 8
    config = tiny_config(tiny, privacy, training=training)
    parts = parts_of(config)
    start, trainer = parts.adapted.flat(), LocalTrainer(parts, config.mechanism)
    for round_, adapter_moves in ((0, False), (1, True)):
        update = trainer.train(start, round_)
        heads = [array.any() for name, array in update.parameters.items() if is_head(name)]
        others = [array.any() for name, array in update.parameters.items() if not is_head(name)]
        assert all(heads)
        assert any(others) is adapter_moves


def test_states_computed_once_give_what_a_forward_pass_gives(tiny: TinyModel) -> None:
    config = tiny_config(tiny, training={"local_steps": 1, "head_rounds": 1})
    parts = parts_of(config)
    indices = np.array([5, 0, 17, 3])

    def losses(*, head_only: bool) -> dict[int, float]:
        batches = parts.records.batches(indices, head_only=head_only)
        return {
            int(row): float(loss)
            for rows, found in batches
            for row, loss in zip(rows, found.detach(), strict=True)
        }

    assert losses(head_only=True) == pytest.approx(losses(head_only=False), rel=1e-5)
    # States of another adapter are not used for this one.
    parts.adapted.load(np.random.default_rng(0).normal(size=parts.adapted.spec.size) * 0.3)
    assert losses(head_only=True) == pytest.approx(losses(head_only=False), rel=1e-5)
    both = [parts.records.predict(head_only=only) for only in (True, False)]
    assert np.array_equal(*both)


def test_layers_computed_once_give_what_a_forward_pass_gives(tiny: TinyModel) -> None:
    """Losses, gradients and predictions, whatever the micro-batch pads; nothing is left changed."""
    config = tiny_config(
        tiny, DISTRIBUTED | {"clip": 1.0}, training=ONE_STEP, adapter={"layers": [1]}
    )
    parts = parts_of(config, records=23)
    assert parts.adapted.frozen_layers == 1
    encoded = parts.task.encode(small_dataset().train[:23])
    kept = RecordLosses(parts.task, parts.adapted, encoded, 5, cache_layers=True)
    ran: list[int] = []
    lowest = layers_of(parts.adapted.model)[0]
    handle = lowest.attention.register_forward_hook(lambda *_: ran.append(1))
    given = update_of(config, 0, replace(parts, records=kept)).astype(np.float64)
    # The check that examples stay apart is on sentences of its own, which are in no cache.
    checked = len(ran)
    LocalTrainer(parts, config.mechanism)
    assert len(ran) == 2 * checked > 0
    chosen = kept.predict(head_only=False)
    assert len(ran) == 2 * checked
    handle.remove()

    whole = update_of(config, 0, parts).astype(np.float64)
    assert np.linalg.norm(given - whole) <= 1e-5 * np.linalg.norm(whole)
    assert np.array_equal(chosen, parts.records.predict(head_only=False))


def test_nothing_is_kept_where_a_first_layer_or_an_embedding_is_tuned(tiny: TinyModel) -> None:
    for adapter in ({"layers": [0]}, {"layers": [0, 1]}, {}):
        assert parts_of(tiny_config(tiny, adapter=adapter)).adapted.frozen_layers == 0
    norms = tiny_config(
        tiny, method="norm-tuning", adapter={"target_modules": ["query", "LayerNorm"]}
    )
    assert parts_of(norms).adapted.frozen_layers == 0


# -- weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "typical", "largest", "weight"),
    [(40, 40, 2.0, 1.0), (41, 82, 2.0, 0.5), (60, 40, 2.0, 1.5), (41, 4, 3.0, 3.0)],
)
def test_a_site_counts_by_its_records_up_to_the_largest_weight(
    tiny: TinyModel, records: int, typical: int, largest: float, weight: float
) -> None:
    weights = {"weighting": {"typical_records": typical, "largest": largest}}
    plain, counted = tiny_config(tiny), tiny_config(tiny, training=weights)
    alike = update_of(plain, 0, parts_of(plain, records=records))
    weighted = update_of(counted, 0, parts_of(counted, records=records))

    np.testing.assert_allclose(weighted, weight * alike.astype(np.float64), rtol=1e-6)


def test_no_weight_lengthens_what_is_clipped(tiny: TinyModel) -> None:
    """A site's weight is its secret: the sensitivity of mode `site` must not follow from it."""
    heavy = {"batch_size": 8, "weighting": {"typical_records": 1, "largest": 100.0}}
    moved = update_of(tiny_config(tiny, SITE, sites=4, training=heavy))
    assert np.linalg.norm(moved.astype(np.float64)) <= SITE["clip"]
    light = {"batch_size": 8, "weighting": {"typical_records": 10**6}}
    short = update_of(tiny_config(tiny, SITE, sites=4, training=light))
    assert 0 < np.linalg.norm(short) < SITE["clip"] / 100
