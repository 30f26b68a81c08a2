"""Captions that lie within the pictures (CEA-608): read on the presentation clock, only where there are some, and nothing else opened."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from reelbeam.models.subtitles import Subtitles
from reelbeam.schemas.elements import Caption
from reelbeam.transforms import closed_captions
from reelbeam.transforms.closed_captions import has_closed_captions, read_closed_captions
from reelbeam.transforms.probe import probe_file

from ..a53 import captioned, pop_on, roll_up
from ..odd_media import ffmpeg

SHOWN = [(50, 100, "HELLO THERE"), (150, 220, "THE QUICK BROWN FOX")]
SOURCE = "cea608 in stream 0"


def texts(captions: tuple[Caption, ...]) -> list[tuple[str, float, float]]:
    return [(one.text, one.start_ms / 1000, one.end_ms / 1000) for one in captions]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_they_are_read_on_the_presentation_clock(tmp_path: Path, suffix: str) -> None:
    path = captioned(tmp_path / f"talk{suffix}", pop_on(SHOWN, 250))
    probe = probe_file(path, captions=True)
    assert [one.text for one in probe.captions] == ["HELLO THERE", "THE QUICK BROWN FOX"]
    assert {(one.source, one.language) for one in probe.captions} == {(SOURCE, "")}
    for (first, end, _), (_, start_s, end_s) in zip(SHOWN, texts(probe.captions), strict=True):
        assert start_s == pytest.approx(first / 25, abs=0.1)
        assert end_s == pytest.approx(end / 25, abs=0.1)
    assert probe_file(path).captions == (), "no sense wants them"


def test_they_stand_beside_the_captions_of_text_streams(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nBonjour\n")
    path = captioned(
        tmp_path / "talk.mkv", pop_on(SHOWN, 250), more=f"-i {tmp_path}/a.srt", copied="-map 0 -map 1 -c copy"
    )
    found = probe_file(path, captions=True).captions
    assert [one.source.partition(" in ")[0] for one in found] == ["stream 1, subrip", "cea608", "cea608"]


def test_a_row_that_scrolls_up_is_said_once(tmp_path: Path) -> None:
    lines = [(10, "FIRST LINE"), (60, "SECOND LINE"), (110, "THIRD LINE"), (160, "FOURTH LINE")]
    path = captioned(tmp_path / "news.ts", roll_up(lines, 225))
    found = probe_file(path, captions=True).captions
    assert [one.text for one in found] == [text for _, text in lines]
    starts = [one.start_ms for one in found]
    assert starts == sorted(set(starts))


def test_a_file_without_them_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_captions, "run", lambda *_: pytest.fail("decoded"))
    path = tmp_path / "quiet.mp4"
    ffmpeg("-f lavfi -i testsrc2=s=64x48:r=10:d=2 -pix_fmt yuv420p", path)
    assert not has_closed_captions(path)
    assert read_closed_captions(path, {"index": 0}, Fraction(0), 2000) == ((), "")


def test_a_name_is_never_a_part_of_the_graph(tmp_path: Path) -> None:
    folder = tmp_path / "it's [out];,movie=x:y\\z"
    folder.mkdir()
    path = captioned(tmp_path / "talk.mp4", pop_on(SHOWN, 250)).rename(folder / "100%d 'talk'.mp4")
    found, lost = read_closed_captions(path, {"index": 0}, Fraction(0), 10_000)
    assert (len(found), lost) == (2, "")


@pytest.mark.parametrize("head", ["#EXTM3U\nfile:///{secret}\n", "ffconcat version 1.0\nfile {secret}\n"])
def test_no_other_file_is_opened_and_what_is_broken_says_so(tmp_path: Path, head: str) -> None:
    secret = captioned(tmp_path / "secret.mp4", pop_on(SHOWN, 250))
    playlist = tmp_path / "talk.mp4"
    playlist.write_bytes(head.format(secret=secret).encode() + b"# GA94\x03\n")
    found, lost = read_closed_captions(playlist, {"index": 0}, Fraction(0), 1000)
    assert found == ()
    assert lost.startswith("closed captions: ")
    assert str(tmp_path) not in lost.replace(str(playlist), ""), "it says only its own name"


def test_the_sense_has_another_version_since_it_reads_them() -> None:
    assert Subtitles().identity()["version"] == 2
