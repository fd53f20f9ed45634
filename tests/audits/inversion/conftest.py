"""The real models that texts are read from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_STORIES = Path(__file__).resolve().parents[4] / "shared" / "models" / "stories260K"


@pytest.fixture(scope="session")
def stories_folder() -> Path:
    """A trained Llama of 260,032 weights; where absent, skip, or fail where it is promised."""
    if not _STORIES.is_dir():
        reason = f"the published model is not at {_STORIES}"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}: in CI a skipped test on a real model would hide a fault")
        pytest.skip(reason)
    return _STORIES
