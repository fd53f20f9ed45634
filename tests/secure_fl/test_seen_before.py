"""A base model that was tuned on the very records is said to be, wherever a score is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from cli_workplace import Workplace, few_records

from domains import model_presets

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

SAID = "tests/tiny-bert was tuned on labelled records of finance.generated"


@pytest.fixture
def work(
    tmp_path: Path,
    tiny: TinyModel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    for module in ("embedded", "evaluation", "baselines.study"):
        monkeypatch.setattr(f"secure_fl.{module}.load_dataset", few_records)
    known = replace(model_presets.model_preset("finbert"), repository="tests/tiny-bert")
    known = replace(known, tuned_on=("finance.generated",))
    presets = {**model_presets.MODEL_PRESETS, "finbert": known}
    monkeypatch.setattr(model_presets, "MODEL_PRESETS", MappingProxyType(presets))
    made = Workplace(tmp_path, tiny, capsys)
    made.without_privacy()
    return made


def test_a_run_its_card_and_later_scores_say_it(work: Workplace) -> None:
    outcome = work.run()
    assert outcome.code == 0, outcome.err
    assert SAID in " ".join(outcome.out.split())
    assert SAID in (work.root / "out" / "adapter" / "README.md").read_text(encoding="utf-8")
    scored = work.call("evaluate", work.root / "out", "--on", "finance.generated")
    assert SAID in scored.out
    as_json = work.call("evaluate", work.root / "out", "--on", "finance.generated", "--json")
    assert SAID in json.loads(as_json.out)["table"][0]["seen_before"]


def test_a_table_of_baselines_says_it(work: Workplace) -> None:
    out = work.root / "table.json"
    words = ("baselines", work.config, "--rows", "majority", "--seeds", "0", "--out", out)
    outcome = work.call(*words)
    assert outcome.code == 0, outcome.err
    assert SAID in " ".join(outcome.out.split())
    assert any(SAID in note for note in json.loads(out.read_text())["notes"])


def test_nothing_is_said_of_a_model_that_no_preset_knows(work: Workplace) -> None:
    work.edit("tests/tiny-bert", "tests/another")
    outcome = work.run()
    assert outcome.code == 0, outcome.err
    assert "was tuned on" not in outcome.out + outcome.err
    card = (work.root / "out" / "adapter" / "README.md").read_text(encoding="utf-8")
    assert "was tuned on" not in card
