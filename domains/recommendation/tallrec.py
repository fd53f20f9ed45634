"""TALLRec's yes or no: will this person like the film (or the book)?

Bao et al., "TALLRec: An Effective and Efficient Tuning Framework to Align Large Language Model with
Recommendation", RecSys 2023 (`SAI990323/TALLRec`, folder `data/movie` or `data/book`). `train.json`
and `test.json` each hold a list of objects with `instruction`, `input` and `output`, which is
"Yes." or "No.". The authors train on a few of the training rows; here all of the file trains.
`valid.json` is for choosing settings and is not read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.overlap import separate
from domains.reading import Row, published_file
from domains.records import Dataset, Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crypto.digests import JsonValue

NAME: Final = "recommendation.tallrec"
LABELS: Final = ("No", "Yes")
LICENCE: Final = "MIT (SAI990323/TALLRec); the films' ratings under GroupLens's terms"
TRAIN_FILE: Final = "train.json"
EVALUATION_FILE: Final = "test.json"
EXPECTED_FILES: Final = (TRAIN_FILE, EVALUATION_FILE)

_ANSWERS: Final = {f"{label}.": code for code, label in enumerate(LABELS)}


def load(folder: Path, *, drop_overlap: bool = True) -> Dataset:
    """Return the data set of the two published files.

    Args:
        folder: where they lie.
        drop_overlap: drop training rows whose input is also in the test set.

    Raises:
        ConfigError: a file is absent, unreadable or malformed.
    """
    train, evaluation = (
        read_rows(published_file(folder, name, EXPECTED_FILES)) for name in EXPECTED_FILES
    )
    sides = separate(train, evaluation, drop_overlap=drop_overlap)
    return Dataset.of(
        name=NAME,
        labels=LABELS,
        train=sides.train,
        evaluation=evaluation,
        licence=LICENCE,
        notes=(
            *sides.notes,
            "Evaluation set: the published test file.",
            "No row says whose it is: a user cannot be the unit of privacy.",
        ),
    )


def read_rows(path: Path) -> tuple[Record, ...]:
    """Return one record per row; ids are `tallrec-FILE-ROW`, the text is `input`.

    Raises:
        ConfigError: naming file and row, never text: the file holds no JSON list of objects, an
            empty text, or an output that is neither "Yes." nor "No.".
    """
    records = []
    for row in _rows(path):
        row.text("instruction")
        records.append(
            Record(
                f"tallrec-{path.stem}-{row.number:06d}",
                row.text("input"),
                row.choice("output", _ANSWERS),
            )
        )
    return tuple(records)


def _rows(path: Path) -> Iterator[Row]:
    for number, value in enumerate(_listed(path), start=1):
        if not isinstance(value, dict):
            raise ConfigError(
                f"Row {number} of {path} is no JSON object: nothing was loaded. "
                "Copy the published file again."
            )
        yield Row(path, number, value)


class _TwiceError(Exception):
    """A JSON object has a key twice."""


def _once(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _TwiceError
    return found


def _listed(path: Path) -> list[JsonValue]:
    """Return the one JSON list that the file holds."""
    fault = "holds no JSON list"
    try:
        value = json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=_once)
    except OSError as error:
        raise ConfigError(
            f"{path} could not be read ({error.strerror}): nothing was loaded. "
            "Let this user read the file."
        ) from error
    except json.JSONDecodeError as error:  # holds the text, so it is not chained
        fault = f"is no JSON from line {error.lineno}, column {error.colno} on: it was cut there"
        fault += " or damaged"
    except _TwiceError:
        fault = "has a key twice in one row"
    except UnicodeDecodeError:
        fault = "is not UTF-8 text (it looks re-encoded or damaged)"
    except RecursionError:
        fault = "is nested too deeply for a list of records"
    else:
        if isinstance(value, list):
            return value
    raise ConfigError(f"{path} {fault}: nothing was loaded. Copy the published file again.")
