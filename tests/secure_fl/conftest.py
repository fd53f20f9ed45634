from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from round_simulator import Consortium
from tiny_model import TinyModel, build_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """A BERT of a few thousand weights, in Hugging Face layout."""
    return build_tiny_model(tmp_path_factory.mktemp("base") / "tiny-bert")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Runs set the number of threads of their process: leave it as it was."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_consortium(tmp_path: Path) -> Iterator[Callable[..., Consortium]]:
    """Make consortia in memory, whose ledgers are closed after the test."""
    made: list[Consortium] = []

    def make(*args: object, **options: object) -> Consortium:
        folder = tmp_path / f"consortium-{len(made)}"
        folder.mkdir()
        made.append(Consortium(folder, *args, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for consortium in made:
        consortium.close()


@pytest.fixture
def consortium(make_consortium: Callable[..., Consortium]) -> Consortium:
    """Four sites, three rounds, mode none, masked."""
    return make_consortium()
