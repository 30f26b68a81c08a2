"""Sweep: deletes old snapshots, then every old file that no snapshot names."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ...schemas import snapshot as snapshots
from ...schemas.snapshot import Snapshot
from ...schemas.storage import Storage, Stored

log = logging.getLogger("reelbeam")

FOLDERS = ("windows", "videos", "failures", "manifests", "indexes", "runs")
"""Folders that the sweep may delete from. It leaves everything else in OUTPUT alone."""

REPORTS_KEPT_S = 90 * 86_400
"""Age at which nightly reports are deleted: they stay useful longer than their snapshots."""


@dataclass(frozen=True)
class Swept:
    """Counts of what a sweep deleted."""

    snapshots: int
    files: int
    bytes: int


def pins(storage: Storage) -> set[int]:
    """The numbers of the snapshots that retention never deletes."""
    found = (re.fullmatch(r"snapshots/(\d{6,})\.pin", stored.path) for stored in storage.list("snapshots"))
    return {int(match[1]) for match in found if match}


def pin_path(number: int) -> str:
    return snapshots.snapshot_path(number).removesuffix(".json") + ".pin"


def files_of(snapshot: Snapshot) -> Iterator[str]:
    """Every file that a snapshot names. An index build is given as its folder, with a final slash, and its shared files."""
    yield from (shard.path for shard in snapshot.shards)
    yield from (manifest.path for manifest in snapshot.manifests)
    yield from (table.path for table in (*snapshot.videos, *snapshot.failures))
    yield from (f"{built.path}/" for built in snapshot.indexes.values())
    yield from (path for built in snapshot.indexes.values() for path in built.files)


def named_files(storage: Storage) -> set[str]:
    """Every file that any snapshot names."""
    return {path for one in snapshots.load_all(storage).values() for path in files_of(one)}


def outdated(numbers: list[int], pinned: set[int], keep: int) -> list[int]:
    """The snapshots that retention deletes: all but the newest `keep` and the pinned ones.

    >>> outdated([1, 2, 3, 4, 5], {1}, 2)
    [2, 3]
    """
    return [number for number in numbers[:-keep] if number not in pinned]


def sweep_files(storage: Storage, keep: int, after_s: float, now_s: float | None = None) -> Swept:
    """Deletes snapshots beyond the newest `keep`, then files older than `after_s` that no remaining snapshot names.

    Snapshots are deleted first, so no readable snapshot ever names a deleted file. Files of a running job that are not
    committed yet are younger than `after_s`, unless the job hangs. Ages are measured by the store's clock.
    """
    old = outdated(snapshots.numbers(storage), pins(storage), keep)
    for number in old:
        storage.delete(snapshots.snapshot_path(number))
    named = named_files(storage)
    due = [stored for folder in FOLDERS for stored in storage.list(folder) if not _is_named(stored, named)]
    pieces, clock_s = storage.unfinished(), time.time() if now_s is None else now_s
    if now_s is None and any(_is_old(stored, clock_s, after_s) for stored in (*due, *pieces)):
        clock_s = storage.touch()  # the local clock may be wrong by days, and young files may belong to a running job
    due = [stored for stored in due if _is_old(stored, clock_s, after_s)]
    pieces = [piece for piece in pieces if _is_old(piece, clock_s, after_s)]
    for stored in due:
        storage.delete(stored.path)
    for piece in pieces:
        storage.discard(piece)
    files, total = len(due) + len(pieces), sum(stored.size_bytes for stored in (*due, *pieces))
    if old or files:
        log.info("swept %d snapshots, %d files, %.1f MB", len(old), files, total / 1e6)
    return Swept(len(old), files, total)


def _is_named(stored: Stored, named: set[str]) -> bool:
    return stored.path in named or f"{stored.path.rpartition('/')[0]}/" in named


def _is_old(stored: Stored, clock_s: float, after_s: float) -> bool:
    """Whether a file is old enough to delete: older than `after_s`, or for nightly reports REPORTS_KEPT_S."""
    return clock_s - stored.mtime_ms / 1000 > (REPORTS_KEPT_S if stored.path.endswith(".report.json") else after_s)
