"""A full build: sample, train, fill parts in parallel, merge them on disk, measure, publish. Each step can resume."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from ...models.devices import cores, pick_device
from ...schemas.errors import UsageError
from ...schemas.index_manifest import IndexManifest, Training
from ...schemas.options import fingerprint
from ...schemas.snapshot import Snapshot
from ...schemas.vector_sources import VECTOR_SOURCES
from ...transforms.build_index import new_index, take, training_size
from ...transforms.index_kinds import ID_BYTES, code_bytes, estimate
from ...transforms.index_parts import can_merge
from ..dataset import Dataset, all_vectors, count_vectors
from .build import Build, clear, kind_for, new_folder, stored_index
from .measure import covered, described, measured, put_side_files
from .options import IndexOptions
from .parts import build_tasks, copy, fill, merge, store_vectors
from .queries import PROMPTS, Queries
from .store import publish, scratch

log = logging.getLogger("reelbeam")


VECTORS_PER_TEXT_QUERY = 100
"""Bounds the number of text queries by the index's size: encoding 1,000 takes longer than building a small index."""


Encode = Callable[[Dataset, int, str], np.ndarray]
"""(dataset, number of queries, device) -> embeddings of text queries, float32 [q, D]."""


def full_build(
    dataset: Dataset, options: IndexOptions, beam_options: PipelineOptions, encode: Encode, why: str
) -> tuple[Snapshot, IndexManifest]:
    """Builds an index and publishes it. `why` goes into the manifest.

    Raises GateError when the recall is below --min-recall, and UsageError when there is nothing to index.
    """
    of = VECTOR_SOURCES[options.of]
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
    tasks = build_tasks(build, snapshot.shards, counts, code_bytes(kind, dimension) + ID_BYTES, whole=not merges)
    with build.timed("fill"):
        parts, answers = fill(build, tasks, total, build.part_bytes if merges else 1 << 62, queries.vectors)
    assert answers is not None
    folder = new_folder(options.called)
    with build.timed("merge"):
        [whole] = (
            [merge(build, trained, parts, f"{folder}/index.faiss")]
            if merges
            else [copy(build, parts[0], f"{folder}/index.faiss")]
        )
    manifest = replace(described(build, total, [whole], why), covers=covered(snapshot.shards, counts))
    if build.second_look:
        with build.timed("second_look"):
            manifest = replace(manifest, second_look=store_vectors(build, snapshot.shards))
    queries = queries.answered(*answers)
    manifest = measured(build, manifest, queries, first=1)
    trained_on = Training(snapshot.next_row, total, snapshot.number, manifest.nprobe, manifest.imbalance)
    manifest = put_side_files(
        build, folder, replace(manifest, trained_on=trained_on), trained, queries, np.zeros(0, np.int64)
    )
    published = publish(dataset.storage, options.called, folder, manifest)
    clear(dataset.storage, build.work)
    return published, manifest


def train(build: Build, total: int, encode: Encode) -> tuple[faiss.Index, Queries]:
    """A trained, empty index and the queries, sampled in one pass over the vectors. Reuses those of an interrupted build.

    Frame queries are kept out of the training sample, unless that would leave less than half of it.
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
        (own, vectors), (_, training) = take(all_vectors(build.source, build.dataset), [asked, learn])
    with build.timed("train"):
        if options.threads:
            faiss.omp_set_num_threads(options.threads)
        trained = new_index(build.kind, dimension, training, pick_device(options.device))
    with build.timed("encode_queries"):
        texts = encode(
            build.dataset, min(options.queries, max(len(PROMPTS), total // VECTORS_PER_TEXT_QUERY)), options.device
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
