"""Measures the recall of a build and describes it: what index.json records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from ...schemas import snapshot as snapshots
from ...schemas.errors import GateError
from ...schemas.index_manifest import PartInfo, mark
from ...schemas.snapshot import ShardInfo
from ...transforms.build_index import lists_of
from ...transforms.index_parts import can_merge
from ...transforms.index_recall import RECALL_K, Point, measure, tune
from .build import Build
from .queries import Queries
from .store import Searcher, array_bytes, open_searcher, put_scratch, scratch


def measured(
    build: Build, settings: dict[str, Any], queries: Queries, first: int, extra: Sequence[Any] = ()
) -> dict[str, Any]:
    """Recall of what was built, with the nprobe that reaches the gate with room. Raises GateError where none does."""
    gate = build.options.min_recall
    with build.timed("measure"):
        searcher = open_searcher(build.storage, {"nprobe": 1, **settings}, mapped=True)
        if build.options.threads:
            faiss.omp_set_num_threads(build.options.threads)
        truths = [*queries.truths("frame_queries" if build.source.of_frames else "window_queries"), *extra]

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
        assert lists.invlists is not None
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
        "of": build.source.name,
        "dimension": build.dimension,
        "vectors": vectors,
        "id": f"row * {build.ids_a_row} + tick" if build.source.of_frames else "row",
        "ids_a_row": build.ids_a_row,
        "models": build.source.made_with(snapshot),
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
