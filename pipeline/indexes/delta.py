"""Updates an index without training: adds a delta part, or merges all parts into one.

A delta uses the trained lists of the build that it extends. Searching both gives the same results as one index that was
filled at once.
"""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from ...schemas.errors import GateError
from ...schemas.index_manifest import IndexManifest, VectorFile, raw_name
from ...schemas.options import fingerprint
from ...schemas.snapshot import Snapshot
from ...transforms.build_index import merge_results, take
from ...transforms.index_kinds import ID_BYTES, code_bytes
from ...transforms.index_recall import RECALL_AT
from ..dataset import Dataset, shard_vectors
from .build import Build, clear, new_folder, stored_index
from .changes import Change
from .measure import covered, described, measured, put_side_files
from .options import IndexOptions
from .parts import build_tasks, exact, fill, merge, store_vectors
from .queries import TRUTH_K, Queries
from .store import publish, read_removed

FRESH_SHARE = 10
"""Each update replaces one in FRESH_SHARE frame queries by a frame of the new rows."""


UNEVEN = 2.0
"""Largest allowed imbalance of the lists, as a multiple of the imbalance after training."""

MOST_NPROBE_GROWTH = 4
"""Largest allowed nprobe, as a multiple of the full build's nprobe. A larger one means that the lists no longer fit the data."""


class Drift(Exception):
    """The trained lists no longer fit the data. The message gives the measurement that shows it."""


def delta_build(
    dataset: Dataset,
    options: IndexOptions,
    beam_options: PipelineOptions,
    base: IndexManifest,
    change: Change,
    merging: bool,
    why: str,
) -> tuple[Snapshot, IndexManifest]:
    """Applies a change to an index, measures its recall and publishes it. Raises Drift when a full build is needed instead."""
    snapshot, storage = dataset.snapshot, dataset.storage
    assert base.trained, "decide() asks for a full build of a kind without lists"
    key = fingerprint({"onto": [asdict(part) for part in base.parts], "snapshot": snapshot.number})
    build = Build(dataset, options, beam_options, base.kind, f"indexes/{options.called}/work/{key}")
    trained = stored_index(storage, base.trained.path)
    storage.put(f"{build.work}/trained.faiss", storage.get(base.trained.path))
    parts = [*base.parts]
    removed = np.union1d(read_removed(storage, base), change.removed)
    folder = new_folder(options.called)
    if change.new_vectors:
        tasks = build_tasks(build, change.added, change.counts, code_bytes(build.kind, trained.d) + ID_BYTES)
        with build.timed("fill"):
            new, _ = fill(build, tasks, change.new_vectors, build.part_bytes)
        if not merging:
            with build.timed("merge"):
                new = [merge(build, trained, new, f"{folder}/delta.faiss")]
        parts = [*parts, *new]
    if merging:
        with build.timed("merge"):
            parts = [merge(build, trained, parts, f"{folder}/index.faiss", removed)]
        removed = np.zeros(0, np.int64)
    if build.second_look:
        with build.timed("second_look"):
            base = replace(base, second_look=_raw_files(build, base))
    with build.timed("exact"):
        queries, fresh = answers(build, base, change)
    made = replace(
        described(build, change.total, parts, why),
        trained=base.trained,
        trained_on=base.trained_on,
        second_look=base.second_look,
        newer=base.newer + change.new_vectors,
        covers=covered(snapshot.shards, change.counts),
    )
    made = put_side_files(build, folder, made, None, queries, removed)
    try:
        asked = [fresh.truth("fresh_queries")] if len(fresh) else []
        made = measured(build, made, queries, base.nprobe or 1, asked)
    except GateError as error:
        raise Drift(str(error)) from error
    check_drift(made)
    published = publish(storage, options.called, folder, made)
    clear(storage, build.work)
    return published, made


def check_drift(made: IndexManifest) -> None:
    """Raises Drift when the lists have become too uneven, or when a search has to probe too many of them."""
    then = made.trained_on
    assert then is not None, "only an index with trained lists is updated by a delta"
    if (made.imbalance or 1) > UNEVEN * (then.imbalance or 1):
        raise Drift(f"the imbalance of the lists is {made.imbalance}; it was {then.imbalance} after training")
    if (made.nprobe or 1) > MOST_NPROBE_GROWTH * (then.nprobe or 1):
        raise Drift(f"a search needs nprobe {made.nprobe}; it needed {then.nprobe} after training")


def _raw_files(build: Build, base: IndexManifest) -> tuple[VectorFile, ...]:
    """Raw vector files of all current shards. Writes the files of new shards and reuses the others."""
    kept = {file.path.rpartition("/")[2]: file for file in base.second_look or ()}
    shards = build.dataset.snapshot.shards
    names = {raw_name(shard): shard for shard in shards}
    missing = [shard for name, shard in names.items() if name not in kept]
    stayed = [file for name, file in kept.items() if name in names]
    return (*stayed, *(store_vectors(build, missing) if missing else ()))


def answers(build: Build, base: IndexManifest, change: Change) -> tuple[Queries, Queries]:
    """(all queries, new queries), with exact answers over the current vectors.

    Old queries are searched over the added vectors only. New queries, and old ones that lost too many answers, are searched
    over all vectors.
    """
    old = Queries.from_bytes(build.storage.get(base.queries))
    fresh = _fresh(build, old, change)
    kept = old[_still_asked(old, change, len(fresh))]
    was_whole = (kept.ids >= 0).sum(axis=1) >= base.vectors
    left = np.where(np.isin(kept.ids, change.removed), -1, kept.ids)
    floor = np.where(left >= 0, kept.scores, np.inf).min(axis=1, initial=np.inf)
    found = [(kept.scores, left)]
    if change.new_vectors:
        found.append(exact(build, change.added, change.counts, kept.vectors))
    scores, ids = merge_results(found, len(kept), TRUTH_K)
    unsure = ~was_whole[:, None] & (scores < floor[:, None])  # an unlisted old vector may score higher than these
    kept = kept.answered(np.where(unsure, -np.inf, scores).astype(np.float32), np.where(unsure, -1, ids))
    short = (kept.ids >= 0).sum(axis=1) < min(max(RECALL_AT) + 1, change.total)
    again = kept[short] + fresh
    if len(again):
        again = again.answered(*exact(build, build.dataset.snapshot.shards, change.counts, again.vectors))
    fresh = again[np.arange(short.sum(), len(again))]
    return kept[~short] + again, fresh


def _fresh(build: Build, old: Queries, change: Change) -> Queries:
    """New frame queries, drawn at random from the new rows."""
    wanted = min(change.new_vectors, -(-int((old.own >= 0).sum()) // FRESH_SHARE))
    rng = np.random.default_rng(build.dataset.snapshot.number)
    picked = np.sort(rng.choice(change.new_vectors, wanted, replace=False)) if wanted else np.zeros(0, np.int64)
    stream = (piece for shard in change.added for piece in shard_vectors(build.source, build.storage, shard))
    [(own, vectors)] = take(stream, [picked])
    return Queries.asked(own, vectors if wanted else np.zeros((0, old.vectors.shape[1]), np.float32))


def _still_asked(old: Queries, change: Change, fresh: int) -> np.ndarray:
    """Positions of the queries to keep: text queries and frames that still exist.

    If fewer than `fresh` frame queries were removed, the oldest ones are dropped too, so that the number stays the same.
    """
    places = np.flatnonzero(~np.isin(old.own, change.removed))
    frames = places[old.own[places] >= 0]
    lost = int((old.own >= 0).sum()) - len(frames)
    oldest = frames[: max(0, fresh - lost)]
    return np.setdiff1d(places, oldest, assume_unique=True)
