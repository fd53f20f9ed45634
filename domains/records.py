"""What a site holds: labelled records, and the data set they come from.

Neither prints its text: a record's words must not reach a log, a traceback or a test report.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crypto.digests import canonical_plain_json, digest_json_streamed, member_order
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crypto.digests import PlainJson

_SCHEMA = "secure-fl.dataset-content.v1"


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled text.

    Attributes:
        id: names the record within its data set, in messages too; it never holds text.
        text: what the model reads; not shown by `repr`.
        label: index into the record's own `options` where it has some, else into the data set's
            `labels`.
        columns: what else is known of it, by name, such as whose record it is; no model reads
            these, and `repr` does not show them.
    """

    id: str
    text: str = field(repr=False)
    label: int
    columns: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    options: tuple[str, ...] = field(default=(), repr=False)
    """What one is chosen from where every record brings its own: the answers to a question, the
    items that may come next. One alone is a canary's secret. Not shown by `repr`."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Records for training and for the common evaluation, with where they come from.

    Attributes:
        name: as the catalogue lists it, such as `finance.phrasebank`.
        version: SHA-256 of the content (labels, ids, texts and labels of both parts), 32 bytes.
        labels: the classes in the order of a record's `label`; names of the places among the
            options, such as A to D, where every record brings its own; none where records have
            options in any number.
        train: the records that the sites share out among themselves.
        evaluation: the records that the consortium holds in common.
        licence: under which the texts may be used.
        notes: what a reader of a score has to know, one sentence each.

    Build it with `Dataset.of`, which validates the records and computes the version.
    """

    name: str
    version: bytes
    labels: tuple[str, ...]
    train: tuple[Record, ...] = field(repr=False)
    evaluation: tuple[Record, ...] = field(repr=False)
    licence: str
    notes: tuple[str, ...]

    @classmethod
    def of(  # noqa: PLR0913 - one argument per field, all by name
        cls,
        *,
        name: str,
        labels: tuple[str, ...],
        train: tuple[Record, ...],
        evaluation: tuple[Record, ...],
        licence: str,
        notes: tuple[str, ...],
    ) -> Dataset:
        """Return the data set of these records, with the version computed from the content.

        Raises:
            ConfigError: a part is empty, an id occurs twice, a text is blank, or a label is not
                an index into `labels`. The message names the record's id, never its text.
        """
        _check(name, labels, train, evaluation)
        version = content_digest(labels, train, evaluation)
        return cls(name, version, labels, train, evaluation, licence, notes)


def content_digest(
    labels: tuple[str, ...], train: tuple[Record, ...], evaluation: tuple[Record, ...]
) -> bytes:
    """Return the SHA-256 (32 bytes) over the canonical JSON of all content, in order.

    It is made one record at a time: no second copy of the texts is held.
    """
    return digest_json_streamed(
        {"schema": _SCHEMA, "labels": list(labels)},
        {"train": map(_content, train), "evaluation": map(_content, evaluation)},
    )


def _content(record: Record) -> bytes:
    """Return the canonical JSON of a record: id, text and label, and what else it has."""
    fields: list[PlainJson] = [record.id, record.text, record.label]
    if record.columns or record.options:
        names = sorted(record.columns, key=member_order)
        fields.append({name: record.columns[name] for name in names})
    if record.options:
        fields.append(record.options)
    return canonical_plain_json(fields)


def _check(
    name: str,
    labels: tuple[str, ...],
    train: tuple[Record, ...],
    evaluation: tuple[Record, ...],
) -> None:
    """Raise ConfigError at the first record that would make a score or a digest ambiguous."""
    for part, records in (("training", train), ("evaluation", evaluation)):
        if not records:
            raise ConfigError(
                f"{name} has no {part} records: there is nothing to train or to measure on. "
                "Point the run at a folder with the whole data set."
            )
    seen: set[str] = set()
    for record in (*train, *evaluation):
        if record.id in seen:
            raise ConfigError(
                f"{name} holds the record id {record.id!r} twice: a record would count twice in "
                "the budget, or stand on both sides of the split. Give each record its own id."
            )
        seen.add(record.id)
        if not record.text.strip():
            raise ConfigError(
                f"Record {record.id!r} of {name} has no text: nothing was loaded. "
                "Remove the row or restore its text."
            )
        _check_label(name, labels, record)


def _check_label(name: str, labels: tuple[str, ...], record: Record) -> None:
    """Raise ConfigError if it is unknown which class or option is the record's."""
    if record.options:
        if len(record.options) < 2 or not all(option.strip() for option in record.options):  # noqa: PLR2004 - one is no choice
            raise ConfigError(
                f"Record {record.id!r} of {name} has an empty option, or only one: there is "
                "nothing to choose from. Remove the row or restore its options."
            )
        if labels and len(labels) < len(record.options):
            raise ConfigError(
                f"Record {record.id!r} of {name} has {len(record.options)} options and the data "
                f"set names {len(labels)}: nothing was loaded. Correct the row's options."
            )
    choices = len(record.options) or len(labels)
    if not 0 <= record.label < choices:
        raise ConfigError(
            f"Record {record.id!r} of {name} has label {record.label}, outside its {choices} "
            f"{'options' if record.options else 'classes'}: nothing was loaded. Correct the row's "
            "label."
        )
