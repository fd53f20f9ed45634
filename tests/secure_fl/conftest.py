from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from round_simulator import Consortium
from tiny_model import TinyModel, build_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
def make_consortium() -> Iterator[Callable[..., Consortium]]:
    """Make consortia in memory, whose ledgers are closed after the test.

    Ledgers sync every entry. Where a disk in memory is at hand they lie there: these tests are
    about the rounds, and would spend most of their time waiting for the disk.
    """
    made: list[Consortium] = []
    place = Path("/dev/shm")  # noqa: S108 - the folder in it gets a name of its own
    in_memory = place.is_dir() and os.access(place, os.W_OK)
    with tempfile.TemporaryDirectory(dir=place if in_memory else None) as root:

        def make(*args: object, **options: object) -> Consortium:
            folder = Path(root) / f"consortium-{len(made)}"
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
