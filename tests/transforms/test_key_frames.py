"""The gaps between key frames are measured in a few videos, and what cannot be read costs only itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from reelbeam.schemas.errors import UsageError
from reelbeam.transforms import key_frames
from reelbeam.transforms.key_frames import measured_gaps
from reelbeam.transforms.streams import StreamChoice

Make = Callable[..., Path]


def test_the_middle_video_gives_the_rate_and_broken_ones_none(make_video: Make, tmp_path: Path) -> None:
    for name, every in (("a.mp4", 10), ("b.mkv", 40), ("c.ts", 60)):
        shutil.copy(make_video(name, 14, extra=f"-g {every}"), tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    shutil.copy(make_video("sound.m4a", 3, extra="-vn"), tmp_path)
    found = measured_gaps(str(tmp_path), StreamChoice())
    assert sorted(found.gaps_s) == pytest.approx([1, 4, 6], abs=0.01)
    assert found.tick_hz == Fraction(1, 4)


def test_no_more_videos_are_measured_than_needed(
    make_video: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_frames, "READ_AT_MOST", 3)
    for number in range(8):
        shutil.copy(make_video("a.mp4", 2), tmp_path / f"{number}.mp4")
    assert len(measured_gaps(str(tmp_path), StreamChoice()).gaps_s) == 3


def test_where_no_video_has_key_frames_the_rate_must_be_given(make_video: Make, tmp_path: Path) -> None:
    shutil.copy(make_video("sound.m4a", 3, extra="-vn"), tmp_path)
    with pytest.raises(UsageError, match="no video of which key frames can be read; cure: give frames a second"):
        measured_gaps(str(tmp_path), StreamChoice())
