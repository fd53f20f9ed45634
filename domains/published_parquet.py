"""Rows of a published Parquet file, read as strictly as the other published forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from domains.reading import Row, naming

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from crypto.digests import JsonValue


def parquet_records(path: Path, columns: Collection[str]) -> Iterator[Row]:
    """Yield the rows of a file with at least `columns`.

    Raises:
        ConfigError: the file cannot be read, is no Parquet file or was cut, lacks a column, or a
            row's text is not UTF-8.
    """
    from domains.parquet_rows import parquet_rows  # noqa: PLC0415 - pyarrow is heavy

    with naming(path):
        for row in parquet_rows(path, tuple(columns)):
            found = Row(path, row.number, cast("dict[str, JsonValue]", dict(row.cells)))
            if row.fault is not None:
                found.refuse(row.fault, "the model would read other characters")
            yield found
