"""What a run file chooses of a published data set: it is signed, carried out, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cli_workplace import TEMPLATES
from tiny_run import Setting, Watcher, tiny_config

from crypto.errors import ConfigError
from domains.catalogue import ENTRIES, DatasetOptions, chosen_options
from domains.sentence_choices import Agreement, Split
from privacy.noise import SystemNoise
from secure_fl import deployment, embedded, evaluation
from secure_fl.baselines import study
from secure_fl.config import load_config, parse_mechanism
from secure_fl.config_data import DataSection
from secure_fl.deployment import CoordinatorFile, SiteData
from secure_fl.own_records import OwnWorkbench
from secure_fl.sites.workbench import SiteRecords

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

    from domains.records import Dataset
    from secure_fl.config import RunConfig

GAMES = "recommendation.amazon-games"
SENTENCES = "finance.phrasebank"


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ({"dataset": GAMES}, DatasetOptions()),
        ({"dataset": GAMES, "users": 50}, DatasetOptions(users=50)),
        ({"dataset": "recommendation.movielens-100k", "users": 9}, DatasetOptions(users=9)),
        (
            {"dataset": SENTENCES, "agreement": "AllAgree", "split": "quarter"},
            DatasetOptions(agreement=Agreement.ALL, split=Split.QUARTER),
        ),
        ({"dataset": "own", "labels": ("bad", "good")}, DatasetOptions()),
    ],
)
def test_a_run_chooses_of_a_data_set(keys: dict[str, Any], options: DatasetOptions) -> None:
    assert DataSection.model_validate(keys).options() == options


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"dataset": SENTENCES, "users": 50}, "`users` is chosen, and finance.phrasebank has no"),
        ({"dataset": "finance.generated", "users": 5000}, "`users` is chosen"),
        ({"dataset": "recommendation.tallrec", "users": 50}, f"it belongs to {GAMES}"),
        ({"dataset": "own", "labels": ("a", "b"), "users": 50}, "own has no such choice"),
        ({"dataset": GAMES, "agreement": "50Agree"}, "it belongs to finance.phrasebank"),
        ({"dataset": GAMES, "split": "quarter"}, "`split` is chosen"),
        ({"dataset": GAMES, "users": 0}, "greater than or equal to 1"),
        ({"dataset": GAMES, "users": True}, "valid integer"),
        ({"dataset": SENTENCES, "agreement": "80Agree"}, "AllAgree"),
    ],
)
def test_what_a_data_set_has_not_cannot_be_chosen(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DataSection.model_validate(keys)


def test_a_file_says_it_and_it_is_signed_only_where_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    text = (TEMPLATES / "run.toml").read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    usual = load_config(path).mechanism
    assert all(f'"{key}"'.encode() not in usual.to_json() for key in ("users", "agreement"))
    line = 'dataset = "finance.generated"'
    assert line in text
    chosen = f'dataset = "{SENTENCES}"\nagreement = "75Agree"\nsplit = "quarter"'
    path.write_text(text.replace(line, chosen), encoding="utf-8")
    other = load_config(path).mechanism
    assert b'"agreement":"75Agree"' in other.to_json()
    assert parse_mechanism(other.to_json()) == other
    path.write_text(text.replace(line, f"{line}\nusers = 3"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"`mechanism.data`: `users` is chosen"):
        load_config(path)


def test_every_choice_of_the_catalogue_is_an_option_that_can_be_chosen() -> None:
    values: dict[str, Any] = {"users": 3, "agreement": Agreement.ALL, "split": Split.QUARTER}
    for entry in ENTRIES.values():
        for name, value in values.items():
            if name in entry.choices:
                assert getattr(chosen_options(entry.name, **{name: value}), name) == value
            else:
                with pytest.raises(ConfigError, match="no such choice"):
                    chosen_options(entry.name, **{name: value})
        assert set(entry.choices) <= set(values)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"dataset": SENTENCES, "folder": "x", "split": "half"}, "Choose fingpt or quarter"),
        ({"dataset": SENTENCES, "folder": "x", "users": 9}, "has no such choice"),
        ({"dataset": "own", "path": "x", "labels": ("a", "b"), "users": 9}, "no meaning"),
        ({"dataset": SENTENCES, "folder": "x", "text": "words"}, "`text` has no meaning"),
    ],
)
def test_a_site_that_rehearses_chooses_likewise(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SiteData.model_validate(keys)
    allowed = {"dataset": SENTENCES, "folder": "x", "agreement": "66Agree", "split": "quarter"}
    options = SiteData.model_validate(allowed).options()
    assert (options.agreement, options.split) == (Agreement.TWO_THIRDS, Split.QUARTER)
    own = {"dataset": "own", "path": "x", "labels": ("a", "b"), "split": "part"}
    assert SiteData.model_validate(own).options() == DatasetOptions()


class Reached(Exception):  # noqa: N818 - no error: it stops where the answer is known
    """Raised in the place of loading."""

    def __init__(self, options: DatasetOptions) -> None:
        super().__init__()
        self.options = options


def stop(*_: object, options: DatasetOptions, **__: object) -> Dataset:
    raise Reached(options)


def choosing(tiny: TinyModel, **keys: object) -> RunConfig:
    config = tiny_config(tiny)
    data = DataSection.model_validate(config.mechanism.data.model_dump() | keys)
    mechanism = config.mechanism.model_copy(update={"data": data})
    return config.model_copy(update={"mechanism": mechanism})


def test_what_is_chosen_reaches_whatever_loads(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = choosing(tiny, dataset=GAMES, users=7)
    for module in (embedded, deployment):
        monkeypatch.setattr(module, "load_dataset", stop)
    setting = Setting(tmp_path, tiny, dataset=None)
    own = CoordinatorFile(schema="secure-fl.coordinator.v1", folder="x")
    site = SiteData.model_validate({"dataset": GAMES, "folder": "x", "users": 7})
    for load in (
        lambda: embedded.start_run(config, setting.out, setting.places(tmp_path), Watcher()),
        lambda: deployment._evaluation_set(config, own, tmp_path),
        lambda: deployment._site_records(site, tmp_path, None, allow_hub=False),  # type: ignore[arg-type]
    ):
        with pytest.raises(Reached) as reached:
            load()
        assert reached.value.options == DatasetOptions(users=7)


def test_a_site_does_not_train_on_another_choice_than_the_run_s(tiny: TinyModel) -> None:
    config = choosing(tiny, dataset=GAMES, users=7)
    records = SiteRecords(GAMES, (), ())
    bench = OwnWorkbench("site-1", records, config.runtime, SystemNoise())
    with pytest.raises(ConfigError, match="records that are scored could be trained on"):
        bench.prepare(config.mechanism)


def test_the_run_s_own_data_set_is_scored_as_it_was_chosen(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = choosing(tiny, dataset=GAMES, users=7)
    monkeypatch.setattr(evaluation, "load_dataset", stop)
    for name, options in ((GAMES, DatasetOptions(users=7)), (SENTENCES, DatasetOptions())):
        asked = evaluation.Asked(ENTRIES[name], tmp_path)
        with pytest.raises(Reached) as reached:
            evaluation._scores(None, None, asked, (), config)  # type: ignore[arg-type]
        assert reached.value.options == options


def test_baselines_are_measured_on_the_records_that_the_run_chose(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "load_dataset", stop)
    measured = study.Study(
        choosing(tiny, dataset=GAMES, users=7),
        tmp_path / "run.toml",
        tmp_path / "policy.toml",
        tmp_path,
        validation=False,
        note=print,
    )
    with pytest.raises(Reached) as reached:
        measured.held(0)
    assert reached.value.options == DatasetOptions(users=7)
