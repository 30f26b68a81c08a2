"""Compaction: merges small shards, drops removed rows, and merges the videos and failures tables into one file each.

Every row keeps its global number: the new shard records the numbers of its rows (`ShardInfo.stretches`), so indexes,
training positions and bookmarks stay valid. The old shards stay in the store until the sweep.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...schemas import snapshot as snapshots
from ...schemas.errors import UsageError
from ...schemas.file_records import ShardInfo, TableInfo
from ...schemas.small_arrays import stretches_of
from ...schemas.snapshot import Snapshot, shard_path
from ...schemas.storage import Storage
from ...schemas.tables import failures_schema, videos_schema
from ...transforms.shard_files import put_table, put_windows
from .commit import count_videos
from .read import Dataset, read_table
from .videos_tables import LEVEL_ROWS

log = logging.getLogger("reelbeam")

SMALL = 0.25
"""A shard smaller than this share of the target size counts as small."""

MAX_TABLES = 32
"""Largest number of small files of the videos table. With more, all are merged into one."""


@dataclass(frozen=True)
class Rewrite:
    """Shards rewritten as one shard, or as none when all their rows were removed."""

    sources: tuple[ShardInfo, ...]
    made: ShardInfo | None
    rows_of: dict[str, int]
    """Rows of each video in `made`."""


def choose_groups(
    snapshot: Snapshot, known: Collection[str], shard_bytes: int, compact_from: int, removed_share: float
) -> list[list[ShardInfo]]:
    """Groups of shards to rewrite as one shard each, of at most about `shard_bytes`.

    A shard is rewritten when it contains rows of a deleted video, when more than `removed_share` of its rows were removed,
    or when it is small and there are at least `compact_from` small ones.
    """
    small = [shard for shard in snapshot.shards if _live_bytes(shard) < SMALL * shard_bytes]
    crowd = {shard.path for shard in small} if len(small) >= compact_from else set()
    due = [
        shard
        for shard in snapshot.shards
        if shard.path in crowd
        or not set(shard.removed) <= set(known)
        or shard.removed_rows > removed_share * shard.rows
    ]
    groups: list[list[ShardInfo]] = []
    size = shard_bytes
    for shard in due:
        if size + _live_bytes(shard) > shard_bytes:
            groups.append([])
            size = 0
        groups[-1].append(shard)
        size += _live_bytes(shard)
    return [group for group in groups if len(group) > 1 or group[0].removed]


def _live_bytes(shard: ShardInfo) -> int:
    return shard.bytes * (shard.rows - shard.removed_rows) // max(1, shard.rows)


def live_rows(storage: Storage, shard: ShardInfo, gone: Collection[str] = ()) -> tuple[pa.Table, np.ndarray]:
    """The rows of a shard and their numbers int64 [rows], without removed rows and those of the videos in `gone`."""
    table = read_table(storage, shard.path)
    counts = pc.invert(pc.is_in(table["video_id"], pa.array(sorted({*shard.removed, *gone}), pa.string())))
    return table.filter(counts), shard.row_numbers()[counts.to_numpy()]


def rewrite_shards(storage: Storage, sources: Sequence[ShardInfo], path: str, gone: Collection[str] = ()) -> Rewrite:
    """Writes the rows of some shards, without removed ones, as one sorted shard. Rows keep their numbers.

    Readers do not see the shard until it is committed.
    """
    parts = [live_rows(storage, shard, gone) for shard in sources]
    table = pa.concat_tables([rows for rows, _ in parts])
    numbers = np.concatenate([given for _, given in parts])
    if not len(table):
        return Rewrite(tuple(sources), None, {})
    order = pc.sort_indices(table, [("video_id", "ascending"), ("window", "ascending")])
    table, numbers = table.take(order), numbers[order.to_numpy()]
    made = replace(put_windows(storage, path, table), first_row=int(numbers.min()), stretches=stretches_of(numbers))
    if len(made.stretches) == 1:  # the row numbers are consecutive: first_row is enough
        made = replace(made, stretches=())
    return Rewrite(tuple(sources), made, dict(Counter(table["video_id"].to_pylist())))


def with_rewrites(shards: Sequence[ShardInfo], done: Sequence[Rewrite]) -> list[ShardInfo]:
    """Replaces the sources of each rewrite by the new shard. Skips a rewrite when one of its sources is no longer there.

    Videos removed from a source after it was read are marked as removed in the new shard too.
    """
    now = {shard.path: shard for shard in shards}
    standing = [one for one in done if all(source.path in now for source in one.sources)]
    put: dict[str, list[ShardInfo]] = {}
    for one in standing:
        since = {gone for source in one.sources for gone in set(now[source.path].removed) - set(source.removed)}
        since &= set(one.rows_of)
        lost = sum(one.rows_of[video_id] for video_id in since)
        whole = one.made is None or lost == one.made.rows
        made = [] if whole or one.made is None else [replace(one.made, removed=tuple(sorted(since)), removed_rows=lost)]
        put.update({source.path: [] for source in one.sources})
        put[one.sources[0].path] = made
    return [new for shard in shards for new in put.get(shard.path, [shard])]


def compact_shards(
    storage: Storage, run: str, shard_bytes: int, compact_from: int, removed_share: float
) -> Snapshot | None:
    """Rewrites the shards and tables that need it and commits them. Returns None when none does."""
    dataset = Dataset(storage, snapshots.load(storage))
    known = set(dataset.newest["video_id"].to_pylist())
    groups = choose_groups(dataset.snapshot, known, shard_bytes, compact_from, removed_share)
    crowded = sum(info.rows < LEVEL_ROWS[-1] for info in dataset.snapshot.videos) > MAX_TABLES
    if not groups and not crowded:
        return None
    done = [rewrite_shards(storage, group, shard_path(run, part, len(groups))) for part, group in enumerate(groups)]

    def next_one(parent: Snapshot | None) -> Snapshot:
        if parent is None:
            raise UsageError(f"{storage.root} has lost all its snapshots while it was being compacted")
        return compacted_snapshot(storage, parent, run, with_rewrites(parent.shards, done), crowded or bool(groups))

    return snapshots.commit_next(storage, next_one)


def compacted_snapshot(
    storage: Storage, parent: Snapshot, run: str, shards: Sequence[ShardInfo], books: bool
) -> Snapshot:
    """The snapshot after `parent` with the same rows in other shards. `books`: merges its videos and failures tables."""
    videos, failures = (parent.videos, parent.failures) if not books else gather_tables(storage, parent, run)
    known = Dataset(storage, replace(parent, videos=videos)).facts
    return replace(
        parent,
        number=parent.number + 1,
        parent=parent.number,
        run=run,
        created_at=snapshots.now(),
        shards=tuple(shards),
        videos=videos,
        failures=failures,
        holes=parent.next_row - sum(shard.rows for shard in shards),
        counts=count_videos(known, sum(table.rows for table in failures)),
    )


def gather_tables(
    storage: Storage, parent: Snapshot, run: str, without: Collection[str] = ()
) -> tuple[tuple[TableInfo, ...], tuple[TableInfo, ...]]:
    """Writes one videos table (newest row per video) and one table of current failures, without the videos in `without`."""
    dataset = Dataset(storage, parent)
    gone = pa.array(sorted(without), pa.string())
    newest = dataset.newest.filter(pc.invert(pc.is_in(dataset.newest["video_id"], gone))).sort_by("video_id")
    path = f"videos/{run}-{secrets.token_hex(3)}.parquet"
    videos = put_table(storage, path, newest.cast(videos_schema(parent.shape.text_dim)))
    return (videos,), gather_failures(dataset, run, without)


def gather_failures(dataset: Dataset, run: str, without: Collection[str] = ()) -> tuple[TableInfo, ...]:
    """Writes one table of the current failures, without the videos in `without`. Empty when there are no failures."""
    failures = [row for row in dataset.standing_failures() if row["video_id"] not in without]
    if not failures:
        return ()
    path = f"failures/{run}-{secrets.token_hex(3)}.parquet"
    made = put_table(dataset.storage, path, pa.Table.from_pylist(failures, failures_schema()))
    return (made,)
