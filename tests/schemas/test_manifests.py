"""Manifests: the lists of shards that a snapshot names instead of the shards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbeam.schemas import manifests
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.elements import Grid
from reelbeam.schemas.errors import CorruptOutput
from reelbeam.schemas.file_records import ShardInfo
from reelbeam.schemas.manifests import FAN_OUT, INLINE, Manifest, Part, listed, merged
from reelbeam.schemas.snapshot import Snapshot, snapshot_path
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import RowShape


def made_shard(number: int) -> ShardInfo:
    return ShardInfo(f"windows/r{number}/w.parquet", 10, 100, "ab", (f"v{number}", 0), (f"w{number}", 9), 10 * number)


def in_memory(shards: tuple[ShardInfo, ...]) -> Manifest:
    return Manifest(f"manifests/{id(shards)}.json", 1, "s", shards)


def empty_snapshot() -> Snapshot:
    return Snapshot(0, None, "r", "2026", {}, {}, "f", Grid(), RowShape(10, 8, 5, 4))


def commit_one_more(storage: Storage, number: int) -> Snapshot:
    def grown(parent: Snapshot | None) -> Snapshot:
        base = parent or empty_snapshot()
        shards = (*base.shards, made_shard(number))
        return replace(base, number=base.number + 1, parent=base.number or None, shards=shards)

    return snapshots.commit_next(storage, grown)


CHANGES = st.lists(st.tuples(st.sampled_from(["add", "mark", "drop", "rewrite"]), st.integers(0, 999)), max_size=60)


@given(CHANGES, st.integers(1, 400))
@settings(max_examples=150, deadline=None)
def test_a_list_by_manifests_holds_the_very_shards_after_any_changes(
    changes: list[tuple[str, int]], first: int
) -> None:
    shards, known, new = [made_shard(number) for number in range(first)], tuple[Manifest, ...](), 1_000
    for kind, at in [("add", 0), *changes]:
        place, new = at % max(1, len(shards)), new + 1
        if kind == "add":
            shards += [made_shard(1_000 * new + number) for number in range(at % 200)]
        elif kind == "mark" and shards:
            shards[place] = replace(shards[place], removed=(*shards[place].removed, f"x{new}"), removed_rows=1)
        elif kind == "drop":
            del shards[place : place + 1]
        elif shards:
            shards[place] = made_shard(1_000 * new)
        known = merged(shards, known, in_memory)
        parts = listed(shards, known)
        given_back = [shard for part in parts for shard in (part.shards if isinstance(part, Part) else (part,))]
        assert given_back == shards
        assert [part.manifest for part in parts if isinstance(part, Part)] == list(known)
        assert sum(isinstance(part, ShardInfo) for part in parts) < INLINE


def test_a_snapshot_stays_small_while_shards_grow_and_reads_back(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    for number in range(2 * INLINE + 5):
        made = commit_one_more(storage, number)
    assert [len(manifest.shards) for manifest in made.manifests] == [INLINE, INLINE]
    assert len(json.loads(storage.get(snapshot_path(made.number)))["shards"]) == 2 + 5
    manifests._held.clear()
    again = snapshots.load(storage)
    assert again == made
    assert [shard.path for shard in again.shards] == [made_shard(number).path for number in range(2 * INLINE + 5)]


def test_sixteen_manifests_become_one_and_a_commit_writes_none_else() -> None:
    written: list[int] = []

    def write(shards: tuple[ShardInfo, ...]) -> Manifest:
        written.append(len(shards))
        return in_memory(shards)

    shards, known = [], tuple[Manifest, ...]()
    for number in range(INLINE * FAN_OUT + 1):
        shards.append(made_shard(number))
        known = merged(shards, known, write)
    assert [len(manifest.shards) for manifest in known] == [INLINE * FAN_OUT]
    assert written == [INLINE] * (FAN_OUT - 1) + [INLINE * FAN_OUT]


def test_a_removed_video_is_noted_in_the_snapshot_and_its_manifest_is_kept(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    for number in range(INLINE):
        made = commit_one_more(storage, number)
    marked = replace(made.shards[3], removed=("v3",), removed_rows=4)
    shards = (*made.shards[:3], marked, *made.shards[4:])
    after = snapshots.commit(storage, replace(made, number=made.number + 1, shards=shards))
    assert after.manifests == made.manifests
    assert snapshots.load(storage).shards == shards


def test_many_removed_videos_are_written_into_a_new_manifest() -> None:
    shards = tuple(made_shard(number) for number in range(INLINE))
    [before] = merged(shards, (), in_memory)
    marked = tuple(replace(shard, removed=(shard.first_key[0],), removed_rows=1) for shard in shards)
    [after] = merged(marked, (before,), in_memory)
    assert after.shards == marked


def test_a_manifest_that_was_changed_is_refused_with_the_cure(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    for number in range(INLINE):
        made = commit_one_more(storage, number)
    [manifest] = made.manifests
    storage.put(manifest.path, storage.get(manifest.path).replace(b'"rows": 10', b'"rows": 11'))
    manifests._held.clear()
    with pytest.raises(CorruptOutput, match="Cure"):
        snapshots.load(storage)


def test_an_older_program_is_told_that_it_cannot_read_manifests(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    assert b'"schema_version": 2' in commit_one_more(storage, 0).to_json()
    for number in range(INLINE):
        made = commit_one_more(storage, number + 1)
    assert b'"schema_version": 3' in made.to_json()
