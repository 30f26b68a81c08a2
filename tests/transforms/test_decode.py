"""Frames, sound and cuts come out of the decoder at their true times, however the file is made and cut."""

from __future__ import annotations

import itertools
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import frame_times, made_unit
from hypothesis import given
from hypothesis import strategies as st

from reelbeam.models.preprocessing import square
from reelbeam.schemas.elements import Decoded, Grid, Probe, Unit, Video
from reelbeam.schemas.errors import Failure
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.decode_command import plan_decode, suits_nvdec, tick_of
from reelbeam.transforms.discover import plan_units
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.probe import probe_file

SIZE = 32


def decode(path: Path, grid: Grid, unit_windows: int = 1000) -> list[tuple[Unit, Decoded | None, tuple[Failure, ...]]]:
    """All units of a file, decoded."""
    probe = probe_file(path)
    units = plan_units(Video("0" * 16, str(path), path.stat().st_size, ""), probe, grid, unit_windows)
    return [(unit, *decode_unit(unit, file_url(path), grid, square(SIZE), DecodeLimits())) for unit in units]


def first_at_or_after(times: list[Fraction], zero_s: Fraction, grid: Grid) -> dict[int, Fraction]:
    """The plain loop: for each tick, the first frame at or after its instant, if it comes before the next tick."""
    served: dict[int, Fraction] = {}
    for time_s in sorted(times):
        tick = int((time_s - zero_s) * grid.tick_hz // 1)
        if time_s >= zero_s:
            served.setdefault(tick, time_s)
    return served


def served_ticks(path: Path, grid: Grid, unit_windows: int = 1000) -> dict[int, int]:
    """tick -> pts_ms over all units."""
    found: dict[int, int] = {}
    for _, decoded, failures in decode(path, grid, unit_windows):
        assert decoded is not None
        assert not failures
        new = dict(zip(decoded.ticks.tolist(), decoded.pts_ms.tolist(), strict=True))
        assert not set(new) & set(found)
        found |= new
    return found


MADE = [
    ("a.mp4", "30000/1001", "-c:v libx264 -bf 3"),
    ("b.mkv", "25", "-c:v libx264"),
    ("c.webm", "24", "-c:v libvpx-vp9 -deadline realtime"),
    ("d.ts", "25", "-c:v mpeg2video"),
    ("e.avi", "15", "-c:v mpeg4"),
    ("f.mp4", "12", "-c:v libx264 -output_ts_offset 3.2"),
    ("g.mov", "60", "-c:v libx264 -bf 2"),
    ("h.mkv", "10", "-c:v ffv1"),
]


@pytest.mark.parametrize(("name", "fps", "extra"), MADE)
@pytest.mark.parametrize("tick_hz", ["1", "3", "1/2"])
def test_each_tick_takes_the_first_frame_at_or_after_its_instant(name, fps, extra, tick_hz, make_video) -> None:  # type: ignore[no-untyped-def]
    path = make_video(name, 5, fps=fps, extra=extra)
    grid = Grid(Fraction(tick_hz), 2)
    expected = first_at_or_after(frame_times(path), probe_file(path).zero_s, grid)
    zero = probe_file(path).zero_s
    assert served_ticks(path, grid) == {tick: int((time_s - zero) * 1000 // 1) for tick, time_s in expected.items()}


@pytest.mark.parametrize(("name", "fps", "extra"), [MADE[0], MADE[1], MADE[2], MADE[3], MADE[5]])
@pytest.mark.parametrize("unit_windows", [1, 2, 5])
def test_units_decoded_by_seeking_give_what_the_whole_file_gives(name, fps, extra, unit_windows, make_video) -> None:  # type: ignore[no-untyped-def]
    path = make_video(name, 30, fps=fps, extra=extra)
    grid = Grid(Fraction(1), 2)
    [(_, whole, _)] = decode(path, grid)
    parts = decode(path, grid, unit_windows)
    assert len(parts) > 2
    assert np.array_equal(np.concatenate([part.ticks for _, part, _ in parts]), whole.ticks)
    assert np.array_equal(np.concatenate([part.pts_ms for _, part, _ in parts]), whole.pts_ms)
    assert np.array_equal(np.concatenate([part.frames for _, part, _ in parts]), whole.frames)
    assert np.array_equal(np.concatenate([part.cuts_ms for _, part, _ in parts]), whole.cuts_ms)


def test_a_beep_is_heard_when_it_sounds_from_every_unit(tmp_path: Path) -> None:
    path = tmp_path / "beep.mp4"
    beep = "aevalsrc='if(between(t,25,25.2),sin(2000*t),0)':s=48000:d=40"
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=64x48:r=10:d=40",
            "-f",
            "lavfi",
            "-i",
            beep,
            "-pix_fmt",
            "yuv420p",
            str(path),
        ],
        check=True,
    )
    for _, decoded, _ in decode(path, Grid(Fraction(1), 10), 1):
        loud = np.flatnonzero(np.abs(decoded.samples) > 0.1)
        if len(loud):
            assert decoded.samples_start_ms + loud[0] / 16 == pytest.approx(25_000, abs=20)
            assert decoded.samples_start_ms + loud[-1] / 16 == pytest.approx(25_200, abs=20)


def test_sound_that_comes_in_late_stays_late(tmp_path: Path, make_video) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "late.mp4"
    plain = make_video("plain.mp4", 6)
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-i",
            str(plain),
            "-itsoffset",
            "2.5",
            "-i",
            str(plain),
            "-map",
            "0:v",
            "-map",
            "1:a",
            "-c",
            "copy",
            str(path),
        ],
        check=True,
    )
    [(_, decoded, failures)] = decode(path, Grid())
    assert not failures
    assert decoded.sound_start_ms == pytest.approx(2500, abs=65)  # the encoder's priming frame may count as sound
    loud = np.flatnonzero(np.abs(decoded.samples) > 0.05)
    assert loud[0] / 16 == pytest.approx(2500, abs=20)


def test_ticks_without_a_frame_of_their_own_have_none(tmp_path: Path) -> None:
    path = tmp_path / "gaps.mkv"
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=64x48:r=10:d=8",
            "-vf",
            "select='not(between(t,2,5.95))'",
            "-fps_mode",
            "vfr",
            "-c:v",
            "libx264",
            str(path),
        ],
        check=True,
    )
    assert sorted(served_ticks(path, Grid())) == [0, 1, 6, 7]


def test_frames_are_shown_upright(tmp_path: Path) -> None:
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    halves = "color=red:s=64x64:r=5:d=1[a];color=blue:s=64x64:r=5:d=1[b];[a][b]hstack"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", halves, "-pix_fmt", "yuv420p", str(plain)], check=True
    )
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(plain), "-metadata:s:v", "rotate=90", "-c", "copy", str(turned)], check=True
    )
    probe = probe_file(turned)
    assert (probe.width, probe.height) == (64, 128)
    [(_, decoded, _)] = decode(turned, Grid())
    red = decoded.frames[0].reshape(2, SIZE // 2, SIZE, 3)[..., 0].mean(axis=(1, 2))
    assert abs(red[0] - red[1]) > 100


def test_shots_start_where_the_picture_changes(tmp_path: Path) -> None:
    path = tmp_path / "shots.mp4"
    scenes = (
        "testsrc2=s=96x64:r=10:d=4[a];color=darkblue:s=96x64:r=10:d=3[b];"
        "mandelbrot=s=96x64:r=10[c];[c]trim=duration=5[d];[a][b][d]concat=n=3"
    )
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", scenes, "-pix_fmt", "yuv420p", str(path)], check=True)
    [(_, decoded, _)] = decode(path, Grid())
    assert decoded.cuts_ms.tolist() == [4000, 7000]


def test_a_truncated_file_keeps_its_good_part_and_says_so(tmp_path: Path, make_video) -> None:  # type: ignore[no-untyped-def]
    whole = make_video("whole.mp4", 20, size="320x240", extra="-movflags +faststart")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    [(_, decoded, failures)] = decode(cut, Grid())
    assert 8 < len(decoded.ticks) < 16
    assert [failure.kind for failure in failures] == ["truncated"]
    assert failures[0].end_ms == pytest.approx(20_000, abs=100)


def test_the_same_unit_decodes_to_the_same_bytes_twice(make_video) -> None:  # type: ignore[no-untyped-def]
    path = make_video("twice.mp4", 6)
    [(_, one, _)], [(_, two, _)] = decode(path, Grid()), decode(path, Grid())
    assert np.array_equal(one.frames, two.frames)
    assert np.array_equal(one.samples, two.samples)


@given(st.integers(0, 10**6), st.fractions(Fraction(1, 10), Fraction(60)), st.integers(1, 20), st.integers(1, 50))
def test_units_touch_and_cover_all_windows(duration_ms: int, tick_hz: Fraction, ticks: int, unit_windows: int) -> None:
    grid = Grid(tick_hz, ticks)
    probe = Probe("", duration_ms, Fraction(0), Fraction(0), 0, "", Fraction(1, 90000), 1, 1, 0, 1.0, None, "", 0)
    units = plan_units(Video("0" * 16, "", 0, ""), probe, grid, unit_windows)
    assert units[0].first_window == 0
    assert units[-1].last_window == grid.windows(duration_ms)
    assert all(
        one.last_window == two.first_window and one.end_ms == two.start_ms for one, two in itertools.pairwise(units)
    )
    assert all(0 < unit.last_window - unit.first_window <= unit_windows for unit in units)
    assert [unit.is_last for unit in units] == [False] * (len(units) - 1) + [True]
    plans = [plan_decode(unit, grid) for unit in units]
    assert all(plan.sound_start_s <= plan.video_start_s < plan.video_end_s <= plan.sound_end_s for plan in plans)


@given(
    st.integers(-(10**6), 10**12),
    st.fractions(Fraction(1, 60), Fraction(60)),
    st.sampled_from([Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 1000)]),
)
def test_a_frame_serves_the_tick_that_it_follows(pts: int, tick_hz: Fraction, time_base: Fraction) -> None:
    probe = Probe("", 0, Fraction(1, 3), Fraction(0), 0, "", time_base, 1, 1, 0, 1.0, None, "", 0)
    tick = tick_of(pts, probe, Grid(tick_hz))
    at = pts * time_base - probe.zero_s
    assert tick / tick_hz <= at < (tick + 1) / tick_hz


@pytest.mark.parametrize(
    ("codec", "pixel_format", "width", "expected"),
    [
        ("h264", "yuv420p", 1920, True),
        ("hevc", "yuv420p10le", 3840, True),
        ("h264", "yuv444p", 1920, False),
        ("prores", "yuv422p10le", 1920, False),
        ("h264", "yuv420p", 320, False),
    ],
)
def test_a_gpu_decodes_what_it_can_and_what_is_worth_it(
    codec: str, pixel_format: str, width: int, expected: bool
) -> None:
    unit = made_unit(video_codec=codec, pixel_format=pixel_format, width=width, height=width * 9 // 16)
    assert suits_nvdec(unit.probe) is expected


def test_what_a_gpu_cannot_decode_a_cpu_does(make_video) -> None:  # type: ignore[no-untyped-def]
    path = make_video("large.mp4", 3, size="640x360")
    [(unit, plain, _)] = decode(path, Grid())
    found, failures = decode_unit(
        unit, file_url(path), Grid(), square(SIZE), DecodeLimits(nvdec=True)
    )  # there is no GPU here
    assert not failures
    assert found is not None
    assert np.array_equal(found.frames, plain.frames)
