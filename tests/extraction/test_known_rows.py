"""Planning over Arrow columns finds what a dict a row finds, and reads only what it compares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbeam.pipeline.dataset import Dataset, DatasetSettings
from reelbeam.pipeline.extraction import known_rows
from reelbeam.pipeline.extraction.changes import (
    DAY_MS,
    Changes,
    Policy,
    as_known,
    compare_listing,
    due,
    is_out_of_reach,
    is_retitled,
    run_time_ms,
)
from reelbeam.pipeline.extraction.known_rows import KnownRows, as_compared
from reelbeam.schemas.elements import Grid, Sidecar, Video
from reelbeam.schemas.errors import Failure
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import RowShape, videos_schema
from reelbeam.transforms.shard_files import put_table
from reelbeam.transforms.sidecars import sidecars_as_listed
from reelbeam.transforms.video_list import VideoList

NOW_MS = 100 * DAY_MS
SCHEMA = videos_schema(2)
BESIDE = Sidecar("/videos/a.srt", 3, "s")
AWAY = Failure("list", "unreadable", "no permission", retryable=True)


def stored(video_id: str, **others: Any) -> dict[str, Any]:
    """A whole row of the videos table."""
    numbers = {field.name: 0 for field in SCHEMA if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)}
    texts = {field.name: "" for field in SCHEMA if field.type == pa.string()}
    embedded = {"title_embedding": bytes(4), "description_embedding": bytes(4)}
    facts = {"video_id": video_id, "status": "ok", "run": "19700401T000000-a", "sidecars": None}
    return {**numbers, **texts, **embedded, **facts, **others}


def by_dicts(listed: list[Video], rows: list[dict[str, Any]], retryable: set[str], policy: Policy, use: str) -> Changes:
    """The oracle: a dict a row, as planning was done before."""
    known, found = {row["video_id"]: row for row in rows}, Changes()
    for video in sorted(listed, key=lambda one: one.uri):
        row = known.pop(video.video_id, None)
        if row is None:
            found.new.append(video)
            continue
        beside_changed = use and row["sidecars"] != sidecars_as_listed(video)
        unread = any(row[text] and row[f"{text}_embedding"] is None for text in ("title", "description"))
        if is_out_of_reach(video, row["status"]):
            found.unchanged += 1
        elif beside_changed and use == "speech":
            found.changed.append(as_known(video, row))
        elif row["etag"] != video.etag or row["size_bytes"] != video.size_bytes:
            same_size = row["size_bytes"] == video.size_bytes and row["content_sha256"]
            (found.suspects if same_size else found.changed).append(as_known(video, row))
        elif row["status"] in ("failed", "partial") and due(
            video.video_id in retryable, row["attempts"], run_time_ms(row["run"]), policy, NOW_MS
        ):
            found.retried.append(replace(as_known(video, row), attempts=row["attempts"]))
        elif beside_changed:
            found.recaptioned.append(video)
        elif row["missing_since_ms"]:
            found.back.append(video.video_id)
        elif unread or is_retitled(video, row):
            found.retitled.append(video)
        else:
            found.unchanged += 1
    for video_id, row in known.items():
        gone_ms = NOW_MS - (row["missing_since_ms"] or NOW_MS)
        kind = (
            found.removed if gone_ms >= policy.grace_ms else found.waiting if row["missing_since_ms"] else found.missing
        )
        kind.append(video_id)
    return found


names = st.sampled_from("abcdefghijklmnop")
texts = st.sampled_from(["", "t", "é"])
listings = st.lists(
    st.builds(
        lambda name, etag, size, title, failure, sidecars: Video(
            name, f"/videos/{name}", size, etag, title, failure=failure, sidecars=sidecars
        ),
        names, st.sampled_from("ef"), st.integers(1, 2), st.none() | texts, st.sampled_from([None, None, None, AWAY]),
        st.sampled_from([(), (), (BESIDE,)]),
    ),
    unique_by=lambda video: video.video_id,
)  # fmt: skip
tables = st.lists(
    st.builds(
        lambda name, **others: stored(name, **others),
        names, etag=st.sampled_from("ef"), size_bytes=st.integers(1, 2), content_sha256=st.sampled_from(["", "h"]),
        status=st.sampled_from(["ok", "ok", "ok", "failed", "partial"]), attempts=st.integers(1, 3), title=texts,
        missing_since_ms=st.sampled_from([0, 0, NOW_MS - DAY_MS, 5]),
        title_embedding=st.sampled_from([bytes(4), None]),
        sidecars=st.sampled_from([None, None, sidecars_as_listed(Video("a", "a", 1, "e", sidecars=(BESIDE,)))]),
    ),
    unique_by=lambda row: row["video_id"],
)  # fmt: skip


@given(listings, tables, st.sets(names), st.sampled_from([0, 2 * DAY_MS]), st.sampled_from(["", "subtitles", "speech"]))
def test_columns_find_what_a_dict_a_row_finds(
    listed: list[Video], rows: list[dict[str, Any]], retryable: set[str], grace_ms: int, use: Any
) -> None:
    policy = Policy(grace_ms=grace_ms)
    known = KnownRows(as_compared(pa.Table.from_pylist(rows, SCHEMA)))
    found = compare_listing(VideoList.of(listed), known, retryable, policy, NOW_MS, use)
    assert found == by_dicts(listed, rows, retryable, policy, use)


def test_slices_of_a_long_listing_are_joined_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_rows, "SLICE", 3)
    listed = [Video(f"{at:02}", f"/videos/{at:02}", 1, "e") for at in range(20)]
    rows = [stored(f"{at:02}", size_bytes=1 + (at in (4, 11)), etag="e") for at in (11, 15, *range(10), 30)]
    found = compare_listing(
        VideoList.of(listed), KnownRows(as_compared(pa.Table.from_pylist(rows, SCHEMA))), (), Policy(), NOW_MS
    )
    assert [one.video_id for one in found.new] == ["10", "12", "13", "14", "16", "17", "18", "19"]
    assert [one.video_id for one in found.changed] == ["04", "11"]
    assert (found.removed, found.unchanged) == (["30"], 10)


def test_of_several_files_the_newest_row_counts_and_removed_videos_do_not(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    old = [stored(f"{at:016x}", etag="old") for at in range(5)] + [stored("by-hand-and-longer-than-16", etag="old")]
    new = [stored(f"{1:016x}", etag="new"), stored(f"{2:016x}", status="removed"), stored(f"{7:016x}", etag="new")]
    again = [stored(f"{3:016x}", etag="first"), stored(f"{3:016x}", etag="last")]
    infos = [
        put_table(storage, f"videos/{at}.parquet", pa.Table.from_pylist(rows, SCHEMA))
        for at, rows in enumerate((old, [], new, again))
    ]
    settings = DatasetSettings({}, {}, Grid(), RowShape(10, 4, 5, 2))
    dataset = Dataset(storage, replace(settings.first_snapshot(), videos=tuple(infos)))
    known = KnownRows.of_dataset(dataset)
    assert {video_id: row["etag"] for video_id, row in known.items()} == {
        video_id: row["etag"] for video_id, row in dataset.videos.items()
    }
    assert known[f"{3:016x}"]["etag"] == "last"
    assert known.get("by-hand-and-longer-than-16", {})["etag"] == "old"
    assert known.get(f"{2:016x}") is None
    wanted = [f"{1:016x}", f"{2:016x}", "nobody", f"{3:016x}"]
    fresh = Dataset(storage, dataset.snapshot)
    assert fresh.video_rows(wanted) == {one: dataset.videos[one] for one in wanted if one in dataset.videos}
    assert "newest" not in vars(fresh)
