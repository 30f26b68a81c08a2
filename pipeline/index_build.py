"""A full build: sample, train, fill parts in parallel, merge them on disk, measure, publish. Each step is resumable.

Memory is bounded by `--memory-mb`, not by the number of vectors: half for training, a quarter for the part that a worker
fills, a quarter for merging. What an interrupted build has finished lies in `indexes/<name>/work/` and is used again.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import apache_beam as beam
import faiss
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from ..models.loaded import pick_device
from ..schemas import snapshot as snapshots
from ..schemas.errors import GateError, UsageError
from ..schemas.options import fingerprint
from ..schemas.snapshot import ShardInfo, Snapshot
from ..schemas.storage import Storage
from ..transforms import metrics
from ..transforms.build_index import lists_of, new_index, read_index, take, training_size
from ..transforms.fill_index import FillParts, Found, PartInfo, SearchExactly, StoreVectors, Task
from ..transforms.index_kinds import choose_kind, code_bytes, estimate, split_refine
from ..transforms.index_parts import can_merge, merge_parts
from ..transforms.index_recall import RECALL_K, Point, measure, tune
from .index_queries import PROMPTS, TRUTH_K, Queries
from .index_store import Searcher, array_bytes, local_copies, open_searcher, publish, put_scratch, scratch
from .indexed import FRAMES, INDEXED, Indexed
from .job import LOCAL_RUNNER
from .options import IndexOptions, cores
from .progress import beside
from .read import Dataset

log = logging.getLogger("reelbeam")

VECTORS_A_TEXT_QUERY = 100
"""Text queries grow with the index: encoding a thousand of them takes longer than building a small one."""

PROGRESS_EVERY_S = 15.0

PART_BYTES = 1 << 30
"""Largest part, where memory allows more: a lost worker costs one."""

Encode = Callable[[Dataset, int, str], np.ndarray]
"""(dataset, how many, device) -> text queries float32 [q, D]."""


@dataclass
class Build:
    """One build on its way: what it works with, and how long each step took."""

    dataset: Dataset
    options: IndexOptions
    beam_options: PipelineOptions
    kind: str
    work: str
    """Folder of what can be used again after an interruption."""
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def storage(self) -> Storage:
        return self.dataset.storage

    @property
    def kind_of(self) -> Indexed:
        """What is indexed."""
        return INDEXED[self.options.of]

    @property
    def ids_a_row(self) -> int:
        return self.kind_of.ids_a_row(self.dataset.snapshot.shape)

    @property
    def dimension(self) -> int:
        return self.kind_of.dimension(self.dataset.snapshot.shape)

    @property
    def memory_bytes(self) -> int:
        return self.options.memory_mb << 20

    @property
    def part_bytes(self) -> int:
        return min(PART_BYTES, self.memory_bytes // 4)

    @property
    def second_look(self) -> bool:
        return split_refine(self.kind)[1]

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[step] = round(self.seconds.get(step, 0.0) + time.monotonic() - started, 3)
        log.info("index: %s took %.1f s", step, time.monotonic() - started)

    def run(self, make: Callable[[beam.Pipeline], object], total: int, stage: str) -> None:
        """Runs one Beam pipeline, on our pinned local runner unless another is asked for."""
        pipeline = beam.Pipeline(
            runner=self.beam_options.view_as(StandardOptions).runner or LOCAL_RUNNER, options=self.beam_options
        )
        make(pipeline)
        with progress(stage, total):
            pipeline.run().wait_until_finish()


@contextmanager
def progress(stage: str, total: int) -> Iterator[None]:
    """A log line now and then while the in-process runner works."""
    before = metrics.totals().get(stage, {}).get("vectors", 0)

    def lines(over: threading.Event) -> None:
        while not over.wait(PROGRESS_EVERY_S):
            done = metrics.totals().get(stage, {}).get("vectors", 0) - before
            log.info("index: %s, %d of %d vectors", stage.replace("_", " "), done, total)

    with beside(lines):
        yield


def count_vectors(dataset: Dataset, kind: Indexed = FRAMES, known: dict[str, int] | None = None) -> dict[str, int]:
    """Vectors of each shard that count, by its path; `known` ones are not counted again."""
    known = known or {}
    return {
        shard.path: known[shard.path] if shard.path in known else len(kind.ids(dataset.storage, shard))
        for shard in dataset.snapshot.shards
    }


def kind_for(options: IndexOptions, vectors: int, dimension: int) -> str:
    """The factory string to build. Raises UsageError for one that FAISS does not know."""
    if options.index == "auto":
        return choose_kind(vectors, dimension, options.search_memory_mb << 20, options.min_recall)
    try:
        code_bytes(options.index, dimension)
    except ValueError as error:
        raise UsageError(f"--index {options.index}: {error}") from error
    return options.index


def full_build(
    dataset: Dataset, options: IndexOptions, beam_options: PipelineOptions, encode: Encode, why: str
) -> tuple[Snapshot, dict[str, Any]]:
    """Builds from nothing and publishes. Raises GateError under --min-recall, UsageError when there is nothing to index."""
    of = INDEXED[options.of]
    dimension = of.dimension(dataset.snapshot.shape)
    counts = count_vectors(dataset, of)
    total = sum(counts.values())
    if not total:
        raise UsageError(f"{dataset.storage.root}: snapshot {dataset.snapshot.number} has no {of.called} to index")
    kind = kind_for(options, total, dimension)
    guess = estimate(kind, total, dimension, cores(), 2 * options.queries)
    log.info(
        "index: %s over %d vectors: about %.0f MB in memory, %.0f MB stored, %.0f s to build on %d cores, recall@10 %s",
        kind, total, guess.memory_bytes / 1e6, guess.disk_bytes / 1e6, guess.build_s, cores(),
        "as measured" if guess.recall is None else f"about {guess.recall:g}",
    )  # fmt: skip
    snapshot = dataset.snapshot
    key = fingerprint({"kind": kind, "snapshot": snapshot.number, "of": of.made_with(snapshot), "q": options.queries})
    build = Build(dataset, options, beam_options, kind, f"indexes/{options.called}/work/{key}")
    try:
        trained, queries = train(build, total, encode)
    except ValueError as error:
        raise UsageError(f"--index {options.index}: {error}") from error
    merges = can_merge(trained)
    if not merges and guess.memory_bytes > build.memory_bytes:
        raise UsageError(
            f"--index {options.index}: {kind} is filled in one piece and needs {guess.memory_bytes / 1e6:.0f} MB for "
            f"{total} vectors, --memory-mb is {options.memory_mb}; cure: more memory, or a kind with plain lists (IVF)"
        )
    tasks = tasks_for(snapshot.shards, counts, code_bytes(kind, dimension) + 8, build.part_bytes if merges else None)
    with build.timed("fill"):
        parts = fill(build, tasks, total, build.part_bytes if merges else 1 << 62)
    folder = new_folder(options.called)
    with build.timed("merge"):
        [whole] = (
            [merge(build, trained, parts, f"{folder}/index.faiss")]
            if merges
            else [copy(build, parts[0], f"{folder}/index.faiss")]
        )
    settings: dict[str, Any] = {
        **described(build, total, [whole], why),
        "trained_on": {"rows": snapshot.next_row, "vectors": total, "snapshot": snapshot.number},
        "covers": covered(snapshot.shards, counts),
    }
    if build.second_look:
        with build.timed("second_look"):
            settings["second_look"] = store_vectors(build, snapshot.shards)
    with build.timed("exact"):
        queries = queries.answered(*exact(build, tasks, queries.vectors, total))
    settings |= measured(build, settings, queries, first=1)
    settings["trained_on"] |= {"nprobe": settings["nprobe"], "imbalance": settings["imbalance"]}
    files = put_side_files(build, folder, settings, trained, queries, np.zeros(0, np.int64))
    published = publish(dataset.storage, options.called, folder, settings, files)
    clear(dataset.storage, build.work)
    return published, settings


def train(build: Build, total: int, encode: Encode) -> tuple[faiss.Index, Queries]:
    """A trained, empty index and the queries, from one pass over the vectors; those of an interrupted build if it had them.

    Frame queries are never trained with, unless there are too few other vectors.
    """
    storage, options = build.storage, build.options
    dimension = build.dimension
    try:
        return stored_index(storage, f"{build.work}/trained.faiss"), Queries.from_bytes(
            storage.get(f"{build.work}/queries.npz")
        )
    except FileNotFoundError:
        pass
    with build.timed("sample"):
        asked = np.sort(np.random.default_rng(1).choice(total, min(options.queries, total), replace=False))
        size = training_size(build.kind, total, dimension, build.memory_bytes // 2)
        learn = np.sort(np.random.default_rng(0).choice(total, size, replace=False))
        apart = np.setdiff1d(learn, asked, assume_unique=True)
        learn = apart if 2 * len(apart) >= len(learn) else learn
        (own, vectors), (_, training) = take(build.kind_of.all_vectors(build.dataset), [asked, learn])
    with build.timed("train"):
        if options.threads:
            faiss.omp_set_num_threads(options.threads)
        trained = new_index(build.kind, dimension, training, pick_device(options.device))
    with build.timed("encode_queries"):
        texts = encode(
            build.dataset, min(options.queries, max(len(PROMPTS), total // VECTORS_A_TEXT_QUERY)), options.device
        )
    queries = Queries.asked(
        np.concatenate([own, np.full(len(texts), -1, np.int64)]), np.concatenate([vectors, texts.astype(np.float32)])
    )
    storage.put(f"{build.work}/queries.npz", queries.to_bytes())
    with scratch() as folder:
        file = Path(folder, "trained.faiss")
        faiss.write_index(trained, str(file))
        storage.put_file(f"{build.work}/trained.faiss", file)
    return trained, queries


def stored_index(storage: Storage, path: str) -> faiss.Index:
    """A whole FAISS index from storage. Raises FileNotFoundError, CorruptOutput."""
    with scratch() as folder:
        file = Path(folder, "index.faiss")
        storage.fetch(path, file)
        return read_index(file, path)


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
        return listed | FillParts(root, build.work, build.kind_of.vectors, part_bytes, build.options.threads)

    build.run(graph, total, "fill_index")
    return [PartInfo(**part) for part in json.loads(build.storage.get(f"{build.work}/parts.json"))]


def exact(build: Build, tasks: list[Task], queries: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    """The TRUTH_K best of the tasks' vectors for each query, by brute force."""
    storage, asked, found = build.storage, f"{build.work}/asked.npy", f"{build.work}/found.npz"
    storage.put(asked, array_bytes(queries))

    def graph(pipeline: beam.Pipeline) -> object:
        listed = pipeline | "Tasks" >> beam.Create(tasks)
        return listed | SearchExactly(storage.root, asked, found, build.kind_of.vectors, TRUTH_K, build.options.threads)

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


def store_vectors(build: Build, shards: Sequence[ShardInfo]) -> list[dict[str, Any]]:
    """The float16 vectors that the best candidates are scored with again, one raw file a shard."""
    root, ids_a_row = build.storage.root, build.ids_a_row
    stored = f"{build.work}/vectors.json"

    def graph(pipeline: beam.Pipeline) -> object:
        listed = pipeline | "Shards" >> beam.Create(list(shards))
        return listed | StoreVectors(
            root, f"indexes/{build.options.called}/vectors", stored, build.kind_of.vectors, ids_a_row
        )

    build.run(graph, sum(shard.rows for shard in shards) * ids_a_row, "store_vectors")
    files: list[dict[str, Any]] = json.loads(build.storage.get(stored))
    return files


def measured(
    build: Build, settings: dict[str, Any], queries: Queries, first: int, extra: Sequence[Any] = ()
) -> dict[str, Any]:
    """Recall of what was built, with the nprobe that reaches the gate with room. Raises GateError where none does."""
    gate = build.options.min_recall
    with build.timed("measure"):
        searcher = open_searcher(build.storage, {"nprobe": 1, **settings}, mapped=True)
        if build.options.threads:
            faiss.omp_set_num_threads(build.options.threads)
        truths = [*queries.truths("frame_queries" if build.kind_of.of_frames else "window_queries"), *extra]

        def at(nprobe: int | None) -> Point:
            return measure(lambda asked, k, probes: searcher.search(asked, k, probes), truths, nprobe)

        best, points = tune(at, searcher.nlist, gate, first)
    found = {name: recalls[RECALL_K] for name, recalls in best.recalls.items()}
    if best.worst() < gate:
        said = ", ".join(f"{one.recall:.3f} for {name.replace('_', ' ')}" for name, one in found.items())
        raise GateError(
            f"recall@10 is {said}, under --min-recall {gate:g}: not published. Cure: an index with less compression, "
            "such as --index auto or Flat"
        )
    return {
        "nprobe": best.nprobe,
        "recall_at_10": {name: one.to_json() for name, one in found.items()},
        "recall": best.to_json(),
        "by_nprobe": [point.to_json() for point in points],
        "interval": "95%, Wilson's over queries",
        "min_recall": gate,
        "seconds": build.seconds,
        "imbalance": imbalance(searcher),
    }


def imbalance(searcher: Searcher) -> float | None:
    """How unevenly the lists are filled: 1 is even. A search costs so many times what it would cost with even lists."""
    if not searcher.nlist:
        return None
    sizes = np.zeros(searcher.nlist)
    for part in searcher.parts:
        lists = lists_of(part)
        assert lists is not None
        sizes += [lists.invlists.list_size(at) for at in range(searcher.nlist)]
    return round(float(searcher.nlist * (sizes**2).sum() / max(1.0, sizes.sum()) ** 2), 3)


def described(build: Build, vectors: int, parts: Sequence[PartInfo], why: str) -> dict[str, Any]:
    """What index.json says of a build beside its recall."""
    snapshot = build.dataset.snapshot
    return {
        "kind": build.kind,
        "asked": build.options.index,
        "why": why,
        "metric": "inner product of unit vectors: a cosine",
        "of": build.kind_of.name,
        "dimension": build.dimension,
        "vectors": vectors,
        "id": f"row * {build.ids_a_row} + tick" if build.kind_of.of_frames else "row",
        "ids_a_row": build.ids_a_row,
        "models": build.kind_of.made_with(snapshot),
        "snapshot": snapshot.number,
        "rows": snapshot.next_row,
        "created_at": snapshots.now(),
        "faiss": faiss.__version__,
        "parts": [asdict(part) for part in parts],
    }


def covered(shards: Sequence[ShardInfo], counts: dict[str, int]) -> list[dict[str, Any]]:
    """The shards whose vectors a build holds: what the next update compares with."""
    return [
        {
            "path": shard.path,
            "sha256": shard.sha256,
            "first_row": shard.first_row,
            "rows": shard.rows,
            "stretches": [list(run) for run in shard.runs],
            "removed": [mark(video_id) for video_id in shard.removed],
            "vectors": counts[shard.path],
        }
        for shard in shards
    ]


def mark(video_id: str) -> str:
    """What stands for a removed video: its id must not be found in any file once it is gone."""
    return fingerprint({"removed": video_id})


def put_side_files(
    build: Build,
    folder: str,
    settings: dict[str, Any],
    trained: faiss.Index | None,
    queries: Queries,
    removed: np.ndarray,
) -> list[str]:
    """Stores queries, removed ids and the trained index beside a build; names all files that it needs."""
    storage = build.storage
    storage.put(f"{folder}/queries.npz", queries.to_bytes())
    settings["queries"] = f"{folder}/queries.npz"
    if trained is not None and can_merge(trained):
        trained.reset()
        with scratch() as place:
            file = Path(place, "trained.faiss")
            faiss.write_index(trained, str(file))
            settings["trained"] = asdict(put_scratch(storage, f"{folder}/trained.faiss", file, 0))
    if len(removed):
        storage.put(f"{folder}/removed.npy", array_bytes(removed))
        settings["removed"] = {"path": f"{folder}/removed.npy", "ids": len(removed)}
    return [
        *(part["path"] for part in settings["parts"]),
        settings["queries"],
        *([settings["trained"]["path"]] if "trained" in settings else []),
        *([settings["removed"]["path"]] if "removed" in settings else []),
        *(file["path"] for file in settings.get("second_look", [])),
    ]


def new_folder(name: str) -> str:
    """A build's folder: by time and chance, so that two builders never meet."""
    return f"indexes/{name}/{snapshots.new_run()}"


def clear(storage: Storage, work: str) -> None:
    """Removes what was only needed on the way."""
    for stored in storage.list(work):
        storage.delete(stored.path)
