"""A map of embeddings: one dot per frame, in the plane of the first two principal components."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...schemas.errors import UsageError
from ...schemas.tensors import tensor
from ..dataset import Dataset
from .drawing import Dot, Line, Mark, colour_of
from .moments_page import clock

MAP_PX = 800


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


def embedding_map(vectors: np.ndarray, videos: Sequence[str], tips: Sequence[str]) -> list[Mark]:
    """One dot per vector [n, D], in the plane of the first two principal components, coloured by video."""
    mean, directions = axes(vectors)
    flat = (vectors - mean) @ directions.T
    low, high = flat.min(0), flat.max(0)
    placed = 20 + (flat - low) / np.maximum(high - low, 1e-9) * (MAP_PX - 40)
    numbers = {video: at for at, video in enumerate(dict.fromkeys(videos))}
    dots: list[Mark] = [
        Dot(float(x), float(MAP_PX - y), 3, colour_of(numbers[video]), tip)
        for (x, y), video, tip in zip(placed, videos, tips, strict=True)
    ]
    frame = ((10.0, 10.0), (MAP_PX - 10.0, 10.0), (MAP_PX - 10.0, MAP_PX - 10.0), (10.0, MAP_PX - 10.0), (10.0, 10.0))
    return [Line(frame, "#dddddd"), *dots]


def map_of(dataset: Dataset, most: int) -> tuple[list[Mark], str]:
    """A map of the frames of a snapshot: all of them, or frames at even steps, at most `most`."""
    total = max(1, dataset.snapshot.counts.get("frames", 0))
    every = -(-total // most)
    vectors, videos, tips, at = [], [], [], 0
    for _, batch in dataset.batches(["uri", "tick_valid", "tick_pts_ms", "frame_embedding"]):
        valid = tensor(batch, "tick_valid").astype(bool)
        pts_ms, frames = tensor(batch, "tick_pts_ms"), tensor(batch, "frame_embedding")
        for row, tick in np.argwhere(valid).tolist():
            if at % every == 0:
                uri = batch["uri"][row].as_py()
                vectors.append(frames[row, tick].astype(np.float32))
                videos.append(uri)
                tips.append(f"{uri.rpartition('/')[2]} {clock(int(pts_ms[row, tick]))}")
            at += 1
    if len(vectors) < 3:
        raise UsageError(f"{dataset.storage.root} has {len(vectors)} frames: a map needs 3")
    return embedding_map(np.stack(vectors), videos, tips), f"{len(vectors)} of {at} frames"
