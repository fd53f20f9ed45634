from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tiny_run import RECORD, small_dataset, tiny_config, write_config, write_policy

from benchmarks import noise_sharing
from benchmarks.fpb import EXAMPLES, Study
from domains.finance import phrasebank
from secure_fl.config import DistributedPrivacy, RecordPrivacy

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

SHARED = RECORD | {"mode": "record-distributed", "divisor": 12.0, "colluders": 1, "drop_outs": 0}


@pytest.fixture
def study(tiny: TinyModel, tmp_path: Path) -> Study:
    examples = tmp_path / "examples"
    examples.mkdir()
    write_policy(examples / "policy.toml", tiny, dataset=phrasebank.NAME)
    for mode, privacy in (("local", RECORD), ("shared", SHARED)):
        config = tiny_config(
            tiny,
            privacy,
            method="linear-head",
            dataset=phrasebank.NAME,
            rounds=2,
            sites=3,
            training={"local_steps": 1},
        )
        write_config(examples / noise_sharing.FILES[mode], config)
    dataset = replace(small_dataset(60, 20), name=phrasebank.NAME)
    return Study(
        dataset=lambda _: dataset,
        examples=examples,
        data=tmp_path,
        split="test",
        seeded=False,
        note=lambda _: None,
    )


def test_both_modes_are_measured_at_every_number_of_sites(study: Study) -> None:
    cells = noise_sharing.measure(study, (2, 4), (8.0,), (0,))
    assert [(cell.name, cell.sites) for cell in cells] == [
        ("local", 2),
        ("shared", 2),
        ("local", 4),
        ("shared", 4),
    ]
    for cell in cells:
        assert cell.error is None
        assert cell.runs == 1
        assert cell.epsilon is not None
        assert 7.9 < cell.epsilon <= 8.0
        assert cell.accuracy is not None


def test_a_sites_own_divisor_shrinks_and_that_of_the_sum_does_not(study: Study) -> None:
    for sites in (2, 4):
        local = noise_sharing.settings(study, "local", sites, 3.0, 7).mechanism
        shared = noise_sharing.settings(study, "shared", sites, 3.0, 7).mechanism
        assert (local.sites, local.seed, shared.sites, shared.seed) == (sites, 7, sites, 7)
        assert isinstance(local.privacy, RecordPrivacy)
        assert isinstance(shared.privacy, DistributedPrivacy)
        assert local.privacy.divisor == RECORD["divisor"] * 3 / sites
        assert shared.privacy.divisor == SHARED["divisor"]
        assert (local.privacy.epsilon, local.privacy.sigma) == (3.0, None)
        assert (shared.privacy.epsilon, shared.privacy.sigma) == (3.0, None)


def test_the_published_settings_are_there_and_a_missing_file_is_said(
    study: Study, tmp_path: Path
) -> None:
    for name in noise_sharing.FILES.values():
        assert (EXAMPLES / name).exists()
    (study.examples / noise_sharing.FILES["shared"]).unlink()
    (cell,) = (c for c in noise_sharing.measure(study, (2,), (8.0,), (0,)) if c.name == "shared")
    assert cell.error is not None
    assert noise_sharing.FILES["shared"] in cell.error
    assert cell.accuracy is None
    assert tmp_path in study.examples.parents
