"""What a domain brings, and what the catalogue says of each of its data sets.

A domain is what a consortium of one kind starts with: its data sets, what a run should scrub from
texts of this kind, the metrics that its field reports, and models to start from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from domains.sentence_choices import Agreement, Split

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from domains.hub_files import HubFiles
    from domains.prompts import TaskPrompt
    from domains.records import Dataset
    from domains.task_kinds import TaskKind


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """What a run may choose within a data set; each data set reads its own part.

    Attributes:
        train: number of generated training records, over all sites.
        evaluation: number of generated evaluation records.
        agreement: which file of the Financial PhraseBank.
        split: which of its rows are the evaluation set.
        users: how many users of a recommendation data set are loaded, at most.
    """

    train: int = 2400
    evaluation: int = 600
    agreement: Agreement = Agreement.HALF
    split: Split = Split.FINGPT
    users: int = 5000


DEFAULT_OPTIONS: Final = DatasetOptions()


@dataclass(frozen=True, slots=True)
class Published:
    """A data set of published files, and what reads them from a folder.

    Attributes:
        files: that the folder holds.
        load: reads them, or those of `hub`.
        hub: where the Hugging Face hub has them; None where it does not, or not in a form and with
            a split that could be pinned.
    """

    files: tuple[str, ...]
    load: Callable[[Path, DatasetOptions], Dataset]
    hub: HubFiles | None = None


@dataclass(frozen=True, slots=True)
class Generated:
    """A data set that is made from a seed."""

    load: Callable[[int, DatasetOptions], Dataset]


@dataclass(frozen=True, slots=True)
class Entry:
    """What the catalogue says of a data set without loading it, and how it is loaded.

    Attributes:
        name: what a run asks for.
        summary: one line for a person.
        licence: under which the texts may be used.
        labels: the classes, in label order; names of the places among the options, where records
            bring their own; none where they bring them in any number.
        split: which records are the evaluation set.
        kind: the form of its records.
        prompt: what a causal language model is asked about each.
        source: reads its published files, or generates it.
        choices: names of the `DatasetOptions` that a run may choose of it.
    """

    name: str
    summary: str
    licence: str
    labels: tuple[str, ...]
    split: str
    kind: TaskKind
    prompt: TaskPrompt = field(repr=False)
    source: Published | Generated = field(repr=False)
    choices: tuple[str, ...] = ()

    @property
    def hub(self) -> HubFiles | None:
        """Where the Hugging Face hub has the published files, if it does."""
        return self.source.hub if isinstance(self.source, Published) else None

    @property
    def files(self) -> tuple[str, ...]:
        """What the folder holds; empty for a data set that is generated."""
        return self.source.files if isinstance(self.source, Published) else ()


@dataclass(frozen=True, slots=True)
class Domain:
    """What a consortium of one kind starts with.

    Attributes:
        name: the first part of its data sets' names.
        summary: one line for a person.
        entries: its data sets.
        scrub: names of the entities that a run on such texts should scrub.
        metrics: what the field reports, the first before all.
        models: names of the base model presets to start from, the smallest first.
    """

    name: str
    summary: str
    entries: tuple[Entry, ...]
    scrub: tuple[str, ...]
    metrics: tuple[str, ...]
    models: tuple[str, ...]
