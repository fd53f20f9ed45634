"""Losses and layers that mix examples, which no clip by example bounds."""

from __future__ import annotations

import pytest
import torch
from test_privacy_clipping import Toy
from tiny_peft import Batch, batch, language_losses
from tiny_types import TYPES, adapted, losses
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from crypto.errors import ConfigError
from privacy.clipping import PerExampleClipper
from privacy.dp_step import check_examples_do_not_mix, noised_mean
from privacy.noise import SystemNoise

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type .*Norm:UserWarning"),  # PEFT's
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def perturbed(b: Batch, row: int = 2) -> Batch:
    ids = b.ids.clone()
    ids[row] = batch(len(ids), seed=1).ids[row]
    return Batch(ids, b.mask, b.labels)


@pytest.mark.parametrize("which", ["bert", "qwen"])
@pytest.mark.parametrize("peft", TYPES)
def test_every_peft_type_passes_in_training_mode(peft: str, which: str) -> None:
    model, b = adapted(which, peft), batch(4)
    clipper = PerExampleClipper(model, clip=1.0)
    check_examples_do_not_mix(clipper, lambda part: losses(model, part), b, perturbed(b), row=2)


def contrastive(model: nn.Module, b: Batch) -> Tensor:
    """Each example against all others of the batch (Oord et al. 2018): one loss each, (B,)."""
    logits = model(input_ids=b.ids, attention_mask=b.mask).logits[:, -b.ids.shape[1] :]
    one, other = (normalize(logits[:, part].mean(1), dim=1) for part in (slice(3), slice(3, None)))
    return cross_entropy(one @ other.T, torch.arange(len(b.ids)), reduction="none")


@pytest.mark.parametrize("peft", TYPES)
def test_a_loss_within_the_batch_is_found_for_every_peft_type(peft: str) -> None:
    model, b = adapted("bert", peft), batch(4)
    clipper = PerExampleClipper(model, clip=1.0)
    with pytest.raises(ConfigError, match="mixes the examples of a batch"):
        check_examples_do_not_mix(
            clipper, lambda part: contrastive(model, part), b, perturbed(b), row=2
        )


class BatchStatistics(nn.Module):
    """What BatchNorm does, under another name, so that it is not refused by its own."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean((0, 1))) / (x.var((0, 1)) + 1e-5).sqrt()


@pytest.mark.parametrize("peft", [peft for peft in TYPES if peft != "classifier head"])
def test_a_batch_norm_by_any_name_is_found_for_every_peft_type(peft: str) -> None:
    model, b = adapted("llama" if peft != "biases" else "qwen", peft), batch(4)
    head = model.get_submodule("lm_head" if hasattr(model, "lm_head") else "base_model.lm_head")
    head.register_forward_pre_hook(lambda _, inputs: (BatchStatistics()(inputs[0]),))
    clipper = PerExampleClipper(model, clip=1.0)
    with pytest.raises(ConfigError, match="mixes the examples of a batch"):
        check_examples_do_not_mix(clipper, lambda part: losses(model, part), b, perturbed(b), row=2)


def test_a_real_batch_norm_is_refused_before_any_of_that() -> None:
    model = adapted("llama", "LoRA")
    model.base_model.model.extra = nn.BatchNorm1d(3)
    with pytest.raises(ConfigError, match="extra is a BatchNorm1d: it mixes the examples"):
        PerExampleClipper(model, clip=1.0)


# A mean over all tokens of the batch.


def test_a_scalar_loss_is_refused_with_what_to_do_instead() -> None:
    model, b = adapted("llama", "LoRA"), batch(4)
    clipper = PerExampleClipper(model, clip=1.0)
    scalar = model(input_ids=b.ids, attention_mask=b.mask, labels=b.ids).loss
    with pytest.raises(ConfigError) as caught:
        clipper.accumulate(scalar)
    assert str(caught.value) == (
        "Losses of shape () are not one number per example: without them nothing can be clipped by "
        "example. Compute the loss with reduction='none' and average over tokens only."
    )


def shares_of_the_token_mean(model: nn.Module, b: Batch) -> Tensor:
    """The mean over all tokens of the batch, cut into one share per example, (B,)."""
    own = b.mask[:, 1:].sum(1)
    return language_losses(model, b) * own / own.sum() * len(own)


def with_a_long_record(length: int) -> tuple[Batch, Batch]:
    """Eight times a record of three tokens, and the same with one of `length` tokens more."""
    mask = torch.zeros(9, length, dtype=torch.long)
    mask[:8, :3], mask[8] = 1, 1
    ids = torch.randint(1, 50, mask.shape, generator=torch.Generator().manual_seed(2)) * mask
    ids[:8, :3] = torch.tensor([5, 7, 9])
    both = Batch(ids, mask, torch.zeros(9, dtype=torch.long))
    return both.rows(0, 8), both


def moved_by_the_long_record(losses_of: object, clip: float) -> float:
    model = adapted("llama", "LoRA")
    without, with_it = with_a_long_record(40)
    clipper = PerExampleClipper(model, clip=clip)
    sums = []
    for b in (without, with_it):
        clipper.accumulate(losses_of(model, b))  # type: ignore[operator]
        sums.append(clipper.take())
    return float(torch.cat([(sums[1][n] - sums[0][n]).flatten() for n in sums[0]]).norm())


def test_a_mean_over_all_tokens_of_the_batch_breaks_the_bound() -> None:
    """One long record makes every other record's share smaller, so the sum moves by theirs too."""
    model = adapted("llama", "LoRA")
    rows = PerExampleClipper(model, clip=1.0).example_gradients(
        language_losses(model, with_a_long_record(40)[0])
    )
    norms = torch.cat([row.flatten(1) for row in rows.values()], dim=1).norm(dim=1)
    clip = float(norms.max())  # no short record is clipped
    assert moved_by_the_long_record(language_losses, clip) <= clip
    assert moved_by_the_long_record(shares_of_the_token_mean, clip) > 3 * clip


def test_the_startup_check_finds_it() -> None:
    model = adapted("llama", "LoRA")
    without, _ = with_a_long_record(40)
    mask = without.mask.clone()
    mask[2, :12] = 1
    longer = Batch(torch.where(mask > 0, without.ids.clamp_min(1), 0), mask, without.labels)
    with pytest.raises(ConfigError, match="mixes the examples"):
        check_examples_do_not_mix(
            PerExampleClipper(model, clip=1.0),
            lambda b: shares_of_the_token_mean(model, b),
            without,
            longer,
            row=2,
        )


def test_an_empty_poisson_batch_is_a_step_of_noise_alone() -> None:
    model = Toy()
    clipper = PerExampleClipper(model, clip=1.0)
    clipper.accumulate(model(torch.zeros(0, 3, 4, dtype=torch.float64)))
    summed = clipper.take()
    assert all(float(part.abs().max()) == 0 for part in summed.values())
    mean = noised_mean(summed, clip=1.0, sigma=2.0, divisor=8.0, noise=SystemNoise())
    drawn = torch.cat([part.flatten() for part in mean.values()])
    assert len(drawn) == 25
    assert float(drawn.abs().min()) > 0
    assert float(drawn.abs().max()) < 8.6 * 2.0 / 8.0
