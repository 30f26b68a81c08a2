"""Another ffmpeg than the system's, found first on PATH, gives the same frames and sound."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from kinds import KINDS

from reelbeam.models.preprocessing import square
from reelbeam.schemas.elements import Decoded, Grid, Video
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.discover import plan_units
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.ffmpeg_build import ffmpeg_build, version_of
from reelbeam.transforms.probe import probe_file

KINDS_TRIED = ("h264.mp4", "vp9.webm", "variable.mkv", "two_tracks.mkv", "sound_only.mp3")
"""Without transport streams: PyPI's static 7.0.2 crashes on every one, with the plainest command too (signal 11)."""


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a newer ffmpeg under its own name: PyPI's static build, which has no ffprobe."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="cure: pip install imageio-ffmpeg")
    folder = tmp_path_factory.mktemp("newer")
    (folder / "ffmpeg").symlink_to(imageio_ffmpeg.get_ffmpeg_exe())
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.file in KINDS_TRIED], ids=lambda kind: kind.file)
def test_a_newer_ffmpeg_gives_the_same_frames_and_sound(
    kind,
    newer: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    path, grid = kind.make(tmp_path), Grid(Fraction(5), 10)

    def decoded() -> Decoded:
        [unit] = plan_units(Video("0" * 16, str(path), 1, ""), probe_file(path), grid, 1000)
        one, failures = decode_unit(unit, file_url(path), grid, square(64), DecodeLimits())
        assert failures == ()
        assert one is not None
        return one

    old = decoded()
    monkeypatch.setenv("PATH", f"{newer}{os.pathsep}{os.environ['PATH']}")
    new = decoded()
    assert np.array_equal(old.ticks, new.ticks)
    assert np.array_equal(old.pts_ms, new.pts_ms)
    if len(old.frames):
        assert np.abs(old.frames.astype(int) - new.frames).mean() < 1
    assert abs(len(old.samples) - len(new.samples)) <= 1600
    shared = min(len(old.samples), len(new.samples))
    assert np.abs(old.samples[:shared] - new.samples[:shared]).mean() < 0.01


@pytest.mark.slow
def test_the_build_that_path_finds_is_the_one_that_is_told_of(newer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{newer}{os.pathsep}{os.environ['PATH']}")
    build = ffmpeg_build()
    assert build.path == str(newer / "ffmpeg")
    assert (version_of(build.version) or (99, 0)) >= (6, 0)
    assert not build.is_old


def test_the_system_s_build_lacks_nothing_that_decodes_the_kinds_we_promise() -> None:
    build = ffmpeg_build()
    assert build.version
    assert build.configuration
    assert set(build.missing) <= {"decoders"}
    assert set(build.missing.get("decoders", ())) <= {"vvc"}


def test_without_a_program_there_is_no_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg_build().path == ""
