"""Retrieval jobs over the nearest neighbours of frames: similar videos, repeated spans, outliers. Each returns a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from ...schemas.errors import UsageError
from ...transforms.neighbours import Match, span_pairs, split_scores
from ..dataset import RowLocations, frame_vectors
from .opened_index import Frames

BATCH = 1024
"""Frames per query batch."""

NEIGHBOURS = 16
"""Neighbours per frame. A span that repeats more often is found through its nearest copies."""

SAMPLE = 20_000
"""Frames whose nearest neighbours are used to choose the threshold."""

NEAR_TICKS = 30
"""Frames of one video that are closer than this are one scene, not a repetition."""

CLEAR = 0.7
"""How clearly a chosen threshold must separate two groups (0 to 1)."""

SPAN_COLUMNS = ("uri", "start_ms", "end_ms", "other_uri", "other_start_ms", "other_end_ms", "frames", "score")


def similar(frames: Frames, name: str, k: int) -> pa.Table:
    """Videos that look like a video, best first: uri, score, frames, at_ms, other_ms.

    The score is the mean, over the video's frames, of the best cosine that the other video has for it; where the other
    video is not among a frame's neighbours, the last neighbour's cosine stands for it, so it is an upper bound.
    """
    where = RowLocations(frames.dataset)
    video = where.find(name)
    own, vectors = where.vectors(video)
    total = np.zeros(len(where.uris))
    seen = np.zeros(len(where.uris), np.int64)
    best: dict[int, tuple[float, int, int]] = {}
    wanted = min(len(frames), 10 * k * max(1, NEIGHBOURS // 4) + len(own))
    floors = 0.0
    for at in range(0, len(own), BATCH):
        scores, ids = frames.nearest(vectors[at : at + BATCH], wanted)
        others = where.video_of(ids)
        for row in range(len(ids)):
            real = (ids[row] >= 0) & (others[row] != video) & (others[row] >= 0)
            floor = float(scores[row][ids[row] >= 0].min(initial=1.0))
            floors += floor
            found, first = np.unique(others[row][real], return_index=True)
            values = scores[row][real][first]
            total[found] += values - floor
            seen[found] += 1
            for other, value, place in zip(
                found.tolist(), values.tolist(), np.flatnonzero(real)[first].tolist(), strict=True
            ):
                if value > best.get(other, (-2.0, 0, 0))[0]:
                    best[other] = (value, int(own[at + row]), int(ids[row][place]))
    order = sorted(best, key=lambda other: -total[other])[:k]
    return pa.table(
        {
            "uri": pa.array([where.uris[other] for other in order], pa.string()),
            "score": pa.array([(total[other] + floors) / max(1, len(own)) for other in order], pa.float64()),
            "frames": pa.array([int(seen[other]) for other in order], pa.int64()),
            "at_ms": pa.array([_ms(where, best[other][1]) for other in order], pa.int64()),
            "other_ms": pa.array([_ms(where, best[other][2]) for other in order], pa.int64()),
        }
    )


def near_duplicates(frames: Frames, threshold: float = 0.0, least: int = 2) -> tuple[pa.Table, float, float]:
    """Pairs of spans that show the same, within and across videos; the threshold used, and how clearly it parts (0 to 1).

    A threshold of 0 is chosen from the distribution of the frames' nearest neighbours. Raises UsageError when that has
    no two groups: then only a person can say what a copy is.
    """
    where = RowLocations(frames.dataset)
    clarity = 1.0
    if not threshold:
        threshold, clarity = choose_threshold(frames, where)
        if clarity < CLEAR:
            raise UsageError(
                f"the nearest neighbours do not part into copies and others (clarity {clarity:.2f} of {CLEAR} wanted; the "
                f"best cut would be {threshold:.3f}): say what a copy is with --threshold"
            )
    matches = []
    for own, scores, ids in _neighbours(frames, where):
        close = scores >= threshold
        matches += [
            Match(int(where.video_of(own)[row]), int(where.tick_of(own)[row]), video, tick, float(score))
            for row in np.flatnonzero(close.any(axis=1)).tolist()
            for video, tick, score in zip(
                where.video_of(ids[row][close[row]]).tolist(),
                where.tick_of(ids[row][close[row]]).tolist(),
                scores[row][close[row]],
                strict=True,
            )
        ]
    rows = [
        (
            where.uris[pair.video],
            where.ms(pair.first),
            where.ms(pair.last + 1),
            where.uris[pair.other_video],
            where.ms(pair.other_first),
            where.ms(pair.other_last + 1),
            pair.matches,
            pair.score,
        )
        for pair in span_pairs(matches, least)
    ]
    rows.sort(key=lambda row: (-row[6], -row[7]))
    kinds = [pa.string(), pa.int64(), pa.int64(), pa.string(), pa.int64(), pa.int64(), pa.int64(), pa.float64()]
    columns = list(zip(*rows, strict=True)) or [()] * len(kinds)
    arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
    return pa.table(arrays, names=list(SPAN_COLUMNS)), threshold, clarity


def choose_threshold(frames: Frames, where: RowLocations) -> tuple[float, float]:
    """The cosine that separates copies from similar frames, found on an even sample, and how clearly it does so (0 to 1)."""
    every = max(1, len(frames) // SAMPLE)
    best = [scores[:, 0][ids[:, 0] >= 0] for _, scores, ids in _neighbours(frames, where, every)]
    return split_scores(np.concatenate([np.zeros(0, np.float32), *best]))


def _neighbours(
    frames: Frames, where: RowLocations, every: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Every so many frames with their neighbours in other scenes, best first: (own ids [n], scores [n, c], ids [n, c]).

    What does not count has id -1 and score -inf.
    """
    wanted = min(len(frames), 2 * NEAR_TICKS + 1 + NEIGHBOURS)
    for own, vectors in frame_vectors(frames.dataset):
        own, vectors = own[::every], vectors[::every]
        for at in range(0, len(own), BATCH):
            some = own[at : at + BATCH]
            scores, ids = frames.nearest(vectors[at : at + BATCH], wanted)
            apart = np.abs(where.tick_of(ids) - where.tick_of(some)[:, None]) >= NEAR_TICKS
            other = where.video_of(ids) != where.video_of(some)[:, None]
            counts = (ids >= 0) & (where.video_of(ids) >= 0) & (other | apart)
            scores, ids = np.where(counts, scores, -np.inf), np.where(counts, ids, -1)
            order = np.argsort(-scores, axis=1, kind="stable")[:, :NEIGHBOURS]
            yield some, np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def outliers(frames: Frames, k: int, neighbours: int = 5) -> pa.Table:
    """Moments unlike the rest, most unusual first: uri, ms, score, nearest_uri, nearest_ms, nearest_score.

    The score is 1 less the mean cosine to the nearest frames of other scenes. One moment a stretch of NEAR_TICKS.
    """
    where = RowLocations(frames.dataset)
    kept: list[tuple[float, int, int, float]] = []
    for own, scores, ids in _neighbours(frames, where):
        known = np.isfinite(scores[:, :neighbours])
        near = np.where(known, scores[:, :neighbours], 0).sum(axis=1) / np.maximum(1, known.sum(axis=1))
        strange = np.where(known.any(axis=1), 1 - near, 1.0)
        kept += zip(strange.tolist(), own.tolist(), ids[:, 0].tolist(), scores[:, 0].tolist(), strict=True)
        kept = _one_a_stretch(kept, where, k)
    return pa.table(
        {
            "uri": pa.array([where.uris[_video(where, own)] for _, own, _, _ in kept], pa.string()),
            "ms": pa.array([_ms(where, own) for _, own, _, _ in kept], pa.int64()),
            "score": pa.array([score for score, *_ in kept], pa.float64()),
            "nearest_uri": pa.array(
                [where.uris[_video(where, near)] if near >= 0 else None for *_, near, _ in kept], pa.string()
            ),
            "nearest_ms": pa.array([_ms(where, near) if near >= 0 else None for *_, near, _ in kept], pa.int64()),
            "nearest_score": pa.array([score if near >= 0 else None for *_, near, score in kept], pa.float64()),
        }
    )


def _one_a_stretch(found: list[Any], where: RowLocations, k: int) -> list[Any]:
    """The k most unusual frames; no two of one video within NEAR_TICKS."""
    kept: list[Any] = []
    taken: dict[int, list[int]] = {}
    for one in sorted(found, key=lambda one: (-one[0], one[1])):
        video, tick = _video(where, one[1]), int(where.tick_of(np.array([one[1]]))[0])
        if all(abs(tick - other) >= NEAR_TICKS for other in taken.get(video, [])):
            taken.setdefault(video, []).append(tick)
            kept.append(one)
        if len(kept) == k:
            break
    return kept


def _ms(where: RowLocations, one: int) -> int:
    return where.ms(int(where.tick_of(np.array([one]))[0]))


def _video(where: RowLocations, one: int) -> int:
    return int(where.video_of(np.array([one]))[0])
