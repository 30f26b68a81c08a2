"""Subtitle files beside a video: whose they are, in what language and encoding, and what a broken one costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelbeam.schemas.elements import Caption, Sidecar, Video
from reelbeam.schemas.errors import InputError
from reelbeam.transforms.discover import probe_video
from reelbeam.transforms.listing import list_videos
from reelbeam.transforms.sidecars import decoded, read_sidecars, sidecars_of
from reelbeam.transforms.stage import shared_stage

from ..odd_media import ffmpeg

SRT = "1\n00:00:01,000 --> 00:00:02,500\n<i>Grüße</i>,\nalle\n\n2\n00:00:09,500 --> 00:00:12,000\nBis dann\n"
VTT = "WEBVTT\n\nNOTE made by hand\n\n00:01.000 --> 00:02.500 align:start\nGood <b>morning</b>\n"
ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname\nStyle: Default,Arial\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:01.00,0:00:02.50,Default,,0,0,0,,{\\an8}Bonjour\\Nà tous\n"
)


def video(uri: str) -> Video:
    return Video(uri, uri, 1, "e")


def names(videos: list[Video]) -> dict[str, list[tuple[str, str]]]:
    return {Path(one.uri).name: [(side.name, side.language) for side in one.sidecars] for one in videos}


def test_a_file_belongs_to_the_video_whose_name_it_bears_and_names_its_language() -> None:
    videos = [
        video("in/talk.mp4"),
        video("in/talk.en.mp4"),
        video("in/talk 2.mkv"),
        video("in/b/talk.mp4"),
        video("in/talk.mp3"),
    ]
    beside = [
        "in/talk.srt",
        "in/talk.de.vtt",
        "in/talk.en.srt",
        "in/talk.pt-BR.ass",
        "in/talk.fra.forced.srt",
        "in/talk 2.SRT",
    ]
    strangers = ["in/other.srt", "in/talk.commentary.srt", "in/talkative.srt"]
    found = sidecars_of([one.uri for one in videos], [Sidecar(name, 1, "e") for name in beside + strangers])
    shared = [("talk.de.vtt", "de"), ("talk.fra.forced.srt", "fr"), ("talk.pt-BR.ass", "pt"), ("talk.srt", "")]
    assert [[(side.name, side.language) for side in found.get(at, ())] for at in range(len(videos))] == [
        shared,
        [("talk.en.srt", "")],
        [("talk 2.SRT", "")],
        [],
        shared,
    ]  # fmt: skip


@pytest.mark.parametrize("glob", ["", "*.mp4", "talk.mp4"])
def test_they_are_found_where_a_folder_a_glob_or_one_file_is_listed(tmp_path: Path, glob: str) -> None:
    for name in ("talk.mp4", "talk.srt", "talk.en.vtt", "quiet.mp4", ".talk.de.srt"):
        (tmp_path / name).write_text("x")
    found = names(list_videos(str(tmp_path / glob)))
    assert found["talk.mp4"] == [("talk.en.vtt", "en"), ("talk.srt", "")]
    assert found.get("quiet.mp4", []) == []


def beside(folder: Path, files: dict[str, bytes]) -> Video:
    ffmpeg(
        "-f lavfi -i testsrc2=s=64x48:r=10:d=14 -f lavfi -i sine=440:r=16000:d=14 -pix_fmt yuv420p", folder / "talk.mp4"
    )
    for name, content in files.items():
        (folder / name).write_bytes(content)
    [found] = list_videos(str(folder))
    return found


def test_every_file_is_read_on_the_presentation_clock(tmp_path: Path) -> None:
    files = {"talk.de.srt": SRT.encode(), "talk.en.vtt": VTT.encode(), "talk.fr.ass": ASS.encode()}
    probe = probe_video(beside(tmp_path, files), shared_stage(), captions=True)
    assert probe.captions == (  # type: ignore[union-attr]
        Caption("de", "Grüße, alle", 1000, 2500, "sidecar: talk.de.srt"),
        Caption("en", "Good morning", 1000, 2500, "sidecar: talk.en.vtt"),
        Caption("fr", "Bonjour à tous", 1000, 2500, "sidecar: talk.fr.ass"),
        Caption("de", "Bis dann", 9500, 12000, "sidecar: talk.de.srt"),
    )


def test_files_are_not_read_where_no_sense_wants_them(tmp_path: Path) -> None:
    found = beside(tmp_path, {"talk.srt": SRT.encode()})
    assert found.sidecars
    assert probe_video(found, shared_stage()).captions == ()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("encoding", "language"),
    [("utf-8-sig", ""), ("utf-16", ""), ("utf-16-be", ""), ("utf-32", ""), ("cp1252", "de"), ("cp1251", "ru"), ("gb18030", "zh")],
)  # fmt: skip
def test_encodings_are_told_by_their_mark_or_by_the_language(encoding: str, language: str) -> None:
    text = {"ru": "Привет", "zh": "你好"}.get(language, "Grüße")
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    assert decoded(mark + text.encode(encoding), language) == text


def test_an_encoding_that_cannot_be_told_is_refused_with_the_cure() -> None:
    with pytest.raises(InputError, match="not UTF-8; cure: iconv -f ENCODING -t UTF-8, or name its language"):
        decoded("Grüße".encode("cp1252"), "")
    with pytest.raises(InputError, match="not UTF-8 nor cp1252"):
        decoded(b"\x81\x8d", "de")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no caption"),
        (b"\x00\x01\x02" * 50, "no caption"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "no caption"),
        ("é".encode("cp1252"), "not UTF-8"),
    ],
)
def test_a_broken_file_costs_itself_and_names_the_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    found = beside(tmp_path, {"talk.srt": content, "talk.en.vtt": VTT.encode()})
    captions, lost = read_sidecars(found.sidecars)
    assert [one.text for one in captions] == ["Good morning"]
    assert lost.startswith("sidecar talk.srt: ")
    assert reason in lost


def test_a_file_that_has_gone_or_is_huge_costs_itself(tmp_path: Path) -> None:
    gone, huge = Sidecar(str(tmp_path / "a.srt"), 5, "e"), Sidecar(str(tmp_path / "b.srt"), 1 << 30, "e")
    captions, lost = read_sidecars([gone, huge])
    assert not captions
    assert "a.srt: it was listed but is gone" in lost
    assert "b.srt: it has 1073741824 bytes; at most 16777216 are read" in lost
