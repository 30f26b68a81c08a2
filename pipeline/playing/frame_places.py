"""Finds the row and the tick of an instant of a video. A shard's keys are read when they are first needed, and kept."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...schemas.file_records import ShardInfo
from ..dataset import Dataset

SHARDS_KEPT = 256
"""Shards whose keys are kept: 12 bytes a row."""


VIDEOS_KEPT = 4096
"""Videos whose rows are kept: 12 bytes a row."""


class Place(NamedTuple):
    """A frame: global row number, tick of its window, and presentation time in ms."""

    row: int
    tick: int
    pts_ms: int


class FramePlaces:
    """Rows and ticks of one snapshot. May be asked by several threads."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self._lock = threading.Lock()
        self._keys = lru_cache(SHARDS_KEPT)(self._read_keys)
        self.rows_of = lru_cache(VIDEOS_KEPT)(self._rows_of)

    def _read_keys(self, shard: ShardInfo) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Video -> its (windows int32 [n], row numbers int64 [n]) in a shard, ascending."""
        parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for numbers, batch in self.dataset.shard_batches(shard, ["video_id", "window"], 65_536):
            ids = np.asarray(batch["video_id"].to_pylist(), object)
            starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if len(ids) else np.zeros(0, int)
            windows = batch["window"].to_numpy()
            for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
                parts.setdefault(ids[start], []).append((windows[start:end], numbers[start:end]))
        return {
            video: (np.concatenate([one for one, _ in found]), np.concatenate([one for _, one in found]))
            for video, found in parts.items()
        }

    def _rows_of(self, video_id: str) -> tuple[np.ndarray, np.ndarray]:
        """(windows int32 [n], global row numbers int64 [n]) of a video, by window; empty for one without rows."""
        found = [(np.zeros(0, np.int32), np.zeros(0, np.int64))]
        for shard in self.dataset.snapshot.shards:
            if shard.first_key[0] <= video_id <= shard.last_key[0] and video_id not in shard.removed:
                with self._lock:
                    keys = self._keys(shard)
                if video_id in keys:
                    found.append(keys[video_id])
        windows, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.argsort(windows, kind="stable")
        return windows[order], rows[order]

    def row_at(self, video_id: str, at_ms: int) -> int | None:
        """The row whose window holds an instant, else the nearest one; None for a video without rows."""
        windows, rows = self.rows_of(video_id)
        if not len(rows):
            return None
        grid = self.dataset.snapshot.grid
        wanted = int(at_ms * float(grid.tick_hz) / 1000) // grid.window_ticks
        after = min(int(windows.searchsorted(wanted)), len(rows) - 1)
        before = max(0, after - 1)
        nearest = before if wanted - int(windows[before]) <= int(windows[after]) - wanted else after
        return int(rows[nearest])

    def frames_at(self, instants: Sequence[tuple[str, int]]) -> list[Place | None]:
        """The frame nearest to each (video_id, ms) within the instant's window; None where that has no frame."""
        rows = [self.row_at(video_id, at_ms) for video_id, at_ms in instants]
        held = self.dataset.take(sorted({row for row in rows if row is not None}), ["tick_pts_ms", "tick_valid"])
        found: list[Place | None] = []
        for row, (_, at_ms) in zip(rows, instants, strict=True):
            if row is None or row not in held or not held[row]["tick_valid"].any():
                found.append(None)
                continue
            pts_ms, valid = held[row]["tick_pts_ms"].astype(np.int64), held[row]["tick_valid"].astype(bool)
            tick = int(np.argmin(np.where(valid, np.abs(pts_ms - at_ms), np.iinfo(np.int64).max)))
            found.append(Place(row, tick, int(pts_ms[tick])))
        return found

    def frame(self, row: int, tick: int) -> tuple[str, int] | None:
        """(video_id, presentation time in ms) of a frame; None where the snapshot has none there."""
        if not (0 <= row < self.dataset.snapshot.next_row and 0 <= tick < self.dataset.snapshot.shape.ticks):
            return None
        held = self.dataset.take([row], ["video_id", "tick_pts_ms", "tick_valid"]).get(row)
        if held is None or not held["tick_valid"][tick]:
            return None
        return held["video_id"], int(held["tick_pts_ms"][tick])
