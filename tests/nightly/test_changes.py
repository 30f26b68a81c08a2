"""What a night finds is a pure function of the listing, the books and the clock; rewritten rows keep their numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbeam.pipeline.dataset.commit import without
from reelbeam.pipeline.dataset.compact import choose_groups, rewrite_shards, with_rewrites
from reelbeam.pipeline.extraction.changes import (
    DAY_MS,
    Changes,
    Policy,
    compare_listing,
    may_be_twins,
    relisted,
    split_twins,
)
from reelbeam.pipeline.extraction.known_rows import KnownRows, as_compared
from reelbeam.schemas.elements import Grid, Sidecar, Video
from reelbeam.schemas.example_rows import example_windows
from reelbeam.schemas.file_records import ShardInfo
from reelbeam.schemas.row_places import RowPlaces
from reelbeam.schemas.small_arrays import stretches_of
from reelbeam.schemas.snapshot import Snapshot
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import RowShape
from reelbeam.transforms.shard_files import put_windows
from reelbeam.transforms.sidecars import sidecars_as_listed
from reelbeam.transforms.video_list import VideoList

NOW_MS = 100 * DAY_MS
SHAPE = RowShape(4, 8, 5, 6)


def video(name: str, etag: str = "e", size: int = 5) -> Video:
    return Video(name, f"/videos/{name}", size, etag)


def book(name: str, etag: str = "e", size: int = 5, **other: object) -> dict[str, object]:
    facts = {"content_sha256": "h", "status": "ok", "attempts": 1, "run": "19700401T000000-a", "missing_since_ms": 0}
    facts["sidecars"] = None
    facts |= {"title": "", "description": "", "title_embedding": None, "description_embedding": None}
    return {"video_id": name, "etag": etag, "size_bytes": size, **facts, **other}


def books(*rows: dict[str, object]) -> KnownRows:
    return KnownRows(as_compared(pa.Table.from_pylist([*rows, book("x")]).slice(0, len(rows))))


def compared(listed: list[Video], known: KnownRows, *others: Any, **named: Any) -> Changes:
    retryable, policy = (*others, *((), Policy())[len(others) :])
    return compare_listing(VideoList.of(listed), known, retryable, policy, NOW_MS, **named)


def found(
    listed: list[Video], known: KnownRows, retryable: tuple[str, ...] = (), policy: Policy | None = None
) -> dict[str, list[str]]:
    changes = compared(listed, known, retryable, policy or Policy())
    kinds = {name: value for name, value in vars(changes).items() if isinstance(value, list) and value}
    return {name: [getattr(one, "video_id", one) for one in value] for name, value in kinds.items()}


def test_files_beside_a_video_count_where_subtitles_are_stored() -> None:
    beside = replace(video("a"), sidecars=(Sidecar("/videos/a.srt", 3, "s"),))
    known = books(book("a", sidecars=sidecars_as_listed(beside)), book("b"), book("c", sidecars="gone"))
    listed = [beside, replace(video("b"), sidecars=beside.sidecars), video("c")]
    changes = compared(listed, known, sidecars_for="subtitles")
    assert [one.video_id for one in changes.recaptioned] == ["b", "c"]
    assert changes.unchanged == 1
    heard = compared(listed, known, sidecars_for="speech")
    assert [one.video_id for one in heard.changed] == ["b", "c"], "their words must be found anew"
    assert compared(listed, known).unchanged == 3


def test_size_tells_a_change_at_once_and_a_new_etag_needs_a_hash() -> None:
    known = books(book("a"), book("b"), book("c"), book("d", content_sha256=""))
    listed = [video("a"), video("b", etag="f"), video("c", etag="f", size=6), video("d", etag="f"), video("n")]
    assert found(listed, known) == {"new": ["n"], "changed": ["c", "d"], "suspects": ["b"]}


def test_a_missing_video_waits_for_its_grace_and_not_longer() -> None:
    known = books(
        book("first"),
        book("young", missing_since_ms=NOW_MS - DAY_MS),
        book("old", missing_since_ms=NOW_MS - 2 * DAY_MS),
        book("back", missing_since_ms=5),
    )
    assert found([video("back")], known, policy=Policy(grace_ms=2 * DAY_MS)) == {
        "back": ["back"], "missing": ["first"], "waiting": ["young"], "removed": ["old"]
    }  # fmt: skip
    assert found([video("back")], known) == {"back": ["back"], "removed": ["first", "young", "old"]}


def test_only_failures_that_may_pass_are_tried_again_and_their_attempts_go_on_counting() -> None:
    known = books(
        book("may", status="failed", attempts=2), book("never", status="failed"), book("cut", status="partial")
    )
    listed = [video("may"), video("never"), video("cut")]
    assert found(listed, known, ("may",)) == {"retried": ["may"]}
    assert compared(listed, known, ("may",)).retried[0].attempts == 2
    assert found(listed, known, ("may",), Policy(max_attempts=2)) == {}
    assert found(listed, known, (), Policy(retry_all=True)) == {"retried": ["cut", "may", "never"]}


def test_a_new_title_is_no_change_of_the_video_and_a_listing_without_titles_says_nothing() -> None:
    known = books(
        *(book(name, title="t", description="", title_embedding=b"v") for name in "abcde"),
        book("unread", title="t"),
        book("back", title="t", title_embedding=b"v", missing_since_ms=5),
    )
    listed = [
        video("a"),
        replace(video("b"), title="t", description=""),
        replace(video("c"), title="", description=""),
        replace(video("d", etag="f"), title="new"),
        video("e", size=6),
        video("unread"),
        replace(video("back"), title="new"),
    ]
    assert found(listed, known) == {
        "retitled": ["c", "unread"], "suspects": ["d"], "changed": ["e"], "back": ["back"]
    }  # fmt: skip
    changes = compared(listed, known)
    assert [(one.title, one.description) for one in (*changes.suspects, *changes.changed)] == [("new", ""), ("t", "")]
    row = {**book("c", title="t", title_embedding=b"v"), "words": 3}
    assert relisted(row, changes.retitled[0]) == {**row, "title": "", "title_embedding": None}
    assert relisted(row, video("c")) == row


names = st.sampled_from("abcdefgh")
listings = st.dictionaries(names, st.tuples(st.sampled_from("ef"), st.integers(1, 2)))


@given(listings, listings, st.sampled_from([0, DAY_MS]))
def test_every_video_ends_in_exactly_one_place(
    now: dict[str, tuple[str, int]], before: dict[str, tuple[str, int]], grace_ms: int
) -> None:
    listed = [video(name, *facts) for name, facts in now.items()]
    known = books(*(book(name, *facts) for name, facts in before.items()))
    changes = compared(listed, known, (), Policy(grace_ms=grace_ms))
    places = Counter(
        getattr(one, "video_id", one) for value in vars(changes).values() if isinstance(value, list) for one in value
    )
    assert set(places.values()) <= {1}
    assert set(places) | {name for name in now if now[name] == before.get(name)} == now.keys() | before.keys()
    assert changes.unchanged == sum(now[name] == before.get(name) for name in now)
    assert bool(changes) == (now != before)
    assert isinstance(changes, Changes)


def test_equal_bytes_are_extracted_once_and_only_equal_sizes_are_hashed() -> None:
    todo = [video("a", size=1), video("b", size=2), video("c", size=2), video("d", size=3)]
    assert [one.video_id for one in may_be_twins(todo, {3})] == ["b", "c", "d"]
    alone, doubles = split_twins(todo, {"b": "same", "c": "same", "d": "stored"}, {"stored": "known"})
    assert [one.video_id for one in alone] == ["a", "b"]
    assert [(one.video_id, other) for one, other in doubles] == [("c", "b"), ("d", "known")]


@given(st.lists(st.integers(0, 50), unique=True, min_size=1))
def test_stretches_give_every_row_its_number_back(numbers: list[int]) -> None:
    given_ = np.array(numbers)
    stretches = stretches_of(given_)
    shard = ShardInfo("p", len(numbers), 0, "", ("", 0), ("", 0), min(numbers), stretches=stretches)
    assert shard.row_numbers().tolist() == numbers
    assert RowPlaces([shard]).find(range(-5, 60)) == [(shard, {number: place for place, number in enumerate(numbers)})]
    assert shard.end_row == max(numbers) + 1


def shards_of(storage: Storage, sizes: list[int]) -> list[ShardInfo]:
    """Shards with so many rows each, of videos that are not in another one, numbered on."""
    table, made, at = example_windows(sum(sizes), 3, SHAPE), [], 0
    for part, rows in enumerate(sizes):
        shard = put_windows(storage, f"windows/r/{part}.parquet", table.slice(at, rows))
        made.append(ShardInfo(**{**vars(shard), "first_row": at}))
        at += rows
    return made


def test_what_is_removed_while_a_shard_is_rewritten_stays_removed(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    shards = shards_of(storage, [4, 6])
    done = rewrite_shards(storage, shards, "windows/new/0.parquet", gone={"0000000000000000"})
    assert done.made is not None
    assert done.made.row_numbers().tolist() == list(range(2, 10))
    meanwhile = list(without(storage, shards, {"0000000000000003"}))
    [now] = with_rewrites(meanwhile, [done])
    assert now.removed == ("0000000000000003",)
    assert now.removed_rows == 2
    assert with_rewrites(meanwhile[:1], [done]) == meanwhile[:1]  # a source has gone: the rewrite is dropped


@pytest.mark.parametrize(("known", "groups"), [({"a", "b"}, []), ({"a"}, [["s0"]])])
def test_a_shard_with_a_deleted_video_is_rewritten_at_once_and_one_with_a_replaced_one_later(
    known: set[str], groups: list[list[str]]
) -> None:
    shard = ShardInfo("s0", 100, 1000, "", ("a", 0), ("b", 0), 0, ("b",), 5)
    snapshot = Snapshot(1, None, "", "", {}, {}, "", Grid(), SHAPE, (shard,), next_row=100)
    chosen = choose_groups(snapshot, known, shard_bytes=1000, compact_from=8, removed_share=0.2)
    assert [[one.path for one in group] for group in chosen] == groups


def test_small_shards_are_merged_up_to_the_size_aimed_for_once_there_are_enough() -> None:
    shards = tuple(ShardInfo(f"s{at}", 10, 200, "", ("a", 0), ("b", 0), 10 * at) for at in range(9))
    big = ShardInfo("big", 50, 900, "", ("a", 0), ("b", 0), 90)
    snapshot = Snapshot(1, None, "", "", {}, {}, "", Grid(), SHAPE, (*shards, big), next_row=140)
    chosen = choose_groups(snapshot, {"a", "b"}, shard_bytes=1000, compact_from=8, removed_share=0.2)
    assert [len(group) for group in chosen] == [5, 4]
    assert choose_groups(snapshot, {"a", "b"}, shard_bytes=1000, compact_from=10, removed_share=0.2) == []
