"""FillParts fills part indexes with a dataset's vectors. SearchExactly finds the ground truth for measuring recall.

In:  Task: some shards whose vectors are read once, in order.
Out: FillParts: PartInfo, one per file; with queries also one Found, from the same pass over the vectors.
     SearchExactly: one Found, the k nearest of all vectors for each query.
Bad: a stored part with the right hash is not built again. Storage and memory errors are raised for the runner to retry.
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

from ..schemas.errors import CorruptOutput
from ..schemas.file_records import ShardInfo
from ..schemas.index_manifest import PartInfo
from ..schemas.local_cache import LocalCache
from ..schemas.storage import Storage, file_sha256
from .build_index import ExactSearch, Vectors, exact_search, merge_results, read_index
from .index_parts import fill_parts
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


def finished_parts(storage: Storage, work: str, task: Task) -> list[PartInfo] | None:
    """The task's parts from an earlier run, if all are stored with the hashes in their receipt; otherwise None."""
    try:
        receipt = json.loads(storage.get(f"{work}/{task.key}.json"))
        parts = [PartInfo(**part) for part in receipt]
        for part in parts:
            if file_sha256(LocalCache.at().file(storage, part.path, part.sha256)) != part.sha256:
                return None
    except (FileNotFoundError, CorruptOutput):
        return None
    return parts


def fill_task(
    storage: Storage,
    work: str,
    task: Task,
    trained: faiss.Index,
    read: ReadVectors,
    part_bytes: int,
    search: ExactSearch | None = None,
) -> list[PartInfo]:
    """Fills and stores a task's parts, then the answers of `search` if given, and last the receipt of the parts."""
    parts = []
    with tempfile.TemporaryDirectory(prefix="reelbeam-index-") as folder:
        vectors = task_vectors(task, read, storage)
        if search is not None:
            vectors = search.seeing(vectors)
        for number, (file, held) in enumerate(fill_parts(trained, vectors, Path(folder), part_bytes)):
            path = f"{work}/{task.key}-{number:05d}.faiss"
            info = PartInfo(path, file_sha256(file), file.stat().st_size, held)
            storage.put_file(path, file)
            LocalCache.at().adopt(storage, file, info.sha256)
            parts.append(info)
    if search is not None:
        storage.put(answers_path(work, task), Found(*search.result()).to_bytes())
    storage.put(f"{work}/{task.key}.json", json.dumps([asdict(part) for part in parts]).encode())
    return parts


def answers_path(work: str, task: Task) -> str:
    """Path of the answers found while a task's parts were filled."""
    return f"{work}/{task.key}.answers.npz"


@dataclass(frozen=True)
class Asked:
    """Queries to search exactly, and where to store the answers."""

    queries: str
    """Path of a stored .npy with float32 [q, D]."""
    found: str
    """Path at which the Found of all tasks is stored."""
    k: int


class _FillPart(beam.DoFn):
    def __init__(self, output: str, work: str, read: ReadVectors, part_bytes: int, threads: int, asked: Asked | None):
        self.storage, self.work, self.read = Storage.at(output), work, read
        self.part_bytes, self.threads, self.asked = part_bytes, threads, asked

    def setup(self) -> None:
        self.metrics = StageMetrics("fill_index")
        if self.threads:
            faiss.omp_set_num_threads(self.threads)
        with tempfile.TemporaryDirectory(prefix="reelbeam-index-") as folder:
            file = Path(folder, "trained.faiss")
            self.storage.fetch(f"{self.work}/trained.faiss", file)
            self.trained = read_index(file, f"{self.work}/trained.faiss")
        if self.asked:
            self.queries = np.load(io.BytesIO(self.storage.get(self.asked.queries)))

    def process(self, task: Task) -> Iterator[tuple[int, list[PartInfo]] | beam.pvalue.TaggedOutput]:
        with self.metrics.busy():
            parts, found = finished_parts(self.storage, self.work, task), None
            if parts is not None and self.asked:
                found = self._answers(task)
            kept = parts is not None and (found is not None or not self.asked)
            self.metrics.add(kept=len(parts or []) if kept else 0)
            if not kept:
                search = ExactSearch(self.queries, self.asked.k) if self.asked else None
                parts = fill_task(self.storage, self.work, task, self.trained, self.read, self.part_bytes, search)
                self.metrics.add(search_ms=round(1000 * search.seconds) if search else 0)
                found = self._answers(task) if self.asked else None
        self.metrics.add(parts=len(parts or []), vectors=sum(part.vectors for part in parts or []))
        yield task.number, parts or []
        if found is not None:
            yield beam.pvalue.TaggedOutput(FOUND, (0, found))

    def _answers(self, task: Task) -> Found | None:
        try:
            return Found.from_bytes(self.storage.get(answers_path(self.work, task)))
        except FileNotFoundError:
            return None


PARTS, FOUND = "parts", "found"
"""Names of the outputs of a fill."""


class FillParts(beam.PTransform):
    """Tasks -> one sorted list of PartInfo, stored as `<work>/parts.json` once all parts exist. With `asked` also one Found."""

    def __init__(
        self, output: str, work: str, read: ReadVectors, part_bytes: int, threads: int = 0, asked: Asked | None = None
    ):
        super().__init__()
        self.storage, self.work, self.asked = Storage.at(output), work, asked
        self.do = _FillPart(output, work, read, part_bytes, threads, asked)

    def expand(self, tasks: beam.PCollection) -> beam.PCollection:
        storage, work = self.storage, self.work

        def store(_: int, done: Iterable[tuple[int, list[PartInfo]]]) -> str:
            ordered = [asdict(part) for _, parts in sorted(done, key=lambda pair: pair[0]) for part in parts]
            storage.put(f"{work}/parts.json", json.dumps(ordered).encode())
            return f"{work}/parts.json"

        filled = tasks | "Fill" >> beam.ParDo(self.do).with_outputs(FOUND, main=PARTS)
        if self.asked:
            _ = filled[FOUND] | "Answers" >> _StoreBest(self.storage, self.asked.found, self.asked.k)
        return (
            filled[PARTS]
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
    """Keeps the k best per query, so that shuffled data do not grow with the number of vectors."""

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


class _StoreBest(beam.PTransform):
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
        self.do = _SearchTask(output, asked.queries, read, asked.k, threads)

    def expand(self, tasks: beam.PCollection) -> beam.PCollection:
        return (
            tasks
            | "Search" >> beam.ParDo(self.do)
            | "Found" >> _StoreBest(self.storage, self.asked.found, self.asked.k)
        )
