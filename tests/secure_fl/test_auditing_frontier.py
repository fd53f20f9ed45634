"""Studies that an audit's report stands beside the run: read, or refused with the reason."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from crypto.digests import sha256
from crypto.errors import ConfigError
from secure_fl.auditing.frontier import read_frontier

sys.path.append(str(Path(__file__).parents[1] / "audits"))
import report_samples

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "studies" / "finance.phrasebank-record-head-epsilon-3.json"
FACTS = report_samples.report()
RECORDS = json.loads(STUDY.read_text())["results"][0]["n"]
FACTS = FACTS.model_copy(
    update={"data": FACTS.data.model_copy(update={"evaluation_records": RECORDS})}
)


def changed(tmp_path: Path, **keys: object) -> Path:
    path = tmp_path / "study.json"
    path.write_text(json.dumps(json.loads(STUDY.read_text()) | keys))
    return path


def test_a_committed_study_gives_its_points() -> None:
    [found] = read_frontier([STUDY], FACTS)
    results = json.loads(STUDY.read_text())["results"]
    assert found.row == "federated-dp"
    assert found.seeds == len(results) == 3
    assert found.mean == pytest.approx(sum(each["accuracy"] for each in results) / 3)
    assert found.epsilon == max(each["epsilon"] for each in results)
    assert found.source == sha256(STUDY.read_bytes()).hex()


def test_means_are_of_the_results_and_not_of_a_table_that_somebody_wrote(tmp_path: Path) -> None:
    table = json.loads(STUDY.read_text())["table"]
    forged = [line | {"accuracy": 0.99} for line in table]
    [found] = read_frontier([changed(tmp_path, table=forged)], FACTS)
    assert found.mean < 0.9


def test_what_cannot_stand_beside_the_run_is_refused(tmp_path: Path) -> None:
    data = FACTS.data.model_copy(update={"evaluation_records": 600})
    other = FACTS.model_copy(update={"data": data})
    with pytest.raises(ConfigError, match=f"{RECORDS} evaluation records, and the run on 600"):
        read_frontier([STUDY], other)
    with pytest.raises(ConfigError, match="validation part"):
        read_frontier([changed(tmp_path, split="validation")], FACTS)
    with pytest.raises(ConfigError, match="schema"):
        read_frontier([changed(tmp_path, schema="secure-fl.run.v1")], FACTS)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_frontier([tmp_path / "nowhere.json"], FACTS)


def test_more_than_anybody_would_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="201 points"):
        read_frontier([STUDY] * 201, FACTS)
