"""Plans a night: INPUT against the current snapshot, with the gates that keep a dataset from a bucket that is not there,
and the hashes that tell a touched file from a changed one and a new file from a copy. Reads, and writes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc

from ...schemas import snapshot as snapshots
from ...schemas.elements import Video
from ...schemas.errors import GateError, ObjectRefused, StorageError, UsageError
from ...schemas.small_arrays import int64_array, string_array
from ...schemas.storage import Storage
from ...schemas.tables import FAILED, OK, PARTIAL
from ...transforms.listing import list_videos
from ...transforms.video_list import VideoList
from ..dataset import Dataset
from ..extraction import (
    DAY_MS,
    Changes,
    Job,
    KnownRows,
    Policy,
    below_failed,
    compare_listing,
    may_be_twins,
    sidecar_use,
    split_twins,
)
from .options import NightlyOptions

log = logging.getLogger("reelbeam")


@dataclass(frozen=True)
class Night:
    """What is to be done, and the dataset that it was planned from."""

    listed: VideoList
    changes: Changes
    dataset: Dataset | None
    known: KnownRows | dict[str, dict[str, Any]]
    """Rows of the videos table at planning time, keyed by video_id: of each what planning and commits compare."""

    def video_rows(self, video_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Whole rows of the videos table at planning time, by id."""
        return self.dataset.video_rows(video_ids) if self.dataset else {}


def plan_night(location: str, job: Job, options: NightlyOptions, now_ms: int) -> Night:
    """Lists INPUT and compares it with the current snapshot. Writes nothing.

    Raises UsageError for an INPUT without videos, GateError when more than --max-removed of them are gone.
    """
    listed = list_videos(location, look_beside=bool(sidecar_use(job)))
    if not listed:
        raise UsageError(
            f"{location}: no videos found, and nothing was removed: an empty INPUT is rather a wrong path or an unmounted "
            "disk. Cure: look at INPUT; to empty a dataset, delete OUTPUT"
        )
    parent = snapshots.latest(job.storage)
    dataset = Dataset(job.storage, parent) if parent else None
    policy = Policy(
        options.max_attempts,
        int(options.retry_after_h * 3_600_000),
        options.retry_failed,
        int(options.grace_days * DAY_MS),
    )
    if dataset is None:
        return Night(listed, Changes(new=list(listed)), None, {})
    troubled = dataset.snapshot.counts.get(FAILED, 0) + dataset.snapshot.counts.get(PARTIAL, 0)
    failures = dataset.standing_failures() if troubled else []
    retryable = {row["video_id"] for row in failures if row["retryable"]}
    known = KnownRows.of_dataset(dataset)
    found = compare_listing(listed, known, retryable, policy, now_ms, sidecar_use(job))
    keep_unseen(found, listed, dataset)
    if len(found.removed) > options.max_removed * len(known):
        raise GateError(
            f"{len(found.removed)} of {len(known)} videos are not in {location} any more, more than --max-removed "
            f"{options.max_removed:g}; nothing was done. Cure: look at INPUT; if they are meant to go, raise --max-removed"
        )
    return Night(listed, found, dataset, known)


def keep_unseen(found: Changes, listed: VideoList, dataset: Dataset) -> None:
    """Takes videos of folders that could not be listed off the missing and removed ones: whether they are gone is unknown."""
    folders = {one.uri for one in listed.others.values() if one.failure and one.failure.retryable}
    for name in ("missing", "removed") if folders else ():
        gone = getattr(found, name)
        rows = dataset.video_rows(gone)
        kept = {video_id for video_id in gone if below_failed(rows[video_id]["uri"], folders)}
        setattr(found, name, [video_id for video_id in gone if video_id not in kept])
        found.unchanged += len(kept)
        if kept:
            log.warning("%d videos lie in folders that could not be read; their rows stay", len(kept))


def settle_suspects(night: Night) -> tuple[list[Video], list[Video]]:
    """Videos to extract, and those of which only etag or mtime changed: the hash of their bytes is that of the videos table."""
    found = night.changes
    rows = night.video_rows(video.video_id for video in found.suspects)
    touched = [video for video in found.suspects if hash_of(video) == rows[video.video_id]["content_sha256"]]
    same = {video.video_id for video in touched}
    todo = [*found.new, *found.changed, *found.suspects, *found.retried]
    return sorted((video for video in todo if video.video_id not in same), key=lambda video: video.uri), touched


def hash_of(video: Video) -> str | None:
    """sha256 of a video's bytes; None when it has vanished or may not be read: its probe will say so."""
    if video.failure:
        return None
    storage, name = Storage.of_object(video.uri)
    try:
        return storage.sha256(name)
    except (FileNotFoundError, ObjectRefused):
        return None
    except StorageError:
        if storage.is_local:  # one file of a disk that can be listed: its own fault
            return None
        raise


def find_twins(todo: list[Video], night: Night) -> tuple[list[Video], list[tuple[Video, str]]]:
    """Videos to extract, and those whose bytes another video has: (video, the other's id). The other one may be gone from
    INPUT, as after a renaming: its rows are still there.
    """
    if not todo:
        return [], []
    sizes, holders = held_sizes(todo, night.known), {}
    hashes = {video.video_id: hash_of(video) for video in may_be_twins(todo, sizes.keys())}
    if hashes:
        rows = night.video_rows(video_id for ids in sizes.values() for video_id in ids)
        here = night.listed.find(rows)
        holders = {
            row["content_sha256"]: video_id
            for video_id, row in rows.items()
            if row["status"] == OK and (video_id not in here or here[video_id].etag == row["etag"])
        }
    return split_twins(todo, {video_id: found for video_id, found in hashes.items() if found}, holders)


def held_sizes(todo: Sequence[Video], known: Mapping[str, Mapping[str, Any]]) -> dict[int, list[str]]:
    """The sizes of videos to extract that other known videos have: size to their ids, in the order of the videos table."""
    found: dict[int, list[str]] = {}
    if isinstance(known, KnownRows):
        wanted = int64_array({video.size_bytes for video in todo})
        mine = string_array(video.video_id for video in todo)
        rows = known.rows.select(["video_id", "size_bytes"])
        rows = rows.filter(pc.is_in(rows["size_bytes"], wanted))
        rows = rows.filter(pc.invert(pc.is_in(rows["video_id"], mine)))
        for row in rows.to_pylist():
            found.setdefault(row["size_bytes"], []).append(row["video_id"])
    return found
