"""ffmpeg_build: reports which ffmpeg is used and which required components it lacks. For `reelbeam doctor`.

In:  the programs that PATH finds.
Out: `FfmpegBuild`. A missing program is an empty path, not an error.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from .ffmpeg import FORMATS

LEAST_VERSION = (5, 1)
"""The oldest tested version: Debian 12's."""

NEEDED: Mapping[str, tuple[str, ...]] = {
    "decoders": (
        *("h264", "hevc", "vp8", "vp9", "av1", "vvc", "mpeg2video", "mpeg4", "mjpeg", "prores", "theora", "wmv2"),
        *("aac", "mp3", "ac3", "eac3", "flac", "opus", "vorbis", "pcm_s16le", "alac", "wmav2", "amrnb"),
    ),
    "demuxers": tuple(FORMATS.split(",")),
    "protocols": ("file", "pipe"),
    "filters": (
        *("trim", "select", "metadata", "scale", "format", "crop", "split", "setdar", "field"),
        *("atrim", "asetpts", "aresample", "aformat", "zscale", "tonemap"),
    ),
}
"""Required components by kind, named as in `ffmpeg -decoders`, `-demuxers` and so on. The demuxers are ffmpeg.py's list of
allowed formats; some of its names are aliases, so only missing MAIN_DEMUXERS are reported."""

MAIN_DEMUXERS = ("mov", "matroska", "mpegts", "mpeg", "avi", "flv", "asf", "mp3", "aac", "wav", "flac", "ogg", "mxf")

OTHER_DECODERS = {
    "av1": ("libdav1d", "libaom-av1"),
    "opus": ("libopus",),
    "vorbis": ("libvorbis",),
    "mp3": ("mp3float",),
    "vvc": ("libvvdec",),
}
"""Alternative decoders for the same codec."""

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class FfmpegBuild:
    """Facts of one ffmpeg."""

    path: str = ""
    """Empty when there is no ffmpeg."""
    version: str = ""
    ffprobe_path: str = ""
    configuration: str = ""
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Missing components, by kind: decoders, demuxers, protocols, filters."""

    @property
    def is_old(self) -> bool:
        """Whether the version is below LEAST_VERSION; False for one without a number, such as a nightly build."""
        number = version_of(self.version)
        return number is not None and number < LEAST_VERSION


def version_of(text: str) -> tuple[int, int] | None:
    """
    >>> version_of("5.1.9-0+deb12u1"), version_of("7.0.2-static"), version_of("n8.0"), version_of("N-118321-g1")
    ((5, 1), (7, 0), (8, 0), None)
    """
    found = re.match(r"n?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def names_in(report: str) -> set[str]:
    """The component names in a report of `ffmpeg -decoders` (lines of flags, name, description) or `-protocols` (names).

    >>> sorted(names_in("Decoders:\\n V..... = Video\\n ------\\n V....D h264  H.264 / AVC\\n D mov,mp4 QuickTime\\n"))
    ['h264', 'mov', 'mp4']
    >>> sorted(names_in("Input:\\n  file\\n  pipe\\n"))
    ['file', 'pipe']
    """
    found: set[str] = set()
    for line in report.splitlines():
        parts = line.split()
        if len(parts) == 1 and line.startswith(" ") and parts[0].isidentifier():
            found.add(parts[0])
        elif len(parts) > 1 and line.startswith(" ") and parts[1] != "=" and re.fullmatch(r"[A-Z.|]{1,6}", parts[0]):
            found.update(parts[1].split(","))
    return found


def missing_parts(reports: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Required components that are missing from the reports, by kind. Kinds with nothing missing are left out.

    >>> missing_parts({"protocols": "Input:\\n  file\\n"})
    {'protocols': ('pipe',)}
    """
    found = {}
    for kind, report in reports.items():
        there = names_in(report)
        wanted = MAIN_DEMUXERS if kind == "demuxers" else NEEDED[kind]
        lacking = tuple(name for name in wanted if not {name, *OTHER_DECODERS.get(name, ())} & there)
        if lacking:
            found[kind] = lacking
    return found


def ffmpeg_build() -> FfmpegBuild:
    """The ffmpeg found in PATH, and the components that it lacks."""
    path, probe = shutil.which("ffmpeg") or "", shutil.which("ffprobe") or ""
    if not path:
        return FfmpegBuild(ffprobe_path=probe)
    said = _output_of(path, "-version")
    version = re.search(r"^ffmpeg version (\S+)", said)
    configuration = re.search(r"^\s*configuration: (.*)$", said, re.MULTILINE)
    return FfmpegBuild(
        path,
        version[1] if version else "",
        probe,
        configuration[1] if configuration else "",
        missing_parts({kind: _output_of(path, f"-{kind}") for kind in NEEDED}),
    )


def _output_of(path: str, question: str) -> str:
    command = [path, "-hide_banner" if question != "-version" else "-nostdin", question]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False).stdout
