"""Who holds what, as a configuration says it: what a simulation does with it, and a deployment."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from round_simulator import mechanism_of
from tiny_run import Setting, Watcher, tiny_config

from crypto.errors import ConfigError
from domains.partition_kinds import Partition, PartitionKind
from secure_fl import deployment, embedded
from secure_fl.config import DataSection, load_config, parse_mechanism
from secure_fl.initialise import initialise
from secure_fl.sites.workbench import SiteRecords, SiteWorkbench

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

    from secure_fl.config import RunConfig


@pytest.fixture
def run_toml(tmp_path: Path) -> Path:
    initialise(tmp_path)
    return tmp_path / "run.toml"


def say(run_toml: Path, *lines: str) -> None:
    head = "[mechanism.data]\n"
    text = run_toml.read_text()
    assert head in text
    run_toml.write_text(text.replace(head, head + "\n".join(lines) + "\n"))


def test_the_default_is_equal(run_toml: Path) -> None:
    assert load_config(run_toml).mechanism.data.rule() == Partition()


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        (('partition = "size"', "sigma = 1"), Partition(PartitionKind.SIZE, sigma=1.0)),
        (
            ('partition = "label"', "alpha = 0.5", "smallest_share = 9"),
            Partition(PartitionKind.LABEL, alpha=0.5, smallest_share=9),
        ),
        (
            ('partition = "key"', 'key = "customer"'),
            Partition(PartitionKind.KEY, key="customer"),
        ),
    ],
)
def test_a_file_says_the_rule(run_toml: Path, lines: tuple[str, ...], rule: Partition) -> None:
    say(run_toml, *lines)
    assert load_config(run_toml).mechanism.data.rule() == rule


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (('partition = "label"',), "`mechanism.data`: The rule `label` needs `alpha`"),
        (("alpha = 0.5",), "`mechanism.data`: `alpha` has no meaning"),
        (('partition = "label"', "alpha = 0.0"), "An `alpha` of 0"),
        (('partition = "labels"',), "`mechanism.data.partition`: Input should be"),
        (('partition = "size"', 'sigma = "1"'), "`mechanism.data.sigma`: Input should be"),
        (("smallest_share = 0",), "`mechanism.data.smallest_share`: Input should be"),
    ],
)
def test_what_is_no_rule_is_refused(run_toml: Path, lines: tuple[str, ...], said: str) -> None:
    say(run_toml, *lines)
    with pytest.raises(ConfigError) as caught:
        load_config(run_toml)
    assert said in str(caught.value)


def test_a_misplaced_parameter_is_told_every_place_that_has_it(run_toml: Path) -> None:
    text = run_toml.read_text()
    run_toml.write_text(text.replace("sites = 4", "alpha = 0.5\nsites = 4"))
    with pytest.raises(ConfigError) as caught:
        load_config(run_toml)
    assert "into [mechanism.data] or [mechanism.adapter]" in str(caught.value)


def test_the_rule_is_signed_with_the_rest() -> None:
    skewed = mechanism_of().model_copy(
        update={
            "data": DataSection(
                dataset="finance.generated", partition=PartitionKind.LABEL, alpha=0.5
            )
        }
    )
    assert parse_mechanism(skewed.to_json()) == skewed
    assert skewed.digest() != mechanism_of().digest()


def test_a_deployment_refuses_to_say_who_holds_what(
    run_toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(run_toml, 'partition = "label"', "alpha = 0.5")
    folder = run_toml.parent
    (folder / "coordinator.toml").write_text('schema = "secure-fl.coordinator.v1"\n')
    monkeypatch.setattr(deployment, "pinned_roster", lambda _: None)
    with pytest.raises(ConfigError, match="here every site brings its own records"):
        deployment.coordinate(None, folder)  # type: ignore[arg-type]
    assert not (folder / "run").exists()


def skewed_config(tiny: TinyModel, **keys: object) -> RunConfig:
    config = tiny_config(tiny, {"mode": "none"})
    data = DataSection.model_validate(config.mechanism.data.model_dump() | keys)
    mechanism = config.mechanism.model_copy(update={"data": data})
    return config.model_copy(update={"mechanism": mechanism})


def test_a_simulation_shares_out_by_the_rule_and_says_so(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: dict[str, set[str]] = {}

    def watch(
        site: str,
        records: SiteRecords,
        *rest: Any,  # noqa: ANN401 - passed through
        canary_key: Any,  # noqa: ANN401 - passed through
    ) -> SiteWorkbench:
        held[site] = {record.columns["customer"] for record in records.records}
        return SiteWorkbench(site, records, *rest, canary_key=canary_key)

    monkeypatch.setattr(embedded, "SiteWorkbench", watch)
    setting = Setting(tmp_path, tiny)
    config = skewed_config(tiny, partition="key", key="customer")
    folder = embedded.start_run(config, setting.out, setting.places(), Watcher())

    assert len(held) == config.mechanism.sites
    assert not any(one & other for one, other in itertools.combinations(held.values(), 2))
    assert folder.config().mechanism.data.rule() == Partition(PartitionKind.KEY, key="customer")
    text = (folder.path / "config.toml").read_text("utf-8")
    assert 'partition = "key"' in text
    assert 'key = "customer"' in text


def test_shares_that_cannot_be_had_stop_the_run_before_anything_is_written(
    tiny: TinyModel, tmp_path: Path
) -> None:
    setting = Setting(tmp_path, tiny)
    config = skewed_config(tiny, partition="key", key="ward")
    with pytest.raises(ConfigError, match="says nothing in the column `ward`"):
        embedded.start_run(config, setting.out, setting.places(), Watcher())
    assert not setting.out.exists()
