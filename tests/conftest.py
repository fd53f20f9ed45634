"""What every test of the project may rely on.

Tests run without a network (`tests/run_offline.py`). Libraries that would look for one, or for
files in a home folder, are told so before they are imported.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.update(
    {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "MPLBACKEND": "Agg",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
)

# A busy machine is no fault: no test fails by the clock on the wall.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Published data and models that stand beside the checkout, where somebody put them."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of published data sets, or skip the test; in CI it has to be there."""
    folder = SHARED / "data"
    if not folder.is_dir():
        reason = f"the published data sets are not at {folder}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}: in CI a skipped test on real data would hide a fault")
        pytest.skip(reason)
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests that start real processes to the workers first: they take the longest."""
    items.sort(key=lambda item: item.get_closest_marker("flower") is None)
