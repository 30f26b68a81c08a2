"""Sound whose channels cancel each other in the mono mix is heard; ordinary sound is not touched."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from reelbeam.models.preprocessing import square
from reelbeam.schemas.elements import Decoded, Grid, Video
from reelbeam.transforms import downmix
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.discover import plan_units, video_id_of
from reelbeam.transforms.downmix import level_dbfs, louder
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.probe import probe_file

TONE = "sine=f=440:d=4:r=16000"


def heard(path: Path, unit_windows: int = 1000) -> list[Decoded]:
    """A file's decoded units."""
    video = Video(video_id_of(str(path)), str(path), path.stat().st_size, "")
    units = plan_units(video, probe_file(path), Grid(window_ticks=2), unit_windows)
    found = []
    for unit in units:
        decoded, failures = decode_unit(unit, file_url(path), Grid(window_ticks=2), square(32), DecodeLimits())
        assert decoded is not None, failures
        found.append(decoded)
    return found


def made(path: Path, pan: str, codec: str = "pcm_s16le") -> Path:
    """A tone of 4 s, spread over channels by ffmpeg's `pan`."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", TONE, "-af", f"pan={pan}", "-c:a", codec]
    subprocess.run([*command, str(path)], check=True, timeout=60)
    return path


@pytest.mark.parametrize(
    ("name", "pan", "codec"),
    [
        ("stereo.wav", "stereo|c0=c0|c1=-1*c0", "pcm_s16le"),
        ("lossy.m4a", "stereo|c0=c0|c1=-1*c0", "aac"),
        ("surround.wav", "5.1|FL=c0|FR=-1*c0|FC=0*c0|LFE=0*c0|BL=0*c0|BR=0*c0", "pcm_s16le"),
    ],
)
def test_channels_that_cancel_in_the_mix_are_heard(tmp_path: Path, name: str, pan: str, codec: str) -> None:
    [decoded] = heard(made(tmp_path / name, pan, codec))
    assert level_dbfs(decoded.samples) > -25
    assert abs(len(decoded.samples) - 4 * 16_000) < 1_600


def test_each_unit_of_such_a_file_is_heard(tmp_path: Path) -> None:
    units = heard(made(tmp_path / "stereo.wav", "stereo|c0=c0|c1=-1*c0"), unit_windows=1)
    assert len(units) == 2
    assert all(level_dbfs(unit.samples) > -25 for unit in units)


@pytest.mark.parametrize("pan", ["stereo|c0=c0|c1=c0", "stereo|c0=c0|c1=0*c0", "stereo|c0=0*c0|c1=0*c0", "mono|c0=c0"])
def test_other_sound_is_the_mix_to_the_bit(tmp_path: Path, pan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path / "a.wav", pan)
    [decoded] = heard(path)
    monkeypatch.setattr(downmix, "may_have_cancelled", lambda mix, unit: False)
    [mixed] = heard(path)
    assert np.array_equal(decoded.samples, mixed.samples)


def test_a_channel_has_to_be_clearly_louder_than_the_mix() -> None:
    quiet, loud = np.full(8, 1e-4, np.float32), np.full(8, 1e-2, np.float32)
    assert louder(quiet, loud) is loud
    assert louder(quiet, quiet * 5) is quiet
    assert louder(np.zeros(8, np.float32), quiet * 0) is not loud
