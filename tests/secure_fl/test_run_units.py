"""Whole runs whose guarantee is about a person: the policy says whose each record is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tiny_run import RECORD, Setting, Watcher, tiny_config

from crypto.errors import BudgetError, ConfigError
from secure_fl.embedded import EmbeddedPlaces, start_run
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

USER = RECORD | {"unit": "user"}


def places_of(setting: Setting, column: str | None) -> EmbeddedPlaces:
    places = setting.places()
    named = "" if column is None else f'\nunit_column = "{column}"'
    text = places.policy.read_text("utf-8")
    text, count = re.subn(r'unit = "record"', f'unit = "user"{named}', text)
    assert count == 1
    places.policy.write_text(text, "utf-8")
    return places


def test_a_run_hides_users_and_says_so(tiny: TinyModel, tmp_path: Path) -> None:
    setting = Setting(tmp_path, tiny)
    watcher = Watcher()
    places = places_of(setting, "customer")
    folder = start_run(tiny_config(tiny, USER), setting.out, places, watcher)
    verify_run(folder.path, setting.root)
    assert watcher.end is not None
    assert watcher.end.facts.privacy.unit.value == "user"
    assert "customer-0" not in (folder.path / "report.html").read_text("utf-8")
    assert "customer-0" not in (folder.path / "facts.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("column", "said"),
    [(None, "unit_column"), ("patient", "says nothing in the column `patient`")],
)
def test_without_knowing_whose_a_record_is_nothing_is_spent(
    tiny: TinyModel, tmp_path: Path, column: str | None, said: str
) -> None:
    setting = Setting(tmp_path, tiny)
    places = places_of(setting, column)
    with pytest.raises((ConfigError, BudgetError), match=re.escape(said)):
        start_run(tiny_config(tiny, USER), setting.out, places, Watcher())
    assert not setting.out.exists()
