"""Parts of an index: which shards fill which part, filling, merging, exact answers, and raw vectors for rescoring."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import apache_beam as beam
import faiss
import numpy as np

from ...schemas.index_manifest import PartInfo, VectorFile
from ...schemas.options import fingerprint
from ...schemas.snapshot import ShardInfo
from ...transforms.fill_index import FillParts, Found, SearchExactly, StoreVectors, Task
from ...transforms.index_parts import merge_parts
from ..dataset import shard_vectors
from .build import Build
from .queries import TRUTH_K
from .store import array_bytes, local_copies, put_scratch, scratch


def tasks_for(
    shards: Sequence[ShardInfo], counts: dict[str, int], bytes_a_vector: int, part_bytes: int | None
) -> list[Task]:
    """Neighbouring shards, together about one part; None puts all into one."""
    groups: list[list[ShardInfo]] = []
    held = 0
    for shard in shards:
        size = counts[shard.path] * bytes_a_vector
        if not groups or (part_bytes is not None and held + size > part_bytes):
            groups.append([])
            held = 0
        groups[-1].append(shard)
        held += size
    return [
        Task(fingerprint({str(at): [shard.sha256, shard.runs, shard.removed] for at, shard in enumerate(group)}), number, tuple(group))
        for number, group in enumerate(groups)
    ]  # fmt: skip


def fill(build: Build, tasks: list[Task], total: int, part_bytes: int) -> list[PartInfo]:
    """Part indexes of all tasks, in their order."""
    root = build.storage.root

    def graph(pipeline: beam.Pipeline) -> object:
        listed = pipeline | "Tasks" >> beam.Create(tasks)
        return listed | FillParts(
            root, build.work, partial(shard_vectors, build.source), part_bytes, build.options.threads
        )

    build.run(graph, total, "fill_index")
    return [PartInfo(**part) for part in json.loads(build.storage.get(f"{build.work}/parts.json"))]


def exact(build: Build, tasks: list[Task], queries: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    """The TRUTH_K best of the tasks' vectors for each query, by brute force."""
    storage, asked, found = build.storage, f"{build.work}/asked.npy", f"{build.work}/found.npz"
    storage.put(asked, array_bytes(queries))

    def graph(pipeline: beam.Pipeline) -> object:
        listed = pipeline | "Tasks" >> beam.Create(tasks)
        return listed | SearchExactly(
            storage.root, asked, found, partial(shard_vectors, build.source), TRUTH_K, build.options.threads
        )

    build.run(graph, total, "search_exactly")
    best = Found.from_bytes(storage.get(found))
    return best.scores, best.ids


def merge(
    build: Build, trained: faiss.Index, parts: Sequence[PartInfo], path: str, removed: np.ndarray | None = None
) -> PartInfo:
    """Merges stored parts into one stored FAISS file, on disk."""
    with scratch() as folder:
        files = local_copies(build.storage, [part.path for part in parts], folder)
        whole = Path(folder, "merged.faiss")
        held = merge_parts(trained, files, whole, build.memory_bytes // 4, removed)
        return put_scratch(build.storage, path, whole, held)


def copy(build: Build, part: PartInfo, path: str) -> PartInfo:
    """A part that is the whole index."""
    with scratch() as folder:
        [file] = local_copies(build.storage, [part.path], folder)
        return put_scratch(build.storage, path, file, part.vectors)


def store_vectors(build: Build, shards: Sequence[ShardInfo]) -> tuple[VectorFile, ...]:
    """The float16 vectors that the best candidates are scored with again, one raw file a shard."""
    root, ids_a_row = build.storage.root, build.ids_a_row
    stored = f"{build.work}/vectors.json"

    def graph(pipeline: beam.Pipeline) -> object:
        listed = pipeline | "Shards" >> beam.Create(list(shards))
        return listed | StoreVectors(
            root, f"indexes/{build.options.called}/vectors", stored, partial(shard_vectors, build.source), ids_a_row
        )

    build.run(graph, sum(shard.rows for shard in shards) * ids_a_row, "store_vectors")
    return tuple(VectorFile(**file) for file in json.loads(build.storage.get(stored)))
