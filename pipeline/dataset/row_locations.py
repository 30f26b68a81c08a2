"""Where each row of a dataset lies: numbers instead of names, so that all rows of a large one fit into memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...schemas.errors import UsageError
from ...schemas.tensors import tensor
from .read import Dataset


class RowLocations:
    """Video and window of each row that counts: 8 bytes a row."""

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
        """Numbers of the videos that ids lie in, int32; -1 for what does not count."""
        return np.where(ids >= 0, self.video[np.maximum(ids, 0) // self.ticks], -1)

    def tick_of(self, ids: np.ndarray) -> np.ndarray:
        """Ticks of ids in their videos, int64."""
        return self.window[np.maximum(ids, 0) // self.ticks].astype(np.int64) * self.ticks + ids % self.ticks

    def ms(self, tick: int) -> int:
        """The instant of a tick."""
        return self.dataset.snapshot.grid.tick_ms(tick)

    def find(self, name: str) -> int:
        """A video by its id, its uri, or the end of its uri. Raises UsageError unless it is exactly one."""
        found = [at for at, video_id in enumerate(self.video_ids) if video_id == name]
        found = found or [at for at, uri in enumerate(self.uris) if uri == name]
        found = found or [at for at, uri in enumerate(self.uris) if uri.endswith("/" + name.lstrip("/"))]
        if len(found) != 1:
            raise UsageError(
                f"{name}: {'no video' if not found else f'{len(found)} videos'} of that name with frames; "
                + (
                    f"give a whole uri, such as {self.uris[found[0] if found else 0]}"
                    if self.uris
                    else "it holds no frames"
                )
            )
        return found[0]

    def vectors(self, video: int) -> tuple[np.ndarray, np.ndarray]:
        """All frames of one video, in order: (ids int64 [n], vectors float32 [n, D])."""
        rows = np.flatnonzero(self.video == video)
        rows = rows[np.argsort(self.window[rows])]
        held = self.dataset.take(rows.tolist(), ["frame_embedding", "tick_valid"])
        ids = rows[:, None] * self.ticks + np.arange(self.ticks)
        valid = np.stack([held[row]["tick_valid"] for row in rows.tolist()]).astype(bool)
        values = np.stack([held[row]["frame_embedding"] for row in rows.tolist()]).astype(np.float32)
        return ids[valid], values[valid]


def window_vectors(dataset: Dataset) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows with frames: (rows int64 [n], vectors float32 [n, T, D], which count bool [n, T])."""
    for rows, batch in dataset.batches(["frame_embedding", "tick_valid"]):
        valid = tensor(batch, "tick_valid").astype(bool)
        some = valid.any(axis=1)
        yield rows[some], tensor(batch, "frame_embedding")[some].astype(np.float32), valid[some]
