"""A preview is a small MP4 of a minute, whatever the video is; it is made once and goes with its video."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reelbeam.pipeline.playing import Previews, VideoSources, previews
from reelbeam.schemas.errors import InputError


def video_of(file: Path) -> dict[str, object]:
    return {"video_id": "a", "uri": str(file), "content_sha256": "1"}


def test_prores_becomes_a_small_h264_and_is_made_once(
    make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make_video("film.mov", extra="-c:v prores_ks -pix_fmt yuv422p10le")
    kept = Previews(VideoSources())
    made = kept.piece(video_of(file), 0)
    assert made is not None
    asked = [
        "ffprobe",
        "-v",
        "error",
        "-show_entries",
        "stream=codec_name:format=duration",
        "-of",
        "csv=p=0",
        str(made),
    ]
    shown = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    assert shown[:2] == ["h264", "aac"]
    assert float(shown[2]) == pytest.approx(5, abs=0.2)
    monkeypatch.setattr(previews, "transcode", lambda *_: pytest.fail("made again"))
    assert kept.piece(video_of(file), 0) == made


def test_what_cannot_be_decoded_has_none(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_text("#EXTM3U\nfile:///etc/passwd")
    assert Previews(VideoSources()).piece(video_of(file), 0) is None
    with pytest.raises(InputError, match="no preview"):
        previews.transcode(file, 0, tmp_path / "out.mp4")
