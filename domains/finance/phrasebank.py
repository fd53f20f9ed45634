"""The Financial PhraseBank v1.0 in its published files.

Malo, Sinha, Korhonen, Wallenius and Takala, "Good debt or bad debt: Detecting semantic
orientations in economic texts", JASIST 65(4), 2014. Four files, one per level of agreement
among the annotators, each `sentence@label` in ISO-8859-1 with one sentence per line.

No split was published. FinGPT, OpenFedLLM and FlowerTune score on the quarter that
`datasets.Dataset.train_test_split(test_size=0.25, seed=42)` takes from the 50 % file, which is
`numpy.random.default_rng(42).permutation(4846)[:1212]`.

A message about a file names the file and the row, never the sentence.
"""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.finance.fingpt_split import fingpt_test_rows
from domains.hub_files import HubFiles
from domains.records import Dataset, Record
from domains.sentence_choices import Agreement, Split

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "ENCODING",
    "EXPECTED_FILES",
    "LABELS",
    "LICENCE",
    "NAME",
    "Agreement",
    "Split",
    "evaluation_rows",
    "load",
    "read_rows",
]

NAME: Final = "finance.phrasebank"
LABELS: Final = ("negative", "neutral", "positive")
LICENCE: Final = "CC BY-NC-SA 3.0 (Malo et al. 2014): not for commercial use"
ENCODING: Final = "iso-8859-1"

_TEST_SHARE: Final = 0.25


EXPECTED_FILES: Final = tuple(level.file_name for level in Agreement)
ARCHIVE: Final = "data/FinancialPhraseBank-v1.0.zip"
"""In which `takala/financial_phrasebank` on the Hugging Face hub holds the files as published."""
HUB: Final = HubFiles(
    "takala/financial_phrasebank", "1484d06fe7af23030c7c977b12556108d1f67039", (ARCHIVE,)
)

_IN_ARCHIVE: Final = "FinancialPhraseBank-v1.0/"


def load(
    folder: Path,
    *,
    agreement: Agreement = Agreement.HALF,
    split: Split = Split.FINGPT,
    drop_overlap: bool = True,
) -> Dataset:
    """Return the data set of one of the published files.

    Args:
        folder: where the published files lie, or their archive as the hub's copy has it.
        agreement: which file.
        split: which rows are the evaluation set.
        drop_overlap: drop training rows whose sentence is also in the evaluation set, so that
            the score is of unseen sentences only. Either way `notes` counts them.

    Raises:
        ConfigError: the folder or file is absent or unreadable, a row is malformed, the file
            does not hold the published number of rows, or the split does not exist for it.
    """
    if split is Split.FINGPT and agreement is not Agreement.HALF:
        raise ConfigError(
            f"The {split.value} split is defined on {Agreement.HALF.file_name} only: with "
            f"{agreement.file_name} a score would look comparable with the literature and not "
            f"be. Choose agreement {Agreement.HALF.value}, or split {Split.QUARTER.value}."
        )
    records = _published(folder, agreement)
    rows = evaluation_rows(len(records))
    held_out = set(rows)
    evaluation = tuple(records[index] for index in rows)
    train = tuple(record for index, record in enumerate(records) if index not in held_out)
    shared = {record.text for record in evaluation}
    overlapping = [record for record in train if record.text in shared]
    if drop_overlap:
        train = tuple(record for record in train if record.text not in shared)
    return Dataset.of(
        name=NAME,
        labels=LABELS,
        train=train,
        evaluation=evaluation,
        licence=LICENCE,
        notes=_notes(agreement, split, train, overlapping, dropped=drop_overlap),
    )


def evaluation_rows(rows: int) -> tuple[int, ...]:
    """Return the 0-based rows of the evaluation set, in the order that the split draws them."""
    return fingpt_test_rows(rows, _TEST_SHARE)


def _published(folder: Path, agreement: Agreement) -> tuple[Record, ...]:
    """Return the rows of one file, from the folder or from the archive in it."""
    archive = folder / ARCHIVE
    prefix = f"fpb-{agreement.value}"
    if not archive.is_file():
        return read_rows(_file(folder, agreement), rows=agreement.rows, prefix=prefix)
    try:
        with zipfile.ZipFile(archive) as files:
            path = zipfile.Path(files, f"{_IN_ARCHIVE}{agreement.file_name}")
            if not path.is_file():
                raise ConfigError(
                    f"{archive} has no {agreement.file_name}: nothing was loaded. Copy it again."
                )
            return read_rows(path, rows=agreement.rows, prefix=prefix)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ConfigError(
            f"{archive} is no whole archive of the published files ({type(error).__name__}): "
            "nothing was loaded. Copy it again."
        ) from error


def read_rows(path: Path | zipfile.Path, *, rows: int | None, prefix: str) -> tuple[Record, ...]:
    """Return one record per line of a `sentence@label` file; ids are `prefix-ROW`, from 1.

    Args:
        path: the file, alone or in an archive.
        rows: how many rows it must have, or None to accept any number.
        prefix: of the records' ids.

    Raises:
        ConfigError: naming file and row, never text: a line without `@`, an empty sentence, an
            unknown label, another encoding than ISO-8859-1, a last line without its end (the
            file was cut), or another number of rows.
    """
    try:
        with path.open("rb") as file:
            # A binary file's lines end at the newline byte alone; text lines would also end at
            # characters that ISO-8859-1 uses within a sentence.
            records = tuple(
                _record(path, number, line, prefix) for number, line in enumerate(file, start=1)
            )
    except OSError as error:
        raise ConfigError(
            f"{path} could not be read ({error.strerror}): nothing was loaded. "
            "Let this user read the file."
        ) from error
    if rows is not None and len(records) != rows:
        raise ConfigError(
            f"{path} has {len(records)} rows, the published file {rows}: the split would not be "
            "the published one. Copy the published file again."
        )
    return records


def _record(path: Path | zipfile.Path, number: int, line: bytes, prefix: str) -> Record:
    where = f"Row {number} of {path}"
    if not line.endswith(b"\n"):
        raise ConfigError(
            f"{where} has no end: the file was cut there, and a part of the data would be "
            "missing from every score. Copy the published file again."
        )
    line = line[:-1].removesuffix(b"\r")
    if not _is_latin1_text(line):
        raise ConfigError(
            f"{where} is not ISO-8859-1 text (it looks re-encoded or damaged): the model would "
            "read other characters than the published ones. Copy the published file again."
        )
    sentence, separator, label = line.decode(ENCODING).rpartition("@")
    if not separator:
        raise ConfigError(
            f"{where} has no '@': it is not `sentence@label`, so its label is unknown. "
            "Copy the published file again, or correct the row."
        )
    if label not in LABELS:
        raise ConfigError(
            f"{where} has an unknown label: it would be trained as something it is not. "
            f"After the last '@' stands one of {', '.join(LABELS)}."
        )
    if not sentence.strip():
        raise ConfigError(
            f"{where} has a label and no sentence: there is nothing to read. "
            "Remove the row or restore its sentence."
        )
    return Record(f"{prefix}-{number:05d}", sentence, LABELS.index(label))


def _is_latin1_text(line: bytes) -> bool:
    """Tell whether a line is plausible ISO-8859-1, in which every byte sequence decodes.

    Control characters (C0 and C1, where Windows-1252 has its quotes and UTF-16 its zeros) are
    no text, and a non-ASCII line that is valid UTF-8 was written as UTF-8: in Latin script an
    accented capital is not followed by a control character or a symbol.
    """
    if any(byte < 0x20 or 0x7F <= byte < 0xA0 for byte in line):  # noqa: PLR2004 - C0, DEL, C1
        return False
    if line.isascii():
        return True
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _file(folder: Path, agreement: Agreement) -> Path:
    path = folder / agreement.file_name
    if not folder.is_dir():
        raise ConfigError(
            f"{folder} is not a folder: nothing was loaded. Name the folder that holds "
            f"{', '.join(EXPECTED_FILES)}."
        )
    if not path.is_file():
        raise ConfigError(
            f"{folder} has no {agreement.file_name}, so it is not the Financial PhraseBank that "
            f"the run asks for: nothing was loaded. Expected files: {', '.join(EXPECTED_FILES)}."
        )
    return path


def _notes(
    agreement: Agreement,
    split: Split,
    train: tuple[Record, ...],
    overlapping: list[Record],
    *,
    dropped: bool,
) -> tuple[str, ...]:
    sentences = len({record.text for record in overlapping})
    fate = "dropped from training" if dropped else "kept in training, so the score is flattered"
    repeated = sum(count - 1 for count in Counter(record.text for record in train).values())
    overlap = (
        f"{sentences} sentences stand on both sides of the split; "
        f"{len(overlapping)} training rows with them were {fate}."
    )
    repeats = f"{repeated} training rows repeat the sentence of another training row and were kept."
    if split is Split.FINGPT:
        standing = "Evaluation set: the test split of FinGPT, OpenFedLLM and FlowerTune."
    else:
        standing = (
            f"Evaluation set: a quarter of {agreement.file_name}; "
            "not comparable with published scores."
        )
    return overlap, repeats, standing
