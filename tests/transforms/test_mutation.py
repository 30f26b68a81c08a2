"""Broken files cost only themselves: each ends as rows or as a failure with its reason, in time, and leaves nothing behind."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kinds import KINDS
from open_files import open_files

from reelbeam.models.preprocessing import square
from reelbeam.schemas.elements import Grid, Video
from reelbeam.schemas.errors import Failure
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.discover import plan_units, probe_video
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.stage import Stage

SEEDS = (
    "h264.mp4", "h264.mkv", "h264.ts", "h264.flv", "fragmented.mp4", "hevc.mp4", "vp9.webm", "av1.mkv", "mpeg1.mpg",
    "mpeg4.avi", "wmv.asf", "theora.ogv", "mjpeg.avi", "prores.mov", "moving.gif", "sound_only.mp3", "sound_only.flac",
)  # fmt: skip
LIMITS = DecodeLimits(stall_s=15, timeout_s=30)
SLOWEST_S = 60
BOXES = (
    b"moov",
    b"trak",
    b"mdat",
    b"stsz",
    b"stco",
    b"stts",
    b"ctts",
    b"elst",
    b"avcC",
    b"moof",
    b"trun",
    b"RIFF",
    b"movi",
)


def flip(data: bytes, rng: random.Random) -> bytes:
    """Changes 1 to 60 bytes."""
    broken = bytearray(data)
    for _ in range(rng.randint(1, 60)):
        broken[rng.randrange(len(broken))] = rng.randrange(256)
    return bytes(broken)


def flip_head(data: bytes, rng: random.Random) -> bytes:
    """Changes bytes where the headers are."""
    head = min(len(data), 2000)
    return flip(data[:head], rng) + data[head:]


def cut(data: bytes, rng: random.Random) -> bytes:
    """Ends early, or begins late."""
    at = rng.randrange(1, len(data))
    return data[:at] if rng.random() < 0.7 else data[at:]


def splice(data: bytes, rng: random.Random) -> bytes:
    """Moves, doubles or drops a span."""
    first, last = sorted(rng.randrange(len(data)) for _ in range(2))
    at = rng.randrange(len(data))
    return rng.choice([data[:first] + data[last:], data[:at] + data[first:last] + data[at:]])


def resize_box(data: bytes, rng: random.Random) -> bytes:
    """Gives a box of a container another size, or another number of entries."""
    found = [at for name in BOXES for at in (data.find(name),) if at >= 4]
    if not found:
        return flip_head(data, rng)
    at = rng.choice(found) + rng.choice([-4, 4, 8])
    wrong = rng.choice([0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFF, rng.getrandbits(32), rng.randrange(len(data))])
    return data[:at] + wrong.to_bytes(4, "big") + data[at + 4 :]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (flip, flip_head, cut, splice, resize_box)


def outcome(path: Path, stage: Stage) -> str:
    """How a file ends: a failure's kind, or `rows` with what was complained of."""
    stat = path.stat()
    video = Video("0" * 16, str(path), stat.st_size, f"{stat.st_mtime_ns}-{stat.st_size}")
    probe = probe_video(video, stage)
    if isinstance(probe, Failure):
        assert probe.message
        return f"failed: {probe.kind}"
    seen = []
    for unit in plan_units(video, probe, Grid(), 100)[:2]:  # a header may claim a thousand hours
        decoded, failures = decode_unit(unit, file_url(path), Grid(), square(16), LIMITS)
        assert decoded is not None or failures
        assert all(failure.message for failure in failures)
        assert decoded is None or len(decoded.frames) == len(decoded.ticks) == len(decoded.pts_ms)
        seen.append("rows" if decoded is not None and not failures else failures[0].kind)
    return seen[0]


def survive(count: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Breaks files `count` times and counts how they ended."""
    scratch = folder / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    seeds = [kind.make(folder).read_bytes() for kind in KINDS if kind.file in SEEDS]
    assert len(seeds) == len(SEEDS)
    names = [kind.file for kind in KINDS if kind.file in SEEDS]
    before, files, threads = decoders(), open_files(), threading.active_count()

    def one(number: int) -> str:
        rng = random.Random(number)
        seed = number % len(seeds)
        path = folder / f"{number}_{names[seed]}"
        path.write_bytes(MUTATIONS[number // len(seeds) % len(MUTATIONS)](seeds[seed], rng))
        started = time.monotonic()
        ended = outcome(path, Stage())
        assert time.monotonic() - started < SLOWEST_S, f"{path.name} took too long"
        path.unlink()
        return ended

    with ThreadPoolExecutor(4) as pool:
        ends = Counter(pool.map(one, range(count)))
    assert decoders() == before
    assert list(scratch.iterdir()) == []
    assert not open_files() - files
    assert threading.active_count() < threads + 10
    return ends


def decoders() -> int:
    """Children of ours that are still alive, or were never reaped."""
    listed = subprocess.run(["ps", "-eo", "ppid,comm"], capture_output=True, text=True, check=True).stdout
    return sum(line.split()[0] == str(os.getpid()) and "ff" in line for line in listed.splitlines())


def test_sixty_broken_files_end_as_rows_or_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = survive(60, tmp_path, monkeypatch)
    assert sum(ends.values()) == 60
    assert ends["rows"] > 6
    assert sum(count for kind, count in ends.items() if kind != "rows") > 12


@pytest.mark.slow
def test_two_thousand_broken_files_end_as_rows_or_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = survive(2000, tmp_path, monkeypatch)
    assert sum(ends.values()) == 2000
    print(dict(ends))


def test_the_malformed_files_of_other_projects_end_as_rows_or_with_a_reason(media: Path) -> None:
    listed = [line.split("|") for line in (media / "INDEX.md").read_text().splitlines() if "| malformed |" in line]
    paths = [media / cells[1].strip() for cells in listed]
    assert len(paths) > 10
    stage = Stage()
    for path in paths:
        if path.is_file():
            assert outcome(path, stage)
