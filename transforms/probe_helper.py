"""The program of the probing process: facts of plain MP4 files by PyAV, in ffprobe's words, one JSON object per line.

    python -m reelbeam.transforms.probe_helper < paths > reports

In:  a JSON string per line: the path of a local file.
Out: per line what `ffprobe -show_format -show_streams` says, cut down to what probe.py reads; or {"reason": ...}: why this file
     must be given to ffprobe.

Only what both state alike is answered: files with one movie header, without fragments, turned pictures or rare codecs. PyAV
brings its own FFmpeg libraries, which may be newer than the ffprobe installed. A file that they refuse goes to ffprobe too,
so that errors are always ffprobe's.
"""

from __future__ import annotations

import json
import mmap
import re
import signal
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

from .encrypted import boxes, descend

CODECS = ("h264", "hevc", "mpeg4", "vp9", "av1", "aac", "mp3", "opus", "flac", "alac", "ac3", "eac3")
"""Codecs whose streams PyAV and ffprobe describe alike. A file with another picture or sound goes to ffprobe."""

FIELD_ORDERS = {2: "tt", 3: "bb", 4: "tb", 5: "bt"}
"""libavcodec's AVFieldOrder, from 2 on interlaced, in ffprobe's words."""

AAC_PROFILES = ("LC", "HE-AAC", "HE-AACv2")
"""Profiles of AAC that old decoders know too."""

HDR = (16, 18)
"""Transfer characteristics of high dynamic range: PQ and HLG. Source: ISO/IEC 23091-2, table 3."""

UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
"""The matrix of a picture that is shown as it is stored. Source: ISO/IEC 14496-12 sections 8.2.2 and 8.3.2."""

STALL_S = 20
"""The process ends itself when one file takes longer: MP4 headers take milliseconds."""

Report = dict[str, Any]


class Unsuited(Exception):
    """A file that must be given to ffprobe; says why."""


def check_layout(content: bytes | mmap.mmap) -> None:
    """Raises Unsuited unless a file is an MP4 with one plain movie header: no fragments, no turned pictures."""
    if content[4:8] != b"ftyp":
        raise Unsuited("it does not start as an MP4 file")
    kinds = [kind for kind, _, _ in boxes(content, 0, len(content))]
    if kinds.count(b"moov") != 1 or kinds.count(b"ftyp") != 1 or b"moof" in kinds:
        raise Unsuited("it has fragments or more than one header")
    if next(descend(content, boxes, (b"moov", b"mvex")), None):
        raise Unsuited("its header announces fragments")
    if any(_matrix(content, start, 36) != UPRIGHT for _, start, _ in descend(content, boxes, (b"moov", b"mvhd"))):
        raise Unsuited("its movie is turned or moved")
    tracks = descend(content, boxes, (b"moov", b"trak", b"tkhd"))
    if any(_matrix(content, start, 40) != UPRIGHT for _, start, _ in tracks):
        raise Unsuited("a track is turned or moved")
    entries = descend(content, boxes, (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"))
    if any(states_hdr(bytes(content[start:end])) for _, start, end in entries):
        raise Unsuited("its colours are of high dynamic range")


def states_hdr(entry: bytes) -> bool:
    """Whether a `colr` box in a sample description names a transfer of HDR: two such boxes may contradict each other."""
    found = [at.end() for at in re.finditer(b"colrncl[xc]", entry)]
    return any(int.from_bytes(entry[at + 2 : at + 4], "big") in HDR for at in found)


def _matrix(content: bytes | mmap.mmap, start: int, offset: int) -> tuple[int, ...]:
    """The matrix of a movie or track header, `offset` bytes after its start in version 0, 12 later in version 1."""
    at = start + offset + (12 if content[start] == 1 else 0)
    return tuple(int.from_bytes(content[at + 4 * part : at + 4 * part + 4], "big", signed=True) for part in range(9))


def report_of(path: Path) -> Report:
    """What ffprobe would say of a file. Raises Unsuited, and PyAV's errors for a file that it cannot read."""
    import av

    from .ffmpeg import file_url, guarded_input

    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        check_layout(content)
    with av.open(file_url(path), options=guarded_input(), metadata_errors="replace") as media:
        streams = [stream_record(stream) for stream in media.streams]
        record: Report = {"format_name": media.format.name}
        if media.start_time is not None:
            record["start_time"] = _seconds(media.start_time, Fraction(1, 1_000_000))
    return {"format": record, "streams": streams}


def stream_record(stream: Any) -> Report:
    """One stream in ffprobe's words. Raises Unsuited for a kind of stream that the two may describe otherwise."""
    codec = stream.codec_context
    marks = stream.disposition
    record: Report = {
        "index": stream.index,
        "codec_type": stream.type,
        "time_base": f"{stream.time_base.numerator}/{stream.time_base.denominator}",
        "disposition": {name: int(name in marks_of(marks)) for name in ("default", "attached_pic", "timed_thumbnails")},
        "tags": dict(stream.metadata),
    }
    if stream.type not in ("video", "audio"):
        if stream.type == "data":
            return record
        raise Unsuited(f"it has a stream of kind {stream.type}")
    if codec is None or codec.codec.canonical_name not in CODECS or stream.start_time is None or not stream.duration:
        raise Unsuited(f"stream {stream.index} has a rare codec, or no start or length")
    record["codec_name"] = codec.codec.canonical_name
    record["start_time"] = _seconds(stream.start_time, stream.time_base)
    record["duration"] = _seconds(stream.duration, stream.time_base)
    if record["codec_name"] == "aac" and codec.profile not in AAC_PROFILES:
        raise Unsuited(f"stream {stream.index} is AAC of the profile {codec.profile}")
    if stream.type == "audio":
        return record | {"channels": codec.layout.nb_channels, "sample_rate": str(codec.sample_rate)}
    if codec.pix_fmt is None or codec.color_trc in HDR:
        raise Unsuited(f"stream {stream.index} is of high dynamic range, or of unknown pixels")
    record |= {"width": codec.width, "height": codec.height, "pix_fmt": codec.pix_fmt}
    record |= {"avg_frame_rate": _rate(stream.average_rate), "r_frame_rate": _rate(stream.base_rate)}
    if aspect := stream.sample_aspect_ratio:
        record["sample_aspect_ratio"] = f"{aspect.numerator}:{aspect.denominator}"
    if codec.field_order in FIELD_ORDERS:
        record["field_order"] = FIELD_ORDERS[codec.field_order]
    return record


def marks_of(disposition: Any) -> set[str]:
    """The names of a stream's marks that are set."""
    return {mark.name for mark in type(disposition) if mark in disposition}


def _seconds(units: int, time_base: Fraction) -> str:
    """A time as ffprobe prints it: a double with six digits.

    >>> _seconds(1024, Fraction(1, 44100))
    '0.023220'
    """
    return f"{units * (time_base.numerator / time_base.denominator):f}"


def _rate(rate: Fraction | None) -> str:
    return f"{rate.numerator}/{rate.denominator}" if rate else "0/0"


def main() -> None:
    """Answers until its input ends, which it does with the process that started it."""
    for line in sys.stdin:
        signal.alarm(STALL_S)  # not caught: it ends this process
        try:
            answer = report_of(Path(json.loads(line)))
        except Unsuited as error:
            answer = {"reason": str(error)}
        except Exception as error:  # PyAV has its own tree of errors; whatever it says, ffprobe has the last word
            answer = {"reason": f"PyAV: {type(error).__name__}"}
        signal.alarm(0)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
