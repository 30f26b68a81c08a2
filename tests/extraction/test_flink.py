"""The sample bucket on a real Flink cluster of two task managers gives the rows, texts, vectors and indexes of an in-process run."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flink_cluster import Cluster, flink_cluster, wait_until
from object_store import s3_server, use_s3

from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.nightly.verify import verify_dataset
from reelbeam.schemas.storage import Storage

pytestmark = pytest.mark.flink

SAMPLES = Path(__file__).resolve().parents[2] / "examples" / "sample_bucket"
RUN_S = 400


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose workers reach a bucket with the sample videos."""
    with pytest.MonkeyPatch.context() as patch, s3_server(tmp_path_factory.mktemp("s3"), ("data",)) as endpoint:
        use_s3(patch, endpoint)
        fill("s3://data/videos")
        with flink_cluster(tmp_path_factory.mktemp("flink")) as running:
            yield running
            assert not [log for log in running.folder.glob("*.log") if "OutOfMemoryError" in log.read_text()]


def fill(bucket: str) -> None:
    """Puts the sample videos into a bucket."""
    for file in sorted(SAMPLES.iterdir()):
        if file.is_file():
            Storage.at(bucket).put_file(file.name, file)


def reelbeam(*words: str) -> str:
    """A command as a person runs it. Returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "reelbeam.pipeline.cli", *words], capture_output=True, text=True, timeout=RUN_S
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return done.stdout


@pytest.fixture(scope="module")
def in_process(cluster: Cluster) -> str:
    """OUTPUT of the in-process runner."""
    reelbeam("extract", "s3://data/videos", "s3://data/here", "--models", "offline")
    return "s3://data/here"


@pytest.fixture(scope="module")
def on_flink(cluster: Cluster) -> tuple[str, dict[str, Any]]:
    """OUTPUT of the cluster, and Flink's description of the job."""
    reelbeam("extract", "s3://data/videos", "s3://data/flink", "--models", "offline", *cluster.flags)
    return "s3://data/flink", cluster.newest_job()


def shard_hashes(output: str) -> list[str]:
    """Hashes of the shards' bytes, in the snapshot's order."""
    storage = Storage.at(output)
    return [hashlib.sha256(storage.get(shard.path)).hexdigest() for shard in Dataset.open(output).snapshot.shards]


def same(found: str, wanted: str) -> None:
    """Two datasets hold the same rows, byte for byte, and nothing is damaged."""
    assert shard_hashes(found)
    assert shard_hashes(found) == shard_hashes(wanted)
    assert Dataset.open(found).snapshot.counts == Dataset.open(wanted).snapshot.counts
    assert not list(verify_dataset(Dataset.open(found)))


def test_flink_stores_the_same_shards_byte_for_byte(on_flink: tuple[str, dict[str, Any]], in_process: str) -> None:
    same(on_flink[0], in_process)


def test_the_work_is_spread_and_what_crosses_a_shuffle_is_small(on_flink: tuple[str, dict[str, Any]]) -> None:
    job = on_flink[1]
    assert job["state"] == "FINISHED"
    [extracting] = [vertex for vertex in job["vertices"] if "ExtractRows" in vertex["name"]]
    assert extracting["parallelism"] == 4
    videos_bytes = sum(file.stat().st_size for file in SAMPLES.glob("*.mp4"))
    assert extracting["metrics"]["read-bytes"] < 100_000, "plans of units enter, no media"
    assert extracting["metrics"]["write-bytes"] < videos_bytes / 2, "rows leave, no pixels and no samples"
    others = [vertex for vertex in job["vertices"] if vertex is not extracting]
    assert max(vertex["metrics"]["write-bytes"] for vertex in others) <= extracting["metrics"]["write-bytes"]


def extract_vertex(cluster: Cluster) -> dict[str, Any]:
    """The running job's vertex that decodes, or an empty dict."""
    job = cluster.newest_job()
    if job.get("state") not in ("RUNNING", "RESTARTING"):
        return {}
    return next((vertex for vertex in job["vertices"] if "ExtractRows" in vertex["name"]), {})


@pytest.mark.parametrize(
    "victims",
    [
        pytest.param(("task-manager-1", "sdk worker", "task-manager-2"), id="three"),
        pytest.param(("sdk worker",), id="an SDK worker", marks=pytest.mark.long),
        pytest.param(("task-manager-1",), id="a task manager", marks=pytest.mark.long),
    ],
)
def test_kills_in_mid_run_change_nothing(
    cluster: Cluster, in_process: str, tmp_path: Path, victims: tuple[str, ...]
) -> None:
    before = cluster.newest_job().get("jid")
    output = f"s3://data/killed-{len(victims)}-{victims[0].replace(' ', '-')}"
    command = [sys.executable, "-m", "reelbeam.pipeline.cli", "extract", "s3://data/videos", output]
    with open(tmp_path / "run.log", "wb") as log:
        running = subprocess.Popen([*command, "--models", "offline", *cluster.flags], stdout=log, stderr=log)
    try:
        for victim in victims:
            wait_until(lambda: cluster.newest_job().get("jid") not in (before, None)
                       and extract_vertex(cluster).get("status") == "RUNNING", running, tmp_path)  # fmt: skip
            time.sleep(3)  # workers load models, decoders start
            if victim == "sdk worker":
                os.kill(cluster.sdk_workers()[0], signal.SIGKILL)
            else:
                cluster.kill(victim)
            wait_until(lambda: extract_vertex(cluster).get("status") != "RUNNING", running, tmp_path)
        assert running.wait(RUN_S) == 0, (tmp_path / "run.log").read_text()[-5000:]
    finally:
        running.kill()
        running.wait()
    same(output, in_process)


def test_an_index_built_on_flink_answers_as_the_one_built_in_process(
    cluster: Cluster, on_flink: tuple[str, dict[str, Any]], in_process: str
) -> None:
    reelbeam("index", in_process)
    reelbeam("index", on_flink[0], *cluster.flags)
    found, wanted = (Dataset.open(output).snapshot.indexes["frames"] for output in (on_flink[0], in_process))
    assert found.vectors == wanted.vectors
    stored = [Storage.at(output).get(f"{index.path}/index.faiss")
              for output, index in ((on_flink[0], found), (in_process, wanted))]  # fmt: skip
    assert stored[0] == stored[1]


def test_a_night_on_flink_removes_and_adds_as_in_process(
    cluster: Cluster, on_flink: tuple[str, dict[str, Any]], in_process: str
) -> None:
    videos = Storage.at("s3://data/videos")
    names = sorted(file.name for file in SAMPLES.glob("*.mp4"))
    videos.delete(names[0])
    videos.put_file("again.mp4", SAMPLES / names[1])
    reelbeam("nightly", "s3://data/videos", in_process, "--models", "offline")
    reelbeam("nightly", "s3://data/videos", on_flink[0], "--models", "offline", *cluster.flags)
    same(on_flink[0], in_process)
