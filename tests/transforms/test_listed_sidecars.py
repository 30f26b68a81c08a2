"""Subtitle files beside the videos of a list, or beside one remote file: found by the same rule as in a folder, in few requests."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from object_store import FaultyProxy, s3_server, use_s3

from reelbeam.pipeline.extraction.changes import Policy, compare_listing
from reelbeam.pipeline.extraction.known_rows import KnownRows, as_compared
from reelbeam.schemas.elements import Video
from reelbeam.schemas.errors import StorageError
from reelbeam.schemas.storage import PAGE, Storage, Stored
from reelbeam.schemas.tables import videos_schema
from reelbeam.transforms.listed_sidecars import pages_from, with_found_sidecars
from reelbeam.transforms.listing import list_videos
from reelbeam.transforms.video_list import VideoList


def names(videos: list[Video]) -> dict[str, list[tuple[str, str]]]:
    return {Path(one.uri).name: [(side.name, side.language) for side in one.sidecars] for one in videos}


def write_list(path: Path, uris: list[str]) -> str:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"uri": uris}), path)
    else:
        path.write_text("\n".join([*(["uri"] if path.suffix == ".csv" else []), *uris]) + "\n")
    return str(path)


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".parquet"])
def test_a_list_of_local_files_has_the_files_beside_them(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "b").mkdir()
    for name in ("talk.mp4", "talk.srt", "talk.en.vtt", "other.srt", "b/quiet.mp4", "b/loud.mkv", "b/loud.de.ass"):
        (tmp_path / name).write_text("x")
    listed = write_list(tmp_path / f"list{suffix}", ["talk.mp4", "b/quiet.mp4", "b/loud.mkv", "gone/nothing.mp4"])
    found = list_videos(listed, look_beside=True)
    assert names(found) == {
        "talk.mp4": [("talk.en.vtt", "en"), ("talk.srt", "")],
        "quiet.mp4": [],
        "loud.mkv": [("loud.de.ass", "de")],
        "nothing.mp4": [],
    }
    in_folder = {one.uri: one.sidecars for one in list_videos(str(tmp_path))}
    assert all(one.sidecars == in_folder.get(one.uri, ()) for one in found), "not as a folder gives them"
    assert not any(one.sidecars for one in list_videos(listed)), "nobody wants them, and they were looked up"


class Sorted:
    """A store that holds these paths and counts its pages."""

    def __init__(self, paths: list[str]):
        self.paths, self.pages = sorted(paths), 0

    def page(self, after: str) -> list[Stored]:
        self.pages += 1
        at = bisect_right(self.paths, after)
        return [Stored(path, 1, "e", 0) for path in self.paths[at : at + PAGE]]


@pytest.mark.parametrize("wanted", [["a7"], ["a", "a-5", "a.b", "z"], [f"a{at}" for at in range(0, 50_000, 7)]])
def test_a_listing_goes_on_from_name_to_name(wanted: list[str]) -> None:
    paths = [f"a{at}.mp4" for at in range(50_000)] + [f"a-{at}.mp4" for at in range(5000)]
    paths += [f"b/{at}.srt" for at in range(20_000)] + ["a.mp4", "z.mp4"]
    store = Sorted([*paths, *(f"{name}.en.srt" for name in wanted)])
    found = {one.path for one in pages_from(store, sorted(f"{name}." for name in wanted))}  # type: ignore[arg-type]
    assert {f"{name}.en.srt" for name in wanted} <= found
    assert store.pages <= min(len(wanted) + 1, len(store.paths) // PAGE + 2)


def test_a_folder_that_cannot_be_listed_leaves_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(self: Storage, after: str) -> list[Stored]:
        raise StorageError(f"{self.root}: no permission to list")

    monkeypatch.setattr(Storage, "page", refused)
    [found] = with_found_sidecars([Video("v", "s3://bucket/in/talk.mp4", 1, "e")])
    assert (found.sidecars, found.sidecars_known) == ((), False)
    assert "s3://bucket/in: subtitle files beside videos could not be looked up" in caplog.text
    row = {"video_id": "v", "etag": "e", "size_bytes": 1, "content_sha256": "h", "status": "ok", "attempts": 1}
    row |= {
        "run": "20260101T000000-a",
        "missing_since_ms": 0,
        "sidecars": '[["talk.srt", 5, "x"]]',
        "title": "",
        "description": "",
    }
    known = KnownRows(as_compared(pa.Table.from_pylist([row], videos_schema(4))))
    assert compare_listing(VideoList.of([found]), known, (), Policy(), 0, "subtitles").unchanged == 1


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3"), ("videos",)) as url:
        yield url


@pytest.mark.slow
def test_a_bucket_is_asked_a_page_a_folder_and_no_request_a_name(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(monkeypatch, endpoint)
    bucket = Storage.at("s3://videos")
    for number in range(40):
        bucket.put(f"in/v{number:02d}.mp4", b"x")
        bucket.put(f"in/v{number:02d}.en.srt", b"1")
    bucket.put("other/w.mp4", b"x")
    bucket.put("other/w.srt", b"1")
    rows = [f"s3://videos/in/v{number:02d}.mp4,1,e{number}" for number in range(40)] + ["s3://videos/other/w.mp4,1,e"]
    (tmp_path / "list.csv").write_text("uri,size,etag\n" + "\n".join(rows) + "\n")
    with FaultyProxy(endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT", proxy.endpoint)
        found = list_videos(str(tmp_path / "list.csv"), look_beside=True)
        assert proxy.counts["requests"] <= 4, "two folders"
        assert all(len(one.sidecars) == 1 and one.sidecars[0].etag for one in found)
        proxy.counts.clear()
        [alone] = list_videos("s3://videos/in/v07.mp4", look_beside=True)
        assert names([alone]) == {"v07.mp4": [("v07.en.srt", "en")]}
        assert proxy.counts["requests"] <= 3
        assert {one.uri: one.sidecars for one in found}[alone.uri] == alone.sidecars
