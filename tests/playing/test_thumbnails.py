"""A thumbnail shows the frame of its instant; what is kept is bounded, and goes with its video."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reelbeam.pipeline.playing import FileCache, Thumbnails, VideoSources, thumbnails


def video_of(file: Path) -> dict[str, object]:
    return {"video_id": "a", "uri": str(file), "content_sha256": "1", "size_bytes": file.stat().st_size}


def test_each_instant_has_its_own_frame_and_an_unreadable_video_none(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    video = video_of(make_video())
    made = Thumbnails(VideoSources())
    first, later = (made.jpeg(video, at_ms) for at_ms in (0, 3000))
    assert first
    assert later
    pixels = [np.asarray(Image.open(io.BytesIO(jpeg)), float) for jpeg in (first, later)]
    assert pixels[0].shape[0] == thumbnails.HEIGHT_PX
    assert np.abs(pixels[0] - pixels[1]).mean() > 1
    assert made.jpeg({**video, "uri": str(tmp_path / "gone.mp4"), "content_sha256": "2"}, 0) is None


def test_a_kept_picture_needs_no_ffmpeg_and_goes_with_its_video(
    make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    video, made = video_of(make_video()), Thumbnails(VideoSources())
    first = made.jpeg(video, 1000)
    monkeypatch.setattr(thumbnails, "frame_at", lambda *_: None)
    assert made.jpeg(video, 1000) == first
    made.keep(lambda video_id: video_id != "a")
    assert made.jpeg(video, 1000) is None


def test_pictures_are_kept_up_to_a_limit(make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "frame_at", lambda *_: b"x" * (20 << 20))
    made = Thumbnails(VideoSources())
    for at_ms in range(0, 10_000, 1000):
        made.jpeg(video_of(make_video()), at_ms)
    assert sum(map(len, made._kept.values())) <= thumbnails.MEMORY_BYTES


def test_the_files_used_longest_ago_go_first() -> None:
    cache = FileCache(25)
    made: list[str] = []

    def get(name: str) -> Path:
        def make(file: Path) -> None:
            made.append(name)
            file.write_bytes(b"0123456789")

        return cache.get((name,), make)

    get("a"), get("b"), get("a")
    assert made == ["a", "b"]
    get("c")  # drops b
    assert get("a").exists()
    assert made == ["a", "b", "c"]
    get("b")
    assert made == ["a", "b", "c", "b"]
    cache.keep(lambda key: key == ("b",))
    assert get("b").exists()
    with pytest.raises(FileNotFoundError):
        get("a")  # also one that was being made meanwhile is not kept


def test_a_file_that_could_not_be_made_is_not_kept() -> None:
    cache = FileCache(100)

    def fail(file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        cache.get(("a",), fail)
    assert cache.get(("a",), lambda file: file.write_bytes(b"whole") and None).read_bytes() == b"whole"
