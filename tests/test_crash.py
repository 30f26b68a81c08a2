"""Whatever dies, whenever: the next run ends where an undisturbed one would have ended, and nothing is there twice."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY
from nights import OFFLINE, World

from reelbeam.pipeline import extract
from reelbeam.pipeline.extract import choose
from reelbeam.pipeline.job import prepare
from reelbeam.pipeline.options import ExtractOptions
from reelbeam.schemas.storage import Storage
from reelbeam.transforms.discover import list_videos

SAMPLES = REPOSITORY / "examples" / "sample_bucket"
WRITES = ("put", "put_file", "put_if_absent", "delete")
BUSY = ("--wave-videos", "2", "--compact-from", "2", "--keep-snapshots", "2", "--sweep-after-h", "0")
"""Every step of a night is due."""


class Killed(BaseException):
    """The process is gone: nothing may catch this and go on."""


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("bucket")
    for name, seconds in (("a.mp4", 4), ("b.mp4", 12), ("c.mp4", 3)):
        shutil.copy(make_video(name, seconds, sound=False), folder / name)
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, bucket: Path) -> Path:
    """OUTPUT after the first night; after it the bucket changes in every way that needs no model."""
    output = tmp_path_factory.mktemp("first") / "features"
    assert World(bucket, output).night("--wave-videos", "1") == 0
    shutil.copy(bucket / "b.mp4", bucket / "twin.mp4")
    (bucket / "c.mp4").unlink()
    os.utime(bucket / "a.mp4", (1, 1))
    return output


@contextlib.contextmanager
def dying(at: int, after: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The process dies just before or just after its `at`-th write to storage."""
    done: list[str] = []
    with monkeypatch.context() as patch:
        for name in WRITES:
            real = getattr(Storage, name)

            def write(self: Storage, path: str, *args: object, real=real, name=name):  # type: ignore[no-untyped-def]
                if len(done) == at and not after:
                    raise Killed
                found = real(self, path, *args)
                done.append(f"{name} {path}")
                if len(done) > at and after:
                    raise Killed
                return found

            patch.setattr(Storage, name, write)
        yield done


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_night_that_dies_at_any_write_is_made_whole_by_the_next(
    bucket: Path, first: Path, after: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = World(bucket, tmp_path / "calm")
    shutil.copytree(first, calm.output)
    assert calm.night(*BUSY) == 0
    wanted, deaths, at = calm.content(), 0, 0
    assert {Path(uri).name for uri, _ in wanted} == {"a.mp4", "b.mp4", "twin.mp4"}
    while True:
        world = World(bucket, tmp_path / f"out{at}")
        shutil.copytree(first, world.output)
        with dying(at, after, monkeypatch) as done:
            try:
                assert world.night(*BUSY) == 0
                break
            except BaseException as error:  # Beam raises what its workers raise as an exception of its own making
                if "Killed" not in f"{type(error)} {error}":
                    raise
                deaths += 1
        assert len(done) >= at + after
        assert world.verified()
        assert world.night(*BUSY) == 0
        assert world.content() == wanted
        assert world.verified()
        assert world.data.snapshot.counts == calm.data.snapshot.counts
        at += 1 if at < 14 else 5  # the first writes are all different, the last ones are the sweep's deletions
    assert deaths > 10


def test_of_two_runs_planned_from_one_snapshot_each_video_is_kept_once(bucket: Path, tmp_path: Path) -> None:
    job = prepare(str(tmp_path / "out"), ExtractOptions(models="offline", wave_videos=2))
    videos = list_videos(str(bucket))
    plans = [extract.Plan(len(videos), choose(videos, {}, False), None) for _ in range(2)]
    for planned in plans:
        extract.run(planned, job)
    world = World(bucket, tmp_path / "out")
    assert world.names() == {file.name for file in bucket.iterdir()}
    assert world.data.snapshot.counts["windows"] == len(world.content())
    assert len(world.data.snapshot.shards) == 2
    assert world.verified()


def test_a_run_that_was_overtaken_for_some_videos_keeps_its_work_on_the_others(bucket: Path, tmp_path: Path) -> None:
    job = prepare(str(tmp_path / "out"), ExtractOptions(models="offline"))
    videos = list_videos(str(bucket))
    extract.run(extract.Plan(1, videos[:1], None), job)
    given = World(bucket, tmp_path / "out").numbers()
    extract.run(extract.Plan(len(videos), videos, None), job)
    world = World(bucket, tmp_path / "out")
    assert given.items() <= world.numbers().items()
    assert world.names() == {file.name for file in bucket.iterdir()}
    assert world.verified()


def start(world: World, *flags: str) -> subprocess.Popen[bytes]:
    """A night in a process tree of its own."""
    command = [sys.executable, "-m", "reelbeam.pipeline.cli", "nightly", str(world.bucket), str(world.output)]
    with open(f"{world.output}.log", "ab") as log:
        return subprocess.Popen([*command, *OFFLINE, *flags], stdout=log, stderr=log, start_new_session=True)


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """A bucket with speech, silence, a damaged file and the same bytes under two names."""
    folder = tmp_path_factory.mktemp("talking")
    for name in ("picnic.mkv", "not_a_video.mp4"):
        shutil.copy(SAMPLES / name, folder / name)
    for name, seconds in (("a.mp4", 4), ("b.mp4", 12), ("c.mp4", 3)):
        shutil.copy(make_video(name, seconds), folder / name)
    shutil.copy(folder / "b.mp4", folder / "twin.mp4")
    return folder


@pytest.mark.long
def test_a_night_killed_at_25_random_moments_is_made_whole_by_the_next(talking: Path, tmp_path: Path) -> None:
    calm = World(talking, tmp_path / "calm")
    started = time.monotonic()
    assert start(calm, *BUSY).wait(300) == 0
    whole_s = time.monotonic() - started
    wanted, chance = calm.content(), random.Random(5)
    assert any(said for said, *_ in wanted.values())
    for kill in range(int(os.environ.get("REELBEAM_KILLS", "25"))):
        world = World(talking, tmp_path / f"out{kill}")
        moment_s = whole_s * chance.uniform(0.2, 1.0)  # the first fifth only imports
        process = start(world, *BUSY)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        left = sorted(path.name for path in Path(world.output).glob("snapshots/*.json"))
        print(f"kill {kill} at {moment_s:.1f} of {whole_s:.1f} s: exit {process.returncode}, snapshots {left}")
        assert world.night(*BUSY) == 0
        assert world.content() == wanted, f"kill {kill} at {moment_s:.1f} s"
        assert world.verified()
        shutil.rmtree(world.output)


@pytest.mark.long
def test_two_nights_at_once_do_all_the_work_once_ten_times(talking: Path, tmp_path: Path) -> None:
    wanted = None
    for round_ in range(int(os.environ.get("REELBEAM_PAIRS", "10"))):
        world = World(talking, tmp_path / f"out{round_}")
        pair = [start(world, "--wave-videos", "2") for _ in range(2)]
        codes = [process.wait(600) for process in pair]
        assert codes == [0, 0], Path(f"{world.output}.log").read_text()
        wanted = wanted or world.content()
        assert world.content() == wanted
        assert world.names() == {file.name for file in talking.iterdir()}
        assert world.verified()
        shutil.rmtree(world.output)
