"""The data sets by name: what exists, which files each expects, and how to load one.

Loading by name checks that a folder was given where one is needed and only there, so that a
mistyped option never turns a run on real data into one on generated data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.biomedical import pubmedqa
from domains.finance import fiqa, generator, nwgi, phrasebank, tfns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from domains.records import Dataset


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """What a run may choose within a data set; each data set reads its own part.

    Attributes:
        train: number of generated training records, over all sites.
        evaluation: number of generated evaluation records.
        agreement: which file of the Financial PhraseBank.
        split: which of its rows are the evaluation set.
    """

    train: int = 2400
    evaluation: int = 600
    agreement: phrasebank.Agreement = phrasebank.Agreement.HALF
    split: phrasebank.Split = phrasebank.Split.FINGPT


DEFAULT_OPTIONS: Final = DatasetOptions()


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalogue says of a data set without loading it, and how it is loaded.

    Attributes:
        name: what a run asks for.
        summary: one line for a person.
        licence: under which the texts may be used.
        labels: the classes, in label order.
        split: which records are the evaluation set.
        source: reads its published files, or generates it.
    """

    name: str
    summary: str
    licence: str
    labels: tuple[str, ...]
    split: str
    source: Published | Generated = field(repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        """What the folder holds; empty for a data set that is generated."""
        return self.source.files if isinstance(self.source, Published) else ()


@dataclass(frozen=True, slots=True)
class Published:
    """A data set of published files, and what reads them from a folder."""

    files: tuple[str, ...]
    load: Callable[[Path, DatasetOptions], Dataset]


@dataclass(frozen=True, slots=True)
class Generated:
    """A data set that is made from a seed."""

    load: Callable[[int, DatasetOptions], Dataset]


ENTRIES: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Entry(
                name=generator.NAME,
                summary="Generated financial sentences with invented people and accounts.",
                licence=generator.LICENCE,
                labels=generator.LABELS,
                split="generated apart: no template, name or place in common",
                source=Generated(
                    lambda seed, options: generator.generate(
                        seed, train=options.train, evaluation=options.evaluation
                    )
                ),
            ),
            Entry(
                name=phrasebank.NAME,
                summary="Financial PhraseBank v1.0, with the test split of FinGPT.",
                licence=phrasebank.LICENCE,
                labels=phrasebank.LABELS,
                split="FinGPT's quarter of the 50 % file (1212 of 4846), seed 42",
                source=Published(
                    phrasebank.EXPECTED_FILES,
                    lambda folder, options: phrasebank.load(
                        folder, agreement=options.agreement, split=options.split
                    ),
                ),
            ),
            Entry(
                name=tfns.NAME,
                summary="Twitter Financial News Sentiment, scored on its validation file.",
                licence=tfns.LICENCE,
                labels=tfns.LABELS,
                split="as published: the validation file",
                source=Published(tfns.EXPECTED_FILES, lambda folder, _: tfns.load(folder)),
            ),
            Entry(
                name=fiqa.NAME,
                summary="FiQA-SA headlines and posts, with the published test split.",
                licence=fiqa.LICENCE,
                labels=fiqa.LABELS,
                split="as published: the test file",
                source=Published(fiqa.EXPECTED_FILES, lambda folder, _: fiqa.load(folder)),
            ),
            Entry(
                name=nwgi.NAME,
                summary="News With GPT Instructions in the three classes of FinGPT.",
                licence=nwgi.LICENCE,
                labels=nwgi.LABELS,
                split="as published: the test file",
                source=Published(nwgi.EXPECTED_FILES, lambda folder, _: nwgi.load(folder)),
            ),
            Entry(
                name=pubmedqa.NAME,
                summary="PubMedQA (PQA-L): yes, no or maybe from an abstract, official test set.",
                licence=pubmedqa.LICENCE,
                labels=pubmedqa.LABELS,
                split="as published: the 500 of test_ground_truth.json",
                source=Published(pubmedqa.EXPECTED_FILES, lambda folder, _: pubmedqa.load(folder)),
            ),
        )
    }
)


def load_dataset(
    name: str, *, data: Path | None, seed: int, options: DatasetOptions = DEFAULT_OPTIONS
) -> Dataset:
    """Return the data set called `name`, validated.

    Args:
        name: as in `ENTRIES`.
        data: the folder with the published files; None for a data set that is generated.
        seed: of a generated data set; published files do not depend on it.
        options: sizes, file and split, where the usual ones are not wanted.

    Raises:
        ConfigError: the name is unknown (the message lists those that exist), a folder is given
            to a generated data set or missing for a published one, or its files do not load.
    """
    entry = ENTRIES.get(name)
    if entry is None:
        raise ConfigError(
            f"No data set is called {name!r}: nothing was loaded. "
            f"Known data sets: {', '.join(sorted(ENTRIES))}."
        )
    source = entry.source
    if isinstance(source, Generated):
        if data is not None:
            raise ConfigError(
                f"{name} is generated and reads no files, yet the folder {data} was named: "
                "training on invented text instead would not be what was asked for. Leave the "
                f"folder out, or ask for {_with_files()}."
            )
        return source.load(seed, options)
    if data is None:
        raise ConfigError(
            f"{name} needs the folder with its published files, and none was named: nothing was "
            f"loaded. Pass --data FOLDER; it holds {', '.join(entry.files)}."
        )
    return source.load(data, options)


def _with_files() -> str:
    return " or ".join(entry.name for entry in ENTRIES.values() if entry.files)
