"""encryption_of: detects encrypted media, so that the error says "a key is needed" instead of a decoder's messages.

In:  a file on local disk.
Out: a description of the encryption, or "" for a file that is not encrypted or whose container is not supported here.

Headers are walked element by element. A search for an entry's bytes would also find them in tables and checksums of
files that are not encrypted: about once in a thousand videos whose header has a megabyte.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

HEAD_BYTES = 1 << 16

MOST_ELEMENTS = 100_000
"""Elements of one level that are looked at. A longer level belongs to a damaged or hostile file."""


class Content(Protocol):
    """Bytes by offset: of a file in memory, on disk or in a bucket."""

    def __len__(self) -> int: ...

    def __getitem__(self, span: slice, /) -> bytes: ...


Element = tuple[bytes, int, int]
"""Its name or id, and the start and end of its content."""

MP4_ENTRIES = {
    b"encv": "video sample entry encv: Common Encryption (CENC), as Widevine, PlayReady and ClearKey use it",
    b"enca": "audio sample entry enca: Common Encryption (CENC), as Widevine, PlayReady and ClearKey use it",
    b"drms": "sample entry drms: FairPlay",
    b"drmi": "sample entry drmi: FairPlay",
    b"aavd": "sample entry aavd: Audible",
}
"""Sample entries of encrypted tracks. Sources: ISO/IEC 14496-12 section 8.12, ISO/IEC 23001-7 (CENC)."""

MP4_PATH = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
"""Boxes around the sample entries. Source: ISO/IEC 14496-12 section 8.5.2."""

STSD_HEAD_BYTES = 8
"""Version, flags and number of entries, before the entries."""

EBML_MAGIC = b"\x1a\x45\xdf\xa3"
MATROSKA_PATH = (b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\x6d\x80", b"\x62\x40", b"\x50\x35")
"""Segment, Tracks, TrackEntry, ContentEncodings, ContentEncoding, ContentEncryption. Source: RFC 9559 section 5.1.4.1.31."""

MATROSKA_CLUSTER = b"\x1f\x43\xb6\x75"
"""The first one ends the header."""

EBML_HEAD_BYTES = 12
"""The longest id and size of an element. Source: RFC 8794 sections 4 and 5, RFC 9559 section 4."""

TS_PACKET, TS_SYNC = 188, 0x47
MOST_CLEAR = 0.5
"""Largest share of scrambled transport packets in a file that counts as clear: single private streams may be scrambled."""


def encryption_of(path: Path) -> str:
    """A description of the encryption that the container declares; "" if it declares none."""
    with open(path, "rb") as stream:
        head = stream.read(HEAD_BYTES)
        if not is_mp4(head) and not head.startswith(EBML_MAGIC):
            return ts_encryption(head)
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return mp4_encryption(content) if is_mp4(head) else matroska_encryption(content)


def is_mp4(head: bytes) -> bool:
    """Whether a file that begins so is an MP4 or QuickTime file."""
    return head[4:8] in (b"ftyp", b"moov", b"styp", b"free", b"wide", b"mdat", b"skip")


def mp4_encryption(content: Content) -> str:
    """A description of the encrypted sample entry in a movie's header; "" if there is none.

    >>> def box(kind, inner): return (8 + len(inner)).to_bytes(4, "big") + kind + inner
    >>> def movie(entry):
    ...     inner = bytes(8) + box(entry, bytes(4))
    ...     for kind in reversed(MP4_PATH):
    ...         inner = box(kind, inner)
    ...     return box(b"ftyp", b"isom") + inner
    >>> mp4_encryption(movie(b"encv"))[:23], mp4_encryption(movie(b"avc1") + box(b"free", b"encv"))
    ('video sample entry encv', '')
    """
    for _, start, end in descend(content, boxes, MP4_PATH):
        for entry, _, _ in boxes(content, start + STSD_HEAD_BYTES, end):
            if entry in MP4_ENTRIES:
                return MP4_ENTRIES[entry]
    return ""


def matroska_encryption(content: Content) -> str:
    """A description of the encryption in the header of a Matroska or WebM track; "" if there is none.

    >>> def element(key, inner): return key + bytes([0x80 | len(inner)]) + inner
    >>> def movie(path):
    ...     inner = b""
    ...     for key in reversed(path):
    ...         inner = element(key, inner)
    ...     return element(EBML_MAGIC, b"") + inner
    >>> matroska_encryption(movie(MATROSKA_PATH)), matroska_encryption(movie(MATROSKA_PATH[:-1]))
    ("ContentEncryption in the track's header", '')
    """
    found = next(descend(content, ebml_elements, MATROSKA_PATH), None)
    return "ContentEncryption in the track's header" if found else ""


def descend(
    content: Content, elements: Callable[[Content, int, int], Iterator[Element]], path: Sequence[bytes]
) -> Iterator[Element]:
    """Every element at a path of nested elements, in the file's order. Only the first outermost one is entered."""

    def below(start: int, end: int, depth: int) -> Iterator[Element]:
        for element in elements(content, start, end):
            if element[0] == path[depth]:
                if depth == len(path) - 1:
                    yield element
                else:
                    yield from below(element[1], element[2], depth + 1)
                if depth == 0:
                    return

    return below(0, len(content), 0)


def boxes(content: Content, at: int, end: int) -> Iterator[Element]:
    """The boxes of an MP4 file in a span of it. Source: ISO/IEC 14496-12 section 4.2."""
    for _ in range(MOST_ELEMENTS):
        if at + 8 > end:
            return
        size, start = int.from_bytes(content[at : at + 4], "big"), at + 8
        if size == 1:
            size, start = int.from_bytes(content[at + 8 : at + 16], "big"), at + 16
        if size == 0:  # to the end
            size = end - at
        if size < start - at:
            return
        yield content[at + 4 : at + 8], start, min(at + size, end)
        at += size


def ebml_elements(content: Content, at: int, end: int) -> Iterator[Element]:
    """The EBML elements in a span of a file, up to the first cluster. One of unknown size reaches to the span's end.

    Source: RFC 8794 sections 4 to 6.
    """
    for _ in range(MOST_ELEMENTS):
        if at + 2 > end:
            return
        head = content[at : at + EBML_HEAD_BYTES]
        key_bytes = 9 - head[0].bit_length()
        if not head[0] or key_bytes > 4 or at + key_bytes >= end or not head[key_bytes]:
            return
        size_bytes = 9 - head[key_bytes].bit_length()
        start = at + key_bytes + size_bytes
        bits = 7 * size_bytes
        size = int.from_bytes(head[key_bytes : key_bytes + size_bytes], "big") & ((1 << bits) - 1)
        if size == (1 << bits) - 1:
            size = end - start
        if head[:key_bytes] == MATROSKA_CLUSTER:
            return
        yield head[:key_bytes], start, min(start + size, end)
        at = start + size


def ts_encryption(head: bytes) -> str:
    """A description of how many packets of a transport stream are scrambled; "" unless most are.

    Source: ISO/IEC 13818-1 section 2.4.3.2, transport_scrambling_control.

    >>> packet = bytes([0x47, 0, 0, 0x90]) + bytes(184)
    >>> ts_encryption(packet * 20), ts_encryption(bytes([0x47, 0, 0, 0x10]) + bytes(184))
    ('20 of the first 20 transport packets are scrambled', '')
    """
    packets = [head[at : at + TS_PACKET] for at in range(0, len(head) - TS_PACKET + 1, TS_PACKET)]
    if not packets or any(packet[0] != TS_SYNC for packet in packets):
        return ""
    scrambled = sum(bool(packet[3] & 0xC0) for packet in packets)
    if scrambled <= MOST_CLEAR * len(packets):
        return ""
    return f"{scrambled} of the first {len(packets)} transport packets are scrambled"
