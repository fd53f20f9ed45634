"""What a data set holds, in numbers: labels, lengths and repeated texts; never a text."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crypto.digests import sha256
from crypto.errors import ConfigError
from domains.overlap import same_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domains.records import Dataset, Record

PERCENTS: Final = (0, 5, 50, 95, 100)
"""Which percentiles of the lengths are told."""


@dataclass(frozen=True, slots=True)
class PartDescription:
    """One part of a data set.

    Attributes:
        records: how many.
        labels: how many of each label, in label order.
        lengths: percentiles of the texts' lengths in characters, one for each of `PERCENTS`; each
            is the length of some text.
        repeated: records whose words an earlier record of this part has.
        contradicted: records whose words another record of this part has with another label. None
            where records bring options of their own: their labels are places among different ones.
    """

    records: int
    labels: tuple[int, ...]
    lengths: tuple[int, ...]
    repeated: int
    contradicted: int | None


@dataclass(frozen=True, slots=True)
class Description:
    """Both parts, and `shared`: training records whose words an evaluation record has.

    Words are the same where texts differ in case and white space alone.
    """

    train: PartDescription
    evaluation: PartDescription
    shared: int


def describe(dataset: Dataset) -> Description:
    """Return what `dataset` holds, as it was loaded."""
    trained, held_out = _words(dataset.train), _words(dataset.evaluation)
    unseen = set(held_out)
    return Description(
        _part(dataset.train, trained, len(dataset.labels)),
        _part(dataset.evaluation, held_out, len(dataset.labels)),
        sum(words in unseen for words in trained),
    )


def label_counts(records: Sequence[Record], classes: int) -> tuple[int, ...]:
    """Return how many of `records` have each label; nothing where they share no classes.

    Raises:
        ConfigError: a label is not in 0..classes-1; the record is named by its id.
    """
    if classes == 0:
        return ()
    for record in records:
        if not 0 <= record.label < classes:
            raise ConfigError(
                f"Record {record.id!r} has label {record.label}, outside the {classes} classes: "
                "nothing was counted. Correct its label."
            )
    found = Counter(record.label for record in records)
    return tuple(found[label] for label in range(classes))


def _part(records: Sequence[Record], words: Sequence[bytes], classes: int) -> PartDescription:
    lengths = np.array([len(record.text) for record in records], dtype=np.int64)
    labels: defaultdict[bytes, set[int]] = defaultdict(set)
    for record, digest in zip(records, words, strict=True):
        labels[digest].add(record.label)
    of_options = any(record.options for record in records)
    return PartDescription(
        records=len(records),
        labels=label_counts(records, classes),
        lengths=tuple(
            int(length) for length in np.percentile(lengths, PERCENTS, method="inverted_cdf")
        ),
        repeated=len(words) - len(labels),
        contradicted=None if of_options else sum(len(labels[digest]) > 1 for digest in words),
    )


def _words(records: Sequence[Record]) -> list[bytes]:
    """Return a digest of each record's words, so that no text is held twice."""
    return [sha256(same_words(record.text).encode("utf-8", "surrogatepass")) for record in records]
