from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from flower_echo import LARGE_BYTES, PATIENT
from flower_network import FlowerNetwork
from tiny_model import build_tiny_model
from tiny_run import (
    BUDGET,
    DATASET,
    RECORD,
    tiny_config,
    write_config,
    write_policy,
)

from crypto.keyfiles import read_public
from domains.catalogue import load_dataset
from domains.partition import equal
from privacy.ledger import Ledger
from secure_fl.consortium import open_consortium
from secure_fl.site_home import now
from secure_fl.transport.bundle import COMPONENTS, METADATA, write_bundle
from secure_fl.verification import verify_run

MODULES = Path(__file__).parent


@pytest.mark.flower
@pytest.mark.timeout(300)
def test_bytes_cross_a_real_superlink_and_no_word_of_a_failure_does(tmp_path: Path) -> None:
    sites = {}
    for name in ("site-1", "site-2"):
        sites[name] = tmp_path / f"the folder of {name}"
        sites[name].mkdir()
        (sites[name] / "greeting").write_text(f"{name} says ", encoding="utf-8")
    coordinator = tmp_path / "coordinator"
    coordinator.mkdir()
    bundle = tmp_path / "secure-fl-run"
    write_bundle(bundle, sites=2, timeout_seconds=120)
    text = (bundle / METADATA).read_text(encoding="utf-8")
    for component, target in COMPONENTS.items():
        text = text.replace(target, f"flower_echo:{component.removesuffix('app')}_app")
    (bundle / METADATA).write_text(text, encoding="utf-8")

    with FlowerNetwork(tmp_path / "network", coordinator, sites, MODULES) as network:
        streamed = network.submit(bundle, seconds=200)
        logs = network.logs()

    assert (coordinator / "result.json").exists(), streamed + logs
    result = json.loads((coordinator / "result.json").read_text(encoding="utf-8"))
    assert result == {
        "hello": {"site-1": "site-1 says olleh", "site-2": "site-2 says olleh"},
        "large": {"site-1": len("site-1 says "), "site-2": len("site-2 says ")},
        "last": {"site-2": "site-2 says no og"},
        "failures": {"site-1": "internal", "site-9": "lost"},
    }
    assert LARGE_BYTES > 2 * 5_242_880, "the large message went in more than two pieces"
    assert PATIENT not in streamed + logs
    assert "ValueError" in network.log_of("supernode-site-1"), "the site's own log says what failed"
    assert "ValueError" not in network.log_of("superlink")


PARTS = 20
"""A site of this test has a twentieth of the generated records."""


def write_table(path: Path, table: dict[str, Any]) -> None:
    path.write_text(tomli_w.dumps(table), encoding="utf-8")


@pytest.mark.flower
@pytest.mark.timeout(420)
def test_a_masked_private_round_runs_over_a_real_superlink(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "tiny-bert")
    config = tiny_config(model, RECORD, sites=2, rounds=1)
    policy = write_policy(tmp_path / "policy.toml", model)
    state = tmp_path / "state"
    open_consortium(state, 2, policy).close()
    coordinator = state / "coordinator"
    write_config(coordinator / "run.toml", config)
    write_table(coordinator / "coordinator.toml", {"schema": "secure-fl.coordinator.v1"})
    sites = {name: state / "sites" / name for name in ("site-1", "site-2")}
    for part, site in enumerate(sites.values(), start=1):
        data = {"dataset": DATASET, "seed": 5, "part": part, "parts": PARTS}
        runtime = {"base_model": str(model.folder)}
        table = {"schema": "secure-fl.site.v1", "data": data, "runtime": runtime}
        write_table(site / "site.toml", table)
    bundle = tmp_path / "secure-fl-run"
    write_bundle(bundle, sites=2, timeout_seconds=120)

    with FlowerNetwork(tmp_path / "network", coordinator, sites, MODULES) as network:
        streamed = network.submit(bundle, seconds=360)
        logs = streamed + network.logs()

    run = coordinator / "run"
    assert (run / "manifest.json").exists(), logs
    verify_run(run, read_public(state / "consortium" / "root.pub"))
    facts = json.loads((run / "facts.json").read_bytes())
    assert [row["sites_in_sum"] for row in facts["rounds"]] == [2]
    assert facts["protection"]["kind"] == "masked-sum"
    assert "one-process-held-all-keys" not in facts["warnings"]
    for name, site in sites.items():
        with Ledger.open(site / "ledger.sqlite", clock=now) as ledger:
            assert [entry.draw is None for entry in ledger.entries()] == [True, False]
            (charge,) = (c for c in facts["privacy"]["sites"] if c["site"] == name)
            assert ledger.spent(BUDGET, 1e-5) == pytest.approx(charge["charged_epsilon"])
            assert ledger.head().hex() == charge["ledger_head"]
        assert not (site / "site.log").exists(), "nothing was refused"

    written = [path for path in run.rglob("*") if path.is_file()]
    seen = logs + "".join(path.read_text("utf-8", errors="replace") for path in written)
    for text in texts_of_the_sites():
        assert text not in seen
        for number in re.findall(r"\b[A-Z]{2}\d{2}(?: ?\w{4}){3,}", text):
            assert number not in seen
    assert "Traceback" not in logs


def texts_of_the_sites() -> list[str]:
    shares = equal(load_dataset(DATASET, data=None, seed=5).train, PARTS, 5)[:2]
    texts = [record.text for share in shares for record in share]
    assert len(texts) == 240
    return texts
