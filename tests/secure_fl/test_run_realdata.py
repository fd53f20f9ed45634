"""One round on published text, where it is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tiny_run import RECORD, SCRUBBED, Setting, Watcher, tiny_config, write_policy

from domains.catalogue import load_dataset
from secure_fl.embedded import EmbeddedPlaces, start_run
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

PHRASEBANK = "finance.phrasebank"


@pytest.mark.realdata
def test_a_private_round_runs_on_the_financial_phrasebank(
    tiny: TinyModel, tmp_path: Path, shared_data: Path
) -> None:
    folder = shared_data / "fpb"
    setting = Setting(tmp_path, tiny)
    policy = write_policy(
        tmp_path / "fpb.toml", tiny, required_scrubbing=SCRUBBED, dataset=PHRASEBANK
    )
    config = tiny_config(
        tiny,
        # A site holds a third of the 4846 - 1212 training sentences.
        RECORD | {"sampling_rate": 0.02, "divisor": 24.0},
        rounds=1,
        scrub=SCRUBBED,
        dataset=PHRASEBANK,
    )
    places = EmbeddedPlaces(state=setting.state, policy=policy, data=folder, budget_carried=True)
    watcher = Watcher()
    start_run(config, setting.out, places, watcher)
    verify_run(setting.out, setting.root)
    (result,) = watcher.results
    assert result.scores.n == 1212
    assert result.scores.majority_accuracy == 729 / 1212
    released = b"".join(path.read_bytes() for path in setting.out.rglob("*") if path.is_file())
    data = load_dataset(PHRASEBANK, data=folder, seed=0)
    assert not any(record.text.encode() in released for record in data.train)
