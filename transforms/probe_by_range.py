"""probe_by_range: the facts of a long remote video, from the few megabytes that its container keeps them in.

In:  a listed remote `Video` of at least LONG_BYTES.
Out: a `Probe` with `by_range`, whose units are decoded from byte ranges; None for a file that has to be staged whole.
Bad: as probe_file.

The hash of its bytes stays unknown: only reading all of it would tell. So such a video is extracted again when its etag changes
although its bytes did not, and copies of it are not recognized.
"""

from __future__ import annotations

from dataclasses import replace

from ..schemas.elements import Probe, Video
from ..schemas.errors import InputError
from .encrypted import (
    EBML_MAGIC,
    HEAD_BYTES,
    MATROSKA_PATH,
    Content,
    boxes,
    descend,
    ebml_elements,
    is_mp4,
    matroska_encryption,
    mp4_encryption,
)
from .joined import mp4_starts
from .probe import BY_DEFAULT, KEY_NEEDED, ffprobe_report, probe_of
from .range_server import range_server
from .remote_blocks import RemoteObject
from .streams import StreamChoice

LONG_BYTES = 256 << 20
"""Smaller files are staged whole: one request costs less than many, and the hash of their bytes is known."""

SEEK_PATH = (MATROSKA_PATH[0], b"\x11\x4d\x9b\x74", b"\x4d\xbb", b"\x53\xab")
"""Segment, SeekHead, Seek, SeekID. Source: RFC 9559 section 5.1.1."""

CUES = b"\x1c\x53\xbb\x6b"


class _NeedsAll(Exception):
    """The file has to be read as a whole."""


def probe_by_range(video: Video, choice: StreamChoice = BY_DEFAULT, captions: bool = False) -> Probe | None:
    """The facts of a remote video, or None where ranges would not do: its container has no index, or further files follow."""
    held = RemoteObject.open(video)
    if captions or not is_indexed(held):  # captions lie all over the file
        return None
    described = mp4_encryption(held) if is_mp4(held[:HEAD_BYTES]) else matroska_encryption(held)
    if described:
        raise InputError("encrypted", KEY_NEEDED.format(described))
    with range_server().serving(held) as source:
        report = ffprobe_report(source, video.uri.rpartition("/")[2])
    try:
        return replace(probe_of(report, choice, len(held), _count_ms), by_range=True)
    except _NeedsAll:
        return None


def _count_ms(*_: object) -> int:
    raise _NeedsAll


def is_indexed(content: Content) -> bool:
    """Whether a file has an index that leads to any second: an MP4 file with all samples in its moov, or Matroska with cues.

    >>> box = lambda kind, inner=b"": (8 + len(inner)).to_bytes(4, "big") + kind + inner
    >>> film = box(b"ftyp") + box(b"mdat", bytes(9)) + box(b"moov", box(b"trak"))
    >>> is_indexed(film), is_indexed(film + film), is_indexed(film[:25])
    (True, False, False)
    >>> is_indexed(box(b"ftyp") + box(b"moov", box(b"mvex")) + box(b"moof"))
    False
    """
    if is_mp4(content[:HEAD_BYTES]):
        movie = any(kind == b"moov" for kind, _, _ in boxes(content, 0, len(content)))
        return movie and not any(descend(content, boxes, (b"moov", b"mvex"))) and not mp4_starts(content)
    return content[:4] == EBML_MAGIC and has_cues(content)


def has_cues(content: Content) -> bool:
    """Whether the first segment of a Matroska file names cues, and fills the file.

    >>> element = lambda key, inner: key + bytes([0x80 | len(inner)]) + inner
    >>> inner = CUES
    >>> for key in reversed(SEEK_PATH):
    ...     inner = element(key, inner)
    >>> film = element(EBML_MAGIC, b"") + inner
    >>> has_cues(film), has_cues(film + film), has_cues(element(EBML_MAGIC, b"") + element(SEEK_PATH[0], b""))
    (True, False, False)
    """
    segments = (end for key, _, end in ebml_elements(content, 0, len(content)) if key == SEEK_PATH[0])
    return next(segments, 0) == len(content) and any(
        content[at:end] == CUES for _, at, end in descend(content, ebml_elements, SEEK_PATH)
    )
