"""Subtitle files beside a video, such as `talk.srt` and `talk.en.vtt`: which belong to which video, and what they say.

In:  names as a listing gives them; `Sidecar` records of one video.
Out: videos with their sidecars; captions, whose times count from the start of the presentation.
Bad: a file that is too large, in another encoding than can be told, or without a caption, costs itself: the reason names it.
"""

from __future__ import annotations

import codecs
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path, PurePosixPath

from ..schemas.elements import Caption, Sidecar, Video
from ..schemas.errors import InputError, ObjectRefused
from ..schemas.storage import Storage
from .captions import CAPTION_LIMITS, parse_srt
from .ffmpeg import file_url, guarded_input, run
from .streams import CODE_OF

DEMUXERS = {".srt": "srt", ".vtt": "webvtt", ".ass": "ass", ".ssa": "ass"}
"""Suffix of a sidecar -> ffmpeg's demuxer, which is forced: nothing else is read out of such a file."""

MARKS = frozenset(("forced", "sdh", "cc", "default", "full"))
"""What names say beside the language."""

MOST_BYTES = 16 << 20

SOURCE = "sidecar: "
"""How the source of a sidecar's captions begins; the file's name follows."""

LOST = "sidecar "
"""How the reason begins why a sidecar could not be read."""

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""UTF-32's begins with UTF-16's, so it comes first."""

CODE_PAGES = {
    language: page
    for page, languages in {
        "cp1252": "en fr de es it pt nl sv da no nn fi is",
        "cp1250": "pl cs sk hu sl hr bs ro sq",
        "cp1251": "ru uk bg be mk sr",
        "cp1253": "el",
        "cp1254": "tr az",
        "cp1255": "he yi",
        "cp1256": "ar fa ur",
        "cp1257": "lt lv et",
        "cp1258": "vi",
        "cp874": "th",
        "cp932": "ja",
        "cp949": "ko",
        "gb18030": "zh",
    }.items()
    for language in languages.split()
}
"""Language -> the Windows code page of its old subtitle files, tried for files that are not UTF-8. Source: Microsoft's list of
code page identifiers."""


def split_name(path: str) -> list[tuple[str, str]]:
    """The names of videos, without suffix, that a subtitle file may belong to, the longest first, each with the language that the rest
    of its name says.

    >>> split_name("in/talk.en.forced.srt")
    [('in/talk.en.forced', ''), ('in/talk.en', ''), ('in/talk', 'en')]
    >>> split_name("in/talk.pt-BR.vtt"), split_name("talk.2.srt")
    ([('in/talk.pt-BR', ''), ('in/talk', 'pt')], [('talk.2', '')])
    """
    stem, language = path[: -len(PurePosixPath(path).suffix)], ""
    found = [(stem, "")]
    while "." in PurePosixPath(stem).name[1:]:
        stem, _, said = stem.rpartition(".")
        code = CODE_OF.get(said.lower().replace("_", "-").partition("-")[0], "")
        if not code and said.lower() not in MARKS:
            break
        language = code or language
        found.append((stem, language))
    return found


def is_sidecar(path: str) -> bool:
    """Whether a name is that of a subtitle file."""
    return PurePosixPath(path).suffix.lower() in DEMUXERS


def sidecars_of(uris: Iterable[str], beside: Iterable[Sidecar]) -> dict[int, tuple[Sidecar, ...]]:
    """The place in `uris` of each video that has subtitle files `beside` it that bear its name, with those, sorted by name."""
    beside = [*beside]
    stems = {stem for one in beside for stem, _ in split_name(one.uri)}
    at: dict[str, list[int]] = {}
    for number, uri in enumerate(uris) if stems else ():
        stem = uri[: len(uri) - len(PurePosixPath(uri).suffix)]
        if stem in stems:
            at.setdefault(stem, []).append(number)
    own: dict[int, list[Sidecar]] = {}
    for one in beside:
        for stem, language in split_name(one.uri):
            if stem in at:
                for number in at[stem]:
                    own.setdefault(number, []).append(replace(one, language=language))
                break
    return {number: tuple(sorted(held, key=lambda one: one.uri)) for number, held in own.items()}


def with_sidecars(videos: Sequence[Video], beside: Iterable[Sidecar]) -> list[Video]:
    """The videos with those of the subtitle files `beside` them that bear their names."""
    own = sidecars_of((video.uri for video in videos), beside)
    return [replace(video, sidecars=own[at]) if at in own else video for at, video in enumerate(videos)]


def sidecars_as_listed(video: Video) -> str | None:
    """What the videos table stores of a video's sidecars: name, bytes and etag of each as JSON; None without one."""
    listed = [[one.name, one.size_bytes, one.etag] for one in video.sidecars]
    return json.dumps(listed, ensure_ascii=False) if listed else None


def decoded(content: bytes, language: str) -> str:
    """The text of a subtitle file. Raises InputError for an encoding that cannot be told.

    >>> decoded("Grüße".encode(), ""), decoded("Grüße".encode("utf-16"), ""), decoded("Grüße".encode("cp1252"), "de")
    ('Grüße', 'Grüße', 'Grüße')
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError as error:
                raise InputError("encoding", f"it begins as {encoding} and is not: {error.reason}") from error
    for encoding in ("utf-8", *([CODE_PAGES[language]] if language in CODE_PAGES else [])):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    tried = f" nor {CODE_PAGES[language]}, as old files in its language are" if language in CODE_PAGES else ""
    raise InputError("encoding", f"it is not UTF-8{tried}; cure: iconv -f ENCODING -t UTF-8, or name its language")


def read_sidecars(sidecars: Sequence[Sidecar]) -> tuple[tuple[Caption, ...], str]:
    """The captions of a video's sidecars, and why some could not be read ("" when all were).

    Raises StorageError when the store does not answer.
    """
    found: list[Caption] = []
    lost: list[str] = []
    for one in sidecars:
        try:
            found += read_sidecar(one)
        except InputError as error:
            lost.append(f"{one.name}: {error}")
    return tuple(found), LOST + "; ".join(lost) if lost else ""


def read_sidecar(sidecar: Sidecar) -> list[Caption]:
    """The captions of one file. Raises InputError when it cannot be read or has none."""
    if sidecar.size_bytes > MOST_BYTES:
        raise InputError("oversized", f"it has {sidecar.size_bytes} bytes; at most {MOST_BYTES} are read")
    storage, path = Storage.of_object(sidecar.uri)
    try:
        text = decoded(storage.get(path), sidecar.language)
    except FileNotFoundError:
        raise InputError("vanished", "it was listed but is gone") from None
    except ObjectRefused as error:
        raise InputError("unreadable", str(error)) from error
    demuxer = DEMUXERS[PurePosixPath(sidecar.name).suffix.lower()]
    with tempfile.TemporaryDirectory(prefix="reelbeam-sidecar-") as folder:
        local = Path(folder, "subtitles")
        local.write_text(text, encoding="utf-8", newline="")
        inputs = {**guarded_input(), "format_whitelist": demuxer}
        command = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", *_flags(inputs)]
        command += ["-f", demuxer, "-i", file_url(local), "-map", "0:s:0", "-c:s", "text", "-f", "srt", "pipe:{pipe0}"]
        finished = run(command, 1, CAPTION_LIMITS)
    stream = {"tags": {"language": sidecar.language}}
    captions = parse_srt(
        bytes(finished.outputs[0]).decode(errors="replace"), stream, Fraction(0), SOURCE + sidecar.name
    )
    if finished.exit_code or not captions:
        said = finished.errors.replace(file_url(local), sidecar.name).strip()
        raise InputError("broken", f"it holds no caption that ffmpeg can read{f': {said}' if said else ''}")
    return captions


def _flags(options: dict[str, str]) -> list[str]:
    return [part for name, value in options.items() for part in (f"-{name}", value)]
