"""Video and window of every row, as numbers, so that a large dataset's rows fit into memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...schemas.errors import UsageError
from ...schemas.tensors import tensor
from ...schemas.vector_sources import FRAMES
from .read import Dataset


class RowLocations:
    """Video and window of each row: 8 bytes per row. Removed rows have video -1."""

    def __init__(self, dataset: Dataset):
        self.dataset, self.ticks = dataset, dataset.snapshot.shape.ticks
        self.video = np.full(dataset.snapshot.next_row, -1, np.int32)
        self.window = np.zeros(dataset.snapshot.next_row, np.int32)
        numbers: dict[str, int] = {}
        uris: dict[str, str] = {}
        for rows, batch in dataset.batches(["video_id", "uri", "window"], rows=65_536):
            for row, video_id, uri in zip(
                rows.tolist(), batch["video_id"].to_pylist(), batch["uri"].to_pylist(), strict=True
            ):
                self.video[row] = numbers.setdefault(video_id, len(numbers))
                uris[video_id] = uri
            self.window[rows] = batch["window"].to_numpy()
        self.video_ids, self.uris = list(numbers), [uris[video_id] for video_id in numbers]

    def video_of(self, ids: np.ndarray) -> np.ndarray:
        """Video numbers int32 of frame ids; -1 for missing ids and removed rows."""
        return np.where(ids >= 0, self.video[np.maximum(ids, 0) // self.ticks], -1)

    def tick_of(self, ids: np.ndarray) -> np.ndarray:
        """Ticks int64 of frame ids, counted from the start of their videos."""
        return self.window[np.maximum(ids, 0) // self.ticks].astype(np.int64) * self.ticks + ids % self.ticks

    def ms(self, tick: int) -> int:
        """The time of a tick in ms."""
        return self.dataset.snapshot.grid.tick_ms(tick)

    def find(self, name: str) -> int:
        """The number of the video with this id, uri, or end of a uri. Raises UsageError unless exactly one matches."""
        found = [at for at, video_id in enumerate(self.video_ids) if video_id == name]
        found = found or [at for at, uri in enumerate(self.uris) if uri == name]
        found = found or [at for at, uri in enumerate(self.uris) if uri.endswith("/" + name.lstrip("/"))]
        if len(found) != 1:
            raise UsageError(
                f"{name}: {'no video' if not found else f'{len(found)} videos'} of that name with frames; "
                + (
                    f"cure: give a full uri, such as {self.uris[found[0] if found else 0]}"
                    if self.uris
                    else "the dataset has no rows"
                )
            )
        return found[0]

    def vectors(self, video: int) -> tuple[np.ndarray, np.ndarray]:
        """All frames of one video, in time order: (ids int64 [n], vectors float32 [n, D]). Raises UsageError where frames are off."""
        FRAMES.dimension(self.dataset.snapshot.shape)
        rows = np.flatnonzero(self.video == video)
        rows = rows[np.argsort(self.window[rows])]
        held = self.dataset.take(rows.tolist(), ["frame_embedding", "tick_valid"])
        ids = rows[:, None] * self.ticks + np.arange(self.ticks)
        valid = np.stack([held[row]["tick_valid"] for row in rows.tolist()]).astype(bool)
        values = np.stack([held[row]["frame_embedding"] for row in rows.tolist()]).astype(np.float32)
        return ids[valid], values[valid]


def window_vectors(dataset: Dataset) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows with at least one frame: (rows int64 [n], vectors float32 [n, T, D], valid ticks bool [n, T]).

    Raises UsageError where frames are off.
    """
    FRAMES.dimension(dataset.snapshot.shape)
    for rows, batch in dataset.batches(["frame_embedding", "tick_valid"]):
        valid = tensor(batch, "tick_valid").astype(bool)
        some = valid.any(axis=1)
        yield rows[some], tensor(batch, "frame_embedding")[some].astype(np.float32), valid[some]
