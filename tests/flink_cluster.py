"""A real Flink cluster on loopback, for tests: processes to kill, and what Flink's REST service says of its jobs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from object_store import free_ports

from deploy.flink.distribution import REPOSITORY, missing_program

FETCH_S, START_S, STOP_S = 900, 180, 30


@dataclass(frozen=True)
class Cluster:
    """A running cluster. `folder` holds its state file and logs."""

    folder: Path

    @property
    def state(self) -> dict[str, Any]:
        """What the cluster's keeper wrote last: pids, ports, flags for a pipeline."""
        state: dict[str, Any] = json.loads((self.folder / "cluster.json").read_text())
        return state

    @property
    def flags(self) -> list[str]:
        flags: list[str] = self.state["flags"]
        return flags

    def kill(self, name: str) -> None:
        """SIGKILL to a member, as the kernel does when memory runs out."""
        os.kill(self.state["pids"][name], signal.SIGKILL)

    def sdk_workers(self) -> list[int]:
        """Pids of the Python processes that run the pipeline's functions."""
        members = self.state["pids"]
        return [child for name in members if name.startswith("task-manager") for child in children_of(members[name])]

    def ask(self, path: str) -> dict[str, Any]:
        """An answer of Flink's REST service."""
        url = f"http://127.0.0.1:{self.state['ports']['web']}/{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def newest_job(self) -> dict[str, Any]:
        """Flink's description of the job that started last, with its vertices; empty when there is none."""
        jobs = self.ask("jobs/overview")["jobs"]
        return self.ask(f"jobs/{max(jobs, key=lambda job: job['start-time'])['jid']}") if jobs else {}


def children_of(parent: int) -> list[int]:
    """Pids of the direct children of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(folder.name))
    return found


@contextlib.contextmanager
def flink_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster of two task managers. It ends with the context, and also when this process is killed: its pipe closes."""
    if reason := missing_program():
        pytest.skip(reason)
    fetched = subprocess.run([sys.executable, "-m", "deploy.flink.distribution"], cwd=REPOSITORY, timeout=FETCH_S)
    if fetched.returncode:
        pytest.skip("the jars of Flink and of Beam's runner could not be downloaded; what was tried is above")
    ports = [str(port) for port in free_ports(4)]
    command = [sys.executable, "-m", "deploy.flink.cluster", "serve", str(folder), "--ports", *ports]
    with open(folder / "keeper.log", "wb") as log:
        keeper = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=log, stderr=log)
    cluster = Cluster(folder)
    try:
        wait_until(lambda: (folder / "cluster.json").exists() and cluster.state["ready"], keeper, folder)
        yield cluster
    finally:
        assert keeper.stdin
        keeper.stdin.close()
        keeper.wait(STOP_S)


def wait_until(
    ready: Callable[[], Any], running: subprocess.Popen[bytes], logs: Path, seconds: float = START_S
) -> None:
    """Polls until something is ready. Fails with the ends of all logs after `seconds`, or when the process has ended."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline or running.poll() is not None:
            pytest.fail("\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in sorted(logs.glob("*.log"))))
        time.sleep(0.1)
