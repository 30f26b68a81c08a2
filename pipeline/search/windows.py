"""Finds the windows nearest to a vector: with an index where there is one, and by reading the rows that no index covers."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...schemas.errors import ModelMismatch
from ...schemas.file_records import ShardInfo
from ...schemas.small_arrays import flags
from ...schemas.tensors import tensor
from ...schemas.vector_sources import VectorSource
from ..dataset import Dataset, shard_vectors
from ..indexes import Searcher, changes_since, open_searcher, read_manifest
from .frames import Moment

ROW = ["video_id", "uri", "window", "start_ms", "end_ms", "text"]

Scored = tuple[float, int, dict[str, Any]]
"""(cosine, row number, the columns ROW), best first."""


KEPT_BYTES = 256 << 20
"""Most bytes of vectors without an index that stay in memory after the first search. Of more, every search reads all."""

COMPARED = 65_536
"""Vectors that are compared at a time."""


@dataclass(frozen=True)
class KeptVectors:
    """Vectors in memory, for an exact search."""

    rows: np.ndarray
    """Global row numbers int64 [n]."""
    vectors: np.ndarray
    """float16 [n, D], unit length."""

    @classmethod
    def read(cls, dataset: Dataset, shards: Sequence[ShardInfo], kind: VectorSource) -> KeptVectors:
        """Those of all rows of some shards; rows without one are left out."""
        parts = [
            (rows, vectors.astype(np.float16))
            for shard in shards
            for rows, vectors in shard_vectors(kind, dataset.storage, shard)
        ]
        empty = np.zeros((0, kind.dimension(dataset.snapshot.shape)), np.float16)
        rows = np.concatenate([np.zeros(0, np.int64), *(rows for rows, _ in parts)])
        return cls(rows, np.concatenate([empty, *(vectors for _, vectors in parts)]))

    def nearest(self, query: np.ndarray, k: int, among: np.ndarray | None = None) -> list[tuple[float, int]]:
        """(cosine, row number) of the k nearest to float32 [D], best first; of all rows, or `among` some int64 [m]."""
        if among is not None:
            there = np.isin(self.rows, among)
            return KeptVectors(self.rows[there], self.vectors[there]).nearest(query, k)
        starts = range(0, len(self.rows), COMPARED)
        scores = [self.vectors[at : at + COMPARED].astype(np.float32) @ query for at in starts]
        found = np.concatenate([np.zeros(0, np.float32), *scores])
        best = np.argsort(-found, kind="stable")[:k]
        return list(zip(found[best].tolist(), self.rows[best].tolist(), strict=True))


class WindowVectors:
    """Searches one kind of window vector. Rows that came after the index was built are compared one by one."""

    def __init__(self, dataset: Dataset, kind: VectorSource):
        """Raises ModelMismatch when other models made the index's vectors than the rows'."""
        self.dataset, self.kind = dataset, kind
        self._lock = threading.Lock()
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

    def nearest(self, query: np.ndarray, k: int, among: np.ndarray | None = None) -> list[Moment]:
        """The k windows with the highest cosine to float32 [N] of unit length, best first; those without a vector are left out.

        Of all rows, or `among` some int64 [n].
        """
        found: list[Scored] = []
        known: list[tuple[float, int]] = []
        if self.unindexed_bytes <= KEPT_BYTES:
            with self._lock:
                kept = self._kept
            known = kept.nearest(query, k, among)
        else:
            found = nearest_rows(self.dataset, self.unindexed, self.kind.column, query, k, among)
        if self.searcher is not None and self.searcher.ntotal:
            most = min(k, self.searcher.ntotal)
            if among is None:
                scores, ids = self.searcher.search(query[None], most)
            else:
                scores, ids = self.searcher.search_among(query[None], most, among)
            known += zip(scores[0].tolist(), ids[0].tolist(), strict=True)
        known = sorted((one for one in known if one[1] >= 0), key=lambda one: (-one[0], one[1]))[:k]
        rows = self.dataset.take([number for _, number in known], ROW)
        found += [(score, number, rows[number]) for score, number in known if number in rows]
        best = sorted(found, key=lambda one: (-one[0], one[1]))[:k]
        return [moment_of(row, score) for score, _, row in best]

    @cached_property
    def _kept(self) -> KeptVectors:
        return KeptVectors.read(self.dataset, self.unindexed, self.kind)

    @property
    def unindexed_bytes(self) -> int:
        """Size of the vectors that no index covers."""
        return sum(shard.rows for shard in self.unindexed) * 2 * self.kind.dimension(self.dataset.snapshot.shape)

    @property
    def is_far(self) -> bool:
        """Whether every search would read many vectors from a bucket."""
        return not self.dataset.storage.is_local and self.unindexed_bytes > KEPT_BYTES

    def mean(self) -> np.ndarray:
        """The mean of the vectors at hand, float32 [D]: a sample of the index, or those in memory."""
        if self.searcher is not None and self.searcher.ntotal:
            return self.searcher.mean()
        with self._lock:
            kept = self._kept
        found: np.ndarray = kept.vectors.mean(axis=0, dtype=np.float32) if len(kept.rows) else kept.vectors.sum(axis=0)
        return found


def nearest_rows(
    dataset: Dataset,
    shards: tuple[ShardInfo, ...],
    column: str,
    query: np.ndarray,
    k: int,
    among: np.ndarray | None = None,
) -> list[Scored]:
    """The k rows of some shards whose vector has the highest cosine, by reading them all; rows without one are left out."""
    best: list[Scored] = []
    for shard in shards:
        for numbers, batch in dataset.shard_batches(shard, [column, *ROW]):
            there = flags(batch[column].is_valid())
            there = there if among is None else there & np.isin(numbers, among)
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
        row["uri"], row["video_id"], row["start_ms"], row["end_ms"], row["start_ms"], round(score, 4), row["text"] or ""
    )
