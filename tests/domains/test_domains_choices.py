"""Tasks in which a record is read as several texts: one loss and one gradient for each record."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoTokenizer, BertConfig, BertModel

from crypto.errors import ConfigError
from domains.choices import MultipleChoice
from domains.classification import SentenceClassification
from domains.frozen_layers import FrozenLayers
from domains.head_states import HeadStates
from domains.next_item import DECAY, TEMPERATURE, WIDTH, NextItemRanking
from domains.records import Record
from domains.sentence_head import head_of, sentence_logits
from privacy.clipping import PerExampleClipper
from privacy.dp_step import check_examples_do_not_mix

if TYPE_CHECKING:
    from pathlib import Path

    from domains.base_models import ResolvedModel
    from domains.sentence_head import SentenceHead

RECORDS = (
    Record("a", "w1 w2 w3\nw4 w5", 1, options=("w6", "w7 w8", "w9")),
    Record("b", "w9", 0, options=("w1 w2 w3", "w20 w21 w22 w23")),
    Record("c", "w30 w31\nw32\nw33", 3, options=("w6", "w40", "w41 w42", "w43", "w44")),
)
ALL = np.arange(len(RECORDS), dtype=np.int64)
TRAINED = ("classifier", "query", "token_type_embeddings")


@pytest.fixture(params=[MultipleChoice, NextItemRanking])
def task(request: pytest.FixtureRequest, tiny_bert: ResolvedModel) -> SentenceHead:
    made: SentenceHead = request.param(tiny_bert, (), 32)
    return made


def record_losses(task: SentenceHead, model: torch.nn.Module, size: int) -> torch.Tensor:
    """Return each record's loss, from batches of at most `size` records."""
    encoded = task.encode(RECORDS)
    found = torch.zeros(len(RECORDS))
    for batch in task.micro_batches(encoded, ALL, size):
        found.index_add_(0, torch.from_numpy(batch.indices), task.losses(model, batch))
    return found


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_records_loss_does_not_depend_on_its_company(task: SentenceHead, size: int) -> None:
    model = task.build_model(1)
    with torch.no_grad():
        torch.testing.assert_close(
            record_losses(task, model, size), record_losses(task, model, 1), atol=1e-5, rtol=1e-5
        )


def test_the_loss_of_a_choice_is_the_cross_entropy_of_its_options(
    tiny_bert: ResolvedModel,
) -> None:
    task = MultipleChoice(tiny_bert, (), 32)
    model = task.build_model(1)
    encoded = task.encode(RECORDS)
    with torch.no_grad():
        scores = task.scores(model, encoded)
        expected = [
            functional.cross_entropy(torch.tensor(row)[None], torch.tensor([record.label])).item()
            for row, record in zip(scores, RECORDS, strict=True)
        ]
        torch.testing.assert_close(
            record_losses(task, model, 3), torch.tensor(expected), atol=1e-5, rtol=1e-5
        )
    assert [row.size for row in scores] == [3, 2, 5]


def places_of(task: NextItemRanking, model: torch.nn.Module, titles: list[str]) -> torch.Tensor:
    """Return the unit vector of each title, read by itself."""
    rows = []
    for title in titles:
        encoded = task.encode([Record("x", title, 0, options=(title, "w1"))])
        batch = next(task.micro_batches(encoded, np.array([0]), 1))
        rows.append(functional.normalize(sentence_logits(model, batch)[0], dim=-1))
    return torch.stack(rows)


def test_the_loss_of_a_ranking_is_the_mean_over_the_steps_of_its_history(
    tiny_bert: ResolvedModel,
) -> None:
    """The naive twin: one step after the other, every title read by itself."""
    task = NextItemRanking(tiny_bert, (), 32)
    model = task.build_model(1)
    expected, scored = [], []
    with torch.no_grad():
        for record in RECORDS:
            history, options = record.text.split("\n"), list(record.options)
            seen = places_of(task, model, history)
            choices = places_of(task, model, options)
            wrong = [row for i, row in enumerate(choices) if i != record.label]
            steps = []
            for step in range(len(history)):
                user = sum(DECAY ** (step - k) * seen[k] for k in range(step + 1))
                user = functional.normalize(torch.as_tensor(user), dim=-1)
                right = choices[record.label] if step == len(history) - 1 else seen[step + 1]
                logits = torch.stack([user @ right, *(user @ row for row in wrong)]) / TEMPERATURE
                steps.append(-torch.log_softmax(logits, dim=0)[0])
            expected.append(torch.stack(steps).mean())
            scored.append(choices @ user)
        torch.testing.assert_close(
            record_losses(task, model, 3), torch.stack(expected), atol=1e-4, rtol=1e-4
        )
        for row, other in zip(task.scores(model, task.encode(RECORDS)), scored, strict=True):
            np.testing.assert_allclose(row, other.numpy(), atol=1e-5)


def clipped(task: SentenceHead, clip: float, size: int, *, owned: bool) -> torch.Tensor:
    model = task.build_model(1)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in TRAINED))
    encoded = task.encode(RECORDS)
    clipper = PerExampleClipper(model, clip=clip, open_units=size)
    for batch in task.micro_batches(encoded, ALL, size):
        owners = torch.from_numpy(batch.indices) if owned else None
        clipper.accumulate(task.losses(model, batch), owners=owners)
    return torch.cat([value.flatten() for value in clipper.take().values()])


def naive(task: SentenceHead, clip: float) -> torch.Tensor:
    """Clip autograd's gradient of one record at a time."""
    model = task.build_model(1)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in TRAINED))
    trained = [p for p in model.parameters() if p.requires_grad]
    total = torch.zeros(sum(p.numel() for p in trained))
    encoded = task.encode(RECORDS)
    for index in ALL:
        batch = next(task.micro_batches(encoded, np.array([index]), 1))
        gradients = torch.autograd.grad(task.losses(model, batch).sum(), trained)
        row = torch.cat([g.flatten() for g in gradients])
        total += row * min(1.0, clip / float(row.norm()))
    return total


@pytest.mark.parametrize("size", [1, 3])
def test_a_record_is_clipped_as_one_whatever_it_is_read_as(task: SentenceHead, size: int) -> None:
    clip = 0.01
    expected = naive(task, clip)
    found = clipped(task, clip, size, owned=True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)
    assert expected.norm() <= len(RECORDS) * clip


def test_without_owners_each_text_would_be_clipped_by_itself(task: SentenceHead) -> None:
    """The defence removed: a record of many texts would move the sum by more than the clip."""
    clip = 1e-4
    model = task.build_model(1)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("classifier"))
    clipper = PerExampleClipper(model, clip=clip)
    encoded = task.encode(RECORDS)

    def moved(index: int, *, owned: bool) -> float:
        batch = next(task.micro_batches(encoded, np.array([index]), 1))
        owners = torch.from_numpy(batch.indices) if owned else None
        clipper.accumulate(task.losses(model, batch), owners=owners)
        return float(torch.cat([value.flatten() for value in clipper.take().values()]).norm())

    assert max(moved(index, owned=True) for index in range(len(RECORDS))) <= clip
    assert max(moved(index, owned=False) for index in range(len(RECORDS))) > 1.05 * clip


def test_records_do_not_mix_and_a_mixture_is_found(task: SentenceHead) -> None:
    model = task.build_model(1)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(part in name for part in TRAINED))
    options = ("w1", "w2")
    encoded = task.encode(
        [Record(str(n), text, 0, options=options) for n, text in enumerate(("w3", "w4", "w5"))]
    )
    batch, other = (
        next(task.micro_batches(encoded, np.array([0, second]), 2)) for second in (1, 2)
    )
    width = encoded.rows_of(0).size
    clipper = PerExampleClipper(model, clip=1.0)
    check_examples_do_not_mix(
        clipper, lambda b: task.losses(model, b), batch, other, row=1, width=width
    )

    def mixed(b: object) -> torch.Tensor:
        losses = task.losses(model, b)  # type: ignore[arg-type] # the check's own batches
        return losses * b.input_ids.float().mean()  # type: ignore[attr-defined] # likewise

    with pytest.raises(ConfigError, match="mixes the examples"):
        check_examples_do_not_mix(clipper, mixed, batch, other, row=1, width=width)


def test_the_head_alone_gives_the_same_losses_and_scores(task: SentenceHead) -> None:
    model = task.build_model(1)
    encoded = task.encode(RECORDS)
    states = HeadStates.of(task, model, encoded)
    found = torch.zeros(len(RECORDS))
    with torch.no_grad():
        indices, losses = states.losses(model, ALL)
        found.index_add_(0, torch.from_numpy(indices), losses)
        torch.testing.assert_close(found, record_losses(task, model, 1), atol=1e-4, rtol=1e-4)
    for row, other in zip(states.scores(model), task.scores(model, encoded), strict=True):
        np.testing.assert_allclose(row, other, atol=1e-5)


def stock_scores(task: MultipleChoice, record: Record) -> torch.Tensor:
    """The naive twin: what a stranger's stock libraries make of one option after the other."""
    tokenizer = AutoTokenizer.from_pretrained(task.resolved.folder)
    model = task.build_model(1)
    scores = []
    for option in record.options:
        batch = tokenizer(record.text, option, return_tensors="pt")
        assert set(batch["token_type_ids"][0].tolist()) == {0, 1}
        scores.append(model(**batch).logits.mean(dim=1)[0, 0])
    return torch.stack(scores)


def test_an_option_is_marked_as_the_second_text_of_its_pair(tiny_bert: ResolvedModel) -> None:
    task = MultipleChoice(tiny_bert, (), 32)
    model, encoded = task.build_model(1), task.encode(RECORDS)
    silent = replace(encoded, token_types=())
    with torch.no_grad():
        for record, found, untold in zip(
            RECORDS, task.scores(model, encoded), task.scores(model, silent), strict=True
        ):
            expected = stock_scores(task, record).numpy()
            np.testing.assert_allclose(found, expected, atol=1e-6)
            # The defence removed: the model would read text and option as one.
            assert np.abs(untold - expected).max() > 1e-4


def test_the_lower_layers_that_are_kept_have_read_pairs_as_pairs(task: SentenceHead) -> None:
    model, encoded = task.build_model(1), task.encode(RECORDS)
    frozen = FrozenLayers.of(task, model, encoded, 1)
    with torch.no_grad():
        for batch in task.micro_batches(encoded, ALL, 2):
            expected = task.losses(model, batch)
            with frozen.instead(model, batch):
                torch.testing.assert_close(task.losses(model, batch), expected)


def test_a_single_text_is_the_same_with_types_of_zeros(tiny_bert: ResolvedModel) -> None:
    """So that they are left out where a record is one text, and nothing changes."""
    task = SentenceClassification(tiny_bert, ("no", "yes"), 32)
    model = task.build_model(1)
    encoded = task.encode([Record("a", "w1 w2", 1), Record("b", "w3", 0)])
    batch = next(task.micro_batches(encoded, np.arange(2), 2))
    told = replace(batch, token_types=torch.zeros_like(batch.input_ids))
    other = replace(batch, token_types=torch.ones_like(batch.input_ids))
    assert batch.token_types is None
    with torch.no_grad():
        expected = task.losses(model, batch)
        assert torch.equal(task.losses(model, told), expected)
        assert not torch.equal(task.losses(model, other), expected)


def test_a_model_that_knows_one_type_is_told_none(tiny_bert: ResolvedModel, tmp_path: Path) -> None:
    """RoBERTa's has one: a second number would lie outside its table."""
    folder = tmp_path / "one-type"
    shutil.copytree(tiny_bert.folder, folder)
    model = BertModel(BertConfig.from_pretrained(folder, type_vocab_size=1))
    model.save_pretrained(folder)
    task = MultipleChoice(replace(tiny_bert, folder=folder), (), 32)
    encoded = task.encode(RECORDS)
    assert encoded.token_types == ()
    assert len(task.scores(task.build_model(1), encoded)) == len(RECORDS)


def test_a_title_is_encoded_once_for_all_who_name_it(tiny_bert: ResolvedModel) -> None:
    encoded = NextItemRanking(tiny_bert, (), 32).encode(RECORDS)
    titles = {t for r in RECORDS for t in (*r.text.split("\n"), *r.options)}
    assert len(encoded.token_ids) == len(titles)
    assert len(encoded) == len(RECORDS)


def test_a_long_text_is_cut_and_never_an_option(tiny_bert: ResolvedModel) -> None:
    task = MultipleChoice(tiny_bert, (), 12)
    long = " ".join(f"w{n % 60}" for n in range(50))
    (first, _) = task.encode([Record("a", long, 0, options=("w1 w2 w3", "w4"))]).token_ids
    (short, _) = task.encode([Record("b", "w5", 0, options=("w1 w2 w3", "w4"))]).token_ids
    assert first.size == 12
    assert first[-3:].tolist() == short[-3:].tolist()


def test_what_cannot_be_chosen_from_is_refused_by_name(task: SentenceHead) -> None:
    for record in (
        Record("none", "w1", 0),
        Record("outside", "w1", 2, options=("w2", "w3")),
        Record("below", "w1", -1, options=("w2", "w3")),
    ):
        with pytest.raises(ConfigError, match=record.id):
            task.encode([record])


def test_an_option_without_room_for_the_text_is_refused(tiny_bert: ResolvedModel) -> None:
    long = " ".join(f"w{n % 60}" for n in range(50))
    with pytest.raises(ConfigError, match="'wide'"):
        MultipleChoice(tiny_bert, (), 12).encode([Record("wide", "w1", 0, options=(long, "w2"))])


def test_a_record_twice_in_one_batch_is_refused(task: SentenceHead) -> None:
    encoded = task.encode(RECORDS)
    with pytest.raises(ConfigError, match="twice"):
        list(task.micro_batches(encoded, np.array([0, 0]), 2))


def test_the_head_has_as_many_outputs_as_the_task_needs(tiny_bert: ResolvedModel) -> None:
    for kind, outputs in ((MultipleChoice, 1), (NextItemRanking, WIDTH)):
        head = head_of(kind(tiny_bert, (), 32).build_model(1))
        assert head.out_features == outputs


def test_nothing_to_ask_is_nothing_scored(task: SentenceHead) -> None:
    encoded = task.encode([])
    assert len(encoded) == 0
    assert task.scores(task.build_model(1), encoded) == ()
