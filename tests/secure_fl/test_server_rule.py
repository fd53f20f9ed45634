"""The coordinator's step along a noised sum, beside torch's own optimisers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from crypto.errors import ConfigError, IntegrityError
from privacy.update import TensorSpec, UpdateSpec
from secure_fl.config import TrainingSection
from secure_fl.methods import SeenUpdates
from secure_fl.methods.server_rule import GradientRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEAD = "base.classifier.modules_to_save.default.weight"
SPEC = UpdateSpec((TensorSpec("layer.0.lora_B.default.weight", (3, 2)), TensorSpec(HEAD, (4,))))
IS_HEAD = np.arange(10) >= 6
DIVISOR = 5.0
ROUNDS = 8
START = np.linspace(-1, 1, SPEC.size).astype(np.float32)


def training_of(**changes: Any) -> TrainingSection:  # noqa: ANN401 - values of a TOML file
    table = {"rounds": ROUNDS, "local_steps": 1, "learning_rate": 0.1, "optimizer": "sgd"}
    return TrainingSection.model_validate(table | changes)


def sums() -> list[NDArray[np.float64]]:
    drawn = np.random.default_rng(7)
    return [drawn.normal(size=SPEC.size) * 3 for _ in range(ROUNDS)]


def after_all(rule: GradientRule, shared: NDArray[np.float32] = START) -> NDArray[np.float32]:
    for round_, total in enumerate(sums()):
        shared = rule.apply(shared, SeenUpdates(total, 3), round_)
    return shared


def by_torch(training: TrainingSection) -> NDArray[np.float64]:
    """The same rounds by torch's optimiser in float64, one parameter per group."""
    parts = [
        torch.nn.Parameter(torch.from_numpy(START[mask].astype(np.float64)))
        for mask in (~IS_HEAD, IS_HEAD)
    ]
    rates = (training.learning_rate, training.head_learning_rate or training.learning_rate)
    groups = [{"params": [p], "lr": rate} for p, rate in zip(parts, rates, strict=True)]
    optimizer: torch.optim.Optimizer = (
        torch.optim.Adam(groups)
        if training.optimizer == "adam"
        else torch.optim.SGD(groups, lr=0.1, momentum=training.momentum)
    )
    for round_, total in enumerate(sums()):
        left = 1 - round_ / ROUNDS if training.schedule == "linear" else 1.0
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * left
        gradient = total / DIVISOR
        parts[1].grad = torch.from_numpy(gradient[IS_HEAD])
        warming = round_ < training.head_rounds
        parts[0].grad = None if warming else torch.from_numpy(gradient[~IS_HEAD])
        optimizer.step()
    return np.concatenate([part.detach().numpy() for part in parts])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"momentum": 0.9},
        {"optimizer": "adam", "learning_rate": 0.01},
        {"schedule": "linear", "momentum": 0.5},
        {"head_learning_rate": 2.0},
        {"head_rounds": 3, "momentum": 0.9},
        {"head_rounds": 3, "optimizer": "adam", "head_learning_rate": 0.5, "schedule": "linear"},
    ],
    ids=lambda changes: "+".join(changes) or "sgd",
)
def test_it_is_what_torch_does(changes: dict[str, Any]) -> None:
    training = training_of(**changes)
    moved = after_all(GradientRule(training, SPEC, DIVISOR))
    np.testing.assert_allclose(moved, by_torch(training), rtol=0, atol=1e-6)


@pytest.mark.parametrize("changes", [{"momentum": 0.9}, {"optimizer": "adam"}], ids=str)
def test_it_goes_on_from_what_it_exported(changes: dict[str, Any]) -> None:
    training = training_of(**changes)
    whole = after_all(GradientRule(training, SPEC, DIVISOR))

    shared, memory = START, b""
    for round_, total in enumerate(sums()):
        rule = GradientRule(training, SPEC, DIVISOR, memory)
        shared = rule.apply(shared, SeenUpdates(total, 3), round_)
        memory = rule.export()

    assert np.array_equal(shared, whole)
    forgetful = START
    for round_, total in enumerate(sums()):
        rule = GradientRule(training, SPEC, DIVISOR)
        forgetful = rule.apply(forgetful, SeenUpdates(total, 3), round_)
    assert not np.array_equal(forgetful, whole)  # what is kept matters


def test_memory_of_another_model_is_refused() -> None:
    with pytest.raises(IntegrityError, match="does not fit the shared parameters"):
        GradientRule(training_of(momentum=0.9), SPEC, DIVISOR, bytes(8))
    with pytest.raises(IntegrityError, match="does not fit the shared parameters"):
        GradientRule(training_of(), SPEC, DIVISOR, bytes(8))


def test_the_number_of_survivors_does_not_change_the_step() -> None:
    (total, *_) = sums()
    steps = [
        GradientRule(training_of(), SPEC, DIVISOR).apply(START, SeenUpdates(total, n), 0)
        for n in (2, 4)
    ]
    assert np.array_equal(*steps)


def test_what_diverges_is_refused() -> None:
    total = np.full(SPEC.size, 1e300)
    with pytest.raises(ConfigError, match="After round 1 a parameter is not finite"):
        GradientRule(training_of(), SPEC, DIVISOR).apply(START, SeenUpdates(total, 3), 0)
