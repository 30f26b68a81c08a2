"""FillParts, SearchExactly, StoreVectors: a dataset's vectors become part indexes, and the truth that recall is measured against.

In:  Task: some shards whose vectors are read once, in order.
     StoreVectors: ShardInfo.
Out: FillParts: PartInfo, one a file. StoreVectors: raw float16 files. SearchExactly: one Found, the k best of all vectors for each query.
Bad: a part that is there with the right hash is not built again; storage and memory errors go up to the runner.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import apache_beam as beam
import faiss
import numpy as np

from ..schemas.index_manifest import PartInfo, raw_name
from ..schemas.snapshot import ShardInfo
from ..schemas.storage import Storage, file_sha256
from .build_index import Vectors, exact_search, merge_results, read_index
from .index_parts import fill_parts
from .metrics import StageMetrics

ReadVectors = Callable[[Storage, ShardInfo], Vectors]
"""The vectors of one shard that count, in order."""


@dataclass(frozen=True)
class Task:
    """Shards that one worker reads, one after the other. `key` names its work: equal keys, equal parts."""

    key: str
    number: int
    shards: tuple[ShardInfo, ...]


@dataclass(frozen=True)
class Found:
    """The best of some vectors for each query."""

    scores: np.ndarray
    ids: np.ndarray

    def to_bytes(self) -> bytes:
        stream = io.BytesIO()
        np.savez(stream, scores=self.scores, ids=self.ids)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, text: bytes) -> Found:
        with np.load(io.BytesIO(text)) as stored:
            return cls(stored["scores"], stored["ids"])


def task_vectors(task: Task, read: ReadVectors, storage: Storage) -> Vectors:
    """All vectors of a task, in order."""
    for shard in task.shards:
        yield from read(storage, shard)


def finished_parts(storage: Storage, work: str, task: Task) -> list[PartInfo] | None:
    """The parts that an earlier run has finished, if all are there with the hashes of its receipt."""
    try:
        receipt = json.loads(storage.get(f"{work}/{task.key}.json"))
        parts = [PartInfo(**part) for part in receipt]
        with tempfile.TemporaryDirectory(prefix="reelbeam-index-") as folder:
            for part in parts:
                file = storage.local_path(part.path)
                if file is None:
                    file = Path(folder, "part")
                    storage.fetch(part.path, file)
                if not file.exists() or file_sha256(file) != part.sha256:
                    return None
    except FileNotFoundError:
        return None
    return parts


def fill_task(
    storage: Storage, work: str, task: Task, trained: faiss.Index, read: ReadVectors, part_bytes: int
) -> list[PartInfo]:
    """Fills a task's parts, stores them, and then their receipt."""
    parts = []
    with tempfile.TemporaryDirectory(prefix="reelbeam-index-") as folder:
        vectors = task_vectors(task, read, storage)
        for number, (file, held) in enumerate(fill_parts(trained, vectors, Path(folder), part_bytes)):
            path = f"{work}/{task.key}-{number:05d}.faiss"
            info = PartInfo(path, file_sha256(file), file.stat().st_size, held)
            storage.put_file(path, file)
            file.unlink()
            parts.append(info)
    storage.put(f"{work}/{task.key}.json", json.dumps([asdict(part) for part in parts]).encode())
    return parts


class _FillPart(beam.DoFn):
    def __init__(self, output: str, work: str, read: ReadVectors, part_bytes: int, threads: int):
        self.storage, self.work, self.read = Storage.at(output), work, read
        self.part_bytes, self.threads = part_bytes, threads

    def setup(self) -> None:
        self.metrics = StageMetrics("fill_index")
        if self.threads:
            faiss.omp_set_num_threads(self.threads)
        with tempfile.TemporaryDirectory(prefix="reelbeam-index-") as folder:
            file = Path(folder, "trained.faiss")
            self.storage.fetch(f"{self.work}/trained.faiss", file)
            self.trained = read_index(file, f"{self.work}/trained.faiss")

    def process(self, task: Task) -> Iterator[tuple[int, list[PartInfo]]]:
        with self.metrics.busy():
            parts = finished_parts(self.storage, self.work, task)
            self.metrics.add(kept=len(parts or []))
            if parts is None:
                parts = fill_task(self.storage, self.work, task, self.trained, self.read, self.part_bytes)
        self.metrics.add(parts=len(parts), vectors=sum(part.vectors for part in parts))
        yield task.number, parts


class FillParts(beam.PTransform):
    """Tasks -> one sorted list of PartInfo, stored as `<work>/parts.json` when all are there."""

    def __init__(self, output: str, work: str, read: ReadVectors, part_bytes: int, threads: int = 0):
        super().__init__()
        self.storage, self.work = Storage.at(output), work
        self.do = _FillPart(output, work, read, part_bytes, threads)

    def expand(self, tasks: beam.PCollection) -> beam.PCollection:
        storage, work = self.storage, self.work

        def store(_: int, done: Iterable[tuple[int, list[PartInfo]]]) -> str:
            ordered = [asdict(part) for _, parts in sorted(done, key=lambda pair: pair[0]) for part in parts]
            storage.put(f"{work}/parts.json", json.dumps(ordered).encode())
            return f"{work}/parts.json"

        return (
            tasks
            | "Fill" >> beam.ParDo(self.do)
            | "One" >> beam.Map(lambda done: (0, done))
            | "All" >> beam.GroupByKey()
            | "Store" >> beam.MapTuple(store)
        )


class _SearchTask(beam.DoFn):
    def __init__(self, output: str, queries: str, read: ReadVectors, k: int, threads: int):
        self.storage, self.queries, self.read, self.k, self.threads = Storage.at(output), queries, read, k, threads

    def setup(self) -> None:
        self.metrics = StageMetrics("search_exactly")
        if self.threads:
            faiss.omp_set_num_threads(self.threads)
        self.vectors = np.load(io.BytesIO(self.storage.get(self.queries)))

    def process(self, task: Task) -> Iterator[tuple[int, Found]]:
        with self.metrics.busy():
            yield 0, Found(*exact_search(self.vectors, task_vectors(task, self.read, self.storage), self.k))
        self.metrics.add(tasks=1)


class _Best(beam.CombineFn):
    """Keeps the k best a query: what crosses the shuffle does not grow with the vectors."""

    def __init__(self, k: int):
        self.k = k

    def create_accumulator(self) -> list[Found]:
        return []

    def add_input(self, best: list[Found], found: Found) -> list[Found]:
        return self.merge_accumulators([best, [found]])

    def merge_accumulators(self, several: Iterable[list[Found]]) -> list[Found]:
        found = [one for best in several for one in best]
        if not found:
            return []
        merged = merge_results([(one.scores, one.ids) for one in found], len(found[0].ids), self.k)
        return [Found(*merged)]

    def extract_output(self, best: list[Found]) -> list[Found]:
        return best


class SearchExactly(beam.PTransform):
    """Tasks -> one Found over all of them, stored at `found`. `queries` is a stored .npy of float32 [q, D]."""

    def __init__(self, output: str, queries: str, found: str, read: ReadVectors, k: int, threads: int = 0):
        super().__init__()
        self.storage, self.found, self.k = Storage.at(output), found, k
        self.do = _SearchTask(output, queries, read, k, threads)

    def expand(self, tasks: beam.PCollection) -> beam.PCollection:
        storage, path = self.storage, self.found

        def store(_: int, best: list[Found]) -> str:
            storage.put(path, best[0].to_bytes())
            return path

        return (
            tasks
            | "Search" >> beam.ParDo(self.do)
            | "Best" >> beam.CombinePerKey(_Best(self.k))
            | "Store" >> beam.MapTuple(store)
        )


def store_raw(storage: Storage, folder: str, shard: ShardInfo, vectors: Vectors, ticks: int) -> dict[str, str | int]:
    """A shard's vectors as one raw float16 file [row numbers * ticks, D]: an id is a place. Zeros, which take no disk, where
    there is no frame, or a row of another shard.

    It depends on the shard's bytes alone and is never written twice; a removed row may stay in it.
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


class _StoreShard(beam.DoFn):
    def __init__(self, output: str, folder: str, read: ReadVectors, ticks: int):
        self.storage, self.folder, self.read, self.ticks = Storage.at(output), folder, read, ticks

    def setup(self) -> None:
        self.metrics = StageMetrics("store_vectors")

    def process(self, shard: ShardInfo) -> Iterator[tuple[int, dict[str, str | int]]]:
        with self.metrics.busy():
            vectors = self.read(self.storage, shard)
            yield 0, store_raw(self.storage, self.folder, shard, vectors, self.ticks)
        self.metrics.add(vectors=shard.rows * self.ticks)


class StoreVectors(beam.PTransform):
    """Shards -> one list of raw vector files, stored at `stored`."""

    def __init__(self, output: str, folder: str, stored: str, read: ReadVectors, ticks: int):
        super().__init__()
        self.storage, self.stored = Storage.at(output), stored
        self.do = _StoreShard(output, folder, read, ticks)

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        storage, path = self.storage, self.stored

        def store(_: int, files: Iterable[dict[str, str | int]]) -> str:
            ordered = sorted(files, key=lambda file: int(file["first_id"]))
            storage.put(path, json.dumps(ordered).encode())
            return path

        return shards | "Raw" >> beam.ParDo(self.do) | "All" >> beam.GroupByKey() | "Store" >> beam.MapTuple(store)
