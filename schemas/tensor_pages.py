"""Pages of Parquet that hold a tensor column: one plain, uncompressed page per row group, as our writer stores them.

Such a page is an array as it lies: a row's bytes are found without a decoder.
Source: https://parquet.apache.org/docs/file-format/ (data pages, Thrift's compact protocol).
"""

from __future__ import annotations

import pyarrow.parquet as pq

HEADER_BYTES = 48
"""More than the beginning of a page's header that is read here: five numbers of at most 1 + 5 bytes, and a mark."""
_I32_FIELD = 0x15
"""A field of 32 bits whose number is one more than that of the field before it."""
_CHECKSUM_THEN_STRUCT, _STRUCT = 0x1C, 0x2C
"""A struct whose number is one or two more than that of the field before it: with a checksum between, and without."""
_DATA_PAGE = 0
PLAIN = {"PLAIN", "RLE"}
"""Encodings of a column with plain values, whose nulls are run-length encoded."""


def varint(content: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer (7 bits per byte, lowest first), and the position after it.

    >>> varint(bytes([0x80, 0x01]), 0)
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
        value, at = varint(header, at + 1)
        found.append(value >> 1)  # zigzag of a number that is never negative
    kind, size, compressed = found
    if kind != _DATA_PAGE or size != compressed:
        return 0, 0
    if header[at] == _I32_FIELD:
        _, at = varint(header, at + 1)
        at += header[at] == _CHECKSUM_THEN_STRUCT
    else:
        at += header[at] == _STRUCT
    if header[at] != _I32_FIELD:
        return 0, 0
    rows, _ = varint(header, at + 1)
    return size, rows >> 1


def values_start(chunk: pq.ColumnChunkMetaData, header: bytes, rows: int, width: int) -> int | None:
    """Where the values of a column chunk begin in its file, which has `rows` values of `width` bytes and no nulls.

    `header` is the chunk's first HEADER_BYTES. None where it is not one plain page of just those values.
    """
    size, held = page_of(header)
    if chunk.compression != "UNCOMPRESSED" or not set(chunk.encodings) <= PLAIN or (held, size) != (rows, rows * width):
        return None
    return int(chunk.data_page_offset + chunk.total_compressed_size - size)
