"""Shots that the decode pass finds are the same whatever the units, and finding them changes nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from reelbeam.models.preprocessing import square
from reelbeam.schemas.elements import Decoded, Grid, Unit, Video
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.decode_command import NO_SHOTS, SCENE, ShotSearch, decode_command, plan_decode
from reelbeam.transforms.discover import plan_units
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.probe import probe_file
from reelbeam.transforms.unit_cuts import cut_times

GRID = Grid(window_ticks=2)
SCENES = (
    "mandelbrot=s=160x90:r=25:start_scale=0.4[a];testsrc=s=160x90:r=25[b];color=darkgreen:s=160x90:r=25,noise=alls=8[c];"
    "mandelbrot=s=160x90:r=25:start_scale=0.02[d];[a]trim=duration=9[e];[b]trim=duration=9[f];[c]trim=duration=7[g];"
    "[d]trim=duration=9[h];[e][f]xfade=duration=1:offset=8,settb=1/25[i];[i][g][h]concat=n=3"
)
"""A dissolve from 8 to 9 s, and cuts at 17 and 24 s, of 33 s."""


def units(path: Path, unit_windows: int) -> list[Unit]:
    video = Video("0" * 16, str(path), path.stat().st_size, "")
    return plan_units(video, probe_file(path), GRID, unit_windows)


def decoded(path: Path, shots: str = "adaptive", unit_windows: int = 1000) -> list[Decoded]:
    found = []
    for unit in units(path, unit_windows):
        one, failures = decode_unit(unit, file_url(path), GRID, square(32), DecodeLimits(ShotSearch(shots)))
        assert one is not None
        assert not failures
        found.append(one)
    return found


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        SCENES,
        "-f",
        "lavfi",
        "-i",
        "sine=d=33",
        "-pix_fmt",
        "yuv420p",
    ]
    subprocess.run([*command, "-preset", "ultrafast", "-g", "50", str(path)], check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def uneven(film: Path) -> Path:
    """The same pictures at an uneven rate, in a container that counts milliseconds."""
    path = film.with_name("uneven.mkv")
    command = ["ffmpeg", "-v", "error", "-i", str(film), "-vf", "select='not(eq(mod(n,7),3))*not(eq(mod(n,5),1))'"]
    subprocess.run([*command, "-fps_mode", "vfr", "-preset", "ultrafast", str(path)], check=True, timeout=60)
    return path


@pytest.mark.parametrize("unit_windows", [2, 3, 5])
@pytest.mark.parametrize("name", ["film", "uneven"])
def test_units_of_any_length_find_the_same_shots(name: str, unit_windows: int, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(name)
    [whole] = decoded(path)
    assert len(whole.cuts_ms) == 3
    assert 8_000 <= whole.cuts_ms[0] <= 9_000
    assert np.abs(whole.cuts_ms[1:] - [17_000, 24_000]).max() <= 80
    parts = decoded(path, unit_windows=unit_windows)
    assert len(parts) > 3
    assert np.concatenate([part.cuts_ms for part in parts]).tolist() == whole.cuts_ms.tolist()


@pytest.mark.parametrize("unit_windows", [4, 1000])
def test_looking_for_shots_changes_no_frame_no_time_and_no_sample(film: Path, unit_windows: int) -> None:
    for other in (SCENE, NO_SHOTS):
        for one, two in zip(decoded(film, "adaptive", unit_windows), decoded(film, other, unit_windows), strict=True):
            assert all(
                np.array_equal(getattr(one, name), getattr(two, name))
                for name in ("frames", "ticks", "pts_ms", "samples", "sound_start_ms", "sound_end_ms")
            )


def test_nothing_is_read_twice_or_written_where_no_shots_are_looked_for(film: Path) -> None:
    [unit] = units(film, 1000)
    command = decode_command("a", unit, plan_decode(unit, GRID), GRID, square(32), ShotSearch(NO_SHOTS))
    assert not any("split" in part or "{pipe2}" in part or "{pipe4}" in part for part in command)


def test_sound_alone_a_single_frame_and_a_clock_that_goes_back_have_no_shots(tmp_path: Path) -> None:
    sound, still = tmp_path / "sound.wav", tmp_path / "still.mp4"
    for source, path in (("sine=d=3", sound), ("testsrc=s=64x36:r=1:d=1", still)):
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, str(path)], check=True, timeout=60)
        assert [len(one.cuts_ms) for one in decoded(path)] == [0]
    pictures = np.random.default_rng(1).integers(0, 255, (100, 3456)).astype(np.uint8)
    assert not len(cut_times(ShotSearch(), pictures, np.zeros(100, np.int64)))


def test_cuts_belong_to_the_unit_that_they_lie_in(film: Path) -> None:
    for unit, one in zip(units(film, 4), decoded(film, unit_windows=4), strict=True):
        assert ((unit.start_ms <= one.cuts_ms) & ((one.cuts_ms < unit.end_ms) | unit.is_last)).all()
