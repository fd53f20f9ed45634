"""Where the notes of a data set go: to whoever started the run, and into what the run releases.

Notes of sites' own files count rows of these files, and report and model card travel: such notes
are said, and are not released.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from audits.data_facts import OWN_FILES_NOTE
from domains.catalogue import ENTRIES, Published
from domains.own_files import NAME as OWN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domains.records import Dataset

_LOG = logging.getLogger(__name__)

_EVALUATION_SET: Final = "Evaluation set: "
"""Begins the note that says what is scored on; no such note counts anything of a site's."""


def say(notes: Iterable[str]) -> None:
    """Tell whoever started this program what was noted as records were loaded."""
    for note in notes:
        _LOG.warning("%s", note)


def is_published(name: str) -> bool:
    """Return whether the data set of this name is read from published files."""
    entry = ENTRIES.get(name)
    return entry is not None and isinstance(entry.source, Published)


def say_if_published(dataset: Dataset) -> None:
    """Tell them of a published data set, wherever its files were found.

    Of a generated one nothing is dropped, and its notes are the same in every run.
    """
    if is_published(dataset.name):
        say(dataset.notes)


def reported(dataset: Dataset) -> tuple[str, ...]:
    """Return what the run's report notes of the data set."""
    return (OWN_FILES_NOTE,) if dataset.name == OWN else dataset.notes


def on_card(dataset: Dataset) -> tuple[str, ...]:
    """Return what the adapter's model card notes of the data set, beside its scores."""
    if dataset.name != OWN:
        return dataset.notes
    return tuple(note for note in dataset.notes if note.startswith(_EVALUATION_SET))
