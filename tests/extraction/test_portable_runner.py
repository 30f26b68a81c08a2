"""The same pipeline runs on Beam's portable job service with an external worker pool, and stores the same bytes.

Three processes that share nothing but sockets and the folder: this exercises what any cluster does, that is pickling,
options that travel, processes that load models for themselves.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.nightly.verify import verify_dataset

pytestmark = pytest.mark.slow

START_S, RUN_S, STOP_S = 120, 480, 15


@pytest.fixture(scope="module")
def videos(make_video: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two small videos, one without sound, and a file that is none."""
    folder = tmp_path_factory.mktemp("videos")
    wanted: dict[str, dict[str, Any]] = {"a.mp4": {"seconds": 11}, "b.mkv": {"seconds": 7, "fps": "25", "sound": False}}
    for name, facts in wanted.items():
        (folder / name).write_bytes(make_video(name, **facts).read_bytes())
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    (folder / "c.mp4").write_text("this is not a video")
    return folder


@pytest.fixture(scope="module")
def in_process(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the default runner stores."""
    return extract(videos, tmp_path_factory.mktemp("in_process") / "out")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """A job service and a worker pool on free ports of this machine: the flags that point to them."""
    folder = tmp_path_factory.mktemp("cluster")
    pool_port, port_file = free_port(), folder / "port"
    service = [
        "apache_beam.runners.portability.local_job_service_main",
        "--port_file",
        str(port_file),
        "--staging_dir",
        str(folder),
    ]
    pool = ["apache_beam.runners.worker.worker_pool_main", "--service_port", str(pool_port)]
    with process(service, folder / "service.log") as serving, process(pool, folder / "pool.log") as pooling:
        wait_until(lambda: port_file.exists() and answers(pool_port), [serving, pooling], folder)
        yield ["--runner", "PortableRunner", "--job_endpoint", f"localhost:{port_file.read_text()}",
               "--environment_type", "EXTERNAL", "--environment_config", f"localhost:{pool_port}"]  # fmt: skip
        assert "Starting worker" in (folder / "pool.log").read_text(), "the runs never used the pool"


def free_port() -> int:
    with socket.create_server(("localhost", 0)) as server:
        return server.getsockname()[1]


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def process(module: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A Python module as a process. It and all that it starts are gone when the context closes."""
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ["PATH"]]
    )  # the pool starts workers by the name `python`
    with open(log, "wb") as out:
        started = subprocess.Popen([sys.executable, "-m", *module], env={**os.environ, "PATH": path}, stdout=out,
                                   stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
    try:
        yield started
    finally:
        started.send_signal(signal.SIGINT)  # the pool stops its workers on an interrupt, not on SIGTERM
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait(STOP_S)


def wait_until(ready: Callable[[], bool], running: list[subprocess.Popen[bytes]], logs: Path) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if time.monotonic() > deadline or any(one.poll() is not None for one in running):
            pytest.fail(
                "the cluster did not start: " + "\n".join(log.read_text()[-3000:] for log in logs.glob("*.log"))
            )
        time.sleep(0.1)


def extract(videos: Path, output: Path, *flags: str) -> Path:
    """`reelbeam extract` as a person runs it."""
    command = [
        sys.executable,
        "-m",
        "reelbeam.pipeline.cli",
        "extract",
        str(videos),
        str(output),
        "--models",
        "offline",
        *flags,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S)
    assert done.returncode == 0, done.stderr[-5000:]
    return output


def shard_hashes(output: Path) -> list[str]:
    """Hashes of the shards' bytes, in the snapshot's order."""
    return [
        hashlib.sha256((output / shard.path).read_bytes()).hexdigest()
        for shard in Dataset.open(str(output)).snapshot.shards
    ]


def test_a_cluster_of_processes_stores_the_same_shards_byte_for_byte(
    videos: Path, in_process: Path, cluster: list[str], tmp_path: Path
) -> None:
    out = extract(videos, tmp_path / "out", *cluster)
    assert shard_hashes(out)
    assert shard_hashes(out) == shard_hashes(in_process)
    found, wanted = Dataset.open(str(out)), Dataset.open(str(in_process))
    assert found.snapshot.counts == wanted.snapshot.counts
    assert found.snapshot.counts["videos"] == 3
    assert found.snapshot.counts["failed"] == 1
    assert not list(verify_dataset(found))


def test_options_and_several_waves_reach_the_workers(videos: Path, cluster: list[str], tmp_path: Path) -> None:
    flags = ["--tick-hz", "2", "--window-ticks", "4", "--unit-s", "4", "--wave-videos", "2"]
    found = Dataset.open(str(extract(videos, tmp_path / "out", *flags, *cluster)))
    assert found.snapshot.number == 2
    assert found.snapshot.counts["frames"] == 2 * 11 + 2 * 7
    assert found.snapshot.counts["windows"] == 6 + 4
    assert not list(verify_dataset(found))
