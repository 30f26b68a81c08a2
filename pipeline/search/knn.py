"""knn: answers many queries at once, from Parquet to Parquet, as a stream: memory does not grow with the number of queries."""

from __future__ import annotations

import json
import logging
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...schemas.addresses import is_remote
from ...schemas.errors import UsageError
from ...schemas.storage import Storage
from ...schemas.tensors import tensor
from ..dataset import stored_file
from .opened_index import Filter, Frames

log = logging.getLogger("reelbeam")

BATCH = 1024

ANSWERS = pa.schema(
    [
        pa.field("query", pa.int64(), False),
        pa.field("rank", pa.int32(), False),
        pa.field("score", pa.float32(), False),
        pa.field("id", pa.int64(), False),
        pa.field("uri", pa.string(), False),
        pa.field("video_id", pa.string(), False),
        pa.field("ms", pa.int64(), False),
    ]
)
"""`query` is the number of the query's row in its file, from 0."""


def knn_table(
    frames: Frames, queries: str, out: str, column: str, k: int, device: str, wanted: Filter | None = None
) -> int:
    """Writes the k best frames of each query of a Parquet file; returns how many queries there were.

    `column` holds vectors (lists of numbers, or a tensor as ours) or text. A query with fewer answers has fewer rows; a
    null query has none.
    """
    asked = 0
    with (
        _stored(queries) as file,
        tempfile.TemporaryDirectory(prefix="reelbeam-knn-") as folder,
    ):
        answers = Path(folder, "answers.parquet")
        with _opened(file) as stored, pq.ParquetWriter(answers, ANSWERS) as writer:
            if column not in stored.schema_arrow.names:
                raise UsageError(f"{queries} has no column {column!r}; it has {', '.join(stored.schema_arrow.names)}")
            for batch in stored.iter_batches(BATCH, columns=[column]):
                there = np.flatnonzero(~batch.column(0).is_null().to_numpy(zero_copy_only=False))
                values = query_vectors(frames, batch.take(pa.array(there)), column, device)
                writer.write_table(_answers(frames, asked + there, values, k, wanted or Filter()))
                asked += len(batch)
                log.info("knn: %d queries answered", asked)
        if is_remote(out):
            Storage.at(out.rpartition("/")[0]).put_file(out.rpartition("/")[2], answers)
        else:
            storage = Storage.at(Path(out).absolute().parent)
            storage.put_file(Path(out).name, answers)
    return asked


def _stored(location: str) -> AbstractContextManager[Path]:
    """A local path to a file on disk or in a bucket."""
    folder, _, name = location.rpartition("/")
    return stored_file(Storage.at(folder), name) if is_remote(location) else nullcontext(Path(location))


def _opened(file: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(f"{file}: cannot be read as Parquet: {error}") from error


def query_vectors(frames: Frames, batch: pa.RecordBatch, column: str, device: str) -> np.ndarray:
    """Queries float32 [n, D], unit length, from text, lists of numbers or a tensor. Raises UsageError for anything else."""
    field, values = batch.schema.field(column), batch.column(0)
    size = frames.searcher.d
    if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
        words: np.ndarray = frames.encoder(device).encode_text(values.to_pylist())
        return words
    if pa.types.is_fixed_size_binary(field.type) and b"shape" in (field.metadata or {}):
        shape = json.loads(field.metadata[b"shape"])
        found = tensor(batch, column).astype(np.float32).reshape(len(batch), -1)
        if shape != [size]:
            raise UsageError(f"{column} holds tensors {shape} a row, the index vectors of {size} numbers")
    elif pa.types.is_list(field.type) or pa.types.is_large_list(field.type) or pa.types.is_fixed_size_list(field.type):
        flat = values.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        if len(flat) != len(batch) * size:
            raise UsageError(f"{column} does not hold {size} numbers in every row, as the index does")
        found = flat.reshape(len(batch), size)
    else:
        raise UsageError(
            f"{column} is {field.type}; give text, lists of numbers, or a tensor with dtype and shape in its metadata"
        )
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    if not np.isfinite(found).all() or not lengths.all():
        raise UsageError(f"{column} holds a vector that is zero or not a number: it has no direction; make it null")
    return found / lengths


def _answers(frames: Frames, numbers: np.ndarray, queries: np.ndarray, k: int, wanted: Filter) -> pa.Table:
    if not len(queries):
        return ANSWERS.empty_table()
    scores, ids = frames.nearest(queries, k, wanted)
    real = ids >= 0
    found = frames.frames(scores[real], ids[real])
    return pa.table(
        {
            "query": np.repeat(numbers, real.sum(axis=1)),
            "rank": np.concatenate([np.arange(1, count + 1) for count in real.sum(axis=1).tolist()]).astype(np.int32),
            "score": scores[real].astype(np.float32),
            "id": ids[real],
            "uri": [frame.uri for frame in found],
            "video_id": [frame.video_id for frame in found],
            "ms": [frame.ms for frame in found],
        },
        schema=ANSWERS,
    )
