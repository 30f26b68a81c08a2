"""Frames as points of a map: placed by principal components, with their video, language and cluster. Bounded in number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...schemas.errors import UsageError
from ...schemas.tensors import tensor
from ...schemas.vector_sources import FRAMES
from ..dataset import Dataset

MOST_POINTS = 5_000
MOST_READ_ROWS = 20_000
"""Rows of windows up to which all of them are read; of more, stretches are read that lie evenly."""

BUCKET_READ_ROWS = 1_000
"""The same of a dataset in a bucket: a row of embeddings is some kilobytes."""

STRETCHES = 200
CLUSTERS = 12
ROUNDS = 20
"""Rounds of k-means: more move few points between clusters."""


@dataclass(frozen=True)
class MapPoints:
    """Columns of n points, in the dataset's order, and the names that their numbers stand for."""

    of_frames: int
    """Frames of the snapshot."""
    x: list[float]
    """In [0, 1]: first principal component."""
    y: list[float]
    """In [0, 1]: second principal component; the scale is that of x."""
    row: list[int]
    tick: list[int]
    """Of the row, from 0."""
    at_ms: list[int]
    """Presentation time of the frame."""
    video: list[int]
    language: list[int]
    cluster: list[int]
    video_ids: list[str]
    uris: list[str]
    languages: list[str]
    """As Whisper names it; empty where nothing is said."""
    clusters: int

    def __len__(self) -> int:
        return len(self.x)


def stretches(total: int, most: int, parts: int) -> list[tuple[int, int]]:
    """(first, end) of places in [0, total): all of them, or at most `most` in `parts` stretches that lie evenly.

    >>> stretches(10, 20, 2), stretches(100, 10, 2)
    ([(0, 10)], [(0, 5), (50, 55)])
    """
    if total <= most:
        return [(0, total)]
    length = max(1, most // parts)
    return [(total * part // parts, total * part // parts + length) for part in range(parts)]


def axes(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean float64 [D] and the two directions [2, D] in which vectors differ most: principal components.

    Eigenvectors of the covariance, largest first; the largest entry of each is positive, so that a map is never mirrored.
    """
    vectors = vectors.astype(np.float64)
    mean = vectors.mean(0)
    _, found = np.linalg.eigh(np.cov((vectors - mean).T, bias=True))
    best = found[:, ::-1][:, :2].T
    signs = np.sign(best[np.arange(2), np.abs(best).argmax(1)])
    return mean, best * signs[:, None]


def scaled(flat: np.ndarray) -> np.ndarray:
    """Points [n, 2] moved and scaled into the unit square, centred, with one scale for both directions.

    >>> scaled(np.array([[0.0, 0.0], [4.0, 2.0]])).tolist()
    [[0.0, 0.25], [1.0, 0.75]]
    """
    low, high = flat.min(0), flat.max(0)
    size = max(float((high - low).max()), 1e-9)
    return (flat - (low + high) / 2) / size + 0.5


def clusters_of(vectors: np.ndarray, most: int = CLUSTERS, seed: int = 0) -> np.ndarray:
    """The cluster int64 [n] of each unit vector float32 [n, D]: spherical k-means, k-means++ starts. Cluster 0 is the largest.

    Source: Dhillon & Modha, Concept Decompositions for Large Sparse Text Data using Clustering, 2001.
    """
    rng = np.random.default_rng(seed)
    centres = vectors[rng.integers(len(vectors))][None]
    for _ in range(min(most, len(vectors)) - 1):
        far = np.maximum(0.0, 1 - (vectors @ centres.T).max(1)).astype(np.float64) ** 2
        if far.sum() <= 1e-9:  # no vector differs from those chosen
            break
        centres = np.vstack([centres, vectors[rng.choice(len(vectors), p=far / far.sum())]])
    own = np.zeros(len(vectors), np.int64)
    for _ in range(ROUNDS):
        own = (vectors @ centres.T).argmax(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, own, vectors)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-9), centres)
    order = np.argsort(-np.bincount(own, minlength=len(centres)), kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    numbers: np.ndarray = place[own]
    return numbers


COLUMNS = ["video_id", "uri", "language", "tick_valid", "tick_pts_ms", "frame_embedding"]


class Frame(NamedTuple):
    """One frame as it was read."""

    row: int
    tick: int
    at_ms: int
    video_id: str
    uri: str
    language: str | None
    vector: np.ndarray


def most_read(dataset: Dataset) -> int:
    """Rows that are read at most."""
    return MOST_READ_ROWS if dataset.storage.is_local else BUCKET_READ_ROWS


def _read_frames(dataset: Dataset) -> Iterator[Frame]:
    """The frames of all rows, or of evenly lying stretches of them. Raises UsageError where frames are off."""
    FRAMES.dimension(dataset.snapshot.shape)
    runs = [run for shard in dataset.snapshot.shards for run in shard.runs]
    total = sum(rows for _, rows in runs)
    most = most_read(dataset)
    if total <= most and dataset.storage.is_local:
        for rows, batch in dataset.batches(COLUMNS, rows=512):
            valid, pts_ms, vectors = (tensor(batch, name) for name in COLUMNS[3:])
            texts = [batch[name].to_pylist() for name in COLUMNS[:3]]
            for row, tick in np.argwhere(valid.astype(bool)).tolist():
                video_id, uri, language = (column[row] for column in texts)
                yield Frame(int(rows[row]), tick, int(pts_ms[row, tick]), video_id, uri, language, vectors[row, tick])
        return
    numbers = np.concatenate([np.arange(first, first + rows) for first, rows in runs])
    for first, end in stretches(total, most, STRETCHES):
        for row, held in sorted(dataset.take(numbers[first:end].tolist(), COLUMNS).items()):
            for tick in np.flatnonzero(held["tick_valid"]).tolist():
                video_id, uri, language = (held[name] for name in COLUMNS[:3])
                yield Frame(
                    row, tick, int(held["tick_pts_ms"][tick]), video_id, uri, language, held["frame_embedding"][tick]
                )


def even(numbers: Sequence[int], most: int) -> list[int]:
    """At most `most` of some numbers, at even steps.

    >>> even([5, 6, 7, 8, 9], 2), even([5, 6], 4)
    ([5, 8], [5, 6])
    """
    every = max(1, -(-len(numbers) // most))
    return list(numbers[::every])


def _numbered(names: Sequence[str]) -> tuple[list[int], list[str]]:
    """
    >>> _numbered(["b", "a", "b"])
    ([0, 1, 0], ['b', 'a'])
    """
    places: dict[str, int] = {}
    return [places.setdefault(name, len(places)) for name in names], list(places)


def map_points(dataset: Dataset, most: int = MOST_POINTS) -> MapPoints:
    """A map of the frames of a snapshot: all of them, or at most `most` at even steps. Raises UsageError for fewer than 3."""
    total = dataset.snapshot.counts.get("frames", 0)
    read = min(1.0, most_read(dataset) / max(1, sum(shard.rows for shard in dataset.snapshot.shards)))
    every = max(1, int(-(-total * read // most)))
    kept = [frame for at, frame in enumerate(_read_frames(dataset)) if at % every == 0]
    kept = [kept[at] for at in even(range(len(kept)), most)]
    if len(kept) < 3:
        raise UsageError(f"the snapshot has {len(kept)} frames: a map needs 3; extract videos with pictures first")
    vectors = np.stack([frame.vector for frame in kept]).astype(np.float32)
    mean, directions = axes(vectors)
    placed = np.round(scaled((vectors - mean) @ directions.T), 4)
    videos, video_ids = _numbered([frame.video_id for frame in kept])
    uri_of = {frame.video_id: frame.uri for frame in kept}
    spoken, languages = _numbered([frame.language or "" for frame in kept])
    groups = clusters_of(vectors)
    return MapPoints(
        of_frames=total,
        x=placed[:, 0].tolist(),
        y=placed[:, 1].tolist(),
        row=[frame.row for frame in kept],
        tick=[frame.tick for frame in kept],
        at_ms=[frame.at_ms for frame in kept],
        video=videos,
        language=spoken,
        cluster=groups.tolist(),
        video_ids=video_ids,
        uris=[uri_of[video_id] for video_id in video_ids],
        languages=languages,
        clusters=int(groups.max()) + 1,
    )
