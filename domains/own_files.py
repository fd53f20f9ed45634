"""A site's own records: any CSV, JSON lines or Parquet file, read as a classification data set.

No message, id or note holds what stands in a row: records are named by file and row. An id column
serves to find rows that stand there twice, and is not kept.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.overlap import in_several, separate
from domains.own_rows import SUFFIXES, Fault, OwnRow, own_rows
from domains.reading import is_text
from domains.records import Dataset, Record, content_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NAME: Final = "own"
LICENCE: Final = "the sites' own records, not published"
TRAINING: Final = frozenset({"train"})
EVALUATION: Final = frozenset({"test", "validation", "evaluation"})
FOLD: Final = 5
"""Without a split, a simulation scores on one in so many units."""

_CONSEQUENCES: Final = {
    Fault.LENGTH: "it is unknown which cell is the text",
    Fault.ENCODING: "the model would read other characters than were written",
    Fault.FORM: "it cannot be read, as where a file was cut or two were mixed",
    Fault.TEXT: "there is nothing to read",
    Fault.LABEL: "it would be trained as something it is not",
    Fault.UNIT: "nobody could tell whose record it is, and the guarantee would be false",
    Fault.SPLIT: "it is unknown whether it may be trained on",
    Fault.ID: "it cannot be told from the other rows",
    Fault.REPEATED: "one record would count twice, or stand on both sides of a split",
}


class BadRows(enum.StrEnum):
    """What becomes of a row that cannot be used."""

    REFUSE = "refuse"
    """The first one stops everything, by file and row."""

    DROP = "drop"
    """It is left out, and the notes count what was."""


@dataclass(frozen=True, slots=True)
class OwnFile:
    """Where a site's records are, and which columns say what.

    Attributes:
        path: a file, or, in a simulation, a folder with `site-1.csv`, `site-2.csv` and so on, or
            with a folder for each site, `site-1`, `site-2` and so on, that holds one file.
        text: the column that the model reads.
        label: the column with one of the labels.
        unit: the column that says whose a record is; it becomes the record's column of that name.
        split: the column with `train`, or one of `test`, `validation` and `evaluation`.
        id: the column in which no value may stand twice within a file.
        delimiter: between the cells of a CSV file, one character.
        bad_rows: what becomes of a row that cannot be used.
        called: how ids and notes name the file; by its own name where this is empty.

    Raises:
        ConfigError: a column is named for two purposes, or the delimiter is not one character.
    """

    path: Path
    text: str = "text"
    label: str = "label"
    unit: str | None = None
    split: str | None = None
    id: str | None = None
    delimiter: str = ","
    bad_rows: BadRows = BadRows.REFUSE
    called: str = ""

    def __post_init__(self) -> None:
        """Refuse what would read one column as another."""
        if self.columns.count(self.text) > 1 or self.columns.count(self.label) > 1:
            raise ConfigError(
                "[data] names one column for two purposes: what is learned would stand in what is "
                "read, or the other way round. Name `text`, `label` and the rest apart."
            )
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            raise ConfigError(
                "`delimiter` in [data] is one character other than a quote or a line end, such as "
                '";": nothing was loaded. Correct it.'
            )

    @property
    def name(self) -> str:
        """How ids and notes name the file."""
        return self.called or self.path.name

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read."""
        chosen = (self.text, self.label, self.unit, self.split, self.id)
        return tuple(column for column in chosen if column is not None)


@dataclass(frozen=True, slots=True)
class OwnRecords:
    """What one file holds.

    Attributes:
        train: all records, or, where a column says the split, those for training.
        evaluation: those that the column keeps for evaluation.
        notes: what was dropped, one sentence; none where nothing was.
    """

    train: tuple[Record, ...] = field(repr=False)
    evaluation: tuple[Record, ...] = field(repr=False)
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OwnSimulation:
    """A data set, and who holds what where every site of a simulation has its file.

    Attributes:
        dataset: all training records and the common evaluation.
        shares: one per site in order; None where one file is shared out by the run's rule.
    """

    dataset: Dataset
    shares: tuple[tuple[Record, ...], ...] | None = field(repr=False)


def read(file: OwnFile, labels: Sequence[str]) -> OwnRecords:
    """Return the records of one file, in its order; ids are `NAME:ROW`.

    Raises:
        ConfigError: naming file and row, never text: a row that cannot be used, unless such are
            dropped; or the file cannot be read, see `own_rows`.
    """
    check_labels(labels)
    codes = {label: code for code, label in enumerate(labels)}
    reader = _Reader(file, codes)
    for row in own_rows(file.path, file.columns, file.delimiter):
        reader.take(row)
    return reader.result()


def load_site(file: OwnFile, labels: Sequence[str]) -> OwnRecords:
    """Return what a deployed site trains on; rows that a split keeps out are counted, not used.

    Raises:
        ConfigError: nothing is left to train on; or see `read`.
    """
    found = read(file, labels)
    if not found.train:
        raise ConfigError(f"{file.path} holds no record to train on: this site cannot take part.")
    unused = f"{len(found.evaluation)} rows of {file.name} are not for training: unused."
    notes = (*found.notes, unused) if found.evaluation else found.notes
    return OwnRecords(found.train, (), notes)


def load_evaluation(file: OwnFile, labels: Sequence[str]) -> Dataset:
    """Return the data set of a deployed coordinator, whose file is the evaluation set.

    It has no training records: these stay with the sites. Of a file with a split, only the rows
    for evaluation count.

    Raises:
        ConfigError: nothing is left to evaluate on; or see `read`.
    """
    found = read(file, labels)
    evaluation = found.evaluation if file.split is not None else found.train
    if not evaluation:
        raise ConfigError(
            f"{file.path} holds no record to evaluate on: nothing could be scored. Name the file "
            "with the evaluation set that the consortium holds in common."
        )
    names = tuple(labels)
    version = content_digest(names, (), evaluation)
    notes = (*found.notes, "Evaluation set: the coordinator's own file.")
    return Dataset(NAME, version, names, (), evaluation, LICENCE, notes)


def load_simulation(
    file: OwnFile, labels: Sequence[str], *, seed: int, sites: int
) -> OwnSimulation:
    """Return the data set of a simulation, from one file or from one per site.

    Without a split a fifth of each file's units (of its records where no unit is named) is the
    evaluation set: those with the lowest BLAKE2b digest under the seed. A unit that is drawn in one
    file is held out of all, so that none stands on both sides. Texts on both sides leave training.

    A text or a unit that several sites hold stays with each, and the notes count them: each of
    these sites spends for it.

    Raises:
        ConfigError: a site would hold nothing, there is nothing to evaluate on, the folder does
            not hold one file for each site; or see `read`.
    """
    files = _site_files(file, sites) if file.path.is_dir() else (file,)
    parts = _split([read(each, labels) for each in files], file, seed)
    evaluation = tuple(record for part in parts for record in part.evaluation)
    sides = separate(
        tuple(record for part in parts for record in part.train), evaluation, drop_overlap=True
    )
    split = (
        f"the rows that the column {file.split!r} says"
        if file.split is not None
        else f"a seeded fifth of the {'records' if file.unit is None else 'units'}"
    )
    dropped = tuple(note for part in parts for note in part.notes)
    shares = _shares(files, sides.train) if file.path.is_dir() else None
    among = () if shares is None else _at_several_sites(shares, file.unit)
    dataset = Dataset.of(
        name=NAME,
        labels=tuple(labels),
        train=sides.train,
        evaluation=evaluation,
        licence=LICENCE,
        notes=(*dropped, *sides.notes, *among, f"Evaluation set: {split}."),
    )
    return OwnSimulation(dataset, shares)


def check_labels(labels: Sequence[str]) -> None:
    """Raise ConfigError if these are no classes to tell apart."""
    if len(set(labels)) < max(2, len(labels)) or not all(label.strip() for label in labels):
        raise ConfigError(
            "`labels` of a site's own data are two names or more, each once and none blank: no "
            "model could be built. List them in the order that all sites agreed on."
        )


class _Reader:
    """Sorts a file's rows into records and faults."""

    def __init__(self, file: OwnFile, codes: Mapping[str, int]) -> None:
        self._file = file
        self._codes = codes
        self._train: list[Record] = []
        self._evaluation: list[Record] = []
        self._dropped: Counter[Fault] = Counter()
        self._rows = 0
        self._seen: dict[str, int] = {}

    def take(self, row: OwnRow) -> None:
        """Keep the row's record, or count or refuse it.

        Raises:
            ConfigError: it cannot be used, and such rows are not dropped.
        """
        self._rows += 1
        fault = row.fault or self._fault(row)
        if fault is not None:
            if self._file.bad_rows is BadRows.REFUSE:
                self._refuse(row, fault)
            self._dropped[fault] += 1
            return
        file, cells = self._file, row.cells
        unit = {} if file.unit is None else {file.unit: str(cells[file.unit])}
        record = Record(
            f"{file.name}:{row.number}",
            str(cells[file.text]),
            self._codes[_word(cells[file.label])],
            unit,
        )
        held_out = file.split is not None and _word(cells[file.split]) in EVALUATION
        (self._evaluation if held_out else self._train).append(record)

    def result(self) -> OwnRecords:
        """Return what was kept, with the count of what was not."""
        notes: tuple[str, ...] = ()
        if self._dropped:
            kinds = ", ".join(f"{count} with {fault}" for fault, count in self._dropped.items())
            where = f"{self._rows} rows of {self._file.name}"
            notes = (f"{self._dropped.total()} of {where} were dropped: {kinds}.",)
        return OwnRecords(tuple(self._train), tuple(self._evaluation), notes)

    def _fault(self, row: OwnRow) -> Fault | None:
        """Return why the row cannot be used; remembers its id."""
        file, cells = self._file, row.cells
        text = cells[file.text]
        if not isinstance(text, str) or not text.strip():
            return Fault.TEXT
        if not (is_text(text) and (file.unit is None or is_text(_word(cells[file.unit])))):
            return Fault.ENCODING
        if _word(cells[file.label]) not in self._codes:
            return Fault.LABEL
        if file.unit is not None and not _word(cells[file.unit]):
            return Fault.UNIT
        if file.split is not None and _word(cells[file.split]) not in TRAINING | EVALUATION:
            return Fault.SPLIT
        return None if file.id is None else self._fault_of_id(_word(cells[file.id]), row.number)

    def _fault_of_id(self, name: str, number: int) -> Fault | None:
        if not name:
            return Fault.ID
        return None if self._seen.setdefault(name, number) == number else Fault.REPEATED

    def _refuse(self, row: OwnRow, fault: Fault) -> None:
        known = {
            Fault.LABEL: f"Known labels: {', '.join(self._codes)}. ",
            Fault.SPLIT: f"Known: {', '.join(sorted(TRAINING | EVALUATION))}. ",
        }.get(fault, "")
        of = ""
        if fault is Fault.REPEATED and self._file.id is not None:
            of = f" (row {self._seen[_word(row.cells[self._file.id])]})"
        raise ConfigError(
            f"Row {row.number} of {self._file.path} has {fault}{of}: {_CONSEQUENCES[fault]}, so "
            f'nothing was loaded. {known}Correct the row, or say `bad_rows = "drop"` in [data] '
            "to leave such rows out with a count."
        )


def _word(value: object) -> str:
    """Return a cell as the name that it is: text without white space around it, or a number."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _split(parts: Sequence[OwnRecords], file: OwnFile, seed: int) -> list[OwnRecords]:
    """Take a seeded fifth of each file's units out of training, where no column says the split.

    What one file's draw holds out is held out of every file.
    """
    if file.split is not None:
        return list(parts)

    def unit_of(record: Record) -> str:
        return record.id if file.unit is None else record.columns[file.unit]

    held_out: set[str] = set()
    for found in parts:
        units = {unit_of(record) for record in found.train}
        drawn = sorted(units, key=lambda unit: _drawn(unit, seed))
        held_out.update(drawn[: max(1, len(units) // FOLD)] if len(units) > 1 else ())
    return [
        OwnRecords(
            tuple(record for record in found.train if unit_of(record) not in held_out),
            tuple(record for record in found.train if unit_of(record) in held_out),
            found.notes,
        )
        for found in parts
    ]


def _drawn(unit: str, seed: int) -> bytes:
    key = blake2b(f"{seed}".encode(), digest_size=32).digest()
    return blake2b(unit.encode(), key=key, digest_size=16).digest()


def _site_files(file: OwnFile, sites: int) -> tuple[OwnFile, ...]:
    """Return one file per site, `site-1` to `site-N`, each of any known kind, alone or in a folder.

    Raises:
        ConfigError: others are there, or a site has none or several.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(file.path.iterdir()):
        if path.is_dir():
            found.setdefault(_site_name(path.name), []).extend(_record_files(path))
        elif path.suffix.lower() in SUFFIXES:
            found.setdefault(_site_name(path.stem), []).append(path)
    wanted = [f"site-{number}" for number in range(1, sites + 1)]
    if set(found) != set(wanted) or any(len(paths) != 1 for paths in found.values()):
        held = sum(len(paths) for paths in found.values())
        raise ConfigError(
            f"{file.path} holds {held} files of records, and the run has {sites} sites: it would "
            f"be unclear who holds what. It has to hold {wanted[0]} to {wanted[-1]}, each once, as "
            f"files that end with {', '.join(SUFFIXES)} or as folders with one such file in each."
        )
    return tuple(
        replace(file, path=path, called=path.relative_to(file.path).as_posix())
        for path in (found[name][0] for name in wanted)
    )


def _site_name(name: str) -> str:
    return re.sub(r"^site-0*", "site-", name)


def _record_files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in SUFFIXES
    )


def _shares(files: Sequence[OwnFile], train: Sequence[Record]) -> tuple[tuple[Record, ...], ...]:
    held: dict[str, list[Record]] = {file.name: [] for file in files}
    for record in train:
        held[record.id.rpartition(":")[0]].append(record)
    for file in files:
        if not held[file.name]:
            raise ConfigError(
                f"{file.path} leaves its site no record to train on: the site could not take "
                "part. Give it more records, or leave the site out."
            )
    return tuple(tuple(share) for share in held.values())


def _at_several_sites(shares: Sequence[Sequence[Record]], unit: str | None) -> tuple[str, ...]:
    """Return how many texts, and how many units, more than one site trains on."""
    texts = in_several([record.text for record in share] for share in shares)
    notes = [f"{texts} texts stand at more than one site and were kept at each."]
    if unit is not None:
        units = in_several([record.columns[unit] for record in share] for share in shares)
        notes.append(
            f"{units} units stand at more than one site: each spends at every site that holds it, "
            "and what bounds it is the composition of those sites' guarantees."
        )
    return tuple(notes)
