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

_HEADER_BYTES = 48
"""More than the beginning of a page's header that is read here: five numbers of at most 1 + 5 bytes, and a mark."""
_I32_FIELD = 0x15
"""A field of 32 bits whose number is one more than that of the field before it."""
_CHECKSUM_THEN_STRUCT, _STRUCT = 0x1C, 0x2C
"""A struct whose number is one or two more than that of the field before it: with a checksum between, and without."""
_DATA_PAGE = 0
_PLAIN = {"PLAIN", "RLE"}
"""Encodings of a column with plain values, whose nulls are run-length encoded."""


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
            size, held = page_of(self.content[start : start + _HEADER_BYTES].tobytes())
            plain = chunk.compression == "UNCOMPRESSED" and set(chunk.encodings) <= _PLAIN
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


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer (7 bits per byte, lowest first), and the position after it.

    >>> _varint(bytes([0x80, 0x01]), 0)
    (128, 2)
    """
    value = shift = 0
    while content[at] & 0x80:
        value, shift, at = value | (content[at] & 0x7F) << shift, shift + 7, at + 1
    return value | content[at] << shift, at + 1


def page_of(header: bytes) -> tuple[int, int]:
    """Bytes and rows of an uncompressed data page, from the beginning of its header; (0, 0) for another page.

    >>> page_of(bytes([0x15, 0x00, 0x15, 0x80, 0x01, 0x15, 0x80, 0x01, 0x2C, 0x15, 0x20]))
    (64, 16)
    """
    found, at = [], 0
    for _ in ("type", "uncompressed_page_size", "compressed_page_size"):
        if header[at] != _I32_FIELD:
            return 0, 0
        value, at = _varint(header, at + 1)
        found.append(value >> 1)  # zigzag of a number that is never negative
    kind, size, compressed = found
    if kind != _DATA_PAGE or size != compressed:
        return 0, 0
    if header[at] == _I32_FIELD:
        _, at = _varint(header, at + 1)
        at += header[at] == _CHECKSUM_THEN_STRUCT
    else:
        at += header[at] == _STRUCT
    if header[at] != _I32_FIELD:
        return 0, 0
    rows, _ = _varint(header, at + 1)
    return size, rows >> 1


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
        header, at = _varint(content, at)
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
