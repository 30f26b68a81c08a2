"""What has changed since a build, and what to do about it: nothing, a delta, a merge, or a new build. With the reason.

A delta is filled with the trained lists of the build before it, so that both together answer as one index filled at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.options.pipeline_options import PipelineOptions

from ..schemas.errors import GateError
from ..schemas.options import fingerprint
from ..schemas.snapshot import ShardInfo, Snapshot
from ..transforms.build_index import merge_results, take
from ..transforms.fill_index import raw_name
from ..transforms.index_kinds import FLAT_UP_TO, choose_kind, code_bytes, list_count
from ..transforms.index_recall import RECALL_AT
from .index_build import (
    Build,
    clear,
    count_vectors,
    covered,
    described,
    exact,
    fill,
    mark,
    measured,
    merge,
    new_folder,
    put_side_files,
    store_vectors,
    stored_index,
    tasks_for,
)
from .index_queries import TRUTH_K, Queries
from .index_store import parts_of, publish, read_removed
from .indexed import INDEXED
from .options import IndexOptions
from .read import Dataset, are_held, shard_batches

MOST_DELTAS = 16
"""Parts that a search looks through before they are merged."""

FRESH_SHARE = 10
"""One of so many frame queries is replaced by a frame of the new rows with each update."""

LISTS_OFF_BY = 4
"""Times by which the number of lists may differ from what the size asks for."""

UNEVEN = 2.0
"""Times by which the lists may be more uneven than when they were trained."""

MOST_NPROBE_GROWTH = 4
"""Times by which nprobe may grow over the full build's: beyond, the lists no longer fit the data."""


class Drift(Exception):
    """The trained lists do not fit the data any more; the message says how that shows."""


@dataclass(frozen=True)
class Change:
    """What a build does not know yet."""

    added: tuple[ShardInfo, ...]
    removed: np.ndarray
    """int64, sorted: ids that the build may hold and that no longer count."""
    counts: dict[str, int]
    """Vectors that count now, by shard."""
    reused_ids: bool
    """An id stands for another vector than before: only a new build can tell."""

    @property
    def new_vectors(self) -> int:
        return sum(self.counts[shard.path] for shard in self.added)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def changes(dataset: Dataset, settings: dict[str, Any]) -> Change:
    """The shards that came and the ids that went since a build. Reads small columns of changed shards alone."""
    ids_a_row = settings["ids_a_row"]
    before = {(shard["path"], shard["sha256"], shard["first_row"]): shard for shard in settings["covers"]}
    now = {(shard.path, shard.sha256, shard.first_row): shard for shard in dataset.snapshot.shards}
    left = _numbers([run for key, old in before.items() if key not in now for run in old["stretches"]])
    stayed = _numbers([run for key, old in before.items() if key in now for run in old["stretches"]])
    added, reused, found_again = [], False, [np.zeros(0, np.int64)]
    for key, shard in now.items():
        if key in before:
            continue
        rows = _rows_of(dataset, shard)
        again = np.isin(rows, left)
        if again.all() and len(rows):  # rewritten by compaction: the same rows under the same numbers
            found_again.append(rows)
        else:
            added.append(shard)
            reused |= bool(again.any() or np.isin(rows, stayed).any())
    gone_rows = np.setdiff1d(left, np.concatenate(found_again))
    gone = [_ids(gone_rows, ids_a_row)]
    known = {}
    for key in before.keys() & now.keys():
        marks = set(before[key]["removed"])
        new_removed = {video_id for video_id in now[key].removed if mark(video_id) not in marks}
        if marks - {mark(video_id) for video_id in now[key].removed}:
            reused = True  # rows that had gone count again, after a rollback
        if new_removed:
            gone.append(_ids(_rows_of_videos(dataset, now[key], new_removed), ids_a_row))
        else:
            known[now[key].path] = before[key]["vectors"]
    removed = np.unique(np.concatenate([np.zeros(0, np.int64), *gone]))
    return Change(tuple(added), removed, count_vectors(dataset, INDEXED[settings["of"]], known), reused)


def _rows_of(dataset: Dataset, shard: ShardInfo) -> np.ndarray:
    """Numbers int64 of the rows of a shard that count; its file is read only where some do not."""
    if not shard.removed:
        return shard.row_numbers()
    return np.concatenate([np.zeros(0, np.int64), *(some for some, _ in shard_batches(dataset.storage, shard, []))])


def erased(dataset: Dataset, settings: dict[str, Any], change: Change) -> int:
    """How many vectors that the parts may hold belong to rows that no shard holds any more: what has left the shards must
    leave the index too, and not only its answers."""
    removed = np.union1d(read_removed(dataset.storage, settings), change.removed)
    return int((~are_held(dataset.snapshot.shards, removed // settings["ids_a_row"])).sum())


def _numbers(runs: Sequence[Sequence[int]]) -> np.ndarray:
    """Row numbers int64 of stretches (first, rows)."""
    return np.concatenate([np.zeros(0, np.int64), *(np.arange(first, first + rows) for first, rows in runs)])


def _ids(rows: np.ndarray, ids_a_row: int) -> np.ndarray:
    """All ids int64 of rows."""
    return (rows[:, None] * ids_a_row + np.arange(ids_a_row)).ravel()


def _rows_of_videos(dataset: Dataset, shard: ShardInfo, videos: set[str]) -> np.ndarray:
    """Numbers int64 of some videos' rows in a shard."""
    found = [np.zeros(0, np.int64)]
    whole = replace(shard, removed=(), removed_rows=0)
    for rows, batch in shard_batches(dataset.storage, whole, ["video_id"]):
        found.append(rows[pc.is_in(batch["video_id"], pa.array(sorted(videos))).to_numpy(zero_copy_only=False)])
    return np.concatenate(found)


def decide(dataset: Dataset, settings: dict[str, Any], change: Change, options: IndexOptions) -> tuple[str, str]:
    """("none", "delta", "merge" or "full", and why)."""
    snapshot, kind = dataset.snapshot, settings["kind"]
    of = INDEXED[settings["of"]]
    for name, made_with in of.made_with(snapshot).items():
        if settings["models"].get(name) != made_with:
            return "full", f"the index was made with another {name} than the rows"
    if (settings["dimension"], settings["ids_a_row"]) != (of.dimension(snapshot.shape), of.ids_a_row(snapshot.shape)):
        return "full", "the rows have another shape than the index"
    if options.index not in ("auto", kind):
        return "full", f"--index {options.index} is asked for, and the index is {kind}"
    if change.reused_ids:
        return "full", "rows of the index were written again under the same numbers"
    gone_for_good = erased(dataset, settings, change)
    if not change.added and not len(change.removed) and not gone_for_good:
        return "none", f"nothing has changed since snapshot {settings['snapshot']}"
    if not change.total:
        return "full", "no vector of the index counts any more"
    if not settings.get("trained"):
        return "full", f"{kind} has no trained lists: it is filled anew"
    base = settings["trained_on"]
    if options.index == "auto":
        wanted = choose_kind(change.total, settings["dimension"], options.search_memory_mb << 20, options.min_recall)
        lists, now = list_count(wanted), list_count(kind)
        if change.total <= FLAT_UP_TO or max(lists, now) >= LISTS_OFF_BY * min(lists, now):
            return "full", f"{wanted} is the kind for {change.total} vectors, and the index is {kind}"
    share = (settings.get("newer", 0) + change.new_vectors) / max(1, change.total)
    if share > options.retrain_above:
        return (
            "full",
            f"{share:.0%} of the vectors are newer than the training, more than --retrain-above {options.retrain_above:g}",
        )
    held = sum(part.vectors for part in parts_of(settings)[1:]) + change.new_vectors
    gone = settings.get("removed", {}).get("ids", 0) + len(change.removed)
    if held + gone > options.merge_above * base["vectors"] or len(settings["parts"]) > MOST_DELTAS:
        return "merge", f"{len(settings['parts'])} parts, {held} vectors beside the base and {gone} removed: merged"
    if gone_for_good:
        return (
            "merge",
            f"{gone_for_good} ids are of rows that have left their shards: the lists are copied without them",
        )
    return "delta", f"{change.new_vectors} vectors are new, {len(change.removed)} ids went"


def delta_build(
    dataset: Dataset,
    options: IndexOptions,
    beam_options: PipelineOptions,
    settings: dict[str, Any],
    change: Change,
    merging: bool,
    why: str,
) -> tuple[Snapshot, dict[str, Any]]:
    """Adds and removes what has changed, measures, publishes. Raises Drift when a new build is called for instead."""
    snapshot, storage = dataset.snapshot, dataset.storage
    key = fingerprint({"onto": settings["parts"], "snapshot": snapshot.number})
    build = Build(dataset, options, beam_options, settings["kind"], f"indexes/{options.called}/work/{key}")
    trained = stored_index(storage, settings["trained"]["path"])
    storage.put(f"{build.work}/trained.faiss", storage.get(settings["trained"]["path"]))
    parts = parts_of(settings)
    removed = np.union1d(read_removed(storage, settings), change.removed)
    folder = new_folder(options.called)
    if change.new_vectors:
        tasks = tasks_for(change.added, change.counts, code_bytes(build.kind, trained.d) + 8, build.part_bytes)
        with build.timed("fill"):
            new = fill(build, tasks, change.new_vectors, build.part_bytes)
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
            settings = {**settings, "second_look": _raw_files(build, settings)}
    with build.timed("exact"):
        queries, fresh = answers(build, settings, change)
    made: dict[str, Any] = {
        **described(build, change.total, parts, why),
        **{name: settings[name] for name in ("trained", "trained_on", "second_look") if name in settings},
        "newer": settings.get("newer", 0) + change.new_vectors,
        "covers": covered(snapshot.shards, change.counts),
    }
    files = put_side_files(build, folder, made, None, queries, removed)
    try:
        made |= measured(build, made, queries, settings["nprobe"], [fresh.truth("fresh_queries")] if len(fresh) else [])
    except GateError as error:
        raise Drift(str(error)) from error
    check_drift(made)
    published = publish(storage, options.called, folder, made, files)
    clear(storage, build.work)
    return published, made


def check_drift(made: dict[str, Any]) -> None:
    """Raises Drift when the lists have become too uneven, or when searching takes too many of them."""
    base = made["trained_on"]
    if made["imbalance"] > UNEVEN * base["imbalance"]:
        raise Drift(f"lists are uneven by {made['imbalance']}, {base['imbalance']} when they were trained")
    if made["nprobe"] > MOST_NPROBE_GROWTH * base["nprobe"]:
        raise Drift(f"nprobe {made['nprobe']} is needed, {base['nprobe']} when the lists were trained")


def _raw_files(build: Build, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The raw vector files that an update needs: those of shards that stayed, and of those that came."""
    kept = {file["path"].rpartition("/")[2]: file for file in settings["second_look"]}
    shards = build.dataset.snapshot.shards
    names = {raw_name(shard): shard for shard in shards}
    missing = [shard for name, shard in names.items() if name not in kept]
    stayed = [file for name, file in kept.items() if name in names]
    return [*stayed, *(store_vectors(build, missing) if missing else [])]


def answers(build: Build, settings: dict[str, Any], change: Change) -> tuple[Queries, Queries]:
    """The queries with exact answers for the vectors that count now, and those of them that are new.

    Known answers are kept up to date with the changes alone; only new queries, and those that lost too many answers,
    are asked of everything.
    """
    old = Queries.from_bytes(build.storage.get(settings["queries"]))
    fresh = _fresh(build, old, change)
    kept = old[_still_asked(old, change, len(fresh))]
    was_whole = (kept.ids >= 0).sum(axis=1) >= settings["vectors"]
    left = np.where(np.isin(kept.ids, change.removed), -1, kept.ids)
    floor = np.where(left >= 0, kept.scores, np.inf).min(axis=1, initial=np.inf)
    found = [(kept.scores, left)]
    if change.new_vectors:
        tasks = tasks_for(change.added, change.counts, 4 * kept.vectors.shape[1], build.part_bytes)
        found.append(exact(build, tasks, kept.vectors, change.new_vectors))
    scores, ids = merge_results(found, len(kept), TRUTH_K)
    unsure = ~was_whole[:, None] & (scores < floor[:, None])  # a vector that was never listed may lie above these
    kept = kept.answered(np.where(unsure, -np.inf, scores).astype(np.float32), np.where(unsure, -1, ids))
    short = (kept.ids >= 0).sum(axis=1) < min(max(RECALL_AT) + 1, change.total)
    again = kept[short] + fresh
    if len(again):
        tasks = tasks_for(build.dataset.snapshot.shards, change.counts, 4 * again.vectors.shape[1], build.part_bytes)
        again = again.answered(*exact(build, tasks, again.vectors, change.total))
    fresh = again[np.arange(short.sum(), len(again))]
    return kept[~short] + again, fresh


def _fresh(build: Build, old: Queries, change: Change) -> Queries:
    """New frame queries, drawn from the new rows."""
    wanted = min(change.new_vectors, -(-int((old.own >= 0).sum()) // FRESH_SHARE))
    rng = np.random.default_rng(build.dataset.snapshot.number)
    picked = np.sort(rng.choice(change.new_vectors, wanted, replace=False)) if wanted else np.zeros(0, np.int64)
    stream = (piece for shard in change.added for piece in build.kind_of.vectors(build.storage, shard))
    [(own, vectors)] = take(stream, [picked])
    return Queries.asked(own, vectors if wanted else np.zeros((0, old.vectors.shape[1]), np.float32))


def _still_asked(old: Queries, change: Change, fresh: int) -> np.ndarray:
    """Places of the queries that stay: text, and frames but for those that went, and the oldest where more must go."""
    places = np.flatnonzero(~np.isin(old.own, change.removed))
    frames = places[old.own[places] >= 0]
    lost = int((old.own >= 0).sum()) - len(frames)
    oldest = frames[: max(0, fresh - lost)]
    return np.setdiff1d(places, oldest, assume_unique=True)
