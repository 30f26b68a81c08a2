"""Maps tensor columns of a Parquet file into memory: a column that is one plain, uncompressed page is already an array.

Our writer stores each tensor column this way, one page per row group (`transforms/write_shards.py`). A reader that maps the file
then copies a row once, from the page cache to its batch, where Parquet's own decoder would copy it once more.
Source: https://parquet.apache.org/docs/file-format/ (data pages, Thrift's compact protocol, RLE / bit-packing hybrid).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...schemas.tensor_pages import HEADER_BYTES, PLAIN, page_of, varint


class Tensor(NamedTuple):
    """How a tensor column is declared."""

    place: int
    """Number of its column chunk in a row group."""
    width: int
    """Bytes per row."""
    dtype: np.dtype
    shape: tuple[int, ...]
    nullable: bool


class MappedFile(NamedTuple):
    """One Parquet file, opened and mapped."""

    parquet: pq.ParquetFile
    content: np.ndarray
    """uint8 [bytes], read-only."""
    columns: list[str]
    tensors: dict[str, Tensor]

    @classmethod
    def open(cls, path: Path) -> MappedFile:
        """Raises FileNotFoundError."""
        parquet = pq.ParquetFile(path, memory_map=True)
        schema, leaves = parquet.schema_arrow, parquet.schema.names
        content = np.asarray(np.memmap(path, np.uint8, "r"))
        return cls(
            parquet,
            content,
            schema.names,
            {field.name: _tensor(field, leaves) for field in schema if _is_tensor(field)},
        )

    def mapped(self, group: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Tensor columns of a row group as read-only [rows, *shape], those that lie in one page; others are left out.

        Beside one that may be null stands `NAME_present` bool [rows]; where it is null its value is 0.
        """
        stored = self.parquet.metadata.row_group(group)
        rows, found = stored.num_rows, {}
        for name in names:
            if name not in self.tensors:
                continue
            place, width, dtype, shape, nullable = self.tensors[name]
            chunk = stored.column(place)
            start, end = chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size
            size, held = page_of(self.content[start : start + HEADER_BYTES].tobytes())
            plain = chunk.compression == "UNCOMPRESSED" and set(chunk.encodings) <= PLAIN
            if not plain or held != rows:
                continue
            page = self.content[end - size : end]
            if not nullable and size == rows * width:
                found[name] = page.view(dtype).reshape(rows, *shape)
            elif nullable and (split := _present(page, rows)):
                present, values = split
                if len(values) == present.sum() * width:
                    found[f"{name}_present"] = present
                    found[name] = np.zeros((rows, *shape), dtype)
                    found[name][present] = values.view(dtype).reshape(-1, *shape)
        return found


def _is_tensor(field: pa.Field) -> bool:
    return pa.types.is_fixed_size_binary(field.type) and b"dtype" in (field.metadata or {})


def _tensor(field: pa.Field, leaves: Sequence[str]) -> Tensor:
    stated = field.metadata
    dtype, shape = np.dtype(stated[b"dtype"].decode()), tuple(json.loads(stated[b"shape"]))
    return Tensor(leaves.index(field.name), field.type.byte_width, dtype, shape, field.nullable)


def _present(page: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Which rows of a nullable column are not null, and the rest of the page, their values. None when it is not a single page."""
    length = int.from_bytes(page[:4].tobytes(), "little")
    present = levels(page[4 : 4 + length].tobytes(), rows)
    return None if present is None else (present, page[4 + length :])


def levels(content: bytes, rows: int) -> np.ndarray | None:
    """Runs of bits, bool [rows]; None when there are fewer or more.

    >>> levels(bytes([3 << 1, 1, 1 << 1 | 1, 0b101]), 6).tolist()
    [True, True, True, True, False, True]
    """
    runs, at, known = [np.zeros(0, bool)], 0, 0
    while at < len(content) and known < rows:
        header, at = varint(content, at)
        count = (header >> 1) * 8 if header & 1 else header >> 1
        if count > rows - known + 7 or at + (header >> 1 if header & 1 else 1) > len(content):
            return None
        if header & 1:  # bits as they are, eight a byte
            packed = np.frombuffer(content, np.uint8, header >> 1, at)
            runs.append(np.unpackbits(packed, bitorder="little").astype(bool))
            at += header >> 1
        else:  # one bit, so many times
            runs.append(np.full(count, bool(content[at])))
            at += 1
        known += count
    return np.concatenate(runs)[:rows] if known >= rows else None
