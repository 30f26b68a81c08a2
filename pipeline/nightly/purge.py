"""purge: removes one video at once and everywhere: shards, tables, indexes, and every snapshot that can be restored."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import pyarrow.compute as pc

from ...schemas import snapshot as snapshots
from ...schemas.errors import GateError, UsageError
from ...schemas.file_records import ShardInfo
from ...schemas.manifests import Manifest
from ...schemas.snapshot import Snapshot, shard_path
from ...schemas.storage import Storage
from ..dataset import (
    FOLDERS,
    Dataset,
    Rewrite,
    compacted_snapshot,
    count_videos,
    files_of,
    gather_tables,
    named_files,
    pin_path,
    pins,
    read_table,
    rewrite_shards,
    with_rewrites,
)
from ..indexes import IndexOptions
from .indexes import update_one
from .purge_ids import NamedVideo, find_traces, known_as, likely_names, why_held
from .purge_texts import Search, look_for, sentences_of

log = logging.getLogger("reelbeam")


@dataclass(frozen=True)
class Purged:
    """What a purge did."""

    named: NamedVideo
    rows: int
    snapshot: int
    snapshots_deleted: tuple[int, ...]
    files_deleted: int
    said: Search
    """What was looked for, of what it says."""


def purge_video(storage: Storage, text: str, options: IndexOptions, sweep_after_s: float) -> Purged:
    """Purges a video by uri or id, and looks for what is left of it. Each step can be repeated: after a crash, purge again.

    Raises UsageError when OUTPUT never heard of the video, GateError when a file younger than `sweep_after_s`, which a
    running job may yet commit, still names it, or when a file that is not ours does.
    """
    before = snapshots.load(storage)
    named = known_as(Dataset(storage, before), text)
    if not any(True for _ in find_traces(storage, named)):
        meant = "".join(f"; it holds {uri}" for uri in likely_names(Dataset(storage, before), text)[:3])
        raise UsageError(f"{storage.root} holds nothing of {named.uri or text}; it is gone, or was never there{meant}")
    sentences = sentences_of(storage, named.video_id)
    rewritten: dict[ShardInfo, Rewrite] = {}
    run = snapshots.new_run()
    after = snapshots.commit_next(storage, lambda parent: _without(storage, parent, named, run, rewritten))
    for name, built in after.indexes.items():
        update_one(storage, replace(options, name=name, of=built.of, full=True))  # a delta would keep the vectors
    current = snapshots.load(storage)
    deleted, named_by_them = delete_snapshots(storage, current, named)
    files = delete_files(storage, named, named_by_them, sweep_after_s)
    rows = sum(
        shard.rows - (done.made.rows if done.made else 0) - shard.removed_rows for shard, done in rewritten.items()
    )
    said = look_for(storage, sentences, named.video_id)
    if left := [*find_traces(storage, named), *said.places]:
        raise GateError(
            f"{len(left)} traces are left of {named.uri or named.video_id}. {left[0]}. All else is purged. Cure: "
            f"reelbeam compact {storage.root} --sweep-after-h 0 for files that no snapshot names, when no job runs; by hand for "
            f"files that are not Reelbeam's. Then: reelbeam verify {storage.root} --gone {named.video_id}"
        )
    return Purged(named, rows, current.number, tuple(deleted), files, said)


def _without(
    storage: Storage, parent: Snapshot | None, named: NamedVideo, run: str, rewritten: dict[ShardInfo, Rewrite]
) -> Snapshot:
    """The snapshot after `parent` without the video; `parent` itself where it holds nothing of it."""
    assert parent is not None
    holding = [shard for shard in parent.shards if holds_rows(storage, shard, named.video_id)]
    for shard in holding:
        if shard not in rewritten:
            path = shard_path(run, len(rewritten), len(rewritten) + 1)
            rewritten[shard] = rewrite_shards(storage, [shard], path, {named.video_id})
    in_tables = any(why_held(storage, info.path, named) for info in (*parent.videos, *parent.failures))
    lists = tuple(manifest for manifest in parent.manifests if not _names(manifest, named.video_id))
    if not holding and not in_tables and lists == parent.manifests:
        return parent
    videos, failures = gather_tables(storage, parent, run, {named.video_id})
    cleaned = replace(parent, videos=videos, failures=failures)
    made = compacted_snapshot(
        storage, cleaned, run, with_rewrites(parent.shards, [rewritten[shard] for shard in holding]), books=False
    )
    counted = count_videos(Dataset(storage, made).facts, sum(table.rows for table in failures))
    changed = made.number if holding else parent.rows_changed
    return replace(made, counts=counted, rows_changed=changed, manifests=lists)


def _names(manifest: Manifest, video_id: str) -> bool:
    """Whether a manifest names a video; also in a shard that is gone."""
    return any(video_id in (one.first_key[0], one.last_key[0], *one.removed) for one in manifest.shards)


def holds_rows(storage: Storage, shard: ShardInfo, video_id: str) -> bool:
    """Whether a shard's file has rows of a video, whether they count or not."""
    if not shard.first_key[0] <= video_id <= shard.last_key[0]:
        return False
    return bool(pc.any(pc.equal(read_table(storage, shard.path, ["video_id"])["video_id"], video_id)).as_py())


def delete_snapshots(storage: Storage, current: Snapshot, named: NamedVideo) -> tuple[list[int], set[str]]:
    """Deletes every older snapshot that holds the video, pinned or not. Returns their numbers, and the files that no
    snapshot names any more.

    Vectors have no names: an index build that the current snapshot has replaced is taken to hold the video.
    """
    clean, pinned = set(files_of(current)), pins(storage)
    holds: dict[str, bool] = {}
    gone, files = [], set()
    for number, old in snapshots.load_all(storage).items():
        if number >= current.number:
            continue
        path = snapshots.snapshot_path(number)
        others = set(files_of(old)) - clean
        for other in others - set(holds):
            holds[other] = other.endswith("/") or _may_hold(storage, other, named)
        if any(holds[other] for other in others) or _may_hold(storage, path, named):
            if number in pinned:
                log.warning("snapshot %d was pinned and held the video: it is deleted all the same", number)
                storage.delete(pin_path(number))
            storage.delete(path)
            gone.append(number)
            files |= others
    return gone, files - named_files(storage)


def _may_hold(storage: Storage, path: str, named: NamedVideo) -> bool:
    try:
        return bool(why_held(storage, path, named))
    except FileNotFoundError:  # swept since it was listed
        return False


def delete_files(storage: Storage, named: NamedVideo, ours: set[str], after_s: float) -> int:
    """Deletes `ours`, and every other file that holds the video and that no snapshot names. Returns how many.

    Raises GateError when such a file is so young that a running job may yet commit it.
    """
    left = named_files(storage)
    committed = {path.split("/")[1].removesuffix(".parquet") for path in (*ours, *left)}
    deleted, young, clock_s = 0, [], storage.touch()
    for stored in [stored for folder in FOLDERS for stored in storage.list(folder)]:
        folder, _, name = stored.path.rpartition("/")
        if {stored.path, f"{folder}/"} & left:
            continue
        if not {stored.path, f"{folder}/"} & ours:
            if not stored.path.startswith("indexes/") and not _may_hold(storage, stored.path, named):
                continue
            # the notes of a run are of no use once it has committed
            notes = name.endswith(".report.json") or (folder == "runs" and name.removesuffix(".json") in committed)
            if not notes and clock_s - stored.mtime_ms / 1000 < after_s:
                young.append(stored.path)
                continue
        storage.delete(stored.path)
        deleted += 1
    for piece in storage.unfinished():  # half a file: its rows are unknown
        if clock_s - piece.mtime_ms / 1000 < after_s:
            young.append(piece.path)
        else:
            storage.discard(piece)
            deleted += 1
    if young:
        raise GateError(
            f"{len(young)} files that no snapshot names may still hold the video, {young[0]} first, and a running job may "
            "yet commit them. Cure: when no job runs, purge again with --sweep-after-h 0"
        )
    return deleted
