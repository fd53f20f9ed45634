"""Clipping rules, each against a loop, and what each promises of its sensitivity."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from tiny_peft import Batch, batch, bert_lora, class_losses, relative_error
from torch import Tensor, nn

from crypto.errors import ConfigError
from privacy.clipping import PerExampleClipper
from privacy.clipping_rules import (
    AutomaticClip,
    ClipGroup,
    ClipRule,
    FlatClip,
    GroupedClip,
    PerLayerClip,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
EXACT = 1e-12


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def rows_one_at_a_time(model: nn.Module, b: Batch) -> list[dict[str, Tensor]]:
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    return [
        dict(
            zip(
                named,
                torch.autograd.grad(class_losses(model, b.rows(i, i + 1))[0], [*named.values()]),
                strict=True,
            )
        )
        for i in range(len(b.ids))
    ]


def length(row: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float((part**2).sum()) for part in row.values()))


def flat(row: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: min(1.0, 0.3 / length(row)) * part for n, part in row.items()}


def by_layer(row: dict[str, Tensor]) -> dict[str, Tensor]:
    """A layer's parameters share a name up to the last dot; k layers share 0.3 evenly."""
    layers = {name.rsplit(".", 1)[0] for name in row}
    clip = 0.3 / math.sqrt(len(layers))
    found = {}
    for name, part in row.items():
        layer = name.rsplit(".", 1)[0]
        own = length({n: p for n, p in row.items() if n.rsplit(".", 1)[0] == layer})
        found[name] = min(1.0, clip / own) * part
    return found


def by_kind(row: dict[str, Tensor]) -> dict[str, Tensor]:
    first, second = (
        {n: p for n, p in row.items() if ("lora_A" in n) is is_a} for is_a in (True, False)
    )
    scaled = {n: min(1.0, 0.02 / length(first)) * p for n, p in first.items()}
    scaled |= {n: min(1.0, 0.3 / length(second)) * p for n, p in second.items()}
    return {name: scaled[name] for name in row}


def automatic(row: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: 0.3 / (length(row) + 0.5) * part for n, part in row.items()}


def grouped(names: tuple[str, ...]) -> GroupedClip:
    return GroupedClip(
        (
            ClipGroup(tuple(n for n in names if "lora_A" in n), 0.02),
            ClipGroup(tuple(n for n in names if "lora_A" not in n), 0.3),
        )
    )


Twin = Callable[[dict[str, Tensor]], dict[str, Tensor]]
RULES: dict[str, tuple[Callable[[tuple[str, ...]], ClipRule], Twin, float]] = {
    "flat": (lambda _: FlatClip(0.3), flat, 0.3),
    "per layer": (lambda _: PerLayerClip(0.3), by_layer, 0.3),
    "grouped": (grouped, by_kind, math.hypot(0.02, 0.3)),
    "automatic": (lambda _: AutomaticClip(0.3, gamma=0.5), automatic, 0.3),
}


def rule_for(model: nn.Module, kind: str) -> ClipRule:
    return RULES[kind][0](tuple(n for n, p in model.named_parameters() if p.requires_grad))


@pytest.mark.parametrize("kind", RULES)
def test_a_rule_does_what_its_loop_does(kind: str) -> None:
    model, b = bert_lora(), batch(5)
    rule, (_, twin, sensitivity) = rule_for(model, kind), RULES[kind]
    rows = [twin(row) for row in rows_one_at_a_time(model, b)]
    right = {name: sum(row[name] for row in rows) for name in rows[0]}
    clipper = PerExampleClipper(model, clip=rule)
    assert clipper.rule is rule
    clipper.accumulate(class_losses(model, b))
    assert relative_error(clipper.take(), right) <= EXACT
    assert rule.sensitivity == pytest.approx(sensitivity, rel=1e-15)
    clipper.detach()
    for other in RULES:  # each rule gives something of its own
        another = PerExampleClipper(model, clip=rule_for(model, other))
        another.accumulate(class_losses(model, b))
        assert (relative_error(another.take(), right) > 1e-2) is (other != kind)
        another.detach()


@pytest.mark.parametrize("kind", RULES)
def test_no_contribution_is_longer_than_the_sensitivity(kind: str) -> None:
    model = bert_lora().float()
    rule = rule_for(model, kind)
    clipper = PerExampleClipper(model, clip=rule)
    lengths = []
    for seed in range(20):
        losses = class_losses(model, batch(1, seed=seed)) * 1e8  # every part is long
        clipper.accumulate(losses)
        lengths.append(length({n: part.double() for n, part in clipper.take().items()}))
    assert max(lengths) <= rule.sensitivity
    assert min(lengths) > rule.sensitivity * (1 - 1e-3)


def test_a_number_is_a_flat_clip() -> None:
    model = bert_lora()
    assert PerExampleClipper(model, clip=0.5).rule == FlatClip(0.5)
    assert PerExampleClipper(model, clip=2).rule == FlatClip(2)


def test_rules_are_values() -> None:
    assert FlatClip(1.0) == FlatClip(1.0)
    assert AutomaticClip(1.0) == AutomaticClip(1.0, 0.01)
    assert len({FlatClip(1.0), PerLayerClip(1.0), AutomaticClip(1.0)}) == 3
    rules = (FlatClip(1.0), PerLayerClip(1.0), AutomaticClip(1.0), ClipGroup((), 1.0))
    for rule in rules:
        with pytest.raises(dataclasses.FrozenInstanceError):
            rule.clip = 2.0  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        GroupedClip(()).parts = ()  # type: ignore[misc]


def test_an_automatic_clip_leaves_a_zero_gradient_zero() -> None:
    model = nn.Linear(2, 1, bias=False).double()
    clipper = PerExampleClipper(model, clip=AutomaticClip(1.0))
    x = torch.tensor([[0.0, 0.0], [3e-9, 4e-9]], dtype=torch.float64)
    clipper.accumulate(model(x).sum(1))
    right = x[1] / (5e-9 + 0.01)
    assert torch.allclose(clipper.take()["weight"], right, rtol=1e-12)


def test_layers_are_told_apart_by_their_names() -> None:
    groups = PerLayerClip(1.0).groups(["a.b.weight", "a.c.weight", "a.b.bias", "weight"])
    assert [group.names for group in groups] == [
        ("a.b.weight", "a.b.bias"),
        ("a.c.weight",),
        ("weight",),
    ]
    assert [group.clip for group in groups] == [1 / math.sqrt(3)] * 3


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ((ClipGroup(("weight",), 1.0),), "bias stands in 0 of .* and is trainable"),
        (
            (ClipGroup(("weight", "bias"), 1.0), ClipGroup(("bias",), 1.0)),
            "bias stands in 2 of .* and is trainable",
        ),
        (
            (ClipGroup(("weight", "bias"), 1.0), ClipGroup(("other",), 1.0)),
            "other stands in 1 of .* and is not trainable",
        ),
        ((), "bias stands in 0"),
    ],
)
def test_groups_that_do_not_name_every_parameter_just_once_are_refused(
    groups: tuple[ClipGroup, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        PerExampleClipper(nn.Linear(2, 1), clip=GroupedClip(groups))


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_rule_that_bounds_nothing_is_refused(bad: float) -> None:
    for build in (FlatClip, PerLayerClip, AutomaticClip):
        with pytest.raises(ConfigError, match="bounds nothing"):
            build(bad)
    with pytest.raises(ConfigError, match="bounds nothing"):
        ClipGroup(("a",), bad)
    with pytest.raises(ConfigError, match=f"A gamma of {bad}"):
        AutomaticClip(1.0, gamma=bad)
