"""loss_by_joining: measures the media lost in files that were joined byte by byte (`cat a.ts b.ts`).

A demuxer gives only a part of such a file: the timestamps of the second part overlap those of the first, or the header of the
second part is never read. The loss is recorded, so that no such file ends as `ok`.

In:  a file on local disk, ffmpeg's name of its container, the stream that is decoded, and its presentation length in ms.
Out: `Loss`, or None when the whole file is read.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .encrypted import Content
from .ffmpeg import Limits, file_url, guarded_input, run

CLOCKED = ("mpegts", "mpeg", "ogg", "flac")
"""Containers whose demuxers read on into a second part with its own timestamps. Their packets are checked."""

LEAST_BACK_S = 0.5
"""A decode time that goes back by more than this means that the clock restarts. Packets of a stream are in decode order."""

LEAST_LOSS_MS = 500

LONGEST_PACKET_S = 0.2
"""Upper bound of a packet's duration: ffprobe reports a jump of the clock as the duration of the next packet."""

SCAN_LIMITS = Limits(wall_s=600, stall_s=120, output_bytes=1 << 30)

HEADERS = {
    "matroska,webm": re.compile(rb"\x1a\x45\xdf\xa3.{1,40}\x42\x82[\x84-\x88](?:matroska|webm)", re.DOTALL),
    "flv": re.compile(rb"FLV\x01[\x00-\x05]\x00\x00\x00\x09\x00\x00\x00\x00"),
}
"""Signatures at the start of a file. A second signature means a second file, which a demuxer does not read, or only in part.
Sources: RFC 8794 section 11.2 (EBML header, DocType), Adobe Flash Video File Format 10.1 annex E.2."""

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"


@dataclass(frozen=True)
class Loss:
    """Media in a file that are not decoded: their length, and the reason."""

    ms: int
    reason: str


def loss_by_joining(path: Path, container: str, stream: int, duration_ms: int) -> Loss | None:
    """The loss of a file that was joined from several; None for other files."""
    if container in CLOCKED:
        lengths = clock_runs(packet_times(path, stream))
        lost_ms = round(sum(lengths) * 1000) - duration_ms
        if len(lengths) > 1 and lost_ms >= LEAST_LOSS_MS:
            return Loss(
                lost_ms,
                f"the clock starts again {len(lengths) - 1} times: the file holds {sum(lengths):.1f} s, "
                f"{duration_ms / 1000:.1f} s are read; {CURE}",
            )
        return None
    starts = file_starts(path, container)
    if not starts:
        return None
    lost_ms = duration_ms * (path.stat().st_size - starts[0]) // max(starts[0], 1)
    if lost_ms < LEAST_LOSS_MS:
        return None
    return Loss(
        lost_ms,
        f"{len(starts)} more files follow in the same file from byte {starts[0]} on, and are not read: "
        f"about {lost_ms / 1000:.1f} s by their size; {CURE}",
    )


CURE = "cure: join the parts with ffmpeg's concat demuxer, or store them one by one"


def clock_runs(packets: Iterable[tuple[float, float]]) -> list[float]:
    """Length in seconds of each run of packets (decode time, duration) without a restart of the clock.

    >>> clock_runs([(0, 0.1), (1, 0.1), (0, 0.1), (1, 0.1), (2, 0.1)])
    [1.1, 2.1]
    """
    lengths: list[float] = []
    first = last = end = None
    for at, length in packets:
        if first is None or last is None or end is None or at < last - LEAST_BACK_S:
            if first is not None and end is not None:
                lengths.append(end - first)
            first = end = at if first is None else max(at, 0.0)  # times before 0 are not presented
        last = at
        end = max(end, at + min(length, LONGEST_PACKET_S))
    return [*lengths, end - first] if first is not None and end is not None else lengths


def packet_times(path: Path, stream: int) -> Iterator[tuple[float, float]]:
    """(decode time, duration) in seconds of the packets of a stream, in file order. Reads the whole file."""
    inputs = [part for name, value in guarded_input().items() for part in (f"-{name}", value)]
    show = ["-select_streams", str(stream), "-show_entries", "packet=pts_time,dts_time,duration_time"]
    command = ["ffprobe", "-v", "error", *inputs, *show, "-of", "compact=p=0", "-o", "pipe:{pipe0}", file_url(path)]
    for line in bytes(run(command, 1, SCAN_LIMITS).outputs[0]).splitlines():
        facts = dict(part.split(b"=", 1) for part in line.split(b"|") if b"=" in part)
        at = facts.get(b"dts_time", b"N/A")
        at = facts.get(b"pts_time", b"N/A") if at == b"N/A" else at
        length = facts.get(b"duration_time", b"N/A")
        if at != b"N/A":
            yield float(at), 0.0 if length == b"N/A" else float(length)


def file_starts(path: Path, container: str) -> list[int]:
    """Byte offsets at which further files begin within a file, without the first file's 0."""
    with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if container == MP4:
            return mp4_starts(content)
        header = HEADERS.get(container)
        return [found.start() for found in header.finditer(content) if found.start()] if header else []


def mp4_starts(content: Content) -> list[int]:
    """Offsets of further `ftyp` boxes after a complete movie. Fragments do not count, because the demuxer reads them.

    Source: ISO/IEC 14496-12, section 4.2 (boxes) and 4.3 (ftyp).

    >>> box = lambda name, size=8: size.to_bytes(4, "big") + name
    >>> movie = box(b"ftyp") + box(b"moov") + box(b"mdat")
    >>> mp4_starts(movie), mp4_starts(movie + movie)
    ([], [24])
    """
    starts: list[int] = []
    seen: set[bytes] = set()
    at = 0
    while at + 8 <= len(content):
        size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(content[at + 8 : at + 16], "big")
        if kind == b"moof":
            return []
        if kind == b"ftyp" and {b"moov", b"mdat"} <= seen:
            starts.append(at)
        seen.add(kind)
        if size < 8:  # 0: to the end of the file
            break
        at += size
    return starts
