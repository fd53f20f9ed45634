"""A whole embedded run under homomorphic sums: its folder, its report, and forgeries of both."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
from run_forgery import coordinator_key, sign_again, state_facts
from tiny_run import RECORD, Setting, Watcher, adapter_bytes, tiny_config

from audits.facts import HomomorphicSumFacts, ReportFacts, ReportWarning
from crypto.errors import IntegrityError
from secure_fl.embedded import resume_run, start_run
from secure_fl.runfolder import RunFolder
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel


@pytest.fixture(scope="module")
def original(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """A finished private run."""
    setting = Setting(tmp_path_factory.mktemp("homomorphic"), tiny)
    config = tiny_config(tiny, RECORD, protection="homomorphic")
    start_run(config, setting.out, setting.places(), Watcher())
    return setting


@pytest.fixture
def run(original: Setting, tmp_path: Path) -> RunFolder:
    """A copy of it to tamper with."""
    shutil.copytree(original.out, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_it_verifies_and_says_how_updates_travelled(original: Setting) -> None:
    verify_run(original.out, original.root)

    facts = ReportFacts.from_json((original.out / "facts.json").read_bytes())
    assert isinstance(facts.protection, HomomorphicSumFacts)
    assert facts.protection.scheme == "BFV"
    assert facts.protection.view_revealed.value == "sum"
    assert ReportWarning.ONE_SITE_AND_COORDINATOR_READ_ALL in facts.warnings
    page = (original.out / "report.html").read_text("utf-8")
    assert "One site and the coordinator together could read every update" in page
    assert "any one site together with the coordinator" in page


def test_the_adapter_is_the_masked_runs_to_the_last_bit(tiny: TinyModel, tmp_path: Path) -> None:
    adapters = []
    for protection in ("masked", "homomorphic"):
        (tmp_path / protection).mkdir()
        setting = Setting(tmp_path / protection, tiny)
        config = tiny_config(tiny, protection=protection)
        start_run(config, setting.out, setting.places(), Watcher())
        verify_run(setting.out, setting.root)
        adapters.append(adapter_bytes(setting.out)["adapter_model.safetensors"])
    assert adapters[0] == adapters[1]


def test_a_run_that_was_stopped_between_its_rounds_goes_on_with_a_new_key(
    tiny: TinyModel, tmp_path: Path
) -> None:
    setting = Setting(tmp_path, tiny)
    config = tiny_config(tiny, protection="homomorphic")
    with pytest.raises(KeyboardInterrupt):
        start_run(
            config, setting.out, setting.places(), Watcher(stop=lambda event: event == "open 1")
        )
    resume_run(setting.out, setting.places(), Watcher())
    verify_run(setting.out, setting.root)


def test_a_report_that_hides_who_could_read_all_is_not_believed(
    run: RunFolder, original: Setting
) -> None:
    stated = json.loads(run.read("facts.json"))
    stated["protection"] = {
        "kind": "masked-sum",
        "cipher_suite": stated["protection"]["cipher_suite"],
        "threshold": 3,
        "view_revealed": "sum",
    }
    stated["warnings"].remove("one-site-and-coordinator-read-all")
    state_facts(run, stated)
    sign_again(run, coordinator_key(original.state))
    with pytest.raises(IntegrityError, match="states another protection"):
        verify_run(run.path, original.root)


def test_a_coordinator_cannot_release_other_parameters_than_the_sites_signed(
    run: RunFolder, original: Setting
) -> None:
    stated = json.loads(run.read("facts.json"))
    stated["digests"]["final_parameters"] = "00" * 32
    state_facts(run, stated)
    sign_again(run, coordinator_key(original.state))
    with pytest.raises(IntegrityError, match="other final parameters than those that the sites"):
        verify_run(run.path, original.root)
