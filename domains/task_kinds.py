"""What is asked of a model, whatever the model is. Imports nothing heavy."""

from __future__ import annotations

import enum


class TaskKind(enum.StrEnum):
    """The form of a data set's records."""

    CLASSIFICATION = "classification"
    """One of the data set's labels for each text."""

    MULTIPLE_CHOICE = "multiple-choice"
    """One of a record's own options, of which one is right."""

    RANKING = "ranking"
    """A record's own options in order: the item that comes next stands among others."""
