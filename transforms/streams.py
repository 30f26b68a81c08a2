"""Which streams of a file are the film and its sound: by default as a player chooses, or as a person says.

In:  ffprobe's records of a file's streams, in its order.
Out: one video record and one audio record, None where there is none.
Bad: InputError("no_such_stream") where the file lacks the stream that was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..schemas.errors import InputError, UsageError

Stream = dict[str, Any]

NOT_FILMS = ("attached_pic", "timed_thumbnails")
"""ffprobe's marks of video streams that are no film."""

PREVIEW = 4
"""Half of the largest track's width and height: a smaller track beside it is a preview. Muxers mark the first track as the
default one when nobody says otherwise, so that the mark of a preview says little."""

LANGUAGE_CODES = {
    two: (two, *three.split(","))
    for two, three in (
        pair.split(":")
        for pair in (
            "af:afr am:amh ar:ara as:asm az:aze ba:bak be:bel bg:bul bn:ben bo:bod,tib br:bre bs:bos ca:cat cs:ces,cze cy:cym,wel "
            "da:dan de:deu,ger el:ell,gre en:eng es:spa et:est eu:eus,baq fa:fas,per fi:fin fo:fao fr:fra,fre gl:glg gu:guj ha:hau "
            "haw:haw he:heb hi:hin hr:hrv ht:hat hu:hun hy:hye,arm id:ind is:isl,ice it:ita ja:jpn jw:jav ka:kat,geo kk:kaz km:khm "
            "kn:kan ko:kor la:lat lb:ltz ln:lin lo:lao lt:lit lv:lav mg:mlg mi:mri,mao mk:mkd,mac ml:mal mn:mon mr:mar ms:msa,may "
            "mt:mlt my:mya,bur ne:nep nl:nld,dut nn:nno no:nor,nob oc:oci pa:pan pl:pol ps:pus pt:por ro:ron,rum ru:rus sa:san "
            "sd:snd si:sin sk:slk,slo sl:slv sn:sna so:som sq:sqi,alb sr:srp su:sun sv:swe sw:swa ta:tam te:tel tg:tgk th:tha "
            "tk:tuk tl:tgl,fil tr:tur tt:tat uk:ukr ur:urd uz:uzb vi:vie yi:yid yo:yor yue:yue zh:zho,chi"
        ).split()
    )
}
"""Whisper's code of a language -> the tags that containers have for it. Source: ISO 639-1 and 639-2 (T and B)."""


CODE_OF = {tag: code for code, tags in LANGUAGE_CODES.items() for tag in tags}
"""The tags of containers -> Whisper's code of a language."""


@dataclass(frozen=True)
class StreamChoice:
    """Which streams a person wants. Empty fields leave it to `choose_video` and `choose_audio`.

    Raises UsageError for what is neither a number nor a language.
    """

    video: str = ""
    """The number of a video stream among those that are no cover picture, from 0, in the file's order: ffmpeg's `V:0`."""
    audio: str = ""
    """The number of an audio stream among all audio streams, from 0 (ffmpeg's `a:0`), or a language: de, deu, ger."""

    def __post_init__(self) -> None:
        if self.video and not _is_number(self.video):
            raise UsageError(f"--video-stream {self.video}: a number is wanted, 0 for the first video stream of a file")
        if self.audio and not _is_number(self.audio) and not tags_of(self.audio):
            raise UsageError(
                f"--audio-stream {self.audio}: a number is wanted, 0 for the first audio stream of a file, or a language such as "
                "de, deu, ger"
            )

    def streams(self, streams: Sequence[Stream]) -> tuple[Stream | None, Stream | None]:
        """The film and the sound of a file. Raises InputError for a stream that it lacks or that ffmpeg cannot decode."""
        video = self._numbered_video(streams) if self.video else choose_video(streams)
        return video, self._asked_audio(streams) if self.audio else choose_audio(streams)

    def _numbered_video(self, streams: Sequence[Stream]) -> Stream:
        films = [one for one in streams if one.get("codec_type") == "video" and not _is_picture(one)]
        return _numbered(films, int(self.video), f"--video-stream {self.video}", _can_show)

    def _asked_audio(self, streams: Sequence[Stream]) -> Stream:
        tracks = [one for one in streams if one.get("codec_type") == "audio"]
        asked = f"--audio-stream {self.audio}"
        if _is_number(self.audio):
            return _numbered(tracks, int(self.audio), asked, _can_play)
        spoken = [one for one in tracks if _language(one) in tags_of(self.audio)]
        found = choose_audio(spoken)
        if found is None:
            raise InputError("no_such_stream", f"{asked}: the file has no such sound; {_described(tracks)}")
        return found


def tags_of(language: str) -> tuple[str, ...]:
    """All tags of a language that is named by one of them; none for what is no language code.

    >>> tags_of("de") == tags_of("ger") == ("de", "deu", "ger"), tags_of("german")
    (True, ())
    """
    wanted = language.lower()
    known = next((tags for tags in LANGUAGE_CODES.values() if wanted in tags), ())
    return known or ((wanted,) if len(wanted) == 3 and wanted.isalpha() else ())


def choose_video(streams: Sequence[Stream]) -> Stream | None:
    """The default video stream, else the one with most pixels, else the first. Cover pictures and thumbnails do not count,
    and neither does a track with fewer than 1/PREVIEW of the pixels of the largest: it is a preview, whatever its mark."""
    films = [
        stream
        for stream in streams
        if stream.get("codec_type") == "video" and _can_show(stream) and not _is_picture(stream)
    ]
    most = max((stream["width"] * stream["height"] for stream in films), default=0)
    return max(
        (stream for stream in films if stream["width"] * stream["height"] * PREVIEW >= most),
        key=lambda stream: (
            stream.get("disposition", {}).get("default", 0),
            stream["width"] * stream["height"],
            -stream["index"],
        ),
        default=None,
    )


def choose_audio(streams: Sequence[Stream]) -> Stream | None:
    """The default audio stream, else the first. One whose codec ffmpeg does not know does not count."""
    tracks = [stream for stream in streams if stream.get("codec_type") == "audio" and _can_play(stream)]
    return max(
        tracks, key=lambda stream: (stream.get("disposition", {}).get("default", 0), -stream["index"]), default=None
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_picture(stream: Stream) -> bool:
    return any(stream.get("disposition", {}).get(mark) for mark in NOT_FILMS)


def _can_show(stream: Stream) -> bool:
    return bool(stream.get("codec_name") and stream.get("width"))


def _can_play(stream: Stream) -> bool:
    return bool(stream.get("codec_name") and int(stream.get("sample_rate") or 0) and stream.get("channels"))


def _language(stream: Stream) -> str:
    """The tag of a stream, without its country: `pt-BR` is `pt`."""
    return str(stream.get("tags", {}).get("language", "")).lower().partition("-")[0]


def _numbered(streams: list[Stream], number: int, asked: str, can_decode: Any) -> Stream:
    if number >= len(streams):
        raise InputError("no_such_stream", f"{asked}: the file has no such stream; {_described(streams)}")
    if not can_decode(streams[number]):
        raise InputError("no_such_stream", f"{asked}: ffmpeg knows no decoder for this stream; {_described(streams)}")
    return streams[number]


def _described(streams: list[Stream]) -> str:
    """What there is to choose from."""
    shown = []
    for number, stream in enumerate(streams):
        size = f" {stream['width']}x{stream['height']}" if stream.get("width") else ""
        language = f" {_language(stream)}" if _language(stream) else ""
        shown.append(f"{number} ({stream.get('codec_name', 'unknown codec')}{size}{language})")
    return f"it has {', '.join(shown)}" if shown else "it has none"
