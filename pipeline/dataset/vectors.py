"""Reads the vectors of a dataset with their ids, shard by shard, without removed rows."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pyarrow as pa

from ...schemas.file_records import ShardInfo
from ...schemas.small_arrays import flags
from ...schemas.storage import Storage
from ...schemas.tensors import tensor
from ...schemas.vector_sources import FRAMES, VectorSource
from .read import Dataset, shard_batches


def shard_vectors(source: VectorSource, storage: Storage, shard: ShardInfo) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The vectors of one shard: (ids int64 [n], vectors float32 [n, D]). Ticks without a frame and windows without a
    vector are left out."""
    if source.of_frames:
        for rows, batch in shard_batches(storage, shard, ["frame_embedding", "tick_valid"]):
            valid = tensor(batch, "tick_valid").astype(bool)
            yield _frame_ids(rows, valid), tensor(batch, "frame_embedding")[valid].astype(np.float32)
        return
    for rows, batch in shard_batches(storage, shard, [source.column]):
        there = flags(batch[source.column].is_valid())
        yield rows[there], tensor(batch, source.column)[there].astype(np.float32)


def shard_ids(source: VectorSource, storage: Storage, shard: ShardInfo) -> np.ndarray:
    """The ids of the same vectors, int64 [n]. For frames only the small `tick_valid` column is read."""
    batches = shard_batches(storage, shard, source.id_columns)
    return np.concatenate([np.zeros(0, np.int64), *(batch_ids(source, rows, batch) for rows, batch in batches)])


def batch_ids(source: VectorSource, rows: np.ndarray, batch: pa.RecordBatch) -> np.ndarray:
    """The ids int64 [n] of the vectors in a batch of rows with global numbers `rows` int64 [r].

    `batch` has the source's id columns.
    """
    if source.of_frames:
        return _frame_ids(rows, tensor(batch, "tick_valid").astype(bool))
    there: np.ndarray = rows[flags(batch[source.column].is_valid())]
    return there


def _frame_ids(rows: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Ids int64 [n] of the ticks that have a frame; `rows` int64 [r], `valid` bool [r, T]."""
    ids: np.ndarray = (rows[:, None] * valid.shape[1] + np.arange(valid.shape[1]))[valid]
    return ids


def all_vectors(source: VectorSource, dataset: Dataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The vectors of all shards, in the snapshot's order."""
    for shard in dataset.snapshot.shards:
        yield from shard_vectors(source, dataset.storage, shard)


SAMPLED_SHARDS, SAMPLED_ROWS = 4, 500


def mean_vector(dataset: Dataset, source: VectorSource) -> np.ndarray:
    """The mean of the vectors in the first rows of some shards, spread over the dataset: float32 [D], zeros where there are none.

    A query's mean cosine to the dataset is its product with it.
    """
    shards = dataset.snapshot.shards
    every = max(1, -(-len(shards) // SAMPLED_SHARDS))
    total, count = np.zeros(source.dimension(dataset.snapshot.shape), np.float32), 0
    columns = ["frame_embedding", "tick_valid"] if source.of_frames else [source.column]
    for shard in shards[::every]:
        for _, batch in islice(shard_batches(dataset.storage, shard, columns, SAMPLED_ROWS), 1):
            vectors = tensor(batch, columns[0])
            valid = (
                tensor(batch, "tick_valid").astype(bool) if source.of_frames else flags(batch[columns[0]].is_valid())
            )
            total += vectors[valid].sum(axis=0, dtype=np.float32)
            count += int(valid.sum())
    return total / max(1, count)


def count_vectors(
    dataset: Dataset, source: VectorSource = FRAMES, known: dict[str, int] | None = None
) -> dict[str, int]:
    """Vectors per shard, keyed by the shard's path. Shards in `known` are not counted again."""
    known = known or {}
    return {
        shard.path: known[shard.path] if shard.path in known else len(shard_ids(source, dataset.storage, shard))
        for shard in dataset.snapshot.shards
    }


def frame_vectors(dataset: Dataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All frame embeddings: (ids int64 [n], vectors float32 [n, D]) per batch."""
    yield from all_vectors(FRAMES, dataset)
