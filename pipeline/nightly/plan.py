"""Plans a night: INPUT against the current snapshot, with the gates that keep a dataset from a bucket that is not there,
and the hashes that tell a touched file from a changed one and a new file from a copy. Reads, and writes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...schemas import snapshot as snapshots
from ...schemas.elements import Video
from ...schemas.errors import GateError, ObjectRefused, StorageError, UsageError
from ...schemas.storage import Storage
from ...schemas.tables import FAILED, OK, PARTIAL
from ...transforms.listing import list_videos
from ..dataset import Dataset
from ..extraction import (
    DAY_MS,
    Changes,
    Job,
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

    listed: dict[str, Video]
    changes: Changes
    dataset: Dataset | None

    @property
    def known(self) -> Mapping[str, Mapping[str, Any]]:
        return self.dataset.videos if self.dataset else {}


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
        return Night({video.video_id: video for video in listed}, Changes(new=listed), None)
    troubled = dataset.snapshot.counts.get(FAILED, 0) + dataset.snapshot.counts.get(PARTIAL, 0)
    failures = dataset.standing_failures() if troubled else []
    retryable = {row["video_id"] for row in failures if row["retryable"]}
    found = compare_listing(listed, dataset.newest, retryable, policy, now_ms, sidecar_use(job))
    keep_unseen(found, listed, dataset.videos)
    if len(found.removed) > options.max_removed * len(dataset.newest):
        raise GateError(
            f"{len(found.removed)} of {len(dataset.newest)} videos are not in {location} any more, more than --max-removed "
            f"{options.max_removed:g}; nothing was done. Cure: look at INPUT; if they are meant to go, raise --max-removed"
        )
    return Night({video.video_id: video for video in listed}, found, dataset)


def keep_unseen(found: Changes, listed: list[Video], known: Mapping[str, Mapping[str, Any]]) -> None:
    """Takes videos of folders that could not be listed off the missing and removed ones: whether they are gone is unknown."""
    folders = {video.uri for video in listed if video.failure and video.failure.retryable}
    for name in ("missing", "removed") if folders else ():
        gone = getattr(found, name)
        kept = {video_id for video_id in gone if below_failed(known[video_id]["uri"], folders)}
        setattr(found, name, [video_id for video_id in gone if video_id not in kept])
        found.unchanged += len(kept)
        if kept:
            log.warning("%d videos lie in folders that could not be read; their rows stay", len(kept))


def settle_suspects(night: Night) -> tuple[list[Video], list[Video]]:
    """Videos to extract, and those of which only etag or mtime changed: the hash of their bytes is that of the videos table."""
    touched = [
        video for video in night.changes.suspects if hash_of(video) == night.known[video.video_id]["content_sha256"]
    ]
    same = {video.video_id for video in touched}
    found = night.changes
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
    known, sizes = [], {}
    if night.dataset:
        names = ("video_id", "size_bytes", "content_sha256", "status", "etag")
        known = list(zip(*(night.dataset.newest[name].to_pylist() for name in names), strict=True))
        sizes = {video_id: size for video_id, size, *_ in known}
    mine = {video.video_id for video in todo}
    holders = {
        sha256: video_id
        for video_id, _, sha256, status, etag in known
        if status == OK and video_id not in mine
        if (here := night.listed.get(video_id)) is None or here.etag == etag
    }
    hashes = {video.video_id: hash_of(video) for video in may_be_twins(todo, sizes)}
    return split_twins(todo, {video_id: found for video_id, found in hashes.items() if found}, holders)
