"""What the rows are called. Imports nothing heavy."""

from __future__ import annotations

import enum
from typing import Final


class Row(enum.StrEnum):
    """One row, in the order of the table."""

    MAJORITY = "majority"
    """Always the commonest training label."""
    POPULARITY = "popularity"
    """Of a ranking: how often a title stands in training records; sees all of them at once."""
    LAST_ITEM = "last-item"
    """Of a ranking: how often it followed the last one; sees all records at once."""
    FROZEN_HEAD = "frozen-head"
    """Logistic regression on features of the untuned model; sees all records at once."""
    DP_HEAD = "dp-head"
    """The run, its privacy included, with the method `linear-head`."""
    SITE_ALONE = "site-alone"
    """Each site on its own share, without any sum; the mean over sites."""
    CENTRALISED = "centralised"
    """All training records at one place, without privacy."""
    FEDERATED = "federated"
    """The run in mode none."""
    FEDERATED_DP = "federated-dp"
    """The run as it is."""


PRIVATE: Final = frozenset({Row.DP_HEAD, Row.FEDERATED_DP})
"""Rows that a run in mode none does not have."""
OF_CLASSES: Final = frozenset({Row.MAJORITY, Row.FROZEN_HEAD})
"""Rows of labels that all records have in common."""
OF_RANKINGS: Final = frozenset({Row.POPULARITY, Row.LAST_ITEM})
"""Rows of rankings alone."""
SEEDLESS: Final = OF_CLASSES | OF_RANKINGS
"""Rows in which a seed decides nothing beyond the records themselves."""
