"""`secure-fl policy check`: every point at once, what a run would cost, and nothing spent."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cli_workplace import Outcome

import secure_fl
from privacy.accounting import epsilon
from privacy.events import Relation, SubsampledGaussian, Unit
from privacy.ledger import Budget, Ledger
from secure_fl.cli import main
from secure_fl.config import load_config
from secure_fl.guarantee import planned_event, resolve_sigma

TEMPLATES = Path(secure_fl.__file__).parent / "templates"
NAME = "invented-sentences"  # the template's
OPEN = Budget(math.inf, 1e-5, Unit.RECORD, Relation.ADD_REMOVE)


class Desk:
    """A folder with the templates, and `policy check` over it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.run, self.policy = folder / "run.toml", folder / "policy.toml"
        self._capsys = capsys
        for path in (self.run, self.policy):
            path.write_text((TEMPLATES / path.name).read_text())
        # A given sigma: nothing has to be searched for, so that this stays quick.
        self.edit(self.run, r"^epsilon = [^\n]*", "sigma = 2.0")

    @staticmethod
    def edit(path: Path, old: str, new: str) -> None:
        text, count = re.subn(old, new, path.read_text(), count=1, flags=re.MULTILINE | re.DOTALL)
        assert count == 1, old
        path.write_text(text)

    def check(self, *words: str | Path) -> Outcome:
        self._capsys.readouterr()
        code = main(["policy", "check", str(self.run), *map(str, words)])
        captured = self._capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    def cost(self, delta: float = 1e-5) -> float:
        mechanism = resolve_sigma(load_config(self.run).mechanism)
        return epsilon([planned_event(mechanism)], delta)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def test_an_allowed_run_says_what_it_would_cost(desk: Desk) -> None:
    outcome = desk.check("--policy", desk.policy, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out) == {
        "schema": "secure-fl.policy-check.v1",
        "allowed": True,
        "refused": [],
        "cost": {
            "dataset": NAME,
            "unit": "record",
            "relation": "add-remove",
            "delta": 1e-5,
            "no_guarantee": False,
            "run": desk.cost(),
            "spent_before": None,
            "spent_after": None,
            "ceiling": 10.0,
        },
    }
    text = desk.check("--policy", desk.policy).out
    assert f"of `{NAME}` (delta 1e-05, per record, add-remove)" in text
    assert "No ledger was asked." in text
    assert text.endswith("The policy allows this run.\n")


def test_every_point_is_said_at_once(desk: Desk) -> None:
    for old, new in (
        ("^largest_rank = .*?$", "largest_rank = 1"),
        ("^largest_rounds = .*?$", "largest_rounds = 1"),
        ("^largest_clip = .*?$", "largest_clip = 0.001\nlargest_epsilon_per_run = 0.01"),
        ("^epsilon = 10.0", "epsilon = 0.02"),
    ):
        desk.edit(desk.policy, old, new)
    outcome = desk.check("--policy", desk.policy, "--json")
    assert (outcome.code, outcome.err) == (4, "")
    answer = json.loads(outcome.out)
    assert answer["allowed"] is False
    said = "\n".join(answer["refused"])
    for point in (
        "exceeds the largest of 1",
        "rounds exceed the largest number of 1",
        "exceeds the largest of 0.001",
        "one run may spend 0.01 at most",
        "the run alone exceeds the ceiling of 0.02",
    ):
        assert point in said
    assert len(answer["refused"]) == 5
    lines = desk.check("--policy", desk.policy).out.splitlines()
    assert [line.startswith("refused: ") for line in lines[:6]] == [True] * 5 + [False]
    assert lines[-1].startswith("The policy refuses this run.")


def test_a_data_set_that_the_policy_does_not_name(desk: Desk) -> None:
    desk.edit(desk.policy, '^dataset = "[^"]*"', 'dataset = "health.notes"')
    answer = json.loads(desk.check("--policy", desk.policy, "--json").out)
    assert answer["cost"] is None
    assert "names no data set for `finance.generated`" in answer["refused"][0]


def test_mode_none_costs_infinity(desk: Desk) -> None:
    desk.edit(
        desk.run,
        r"^\[mechanism\.privacy\].*?(?=^\[runtime\])",
        '[mechanism.privacy]\nmode = "none"\n',
    )
    desk.edit(desk.run, r'^schedule = "linear"', 'schedule = "linear"\nbatch_size = 8')
    outcome = desk.check("--policy", desk.policy, "--json")
    assert outcome.code == 4
    answer = json.loads(outcome.out)
    assert len(answer["refused"]) == 1
    assert (answer["cost"]["run"], answer["cost"]["no_guarantee"]) == (None, True)
    assert "infinity (no guarantee)" in desk.check("--policy", desk.policy).out


@pytest.fixture
def ledger(desk: Desk) -> Path:
    """Return a ledger in which a run has spent of the same data set."""
    path = desk.policy.parent / "ledger.sqlite"
    with Ledger.open(path, clock=lambda: datetime.now(UTC)) as opened:
        opened.reserve(NAME, bytes(32), "run-1", SubsampledGaussian(20.0, 1.0, 30), OPEN)
    return path


def together(desk: Desk) -> float:
    mechanism = resolve_sigma(load_config(desk.run).mechanism)
    return epsilon([SubsampledGaussian(20.0, 1.0, 30), planned_event(mechanism)], 1e-5)


@pytest.mark.parametrize("how", ["--ledger", "--site"])
def test_a_ledger_says_what_is_left(desk: Desk, ledger: Path, how: str) -> None:
    place = (
        ("--ledger", ledger, "--policy", desk.policy)
        if how == "--ledger"
        else ("--site", ledger.parent)
    )
    before = ledger.read_bytes()
    outcome = desk.check(*place, "--json")
    assert outcome.code == 0, outcome.out
    cost = json.loads(outcome.out)["cost"]
    assert cost["spent_before"] == epsilon([SubsampledGaussian(20.0, 1.0, 30)], 1e-5)
    assert cost["spent_after"] == together(desk)
    assert "Spent so far: " in desk.check(*place).out
    desk.edit(desk.policy, "^epsilon = 10.0", f"epsilon = {together(desk) - 0.001}")
    outcome = desk.check(*place)
    assert outcome.code == 4
    assert "refused: data set `invented-sentences` has spent epsilon" in outcome.out
    assert ledger.read_bytes() == before


def test_people_under_another_name_count_before_the_ledger_knows_of_them(
    desk: Desk, ledger: Path
) -> None:
    desk.edit(desk.policy, f'^name = "{NAME}"', 'name = "new"\nshares_people_with = ["old"]')
    old = desk.policy.read_text().split("[[datasets]]")[1]
    old = old.replace('"new"', '"old"').replace('shares_people_with = ["old"]', "")
    desk.policy.write_text(desk.policy.read_text() + "\n[[datasets]]" + old)
    desk.edit(desk.policy, r'(.*)dataset = "finance.generated"', r'\1dataset = "finance.other"')
    with Ledger.open(ledger, clock=lambda: datetime.now(UTC)) as opened:
        opened.reserve("old", bytes(32), "run-1", SubsampledGaussian(20.0, 1.0, 30), OPEN)
    answer = json.loads(desk.check("--site", ledger.parent, "--json").out)
    assert answer["allowed"], answer
    assert answer["cost"]["dataset"] == "new"
    assert answer["cost"]["spent_after"] == together(desk)


def test_a_site_without_a_ledger_has_spent_nothing(desk: Desk) -> None:
    outcome = desk.check("--site", desk.policy.parent)
    assert outcome.code == 0
    assert "No ledger was asked." in outcome.out
    assert not (desk.policy.parent / "ledger.sqlite").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Give the policy"),
        (("--policy", "POLICY", "--ledger", "/no/ledger"), "There is no ledger at /no/ledger"),
        (("--site", "/no/site"), "There is no folder /no/site"),
        (("--site", "FOLDER", "--ledger", "x"), "--ledger cannot name another"),
        (("--policy", "/no/policy.toml"), "There is no site policy at"),
    ],
)
def test_what_cannot_be_asked(desk: Desk, words: tuple[str, ...], said: str) -> None:
    named = {"POLICY": desk.policy, "FOLDER": desk.policy.parent}
    assert said in desk.check(*(named.get(word, word) for word in words)).refused(2)


def test_a_change_of_terms_is_a_point_like_others(desk: Desk, ledger: Path) -> None:
    desk.edit(desk.policy, "^delta = 1e-5", "delta = 1e-4")
    outcome = desk.check("--site", ledger.parent)
    assert outcome.code == 4
    assert "refused: data set `invented-sentences` was first charged per record" in outcome.out
