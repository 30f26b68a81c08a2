"""A Flink session cluster for Beam on this machine: one job manager, task managers, Beam's job service.

Task managers start SDK workers themselves (sdk_worker.sh). Beam's external worker pool cannot serve two task managers: both number
their workers from 1, and the pool then ends the other's worker.

    python -m deploy.flink.cluster up [FOLDER]      starts it in the background and prints the flags that point to it
    python -m deploy.flink.cluster down [FOLDER]    stops all of it
    python -m deploy.flink.cluster serve FOLDER     runs it until standard input closes or SIGTERM comes

One process, the keeper (`serve`), starts all the others and restarts task managers that die. Nothing is left behind: the keeper
ends the group of each process that it started, and if it is killed itself, the kernel ends them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import asdict
from pathlib import Path

from .distribution import DEFAULT_FOLDER, HERE, REPOSITORY, Unavailable, fetch
from .settings import SLOTS, Member, Ports, members

START_S, STOP_S = 120, 20
TASK_MANAGERS = 2
STATE = "cluster.json"
"""Written when the cluster is ready: the keeper's pid, ports, and the flags for a Beam pipeline."""


class Keeper:
    """Starts the members of a cluster, watches them, and ends them all."""

    def __init__(self, folder: Path, wanted: list[Member]):
        self.folder, self.wanted = folder, wanted
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, member: Member) -> None:
        """Starts a member in a process group of its own. It dies with the keeper (PR_SET_PDEATHSIG)."""
        with open(self.folder / f"{member.name}.log", "ab") as log:
            self.running[member.name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *member.command],
                env={**os.environ, "REELBEAM_PYTHON": sys.executable}, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def start_all(self) -> None:
        for member in self.wanted:
            self.start(member)

    def look(self) -> str:
        """Starts members anew that died and may be. Returns the name of one that died for good, or an empty string."""
        for member in self.wanted:
            if self.running[member.name].poll() is not None:
                self.end_group(member.name)
                if not member.again:
                    return member.name
                self.start(member)
        return ""

    def end_group(self, name: str) -> None:
        """Kills a member and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.running[name].pid, signal.SIGKILL)
        self.running[name].wait()

    def end_all(self) -> None:
        for name in reversed(list(self.running)):
            self.end_group(name)

    def write_state(self, ports: Ports, ready: bool) -> None:
        """What other programs need to know: the pids now, and how to reach the cluster."""
        state = {
            "ready": ready, "keeper": os.getpid(), "ports": asdict(ports), "flags": beam_flags(ports),
            "pids": {name: process.pid for name, process in self.running.items()},
        }  # fmt: skip
        part = self.folder / (STATE + ".part")
        part.write_text(json.dumps(state, indent=1))
        part.rename(self.folder / STATE)


def beam_flags(ports: Ports) -> list[str]:
    """The flags of a pipeline that runs on the cluster."""
    command = json.dumps({"command": str(HERE / "sdk_worker.sh")}, separators=(",", ":"))
    return ["--runner", "PortableRunner", "--job_endpoint", f"127.0.0.1:{ports.job}", "--parallelism", str(SLOTS),
            "--environment_type", "PROCESS", "--environment_config", command]  # fmt: skip


def serve(folder: Path, ports: Ports, task_managers: int) -> int:
    """Runs a cluster until standard input closes or a signal comes. Returns an exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    keeper = Keeper(folder, members(fetch(), ports, folder, task_managers))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        keeper.start_all()
        ready = False
        until = time.monotonic() + START_S
        while True:
            if dead := keeper.look():
                print(f"{dead} ended; see {folder / dead}.log", file=sys.stderr)
                return 1
            if not ready and time.monotonic() > until:
                print(f"the cluster did not start within {START_S} s; see the logs in {folder}", file=sys.stderr)
                return 1
            ready = ready or is_ready(ports, task_managers)
            keeper.write_state(ports, ready)
            if select.select([sys.stdin], [], [], 0.3)[0] and not os.read(sys.stdin.fileno(), 100):
                return 0
    except KeyboardInterrupt:
        return 0
    finally:
        keeper.end_all()
        (folder / STATE).unlink(missing_ok=True)


def is_ready(ports: Ports, task_managers: int) -> bool:
    """Whether all task managers have joined, and the job service answers."""
    with contextlib.suppress(OSError, ValueError):
        with urllib.request.urlopen(f"http://127.0.0.1:{ports.web}/overview", timeout=2) as answer:
            joined = json.load(answer)["taskmanagers"]
        socket.create_connection(("127.0.0.1", ports.job), timeout=1).close()
        return bool(joined >= task_managers)
    return False


def read_state(folder: Path) -> dict[str, object]:
    """What the keeper wrote last, or nothing when no cluster runs."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads((folder / STATE).read_text())
    return {}


def up(folder: Path) -> int:
    """Starts a keeper in the background and waits until the cluster is ready."""
    if read_state(folder):
        print(f"a cluster already runs in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    fetch()
    read, write = os.pipe()  # the keeper reads a pipe of its own, so that it outlives this terminal
    with open(folder / "keeper.log", "wb") as log:
        keeper = subprocess.Popen([sys.executable, "-m", "deploy.flink.cluster", "serve", str(folder)], cwd=REPOSITORY, stdin=read,
                                  stdout=log, stderr=subprocess.STDOUT, start_new_session=True, pass_fds=[write])  # fmt: skip
    while not read_state(folder).get("ready"):
        if keeper.poll() is not None:
            print((folder / "keeper.log").read_text(), file=sys.stderr)
            return 1
        time.sleep(0.2)
    print(shlex.join(beam_flags(Ports())))
    return 0


def down(folder: Path) -> int:
    """Stops the cluster and waits until its processes are gone."""
    keeper = read_state(folder).get("keeper")
    if not isinstance(keeper, int):
        print(f"no cluster runs in {folder}")
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(keeper, signal.SIGTERM)
    until = time.monotonic() + STOP_S
    while Path(f"/proc/{keeper}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["up", "down", "serve"])
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER / "cluster")
    parser.add_argument("--ports", type=int, nargs=4, help="ports of web page, RPC, jobs, artifacts")
    parser.add_argument("--task-managers", type=int, default=TASK_MANAGERS)
    options = parser.parse_args()
    folder = options.folder.absolute()
    try:
        if options.what == "serve":
            return serve(folder, Ports(*options.ports or []), options.task_managers)
        return up(folder) if options.what == "up" else down(folder)
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
