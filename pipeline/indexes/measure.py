"""Measures the recall of a build and makes its manifest, the content of index.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from ...schemas import snapshot as snapshots
from ...schemas.errors import GateError
from ...schemas.file_records import ShardInfo
from ...schemas.index_manifest import CoveredShard, IndexManifest, OperatingPoint, PartInfo, RemovedIds
from ...transforms.build_index import lists_of
from ...transforms.index_parts import can_merge
from ...transforms.index_recall import RECALL_K, measure, tune
from .build import Build
from .queries import Queries
from .store import Searcher, array_bytes, open_searcher, put_scratch, scratch


def measured(
    build: Build, manifest: IndexManifest, queries: Queries, first: int, extra: Sequence[Any] = ()
) -> IndexManifest:
    """Adds the measured recall to the manifest, and an nprobe that reaches --min-recall with some margin.

    Raises GateError when no nprobe reaches --min-recall.
    """
    gate = build.options.min_recall
    with build.timed("measure"):
        searcher = open_searcher(build.storage, manifest, mapped=True)
        if build.options.threads:
            faiss.omp_set_num_threads(build.options.threads)
        truths = [*queries.truths("frame_queries" if build.source.of_frames else "window_queries"), *extra]

        def at(nprobe: int | None) -> OperatingPoint:
            return measure(lambda asked, k, probes: searcher.search(asked, k, probes), truths, nprobe)

        best, points = tune(at, searcher.nlist, gate, first)
    found = {name: recalls[RECALL_K] for name, recalls in best.recalls.items()}
    if best.worst(RECALL_K) < gate:
        seen = ", ".join(f"{one.recall:.3f} for {name.replace('_', ' ')}" for name, one in found.items())
        raise GateError(
            f"recall@10 is {seen}, below --min-recall {gate:g}: not published. Cure: an index with less compression, "
            "such as --index auto or Flat"
        )
    return replace(
        manifest,
        nprobe=best.nprobe,
        recall_at_10=found,
        recall=best,
        by_nprobe=tuple(points),
        min_recall=gate,
        seconds=build.seconds,
        imbalance=imbalance(searcher),
    )


def imbalance(searcher: Searcher) -> float | None:
    """Imbalance of the list sizes: the cost of a search, relative to lists of equal size (1.0). None without lists."""
    if not searcher.nlist:
        return None
    sizes = np.zeros(searcher.nlist)
    for part in searcher.parts:
        lists = lists_of(part)
        assert lists is not None
        assert lists.invlists is not None
        sizes += [lists.invlists.list_size(at) for at in range(searcher.nlist)]
    return round(float(searcher.nlist * (sizes**2).sum() / max(1.0, sizes.sum()) ** 2), 3)


def described(build: Build, vectors: int, parts: Sequence[PartInfo], why: str) -> IndexManifest:
    """The manifest of a build, without its recall, which is measured later."""
    snapshot = build.dataset.snapshot
    return IndexManifest(
        kind=build.kind,
        asked=build.options.index,
        why=why,
        of=build.source.name,
        dimension=build.dimension,
        vectors=vectors,
        id=f"row * {build.ids_a_row} + tick" if build.source.of_frames else "row",
        ids_a_row=build.ids_a_row,
        models=build.source.made_with(snapshot),
        snapshot=snapshot.number,
        rows=snapshot.next_row,
        created_at=snapshots.now(),
        faiss=faiss.__version__,
        parts=tuple(parts),
    )


def covered(shards: Sequence[ShardInfo], counts: dict[str, int]) -> tuple[CoveredShard, ...]:
    """The shards whose vectors a build contains, for the next update to compare with."""
    return tuple(CoveredShard.of(shard, counts[shard.path]) for shard in shards)


def put_side_files(
    build: Build,
    folder: str,
    manifest: IndexManifest,
    trained: faiss.Index | None,
    queries: Queries,
    removed: np.ndarray,
) -> IndexManifest:
    """Stores queries, removed ids and the trained index in the build's folder, and adds their paths to the manifest."""
    storage = build.storage
    storage.put(f"{folder}/queries.npz", queries.to_bytes())
    manifest = replace(manifest, queries=f"{folder}/queries.npz")
    if trained is not None and can_merge(trained):
        trained.reset()
        with scratch() as place:
            file = Path(place, "trained.faiss")
            faiss.write_index(trained, str(file))
            manifest = replace(manifest, trained=put_scratch(storage, f"{folder}/trained.faiss", file, 0))
    if len(removed):
        storage.put(f"{folder}/removed.npy", array_bytes(removed))
        manifest = replace(manifest, removed=RemovedIds(f"{folder}/removed.npy", len(removed)))
    return manifest
