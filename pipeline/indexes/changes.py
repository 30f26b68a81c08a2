"""What has changed since an index was built, and the cheapest update that still meets the recall gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...schemas.file_records import ShardInfo
from ...schemas.index_manifest import IndexManifest, mark
from ...schemas.vector_sources import VECTOR_SOURCES
from ...transforms.index_kinds import FLAT_UP_TO, choose_kind, list_count
from ..dataset import Dataset, are_held, count_vectors, shard_batches
from .options import IndexOptions
from .store import read_removed

MOST_DELTAS = 16
"""Largest number of parts in an index. With more, they are merged."""


LISTS_OFF_BY = 4
"""Factor by which the number of lists may differ from the number chosen for the current size."""


@dataclass(frozen=True)
class Change:
    """Differences between an index build and the current snapshot."""

    added: tuple[ShardInfo, ...]
    """Shards with rows that the build lacks."""
    removed: np.ndarray
    """int64, sorted: ids that the build may contain and whose rows were removed."""
    counts: dict[str, int]
    """Current number of vectors, by shard path."""
    reused_ids: bool
    """True when an id now names another vector than before: only a full build can handle that."""

    @property
    def new_vectors(self) -> int:
        return sum(self.counts[shard.path] for shard in self.added)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def changes_since(dataset: Dataset, manifest: IndexManifest) -> Change:
    """Shards added and ids removed since a build. Reads small columns, and only of changed shards."""
    ids_a_row = manifest.ids_a_row
    before = {shard.key: shard for shard in manifest.covers or ()}
    now = {(shard.path, shard.sha256, shard.first_row): shard for shard in dataset.snapshot.shards}
    left = _numbers([run for key, old in before.items() if key not in now for run in old.stretches])
    stayed = _numbers([run for key, old in before.items() if key in now for run in old.stretches])
    added, reused, found_again = [], False, [np.zeros(0, np.int64)]
    for key, shard in now.items():
        if key in before:
            continue
        rows = _rows_of(dataset, shard)
        again = np.isin(rows, left)
        if again.all() and len(rows):  # rewritten by compaction: same rows, same row numbers
            found_again.append(rows)
        else:
            added.append(shard)
            reused |= bool(again.any() or np.isin(rows, stayed).any())
    gone_rows = np.setdiff1d(left, np.concatenate(found_again))
    gone = [_ids(gone_rows, ids_a_row)]
    known = {}
    for key in before.keys() & now.keys():
        marks = set(before[key].removed)
        new_removed = {video_id for video_id in now[key].removed if mark(video_id) not in marks}
        if marks - {mark(video_id) for video_id in now[key].removed}:
            reused = True  # a rollback brought removed rows back
        if new_removed:
            gone.append(_ids(_rows_of_videos(dataset, now[key], new_removed), ids_a_row))
        else:
            known[now[key].path] = before[key].vectors
    removed = np.unique(np.concatenate([np.zeros(0, np.int64), *gone]))
    return Change(tuple(added), removed, count_vectors(dataset, VECTOR_SOURCES[manifest.of], known), reused)


def _rows_of(dataset: Dataset, shard: ShardInfo) -> np.ndarray:
    """Row numbers int64 of a shard, without removed rows. Reads the file only when rows were removed."""
    if not shard.removed:
        return shard.row_numbers()
    return np.concatenate([np.zeros(0, np.int64), *(some for some, _ in shard_batches(dataset.storage, shard, []))])


def erased(dataset: Dataset, manifest: IndexManifest, change: Change) -> int:
    """Number of ids in the index's parts whose rows are no longer in any shard file.

    Erased rows must be erased from the index files too, not only left out of results.
    """
    removed = np.union1d(read_removed(dataset.storage, manifest), change.removed)
    return int((~are_held(dataset.snapshot.shards, removed // manifest.ids_a_row)).sum())


def _numbers(runs: Sequence[Sequence[int]]) -> np.ndarray:
    """Row numbers int64 of runs of consecutive rows, each (first, rows)."""
    return np.concatenate([np.zeros(0, np.int64), *(np.arange(first, first + rows) for first, rows in runs)])


def _ids(rows: np.ndarray, ids_a_row: int) -> np.ndarray:
    """Ids int64 of all vectors of the given rows."""
    return (rows[:, None] * ids_a_row + np.arange(ids_a_row)).ravel()


def _rows_of_videos(dataset: Dataset, shard: ShardInfo, videos: set[str]) -> np.ndarray:
    """Row numbers int64 of the given videos in a shard, removed rows included."""
    found = [np.zeros(0, np.int64)]
    whole = replace(shard, removed=(), removed_rows=0)
    for rows, batch in shard_batches(dataset.storage, whole, ["video_id"]):
        found.append(rows[pc.is_in(batch["video_id"], pa.array(sorted(videos))).to_numpy(zero_copy_only=False)])
    return np.concatenate(found)


def decide(dataset: Dataset, manifest: IndexManifest, change: Change, options: IndexOptions) -> tuple[str, str]:
    """The update step, "none", "delta", "merge" or "full", and the reason for it."""
    snapshot, kind = dataset.snapshot, manifest.kind
    of = VECTOR_SOURCES[manifest.of]
    for name, made_with in of.made_with(snapshot).items():
        if manifest.models.get(name) != made_with:
            return "full", f"the index was made with another {name} than the rows"
    if (manifest.dimension, manifest.ids_a_row) != (of.dimension(snapshot.shape), of.ids_per_row(snapshot.shape)):
        return "full", "the rows have another dimension or number of vectors than the index"
    if options.index not in ("auto", kind):
        return "full", f"--index {options.index} is asked for, and the index is {kind}"
    if change.reused_ids:
        return "full", "rows of the index were written again with the same row numbers"
    gone_for_good = erased(dataset, manifest, change)
    if not change.added and not len(change.removed) and not gone_for_good:
        return "none", f"nothing has changed since snapshot {manifest.snapshot}"
    if not change.total:
        return "full", "all vectors of the index were removed"
    if manifest.trained is None or manifest.trained_on is None:
        return "full", f"{kind} has no trained lists, so it cannot be updated in place"
    if options.index == "auto":
        wanted = choose_kind(change.total, manifest.dimension, options.search_memory_mb << 20, options.min_recall)
        lists, now = list_count(wanted), list_count(kind)
        if change.total <= FLAT_UP_TO or max(lists, now) >= LISTS_OFF_BY * min(lists, now):
            return "full", f"{change.total} vectors call for {wanted}, and the index is {kind}"
    share = (manifest.newer + change.new_vectors) / max(1, change.total)
    if share > options.retrain_above:
        return (
            "full",
            f"{share:.0%} of the vectors are newer than the training, more than --retrain-above {options.retrain_above:g}",
        )
    held = sum(part.vectors for part in manifest.parts[1:]) + change.new_vectors
    gone = (manifest.removed.ids if manifest.removed else 0) + len(change.removed)
    if held + gone > options.merge_above * manifest.trained_on.vectors or len(manifest.parts) > MOST_DELTAS:
        return "merge", f"{len(manifest.parts)} parts, {held} vectors outside the base and {gone} removed ids"
    if gone_for_good:
        return (
            "merge",
            f"{gone_for_good} ids belong to rows that have left their shards: the lists are copied without them",
        )
    return "delta", f"{change.new_vectors} vectors are new, {len(change.removed)} ids were removed"
