"""A picture of a bucket's video reads the header and the frames around it, and not the whole; what is purged is not read at all."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from object_store import FaultyProxy, s3_server, use_s3
from PIL import Image

from reelbeam.pipeline.playing import Previews, Thumbnails, VideoSources
from reelbeam.pipeline.playing.video_sources import BLOCK_BYTES
from reelbeam.schemas.storage import Storage
from reelbeam.transforms.ffmpeg import input_flags

pytestmark = pytest.mark.slow

NOISY = "-vf noise=alls=30:allf=t -preset ultrafast -b:v 1M -maxrate 1M -bufsize 1M"
"""Two minutes of noise, about 15 MB: a picture must not need all of it."""

KINDS = {"end.mp4": "", "start.mp4": "-movflags +faststart", "film.mkv": ""}
"""Files with their index at the end, at the start, and as Matroska has it."""

READ_AHEAD_BYTES = 4 * BLOCK_BYTES
"""How much further than in another run the server may be when ffmpeg closes: a matter of chance. A picture reads 7 blocks or more."""


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyProxy]:
    """An S3 server that counts, which the environment names."""
    folder = tmp_path_factory.mktemp("s3")
    with pytest.MonkeyPatch.context() as patch, s3_server(folder, ("videos",)) as url, FaultyProxy(url) as found:
        use_s3(patch, found.endpoint)
        yield found


@pytest.fixture(scope="module")
def videos(proxy: FaultyProxy, make_video: Callable[..., Path]) -> dict[str, dict[str, object]]:
    """Rows of the videos table, and under `file` where the same bytes lie here."""
    found = {}
    for name, extra in KINDS.items():
        file = make_video(name, seconds=120, size="640x360", extra=f"{NOISY} {extra}")
        Storage.at("s3://videos/in").put_file(name, file)
        size = file.stat().st_size
        assert size > 10_000_000
        row = {"video_id": name, "uri": f"s3://videos/in/{name}", "content_sha256": "1", "size_bytes": size}
        found[name] = {**row, "file": file}
    return found


def pixels(jpeg: bytes | None) -> np.ndarray:
    assert jpeg, "no picture"
    return np.asarray(Image.open(io.BytesIO(jpeg)), float)


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_is_that_of_the_file_and_reads_little(
    videos: dict[str, dict[str, object]], proxy: FaultyProxy, name: str
) -> None:
    here, there = Thumbnails(VideoSources()), Thumbnails(VideoSources())
    proxy.counts.clear()
    for at_ms in (90_000, 91_000):
        far = pixels(there.jpeg(videos[name], at_ms))
        near = pixels(here.jpeg({**videos[name], "uri": str(videos[name]["file"])}, at_ms))
        assert np.array_equal(far, near)
    assert proxy.counts["answered_bytes"] < int(str(videos[name]["size_bytes"])) / 5, dict(proxy.counts)
    proxy.counts.clear()
    assert there.jpeg(videos[name], 91_000)
    assert not proxy.counts["requests"], "the picture is in memory"
    there._kept.clear()
    assert there.jpeg(videos[name], 91_000)
    assert proxy.counts["answered_bytes"] <= READ_AHEAD_BYTES, "its blocks are in memory"


def test_a_preview_reads_its_minute(videos: dict[str, dict[str, object]], proxy: FaultyProxy) -> None:
    previews = Previews(VideoSources())
    proxy.counts.clear()
    made = previews.piece(videos["start.mp4"], 1)
    assert made is not None
    assert made.stat().st_size > 10_000
    assert proxy.counts["answered_bytes"] < 0.65 * int(str(videos["start.mp4"]["size_bytes"]))


def test_what_is_gone_has_no_picture(videos: dict[str, dict[str, object]], proxy: FaultyProxy) -> None:
    sources = VideoSources()
    pictures = Thumbnails(sources)
    missing = {**videos["end.mp4"], "uri": "s3://videos/in/nowhere.mp4"}
    assert pictures.jpeg(missing, 1000) is None
    assert pictures.jpeg(videos["end.mp4"], 1000)
    assert sources.held_bytes > 0
    sources.keep(lambda video_id: False)
    pictures.keep(lambda video_id: False)
    assert sources.held_bytes == 0
    proxy.counts.clear()
    assert pictures.jpeg(videos["end.mp4"], 1000) is None
    assert not proxy.counts["requests"], "a video that was purged is not read"


def test_ffmpeg_reads_no_address_of_another_host() -> None:
    with pytest.raises(ValueError, match="alone"):
        input_flags("http://169.254.169.254/latest")
