"""Words are read out of a tiny model's updates where noise is missing, and only there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tiny_model import build_tiny_llama
from tiny_run import NONE, RECORD, tiny_config

from audits.findings import Finding, Verdict
from audits.inversion.gates import lora_inversion, row_space_meters
from crypto.errors import ConfigError
from domains.sentence_head import sentence_logits
from secure_fl.auditing import gradient_contrast, gradient_sums
from secure_fl.auditing.first_layer import candidates_of, first_layer
from secure_fl.auditing.gradient_contrast import contrast_of
from secure_fl.auditing.gradient_sums import GradientSums, texts_in_a_sum
from secure_fl.auditing.lora_inversion import PAIRS, invert, meter
from secure_fl.auditing.probe_texts import short_texts
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tiny_model import TinyModel
    from torch import Tensor

    from domains.tasks import Task
    from secure_fl.config import Mechanism
    from secure_fl.sites.adapted_model import AdaptedModel

LABELS = ("negative", "neutral", "positive")
SHARED: dict[str, Any] = {**RECORD, "mode": "record-distributed", "colluders": 1, "drop_outs": 0}
SITE: dict[str, Any] = {
    "mode": "site", "delta": 1e-5, "sigma": 1.5, "clip": 0.5, "colluders": 1, "drop_outs": 0,
}  # fmt: skip
WIDE = {"rank": 8}


@pytest.fixture(autouse=True)
def _without_contrast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for matching gradients takes seconds: its own tests ask for it."""
    monkeypatch.setattr(gradient_contrast, "TEXTS", 0)


def built(
    model: TinyModel,
    privacy: dict[str, Any],
    **options: Any,  # noqa: ANN401 - those of `tiny_config`
) -> tuple[Mechanism, Task, AdaptedModel]:
    options.setdefault("adapter", WIDE)
    config = tiny_config(model, privacy, **options)
    task, adapted = build_task(config.mechanism, LABELS, config.runtime)
    return config.mechanism, task, adapted


def told(_: int, __: int) -> None:
    """Nobody watches."""


def inverted(parts: tuple[Mechanism, Task, AdaptedModel]) -> Finding:
    return lora_inversion(invert(*parts, told))


def without_noise(clipped: Mapping[str, Tensor], **_: object) -> dict[str, Tensor]:
    return dict(clipped)


@pytest.mark.parametrize("method", ["fedit", "ffa-lora"])
def test_noise_hides_the_words_and_its_absence_shows_them(
    tiny: TinyModel, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = built(tiny, RECORD, method=method)
    hidden = inverted(parts)
    assert hidden.verdict is Verdict.NOT_REFUTED, hidden.reason
    monkeypatch.setattr(gradient_sums, "noised_mean", without_noise)
    shown = inverted(parts)
    assert shown.verdict is Verdict.VIOLATED, shown.reason
    assert shown.samples == PAIRS


@pytest.mark.parametrize(
    ("privacy", "training"),
    [(SHARED, {"local_steps": 1}), (SITE, {"batch_size": 4})],
    ids=["record-distributed", "site"],
)
def test_so_it_is_where_noise_is_shared(
    tiny: TinyModel,
    privacy: dict[str, Any],
    training: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = built(tiny, privacy, training=training)
    assert inverted(parts).verdict is Verdict.NOT_REFUTED
    monkeypatch.setattr(gradient_sums, "noised_mean", without_noise)
    assert inverted(parts).verdict is Verdict.VIOLATED


def test_noise_that_is_far_too_small_for_the_clip_is_read_through(tiny: TinyModel) -> None:
    assert inverted(built(tiny, {**RECORD, "sigma": 1e-12})).verdict is Verdict.VIOLATED


def test_without_privacy_it_is_counted_and_not_judged(tiny: TinyModel) -> None:
    alone = {"batch_size": 1, "local_steps": 1}
    found = inverted(built(tiny, NONE, protection="plain", training=alone))
    assert found.verdict is Verdict.INCONCLUSIVE
    read, of = (int(part) for part in found.reason.split("; ")[1].split(" words")[0].split(" of "))
    assert read > 0.6 * of
    assert "(texts in each: 1)" in found.reason
    many = inverted(built(tiny, NONE))
    assert "0 of" in many.reason
    assert "(texts in each: 48)" in many.reason


def test_a_rank_that_every_text_fills_decides_nothing(tiny: TinyModel) -> None:
    found = inverted(built(tiny, RECORD, adapter={"rank": 2}))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "beyond this reader" in found.reason


def test_a_run_without_low_rank_factors_is_not_read(tiny: TinyModel) -> None:
    for method in ("linear-head", "bitfit", "norm-tuning"):
        names = ["query", "LayerNorm"] if method == "norm-tuning" else ["query"]
        parts = built(tiny, RECORD, method=method, adapter={"target_modules": names})
        for attack in (invert, meter):
            with pytest.raises(ConfigError, match="tunes no low-rank factors"):
                attack(*parts, told)


def test_a_later_first_layer_is_not_read_but_metered(tiny: TinyModel) -> None:
    parts = built(tiny, RECORD, adapter={"rank": 8, "layers": [1]})
    with pytest.raises(ConfigError, match="first tuned layer is number 1, counted from 0"):
        invert(*parts, told)
    evidence = meter(*parts, told)
    assert evidence.noised
    found = row_space_meters(evidence)
    assert found.samples == len(evidence.meters) > 0
    assert found.verdict is Verdict.INCONCLUSIVE
    full = tuple(replace(each, numerical_rank=each.rank) for each in evidence.meters)
    assert row_space_meters(replace(evidence, rounds=full)).verdict is Verdict.NOT_REFUTED


def test_a_layer_behind_the_attention_is_refused(tiny: TinyModel) -> None:
    """What enters it is found to be mixed, by running the model, and not by its name."""
    parts = built(tiny, RECORD, adapter={"rank": 8, "target_modules": ["attention.output.dense"]})
    with pytest.raises(ConfigError, match="mixed from all tokens"):
        invert(*parts, told)


# -- candidates ------------------------------------------------------------------------------------


def test_candidates_are_what_a_berts_embeddings_say(tiny: TinyModel) -> None:
    """The naive twin: LayerNorm(word + position + type), under A."""
    _, task, adapted = built(tiny, RECORD)
    probes = short_texts(task, 4, 7)
    layer = first_layer(adapted, probes)
    assert layer.parameter.endswith("layer.0.attention.self.value.lora_B.default.weight")
    found = candidates_of(adapted, layer, probes, np.random.default_rng(0))
    assert found.tokens.tolist() == list(range(found.vocabulary))
    parts = adapted.model.base_model.model.bert.embeddings
    words = parts.word_embeddings.weight + parts.token_type_embeddings.weight[0]
    for (position, _), images in zip(found.places, found.images, strict=True):
        with torch.no_grad():
            entering = parts.LayerNorm(words + parts.position_embeddings.weight[position]).numpy()
        np.testing.assert_allclose(images, entering @ layer.down.T, atol=1e-5)


def test_a_llamas_are_the_same_at_every_place(tmp_path: Path) -> None:
    model = build_tiny_llama(tmp_path / "llama")
    _, task, adapted = built(
        model, RECORD, adapter={"rank": 8, "target_modules": ["q_proj", "v_proj"]}
    )
    probes = short_texts(task, 4, 7)
    layer = first_layer(adapted, probes)
    assert "layers.0.self_attn.v_proj" in layer.parameter
    first, *others = candidates_of(adapted, layer, probes, np.random.default_rng(0)).images
    assert others
    for other in others:
        np.testing.assert_allclose(first, other, atol=1e-5)


def test_stopping_at_a_layer_leaves_the_model_as_it_was(tiny: TinyModel) -> None:
    _, task, adapted = built(tiny, RECORD)
    probes = short_texts(task, 4, 7)
    first_layer(adapted, probes)
    batch = next(task.micro_batches(probes.records, np.arange(4), 4))
    assert sentence_logits(adapted.model, batch).shape == (4, 3)


def test_short_texts_fit_under_the_rank_and_are_one_label_to_a_pair(tiny: TinyModel) -> None:
    _, task, _ = built(tiny, RECORD)
    probes = short_texts(task, 20, 7)
    assert max(map(len, probes.inputs)) <= 7
    labels = probes.records.labels
    assert (labels[::2] == labels[1::2]).all()
    assert all(a != b for a, b in zip(probes.inputs[::2], probes.inputs[1::2], strict=True))


# -- sums ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("privacy", "options", "texts"),
    [
        (RECORD, {}, 4 * 2 * 3),
        (RECORD, {"protection": "plain"}, 4 * 2),
        (SHARED, {"training": {"local_steps": 1}}, 4),
        (NONE, {}, 8 * 2 * 3),
    ],
)
def test_an_opened_sum_holds_what_the_configuration_says(
    tiny: TinyModel, privacy: dict[str, Any], options: dict[str, Any], texts: int
) -> None:
    assert texts_in_a_sum(tiny_config(tiny, privacy, **options).mechanism) == texts


def test_a_text_is_clipped_and_a_sites_is_brought_to_the_clip(tiny: TinyModel) -> None:
    for privacy, training, shortest in (
        ({**RECORD, "clip": 1e-3}, {}, 0.99e-3),
        ({**SITE, "clip": 1e3}, {"batch_size": 4}, 0.99e3),
    ):
        mechanism, task, adapted = built(tiny, privacy, training=training)
        probes = short_texts(task, 2, 7)
        with GradientSums(task, adapted, mechanism) as sums:
            parts = sums.of_text(probes.records, 0)
            length = float(torch.cat([part.flatten() for part in parts.values()]).norm())
            assert shortest < length <= privacy["clip"] * (1 + 1e-6)


def test_few_texts_without_noise_are_metered_as_near(tiny: TinyModel) -> None:
    single = {"batch_size": 1, "local_steps": 1}
    wide = {"rank": 32}
    parts = built(tiny, NONE, protection="plain", training=single, adapter=wide)
    found = row_space_meters(meter(*parts, told))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert len(found.series) == 4
    noised = row_space_meters(meter(*built(tiny, RECORD), told))
    assert noised.verdict is Verdict.INCONCLUSIVE
    assert "read no rank" in noised.reason


# -- for contrast ----------------------------------------------------------------------------------


def test_a_search_finds_words_in_plain_updates_and_hardly_any_in_noised_sums(
    tiny: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradient_contrast, "TEXTS", 3)
    mechanism, task, adapted = built(tiny, RECORD)
    probes = short_texts(task, 8, 7)
    with GradientSums(task, adapted, mechanism) as sums:
        found = contrast_of(task, adapted, sums, probes, sums.nothing)
    assert found is not None
    assert found.texts == 3
    assert 0 < found.plain <= found.words
    # A random direction has some token of so small a vocabulary nearest to it, too.
    assert found.opened <= found.words / 3


def test_what_the_search_matches_is_the_gradient_of_the_texts_own_embeddings(
    tiny: TinyModel,
) -> None:
    mechanism, task, adapted = built(tiny, RECORD)
    probes = short_texts(task, 4, 7)
    with GradientSums(task, adapted, mechanism) as sums:
        seen = sums.of_text(probes.records, 1)
    search = gradient_contrast._TextSearch(task, adapted, probes, 1)  # type: ignore[arg-type]
    embedding = adapted.model.get_input_embeddings()
    own = embedding.weight[torch.from_numpy(probes.records.token_ids[1])].detach()
    label = torch.nn.functional.one_hot(torch.tensor(int(probes.records.labels[1])), 3).float()
    matched = search._gradient_of(own, label)
    flat = [torch.cat([part[name].flatten() for name in seen]) for part in (seen, matched)]
    cosine = torch.nn.functional.cosine_similarity(flat[0], flat[1].detach(), dim=0)
    assert float(cosine) == pytest.approx(1, abs=1e-5)
    assert not embedding._forward_hooks


def test_what_is_no_classification_is_not_searched(tiny: TinyModel) -> None:
    mechanism, task, adapted = built(tiny, RECORD)
    probes = short_texts(task, 2, 7)
    other: Any = object()
    with GradientSums(task, adapted, mechanism) as sums:
        assert contrast_of(other, adapted, sums, probes, sums.nothing) is None
