"""Makes a snapshot of made rows, stored as WriteShards stores them: what tests and benchmarks of readers read."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa

from reelbeam.schemas.elements import Grid
from reelbeam.schemas.example_rows import example_windows
from reelbeam.schemas.file_records import ShardInfo
from reelbeam.schemas.snapshot import Snapshot, commit, shard_path
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import RowShape
from reelbeam.schemas.tensors import tensor
from reelbeam.transforms import shard_files


def made_rows(rows: int, seed: int, shape: RowShape, videos: Sequence[int] | None = None) -> pa.Table:
    """Example rows; `videos` gives the windows of each video, which add up to `rows` (2 each if left away)."""
    table = example_windows(rows, seed, shape)
    if videos is None:
        return table
    ids = np.repeat(np.arange(len(videos)), videos)
    windows = np.concatenate([np.arange(count) for count in videos]).astype(np.int32)
    return with_columns(table, video_id=[f"{video:016x}" for video in ids], window=windows)


def with_columns(table: pa.Table, **columns: pa.Array | Sequence[Any] | np.ndarray) -> pa.Table:
    """A table with other values in some of its columns; fields and types stay."""
    for name, values in columns.items():
        field = table.schema.field(name)
        made = values if isinstance(values, pa.Array) else pa.array(values, field.type)
        table = table.set_column(table.schema.get_field_index(name), field, made)
    return table


def put_snapshot(
    output: Path, tables: Sequence[pa.Table], shape: RowShape, group_bytes: int = shard_files.ROW_GROUP_BYTES
) -> Snapshot:
    """Commits a first snapshot with one shard a table. Row groups are of about `group_bytes`."""
    storage = Storage.at(output)
    shards = []
    with mock.patch.object(shard_files, "ROW_GROUP_BYTES", group_bytes):
        for part, table in enumerate(tables):
            path = shard_path("made", part, len(tables))
            info = shard_files.put_table(storage, path, table, shard_files.write_windows)
            first, last = ((table["video_id"][at].as_py(), table["window"][at].as_py()) for at in (0, len(table) - 1))
            shards.append(ShardInfo(path, info.rows, info.bytes, info.sha256, first, last))
    grid = Grid(Fraction(1), shape.ticks)
    empty = Snapshot(1, None, "made", "2026-11-21T00:00:00+00:00", {}, {}, "made", grid, shape)
    placed, next_row = empty.add_shards(shards)
    frames = sum(int(tensor(table, "tick_valid").sum()) for table in tables)
    counts = {"videos": 0, "windows": next_row, "frames": frames}
    snapshot = Snapshot(
        1, None, "made", empty.created_at, {}, {}, "made", grid, shape, placed, counts=counts, next_row=next_row
    )
    commit(storage, snapshot)
    return snapshot
