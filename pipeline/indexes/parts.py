"""Parts of an index: assigns shards to parts, fills parts, merges them, searches exactly, stores vectors for rescoring."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import apache_beam as beam
import faiss
import numpy as np

from ...schemas.file_records import ShardInfo
from ...schemas.index_manifest import PartInfo, VectorFile
from ...schemas.local_cache import LocalCache
from ...schemas.options import fingerprint
from ...transforms import metrics
from ...transforms.fill_index import FillPart, FillParts
from ...transforms.index_parts import merge_parts
from ...transforms.search_exactly import Asked, Found, SearchExactly, SearchTask, Task, best_of
from ...transforms.store_vectors import StoreShard, StoreVectors
from ..dataset import shard_vectors
from .build import Build
from .queries import TRUTH_K
from .store import array_bytes, put_scratch, scratch


def tasks_for(
    shards: Sequence[ShardInfo], counts: dict[str, int], bytes_per_vector: int, part_bytes: int | None
) -> list[Task]:
    """Groups consecutive shards into tasks of at most `part_bytes` each (a larger single shard is its own task).

    `counts` is vectors per shard path. `part_bytes` None puts all shards into one task.
    """
    groups: list[list[ShardInfo]] = []
    held = 0
    for shard in shards:
        size = counts[shard.path] * bytes_per_vector
        if not groups or (part_bytes is not None and held + size > part_bytes):
            groups.append([])
            held = 0
        groups[-1].append(shard)
        held += size
    return [
        Task(fingerprint({str(at): [shard.sha256, shard.runs, shard.removed] for at, shard in enumerate(group)}), number, tuple(group))
        for number, group in enumerate(groups)
    ]  # fmt: skip


def build_tasks(
    build: Build, shards: Sequence[ShardInfo], counts: dict[str, int], bytes_per_vector: int, whole: bool = False
) -> list[Task]:
    """The tasks of a build: as large as a part may be, and small enough that every worker has some. `whole` makes one of all."""
    if whole:
        return tasks_for(shards, counts, bytes_per_vector, None)
    fair = -(-sum(counts[shard.path] for shard in shards) * bytes_per_vector // build.workers)
    return tasks_for(shards, counts, bytes_per_vector, min(build.part_bytes, fair))


Answers = tuple[np.ndarray, np.ndarray]
"""Scores float32 [q, TRUTH_K] and ids int64 [q, TRUTH_K]: the nearest vectors of each query, best first."""


def fill(
    build: Build, tasks: list[Task], total: int, part_bytes: int, queries: np.ndarray | None = None
) -> tuple[list[PartInfo], Answers | None]:
    """Fills the part indexes of all tasks, in task order. `queries` float32 [q, D] are searched exactly in the same pass."""
    asked = _ask(build, queries) if queries is not None else None
    read, threads = partial(shard_vectors, build.source), build.threads
    given = (build.storage.root, build.work, read, part_bytes, threads, asked)

    def graph(pipeline: beam.Pipeline) -> object:
        return pipeline | "Tasks" >> beam.Create(tasks) | FillParts(*given)

    searched_ms = metrics.totals().get("fill_index", {}).get("search_ms", 0)
    if build.spreads(tasks):
        done = build.in_workers(FillPart(*given), tasks, total, "fill_index")
        parts = [part for filled, _ in done for part in filled]
        answers = best_of([found for _, found in done if found], asked.k) if asked else None
    else:
        build.run(graph, total, "fill_index")
        parts = [PartInfo(**part) for part in json.loads(build.storage.get(f"{build.work}/parts.json"))]
        answers = _answers(build, asked) if asked else None
    if asked:  # part of the fill time; of Beam's runners only the in-process one reports it
        searched_ms = metrics.totals().get("fill_index", {}).get("search_ms", 0) - searched_ms
        build.seconds["exact"] = round(searched_ms / 1000, 3)
    return parts, (answers.scores, answers.ids) if answers else None


def exact(build: Build, shards: Sequence[ShardInfo], counts: dict[str, int], queries: np.ndarray) -> Answers:
    """Searches the vectors of shards by brute force: the TRUTH_K nearest of each query float32 [q, D]."""
    asked = _ask(build, queries)
    tasks = build_tasks(build, shards, counts, 4 * queries.shape[1])
    total = sum(counts[shard.path] for shard in shards)
    read, threads = partial(shard_vectors, build.source), build.threads

    def graph(pipeline: beam.Pipeline) -> object:
        return pipeline | "Tasks" >> beam.Create(tasks) | SearchExactly(build.storage.root, asked, read, threads)

    if build.spreads(tasks):
        work = SearchTask(build.storage.root, asked.queries, read, asked.k, threads)
        best = best_of(build.in_workers(work, tasks, total, "search_exactly"), asked.k)
    else:
        build.run(graph, total, "search_exactly")
        best = _answers(build, asked)
    return best.scores, best.ids


def _ask(build: Build, queries: np.ndarray) -> Asked:
    """Stores the queries where workers read them."""
    asked = Asked(f"{build.work}/asked.npy", f"{build.work}/found.npz", TRUTH_K)
    build.storage.put(asked.queries, array_bytes(queries))
    return asked


def _answers(build: Build, asked: Asked) -> Found:
    return Found.from_bytes(build.storage.get(asked.found))


def merge(
    build: Build, trained: faiss.Index, parts: Sequence[PartInfo], path: str, removed: np.ndarray | None = None
) -> PartInfo:
    """Merges stored parts into one FAISS file on disk and stores it at `path`, without the `removed` ids int64."""
    cache = LocalCache.at()
    with scratch() as folder:
        files = [cache.file(build.storage, part.path, part.sha256) for part in parts]
        whole = Path(folder, "merged.faiss")
        held = merge_parts(trained, files, whole, build.memory_bytes // 4, removed)
        merged = put_scratch(build.storage, path, whole, held)
    for part in parts:
        if part.path.startswith(build.work) and part.sha256 != merged.sha256:
            cache.forget(part.path, part.sha256)
    return merged


def copy(build: Build, part: PartInfo, path: str) -> PartInfo:
    """Stores the only part as the whole index at `path`."""
    with scratch() as folder:
        file = Path(shutil.copy(LocalCache.at().file(build.storage, part.path, part.sha256), folder))
        return put_scratch(build.storage, path, file, part.vectors)


def store_vectors(build: Build, shards: Sequence[ShardInfo]) -> tuple[VectorFile, ...]:
    """Stores the vectors that rescore the best candidates: one raw float16 file per shard."""
    root, ids_a_row, listed = build.storage.root, build.ids_a_row, list(shards)
    folder, read = f"indexes/{build.options.called}/vectors", partial(shard_vectors, build.source)
    stored, total = f"{build.work}/vectors.json", sum(shard.rows for shard in shards) * ids_a_row

    def graph(pipeline: beam.Pipeline) -> object:
        return pipeline | "Shards" >> beam.Create(listed) | StoreVectors(root, folder, stored, read, ids_a_row)

    if build.spreads(listed):
        files = build.in_workers(StoreShard(root, folder, read, ids_a_row), listed, total, "store_vectors")
    else:
        build.run(graph, total, "store_vectors")
        files = json.loads(build.storage.get(stored))
    return tuple(VectorFile(**file) for file in files)
