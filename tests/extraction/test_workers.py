"""extract --workers: what is stored does not depend on the number of workers, nor on the ones that died."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from nights import World
from worker_tasks import extract_or_die

from benchmarks.measure import is_worker, tree
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.extraction import ExtractOptions, prepare_job
from reelbeam.pipeline.extraction import run as extraction_run


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("bucket")
    for name, seconds in (("a.mp4", 4), ("b.mp4", 12), ("c.mp4", 3), ("d.mp4", 5)):
        shutil.copy(make_video(name, seconds, sound=False), folder / name)
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, bucket: Path) -> World:
    """OUTPUT as one process makes it: a new one, because bytes depend on torch's threads, which other tests set."""
    world = World(bucket, tmp_path_factory.mktemp("alone") / "out")
    program = [sys.executable, "-m", "reelbeam.pipeline.cli", *command(world)]
    assert subprocess.run(program, timeout=300, check=False).returncode == 0
    return world


def command(world: World, *flags: str) -> list[str]:
    return ["extract", str(world.bucket), str(world.output), "--models", "offline", "--wave-videos", "2", *flags]


def extract(world: World, *flags: str) -> int:
    return main(command(world, *flags))


def shard_bytes(world: World) -> list[bytes]:
    return [(world.output / shard.path).read_bytes() for shard in world.data.snapshot.shards]


def test_two_workers_store_the_same_bytes_and_row_numbers_as_one_process(
    bucket: Path, alone: World, tmp_path: Path
) -> None:
    world = World(bucket, tmp_path / "out")
    assert extract(world, "--workers", "2") == 0
    assert shard_bytes(world) == shard_bytes(alone)
    assert world.numbers() == alone.numbers()
    assert world.data.snapshot.counts == alone.data.snapshot.counts
    assert world.verified()


@pytest.mark.slow
def test_a_video_that_kills_its_worker_fails_alone(
    bucket: Path, alone: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(bucket, tmp_path / "out")
    monkeypatch.setattr(extraction_run, "run_wave", extract_or_die)
    assert extract(world, "--workers", "2") == 0
    counts, undisturbed = world.data.snapshot.counts, alone.data.snapshot.counts
    assert (counts["videos"], counts["failed"], counts["failures"]) == (4, 1, 1)
    [failure] = world.data.standing_failures()
    assert (failure["stage"], failure["kind"], failure["retryable"]) == ("worker", "killed", True)
    assert "SIGKILL" in failure["message"]
    assert counts["windows"] == undisturbed["windows"] - 2
    kept = {key: row for key, row in alone.content().items() if not key[0].endswith("b.mp4")}
    assert world.content() == kept
    assert world.verified()


@pytest.mark.long
def test_twenty_workers_killed_at_random_moments_change_nothing(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    bucket, chance, deaths, runs = tmp_path / "bucket", random.Random(20), 0, 0
    bucket.mkdir()
    for number in range(32):
        shutil.copy(make_video(f"v{number}.mp4", 4 + number % 5, sound=number % 2 == 0), bucket)
    calm = World(bucket, tmp_path / "calm")
    assert (
        subprocess.run(
            [sys.executable, "-m", "reelbeam.pipeline.cli", *command(calm)], timeout=900, check=False
        ).returncode
        == 0
    )
    while deaths < 20:
        world, runs = World(bucket, tmp_path / f"killed-{runs}"), runs + 1
        program = [sys.executable, "-m", "reelbeam.pipeline.cli", *command(world, "--workers", "2")]
        with open(tmp_path / "run.log", "ab") as log:
            running = subprocess.Popen(program, stdout=log, stderr=log)
        try:
            while running.poll() is None:
                if chance.random() < 0.02 and (workers := worker_pids(running.pid)):
                    os.kill(chance.choice(workers), signal.SIGKILL)
                    deaths += 1
                time.sleep(0.2)
        finally:
            running.kill()
        assert running.wait() == 0, (tmp_path / "run.log").read_text()[-5000:]
        assert world.content() == calm.content()
        assert world.data.snapshot.counts == calm.data.snapshot.counts
        assert world.verified()
    print(f"{deaths} workers killed in {runs} runs")


def worker_pids(launcher: int) -> list[int]:
    """The worker processes of a launcher. They are not its children, but its children's."""
    return [pid for pid in tree(launcher) if is_worker(pid)]


def test_workers_are_for_the_local_runner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong: Sequence[str] = ["--workers", "2", "--runner", "PortableRunner"]
    assert main(["extract", "x", str(tmp_path), "--models", "offline", *wrong]) == 2
    assert "each wave by itself; cure:" in capsys.readouterr().err
    assert prepare_job(str(tmp_path), ExtractOptions(models="offline", workers="auto")).worker_count >= 1
