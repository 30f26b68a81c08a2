"""The videos that look most like one: those that the nearest frames of some of its frames belong to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from ..playing import FramePlaces
from ..search import FrameIndex
from .answer_types import SimilarVideo, frame_address

COMPARED = 16
"""Frames of the video that are compared, one from each of so many windows that lie evenly."""

NEIGHBOURS = 32
"""Nearest frames of other videos, for each."""


def similar_videos(
    index: FrameIndex, places: FramePlaces, video_id: str, k: int, present: Collection[str]
) -> list[SimilarVideo]:
    """The k videos of those `present` that look most like a video, best first; none for a video without frames.

    The score is the mean, over the compared frames, of the best cosine that the other video has for it. Where it is not among a
    frame's neighbours, the last neighbour's cosine stands for it, so the score is an upper bound.
    """
    times_ms, vectors = compared_frames(places, video_id)
    if not len(vectors):
        return []
    _, own = places.rows_of(video_id)
    scores, ids = index.nearest_outside(vectors, NEIGHBOURS, own)
    numbers, known = ids // index.manifest.ids_a_row, ids >= 0
    held = places.dataset.take(np.unique(numbers[known]).tolist(), ["video_id", "uri", "tick_pts_ms"])
    floors = np.where(known, scores, np.inf).min(axis=1)
    sums: dict[str, np.ndarray] = {}
    best: dict[str, tuple[float, int, int]] = {}
    for at, neighbour in np.argwhere(known).tolist():
        row, score = held.get(int(numbers[at, neighbour])), float(scores[at, neighbour])
        if row is None or row["video_id"] not in present or row["video_id"] == video_id:
            continue
        near = sums.setdefault(row["video_id"], floors.copy())
        near[at] = max(near[at], score)
        if score > best.get(row["video_id"], (-2.0, 0, 0))[0]:
            best[row["video_id"]] = (score, at, neighbour)
    order = sorted(best, key=lambda other: (-float(sums[other][np.isfinite(sums[other])].mean()), other))[:k]
    found = []
    for other in order:
        _, at, neighbour = best[other]
        number, tick = int(numbers[at, neighbour]), int(ids[at, neighbour] % index.manifest.ids_a_row)
        found.append(
            SimilarVideo(
                video_id=other,
                uri=held[number]["uri"],
                name=held[number]["uri"].rpartition("/")[2],
                score=round(float(sums[other][np.isfinite(sums[other])].mean()), 4),
                at_ms=int(times_ms[at]),
                other_ms=int(held[number]["tick_pts_ms"][tick]),
                thumbnail=frame_address(number, tick),
            )
        )
    return found


def compared_frames(places: FramePlaces, video_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Some frames of a video that lie evenly: their times in ms int64 [n], vectors float32 [n, D]."""
    _, rows = places.rows_of(video_id)
    chosen = np.unique(rows[np.linspace(0, len(rows) - 1, min(COMPARED, len(rows))).astype(int)]) if len(rows) else rows
    held: dict[int, dict[str, Any]] = places.dataset.take(
        chosen.tolist(), ["tick_valid", "tick_pts_ms", "frame_embedding"]
    )
    frames = []
    for row in chosen.tolist():
        valid = np.flatnonzero(held[row]["tick_valid"]) if row in held else np.zeros(0, int)
        if len(valid):
            tick = int(valid[len(valid) // 2])
            frames.append((int(held[row]["tick_pts_ms"][tick]), held[row]["frame_embedding"][tick]))
    if not frames:
        return np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
    times, vectors = zip(*frames, strict=True)
    return np.array(times), np.stack(vectors).astype(np.float32)
