"""Runs ffmpeg and ffprobe on untrusted files.

Each run is its own process group with a deadline, a stall limit and a memory limit. It ends with this process and is always
reaped. The file is passed as `file:/absolute/path`, so a name is never read as an option, a pattern or a protocol. Only
container formats that contain their own media are opened; playlists and references are not.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..schemas.errors import InputError

FORMATS = (
    "3dostr,aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,av1,avi,caf,dnxhd,dts,dv,eac3,flac,flv,gif,h263,h264,hevc,ivf,"
    "m4v,matroska,webm,mjpeg,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,opus,rm,swf,tta,vc1,"
    "vob,voc,w64,wav,wtv,wv,y4m,yuv4mpegpipe"
)
"""Demuxers that read one self-contained file. Left out: hls, dash, concat, image2 and all that open other files."""

MEMORY_BYTES = 6 << 30
"""Address space limit of one decoder: 8K with 16 reference frames fits, a decompression bomb does not."""

MAX_PIXELS = 8192 * 8192
"""Pixel limit of a frame: 8K in any shape fits; 30,000 x 30,000 is refused before memory is allocated."""

STDERR_BYTES = 64 << 10

LOOPBACK_HOST = "127.0.0.1"
LOOPBACK = f"http://{LOOPBACK_HOST}:"
"""The beginning of an address that ffmpeg may read from: a server of this process on this machine."""


@dataclass(frozen=True)
class Limits:
    """Limits at which a run is stopped. `output_bytes` is the sum over all outputs."""

    wall_s: float
    stall_s: float
    output_bytes: int


@dataclass(frozen=True)
class Finished:
    """The result of a run. `outputs` are in the order of the pipes; `errors` are ffmpeg's messages."""

    exit_code: int
    outputs: tuple[bytearray, ...]
    errors: str


def guarded_input(source: Path | str = "file:") -> dict[str, str]:
    """The input options of every run on a user's file, or on an object that this process serves on loopback (its address).

    An address gets no proxy and a small buffer, so that little is fetched that nobody reads. Raises ValueError for other addresses.

    >>> guarded_input()["protocol_whitelist"], guarded_input("http://127.0.0.1:80/x")["protocol_whitelist"]
    ('file', 'http,tcp')
    """
    own = {"format_whitelist": FORMATS, "max_pixels": str(MAX_PIXELS)}
    if isinstance(source, Path) or "://" not in source:
        return {"protocol_whitelist": "file", **own}
    if not source.startswith(LOOPBACK):
        raise ValueError(f"{source}: ffmpeg reads local files and {LOOPBACK}... alone")
    return {"protocol_whitelist": "http,tcp", "http_proxy": "none", "recv_buffer_size": "65536", **own}


def input_flags(source: Path | str, start_s: float = 0.0) -> list[str]:
    """The flags that read a local file, or an object that this process serves on loopback (its address), from an instant on.

    >>> input_flags(Path("/a.mp4"), 1.5)[-4:], input_flags("http://127.0.0.1:80/x")[:2]
    (['-ss', '1.500', '-i', 'file:/a.mp4'], ['-protocol_whitelist', 'http,tcp'])
    """
    guard = guarded_input(source)
    flags = [part for name, value in guard.items() for part in (f"-{name}", value)]
    return [*flags, "-ss", f"{start_s:.3f}", "-i", source if isinstance(source, str) else file_url(source)]


def file_url(path: Path) -> str:
    """A local file's name for ffmpeg, which cannot be mistaken for an option, a pattern or a protocol.

    >>> file_url(Path("/data/-y 100%d.mp4"))
    'file:/data/-y 100%d.mp4'
    """
    return f"file:{path.absolute()}"


def limited(memory_bytes: int | None, dies_with_thread: bool = True) -> list[str]:
    """The start of a command that sets its limits: memory, no core dumps, and an end together with the thread that starts it."""
    death = ["setpriv", "--pdeathsig", "KILL", "--"] if dies_with_thread else []
    return [*death, "prlimit", *([f"--as={memory_bytes}"] if memory_bytes else []), "--core=0", "--"]


def run(
    command: Sequence[str], pipes: int, limits: Limits, *, nice: int = 0, memory_bytes: int | None = MEMORY_BYTES
) -> Finished:
    """Runs a command and collects its output from `pipes` pipes.

    `{pipe0}` in an argument is replaced by the first pipe's number, and so on. `memory_bytes` None removes the limit on the
    address space: CUDA reserves far more than it uses.

    Raises InputError("timeout" | "oversized") when a limit is exceeded, and FileNotFoundError when the program is missing.
    """
    readers, writers = zip(*(os.pipe() for _ in range(pipes)), strict=True) if pipes else ((), ())
    named = [re.sub(r"\{pipe(\d+)\}", lambda found: str(writers[int(found[1])]), part) for part in command]
    guard = [*limited(memory_bytes), "nice", "-n", str(nice)]
    try:
        process = subprocess.Popen(
            guard + named,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=writers,
            start_new_session=True,
        )
    except BaseException:
        for end in (*readers, *writers):
            os.close(end)
        raise
    for end in writers:
        os.close(end)
    assert process.stderr is not None
    outputs = {reader: bytearray() for reader in readers}
    errors = bytearray()
    try:
        _collect(outputs, process.stderr.fileno(), errors, limits)
        process.wait(timeout=limits.stall_s)
    except subprocess.TimeoutExpired:
        raise InputError("timeout", f"{named[0]} closed its outputs but did not end", retryable=True) from None
    finally:
        end_process(process)
        for reader in readers:
            os.close(reader)
    if process.returncode == 127 or (process.returncode and b"failed to execute" in errors):
        raise FileNotFoundError(f"{named[0]} is not installed or cannot run: {errors.decode(errors='replace')}")
    return Finished(process.returncode, tuple(outputs.values()), _readable(bytes(errors)))


def _collect(outputs: dict[int, bytearray], stderr: int, errors: bytearray, limits: Limits) -> None:
    """Reads all pipes until they are closed. Raises InputError when a limit is exceeded."""
    started = last = time.monotonic()
    total = 0
    with selectors.DefaultSelector() as selector:
        for reader in (*outputs, stderr):
            selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(timeout=1.0)
            now = time.monotonic()
            if ready:
                last = now
            if now - started > limits.wall_s:
                raise InputError("timeout", f"stopped after {limits.wall_s:.0f} s, the time limit", retryable=True)
            if now - last > limits.stall_s:
                raise InputError("timeout", f"stopped after {limits.stall_s:.0f} s without output", retryable=True)
            for key, _ in ready:
                block = os.read(key.fd, 1 << 20)
                if not block:
                    selector.unregister(key.fd)
                elif key.fd == stderr:
                    if len(errors) < STDERR_BYTES:
                        errors += block
                else:
                    outputs[key.fd] += block
                    total += len(block)
                    if total > limits.output_bytes:
                        raise InputError("oversized", f"stopped after {total} decoded bytes, more than its span holds")


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Kills a process with its group, and reaps it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stderr is not None:
        process.stderr.close()


def _readable(errors: bytes) -> str:
    """ffmpeg's messages without addresses and repetitions, which differ between runs."""
    lines = []
    for line in errors.decode(errors="replace").splitlines():
        line = re.sub(r" @ 0x[0-9a-f]+", "", line).strip()
        if line and line not in lines and not line.startswith("Last message repeated"):
            lines.append(line)
    return "; ".join(lines)
