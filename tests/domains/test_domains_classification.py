"""One exact loss per sentence, whatever it is batched with, by a stock model."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import AutoModelForTokenClassification
from transformers.utils import logging as transformers_logging

from crypto.errors import ConfigError
from domains.base_models import ResolvedModel, Source
from domains.classification import SentenceClassification
from domains.records import Record
from domains.sentence_head import HEAD_INIT_STD, head_name, sentence_logits

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LABELS = ("negative", "neutral", "positive")
LENGTHS = (3, 11, 1, 7, 7, 2, 30, 5, 4, 13)
RECORDS = tuple(
    Record(f"r{n}", " ".join(f"w{(n * 7 + k) % 60}" for k in range(length)), n % 3)
    for n, length in enumerate(LENGTHS)
)
EVERYTHING = np.arange(len(RECORDS), dtype=np.int64)


@pytest.fixture(scope="module", params=["tiny_bert", "tiny_llama"])
def task(request: pytest.FixtureRequest) -> SentenceClassification:
    """An encoder with a pad token, and a decoder without one."""
    return SentenceClassification(request.getfixturevalue(request.param), LABELS, max_length=32)


def alone(task: SentenceClassification, model: torch.nn.Module, index: int) -> torch.Tensor:
    """The naive twin: one record, no padding, the head on the mean of the last token states."""
    token_ids = torch.from_numpy(task.encode(RECORDS).token_ids[index])[None]
    states = model.base_model(input_ids=token_ids).last_hidden_state[0]
    head = getattr(model, head_name(model) or "")
    logits: torch.Tensor = head(states.mean(dim=0))
    return logits


def test_a_sentence_is_the_linear_head_on_its_mean_token_state(
    task: SentenceClassification,
) -> None:
    model = task.build_model(1)
    encoded = task.encode(RECORDS)
    with torch.no_grad():
        for batch in task.micro_batches(encoded, EVERYTHING, 4):
            together = sentence_logits(model, batch)
            for row, index in enumerate(batch.indices):
                torch.testing.assert_close(together[row], alone(task, model, int(index)))


def test_losses_are_one_cross_entropy_per_record(task: SentenceClassification) -> None:
    model = task.build_model(1)
    encoded = task.encode(RECORDS)
    for size in (1, 3, len(RECORDS)):
        for batch in task.micro_batches(encoded, EVERYTHING, size):
            losses = task.losses(model, batch)
            assert losses.shape == (len(batch),)
            assert losses.requires_grad
            for loss, index in zip(losses, batch.indices, strict=True):
                label = torch.tensor(RECORDS[int(index)].label)
                naive = functional.cross_entropy(alone(task, model, int(index)), label)
                torch.testing.assert_close(loss, naive)


def test_a_records_gradient_does_not_depend_on_its_company(task: SentenceClassification) -> None:
    model = task.build_model(1)
    encoded = task.encode(RECORDS)
    parameters = [p for p in model.parameters() if p.requires_grad]

    def gradient(size: int, index: int) -> list[torch.Tensor]:
        for batch in task.micro_batches(encoded, EVERYTHING, size):
            if index in batch.indices:
                row = int(np.flatnonzero(batch.indices == index)[0])
                loss = task.losses(model, batch)[row]
                return [
                    torch.zeros_like(p) if g is None else g
                    for p, g in zip(
                        parameters,
                        torch.autograd.grad(loss, parameters, allow_unused=True),
                        strict=True,
                    )
                ]
        raise AssertionError

    for index in (2, 6):  # the shortest, which is padded most, and the longest
        for one, other in zip(gradient(1, index), gradient(10, index), strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_without_the_mask_padding_would_change_the_loss(task: SentenceClassification) -> None:
    model = task.build_model(1)
    batch = next(iter(task.micro_batches(task.encode(RECORDS), EVERYTHING, len(RECORDS))))
    blind = replace(batch, attention_mask=torch.ones_like(batch.attention_mask))
    with torch.no_grad():
        difference = (sentence_logits(model, batch) - sentence_logits(model, blind)).abs()
    assert difference.max() > 1e-4


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    indices=st.lists(st.integers(0, len(RECORDS) - 1), max_size=30),
    size=st.integers(1, 12),
)
def test_micro_batches_hold_every_index_once_per_mention(
    task: SentenceClassification, indices: list[int], size: int
) -> None:
    encoded = task.encode(RECORDS)
    batches = list(task.micro_batches(encoded, np.array(indices, dtype=np.int64), size))
    drawn = [int(index) for batch in batches for index in batch.indices]
    assert sorted(drawn) == sorted(indices)
    assert all(0 < len(batch) <= size for batch in batches)
    lengths = [encoded.token_ids[index].size for index in drawn]
    assert lengths == sorted(lengths)
    for batch in batches:
        longest = max(encoded.token_ids[int(i)].size for i in batch.indices)
        assert batch.input_ids.shape == (len(batch), longest)
        assert batch.attention_mask.sum(dim=1).tolist() == [
            encoded.token_ids[int(i)].size for i in batch.indices
        ]
        assert batch.labels.tolist() == [RECORDS[int(i)].label for i in batch.indices]


def test_length_buckets_pad_less_than_the_order_of_the_file(task: SentenceClassification) -> None:
    encoded = task.encode(RECORDS)
    bucketed = sum(b.input_ids.numel() for b in task.micro_batches(encoded, EVERYTHING, 2))
    lengths = [ids.size for ids in encoded.token_ids]
    naive = sum(2 * max(lengths[n : n + 2]) for n in range(0, len(lengths), 2))
    assert bucketed < naive


def test_a_micro_batch_without_records_is_refused(task: SentenceClassification) -> None:
    with pytest.raises(ConfigError, match="Set micro_batch"):
        next(iter(task.micro_batches(task.encode(RECORDS), EVERYTHING, 0)))


def test_the_model_is_the_stock_class_with_named_labels(task: SentenceClassification) -> None:
    model = task.build_model(1)
    stock = AutoModelForTokenClassification.from_config(model.config)
    assert type(model) is type(stock)
    assert model.config.id2label == dict(enumerate(LABELS))
    assert not model.training
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_the_head_comes_from_the_seed_and_the_rest_from_the_folder(
    task: SentenceClassification,
) -> None:
    first, again, other = task.build_model(1), task.build_model(1), task.build_model(2)
    name = head_name(first)
    for (key, one), (_, two), (_, three) in zip(
        first.named_parameters(), again.named_parameters(), other.named_parameters(), strict=True
    ):
        assert torch.equal(one, two)
        assert torch.equal(one, three) == (key != f"{name}.weight")
    head = getattr(first, name or "")
    assert head.weight.std().item() == pytest.approx(HEAD_INIT_STD, rel=0.5)
    assert not head.bias.any()


def test_the_callers_random_state_is_left_alone(task: SentenceClassification) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    task.build_model(1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_adapters_part_of_the_model_gets_a_gradient_at_once(
    task: SentenceClassification,
) -> None:
    model = task.build_model(1)
    inner = next(
        p for n, p in model.named_parameters() if n.endswith(("query.weight", "q_proj.weight"))
    )

    def gradient() -> float:
        batch = next(iter(task.micro_batches(task.encode(RECORDS), EVERYTHING, 10)))
        (found,) = torch.autograd.grad(task.losses(model, batch).sum(), [inner])
        return float(found.abs().max())

    assert gradient() > 0
    # With a head of zeros nothing behind it would move in the first step.
    with torch.no_grad():
        getattr(model, head_name(model) or "").weight.zero_()
    assert gradient() == 0


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What transformers logs while loading; its own handler writes past pytest's capture."""
    entries: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            entries.append(record.getMessage())

    logger = logging.getLogger("transformers")
    listener = Listener()
    logger.addHandler(listener)
    yield entries
    logger.removeHandler(listener)


def test_loading_prints_nothing(
    task: SentenceClassification, said: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    library = logging.getLogger("transformers.modeling_utils")
    filters = list(library.filters)
    task.build_model(1)
    assert said == []
    assert capfd.readouterr() == ("", "")
    assert library.filters == filters


def test_loading_without_the_silence_would_print(
    task: SentenceClassification, said: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    had_bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.enable_progress_bar()  # another test may have switched it off
    try:
        AutoModelForTokenClassification.from_pretrained(task.resolved.folder, num_labels=3)
    finally:
        if not had_bar:
            transformers_logging.disable_progress_bar()
    assert any("LOAD REPORT" in entry for entry in said)
    assert "Loading weights" in capfd.readouterr().err


def test_predictions_are_in_the_order_of_the_records(task: SentenceClassification) -> None:
    model = task.build_model(1)
    with torch.no_grad():
        naive = [int(alone(task, model, n).argmax()) for n in range(len(RECORDS))]
    for size in (1, 3, 64):
        assert task.predict(model, task.encode(RECORDS), size).tolist() == naive


def test_predicting_gives_each_module_its_mode_back(task: SentenceClassification) -> None:
    model = task.build_model(1)
    inner = next(iter(model.base_model.children()))
    inner.train()
    before = [module.training for module in model.modules()]
    assert True in before
    assert False in before
    task.predict(model, task.encode(RECORDS))
    assert [module.training for module in model.modules()] == before


def test_nothing_to_predict_is_no_prediction(task: SentenceClassification) -> None:
    assert task.predict(task.build_model(1), task.encode(())).shape == (0,)


def test_encoded_records_and_batches_show_neither_text_nor_tokens(
    task: SentenceClassification,
) -> None:
    encoded = task.encode(RECORDS)
    batch = next(iter(task.micro_batches(encoded, EVERYTHING, 2)))
    assert repr(encoded) == f"EncodedRecords(n={len(RECORDS)})"
    assert repr(batch) == f"MicroBatch(shape=(2, {batch.input_ids.shape[1]}))"


def test_texts_are_cut_at_max_length(task: SentenceClassification) -> None:
    long = Record("long", " ".join(["w1"] * 500), 0)
    assert task.encode((long,)).token_ids[0].size == 32


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_outside_the_classes_is_refused_by_id(
    task: SentenceClassification, label: int
) -> None:
    with pytest.raises(ConfigError, match="'odd'") as refusal:
        task.encode((Record("odd", "w5 w6", label),))
    assert "w5" not in str(refusal.value)


@pytest.mark.parametrize("max_length", [0, 2, 65])
def test_a_length_that_the_model_does_not_have_is_refused(
    tiny_bert: ResolvedModel, max_length: int
) -> None:
    with pytest.raises(ConfigError, match="3 to 64 tokens"):
        SentenceClassification(tiny_bert, LABELS, max_length)


@pytest.mark.parametrize("labels", [(), ("one",), ("same", "same")])
def test_labels_that_are_no_choice_are_refused(
    tiny_bert: ResolvedModel, labels: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError, match="two or more different labels"):
        SentenceClassification(tiny_bert, labels)


def copied(model: ResolvedModel, folder: Path) -> ResolvedModel:
    shutil.copytree(model.folder, folder)
    return ResolvedModel(model.name, folder, model.weights_sha256, Source.LOCAL_FOLDER)


def test_weights_that_leave_a_part_random_are_refused(
    tiny_bert: ResolvedModel, tmp_path: Path
) -> None:
    broken = copied(tiny_bert, tmp_path / "model")
    weights = load_file(broken.folder / "model.safetensors")
    del weights["encoder.layer.1.attention.self.query.weight"]
    save_file(weights, broken.folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="1 parameters of BertForTokenClassification unset"):
        SentenceClassification(broken, LABELS, 32).build_model(1)


def test_weights_cut_in_the_middle_are_refused(tiny_bert: ResolvedModel, tmp_path: Path) -> None:
    broken = copied(tiny_bert, tmp_path / "model")
    weights = broken.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(ConfigError, match="does not load"):
        SentenceClassification(broken, LABELS, 32).build_model(1)


def test_code_that_came_with_a_model_is_not_run(tiny_bert: ResolvedModel, tmp_path: Path) -> None:
    hostile = copied(tiny_bert, tmp_path / "model")
    ran = tmp_path / "ran"
    (hostile.folder / "evil.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    path = hostile.folder / "config.json"
    config = json.loads(path.read_text()) | {
        "model_type": "evil",
        "auto_map": {
            "AutoConfig": "evil.Config",
            "AutoModelForTokenClassification": "evil.Model",
        },
    }
    path.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="no code from the folder is run"):
        SentenceClassification(hostile, LABELS, 32)
    assert not ran.exists()


@pytest.mark.realdata
def test_a_real_decoder_without_a_pad_token_gives_exact_losses(stories_folder: Path) -> None:
    resolved = ResolvedModel("stories", stories_folder, "0" * 64, Source.LOCAL_FOLDER)
    task = SentenceClassification(resolved, LABELS, 64)
    records = (
        Record("short", "Once upon a time.", 0),
        Record("long", "There was a little girl who liked to play with her red ball outside.", 2),
    )
    model = task.build_model(1)
    encoded = task.encode(records)
    (batch,) = task.micro_batches(encoded, np.arange(2), 2)
    with torch.no_grad():
        losses = task.losses(model, batch)
        for row, index in enumerate(batch.indices):
            (single,) = task.micro_batches(encoded, np.array([index]), 1)
            torch.testing.assert_close(losses[row : row + 1], task.losses(model, single))
