"""quick_report: what ffprobe would say of a plain MP4 file, from a long-lived process, in 2 ms and not in 60.

In:  a path on local disk.
Out: ffprobe's report as a dict, cut down to what probe.py reads; None where ffprobe itself must be asked.

Starting ffprobe costs 0.06 processor seconds, most of them for linking 200 shared libraries. A process with PyAV under the
same limits as ffprobe answers for many files instead. It is killed and replaced when it stalls; then, and for all files but
plain ones (probe_helper.py says which), ffprobe is asked. Where PyAV is missing, ffprobe is asked for everything.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import logging
import os
import selectors
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from .ffmpeg import MEMORY_BYTES, end_process, limited
from .probe_helper import STALL_S

log = logging.getLogger("reelbeam")

MOST_STALLS = 3
"""After so many files in a row whose process stalled or crashed, ffprobe is asked for everything: it may be the machine."""

HELPER = "reelbeam.transforms.probe_helper"

BRANDED = b"ftyp"
"""An MP4 file has this at byte 4."""


class Prober:
    """One probing process, started at its first file and replaced when it dies. Thread-safe."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._stalls = 0

    def report(self, path: Path) -> dict[str, Any] | None:
        """ffprobe's report of a file; None where ffprobe must be asked, which is logged at DEBUG with its reason."""
        with open(path, "rb") as stream:
            if stream.read(8)[4:] != BRANDED:
                return None
        with self._lock:
            answer = self._ask(path)
        if "reason" not in answer:
            return answer
        log.debug("%s: ffprobe is asked: %s", path.name, answer["reason"])
        return None

    def _ask(self, path: Path) -> dict[str, Any]:
        if self._stalls >= MOST_STALLS:
            return {"reason": f"{MOST_STALLS} probing processes died in a row"}
        if self._process is None or self._process.poll() is not None or self._owner != os.getpid():
            self._start()
        process = self._process
        assert process
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(json.dumps(str(path.absolute())).encode() + b"\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(_line(process.stdout.fileno(), STALL_S + 10))
        except (OSError, ValueError) as error:
            self._stalls += 1
            self.close()
            return {"reason": f"the probing process died or stalled: {error}"}
        self._stalls = 0
        return answer

    def _start(self) -> None:
        self.close()
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            # -P: no module of that name is imported from the current folder, which may be the bucket itself
            [*limited(MEMORY_BYTES, dies_with_thread=False), sys.executable, "-P", "-m", HELPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            end_process(process)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()


def _line(reader: int, timeout_s: float) -> bytes:
    """One line from a pipe. Raises TimeoutError, and ValueError when the pipe closes first."""
    held = bytearray()
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        while not held.endswith(b"\n"):
            if not selector.select(deadline - time.monotonic()):
                raise TimeoutError(f"no answer in {timeout_s:.0f} s")
            block = os.read(reader, 1 << 16)
            if not block:
                raise ValueError("it ended without an answer")
            held += block
    return bytes(held)


_prober = Prober()
atexit.register(_prober.close)


def quick_report(path: Path) -> dict[str, Any] | None:
    """What ffprobe would say of a plain MP4 file; None where ffprobe must be asked."""
    return _prober.report(path) if importlib.util.find_spec("av") else None
