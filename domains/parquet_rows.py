"""Rows of a Parquet file, one row group at a time; the one home of pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from crypto.errors import ConfigError
from domains.own_rows import Fault, OwnRow, check_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[OwnRow]:
    """Yield the rows; of the file, one row group's needed columns are held at a time.

    Raises:
        ConfigError: it is no Parquet file or was cut (its directory stands at the end), a row
            group is damaged, or a column is absent or there twice.
        OSError: the file system fails.
    """
    number = 0
    try:
        with pq.ParquetFile(path, memory_map=False) as file:
            check_columns(path, file.schema_arrow.names, columns)
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=list(columns), use_threads=False)
                for values in zip(*(_values(table[name]) for name in columns), strict=True):
                    number += 1
                    damaged = any(isinstance(value, UnicodeDecodeError) for value in values)
                    cells = {} if damaged else dict(zip(columns, values, strict=True))
                    yield OwnRow(number, cells, Fault.ENCODING if damaged else None)
    except pa.ArrowInvalid:
        fault = "is no whole Parquet file, or was cut or damaged"
    except pa.ArrowNotImplementedError:
        fault = "is a Parquet file of a form that pyarrow does not read"
    else:
        return
    # Arrow's messages may hold a part of the file, so none is chained.
    raise ConfigError(
        f"{path} {fault}, after row {number}: nothing was loaded. Copy or export the file again."
    )


def _values(column: pa.ChunkedArray) -> list[object]:
    """Return the column's values; in the place of text that is not UTF-8, the error."""
    try:
        whole: list[object] = column.to_pylist()
    except UnicodeDecodeError:  # holds the text, so it is not chained
        return [_value(scalar) for scalar in column]
    return whole


def _value(scalar: pa.Scalar) -> object:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        return error
