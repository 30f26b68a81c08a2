"""Finds the windows nearest to a vector: with an index where there is one, and by reading the rows that no index covers."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from ...schemas.errors import ModelMismatch
from ...schemas.file_records import ShardInfo
from ...schemas.small_arrays import flags
from ...schemas.tensors import tensor
from ...schemas.vector_sources import VectorSource
from ..dataset import Dataset
from ..indexes import Searcher, changes_since, open_searcher, read_manifest
from .frames import Moment

ROW = ["video_id", "uri", "window", "start_ms", "end_ms", "text"]

Scored = tuple[float, int, dict[str, Any]]
"""(cosine, row number, the columns ROW), best first."""


class WindowVectors:
    """Searches one kind of window vector. Rows that came after the index was built are read and compared."""

    def __init__(self, dataset: Dataset, kind: VectorSource):
        """Raises ModelMismatch when other models made the index's vectors than the rows'."""
        self.dataset, self.kind = dataset, kind
        self.searcher: Searcher | None = None
        self.unindexed: tuple[ShardInfo, ...] = dataset.snapshot.shards
        kind.dimension(dataset.snapshot.shape)
        built = next((one for one in dataset.snapshot.indexes.values() if one.of == kind.name), None)
        if built is None:
            return
        manifest = read_manifest(dataset.storage, built)
        if manifest.models != kind.made_with(dataset.snapshot):
            raise ModelMismatch(
                f"the index {built.path} was made with other models than the rows; cure: reelbeam index "
                f"{dataset.storage.root} --of {kind.name}"
            )
        change = changes_since(dataset, manifest)
        if change.reused_ids:  # after a rollback: ids may stand for other rows until the next update
            return
        self.searcher, self.unindexed = open_searcher(dataset.storage, manifest), change.added
        self.searcher.leave_out(change.removed)

    def nearest(self, query: np.ndarray, k: int) -> list[Moment]:
        """The k windows with the highest cosine to float32 [N] of unit length, best first; those without a vector are left out."""
        found = nearest_rows(self.dataset, self.unindexed, self.kind.column, query, k)
        if self.searcher is not None and self.searcher.ntotal:
            scores, ids = self.searcher.search(query[None], min(k, self.searcher.ntotal))
            rows = self.dataset.take(ids[ids >= 0].tolist(), ROW)
            known = zip(scores[0].tolist(), ids[0].tolist(), strict=True)
            found += [(score, number, rows[number]) for score, number in known if number in rows]
        best = sorted(found, key=lambda one: (-one[0], one[1]))[:k]
        return [moment_of(row, score) for score, _, row in best]


def nearest_rows(
    dataset: Dataset, shards: tuple[ShardInfo, ...], column: str, query: np.ndarray, k: int
) -> list[Scored]:
    """The k rows of some shards whose vector has the highest cosine, by reading them all; rows without one are left out."""
    best: list[Scored] = []
    for shard in shards:
        for numbers, batch in dataset.shard_batches(shard, [column, *ROW]):
            there = flags(batch[column].is_valid())
            scores = tensor(batch, column).astype(np.float32) @ query
            for at in np.flatnonzero(there)[np.argsort(-scores[there], kind="stable")[:k]]:
                candidate = (float(scores[at]), -int(numbers[at]))
                if len(best) < k or candidate > best[0][:2]:
                    row = batch.select(ROW).slice(int(at), 1).to_pylist()[0]
                    (heapq.heappush if len(best) < k else heapq.heappushpop)(best, (*candidate, row))
    return [(score, -negated, row) for score, negated, row in best]


def moment_of(row: dict[str, Any], score: float) -> Moment:
    """A window as a moment."""
    return Moment(
        row["uri"], row["video_id"], row["start_ms"], row["end_ms"], row["start_ms"], round(score, 4), row["text"]
    )
