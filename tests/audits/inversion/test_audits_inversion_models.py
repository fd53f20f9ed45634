"""Real models, real LoRA, real gradients: the words of a text come back from one opened sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from low_rank_layers import privatised, together
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from audits.inversion.meters import measure_layer
from audits.inversion.row_space import visible_subspace
from audits.inversion.token_inversion import (
    InvertedTokens,
    calibrated_threshold,
    exact_threshold,
    invert_anywhere,
    invert_positions,
)
from domains.base_models import preset, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from audits.inversion.row_space import Subspace

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
RANK = 16
SENTENCE = "Once upon a time, there was a little girl named Lily."
NOTES = ["fever rose", "pain fell"]


@dataclass(frozen=True, eq=False)
class Adapted:
    """A model with LoRA on one projection of its first layer."""

    model: nn.Module
    down: Tensor
    up: Tensor

    def gradients(self, loss: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return grad A and grad B of `loss` as they leave a site, float32."""
        of_a, of_b = torch.autograd.grad(loss, [self.down, self.up])
        return of_a.numpy(), of_b.numpy()

    def step(self, of_b: np.ndarray) -> None:
        """Take a step in B alone, which starts at 0 and hides A's gradient until then."""
        with torch.no_grad():
            self.up.sub_(torch.from_numpy(0.1 * of_b / np.linalg.norm(of_b)))


def adapted(base: nn.Module, projection: str, rank: int = RANK) -> Adapted:
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules=[projection],
        layers_to_transform=[0],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = get_peft_model(base.eval(), config)
    down, up = (part for part in model.parameters() if part.requires_grad)
    return Adapted(model, down, up)


@dataclass(frozen=True, eq=False)
class Story:
    """The small Llama, a sentence's tokens, and what enters the first attention per token."""

    folder: Path
    tokens: Tensor
    candidates: np.ndarray

    def through(self, projection: str, rank: int = RANK) -> Adapted:
        return adapted(AutoModelForCausalLM.from_pretrained(self.folder), projection, rank)

    def loss(self, layer: Adapted) -> Tensor:
        return layer.model(input_ids=self.tokens, labels=self.tokens).loss

    def at(self, positions: slice) -> tuple[set[int], ...]:
        return (set(self.tokens[0, positions].tolist()),)


@pytest.fixture(scope="module")
def story(stories_folder: Path) -> Story:
    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(stories_folder)
    tokens = tokenizer(SENTENCE)["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(stories_folder)
    with torch.no_grad():
        entering = model.model.layers[0].input_layernorm(model.get_input_embeddings().weight)
    ended = torch.tensor([[*tokens, tokenizer.eos_token_id]])
    return Story(stories_folder, ended, entering.numpy())


def read(gradient: np.ndarray, candidates: np.ndarray) -> InvertedTokens:
    subspace = visible_subspace(gradient)
    return invert_anywhere(subspace, candidates, exact_threshold(subspace))


def test_a_sentence_is_read_word_for_word_out_of_a_llamas_queries(story: Story) -> None:
    """BOS, with one key to choose from, and EOS, on which no loss depends, leave no trace."""
    words = story.at(slice(1, -1))
    assert len(words[0]) == 14 < RANK
    layer = story.through("q_proj")
    of_a, of_b = layer.gradients(story.loss(layer))
    images = story.candidates @ layer.down.detach().numpy().T
    assert not of_a.any()
    assert read(of_b, images).against(words).exact
    layer.step(of_b)
    of_a, _ = layer.gradients(story.loss(layer))
    assert read(of_a, story.candidates).against(words).exact
    meter = measure_layer(1, "q_proj.A", visible_subspace(of_a), tokens=14)
    assert meter.is_exposed
    assert (meter.numerical_rank, meter.rank) == (14, RANK)


def test_values_show_the_beginning_too(story: Story) -> None:
    layer = story.through("v_proj")
    _, of_b = layer.gradients(story.loss(layer))
    images = story.candidates @ layer.down.detach().numpy().T
    assert read(of_b, images).against(story.at(slice(0, -1))).exact


def test_a_rank_below_the_sentence_is_not_read_exactly(story: Story) -> None:
    layer = story.through("q_proj", rank=8)
    _, of_b = layer.gradients(story.loss(layer))
    layer.step(of_b)
    of_a, _ = layer.gradients(story.loss(layer))
    assert not read(of_a, story.candidates).found[0]
    assert not read(of_b, story.candidates @ layer.down.detach().numpy().T).found[0]


@pytest.fixture(scope="module")
def rows_of_a(story: Story) -> np.ndarray:
    layer = story.through("q_proj")
    layer.step(layer.gradients(story.loss(layer))[1])
    return layer.gradients(story.loss(layer))[0]


@pytest.mark.parametrize("allowed", [0.0, 1.0], ids=["unaware of the noise", "aware of it"])
def test_a_clipped_and_noised_sentence_is_not_read(
    story: Story, rows_of_a: np.ndarray, allowed: float
) -> None:
    (words,) = story.at(slice(1, -1))
    assert read(rows_of_a, story.candidates).against([words]).exact
    passed = []
    for seed in range(100):
        # Clipped to norm 1 and no smaller: the most that the mechanism lets through.
        clipped = rows_of_a / np.linalg.norm(rows_of_a)
        noised = privatised(clipped, np.random.default_rng(seed))
        seen = visible_subspace(noised, noise_deviation=allowed)
        assert not invert_anywhere(seen, story.candidates, exact_threshold(seen)).found[0]
        near = invert_anywhere(seen, story.candidates, seen.chance_threshold(0.1))
        passed.append(len(words & set(near.found[0])) / len(words))
    # Words of one text pass together, so that the sums are what is counted.
    assert np.mean(passed) < 0.1 + 3 * np.std(passed) / 10
    assert np.mean(passed) > 0.06 or allowed


def test_words_come_near_pure_noise_more_often_than_other_pieces(story: Story) -> None:
    """Why a count above the controls' is no leak by itself: here there is nothing to leak."""
    (words,) = story.at(slice(1, -1))
    absent = np.delete(story.candidates, sorted(words), axis=0)
    counts = []
    for seed in range(100):
        seen = visible_subspace(np.random.default_rng(seed).normal(size=(RANK, 64)))
        threshold = calibrated_threshold(seen, absent, 0.1)
        counts.append(invert_anywhere(seen, story.candidates, threshold).against([words]))
    assert together(counts).true_positive_interval()[0] > 0.15


@dataclass(frozen=True, eq=False)
class Clinic:
    """MiniLM with LoRA on one projection, two short notes, and what enters at each position."""

    layer: Adapted
    batch: dict[str, Tensor]
    entering: tuple[np.ndarray, ...]

    def loss(self) -> Tensor:
        """A classifier's: of the mean of the last states."""
        states = self.layer.model(**self.batch).last_hidden_state.mean(dim=1)
        head = torch.randn(2, states.shape[1], generator=torch.Generator().manual_seed(0))
        return functional.cross_entropy(states @ head.T, torch.tensor([0, 1]))

    @property
    def truth(self) -> list[set[int]]:
        return [set(column) for column in self.batch["input_ids"].T.tolist()]


def clinic_with(projection: str) -> Clinic:
    logging.disable_progress_bar()
    folder = resolve(preset("all-MiniLM-L6-v2").ref, local=None, allow_hub=False).folder
    batch = dict(AutoTokenizer.from_pretrained(folder)(NOTES, return_tensors="pt"))
    base = AutoModel.from_pretrained(folder, dtype=torch.float32)
    parts = base.embeddings
    with torch.no_grad():
        words = parts.word_embeddings.weight + parts.token_type_embeddings.weight[0]
        entering = tuple(
            parts.LayerNorm(words + parts.position_embeddings.weight[position]).numpy()
            for position in range(batch["input_ids"].shape[1])
        )
    return Clinic(adapted(base, projection), batch, entering)


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    return clinic_with("value")


def read_places(seen: Subspace, candidates: list[np.ndarray]) -> InvertedTokens:
    return invert_positions(seen, candidates.__getitem__, len(candidates), exact_threshold(seen))


def test_two_notes_are_read_with_their_places_out_of_a_berts_values(clinic: Clinic) -> None:
    """Of 30,522 tokens at each of four places, those that two notes have there and no other."""
    _, of_b = clinic.layer.gradients(clinic.loss())
    under = clinic.layer.down.detach().numpy().T
    images = [inputs @ under for inputs in clinic.entering]
    assert [len(tokens) for tokens in clinic.truth] == [1, 2, 2, 1]
    plain = visible_subspace(of_b)
    assert plain.dimension == 6
    assert read_places(plain, images).against(clinic.truth).exact
    noised = visible_subspace(privatised(of_b, np.random.default_rng(0)))
    assert not any(read_places(noised, images).found)


def test_the_inputs_themselves_lie_in_the_rows_of_a(clinic: Clinic) -> None:
    """After the first step; over a few thousand tokens of the vocabulary, to be quick."""
    clinic.layer.step(clinic.layer.gradients(clinic.loss())[1])
    of_a, _ = clinic.layer.gradients(clinic.loss())
    highest = 1 + max(max(tokens) for tokens in clinic.truth)
    found = read_places(
        visible_subspace(of_a), [inputs[: highest + 1000] for inputs in clinic.entering]
    )
    assert found.against(clinic.truth).exact


def test_a_berts_keys_show_differences_of_inputs_and_no_input() -> None:
    """Their deltas sum to 0 over a text: a softmax does not see what all keys share."""
    clinic = clinic_with("key")
    _, of_b = clinic.layer.gradients(clinic.loss())
    under = clinic.layer.down.detach().numpy().T
    images = [inputs @ under for inputs in clinic.entering]
    seen = visible_subspace(of_b)
    assert not any(read_places(seen, images).found)
    texts = clinic.batch["input_ids"].numpy()
    entered = np.stack([[images[k][token] for k, token in enumerate(text)] for text in texts])
    apart = visible_subspace((entered[:, 1:] - entered[:, :1]).reshape(-1, RANK))
    assert apart.residual(of_b[np.linalg.norm(of_b, axis=1) > 1e-6]).max() < 1e-2
    assert apart.residual(entered.reshape(-1, RANK)).min() > 0.05
