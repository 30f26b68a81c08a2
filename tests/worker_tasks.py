"""Tasks that tests give to worker processes, which import them by name."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reelbeam.pipeline.dataset import WaveRows
from reelbeam.pipeline.extraction import Job, run_wave
from reelbeam.pipeline.workers import Pool
from reelbeam.pipeline.workers.shares import Share
from reelbeam.schemas.elements import Video
from reelbeam.schemas.errors import GateError
from reelbeam.transforms.ffmpeg import Limits, run

LOADED_BY = os.getpid()
"""The process that imported this module."""

SHARES = [Share(1, 1, None), Share(2, 1, None)]


def doubled(items: Sequence[str], folder: str) -> list[str]:
    """Each item twice. Some items are orders: to take long, to die, to die the first time, to kill the parent then, to raise."""
    for item in items:
        mark = Path(folder, item)
        if item == "slow":
            time.sleep(1)
        elif item == "kills" or (item.startswith("once") and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        elif item == "orphaned" and not mark.exists():
            mark.touch()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        elif item == "raises":
            raise GateError("too many failed")
    return [item * 2 for item in items]


def parentage(items: Sequence[str], given: object) -> tuple[int, int]:
    """This process's parent, and who imported this module."""
    return os.getppid(), LOADED_BY


def lasting(items: Sequence[str], folder: str) -> None:
    """Says who it is, and runs a program that would last for a minute."""
    Path(folder, f"{os.getpid()}.pid").touch()
    run(["sh", "-c", f"touch {folder}/$$.pid; exec sleep 60"], 0, Limits(90, 90, 10))


def extract_or_die(videos: Sequence[Video], job: Job) -> WaveRows:
    """A wave in which opening b.mp4 kills the process, as a video does that needs too much memory."""
    if any(video.uri.endswith("b.mp4") and video.failure is None for video in videos):
        os.kill(os.getpid(), signal.SIGKILL)
    return run_wave(videos, job)


@dataclass(frozen=True)
class Doubling:
    """The work of a stage: `doubled`, one item at a time, after it was set up."""

    folder: str

    def setup(self) -> None:
        Path(self.folder, f"{os.getpid()}-{time.monotonic_ns()}.setup").touch()

    def done(self, item: str) -> str:
        return doubled([item], self.folder)[0]


def lost(item: str, why: str) -> str:
    return f"[{why}]"


if __name__ == "__main__":
    from worker_tasks import lasting as last

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    with Pool(last, SHARES, lambda share: sys.argv[1], lost) as pool:
        list(pool.run([["a"], ["b"]]))
