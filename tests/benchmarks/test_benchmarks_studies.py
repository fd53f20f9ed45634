"""The grid of privacy against utility: every job is a valid run that its policy allows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks import studies
from secure_fl.launch import POLICY_NAME
from secure_fl.policy import load_policy

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("job", studies.jobs(), ids=lambda job: job.name)
def test_every_job_is_a_run_that_the_examples_policy_allows(job: studies.Job) -> None:
    mechanism = job.config().mechanism
    load_policy(studies.EXAMPLES / POLICY_NAME).check(mechanism)
    assert mechanism.data.dataset == job.dataset
    assert mechanism.privacy.mode == job.mode
    assert mechanism.privacy.epsilon == job.epsilon  # type: ignore[union-attr] # no job is without


def test_the_grid_is_the_one_that_is_promised() -> None:
    own = [job for job in studies.jobs() if job.dataset == "finance.phrasebank"]
    assert {job.epsilon for job in own} == {1.0, 3.0, 8.0}
    assert len(own) == 12
    assert len(studies.jobs()) == 24


def test_without_data_nothing_is_run_and_what_is_kept_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(studies, "RESULTS", tmp_path)
    assert studies.main(["--json", "--only", "tfns", "head"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [cell["score"] for cell in cells] == [None, None]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", ["finance.phrasebank", "unknown=x"])
def test_data_that_is_no_set_of_the_grid_is_refused(given: str) -> None:
    assert studies.main(["--data", given]) == 2
