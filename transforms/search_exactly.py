"""SearchExactly finds the ground truth for measuring recall: the nearest of all vectors for each query.

In:  Task: some shards whose vectors are read once, in order.
Out: one Found, the k nearest of all vectors for each query.
Bad: storage and memory errors are raised for the runner to retry.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import apache_beam as beam
import faiss
import numpy as np

from ..schemas.file_records import ShardInfo
from ..schemas.storage import Storage
from .build_index import Vectors, exact_search, merge_results
from .metrics import StageMetrics

ReadVectors = Callable[[Storage, ShardInfo], Vectors]
"""Reads the vectors of one shard, in order, without removed rows."""


@dataclass(frozen=True)
class Task:
    """Shards that one worker reads, in order. `key` identifies the result: tasks with equal keys make equal parts."""

    key: str
    number: int
    shards: tuple[ShardInfo, ...]


@dataclass(frozen=True)
class Found:
    """The nearest vectors of each query, among those searched."""

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


@dataclass(frozen=True)
class Asked:
    """Queries to search exactly, and where to store the answers."""

    queries: str
    """Path of a stored .npy with float32 [q, D]."""
    found: str
    """Path at which the Found of all tasks is stored."""
    k: int


class SearchTask(beam.DoFn):
    def __init__(self, output: str, queries: str, read: ReadVectors, k: int, threads: int):
        self.storage, self.queries, self.read, self.k, self.threads = Storage.at(output), queries, read, k, threads

    def setup(self) -> None:
        self.metrics = StageMetrics("search_exactly")
        if self.threads:
            faiss.omp_set_num_threads(self.threads)
        self.vectors = np.load(io.BytesIO(self.storage.get(self.queries)))

    def process(self, task: Task) -> Iterator[tuple[int, Found]]:
        yield 0, self.done(task)

    def done(self, task: Task) -> Found:
        """The nearest vectors of a task."""
        with self.metrics.busy():
            found = Found(*exact_search(self.vectors, task_vectors(task, self.read, self.storage), self.k))
        self.metrics.add(tasks=1)
        return found


def best_of(found: Sequence[Found], k: int) -> Found:
    """The k nearest of each query among several answers to the same queries."""
    return Found(*merge_results([(one.scores, one.ids) for one in found], len(found[0].ids), k))


class _Best(beam.CombineFn):
    """Keeps the k best per query, so that shuffled data do not grow with the number of vectors."""

    def __init__(self, k: int):
        self.k = k

    def create_accumulator(self) -> list[Found]:
        return []

    def add_input(self, best: list[Found], found: Found) -> list[Found]:
        return self.merge_accumulators([best, [found]])

    def merge_accumulators(self, several: Iterable[list[Found]]) -> list[Found]:
        found = [one for best in several for one in best]
        return [best_of(found, self.k)] if found else []

    def extract_output(self, best: list[Found]) -> list[Found]:
        return best


class StoreBest(beam.PTransform):
    """(0, Found) of each task -> one Found, stored at a path."""

    def __init__(self, storage: Storage, path: str, k: int):
        super().__init__()
        self.storage, self.path, self.k = storage, path, k

    def expand(self, found: beam.PCollection) -> beam.PCollection:
        storage, path = self.storage, self.path

        def store(_: int, best: list[Found]) -> str:
            storage.put(path, best[0].to_bytes())
            return path

        return found | "Best" >> beam.CombinePerKey(_Best(self.k)) | "Store" >> beam.MapTuple(store)


class SearchExactly(beam.PTransform):
    """Tasks -> one Found over all of them, stored at `asked.found`."""

    def __init__(self, output: str, asked: Asked, read: ReadVectors, threads: int = 0):
        super().__init__()
        self.storage, self.asked = Storage.at(output), asked
        self.do = SearchTask(output, asked.queries, read, asked.k, threads)

    def expand(self, tasks: beam.PCollection) -> beam.PCollection:
        return (
            tasks | "Search" >> beam.ParDo(self.do) | "Found" >> StoreBest(self.storage, self.asked.found, self.asked.k)
        )
