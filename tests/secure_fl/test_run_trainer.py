"""One site's training: repeatable where it may be, noised where it must be, and what is shared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tiny_run import NONE, RECORD, small_dataset, tiny_config

from crypto.errors import ConfigError, IntegrityError
from privacy.noise import InjectedNoise, SystemNoise
from privacy.streams import fresh_stream
from secure_fl.sites.trainer import LocalTrainer, TrainingParts
from secure_fl.sites.workbench import SiteRecords, SiteWorkbench, build_task

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tiny_model import TinyModel

    from privacy.noise import NoiseSource
    from secure_fl.config import RunConfig


def parts_of(config: RunConfig, noise: NoiseSource | None = None) -> TrainingParts:
    """Return what a site trains with, over 41 records."""
    data = small_dataset()
    task, adapted = build_task(config.mechanism, data.labels, config.runtime)
    return TrainingParts(
        site="site-1",
        task=task,
        adapted=adapted,
        encoded=task.encode(data.train[:41]),
        micro_batch=config.runtime.micro_batch,
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
    small = replace(parts_of(config), micro_batch=3)
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
        parts = parts_of(config, InjectedNoise(np.random.default_rng(1)))
        encoded = parts.task.encode(small_dataset().train[:records])
        return update_of(config, 0, replace(parts, encoded=encoded))

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
