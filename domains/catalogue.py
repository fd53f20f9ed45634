"""The data sets by name: what exists, which files each expects, and how to load one.

Loading by name checks that a folder was given where one is needed and only there, so that a
mistyped option never turns a run on real data into one on generated data.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.finance import generator, phrasebank

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from domains.records import Dataset


@dataclass(frozen=True, slots=True)
class DatasetRequest:
    """Which data set a run asks for.

    Attributes:
        name: as in `ENTRIES`.
        data: the folder with the published files; None for a data set that is generated.
        seed: of a generated data set; published files do not depend on it.
        train: number of generated training records, over all sites.
        evaluation: number of generated evaluation records.
        agreement: which file of the Financial PhraseBank.
        split: which of its rows are the evaluation set.
    """

    name: str
    data: Path | None = None
    seed: int = 0
    train: int = 2400
    evaluation: int = 600
    agreement: phrasebank.Agreement = phrasebank.Agreement.HALF
    split: phrasebank.Split = phrasebank.Split.FINGPT


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalogue says of a data set without loading it.

    Attributes:
        name: what a run asks for.
        summary: one line for a person.
        licence: under which the texts may be used.
        labels: the classes, in label order.
        files: what the folder holds; empty for a data set that is generated.
    """

    name: str
    summary: str
    licence: str
    labels: tuple[str, ...]
    files: tuple[str, ...]


ENTRIES: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Entry(
                name=generator.NAME,
                summary="Generated financial sentences with invented people and accounts.",
                licence=generator.LICENCE,
                labels=generator.LABELS,
                files=(),
            ),
            Entry(
                name=phrasebank.NAME,
                summary="Financial PhraseBank v1.0, with the test split of FinGPT.",
                licence=phrasebank.LICENCE,
                labels=phrasebank.LABELS,
                files=phrasebank.EXPECTED_FILES,
            ),
        )
    }
)


def load_dataset(request: DatasetRequest) -> Dataset:
    """Return the data set that `request` names, validated.

    Raises:
        ConfigError: the name is unknown (the message lists those that exist), a folder is given
            to a generated data set or missing for a published one, or its files do not load.
    """
    entry = ENTRIES.get(request.name)
    if entry is None:
        raise ConfigError(
            f"No data set is called {request.name!r}: nothing was loaded. "
            f"Known data sets: {', '.join(sorted(ENTRIES))}."
        )
    return _LOADERS[entry.name](request)


def _generated(request: DatasetRequest) -> Dataset:
    if request.data is not None:
        raise ConfigError(
            f"{generator.NAME} is generated and reads no files, yet the folder {request.data} "
            "was named: training on invented text instead would not be what was asked for. "
            f"Leave the folder out, or ask for {phrasebank.NAME}."
        )
    return generator.generate(request.seed, train=request.train, evaluation=request.evaluation)


def _phrasebank(request: DatasetRequest) -> Dataset:
    if request.data is None:
        raise ConfigError(
            f"{phrasebank.NAME} needs the folder with its published files, and none was named: "
            f"nothing was loaded. Pass --data FOLDER; it holds "
            f"{', '.join(phrasebank.EXPECTED_FILES)}."
        )
    return phrasebank.load(request.data, agreement=request.agreement, split=request.split)


_LOADERS: Final[Mapping[str, Callable[[DatasetRequest], Dataset]]] = MappingProxyType(
    {generator.NAME: _generated, phrasebank.NAME: _phrasebank}
)
