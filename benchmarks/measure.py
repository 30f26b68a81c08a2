"""Runs a command as a user would and says what it cost: wall time, processor time, memory of the whole process tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reelbeam.pipeline.workers.template import WORKER_NAME

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "bench_output"
"""Everything that benchmarks make; `make clean` removes it."""

SAMPLE_S = 0.1
"""Time between two looks at memory: a look costs about 1 ms."""

SPAWNED_AT = "REELBEAM_BENCH_SPAWNED_AT"
"""Environment variable that tells a child when it was started: its imports and its interpreter's start count too."""


@dataclass(frozen=True)
class Cost:
    """What one process tree took. Times in seconds, memory in bytes."""

    wall_s: float
    cpu_s: float
    """User and system time of the process and of every child that it waited for."""
    tree_bytes: int
    """Highest sum of resident memory over all living processes. Pages that two of them share count twice."""
    others_s: float
    """Processor time that the rest of the machine took meanwhile: above a tenth of `wall_s`, times are not to be trusted."""
    own_bytes: int = 0
    """Highest resident memory of the process itself."""
    worker_bytes: int = 0
    """Highest resident memory of one of the worker processes that `--workers` starts."""
    report: dict[str, Any] = field(default_factory=dict)
    """What the process printed as JSON on its last line, if it did."""


def run(arguments: Sequence[str], *, report: bool = True) -> Cost:
    """Runs this Python with some arguments from the repository's root. Raises RuntimeError when it fails."""
    command = [sys.executable, *arguments]
    started, busy_s = time.monotonic(), machine_busy_s()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, SPAWNED_AT: repr(time.time()), "PYTHONWARNINGS": "ignore"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    peak, over = [0, 0, 0], threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_S):
            held = {pid: resident_bytes(pid) for pid in tree(process.pid)}
            workers = (size for pid, size in held.items() if is_worker(pid))
            now = (sum(held.values()), held[process.pid], max(workers, default=0))
            peak[:] = map(max, peak, now)

    output: dict[str, bytes] = {}

    def drain(name: str) -> None:
        output[name] = getattr(process, name).read()

    threads = [
        threading.Thread(target=watch),
        *(threading.Thread(target=drain, args=[n]) for n in ("stdout", "stderr")),
    ]
    for thread in threads:
        thread.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall_s, busy_s = time.monotonic() - started, machine_busy_s() - busy_s
    process.returncode = os.waitstatus_to_exitcode(status)
    over.set()
    for thread in threads:
        thread.join()
    if process.returncode:
        shown = (output["stdout"] + output["stderr"]).decode(errors="replace")[-3000:]
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{shown}")
    last = output["stdout"].decode().strip().rpartition("\n")[2]
    found = json.loads(last) if report else {}
    cpu_s = usage.ru_utime + usage.ru_stime
    return Cost(wall_s, cpu_s, peak[0], max(0.0, busy_s - cpu_s), peak[1], peak[2], found)


def machine_busy_s() -> float:
    """Processor seconds that the whole machine has worked since it started; time stolen by its host included."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def since_spawn() -> float:
    """Seconds since the parent started this process; 0 when it was started by hand."""
    return max(0.0, time.time() - float(os.environ.get(SPAWNED_AT, time.time())))


def tree(pid: int) -> Iterator[int]:
    """A process and all its living descendants, but for children that are still copies of their parent.

    Between fork and exec a child shares every page with its parent: counted, it would double a gigabyte for a moment.
    """
    yield pid
    try:
        own = _names(pid)
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                if _names(int(child)) != own:
                    yield from tree(int(child))
    except OSError:  # it has ended meanwhile
        return


def _names(pid: int) -> tuple[bytes, bytes]:
    """What it was started as, and what it calls itself."""
    return Path(f"/proc/{pid}/cmdline").read_bytes(), Path(f"/proc/{pid}/comm").read_bytes()


def is_worker(pid: int) -> bool:
    """Whether a process is a worker of `--workers`."""
    try:
        return Path(f"/proc/{pid}/comm").read_bytes().strip() == WORKER_NAME
    except OSError:
        return False


def resident_bytes(pid: int) -> int:
    """Resident memory of one process; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
