"""Publishes a wave: the next snapshot names its files, and nothing is visible before that."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...schemas import snapshot as snapshots
from ...schemas.elements import Grid
from ...schemas.errors import CorruptOutput, GateError, ModelMismatch
from ...schemas.file_records import IndexInfo, ShardInfo, TableInfo
from ...schemas.options import UNRECORDED, fingerprint
from ...schemas.parquet_ranges import open_parquet
from ...schemas.phases import phase
from ...schemas.snapshot import Snapshot
from ...schemas.storage import Storage
from ...schemas.tables import FAILED, RowShape, failures_schema, videos_schema
from ...transforms.shard_files import put_table
from .read import Dataset, read_table
from .videos_tables import COUNTED, COUNTS, counts_after, known_videos, merge_tables, version

log = logging.getLogger("reelbeam")


@dataclass(frozen=True)
class DatasetSettings:
    """What every row of a dataset is made with: options that change data, models, grid and shapes."""

    options: dict[str, str]
    models: dict[str, Any]
    """Identity of each model, with the hash of its weights."""
    grid: Grid
    shape: RowShape

    @property
    def fingerprint(self) -> str:
        return fingerprint({"options": self.options, "models": self.models})

    def first_snapshot(self) -> Snapshot:
        """The empty snapshot that the first commit of a dataset builds on."""
        return Snapshot(0, None, "", "", self.options, self.models, self.fingerprint, self.grid, self.shape)

    def check_same(self, parent: Snapshot, storage: Storage) -> None:
        """Raises ModelMismatch when these settings would mix other models or another grid into a dataset."""
        if parent.fingerprint == self.fingerprint:
            return
        wanted = {**UNRECORDED, **self.options, **self.models}
        stored = {**UNRECORDED, **parent.options, **parent.models}
        changed = [
            f"{name}: stored {stored.get(name) or 'not given'}, asked {wanted.get(name) or 'not given'}"
            for name in {**wanted, **stored}
            if stored.get(name) != wanted.get(name)
        ]
        raise ModelMismatch(
            f"{storage.root} was made with other settings, and features of two models must not mix. "
            f"{'; '.join(changed)}. Cure: use the same settings, or another OUTPUT, or recompute what differs: "
            "reelbeam nightly INPUT OUTPUT --remodel"
        )


@dataclass(frozen=True)
class WaveRows:
    """The files and table rows that one wave wrote and that are not committed yet."""

    run: str
    shards: list[ShardInfo]
    videos_info: TableInfo
    failures_info: TableInfo | None
    videos: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    planned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Rows of the videos table at planning time, keyed by video_id. If another writer has changed one since, its change wins."""
    kept: frozenset[str] = frozenset()
    """Videos whose row in the videos table changes while their window rows stay."""


def commit_wave(
    storage: Storage, settings: DatasetSettings, wave: WaveRows, max_failed: float | None = None
) -> Snapshot:
    """Commits a wave onto the current snapshot. If another writer commits first, retries on the newer snapshot.

    `max_failed` is the largest share of videos that may have failed; None for waves that were not extracted.

    Raises GateError before anything is published, and CorruptOutput when the store does not hold what was written.
    """
    with phase("commit"):
        return _commit_wave(storage, settings, wave, max_failed)


def _commit_wave(storage: Storage, settings: DatasetSettings, wave: WaveRows, max_failed: float | None) -> Snapshot:
    lost = sum(row["status"] == FAILED for row in wave.videos)
    if max_failed is not None and lost > max_failed * len(wave.videos):
        raise GateError(
            f"{lost} of {len(wave.videos)} videos failed, more than --max-failed {max_failed:g}; "
            f"nothing of this wave was published; the reasons are in {storage.uri(f'failures/{wave.run}.parquet')}"
        )
    check_written(storage, [*wave.shards, wave.videos_info, *([wave.failures_info] if wave.failures_info else [])])
    return snapshots.commit_next(storage, lambda parent: next_snapshot(storage, settings, parent, wave))


def check_written(storage: Storage, files: Sequence[ShardInfo | TableInfo]) -> None:
    """Raises CorruptOutput when a file is missing or has another size. Its bytes were compared when it was put."""
    for info in files:
        try:
            found = storage.head(info.path).size_bytes
        except FileNotFoundError:
            found = None
        if found != info.bytes:
            seen = "is missing" if found is None else f"has {found} bytes"
            raise CorruptOutput(
                f"{storage.uri(info.path)} {seen}, written were {info.bytes}; nothing was published; "
                "cure: run again, and look at the store if it repeats"
            )


def next_snapshot(storage: Storage, settings: DatasetSettings, parent: Snapshot | None, wave: WaveRows) -> Snapshot:
    """The snapshot after `parent` with a wave's rows; the older rows of its videos no longer count. `parent` itself when
    other writers have already done all of it.

    Raises ModelMismatch when another writer has meanwhile begun the dataset with other settings.
    """
    if parent:
        settings.check_same(parent, storage)
    base, memory = parent or settings.first_snapshot(), known_videos(storage.root)
    known = memory.find(storage, base.videos, [row["video_id"] for row in wave.videos])
    overtaken = {
        video_id
        for video_id in (row["video_id"] for row in wave.videos)
        if (known[video_id]["version"] if video_id in known else 0) != version(wave.planned.get(video_id))
    }
    videos = [row for row in wave.videos if row["video_id"] not in overtaken]
    if parent and not videos:
        log.info("another run has meanwhile done all %d videos of this wave", len(overtaken))
        return parent
    table, schema = wave.videos_info, videos_schema(base.shape.text_dim)
    if overtaken:
        log.info("another run has meanwhile done %d of %d videos; its rows stand", len(overtaken), len(wave.videos))
        path = f"videos/{wave.run}-{secrets.token_hex(3)}.parquet"
        table = put_table(storage, path, pa.Table.from_pylist(videos, schema))
    known = {row["video_id"]: known[row["video_id"]] for row in videos if row["video_id"] in known}
    replaced = {video_id: old for video_id, old in known.items() if old["version"] and video_id not in wave.kept}
    added = drop_empty(without(storage, wave.shards, overtaken))
    kept = drop_empty(mark_removed(base.shards, find_rows(storage, base.shards, replaced)))
    shards, next_row = replace(base, shards=tuple(kept)).add_shards(added)
    number = base.number + 1
    failures = (*base.failures, *([wave.failures_info] if wave.failures_info else []))
    counts = base.counts
    if parent and not set(COUNTS) <= set(counts):  # of an early version
        counts = count_videos(Dataset(storage, parent).facts, 0)
    return replace(
        base,
        number=number,
        parent=parent.number if parent else None,
        run=wave.run,
        created_at=snapshots.now(),
        shards=shards,
        videos=merge_tables(storage, (*base.videos, table), f"videos/{wave.run}", schema, memory),
        failures=merge_tables(storage, failures, f"failures/{wave.run}", failures_schema()),
        next_row=next_row,
        holes=next_row - sum(shard.rows for shard in shards),
        rows_changed=number if added or replaced else base.rows_changed,
        counts={
            **counts_after(counts, known.values(), videos),
            "failures": sum(table.rows for table in failures),
        },
    )


def drop_empty(shards: Iterable[ShardInfo]) -> list[ShardInfo]:
    """The shards that still have rows: those whose rows were all removed are dropped."""
    return [shard for shard in shards if shard.removed_rows < shard.rows]


def without(storage: Storage, shards: Iterable[ShardInfo], video_ids: set[str]) -> Iterator[ShardInfo]:
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


def find_rows(
    storage: Storage, shards: Sequence[ShardInfo], videos: Mapping[str, np.void]
) -> dict[str, tuple[list[str], int]]:
    """The shards that hold rows of some videos: path to (ids of those videos there, their number of rows).

    `videos` are facts by video id. The run of a video's row names the folder of its shard. Where the shard was written again
    since, all shards whose keys may include the video are looked into.
    """
    left = {video_id for video_id, old in videos.items() if old["windows"]}
    runs = {f"windows/{videos[video_id]['run'].decode()}/" for video_id in left}
    found = {}
    for likely in (True, False):
        for shard in shards if left else ():
            in_runs = shard.path[: shard.path.rfind("/") + 1] in runs
            here = {video_id for video_id in left if shard.first_key[0] <= video_id <= shard.last_key[0]}
            if in_runs is not likely or not (here := here - set(shard.removed)):
                continue
            with open_parquet(storage, shard.path, shard.bytes) as parquet:
                held: Counter[str] = Counter()
                for batch in parquet.batches(65_536, ["video_id"]):
                    held.update(batch["video_id"].to_pylist())
            if here := here & set(held):
                found[shard.path] = (sorted(here), sum(held[video_id] for video_id in here))
                left -= here  # all rows of a video that count are in one shard
    return found


def mark_removed(shards: Iterable[ShardInfo], gone: Mapping[str, tuple[list[str], int]]) -> Iterator[ShardInfo]:
    """The same shards with the videos that `find_rows` found marked as removed."""
    for shard in shards:
        if shard.path in gone:
            videos, rows = gone[shard.path]
            removed = tuple(sorted({*shard.removed, *videos}))
            shard = replace(shard, removed=removed, removed_rows=shard.removed_rows + rows)
        yield shard


STATUSES = ("ok", "partial", "failed")
"""Of the videos that count; removed ones do not."""


def count_videos(known: Mapping[str, dict[str, Any]], failures: int) -> dict[str, int]:
    """The counts of a snapshot, from the newest row of each video."""
    counts = dict.fromkeys((*COUNTS, "failures"), 0) | {"failures": failures}
    for row in known.values():
        counts["videos"] += 1
        if row["status"] in STATUSES:  # `verify` counts damaged tables, too
            counts[row["status"]] += 1
        for name, stored in COUNTED.items():
            counts[name] += row[stored]
    return counts


def commit_index(storage: Storage, name: str, info: IndexInfo) -> Snapshot:
    """Commits a snapshot in which the index `name` is this build."""

    def swapped(parent: Snapshot | None) -> Snapshot:
        current = parent or snapshots.load(storage)
        return replace(
            current,
            number=current.number + 1,
            parent=current.number,
            created_at=snapshots.now(),
            indexes={**current.indexes, name: info},
        )

    return snapshots.commit_next(storage, swapped)
