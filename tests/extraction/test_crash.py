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
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY
from nights import OFFLINE, World

from reelbeam.pipeline.extraction.options import ExtractOptions
from reelbeam.pipeline.extraction.plan import ExtractionPlan
from reelbeam.pipeline.extraction.prepare import prepare_job
from reelbeam.pipeline.extraction.run import run_extraction
from reelbeam.schemas.storage import Storage
from reelbeam.transforms.listing import list_videos

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


@pytest.mark.parametrize(
    "after", [pytest.param(False, id="before"), pytest.param(True, id="after", marks=pytest.mark.slow)]
)
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
        at += 1 if at < 18 else 5  # the first writes are all different, the last ones are the sweep's deletions
    assert deaths > 10


def test_of_two_runs_planned_from_one_snapshot_each_video_is_kept_once(bucket: Path, tmp_path: Path) -> None:
    job = prepare_job(str(tmp_path / "out"), ExtractOptions(models="offline", wave_videos=2))
    videos = list_videos(str(bucket))
    plans = [ExtractionPlan(len(videos), videos, None) for _ in range(2)]
    for planned in plans:
        run_extraction(planned, job)
    world = World(bucket, tmp_path / "out")
    assert world.names() == {file.name for file in bucket.iterdir()}
    assert world.data.snapshot.counts["windows"] == len(world.content())
    assert len(world.data.snapshot.shards) == 2
    assert world.verified()


def test_a_run_that_was_overtaken_for_some_videos_keeps_its_work_on_the_others(bucket: Path, tmp_path: Path) -> None:
    job = prepare_job(str(tmp_path / "out"), ExtractOptions(models="offline"))
    videos = list_videos(str(bucket))
    run_extraction(ExtractionPlan(1, videos[:1], None), job)
    given = World(bucket, tmp_path / "out").numbers()
    run_extraction(ExtractionPlan(len(videos), videos, None), job)
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


def seen_files(process: subprocess.Popen[bytes], world: World, most: int = 10**9) -> set[Path]:
    """The files that a night has written, until they are so many or it ends."""
    seen: set[Path] = set()
    while process.poll() is None and len(seen) < most:
        seen |= {file for file in world.output.rglob("*") if "#" not in file.name and file.is_file()}
        time.sleep(0.002)
    return seen


def last_write(world: World) -> str:
    """Where a night was when it died: the folder that it wrote to last."""
    files = [file for file in world.output.rglob("*") if file.is_file()]
    last = max(files, key=lambda file: file.stat().st_mtime_ns, default=None)
    return last.relative_to(world.output).parts[0] if last else "nothing written"


@pytest.mark.long
def test_a_night_killed_at_25_random_moments_is_made_whole_by_the_next(talking: Path, tmp_path: Path) -> None:
    calm, chance = World(talking, tmp_path / "calm"), random.Random(5)
    writes = len(seen_files(start(calm, *BUSY), calm))
    wanted, moments = calm.content(), Counter[str]()
    assert any(said for said, *_ in wanted.values())
    assert calm.verified()
    while sum(moments.values()) < int(os.environ.get("REELBEAM_KILLS", "25")):
        world = World(talking, tmp_path / f"out{time.monotonic_ns()}")
        process, moment = start(world, *BUSY), chance.randrange(writes)
        seen_files(process, world, moment)
        time.sleep(chance.uniform(0, 1))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:  # else it was faster: no kill
            moments[last_write(world)] += 1
        left = [int(path.stem) for path in sorted(world.output.glob("snapshots/*.json"))]
        print(
            f"killed after {moment} of {writes} writes, last {last_write(world)}: {process.returncode}, snapshots {left}"
        )
        assert world.night(*BUSY) == 0
        assert world.content() == wanted
        assert world.verified()
        shutil.rmtree(world.output)
    print(f"kills by where the night wrote last: {dict(moments)}")


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
