"""What an index can be over: the frames, what is said, or the fused embeddings. One home for their columns, ids and models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..schemas.errors import UsageError
from ..schemas.snapshot import IndexInfo, ShardInfo, Snapshot
from ..schemas.storage import Storage
from ..schemas.tables import RowShape, tensor
from .read import Dataset, shard_batches, shard_ids, shard_vectors


@dataclass(frozen=True)
class Indexed:
    """One kind of vector. A frame's id is `row * T + tick`; a window's is its row number."""

    name: str
    column: str
    models: tuple[str, ...]
    """The models of a snapshot that its values depend on: with another one an index is built anew."""
    called: str
    """Its vectors, in messages."""

    @property
    def of_frames(self) -> bool:
        return self.column == "frame_embedding"

    def ids_a_row(self, shape: RowShape) -> int:
        return shape.ticks if self.of_frames else 1

    def is_stored(self, shape: RowShape) -> bool:
        """Whether the rows have its column at all."""
        return bool(self._width(shape))

    def _width(self, shape: RowShape) -> int:
        return {"frames": shape.frame_dim, "speech": shape.text_dim, "fused": shape.fused_dim}[self.name]

    def dimension(self, shape: RowShape) -> int:
        """Numbers a vector. Raises UsageError where the dataset has none of this kind."""
        if not (found := self._width(shape)):
            raise UsageError(
                f"the dataset has no {self.called}; make them with: reelbeam nightly INPUT OUTPUT --fuse concat --remodel"
            )
        return found

    def made_with(self, snapshot: Snapshot) -> dict[str, Any]:
        """The identities of its models."""
        return {name: snapshot.models[name] for name in self.models if name in snapshot.models}

    def vectors(self, storage: Storage, shard: ShardInfo) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Those of one shard that count: (ids int64 [n], vectors float32 [n, D])."""
        if self.of_frames:
            yield from shard_vectors(storage, shard)
            return
        for rows, batch in shard_batches(storage, shard, [self.column]):
            there = batch[self.column].is_valid().to_numpy(zero_copy_only=False)
            yield rows[there], tensor(batch, self.column)[there].astype(np.float32)

    def ids(self, storage: Storage, shard: ShardInfo) -> np.ndarray:
        """The ids of the same vectors, int64 [n]."""
        if self.of_frames:
            return shard_ids(storage, shard)
        found = (
            rows[batch[self.column].is_valid().to_numpy(zero_copy_only=False)]
            for rows, batch in shard_batches(storage, shard, [self.column])
        )
        return np.concatenate([np.zeros(0, np.int64), *found])

    def all_vectors(self, dataset: Dataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All that count, shard by shard."""
        for shard in dataset.snapshot.shards:
            yield from self.vectors(dataset.storage, shard)


FRAMES = Indexed("frames", "frame_embedding", ("clip",), "frame embeddings")
SPEECH = Indexed("speech", "text_embedding", ("whisper", "text"), "embeddings of what is said")
FUSED = Indexed("fused", "fused_embedding", ("clip", "whisper", "audio", "text", "fusion"), "fused embeddings")
INDEXED = {one.name: one for one in (FRAMES, SPEECH, FUSED)}


def still_true(snapshot: Snapshot, models: dict[str, Any]) -> dict[str, IndexInfo]:
    """The indexes of a snapshot whose vectors are the same under other models."""
    other = replace(snapshot, models=models)
    return {
        name: built
        for name, built in snapshot.indexes.items()
        if INDEXED[built.of].made_with(other) == INDEXED[built.of].made_with(snapshot)
    }
