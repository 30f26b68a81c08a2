"""Datasets of made-up vectors, stored as the pipeline stores them, for the tests and benchmarks of indexes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reelbeam.pipeline.dataset.commit import without
from reelbeam.pipeline.dataset.compact import rewrite_shards, with_rewrites
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.elements import Grid
from reelbeam.schemas.file_records import ShardInfo
from reelbeam.schemas.snapshot import Snapshot, shard_path
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import RowShape, windows_schema
from reelbeam.schemas.tensors import tensor_array
from reelbeam.transforms.shard_files import put_table, write_windows

CLIP = {"architecture": "made", "weights": "made", "quick_gelu": False, "weights_sha256": "0" * 64}
ROWS_A_VIDEO = 5
TEXT_DIMENSION = 8


@dataclass
class Clusters:
    """Vectors around centres, as frames of scenes are: unit length. `spread` is how far a vector lies from its centre."""

    dimension: int
    centres: int
    spread: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        middle = np.random.default_rng(self.seed).normal(size=(self.centres, self.dimension))
        self.middle = (middle / np.linalg.norm(middle, axis=1, keepdims=True)).astype(np.float32)

    def draw(self, count: int, seed: int, within: tuple[int, int] | None = None) -> np.ndarray:
        """float32 [count, D]; from the centres [first, last) alone, where `within` says so."""
        rng = np.random.default_rng([self.seed, seed])
        first, last = within or (0, self.centres)
        noise = rng.standard_normal((count, self.dimension), dtype=np.float32) * (self.spread / self.dimension**0.5)
        values = self.middle[rng.integers(first, last, count)] + noise
        return values / np.linalg.norm(values, axis=1, keepdims=True)


def blank(field: pa.Field, rows: int) -> pa.Array:
    """A column that indexes do not read: nulls, or zeros and empty words where null is not allowed."""
    if field.nullable:
        return pa.nulls(rows, field.type)
    if pa.types.is_fixed_size_binary(field.type):
        return pa.array([bytes(field.type.byte_width)] * rows, field.type)
    one: Any = "ok" if pa.types.is_string(field.type) else [] if pa.types.is_list(field.type) else 0
    return pa.array([one] * rows, field.type)


class MadeDataset:
    """A dataset that grows shard by shard, and videos of which go. Five rows a video."""

    def __init__(self, root: Path, dimension: int, ticks: int = 4):
        self.storage, self.shape = Storage.at(root), RowShape(ticks, dimension, 2, TEXT_DIMENSION)
        grid = Grid(window_ticks=ticks)
        snapshots.commit(
            self.storage, Snapshot(1, None, "made", snapshots.now(), {}, {"clip": CLIP}, "made", grid, self.shape)
        )
        self.runs = 0

    @property
    def root(self) -> str:
        return self.storage.root

    def add(self, shards: Iterable[np.ndarray], valid: float = 1.0) -> None:
        """One snapshot with a shard for each array float32 [n, D]; n is a multiple of the ticks."""
        self.runs += 1
        infos = [self._shard(values, number, valid) for number, values in enumerate(shards)]

        def grown(parent: Snapshot | None) -> Snapshot:
            assert parent is not None
            held, next_row = parent.add_shards(infos)
            return replace(parent, number=parent.number + 1, parent=parent.number, shards=held, next_row=next_row)

        snapshots.commit_next(self.storage, grown)

    def _shard(self, values: np.ndarray, number: int, valid: float) -> ShardInfo:
        ticks = self.shape.ticks
        rows = len(values) // ticks
        rng = np.random.default_rng([self.runs, number])
        counts = (rng.random((rows, ticks)) < valid).astype(np.uint8)
        at = np.arange(rows)
        videos = [f"{self.runs:04x}{number:04x}{one // ROWS_A_VIDEO:08x}" for one in at]
        window = at % ROWS_A_VIDEO
        pts = (window[:, None] * ticks + np.arange(ticks)) * 1000
        texts = rng.normal(size=(rows, TEXT_DIMENSION))
        texts /= np.linalg.norm(texts, axis=1, keepdims=True)
        frames = (values.reshape(rows, ticks, -1) * counts[..., None]).astype(np.float16)
        spoken = window % 2 == 0
        columns = {
            "video_id": videos,
            "uri": [f"/videos/{'farm' if one // ROWS_A_VIDEO % 2 else 'city'}/{video}.mp4" for one, video in zip(at, videos, strict=True)],
            "window": window,
            "start_ms": window * ticks * 1000,
            "end_ms": (window + 1) * ticks * 1000,
            "tick_pts_ms": tensor_array(np.where(counts, pts, -1).astype(np.int32)),
            "tick_valid": tensor_array(counts),
            "tick_sound": tensor_array(np.ones_like(counts)),
            "shot": tensor_array(np.zeros((rows, ticks), np.int32)),
            "frame_embedding": tensor_array(frames),
            "audio_feature": tensor_array(np.zeros((rows, ticks, 2), np.float16)),
            "text": np.where(spoken, "hello", "").tolist(),
            "words": [[] for _ in at],
            "language": np.where(spoken, np.where(window == 0, "en", "de"), "").tolist(),
            "speech_ratio": spoken.astype(np.float32),
            "text_embedding": tensor_array(texts.astype(np.float16), spoken),
            **{f"{name}_status": ["ok"] * rows for name in ("frame", "audio")},
            **{f"{name}_status": np.where(spoken, "ok", "absent").tolist() for name in ("speech", "text")},
        }  # fmt: skip
        schema = windows_schema(self.shape)
        table = pa.table(
            {field.name: columns[field.name] if field.name in columns else blank(field, rows) for field in schema},
            schema=schema,
        )
        path = f"windows/made-{self.runs:04d}/windows-{number:05d}.parquet"
        info = put_table(self.storage, path, table, write_windows)
        return ShardInfo(path, info.rows, info.bytes, info.sha256, (videos[0], 0), (videos[-1], int(window[-1])))

    def remove(self, video_ids: set[str]) -> None:
        """One snapshot in which some videos' rows no longer count."""

        def less(parent: Snapshot | None) -> Snapshot:
            assert parent is not None
            shards = tuple(without(self.storage, parent.shards, video_ids))
            return replace(parent, number=parent.number + 1, parent=parent.number, shards=shards)

        snapshots.commit_next(self.storage, less)

    def tidy(self) -> None:
        """One snapshot in which the rows that no longer count have left their shards, as after a night's compaction."""
        self.runs += 1
        due = [shard for shard in snapshots.load(self.storage).shards if shard.removed]
        done = [
            rewrite_shards(self.storage, [shard], shard_path(f"tidy-{self.runs:04d}", number, len(due)))
            for number, shard in enumerate(due)
        ]

        def less(parent: Snapshot | None) -> Snapshot:
            assert parent is not None
            shards = tuple(with_rewrites(parent.shards, done))
            return replace(parent, number=parent.number + 1, parent=parent.number, shards=shards)

        snapshots.commit_next(self.storage, less)

    def videos(self) -> list[str]:
        """The ids of all videos that count, oldest first."""
        found: dict[str, None] = {}
        for _, batch in Dataset.open(self.root).batches(["video_id"]):
            found.update(dict.fromkeys(batch["video_id"].to_pylist()))
        return list(found)
