"""Reads requested columns and row groups of a stored Parquet file, by byte range if it is in a bucket.

A local file is memory-mapped. Of a remote file, the footer is read first, then only the needed column chunks: adjacent ones in
one request, and many requests at once.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .spans import Span, coalesce, cut
from .storage import Storage

FOOTER_BYTES = 64 << 10
"""Bytes of the first read, from the end of the file: most footers are smaller."""

BLOCK_BYTES = 32 << 20
"""Bytes of column chunks in memory at a time during a sequential read."""


class RangeFile(io.RawIOBase):
    """A remote object as a file for pyarrow. Reads are served from prefetched spans, or fetched on demand."""

    def __init__(self, storage: Storage, path: str, size_bytes: int):
        super().__init__()
        self.storage, self.path, self.size_bytes = storage, path, size_bytes
        self._at = 0
        self._spans: Sequence[Span] = ()
        self._pieces: Sequence[bytes] = ()

    def hold(self, spans: Iterable[Span]) -> None:
        """Prefetches spans and drops the previous ones."""
        self._spans = coalesce(spans)
        self._pieces = self.storage.get_spans(self.path, self._spans)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size_bytes}[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        end = self.size_bytes if size is None or size < 0 else min(self._at + size, self.size_bytes)
        start, self._at = self._at, end
        if end <= start:
            return b""
        held = cut(self._spans, self._pieces, start, end)
        return held if held is not None else self.storage.get_spans(self.path, [(start, end)])[0]


@lru_cache(maxsize=256)
def _local_footer(file: Path, size_bytes: int, written_ns: int) -> pq.FileMetaData:
    """The footer of a local file. Decoding one takes longer than reading a few rows."""
    return pq.read_metadata(file, memory_map=True)


@lru_cache(maxsize=256)
def _footer(storage: Storage, path: str, size_bytes: int) -> pq.FileMetaData:
    """The footer of a remote file. It can be cached, because stored files never change."""
    file = RangeFile(storage, path, size_bytes)
    file.hold([(max(0, size_bytes - FOOTER_BYTES), size_bytes)])
    return pq.read_metadata(file)


def chunk_spans(footer: pq.FileMetaData, group: int, columns: Sequence[str]) -> list[Span]:
    """Byte spans of the chunks of some columns in a row group. A nested column has several chunks."""
    held, wanted, spans = footer.row_group(group), set(columns), []
    for at in range(held.num_columns):
        chunk = held.column(at)
        if chunk.path_in_schema.split(".", 1)[0] in wanted:
            first = chunk.data_page_offset
            if chunk.has_dictionary_page:
                first = min(first, chunk.dictionary_page_offset)
            spans.append((first, first + chunk.total_compressed_size))
    return spans


class StoredParquet:
    """A stored Parquet file, open for reading by row group."""

    def __init__(self, file: pq.ParquetFile, remote: RangeFile | None = None):
        self.file, self.remote = file, remote
        self.footer: pq.FileMetaData = file.metadata

    def group_rows(self) -> list[int]:
        """Number of rows of each row group."""
        return [self.footer.row_group(group).num_rows for group in range(self.footer.num_row_groups)]

    def hold(self, groups: Iterable[int], columns: Sequence[str]) -> None:
        """Prefetches some columns of some row groups. Does nothing for a local file."""
        if self.remote is not None:
            self.remote.hold(span for group in groups for span in chunk_spans(self.footer, group, columns))

    def groups(self, numbers: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Reads some row groups: (number, table of these columns). Remote ones are fetched in blocks."""
        for block in self._blocks(numbers, columns):
            self.hold(block, columns)
            for group in block:
                yield group, self.file.read_row_group(group, list(columns))

    def batches(self, rows: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All rows, in order, as batches of at most `rows` rows."""
        for block in self._blocks(range(self.footer.num_row_groups), columns):
            self.hold(block, columns)
            yield from self.file.iter_batches(rows, row_groups=block, columns=list(columns))

    def _blocks(self, numbers: Sequence[int], columns: Sequence[str]) -> Iterator[list[int]]:
        """Groups of row groups to fetch together, of about BLOCK_BYTES. A local file gives a single group."""
        if self.remote is None:
            yield list(numbers)
            return
        block: list[int] = []
        held = 0
        for group in numbers:
            size = sum(end - start for start, end in chunk_spans(self.footer, group, columns))
            if block and held + size > BLOCK_BYTES:
                yield block
                block, held = [], 0
            block.append(group)
            held += size
        if block:
            yield block


@contextmanager
def open_parquet(storage: Storage, path: str, size_bytes: int) -> Iterator[StoredParquet]:
    """A stored Parquet file of known size. Raises FileNotFoundError."""
    local = storage.local_path(path)
    if local is not None:
        footer = _local_footer(local, size_bytes, local.stat().st_mtime_ns)
        with pq.ParquetFile(local, memory_map=True, metadata=footer) as file:
            yield StoredParquet(file)
        return
    remote = RangeFile(storage, path, size_bytes)
    with pq.ParquetFile(remote, metadata=_footer(storage, path, size_bytes)) as file:
        yield StoredParquet(file, remote)


def rows_of_groups(sizes: Sequence[int]) -> np.ndarray:
    """The position of the first row of each row group, and the total number of rows: int64 [groups + 1].

    >>> rows_of_groups([10, 5]).tolist()
    [0, 10, 15]
    """
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
