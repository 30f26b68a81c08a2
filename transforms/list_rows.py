"""list_rows: reads the rows of a list of videos (txt, csv, parquet), one by one, each with its line number.

In:  a list on local disk.
Out: `ListRow`: a uri with the list's other columns, or the reason why the row names no video. Memory does not grow with the
     list.
Bad: a list without a column of uris, or one that cannot be read, raises UsageError.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..schemas.errors import Failure, UsageError
from .walk_folder import failure, name_failure, printable

LIST_SUFFIXES = {".txt", ".csv", ".parquet"}
URI_COLUMNS = ("uri", "url", "path", "video", "file")
SIZE_COLUMNS = ("size_bytes", "size")
ETAG_COLUMNS = ("etag", "e_tag")
MTIME_COLUMNS = ("mtime", "last_modified")
"""If the list gives a size and an etag or mtime, a remote video is not looked up: no request is sent for it."""

ROWS_AT_ONCE = 8192
"""Rows of a parquet list in memory at a time."""


@dataclass(frozen=True)
class ListRow:
    """One row. `failure` is None when it names a video."""

    line: int
    """Counted from 1. In a csv the header is line 1. In a parquet list it is the row number."""
    uri: str = ""
    title: str | None = None
    """None when the list has no such column; empty when the cell is empty."""
    description: str | None = None
    size_bytes: int | None = None
    etag: str = ""
    failure: Failure | None = None


def list_rows(path: Path, shown: str) -> Iterator[ListRow]:
    """The rows of a list; `shown` is its name in messages."""
    kind = path.suffix.lower()
    try:
        if kind == ".txt":
            yield from _lines(path)
        else:
            yield from _parquet_rows(path, shown) if kind == ".parquet" else _csv_rows(path, shown)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{shown}: the list cannot be read: {str(error).splitlines()[0]}") from error


def _lines(path: Path) -> Iterator[ListRow]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as stream:
        for number, line in enumerate(stream, 1):
            uri = line.strip()
            if uri and not uri.startswith("#"):
                yield ListRow(number, uri, failure=name_failure(uri))


def _csv_rows(path: Path, shown: str) -> Iterator[ListRow]:
    with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as stream:
        reader = csv.reader(stream)
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, shown)
        while True:
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield ListRow(reader.line_num, failure=failure("bad_row", f"line {reader.line_num}: {error}"))
                continue
            if values:
                yield row_of(reader.line_num, dict(zip(header, values, strict=False)))


def _parquet_rows(path: Path, shown: str) -> Iterator[ListRow]:
    file = pq.ParquetFile(path)
    known = {*URI_COLUMNS, *SIZE_COLUMNS, *ETAG_COLUMNS, *MTIME_COLUMNS, "title", "description"}
    _check_header(file.schema_arrow.names, shown)
    number = 0
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=[name for name in file.schema_arrow.names if name in known]):
        for row in batch.to_pylist():
            number += 1
            yield row_of(number, row)


def _check_header(header: list[str], shown: str) -> None:
    if not set(header) & set(URI_COLUMNS):
        raise UsageError(
            f"{shown}: no column {' or '.join(URI_COLUMNS)}; found {', '.join(map(printable, header)) or 'nothing'}"
        )


def row_of(line: int, row: Mapping[str, Any]) -> ListRow:
    """
    >>> row_of(2, {"uri": "s3://b/a.mp4", "size": "7", "etag": "x"})
    ListRow(line=2, uri='s3://b/a.mp4', title=None, description=None, size_bytes=7, etag='x', failure=None)
    >>> row_of(3, {"uri": "", "title": "a row without a uri"}).failure.message
    'line 3: no uri'
    """
    uri = next((row[name] for name in URI_COLUMNS if row.get(name)), None)
    if not uri or not isinstance(uri, str) or not uri.strip():
        said = "no uri" if not uri or isinstance(uri, str) else f"the uri is {uri!r}, not text"
        return ListRow(line, failure=failure("bad_row", f"line {line}: {said}"))
    if bad := name_failure(uri):
        return ListRow(line, uri, failure=failure(bad.kind, f"line {line}: {bad.message}"))
    size, etag, mtime = (_first(row, names) for names in (SIZE_COLUMNS, ETAG_COLUMNS, MTIME_COLUMNS))
    size_bytes = int(size) if size.isdigit() else None
    version = etag or (f"{mtime}-{size}" if mtime else "")
    return ListRow(
        line,
        uri.strip(),
        _text(row, "title"),
        _text(row, "description"),
        size_bytes,
        version if size_bytes is not None else "",
    )


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first non-empty value of the named columns, as text."""
    value = next((row[name] for name in names if row.get(name) not in (None, "")), "")
    return value.isoformat() if isinstance(value, datetime) else str(value).strip()


def _text(row: Mapping[str, Any], column: str) -> str | None:
    """The text of a column: empty for an empty cell, None when the list has no such column."""
    return printable_text(str(row[column] or "")).strip() if column in row else None


def printable_text(text: str) -> str:
    """Replaces bytes that are not UTF-8 by the Unicode replacement character."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
