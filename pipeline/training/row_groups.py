"""Row groups of a snapshot as NumPy columns: which of their rows count, where their files lie, how they are read.

A sample is the start of `sequence` neighbouring windows of one video: one row, when that is 1.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...schemas.errors import UsageError
from ...schemas.file_records import ShardInfo
from ...schemas.local_cache import LocalCache
from ...schemas.storage import Storage
from ...schemas.tensors import tensor
from ..dataset import Dataset
from .mapped_columns import MappedFile

Columns = dict[str, np.ndarray]
"""Name -> array [rows, ...]."""

Filters = Sequence[tuple[str, str, Any]]
"""Conditions that all hold, as pyarrow writes them: [("language", "==", "en"), ("speech_ratio", ">", 0.5)]."""

MOST_OPEN = 64
"""Files that one thread keeps open: a shuffled block needs at most as many as it has row groups."""


@dataclass(frozen=True)
class Group:
    """One row group of one shard, and the samples that start in it."""

    shard: int
    """Index in the snapshot's list of shards."""
    number: int
    """Row group of the shard's file."""
    first_row: int
    """Global number of its first row."""
    rows: int
    starts: np.ndarray | None
    """int32 [samples]: rows of the group at which a sample starts; None when every row is a sample."""

    @property
    def samples(self) -> int:
        return self.rows if self.starts is None else len(self.starts)


class ShardFiles:
    """The shards' files on local disk: the files themselves, or copies of a bucket's objects, fetched once per machine.

    Copies have the name of their hash, which is checked; processes wait for each other instead of fetching twice.
    """

    def __init__(self, storage: Storage, shards: Sequence[ShardInfo], cache: str = ""):
        self.storage, self.shards = storage, shards
        self.cache = LocalCache.at(cache, bounded=False)
        self._threads = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_threads"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _threads=threading.local())

    def path(self, shard: int) -> Path:
        """Raises FileNotFoundError, and CorruptOutput for a copy that is not what the snapshot names."""
        named = self.shards[shard]
        return self.cache.file(self.storage, named.path, named.sha256)

    def open(self, shard: int) -> MappedFile:
        """A shard's file, mapped into memory, for this thread alone. The last MOST_OPEN stay open."""
        opened: dict[int, MappedFile] = vars(self._threads).setdefault("opened", {})
        if shard not in opened:
            while len(opened) >= MOST_OPEN:
                del opened[next(iter(opened))]
            opened[shard] = MappedFile.open(self.path(shard))
        return opened[shard]

    def close(self) -> None:
        self._threads = threading.local()


def groups_of(dataset: Dataset, files: ShardFiles, where: Filters = (), sequence: int = 1) -> Iterator[Group]:
    """Every row group of the snapshot with the samples that count: of videos that were not removed, and that `where` keeps.

    Raises UsageError for a condition on a column that does not exist.
    """
    for at, shard in enumerate(dataset.snapshot.shards):
        file = files.open(at).parquet
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        starts = None
        if shard.removed or where or sequence > 1:
            starts = sample_starts(file, shard.removed, where, sequence)
        row = 0
        for number, rows in enumerate(sizes):
            here = None if starts is None else (starts[(starts >= row) & (starts < row + rows)] - row).astype(np.int32)
            yield Group(at, number, shard.first_row + row, rows, here)
            row += rows


def sample_starts(file: pq.ParquetFile, removed: Sequence[str], where: Filters, sequence: int) -> np.ndarray:
    """The rows of a shard at which a sample starts, int64, rising."""
    asked = [name for name, _, _ in where]
    unknown = set(asked) - set(file.schema_arrow.names)
    if unknown:
        raise UsageError(f"where: no column {sorted(unknown)[0]!r}; there are {', '.join(file.schema_arrow.names)}")
    table = file.read(list(dict.fromkeys(["video_id", "window", *asked]))).append_column(
        "_row", pa.array(np.arange(file.metadata.num_rows))
    )
    if removed:
        table = table.filter(pc.invert(pc.is_in(table["video_id"], pa.array(removed, pa.string()))))
    if where:
        table = table.filter(pq.filters_to_expression(list(where)))
    rows = table["_row"].to_numpy()
    if sequence == 1:
        return rows
    video = pc.rank(table["video_id"], tiebreaker="dense").to_numpy()
    return rows[sequence_starts(video, table["window"].to_numpy(), sequence)]


def sequence_starts(video: np.ndarray, window: np.ndarray, sequence: int) -> np.ndarray:
    """Places at which `sequence` windows of one video follow each other without a gap, in rows sorted by both.

    >>> sequence_starts(np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 2]), 2).tolist()
    [0, 1]
    """
    last = len(video) - sequence + 1
    if last <= 0:
        return np.zeros(0, np.int64)
    ends = slice(sequence - 1, None)
    return np.flatnonzero((video[:last] == video[ends]) & (window[ends] - window[:last] == sequence - 1))


def parts_of(file: MappedFile, group: Group, columns: Sequence[str], sequence: int) -> Iterator[tuple[int, Columns]]:
    """The rows of a group, and of later ones that its sequences reach into, one row group at a time: the first one's
    place, counted from the group's first row, and name -> array [rows, ...].

    Tensors are views of the file or of what Parquet decoded, for reading only. Where a column may be null, `NAME_present`
    bool [rows] says where it is not, and the value is 0. Text and lists are Python objects.
    """
    reach = group.rows
    if group.starts is not None and len(group.starts):
        reach = max(reach, int(group.starts[-1]) + sequence)
    number, place = group.number, 0
    while place < reach:
        count = file.parquet.metadata.row_group(number).num_rows
        found = file.mapped(number, columns)
        rest = [name for name in columns if name not in found]
        if rest:
            found |= arrays(file.parquet.read_row_group(number, rest, use_threads=False))
        first = group.first_row + place
        yield place, found | {"row": np.arange(first, first + count)}
        number, place = number + 1, place + count


def arrays(table: pa.Table) -> Columns:
    """Columns as arrays [rows, ...]."""
    found = {}
    for field in table.schema:
        found[field.name] = as_array(table, field.name)
        if field.nullable:
            found[f"{field.name}_present"] = table[field.name].is_valid().to_numpy()
    return found


def as_array(table: pa.Table, name: str) -> np.ndarray:
    """One column as an array [rows, ...]; null is 0."""
    field = table.schema.field(name)
    if b"dtype" in (field.metadata or {}):
        return tensor(table, name)
    column = table[name]
    if pa.types.is_primitive(field.type):
        return (column.fill_null(0) if column.null_count else column).to_numpy()
    return np.fromiter(column.to_pylist(), object, count=len(column))


def snapshot_key(dataset: Dataset) -> str:
    """What identifies the samples of a snapshot: its shards and what is removed from them. 16 hex digits."""
    known = [(shard.sha256, shard.first_row, shard.removed) for shard in dataset.snapshot.shards]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:16]
