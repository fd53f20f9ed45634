"""A model card's head says task, data set and scores as the hub reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from domains.biomedical import medqa
from domains.card_head import card_head
from domains.finance import tfns

if TYPE_CHECKING:
    from domains.hub_files import HubFiles

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.mark.parametrize(
    ("dataset", "task", "named"),
    [
        ("finance.tfns", "text-classification", tfns.HUB),
        ("biomedical.medqa", "multiple-choice", medqa.HUB),
        ("recommendation.amazon-games", "sentence-similarity", None),
        ("own", "text-classification", None),
    ],
)
def test_a_head_names_the_task_and_the_hubs_data_set_at_its_commit(
    dataset: str, task: str, named: HubFiles | None
) -> None:
    data = yaml.safe_load(card_head("a", MINILM, dataset, {"accuracy": 0.51239}, asked=False))
    assert (data["library_name"], data["base_model"]) == ("peft", MINILM)
    assert data["pipeline_tag"] == task
    assert data.get("datasets") == (None if named is None else [named.repository])
    (result,) = data["model-index"][0]["results"]
    assert result["dataset"].get("revision") == (None if named is None else named.revision)
    assert result["metrics"] == [{"type": "accuracy", "value": 0.5124}]


def test_what_was_not_scored_or_seen_before_has_no_scores_in_the_head() -> None:
    unscored = yaml.safe_load(card_head("a", MINILM, "finance.tfns", {}, asked=True))
    assert "model-index" not in unscored
    assert unscored["pipeline_tag"] == "text-generation"
    for dataset, scored in (("finance.phrasebank", False), ("finance.tfns", True)):
        head = card_head("a", "ProsusAI/finbert", dataset, {"accuracy": 0.9}, asked=False)
        assert ("model-index" in yaml.safe_load(head)) == scored
