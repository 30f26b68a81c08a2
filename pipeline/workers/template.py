"""A process that imports once what all workers need, and forks a worker each time the launcher asks for one.

    python -m reelbeam.pipeline.workers.template FD

Importing torch, Beam and the speech engine takes three processor seconds and 600 MB; forked workers share both. The process only
imports: it starts no threads, loads no models and opens no GPU, so that a fork of it is as good as a new process.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from typing import NoReturn

MOST_BYTES = 65_536
"""Of one message."""

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
"""prctl(2): the signal that this process gets when its parent dies; its name in `top` and /proc/PID/comm."""

WORKER_NAME = b"reelbeam-worker"
"""At most 15 bytes. Their command line is the template's."""


class Forked:
    """A worker process. Its parent is the template, which tells its exit code."""

    def __init__(self, pid: int, pidfd: int, template: Template):
        self.pid, self._pidfd, self._template = pid, pidfd, template
        self.returncode: int | None = None
        """As that of subprocess.Popen: None until `wait` has returned."""

    def kill(self) -> None:
        """Sends SIGKILL; to no other process, even if this one is gone and its number is taken again."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit code, when the process has ended. Raises TimeoutError."""
        if self.returncode is None:
            if not wait([self._pidfd], timeout_s):
                raise TimeoutError(f"process {self.pid} runs on")
            os.close(self._pidfd)
            self.returncode = self._template.exit_code(self.pid)
        return self.returncode


class Template:
    """The launcher's view of one such process, which has begun to import `modules`."""

    def __init__(self, modules: Sequence[str]):
        self._control, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._codes: dict[int, int] = {}
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "reelbeam.pipeline.workers.template", str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a library prints must not mix with the command's own output
                start_new_session=True,  # Ctrl-C reaches the launcher alone, which then ends its workers
            )
        with contextlib.suppress(OSError):  # it could not start: `fork` says so
            self._control.send(pickle.dumps((sys.path, list(modules))))

    def fork(self, environment: Mapping[str, str], link: socket.socket) -> Forked:
        """A new worker, at the other end of `link`. Raises EOFError where the template has died."""
        try:
            socket.send_fds(self._control, [json.dumps(dict(environment)).encode()], [link.fileno()])
        except OSError as error:
            raise EOFError(f"the template of the workers has ended: {error.strerror}") from error
        while True:
            said, handles = self._receive()
            if handles:
                return Forked(said["pid"], handles[0], self)

    def exit_code(self, pid: int) -> int:
        """Of a worker that has ended. It counts as killed where the template died before it could tell: that kills all workers."""
        with contextlib.suppress(EOFError):
            while pid not in self._codes:
                self._receive()
        return self._codes.get(pid, -signal.SIGKILL)

    def _receive(self) -> tuple[dict[str, int], list[int]]:
        try:
            block, handles, _, _ = socket.recv_fds(self._control, MOST_BYTES, 1)
        except OSError:
            block, handles = b"", []
        if not block:
            raise EOFError("the template of the workers has ended; its own words are above")
        said = json.loads(block)
        if "code" in said:
            self._codes[said["pid"]] = said["code"]
        return said, handles

    def close(self) -> None:
        """Ends the template, and with it all of its workers that still run."""
        self._control.close()
        self._process.kill()
        self._process.wait()


def serve(fd: int) -> None:
    """Forks workers until the launcher closes the socket. Then this process ends, and Linux kills its workers."""
    die_with_parent()
    control = socket.socket(fileno=fd)
    sys.path[:], modules = pickle.loads(control.recv(MOST_BYTES))
    for module in modules:
        with contextlib.suppress(Exception):  # the worker that needs it fails with the same error, and says so
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # so that the collector of a worker does not write to pages that all share
    running: dict[int, int] = {}
    while True:
        ready = wait([control, *running.values()])
        for pid, pidfd in [*running.items()]:
            if pidfd in ready:
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                os.close(running.pop(pid))
                control.send(json.dumps({"pid": pid, "code": code}).encode())
        if control in ready:
            block, handles, _, _ = socket.recv_fds(control, MOST_BYTES, 1)
            if not block:
                return
            pid = os.fork()
            if not pid:
                control.close()
                for pidfd in running.values():
                    os.close(pidfd)
                _become_worker(json.loads(block), handles[0])
            os.close(handles[0])
            running[pid] = os.pidfd_open(pid)
            socket.send_fds(control, [json.dumps({"pid": pid}).encode()], [running[pid]])


def _become_worker(environment: Mapping[str, str], fd: int) -> NoReturn:
    """What the forked process does, and nothing after it."""
    from .worker import main

    code = 1
    try:
        die_with_parent()
        _prctl(PR_SET_NAME, WORKER_NAME)
        os.environ.update(environment)
        tempfile.tempdir = None  # asks the environment again
        main(fd)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def die_with_parent() -> None:
    """Linux kills this process when its parent dies."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value)


if __name__ == "__main__":
    from reelbeam.pipeline.workers import template  # under its own name, so that what it keeps is there once

    template.serve(int(sys.argv[1]))
