from __future__ import annotations

import json
from pathlib import Path

import pytest
from flower_echo import LARGE_BYTES, PATIENT
from flower_network import FlowerNetwork

from secure_fl.transport.bundle import COMPONENTS, METADATA, write_bundle

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
