"""A plain gradient gives its text away to a search; a clipped and noised one does not."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_decoder import CLASSES, VOCABULARY, WIDTH, TinyDecoder
from torch import Tensor
from torch.nn import functional

from audits.inversion.gradient_inversion import (
    GradientInversion,
    Search,
    Sought,
    _Dummies,
    _Matching,
    invert_gradient,
)
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKENS, LABEL = 5, 1
SOUGHT = Sought(TOKENS, WIDTH, CLASSES)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors this small are only slowed down by a second."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def seen(model: TinyDecoder, tokens: Tensor) -> dict[str, Tensor]:
    label = functional.one_hot(torch.tensor(LABEL), CLASSES).double()
    return {
        name: part.detach() for name, part in model.gradient_of(model.table[tokens], label).items()
    }


def text(seed: int) -> Tensor:
    return torch.randperm(VOCABULARY, generator=seeded(seed))[:TOKENS]


def clipped_and_noised(gradient: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    norm = math.sqrt(sum(float((part**2).sum()) for part in gradient.values()))
    chance = seeded(seed)
    return {
        name: part / max(1.0, norm) + torch.randn(part.shape, generator=chance).double()
        for name, part in gradient.items()
    }


@pytest.mark.parametrize("seed", [0, 3])
def test_a_text_is_read_out_of_a_plain_gradient_and_not_out_of_a_noised_one(seed: int) -> None:
    model, tokens = TinyDecoder(seed), text(seed)
    gradient = seen(model, tokens)
    plain = invert_gradient(gradient, model.gradient_of, SOUGHT, seeded(seed), Search(restarts=8))
    assert plain.similarity > 1 - 1e-6
    assert plain.nearest_tokens(model.table) == tuple(tokens.tolist())
    assert plain.label == LABEL
    once = Search(restarts=1, descents=1, iterations=60)
    noised = clipped_and_noised(gradient, seed)
    blind = invert_gradient(noised, model.gradient_of, SOUGHT, seeded(seed), once)
    assert blind.similarity < 0.5
    right = zip(blind.nearest_tokens(model.table), tokens.tolist(), strict=True)
    assert sum(guess == token for guess, token in right) <= 1


def test_the_same_generator_gives_the_same_search() -> None:
    model = TinyDecoder(0)
    gradient, short = seen(model, text(0)), Search(restarts=1, descents=2, iterations=5)
    first, again, other = (
        invert_gradient(gradient, model.gradient_of, SOUGHT, seeded(seed), short)
        for seed in (4, 4, 5)
    )
    assert torch.equal(first.embeddings, again.embeddings)
    assert first.similarity == again.similarity
    assert not torch.equal(first.embeddings, other.embeddings)


def test_the_similarity_is_the_cosine_of_the_flat_gradients() -> None:
    model = TinyDecoder(0)
    gradient = seen(model, text(0))
    matching = _Matching(gradient, model.gradient_of)
    logits = torch.tensor([0.0, 3.0, -1.0], dtype=torch.float64)
    inputs = model.table[text(3)].clone().requires_grad_()
    answers = model.gradient_of(inputs, torch.softmax(logits, dim=0))
    answered = {name: part.detach() for name, part in answers.items()}
    dot = sum(float((answered[name] * gradient[name]).sum()) for name in gradient)
    lengths = [
        math.sqrt(sum(float((part**2).sum()) for part in parts.values()))
        for parts in (answered, gradient)
    ]
    expected = dot / (lengths[0] * lengths[1])
    assert float(matching.similarity(inputs, logits).detach()) == pytest.approx(expected)


def test_a_swap_is_the_best_of_all_pairs() -> None:
    """From the right text with two tokens exchanged, the best swap is the one back."""
    model, tokens = TinyDecoder(0), text(0)
    gradient = seen(model, tokens)
    matching = _Matching(gradient, model.gradient_of)
    logits = torch.tensor([-9.0, 9.0, -9.0], dtype=torch.float64)
    for first, second in combinations(range(TOKENS), 2):
        order = list(range(TOKENS))
        order[first], order[second] = second, first
        embeddings = model.table[tokens][order].clone()
        dummies = _Dummies(embeddings, logits.clone())
        dummies.swap(matching)
        assert torch.equal(embeddings, model.table[tokens])


@pytest.mark.parametrize(
    ("enough", "expected"),
    [(2.0, ["descend", "swap", "descend"] * 2), (0.8, ["descend", "swap", "descend"])],
    ids=["never enough", "enough after a swap"],
)
def test_each_start_descends_swaps_and_descends_until_it_is_enough(
    enough: float, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    reached = iter([0.3, 0.9, 0.5, 0.1])

    def descend(*_: object) -> GradientInversion:
        steps.append("descend")
        return GradientInversion(next(reached), torch.zeros(2, 2), label=0)

    monkeypatch.setattr(_Dummies, "descend", descend)
    monkeypatch.setattr(_Dummies, "swap", lambda *_: steps.append("swap"))
    search = Search(restarts=2, descents=2, enough=enough)
    found = invert_gradient({"w": torch.ones(1)}, lambda *_: {}, Sought(2, 2, 2), seeded(0), search)
    assert steps == expected
    assert found.similarity == 0.9


def test_one_token_has_nothing_to_swap_with() -> None:
    model = TinyDecoder(0)
    gradient = seen(model, text(0)[:1])
    search = Search(restarts=2, descents=2)
    found = invert_gradient(
        gradient, model.gradient_of, Sought(1, WIDTH, CLASSES), seeded(0), search
    )
    assert found.nearest_tokens(model.table) == tuple(text(0)[:1].tolist())


def test_the_nearest_token_is_the_nearest_and_embeddings_are_not_shown() -> None:
    table = torch.eye(3, 4).double()
    found = GradientInversion(0.5, table[[2, 0]] + 0.1, label=0)
    assert found.nearest_tokens(table) == (2, 0)
    assert "tensor" not in repr(found)
    with pytest.raises(ConfigError, match="no token is nearest"):
        found.nearest_tokens(torch.eye(3))


def answering(gradients: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    invert_gradient(target, lambda *_: gradients, Sought(2, 4, 2), seeded(0))


def test_what_cannot_be_matched_is_refused() -> None:
    one = {"w": torch.ones(3)}
    for nothing in ({}, {"w": torch.zeros(3)}):
        with pytest.raises(ConfigError, match="everything matches"):
            answering(one, nothing)
    with pytest.raises(ConfigError, match="cannot be matched"):
        answering({"v": torch.ones(3)}, one)
    with pytest.raises(ConfigError, match="create_graph"):
        answering(one, one)


@pytest.mark.parametrize("part", ["restarts", "descents", "iterations", "spread"])
def test_a_search_that_tries_nothing_is_refused(part: str) -> None:
    with pytest.raises(ConfigError, match="tries nothing"):
        Search(**{part: 0})


@pytest.mark.parametrize("shape", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_nothing_sought_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="nothing in it"):
        Sought(*shape)
