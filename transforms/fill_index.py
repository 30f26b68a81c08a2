"""FillParts fills part indexes with a dataset's vectors, and finds the ground truth for measuring recall in the same pass.

In:  Task: some shards whose vectors are read once, in order.
Out: PartInfo, one per file; with queries also one Found.
Bad: a stored part with the right hash is not built again. Storage and memory errors are raised for the runner to retry.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import apache_beam as beam
import faiss
import numpy as np

from ..schemas.errors import CorruptOutput
from ..schemas.index_manifest import PartInfo
from ..schemas.local_cache import LocalCache
from ..schemas.storage import Storage, file_sha256
from .build_index import ExactSearch, read_index
from .index_parts import fill_parts
from .metrics import StageMetrics
from .search_exactly import Asked, Found, ReadVectors, StoreBest, Task, task_vectors


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


class FillPart(beam.DoFn):
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
        parts, found = self.done(task)
        yield task.number, parts
        if found is not None:
            yield beam.pvalue.TaggedOutput(FOUND, (0, found))

    def done(self, task: Task) -> tuple[list[PartInfo], Found | None]:
        """The stored parts of a task, and the answers to the queries if any were asked."""
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
        return parts or [], found

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
        self.do = FillPart(output, work, read, part_bytes, threads, asked)

    def expand(self, tasks: beam.PCollection) -> beam.PCollection:
        storage, work = self.storage, self.work

        def store(_: int, done: Iterable[tuple[int, list[PartInfo]]]) -> str:
            ordered = [asdict(part) for _, parts in sorted(done, key=lambda pair: pair[0]) for part in parts]
            storage.put(f"{work}/parts.json", json.dumps(ordered).encode())
            return f"{work}/parts.json"

        filled = tasks | "Fill" >> beam.ParDo(self.do).with_outputs(FOUND, main=PARTS)
        if self.asked:
            _ = filled[FOUND] | "Answers" >> StoreBest(self.storage, self.asked.found, self.asked.k)
        return (
            filled[PARTS]
            | "One" >> beam.Map(lambda done: (0, done))
            | "All" >> beam.GroupByKey()
            | "Store" >> beam.MapTuple(store)
        )
