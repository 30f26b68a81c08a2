"""StoreVectors: stores the raw vectors that an index uses to rescore its best candidates.

In:  ShardInfo.
Out: one raw float16 file per shard, and one stored list of them.
Bad: storage errors are raised for the runner to retry.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np

from ..schemas.file_records import ShardInfo
from ..schemas.index_manifest import raw_name
from ..schemas.storage import Storage
from .build_index import Vectors
from .metrics import StageMetrics
from .search_exactly import ReadVectors


def store_raw(storage: Storage, folder: str, shard: ShardInfo, vectors: Vectors, ticks: int) -> dict[str, str | int]:
    """Stores a shard's vectors as one raw float16 file [row numbers * ticks, D], in which the id gives the position.

    Positions without a frame, or of another shard's rows, are zeros (holes of a sparse file). The content depends only on the
    shard's bytes, so the file is never written twice. Removed rows may stay in it.
    """
    path, first_id, ids = (
        f"{folder}/{raw_name(shard)}",
        shard.first_row * ticks,
        (shard.end_row - shard.first_row) * ticks,
    )
    with tempfile.TemporaryDirectory(prefix="reelbeam-index-") as scratch:
        file, stored = Path(scratch, "raw"), None
        for some, values in vectors:
            if stored is None:
                stored = np.memmap(file, np.float16, "w+", shape=(ids, values.shape[1]))
            stored[some - first_id] = values
        if stored is None:
            file.touch()
        else:
            stored.flush()
        storage.put_file(path, file)
    return {"path": path, "first_id": first_id, "ids": ids}


class StoreShard(beam.DoFn):
    def __init__(self, output: str, folder: str, read: ReadVectors, ticks: int):
        self.storage, self.folder, self.read, self.ticks = Storage.at(output), folder, read, ticks

    def setup(self) -> None:
        self.metrics = StageMetrics("store_vectors")

    def process(self, shard: ShardInfo) -> Iterator[tuple[int, dict[str, str | int]]]:
        yield 0, self.done(shard)

    def done(self, shard: ShardInfo) -> dict[str, Any]:
        """Where the vectors of a shard were stored: the fields of a VectorFile."""
        with self.metrics.busy():
            stored = store_raw(self.storage, self.folder, shard, self.read(self.storage, shard), self.ticks)
        self.metrics.add(vectors=shard.rows * self.ticks)
        return stored


class StoreVectors(beam.PTransform):
    """Shards -> one list of raw vector files, stored at `stored`."""

    def __init__(self, output: str, folder: str, stored: str, read: ReadVectors, ticks: int):
        super().__init__()
        self.storage, self.stored = Storage.at(output), stored
        self.do = StoreShard(output, folder, read, ticks)

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        storage, path = self.storage, self.stored

        def store(_: int, files: Iterable[dict[str, str | int]]) -> str:
            ordered = sorted(files, key=lambda file: int(file["first_id"]))
            storage.put(path, json.dumps(ordered).encode())
            return path

        return shards | "Raw" >> beam.ParDo(self.do) | "All" >> beam.GroupByKey() | "Store" >> beam.MapTuple(store)
