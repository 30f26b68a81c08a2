"""One bad name, folder or row costs itself; a list's rows are looked up many at a time, or not at all."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from nights import World
from odd_media import plain

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.schemas.errors import ObjectRefused, StorageError, UsageError
from reelbeam.schemas.storage import PAGE, Storage, Stored
from reelbeam.transforms import walk_folder
from reelbeam.transforms.listed_objects import LEAST
from reelbeam.transforms.listing import list_videos


def lock(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Makes a folder unreadable, for root too."""
    real = os.scandir

    def refused(path: str) -> Any:
        if str(path) == str(folder):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(walk_folder.os, "scandir", refused)


def test_a_folder_that_may_not_be_read_is_one_failure_and_the_rest_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "locked/b.mp4", "open/c.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    lock(monkeypatch, tmp_path / "locked")
    found = {Path(video.uri).name: video.failure and video.failure.kind for video in list_videos(str(tmp_path))}
    assert found == {"a.mp4": None, "c.mp4": None, "locked": "unreadable"}
    assert [Path(video.uri).name for video in list_videos(f"{tmp_path}/*.mp4")] == ["a.mp4"]


def test_a_file_that_vanishes_while_listing_is_one_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text(name)
    real = os.stat

    def gone(path: Any, *args: Any, **kwargs: Any) -> os.stat_result:
        if str(path).endswith("a.mp4"):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(walk_folder.os, "stat", gone)
    first, second = list_videos(str(tmp_path))
    assert first.failure is not None
    assert (first.failure.stage, first.failure.kind, first.failure.retryable) == ("list", "vanished", True)
    assert second.failure is None


def test_a_night_keeps_the_rows_of_a_folder_that_it_may_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain(tmp_path / "in")
    plain(tmp_path / "in" / "locked", "other.mp4")
    world = World(tmp_path / "in", tmp_path / "out")
    assert world.night() == 0
    with monkeypatch.context() as patch:
        lock(patch, tmp_path / "in" / "locked")
        assert world.night() == 0
        status = {Path(row["uri"]).name: row["status"] for row in world.data.videos.values()}
        assert status == {"plain.mp4": "ok", "other.mp4": "ok", "locked": "failed"}
    assert world.night() == 0
    assert world.names() == {"plain.mp4", "other.mp4"}
    assert world.verified()


def test_a_dry_run_says_which_names_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain(tmp_path / "in")
    (tmp_path / "in" / "gone.mp4").symlink_to("nowhere")
    for command in ("extract", "nightly"):
        assert main([command, str(tmp_path / "in"), str(tmp_path / "out"), "--models", "offline", "--dry-run"]) == 0
        assert "list dangling_link" in capsys.readouterr().out


class Bucket:
    """Stands for a remote store: counts requests and how many are in flight."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lists: Sequence[str] | None = None) -> None:
        """`lists`: the paths that its listing shows; None: it may not be listed."""
        self.pages = 0
        self.roots: list[str] = []
        self.asked: list[str] = []
        self.now = self.most = 0
        self.lock = threading.Lock()
        bucket = self

        def head(storage: Storage, path: str) -> Stored:
            with bucket.lock:
                bucket.now += 1
                bucket.most = max(bucket.most, bucket.now)
                bucket.asked.append(path)
                bucket.roots.append(storage.root)
            time.sleep(0.005)
            with bucket.lock:
                bucket.now -= 1
            if "refused" in path:
                raise ObjectRefused(f"{path}: no permission")
            if "broken" in path:
                raise StorageError(f"{path}: no connection")
            return Stored(path, 7, "etag", 0)

        def page(storage: Storage, after: str) -> list[Stored]:
            with bucket.lock:
                bucket.pages += 1
            if lists is None:
                raise ObjectRefused("no permission to list")
            assert lists == sorted(lists)
            return [Stored(path, 7, "etag", 0) for path in lists if path > after][:PAGE]

        monkeypatch.setattr(Storage, "head", head)
        monkeypatch.setattr(Storage, "page", page)


def test_rows_are_looked_up_many_at_a_time_by_the_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket(monkeypatch)
    uris = [f"s3://b/{at % 10}/{at:03}.mp4" for at in range(300)]
    (tmp_path / "list.txt").write_text("\n".join(uris))
    started = time.monotonic()
    videos = list_videos(str(tmp_path / "list.txt"))
    assert [video.uri for video in videos] == sorted(uris)
    assert {(video.size_bytes, video.etag) for video in videos} == {(7, "etag")}
    assert set(bucket.roots) == {"s3://b"}
    assert bucket.most > 8
    assert time.monotonic() - started < 300 * 0.005


def test_what_lies_side_by_side_is_looked_up_a_page_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = [f"a/{at:05}.mp4" for at in range(5000)] + [f"b/{at:07}.mp4" for at in range(0, 50_000, 10)]
    bucket = Bucket(monkeypatch, stored)
    asked = [*stored[:3000], *stored[5000:8000], "a/99999.mp4", "z/alone.mp4"]
    random.Random(5).shuffle(asked)
    (tmp_path / "list.txt").write_text("\n".join(f"s3://b/{path}" for path in asked))
    videos = list_videos(str(tmp_path / "list.txt"))
    assert [video.uri for video in videos] == [f"s3://b/{path}" for path in sorted(asked)]
    assert {(video.size_bytes, video.etag) for video in videos} == {(7, "etag")}
    assert {"a/99999.mp4", "z/alone.mp4"} <= {*bucket.asked}  # the listing does not show them: the store is asked
    assert len(bucket.asked) <= 2 + 7 * LEAST  # and for the last few of each thousand
    assert bucket.pages <= 10


def test_what_lies_far_apart_is_looked_up_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = [f"a/{at:06}.mp4" for at in range(100_000)]
    bucket = Bucket(monkeypatch, stored)
    (tmp_path / "list.txt").write_text("\n".join(f"s3://b/{path}" for path in stored[::500]))
    assert len(list_videos(str(tmp_path / "list.txt"))) == 200
    assert bucket.pages == 1
    assert len(bucket.asked) >= 198


def test_a_list_with_size_and_version_sends_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket(monkeypatch)
    table = {"uri": ["s3://b/a.mp4", "s3://b/b.mp4"], "size_bytes": [5, 6], "etag": ["x", None], "mtime": [1, 2]}
    pq.write_table(pa.table(table), tmp_path / "list.parquet")
    videos = list_videos(str(tmp_path / "list.parquet"))
    assert [(video.size_bytes, video.etag) for video in videos] == [(5, "x"), (6, "2-6")]
    assert bucket.asked == []


def test_a_row_that_a_store_refuses_costs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Bucket(monkeypatch)
    (tmp_path / "list.txt").write_text("s3://b/refused.mp4\ns3://b/good.mp4\ns3://b/broken.mp4\n")
    found = {
        Path(video.uri).name: video.failure and video.failure.kind for video in list_videos(str(tmp_path / "list.txt"))
    }
    assert found == {"refused.mp4": "unreadable", "good.mp4": None, "broken.mp4": "unreadable"}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A plain web server over tmp_path/web."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path / "web"))

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_web_address_is_a_video_and_a_list_in_the_web_names_some(web: str, tmp_path: Path) -> None:
    plain(tmp_path / "web", "a.mp4")
    plain(tmp_path / "web", "b.mp4", 3)
    (tmp_path / "web" / "list.txt").write_text(f"a.mp4\n{web}/b.mp4?token=1/2\n")
    for location, count in ((f"{web}/a.mp4?x=1", 1), (f"{web}/list.txt", 2)):
        output = tmp_path / f"out{count}"
        assert main(["extract", location, str(output), "--models", "offline"]) == 0
        assert Dataset.open(str(output)).snapshot.counts["ok"] == count


@pytest.mark.parametrize("path", ["none.mp4", "folder/"])
def test_a_web_address_without_a_file_is_told_in_one_clear_line(path: str, web: str, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir(exist_ok=True)
    with pytest.raises(UsageError) as told:
        list_videos(f"{web}/{path}")
    assert "PROPFIND" not in str(told.value)
    assert "\n" not in str(told.value)


def test_an_empty_query_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", str(tmp_path), " "]) == 2
    assert "empty query" in capsys.readouterr().err


def test_every_call_of_apt_waits_for_its_lock() -> None:
    root = Path(__file__).resolve().parents[2]
    scripts = [*(root / "deploy").glob("*.sh"), *(root / ".ci").iterdir(), root / "Dockerfile", root / "Makefile"]
    calls = [line for file in scripts for line in file.read_text().splitlines() if "apt-get" in line.split("#")[0]]
    run = [line for line in calls if "echo" not in line and "command -v" not in line]
    assert run
    assert [line for line in run if "DPkg::Lock::Timeout" not in line] == []
