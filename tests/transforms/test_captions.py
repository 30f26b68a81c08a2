"""Captions inside a file are read on the presentation clock, in every container that holds text."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import pytest

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset import Dataset
from reelbeam.schemas.elements import Caption, Grid, Video
from reelbeam.transforms.discover import plan_units
from reelbeam.transforms.probe import probe_file

from ..odd_media import ffmpeg

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Good morning</i>

2
00:00:09,500 --> 00:00:12,000
{\\an8}Across the border
of two windows

3
00:00:21,000 --> 00:00:22,000
1
00:00:98 is no time
"""
TEXTS = ["Good morning", "Across the border of two windows", "1 00:00:98 is no time"]
CODECS = {"mp4": "mov_text", "mov": "mov_text", "mkv": "subrip", "webm": "webvtt"}


def captioned(folder: Path, container: str, codec: str, offset_s: str = "0") -> Path:
    """25 s of pictures and sound with captions in German and, without a tag, in another stream."""
    (folder / "a.srt").write_text(SRT)
    (folder / "b.srt").write_text("1\n00:00:03,000 --> 00:00:04,000\nBonjour\n")
    sources = "-f lavfi -i testsrc2=s=64x48:r=10:d=25 -f lavfi -i sine=440:r=16000:d=25"
    words = f"-i {folder}/a.srt -i {folder}/b.srt -map 0 -map 1 -map 2 -map 3 -metadata:s:s:0 language=ger"
    made = folder / f"captioned.{container}"
    made.parent.mkdir(exist_ok=True)
    return ffmpeg(f"{sources} {words} -pix_fmt yuv420p -g 10 -c:s {codec} -output_ts_offset {offset_s}", made)


@pytest.mark.parametrize(
    ("container", "codec"),
    [*CODECS.items(), pytest.param("mkv", "ass", id="mkv-ass"), pytest.param("mkv", "webvtt", id="mkv-vtt")],
)
def test_captions_of_every_stream_stand_at_their_times(container: str, codec: str, tmp_path: Path) -> None:
    probe = probe_file(captioned(tmp_path, container, codec), captions=True)
    assert not probe.captions_lost
    german = [one for one in probe.captions if one.language == "de"]
    assert [one.text for one in german] == TEXTS
    for one, start_ms, end_ms in zip(german, (1000, 9500, 21000), (2500, 12000, 22000), strict=True):
        assert abs(one.start_ms - start_ms) <= 40
        assert abs(one.end_ms - end_ms) <= 40
    [other] = [one for one in probe.captions if one.language != "de"]
    assert (other.text, other.language) == ("Bonjour", "")


def test_a_presentation_that_starts_late_on_the_files_clock_moves_its_captions(tmp_path: Path) -> None:
    probe = probe_file(captioned(tmp_path, "mkv", "subrip", offset_s="5"), captions=True)
    assert abs(probe.captions[0].start_ms - 1000) <= 100


def test_a_unit_carries_its_own_captions_alone(tmp_path: Path) -> None:
    path = captioned(tmp_path, "mp4", "mov_text")
    video = Video("0" * 16, str(path), path.stat().st_size, "")
    units = plan_units(video, probe_file(path, captions=True), Grid(Fraction(1), 10), 1)
    assert [[one.text for one in unit.probe.captions] for unit in units] == [
        ["Good morning", "Bonjour", TEXTS[1]],
        [TEXTS[1]],
        [TEXTS[2]],
    ]


def test_captions_are_not_read_where_no_sense_wants_them(tmp_path: Path) -> None:
    assert probe_file(captioned(tmp_path, "mp4", "mov_text")).captions == ()


def test_captions_come_into_the_rows_that_show_them(tmp_path: Path) -> None:
    bucket, output = tmp_path / "bucket", tmp_path / "output"
    bucket.mkdir()
    captioned(tmp_path, "mp4", "mov_text").rename(bucket / "captioned.mp4")
    ffmpeg("-f lavfi -i testsrc2=s=64x48:r=10:d=5 -pix_fmt yuv420p", bucket / "plain.mp4")
    flags = ["--models", "offline", "--senses", "+subtitles", "--window-ticks", "10"]
    assert main(["extract", str(bucket), str(output), *flags]) == 0
    found = {}
    for _, batch in Dataset.open(str(output)).batches(["uri", "window", "subtitles", "subtitles_status"]):
        for row in batch.to_pylist():
            texts = [one["text"] for one in row["subtitles"] or ()]
            found[Path(row["uri"]).name, row["window"]] = (row["subtitles_status"], texts)
    assert found == {
        ("captioned.mp4", 0): ("ok", ["Good morning", "Bonjour", TEXTS[1]]),
        ("captioned.mp4", 1): ("ok", [TEXTS[1]]),
        ("captioned.mp4", 2): ("ok", [TEXTS[2]]),
        ("plain.mp4", 0): ("absent", []),
    }


def test_real_captions_are_read(media: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        probe = probe_file(media / "androidx-media" / "sample_with_srt.mkv", captions=True)
    assert probe.captions
    assert all(isinstance(one, Caption) and one.text for one in probe.captions)
