"""State and helpers shared by full builds and updates: options, work folder, memory limits, timing, running pipelines.

Memory is bounded by `--memory-mb`, not by the number of vectors: half for training, a quarter for the part that a worker
fills, a quarter for merging. Finished steps are stored in `indexes/<name>/work/`; a rerun after an interruption reuses them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import apache_beam as beam
import faiss
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from ...models.devices import cores
from ...schemas import snapshot as snapshots
from ...schemas.errors import ReelbeamError, UsageError
from ...schemas.storage import Storage
from ...schemas.vector_sources import VECTOR_SOURCES, VectorSource
from ...transforms import metrics
from ...transforms.build_index import read_index
from ...transforms.index_kinds import choose_kind, code_bytes, split_refine
from ..dataset import Dataset
from ..extraction import LOCAL_RUNNER
from ..workers import Work, each_in_workers, run_beside, shares, worker_count
from .options import IndexOptions
from .store import scratch

log = logging.getLogger("reelbeam")

Item = TypeVar("Item")
Result = TypeVar("Result")

PROGRESS_EVERY_S = 15.0

PART_BYTES = 1 << 30
"""Largest size of a part, even with more memory: a worker that dies loses one part's work."""


@dataclass
class Build:
    """A running build: its inputs, and the duration of each finished step."""

    dataset: Dataset
    options: IndexOptions
    beam_options: PipelineOptions
    kind: str
    work: str
    """Folder of intermediate results, which a rerun after an interruption reuses."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Duration of each step."""

    def __post_init__(self) -> None:
        _ = self.workers  # its error comes before any work

    @property
    def storage(self) -> Storage:
        return self.dataset.storage

    @property
    def source(self) -> VectorSource:
        """The embeddings that are indexed: frames, speech or fused."""
        return VECTOR_SOURCES[self.options.of]

    @property
    def ids_a_row(self) -> int:
        return self.source.ids_per_row(self.dataset.snapshot.shape)

    @property
    def dimension(self) -> int:
        return self.source.dimension(self.dataset.snapshot.shape)

    @property
    def memory_bytes(self) -> int:
        return self.options.memory_mb << 20

    @cached_property
    def workers(self) -> int:
        """Worker processes on this machine; with one, the Beam runner does the work. Raises UsageError for a wrong --workers."""
        workers = worker_count(self.options.workers, "cpu")
        if workers > 1 and self.runner != LOCAL_RUNNER:
            raise UsageError(
                f"--workers {self.options.workers} with --runner {self.runner}: workers are for one machine, and this runner "
                "spreads the parts by itself; cure: leave out one of them"
            )
        return workers

    @property
    def runner(self) -> str:
        return self.beam_options.view_as(StandardOptions).runner or LOCAL_RUNNER

    @property
    def threads(self) -> int:
        """Of FAISS, in each worker. 0: as many as there are cores."""
        return self.options.threads or (max(1, cores() // self.workers) if self.workers > 1 else 0)

    @property
    def part_bytes(self) -> int:
        """Of what each worker fills at a time."""
        return max(1, min(PART_BYTES, self.memory_bytes // 4) // self.workers)

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
        """Runs one Beam pipeline that `make` builds; on the local runner, unless --runner names another."""
        pipeline = beam.Pipeline(runner=self.runner, options=self.beam_options)
        make(pipeline)
        with progress(stage, total):
            pipeline.run().wait_until_finish()

    def spreads(self, items: Sequence[object]) -> bool:
        """Whether these go to worker processes."""
        return self.workers > 1 and len(items) > 1

    def in_workers(self, work: Work[Item, Result], items: Sequence[Item], total: int, stage: str) -> list[Result]:
        """What `work` makes of each item, in their order, by worker processes. Results must not depend on who made them."""
        dealt = shares(min(self.workers, len(items)), "cpu", 1)
        with progress(stage, total):
            return each_in_workers(work, items, dealt, _killed)


def _killed(item: Item, why: str) -> Item:
    raise ReelbeamError(
        f"a worker process was killed ({why}) each time it was at one part of the index; often that is too little memory; "
        "cure: a smaller --memory-mb, or fewer --workers"
    )


@contextmanager
def progress(stage: str, total: int) -> Iterator[None]:
    """Logs the progress every PROGRESS_EVERY_S seconds. Only the in-process runner reports progress."""
    before = metrics.totals().get(stage, {}).get("vectors", 0)

    def lines(over: threading.Event) -> None:
        while not over.wait(PROGRESS_EVERY_S):
            done = metrics.totals().get(stage, {}).get("vectors", 0) - before
            log.info("index: %s, %d of %d vectors", stage.replace("_", " "), done, total)

    with run_beside(lines):
        yield


def kind_for(options: IndexOptions, vectors: int, dimension: int) -> str:
    """The FAISS factory string of the index to build. Raises UsageError for a string that FAISS does not know."""
    if options.index == "auto":
        return choose_kind(vectors, dimension, options.search_memory_mb << 20, options.min_recall)
    try:
        code_bytes(options.index, dimension)
    except ValueError as error:
        raise UsageError(f"--index {options.index}: {error}") from error
    return options.index


def stored_index(storage: Storage, path: str) -> faiss.Index:
    """Reads a FAISS index from storage into memory. Raises FileNotFoundError, CorruptOutput."""
    with scratch() as folder:
        file = Path(folder, "index.faiss")
        storage.fetch(path, file)
        return read_index(file, path)


def new_folder(name: str) -> str:
    """A new folder for a build, named by time and a random suffix, so that concurrent builds never share one."""
    return f"indexes/{name}/{snapshots.new_run()}"


def clear(storage: Storage, work: str) -> None:
    """Deletes the intermediate results of a build."""
    for stored in storage.list(work):
        storage.delete(stored.path)
