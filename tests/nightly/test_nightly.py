"""A night does what has changed, and only that; what is gone from the bucket is gone from everywhere."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nights import OFFLINE, World
from obstore.exceptions import GenericError

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.vectors import frame_vectors
from reelbeam.pipeline.nightly.purge import holds_rows
from reelbeam.pipeline.search.frames import FrameIndex
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.storage import Storage
from reelbeam.transforms.listing import video_id_of


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """Three videos, one of them under two names."""
    folder = tmp_path_factory.mktemp("bucket")
    for name, seconds in (("a.mp4", 4), ("b.mp4", 12), ("c.mp4", 3)):
        shutil.copy(make_video(name, seconds, sound=False), folder / name)
    shutil.copy(folder / "b.mp4", folder / "twin.mp4")
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, bucket: Path) -> Path:
    """OUTPUT after the first night."""
    output = tmp_path_factory.mktemp("first") / "features"
    assert main(["nightly", str(bucket), str(output), *OFFLINE]) == 0
    return output


@pytest.fixture
def world(bucket: Path, first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A bucket and an OUTPUT to change at will. Both lie where they lay when they were made: uris are absolute."""
    kept = tmp_path / "kept"
    shutil.copytree(bucket, kept)
    shutil.copytree(first, tmp_path / "out")
    made = World(bucket, tmp_path / "out")
    yield made
    shutil.rmtree(bucket)
    shutil.copytree(kept, bucket)


def test_a_night_keeps_every_index_up_to_date(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["index", str(world.output), "--of", "fused"]) == 0
    (world.bucket / "c.mp4").unlink()
    assert world.night() == 0
    assert "index fused:" in capsys.readouterr().out
    snapshot = world.data.snapshot
    assert {name: built.rows for name, built in snapshot.indexes.items()} == dict.fromkeys(
        ("frames", "fused"), snapshot.next_row
    )
    assert main(["verify", str(world.output)]) == 0
    assert main(["search", str(world.output), "a dog", "--in", "fused", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))["moments"]
    assert len(found) == snapshot.indexes["fused"].vectors
    assert not any(moment["uri"].endswith("c.mp4") for moment in found)


def test_the_first_night_lists_the_same_bytes_twice_and_extracts_them_once(
    bucket: Path, tmp_path: Path, seen: list[str]
) -> None:
    world = World(bucket, tmp_path / "out")
    assert world.night() == 0
    assert sorted(seen) == ["a.mp4", "b.mp4", "c.mp4"]
    assert world.names() == {"a.mp4", "b.mp4", "c.mp4", "twin.mp4"}
    content = world.content()
    for window in (0, 1):
        assert content[str(bucket / "b.mp4"), window] == content[str(bucket / "twin.mp4"), window]
    assert world.verified()


def test_a_night_without_changes_writes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = world.files()
    assert world.night() == 0
    assert "nothing to do: all 4 videos are as in snapshot" in capsys.readouterr().out
    assert world.files() == before


def test_a_new_mtime_with_the_same_bytes_is_hashed_and_not_extracted(world: World, seen: list[str]) -> None:
    numbers = world.numbers()
    os.utime(world.bucket / "a.mp4", (1, 1))
    assert world.night() == 0
    assert seen == []
    assert world.numbers() == numbers
    assert world.verified()
    before = world.files()
    assert world.night() == 0
    assert world.files() == before


def test_only_the_changed_and_the_new_video_are_extracted(
    world: World, make_video: Callable[..., Path], seen: list[str]
) -> None:
    numbers = world.numbers()
    shutil.copy(make_video("longer.mp4", 21, sound=False), world.bucket / "a.mp4")
    shutil.copy(make_video("new.mp4", 5, sound=False), world.bucket / "new.mp4")
    assert world.night("--removed-share", "1") == 0
    assert sorted(seen) == ["a.mp4", "new.mp4"]
    after = world.numbers()
    for key, number in numbers.items():
        assert key[0].endswith("/a.mp4") or after[key] == number
    assert not set(after.values()) & {number for key, number in numbers.items() if key[0].endswith("/a.mp4")}
    assert world.verified()


@pytest.mark.parametrize("grace_days", ["0", "2"])
def test_a_renamed_video_is_not_extracted_again(world: World, seen: list[str], grace_days: str) -> None:
    before = world.content()
    (world.bucket / "a.mp4").rename(world.bucket / "moved.mp4")
    assert world.night("--grace-days", grace_days) == 0
    assert seen == []
    names = {"moved.mp4", "b.mp4", "c.mp4", "twin.mp4"}
    assert world.names() == (names if grace_days == "0" else {*names, "a.mp4"})
    old, new = (str(world.bucket / name) for name in ("a.mp4", "moved.mp4"))
    assert [row for key, row in world.content().items() if key[0] == new] == [
        row for key, row in before.items() if key[0] == old
    ]
    assert world.verified()
    [report] = [json.loads(file.read_text()) for file in world.new_reports()]
    found = report["found"]
    assert (found["new"], found["renamed"], found["twins"]) == (1, *((1, 0) if grace_days == "0" else (0, 1)))
    files = world.files()
    assert world.night("--grace-days", grace_days) == 0
    assert world.files() == files, "the new name is not missing, as the old one is"


def test_a_removed_video_leaves_readers_books_index_and_after_the_sweep_every_file(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = str(world.bucket / "b.mp4")
    numbers = world.numbers()
    (world.bucket / "b.mp4").unlink()
    assert world.night() == 0
    assert world.names() == {"a.mp4", "c.mp4", "twin.mp4"}
    assert world.numbers() == {key: number for key, number in numbers.items() if key[0] != gone}
    index = FrameIndex(world.data)
    assert index.faiss.ntotal == world.data.snapshot.counts["frames"] == 4 + 12 + 3
    for _, vectors in frame_vectors(world.data):
        for vector in vectors:
            assert gone not in {moment.uri for moment in index.search(vector, 50)}
    assert world.verified()
    assert main(["verify", str(world.output), "--gone", gone]) == 4
    assert world.night("--keep-snapshots", "1", "--sweep-after-h", "0") == 0
    for report in (world.output / "runs").glob("*"):
        report.unlink()
    assert main(["verify", str(world.output), "--gone", gone]) == 0


def test_a_missing_video_stays_through_its_grace_and_comes_back_as_it_was(world: World, tmp_path: Path) -> None:
    numbers = world.numbers()
    shutil.move(world.bucket / "a.mp4", tmp_path / "a.mp4")
    assert world.night("--grace-days", "2") == 0
    assert world.numbers() == numbers
    before = world.files()
    assert world.night("--grace-days", "2") == 0
    assert world.files() == before
    shutil.move(tmp_path / "a.mp4", world.bucket / "a.mp4")
    assert world.night("--grace-days", "2") == 0
    assert world.numbers() == numbers
    assert all(not row["missing_since_ms"] for row in world.data.videos.values())
    (world.bucket / "a.mp4").unlink()
    assert world.night("--grace-days", "0") == 0
    assert "a.mp4" not in world.names()


def test_an_unmounted_bucket_removes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    before = world.files()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (world.bucket / name).unlink()
    assert main(["nightly", str(world.bucket), str(world.output), "--models", "offline"]) == 3
    assert "--max-removed" in capsys.readouterr().err
    (world.bucket / "twin.mp4").unlink()
    assert world.night() == 2
    assert world.files() == before


@pytest.mark.parametrize("way", ["a file in its place", "no space"])
def test_an_output_that_cannot_be_written_is_told_before_any_work_and_in_one_line(
    way: str,
    world: World,
    seen: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "elsewhere"
    if way == "no space":

        def full(*_: object, **__: object) -> None:
            raise GenericError(
                "Unable to copy data to file: No space left on device (os error 28)\n\nDebug source:\n..."
            )

        monkeypatch.setattr("reelbeam.schemas.storage.obstore.put", full)
    else:
        output.write_text("not a folder")
    assert World(world.bucket, output).night() == (1 if way == "no space" else 2)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"reelbeam nightly: {output}")
    assert ("Cure: free some room" if way == "no space" else "OUTPUT is a file") in last
    assert seen == []


def test_when_every_frame_is_gone_so_is_the_index(world: World) -> None:
    for file in world.bucket.iterdir():
        file.unlink()
    (world.bucket / "words.mp4").write_text("no video")
    assert world.night() == 0
    assert world.data.snapshot.indexes == {}
    assert world.data.snapshot.shards == ()
    assert world.verified()


def test_compaction_keeps_every_row_its_number_and_its_content(world: World, make_video: Callable[..., Path]) -> None:
    for at in range(2):
        shutil.copy(make_video(f"n{at}.mp4", 11 + at, sound=False), world.bucket / f"n{at}.mp4")
        assert world.night("--compact-from", "1000") == 0
    (world.bucket / "n1.mp4").unlink()
    assert world.night("--compact-from", "1000", "--removed-share", "1") == 0
    content, numbers = world.content(), world.numbers()
    shards = len(world.data.snapshot.shards)
    assert main(["compact", str(world.output), "--compact-from", "2"]) == 0
    assert len(world.data.snapshot.shards) == 1 < shards
    assert world.content() == content
    assert world.numbers() == numbers
    taken = world.data.take(list(numbers.values()), ["uri", "window"])
    assert {(row["uri"], row["window"]): number for number, row in taken.items()} == numbers
    assert world.verified()
    index = FrameIndex(world.data)
    for ids, values in frame_vectors(world.data):
        _, found = index.faiss.search(values, 1)
        assert np.isin(found[:, 0], ids).all()
    before = world.files()
    assert main(["compact", str(world.output), "--compact-from", "2"]) == 0
    assert world.files() == before


def test_a_purged_video_is_nowhere(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    gone, numbers = str(world.bucket / "b.mp4"), world.numbers()
    video_id = video_id_of(gone)
    assert main(["snapshots", str(world.output), "--pin", "1"]) == 0
    assert main(["verify", str(world.output), "--gone", gone]) == 4
    assert main(["purge", str(world.output), gone, "--sweep-after-h", "0"]) == 0
    assert main(["verify", str(world.output), "--gone", gone]) == 0
    assert world.numbers() == {key: number for key, number in numbers.items() if key[0] != gone}
    for file in world.files():
        assert gone.encode() not in file.read_bytes()
        assert video_id.encode() not in file.read_bytes()
    assert world.verified()
    assert main(["purge", str(world.output), gone]) == 2


def test_a_young_file_that_a_running_job_may_commit_stops_a_purge(world: World) -> None:
    gone = str(world.bucket / "b.mp4")
    orphan = world.output / "windows" / "20990101T000000-abcdef" / "windows-00000-of-00001.parquet"
    orphan.parent.mkdir()
    shard = next(
        shard for shard in world.data.snapshot.shards if holds_rows(world.data.storage, shard, video_id_of(gone))
    )
    shutil.copy(world.output / shard.path, orphan)
    assert main(["purge", str(world.output), gone]) == 3
    assert orphan.exists()
    assert main(["purge", str(world.output), gone, "--sweep-after-h", "0"]) == 0
    assert main(["verify", str(world.output), "--gone", gone]) == 0


def test_a_piece_that_a_dead_writer_left_is_swept_and_no_purge_overlooks_it(world: World) -> None:
    gone = str(world.bucket / "b.mp4")
    piece = world.output / "windows" / "windows-00000-of-00001.parquet#1"
    piece.write_bytes(b"half of a shard")
    assert world.data.storage.unfinished()[0].path == "windows/windows-00000-of-00001.parquet#1"
    assert main(["purge", str(world.output), gone]) == 3
    assert main(["verify", str(world.output), "--gone", gone]) == 4
    assert main(["compact", str(world.output), "--sweep-after-h", "0"]) == 0
    assert not piece.exists()
    assert main(["verify", str(world.output), "--gone", gone]) == 0


def test_a_machine_whose_clock_is_days_ahead_sweeps_nothing_that_a_running_job_may_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = world.output / "videos" / "half.parquet#1"
    orphan = world.output / "windows" / "20990101T000000-abcdef" / "windows-00000-of-00001.parquet"
    orphan.parent.mkdir()
    for file in (piece, orphan):
        file.write_bytes(b"another machine's work")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3 * 86_400)
    assert main(["compact", str(world.output)]) == 0
    assert piece.exists()
    assert orphan.exists()
    for file in (piece, orphan):
        os.utime(file, (real() - 2 * 86_400,) * 2)
    assert main(["compact", str(world.output)]) == 0
    assert not piece.exists()
    assert not orphan.exists()


def test_a_restored_snapshot_holds_the_old_rows_under_their_old_numbers(
    world: World, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    old, numbers, content = world.data.snapshot.number, world.numbers(), world.content()
    shutil.copy(make_video("longer.mp4", 21, sound=False), world.bucket / "a.mp4")
    (world.bucket / "c.mp4").unlink()
    assert world.night() == 0
    given = world.data.snapshot.next_row
    capsys.readouterr()
    assert main(["diff", str(world.output), str(old), str(world.data.snapshot.number), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Path(uri).name for uri in found["removed"]] == ["c.mp4"]
    assert [Path(uri).name for uri in found["changed"]] == ["a.mp4"]
    assert found["added"] == []
    assert main(["restore", str(world.output), str(old)]) == 0
    assert world.numbers() == numbers
    assert world.content() == content
    assert world.data.snapshot.next_row == given
    assert world.verified()
    assert world.night() == 0
    assert "c.mp4" not in world.names()
    assert min(number for key, number in world.numbers().items() if key[0].endswith("a.mp4")) >= given
    assert world.verified()


def test_retention_keeps_the_newest_and_the_pinned(world: World, make_video: Callable[..., Path]) -> None:
    storage = Storage.at(world.output)
    first = snapshots.numbers(storage)
    assert main(["snapshots", str(world.output), "--pin", str(first[0])]) == 0
    shutil.copy(make_video("new.mp4", 5, sound=False), world.bucket / "new.mp4")
    assert world.night("--keep-snapshots", "2", "--sweep-after-h", "0") == 0
    now = snapshots.numbers(storage)
    assert now[0] == first[0]
    assert len(now) <= 3 + 1
    assert main(["restore", str(world.output), str(first[0])]) == 0
    assert world.verified()
    assert main(["restore", str(world.output), str(first[1])]) == 2
