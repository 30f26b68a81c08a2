"""Writes waves without a Beam pipeline: copies of stored rows, and changes of the videos table that need no decoding."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ...schemas import snapshot as snapshots
from ...schemas.file_records import ShardInfo
from ...schemas.snapshot import Snapshot, shard_path
from ...schemas.storage import Storage
from ...schemas.tables import REMOVED, failures_schema, videos_schema
from ...transforms.shard_files import put_table, put_windows
from .commit import DatasetSettings, WaveRows, commit_wave
from .read import Dataset, read_table

log = logging.getLogger("reelbeam")


def shard_of(dataset: Dataset, video_ids: Iterable[str]) -> dict[str, str]:
    """Maps each video id to the path of the shard with its rows. Videos without rows are left out."""
    wanted = set(video_ids)
    found: dict[str, str] = {}
    for shard in dataset.snapshot.shards:
        here = {video_id for video_id in wanted if shard.first_key[0] <= video_id <= shard.last_key[0]}
        if here := here - set(shard.removed):
            held = set(pc.unique(read_table(dataset.storage, shard.path, ["video_id"])["video_id"]).to_pylist())
            found.update(dict.fromkeys(here & held, shard.path))
    return found


def rows_of(dataset: Dataset, homes: Mapping[str, str]) -> dict[str, pa.Table]:
    """All rows of each video in `homes`, which maps video ids to shard paths. Each shard is read once."""
    found = {}
    for path in sorted(set(homes.values())):
        table = read_table(dataset.storage, path)
        for video_id in (video_id for video_id, home in homes.items() if home == path):
            found[video_id] = table.filter(pc.equal(table["video_id"], video_id))
    return found


def rename_rows(rows: pa.Table, video_id: str, uri: str) -> pa.Table:
    """The rows of one video, with the id and uri of another video that has the same bytes."""
    for name, value in (("video_id", video_id), ("uri", uri)):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, rows.schema.field(name), pa.array([value] * len(rows), pa.string()))
    return rows


def write_wave(
    storage: Storage,
    run: str,
    text_dim: int,
    books: Sequence[Mapping[str, Any]],
    rows: Sequence[pa.Table] = (),
    failures: Sequence[Mapping[str, Any]] = (),
) -> WaveRows:
    """Writes a videos table (`books`), rows and failures, and returns them as a wave to commit."""
    shards: list[ShardInfo] = []
    if rows:
        together = pa.concat_tables(rows).sort_by([("video_id", "ascending"), ("window", "ascending")])
        shards.append(put_windows(storage, shard_path(run, 0, 1), together))
    table = pa.Table.from_pylist(sorted(books, key=lambda row: row["video_id"]), videos_schema(text_dim))
    failed = None
    if failures:
        failed = put_table(storage, f"failures/{run}.parquet", pa.Table.from_pylist(list(failures), failures_schema()))
    books_info = put_table(storage, f"videos/{run}.parquet", table)
    return WaveRows(run, shards, books_info, failed, table.to_pylist(), list(map(dict, failures)))


def commit_videos(
    storage: Storage,
    settings: DatasetSettings,
    rows: Sequence[Mapping[str, Any]],
    planned: Mapping[str, Mapping[str, Any]],
) -> Snapshot:
    """Commits changed rows of the videos table. Window rows stay, except those of videos that become removed.

    `planned` maps video ids to the rows that `rows` were made from. If another run has changed a video since then, its
    change wins.
    """
    wave = write_wave(storage, snapshots.new_run(), settings.shape.text_dim, rows)
    kept = frozenset(row["video_id"] for row in rows if row["status"] != REMOVED)
    committed = commit_wave(storage, settings, replace(wave, planned=planned, kept=kept))
    log.info("snapshot %d: %d rows of the videos table", committed.number, len(rows))
    return committed
