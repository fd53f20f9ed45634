"""What `secure-fl init` writes works as it is, and nothing is ever overwritten."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crypto.errors import BudgetError, ConfigError
from domains.catalogue import DOMAINS, ENTRIES
from secure_fl.cli import main
from secure_fl.config import NoPrivacy, RecordPrivacy, load_config
from secure_fl.domain_start import changed
from secure_fl.guarantee import resolve_sigma
from secure_fl.initialise import initialise
from secure_fl.methods import find_method
from secure_fl.policy import load_policy
from secure_fl.rounds.proposing import neighbourhood_of

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_init_writes_a_run_that_its_policy_allows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my trial"
    assert main(["init", str(folder)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert shlex.split(printed[-1]) == ["secure-fl", "run", str(folder / "run.toml")]
    mechanism = load_config(folder / "run.toml").mechanism
    assert isinstance(mechanism.privacy, RecordPrivacy)
    find_method(mechanism.method, mechanism.protection)
    policy = load_policy(folder / "policy.toml")
    policy.check(mechanism)
    name, budget = policy.budget_for(mechanism)
    assert name == "invented-sentences"
    assert mechanism.privacy.epsilon is not None
    assert mechanism.privacy.epsilon < budget.epsilon


@pytest.mark.parametrize("name", ENTRIES)
def test_init_begins_with_any_data_set_of_a_domain(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path), "--dataset", name]) == 0
    printed = capsys.readouterr().out
    assert ("--data DIR" in printed) == bool(ENTRIES[name].files)
    assert "`divisor`" in printed
    mechanism = load_config(tmp_path / "run.toml").mechanism
    domain = DOMAINS[name.partition(".")[0]]
    assert mechanism.data.dataset == name
    assert set(mechanism.data.scrub) == set(domain.scrub)
    assert isinstance(mechanism.privacy, RecordPrivacy)
    assert mechanism.privacy.unit.value == (
        "user" if "users" in ENTRIES[name].choices else "record"
    )
    policy = load_policy(tmp_path / "policy.toml")
    policy.check(mechanism)
    assert policy.budget_for(mechanism)[0] == name
    assert set(policy.required_scrubbing) == set(domain.scrub)


def test_init_of_an_unknown_data_set_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new"
    assert main(["init", str(folder), "--dataset", "finance.none"]) == 2
    assert "biomedical.pubmedqa" in capsys.readouterr().err
    assert not folder.exists()


def test_a_template_without_its_places_is_refused() -> None:
    with pytest.raises(ConfigError, match="has 0 places"):
        changed("scrub = 1", (("^dataset", "x"),))


def test_every_key_that_init_writes_is_explained(tmp_path: Path) -> None:
    """A key has a comment on its line, or one above its group."""
    initialise(tmp_path)
    for name in ("run.toml", "policy.toml"):
        lines = (tmp_path / name).read_text().splitlines()
        assert lines[0].startswith("# ")
        assert sum("#" in line for line in lines) > len(lines) / 3


@pytest.mark.parametrize("name", ["run.toml", "policy.toml"])
def test_a_file_that_is_there_is_kept_and_nothing_else_is_written(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine")
    assert main(["init", str(tmp_path)]) == 2
    assert "would be overwritten: nothing was written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_link_to_nothing_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="would be overwritten"):
        initialise(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_leaves_neither_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *_: str, **__: str) -> None:
        raise OSError(28, "No space left on device", str(self))

    real: Callable[..., object] = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, *a, **k: (full if self == tmp_path / "policy.toml" else real)(self, *a, **k),
    )
    with pytest.raises(ConfigError, match="the disk is full"):
        initialise(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_init_writes_is_the_demonstrations_job(tmp_path: Path) -> None:
    """Both are tuned together: a newcomer's first run is as good as the example."""
    initialise(tmp_path)
    written, shown = load_config(tmp_path / "run.toml"), load_config(EXAMPLES / "finance.toml")
    assert written.mechanism == shown.mechanism
    assert written.runtime == shown.runtime


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        (r"adversary = .malicious.", [(r"^adversary = .*\n", "")]),
        (r"cipher_suite = ", []),
        (r"threshold = ", []),
        (r"cohort = ", [(r"^sites = 4 ", "sites = 200 ")]),
        (r"clipping = ", []),
        (r"\[mechanism\.encoding\]", [(r"^# (bits|clip_range) = ", r"\1 = ")]),
    ],
)
def test_what_stands_in_a_comment_works_without_it(
    tmp_path: Path, line: str, changes: list[tuple[str, str]]
) -> None:
    """Each alternative of the template is one that a run can have, and changes it."""
    initialise(tmp_path)
    path = tmp_path / "run.toml"
    before, text = load_config(path).mechanism, path.read_text()
    for old, new in changes:
        text, count = re.subn(old, new, text, flags=re.MULTILINE)
        assert count > 0
    text, count = re.subn(rf"^# (?={line})", "", text, flags=re.MULTILINE)
    assert count == 1
    path.write_text(text)

    mechanism = load_config(path).mechanism

    assert mechanism.digest() != before.digest()
    neighbourhood_of(mechanism)
    load_policy(tmp_path / "policy.toml").check(mechanism)


def test_canaries_need_a_line_in_both_files(tmp_path: Path) -> None:
    initialise(tmp_path)
    run, policy = tmp_path / "run.toml", tmp_path / "policy.toml"
    text, count = re.subn(
        r"^# (?=\[mechanism\.canaries\]|each = |repetitions = |headline = )",
        "",
        run.read_text(),
        flags=re.MULTILINE,
    )
    assert count == 4
    run.write_text(text)
    mechanism = load_config(run).mechanism
    assert mechanism.canaries is not None
    with pytest.raises(BudgetError, match="up to 900 canaries would be trained on, and at most 0"):
        load_policy(policy).check(mechanism)
    text, count = re.subn(r"^# (?=most_canaries = )", "", policy.read_text(), flags=re.MULTILINE)
    assert count == 1
    policy.write_text(text)
    load_policy(policy).check(mechanism)


def test_a_policy_that_requires_all_that_it_can(tmp_path: Path) -> None:
    initialise(tmp_path)
    path = tmp_path / "policy.toml"
    text, count = re.subn(
        r"^(requires_\w+) = false", r"\1 = true", path.read_text(), flags=re.MULTILINE
    )
    assert count == 2
    path.write_text(text)
    mechanism = load_config(tmp_path / "run.toml").mechanism

    with pytest.raises(BudgetError, match=r"`mechanism\.cipher_suite`.*`mechanism\.adversary`"):
        load_policy(path).check(mechanism)


@pytest.mark.parametrize(
    "name",
    sorted(
        path.name
        for domain in ("biomedical", "finance", "recommendation")
        for path in EXAMPLES.glob(f"{domain}*.toml")
    ),
)
def test_the_examples_are_allowed_by_their_policy(name: str) -> None:
    mechanism = load_config(EXAMPLES / name).mechanism
    policy = load_policy(EXAMPLES / "policy.toml")
    policy.check(mechanism)
    policy.budget_for(mechanism)
    find_method(mechanism.method, mechanism.protection)


def test_the_published_example_is_the_same_job_without_privacy() -> None:
    generated = load_config(EXAMPLES / "finance.toml").mechanism
    published = load_config(EXAMPLES / "finance-fpb.toml").mechanism
    assert isinstance(published.privacy, NoPrivacy)
    assert published.protection is generated.protection
    assert (published.method, published.sites) == (generated.method, generated.sites)
    assert published.model.weights_sha256 == generated.model.weights_sha256


def test_the_demonstrations_noise_reaches_its_epsilon() -> None:
    privacy = resolve_sigma(load_config(EXAMPLES / "finance.toml").mechanism).privacy
    assert isinstance(privacy, RecordPrivacy)
    assert privacy.sigma is not None
    assert privacy.sigma > 0.3


def test_the_policy_of_init_allows_no_run_without_privacy(tmp_path: Path) -> None:
    initialise(tmp_path)
    assert not load_policy(tmp_path / "policy.toml").allow_no_privacy
    shutil.copy(EXAMPLES / "policy.toml", tmp_path / "examples.toml")
    assert load_policy(tmp_path / "examples.toml").allow_no_privacy
