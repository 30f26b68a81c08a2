"""Single rows of a tensor column of a file in a bucket, by byte range: a row group of embeddings is megabytes, a row some kilobytes."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .parquet_ranges import open_parquet, rows_of_groups
from .storage import Storage
from .tensor_pages import HEADER_BYTES, values_start


class Layout(NamedTuple):
    """How a tensor column lies in a file."""

    first_rows: list[int]
    """Place of the first row of each group, and the number of rows."""
    width: int
    dtype: np.dtype
    shape: tuple[int, ...]
    starts: dict[int, int | None]
    """Where the values of a group begin, as far as that is known; None where they do not lie as they are."""


@lru_cache(maxsize=512)
def _layout(storage: Storage, path: str, size_bytes: int, name: str) -> Layout:
    with open_parquet(storage, path, size_bytes) as parquet:
        field = parquet.file.schema_arrow.field(name)
        first_rows = rows_of_groups(parquet.group_rows()).tolist()
    stated = field.metadata
    shape = tuple(json.loads(stated[b"shape"]))
    return Layout(first_rows, field.type.byte_width, np.dtype(stated[b"dtype"].decode()), shape, {})


def _find_starts(storage: Storage, path: str, size_bytes: int, name: str, groups: Sequence[int]) -> None:
    """Notes where the values of some groups begin: reads the beginnings of their pages, all at once."""
    layout = _layout(storage, path, size_bytes, name)
    with open_parquet(storage, path, size_bytes) as parquet:
        place = parquet.file.schema.names.index(name)
        chunks = [parquet.footer.row_group(group).column(place) for group in groups]
    headers = storage.get_spans(path, [(one.data_page_offset, one.data_page_offset + HEADER_BYTES) for one in chunks])
    for group, chunk, header in zip(groups, chunks, headers, strict=True):
        rows = layout.first_rows[group + 1] - layout.first_rows[group]
        layout.starts[group] = values_start(chunk, header, rows, layout.width)


def tensor_rows(
    storage: Storage, path: str, size_bytes: int, name: str, places: Sequence[int]
) -> dict[int, np.ndarray] | None:
    """The values of some rows by their places in the file; None where the column does not lie as it is. Raises FileNotFoundError.

    The column is a tensor without nulls.
    """
    layout = _layout(storage, path, size_bytes, name)
    groups = [bisect_right(layout.first_rows, place) - 1 for place in places]
    if unknown := sorted({group for group in groups if group not in layout.starts}):
        _find_starts(storage, path, size_bytes, name, unknown)
    begins = []
    for place, group in zip(places, groups, strict=True):
        start = layout.starts[group]
        if start is None:
            return None
        begins.append(start + (place - layout.first_rows[group]) * layout.width)
    pieces = storage.get_ranges(path, begins, layout.width)
    return {
        place: np.frombuffer(piece, layout.dtype).reshape(layout.shape)
        for place, piece in zip(places, pieces, strict=True)
    }
