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


@pytest.mark.parametrize("mode", ["record", "record-distributed"])
def test_a_shorter_schedule_is_norm_tunings_alone_and_keeps_the_divisor_per_record(
    mode: str,
) -> None:
    games, sentences = "recommendation.amazon-games", "finance.phrasebank"
    norms = studies.Job(games, mode, "norms", 8.0).config().mechanism
    example = studies.Job(sentences, mode, "norms", 8.0).config().mechanism
    assert norms.training.rounds < example.training.rounds
    assert norms.privacy.sampling_rate == 0.1  # type: ignore[union-attr] # no job is without
    assert norms.privacy.divisor / (5000 * 0.1) == pytest.approx(  # type: ignore[union-attr]
        example.privacy.divisor / (3634 * example.privacy.sampling_rate),  # type: ignore[union-attr]
        rel=1e-3,
    )
    head = studies.Job(games, mode, "head", 8.0).config().mechanism
    assert head.training == studies.Job(sentences, mode, "head", 8.0).config().mechanism.training


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
