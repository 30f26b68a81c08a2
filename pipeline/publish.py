"""Publishes a wave: the next snapshot names its files, and nothing is visible before that."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..schemas import snapshot as snapshots
from ..schemas.errors import GateError
from ..schemas.options import data_options
from ..schemas.snapshot import ShardInfo, Snapshot, TableInfo
from ..schemas.storage import Storage
from .job import Job, check_same
from .read import Dataset, read_table

log = logging.getLogger("reelbeam")


@dataclass(frozen=True)
class WaveRows:
    """What one wave wrote, and not yet published."""

    run: str
    shards: list[ShardInfo]
    videos_info: TableInfo
    failures_info: TableInfo | None
    videos: list[dict[str, Any]]
    failures: list[dict[str, Any]]


def publish(job: Job, wave: WaveRows) -> Snapshot:
    """Commits a wave onto the current snapshot, and again onto a newer one when another writer was first.

    Raises GateError before anything is published.
    """
    lost = sum(row["status"] == "failed" for row in wave.videos)
    if lost > job.options.max_failed * len(wave.videos):
        raise GateError(
            f"{lost} of {len(wave.videos)} videos failed, more than --max-failed {job.options.max_failed:g}; "
            f"nothing of this wave was published; the reasons are in {job.storage.uri(f'failures/{wave.run}.parquet')}"
        )
    return snapshots.commit_next(job.storage, lambda parent: next_snapshot(job, parent, wave))


def next_snapshot(job: Job, parent: Snapshot | None, wave: WaveRows) -> Snapshot:
    """The snapshot after `parent` with a wave's rows; the older rows of its videos no longer count.

    Raises ModelMismatch when another writer has meanwhile begun the dataset with other settings.
    """
    if parent:
        check_same(parent, job)
    known = Dataset(job.storage, parent).videos if parent else {}
    base = parent or Snapshot(
        0,
        None,
        "",
        "",
        data_options(job.options),
        job.models,
        job.fingerprint,
        job.options.grid,
        job.profile.row_shape(job.options.window_ticks),
    )
    replaced = {row["video_id"] for row in wave.videos if row["video_id"] in known}
    shards, next_row = replace(base, shards=tuple(without(job.storage, base.shards, replaced))).add_shards(wave.shards)
    known = known | {row["video_id"]: row for row in wave.videos}
    failures = (*base.failures, *([wave.failures_info] if wave.failures_info else []))
    return replace(
        base,
        number=base.number + 1,
        parent=parent.number if parent else None,
        run=wave.run,
        created_at=snapshots.now(),
        shards=shards,
        videos=(*base.videos, wave.videos_info),
        failures=failures,
        next_row=next_row,
        counts=count(known, sum(table.rows for table in failures)),
    )


def without(storage: Storage, shards: Sequence[ShardInfo], video_ids: set[str]) -> Iterator[ShardInfo]:
    """The same shards with some videos marked as removed."""
    for shard in shards:
        here = {
            video_id
            for video_id in video_ids - set(shard.removed)
            if shard.first_key[0] <= video_id <= shard.last_key[0]
        }
        if here:
            held = read_table(storage, shard.path, ["video_id"])["video_id"]
            gone = pc.sum(pc.is_in(held, pa.array(sorted(here)))).as_py() or 0
            here &= set(pc.unique(held).to_pylist())
            shard = replace(
                shard, removed=tuple(sorted({*shard.removed, *here})), removed_rows=shard.removed_rows + gone
            )
        yield shard


def count(known: dict[str, dict[str, Any]], failures: int) -> dict[str, int]:
    """The counts of a snapshot, from the newest row of each video."""
    rows = list(known.values())
    return {
        "videos": len(rows),
        **{status: sum(row["status"] == status for row in rows) for status in ("ok", "partial", "failed")},
        "windows": sum(row["windows"] for row in rows),
        "frames": sum(row["frames"] for row in rows),
        "words": sum(row["words"] for row in rows),
        "media_ms": sum(row["duration_ms"] for row in rows),
        "failures": failures,
    }
