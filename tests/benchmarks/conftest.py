from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_model import TinyModel, build_tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator

# Opacus installs a top-level `benchmarks` too, and pytest started by its own name finds that one.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """A BERT of a few thousand weights, in Hugging Face layout."""
    return build_tiny_model(tmp_path_factory.mktemp("base") / "tiny-bert")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Benchmarks set the number of threads of their process: leave it as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
