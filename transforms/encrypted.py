"""encryption_of: detects encrypted media, so that the error says "a key is needed" instead of a decoder's messages.

In:  a file on local disk.
Out: a description of the encryption, or "" for a file that is not encrypted or whose container is not supported here.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

HEAD_BYTES = 1 << 16

MP4_ENTRIES = {
    b"encv": "video sample entry encv: Common Encryption (CENC), as Widevine, PlayReady and ClearKey use it",
    b"enca": "audio sample entry enca: Common Encryption (CENC), as Widevine, PlayReady and ClearKey use it",
    b"drms": "sample entry drms: FairPlay",
    b"drmi": "sample entry drmi: FairPlay",
    b"aavd": "sample entry aavd: Audible",
}
"""Sample entries of encrypted tracks. Sources: ISO/IEC 14496-12 section 8.12, ISO/IEC 23001-7 (CENC)."""

MATROSKA = re.compile(rb"\x6d\x80.{1,40}\x50\x35", re.DOTALL)
"""ContentEncodings with a ContentEncryption. Source: RFC 9559 section 5.1.4.1.31."""

TS_PACKET, TS_SYNC = 188, 0x47
MOST_CLEAR = 0.5
"""Largest share of scrambled transport packets in a file that counts as clear: single private streams may be scrambled."""


def encryption_of(path: Path) -> str:
    """A description of the encryption that the container declares; "" if it declares none."""
    with open(path, "rb") as stream:
        head = stream.read(HEAD_BYTES)
        if head[4:8] in (b"ftyp", b"moov", b"styp", b"free", b"wide", b"mdat", b"skip"):
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return mp4_encryption(content)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "ContentEncryption in the track's header" if MATROSKA.search(head) else ""
    return ts_encryption(head)


def mp4_encryption(content: bytes | mmap.mmap) -> str:
    """A description of the encrypted sample entry in a movie's header; "" if there is none.

    >>> entry = (12).to_bytes(4, "big") + b"encv" + bytes(4)
    >>> mp4_encryption((8 + len(entry)).to_bytes(4, "big") + b"moov" + entry)[:23]
    'video sample entry encv'
    """
    at = 0
    while at + 8 <= len(content):
        size, kind, start = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8], at + 8
        if size == 1:
            size, start = int.from_bytes(content[at + 8 : at + 16], "big"), at + 16
        if size < 8:
            size = len(content) - at
        if kind == b"moov":
            header = content[start : at + size]
            return next((said for entry, said in MP4_ENTRIES.items() if entry in header), "")
        at += size
    return ""


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
