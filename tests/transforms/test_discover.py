"""Every way to name videos lists the same videos."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import made_unit

from reelbeam.schemas.elements import Grid
from reelbeam.schemas.errors import UsageError
from reelbeam.transforms.discover import group_units, plan_units
from reelbeam.transforms.listing import list_videos


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    for name in ("a.mp4", "b.MKV", "deep/c.webm", "deep/odd.bin", "notes.txt", ".hidden.mp4", "_tmp/d.mp4"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    return tmp_path / "in"


def names(location: str, bucket: Path) -> list[str]:
    return [str(Path(video.uri).relative_to(bucket)) for video in list_videos(location)]


def test_a_folder_gives_its_media_files_sorted(bucket: Path) -> None:
    assert names(str(bucket), bucket) == ["a.mp4", "b.MKV", "deep/c.webm"]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.mp4", ["a.mp4"]),
        ("**/*.webm", ["deep/c.webm"]),
        ("deep/*", ["deep/c.webm", "deep/odd.bin"]),
        ("?.mp4", ["a.mp4"]),
        ("[ab].*", ["a.mp4", "b.MKV"]),
    ],
)
def test_a_glob_takes_what_it_names(glob: str, expected: list[str], bucket: Path) -> None:
    assert names(f"{bucket}/{glob}", bucket) == expected


def test_one_file_is_a_bucket_of_one(bucket: Path) -> None:
    assert names(str(bucket / "a.mp4"), bucket) == ["a.mp4"]


def test_lists_name_videos_relative_to_themselves_with_titles(bucket: Path) -> None:
    (bucket / "list.txt").write_text("# ours\na.mp4\n\ndeep/odd.bin\n")
    assert names(str(bucket / "list.txt"), bucket) == ["a.mp4", "deep/odd.bin"]
    (bucket / "list.csv").write_text("uri,title,description\na.mp4,The letter,All about a\n")
    [video] = list_videos(str(bucket / "list.csv"))
    assert (video.title, video.description) == ("The letter", "All about a")
    pq.write_table(pa.table({"url": [str(bucket / "b.MKV")]}), bucket / "list.parquet")
    assert names(str(bucket / "list.parquet"), bucket) == ["b.MKV"]


def test_a_listed_file_that_is_not_there_is_still_listed(bucket: Path) -> None:
    (bucket / "list.txt").write_text("gone.mp4\n")
    assert names(str(bucket / "list.txt"), bucket) == ["gone.mp4"]


def test_a_list_without_a_column_of_uris_says_what_it_has(bucket: Path) -> None:
    (bucket / "list.csv").write_text("name\na.mp4\n")
    with pytest.raises(UsageError, match="found name"):
        list_videos(str(bucket / "list.csv"))


def test_a_place_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    for location in (str(tmp_path / "none"), str(tmp_path / "none/*.mp4")):
        with pytest.raises(UsageError, match="no such"):
            list_videos(location)


def test_a_changed_file_has_another_etag_and_the_same_id(bucket: Path) -> None:
    [before] = list_videos(str(bucket / "a.mp4"))
    (bucket / "a.mp4").write_text("longer than before")
    [after] = list_videos(str(bucket / "a.mp4"))
    assert before.video_id == after.video_id
    assert before.etag != after.etag


def test_groups_fill_up_in_order_and_lose_nothing() -> None:
    unit = made_unit(60)
    units = plan_units(unit.video, unit.probe, Grid(), 7)
    groups = group_units(units, 150_000)
    assert [features.unit for group in groups for features in group] == units
    assert all(sum(f.unit.end_ms - f.unit.start_ms for f in group) >= 150_000 for group in groups[:-1])
