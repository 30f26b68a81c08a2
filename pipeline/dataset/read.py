"""Opens what a run stored: the current snapshot, its rows, its videos. Readers follow snapshots, never folders."""

from __future__ import annotations

import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...schemas import snapshot as snapshots
from ...schemas.file_records import ShardInfo, TableInfo
from ...schemas.group_cache import Group, read_files
from ...schemas.parquet_ranges import open_parquet
from ...schemas.row_places import RowPlaces
from ...schemas.small_arrays import flags, int64_array, string_array
from ...schemas.snapshot import Snapshot
from ...schemas.storage import Storage
from ...schemas.table_records import TableRecords
from ...schemas.tables import REMOVED, TITLE_EMBEDDINGS, conformed, failures_schema, videos_schema
from ...schemas.tensor_rows import tensor_rows


@contextmanager
def stored_file(storage: Storage, path: str) -> Iterator[Path]:
    """A stored file on local disk: where it lies, or a copy for the time that the context is open.

    Raises FileNotFoundError.
    """
    local = storage.local_path(path)
    if local is not None:
        yield local
        return
    with tempfile.TemporaryDirectory(prefix="reelbeam-read-") as folder:
        copy = Path(folder, "file")
        storage.fetch(path, copy)
        yield copy


def read_table(storage: Storage, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of one stored Parquet file. `pq.read_table` would import pandas and pyarrow's datasets."""
    with stored_file(storage, path) as file, pq.ParquetFile(file) as parquet:
        table = parquet.read(None if columns is None else list(columns))
        return table if columns is None else table.select(columns)


def shard_batches(
    storage: Storage, shard: ShardInfo, columns: Sequence[str], rows: int = 2048
) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
    """The rows of one shard without removed ones: their global numbers int64 [n], and the requested columns."""
    wanted = [*columns, *(["video_id"] if shard.removed and "video_id" not in columns else [])]
    removed = string_array(shard.removed)
    given, at = shard.row_numbers(), 0
    with open_parquet(storage, shard.path, shard.bytes) as parquet:
        for batch in parquet.batches(rows, wanted):
            numbers = given[at : at + len(batch)]
            at += len(batch)
            if shard.removed:
                counts = pc.invert(pc.is_in(batch["video_id"], removed))
                batch, numbers = batch.filter(counts), numbers[flags(counts)]
            yield numbers, batch.select(columns)


def are_held(shards: Iterable[ShardInfo], numbers: np.ndarray) -> np.ndarray:
    """Whether some shard file contains each global row number int64 [n], removed rows included: bool [n].

    >>> shard = ShardInfo("p", 3, 0, "", ("a", 0), ("b", 0), 7, stretches=((7, 1), (20, 2)))
    >>> are_held([shard], np.array([6, 7, 8, 21, 22])).tolist()
    [False, True, False, True, False]
    """
    runs = np.array(sorted(run for shard in shards for run in shard.runs), np.int64).reshape(-1, 2)
    if not len(runs):
        return np.zeros(len(numbers), bool)
    ends = np.maximum.accumulate(runs.sum(axis=1))  # stretches of shards of several snapshots may overlap
    at = np.searchsorted(runs[:, 0], numbers, "right") - 1
    found: np.ndarray = (at >= 0) & (numbers < ends[at])
    return found


WIDE = "frame_embedding"
"""The column that makes up most of a shard: of a bucket, single rows of it are read."""

Held = tuple[ShardInfo, dict[int, int]]
"""A shard and the places of some rows in it, by global number."""


def _rows(
    held: Held, groups: Sequence[tuple[int, Group]], columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(global number, columns) of the rows of a shard, in the order of the file; removed ones are left out."""
    shard, places = held
    order = sorted((place, number) for number, place in places.items())
    starts = [start for start, _ in groups]
    for at, (start, group) in enumerate(groups):
        first = bisect_left(order, (start, -1))
        last = bisect_left(order, (starts[at + 1], -1)) if at + 1 < len(groups) else len(order)
        values = [(name, group.values(name)) for name in columns]
        owner = group.values("video_id") if shard.removed else None
        for place, number in order[first:last]:
            if owner is None or owner(place - start) not in shard.removed:
                yield number, {name: value(place - start) for name, value in values}


def _newest(rows: pa.Table) -> pa.Table:
    """The last row of each video among some rows of the videos table, without removed videos."""
    last = {video_id: at for at, video_id in enumerate(rows["video_id"].to_pylist())}
    newest = rows.take(int64_array(last.values()))
    return newest.filter(pc.not_equal(newest["status"], string_array([REMOVED])[0]))


@dataclass(frozen=True)
class Dataset:
    """One snapshot, open for reading."""

    storage: Storage
    snapshot: Snapshot

    @classmethod
    def open(cls, output: str, version: int | None = None) -> Dataset:
        """The current snapshot of OUTPUT, or an older one. Raises UsageError where there is none."""
        storage = Storage.at(output)
        return cls(storage, snapshots.load(storage, version))

    def batches(self, columns: Sequence[str], rows: int = 2048) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
        """All rows without removed ones, shard by shard: their global numbers int64 [n], and the requested columns."""
        for shard in self.snapshot.shards:
            yield from self.shard_batches(shard, columns, rows)

    def shard_batches(
        self, shard: ShardInfo, columns: Sequence[str], rows: int = 2048
    ) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
        """The rows of one shard, without removed ones."""
        yield from shard_batches(self.storage, shard, columns, rows)

    def take(self, numbers: Sequence[int], columns: Sequence[str]) -> dict[int, dict[str, Any]]:
        """Rows by global number, without removed ones. Reads only the row groups that contain them, unless they are in memory; of a
        bucket's embeddings only the rows."""
        held = self._places.find(numbers)
        if not self.storage.is_local and WIDE in columns and len(columns) > 1:
            rows = self.take(numbers, [name for name in columns if name != WIDE])
            return self._widened(rows, held)
        wanted = [
            *columns,
            *(["video_id"] if "video_id" not in columns and any(one.removed for one, _ in held) else []),
        ]
        files = [(shard.path, shard.bytes, list(places.values())) for shard, places in held]
        read = zip(held, read_files(self.storage, files, wanted), strict=True)
        return {number: row for one, groups in read for number, row in _rows(one, groups, columns)}

    def _widened(self, rows: dict[int, dict[str, Any]], held: Sequence[Held]) -> dict[int, dict[str, Any]]:
        """The rows with the column WIDE, read by range where it lies so that it can be."""
        for shard, places in held:
            wanted = {number: place for number, place in places.items() if number in rows}
            found = tensor_rows(self.storage, shard.path, shard.bytes, WIDE, list(wanted.values())) if wanted else {}
            if found is None:
                [groups] = read_files(self.storage, [(shard.path, shard.bytes, list(wanted.values()))], [WIDE])
                whole = replace(shard, removed=())  # `rows` has none of the removed ones
                found = {wanted[number]: row[WIDE] for number, row in _rows((whole, wanted), groups, [WIDE])}
            for number, place in wanted.items():
                rows[number][WIDE] = found[place]
        return rows

    @cached_property
    def _places(self) -> RowPlaces:
        return RowPlaces(self.snapshot.shards)

    def table_of(self, info: TableInfo) -> pa.Table:
        """All rows of one run's table."""
        return read_table(self.storage, info.path)

    def table(self, kind: str) -> pa.Table:
        """All rows of the videos or failures tables, oldest run first."""
        schema = videos_schema(self.snapshot.shape.text_dim) if kind == "videos" else failures_schema()
        parts = [conformed(read_table(self.storage, info.path), schema) for info in getattr(self.snapshot, kind)]
        return pa.concat_tables(parts) if parts else pa.table({})

    @cached_property
    def newest(self) -> pa.Table:
        """The current videos table: the newest row of each video, without removed videos."""
        if not self.snapshot.videos:
            return pa.Table.from_batches([], videos_schema(self.snapshot.shape.text_dim))
        return _newest(self.table("videos"))

    def video_rows(self, video_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The rows of `newest` of some videos, by id. Reads only the row groups that have a row of one, unless `newest` is in memory."""
        wanted = string_array(video_ids)
        parts: Iterable[pa.Table] = (self.newest,) if "newest" in vars(self) else ()
        if not parts and len(wanted):
            schema = videos_schema(self.snapshot.shape.text_dim)
            parts = (conformed(rows, schema) for rows in self._groups_with(wanted))
        here = [rows.filter(pc.is_in(rows["video_id"], wanted)) for rows in parts]
        rows = _newest(pa.concat_tables(here)).to_pylist() if here else []
        return {row["video_id"]: row for row in rows}

    def _groups_with(self, video_ids: pa.StringArray) -> Iterator[pa.Table]:
        """The row groups of the videos table that have a row of one of some videos, oldest file first."""
        for info in self.snapshot.videos:
            with open_parquet(self.storage, info.path, info.bytes) as parquet:
                ids = parquet.groups(range(parquet.footer.num_row_groups), ["video_id"])
                held = [at for at, rows in ids if flags(pc.is_in(rows["video_id"], video_ids)).any()]
                for _, rows in parquet.groups(held, parquet.file.schema_arrow.names):
                    yield rows

    @cached_property
    def videos(self) -> Mapping[str, dict[str, Any]]:
        """The rows of `newest` as records, by video_id."""
        return TableRecords(self.newest, "video_id")

    @cached_property
    def facts(self) -> Mapping[str, dict[str, Any]]:
        """`videos` without the embeddings: all that commits and counts need, and small enough for a million videos."""
        return TableRecords(self.newest.drop_columns([*TITLE_EMBEDDINGS.values()]), "video_id")

    def standing_failures(self) -> list[dict[str, Any]]:
        """The failures of each video's newest run."""
        failures = self.table("failures").to_pylist() if self.snapshot.failures else []
        newest = self.video_rows({row["video_id"] for row in failures}) if failures else {}
        return [row for row in failures if (video := newest.get(row["video_id"])) and video["run"] == row["run"]]
