"""`--frames reference` and `key` give those frames, at their true times, with the pixels that a full decode gives them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from kinds import KINDS, Kind

from reelbeam.models.preprocessing import square
from reelbeam.schemas.elements import Decoded, Grid, Probe, Unit, Video
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.decode_command import NO_SHOTS, ShotSearch
from reelbeam.transforms.discover import plan_units
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.frame_choice import EXACT, KEY, REFERENCE, is_timed
from reelbeam.transforms.frame_times import presentation_ms
from reelbeam.transforms.probe import probe_file

GRID = Grid(Fraction(1), 2)
FINE = Grid(Fraction(60), 60)
"""Ticks shorter than any frame here: an exact decode with it gives every frame."""

SKIPPING = ("h264.mp4", "hevc.mp4", "mpeg2.ts", "h264.ts", "h264.mkv", "vp8.webm")
"""Kinds whose decoder skips frames when it is told to."""
OTHERS = ("vp9.webm", "av1.mkv", "mpeg4.avi", "mpeg1.mpg", "mjpeg.avi", "prores.mov")
BY_NAME = {kind.file: kind for kind in KINDS}
SLOW = ("hevc.mp4", "vp8.webm", "av1.mkv", "mpeg1.mpg", "prores.mov", "h264.mkv")


def kinds(*names: str) -> list[object]:
    return [pytest.param(BY_NAME[name], id=name, marks=[pytest.mark.slow] if name in SLOW else []) for name in names]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("choices")


def film(kind: Kind, folder: Path) -> Path:
    """The kind, 23 s long, with B frames and short groups of pictures where its codec has them."""
    encode = kind.encode.replace("-preset ultrafast", "-preset veryfast").replace(
        "libx264", "libx264 -bf 3 -b_strategy 0"
    )
    path = folder / f"film_{kind.file}"
    if not path.exists():
        replace(kind, file=path.name, length_s=23, encode=f"{encode} -g 60").make(folder)
    return path


def decoded(path: Path, frames: str, grid: Grid = GRID, unit_windows: int = 1000) -> list[tuple[Unit, Decoded]]:
    found = []
    limits = DecodeLimits(ShotSearch(NO_SHOTS if frames == KEY else "adaptive"), frames)
    video = Video("0" * 16, str(path), path.stat().st_size, "")
    for unit in plan_units(video, probe_file(path), grid, unit_windows):
        one, failures = decode_unit(unit, file_url(path), grid, square(32), limits)
        assert one is not None
        assert not failures
        found.append((unit, one))
    return found


def key_pts(path: Path, probe: Probe) -> list[int]:
    """What ffprobe calls key frames after decoding everything."""
    command = ["ffprobe", "-v", "error", "-select_streams", str(probe.video_stream), "-show_entries"]
    command += ["frame=best_effort_timestamp,key_frame", "-of", "json", str(path)]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=120)
    return [frame["best_effort_timestamp"] for frame in json.loads(answer.stdout)["frames"] if frame["key_frame"]]


def reference_pts(path: Path, probe: Probe) -> list[int]:
    """The frames that ffmpeg gives when it skips what no other frame needs."""
    skip = ["-skip_frame", "noref"] if is_timed(probe.container) else []
    command = ["ffmpeg", "-v", "error", *skip, "-copyts", "-i", str(path), "-map", f"0:{probe.video_stream}"]
    command += ["-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "framemd5", "-"]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=120, text=True)
    return [int(line.split(",")[2]) for line in answer.stdout.splitlines() if not line.startswith("#")]


@pytest.mark.parametrize("kind", kinds(*SKIPPING, *OTHERS))
@pytest.mark.parametrize("frames", [REFERENCE, KEY])
def test_each_tick_takes_the_first_chosen_frame_with_its_own_time_and_pixels(
    kind: Kind, frames: str, folder: Path
) -> None:
    path = film(kind, folder)
    probe = probe_file(path)
    chosen = (key_pts if frames == KEY else reference_pts)(path, probe)
    wanted: dict[int, int] = {}
    for at in sorted(chosen):
        tick = int((at * probe.time_base - probe.zero_s) * GRID.tick_hz // 1)
        wanted.setdefault(tick, presentation_ms(at, probe))
    [(_, found)] = decoded(path, frames)
    assert dict(zip(found.ticks.tolist(), found.pts_ms.tolist(), strict=True)) == wanted
    [(_, every)] = decoded(path, EXACT, FINE)
    pixels = dict(zip(every.pts_ms.tolist(), every.frames, strict=True))
    assert all(np.array_equal(pixels[at], frame) for at, frame in zip(found.pts_ms.tolist(), found.frames, strict=True))


def test_reference_frames_are_others_than_exact_ones_and_key_frames_are_few(folder: Path) -> None:
    path = film(BY_NAME["h264.mp4"], folder)
    exact, reference, key = (decoded(path, frames)[0][1] for frames in (EXACT, REFERENCE, KEY))
    assert len(reference.ticks) == len(exact.ticks) == 23
    assert not np.array_equal(reference.pts_ms, exact.pts_ms)
    assert (reference.pts_ms >= exact.pts_ms).all()
    assert 5 <= len(key.ticks) < 23
    assert np.array_equal(reference.samples, exact.samples)
    assert np.array_equal(key.samples, exact.samples)


@pytest.mark.parametrize("kind", kinds(*SKIPPING, "vp9.webm", "mpeg4.avi"))
@pytest.mark.parametrize("frames", [REFERENCE, KEY])
def test_units_give_the_frames_samples_and_shots_of_the_whole(kind: Kind, frames: str, folder: Path) -> None:
    path = film(kind, folder)
    [(_, whole)] = decoded(path, frames)
    for unit_windows in (3, 5):
        parts = decoded(path, frames, unit_windows=unit_windows)
        for name in ("ticks", "pts_ms", "frames", "cuts_ms"):
            joined = np.concatenate([getattr(part, name) for _, part in parts])
            assert np.array_equal(joined, getattr(whole, name)), name
        for unit, part in parts:
            first, last = (max(0, at - part.samples_start_ms) * 16 for at in (unit.start_ms, unit.end_ms))
            mine = part.samples[first:last]
            offset = part.samples_start_ms * 16 + first
            theirs = whole.samples[offset : offset + len(mine)]
            tolerance = 1e-4 if set(probe_file(path).container.split(",")).isdisjoint({"matroska", "webm"}) else 0.5
            assert np.allclose(mine[: len(theirs)], theirs, atol=tolerance)
