"""Searches titles and descriptions, and returns whole videos as moments. Exact: the videos table has one row per video."""

from __future__ import annotations

import numpy as np

from ...schemas.errors import UsageError
from ...schemas.small_arrays import flags, int64_array
from ...schemas.tables import TITLE_EMBEDDINGS
from ...schemas.tensors import tensor
from ..dataset import Dataset
from .frames import Moment


def has_titles(dataset: Dataset) -> bool:
    """Whether any video has the embedding of a title or description."""
    return any(dataset.newest[name].null_count < len(dataset.newest) for name in TITLE_EMBEDDINGS.values())


def title_mean(dataset: Dataset) -> np.ndarray:
    """The mean of all embeddings of titles and descriptions, float32 [E]."""
    videos = dataset.newest
    parts = [tensor(videos, name)[flags(videos[name].is_valid())] for name in TITLE_EMBEDDINGS.values()]
    mean: np.ndarray = np.concatenate(parts).mean(axis=0, dtype=np.float32)
    return mean


def title_moments(dataset: Dataset, query: np.ndarray, k: int) -> list[Moment]:
    """The k videos whose title or description, whichever is nearer, has the highest cosine to float32 [E], best first.

    A moment is the whole video, and its text is what was matched. Videos that failed are found too, with a length of 0 where
    it is not known. Raises UsageError where no video has either.
    """
    if not has_titles(dataset):
        raise UsageError(
            f"no video of {dataset.storage.root} has an embedded title or description. Cure: give INPUT as a csv or parquet list "
            "with the columns uri, title, description to reelbeam extract or nightly; no video is decoded again for it"
        )
    videos = dataset.newest
    scores = np.stack(
        [
            np.where(flags(videos[name].is_valid()), tensor(videos, name).astype(np.float32) @ query, -np.inf)
            for name in TITLE_EMBEDDINGS.values()
        ]
    )
    best = scores.max(axis=0)
    matched = [list(TITLE_EMBEDDINGS)[at] for at in scores.argmax(axis=0)]
    order = [int(at) for at in np.argsort(-best, kind="stable")[:k] if np.isfinite(best[at])]
    rows = videos.select(["uri", "video_id", "duration_ms", *TITLE_EMBEDDINGS]).take(int64_array(order)).to_pylist()
    return [
        Moment(row["uri"], row["video_id"], 0, row["duration_ms"], 0, round(float(best[at]), 4), row[matched[at]])
        for at, row in zip(order, rows, strict=True)
    ]
