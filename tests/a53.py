"""Writes CEA-608 captions into the pictures of an H.264 stream, as broadcasters do (ATSC A/53 part 4 in SEI messages).

ffmpeg cannot encode these captions. One byte pair of field 1 goes with each frame.
Sources: CTA-608-E (codes), ATSC A/53 part 4, 6.2.3 (cc_data), ITU-T H.264, 7.3.2.3 and D.1.6 (SEI).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from odd_media import ffmpeg

RCL, ENM, EDM, EOC, RU2, CR = (0x14, 0x20), (0x14, 0x2E), (0x14, 0x2C), (0x14, 0x2F), (0x14, 0x25), (0x14, 0x2D)
ROW_15 = (0x14, 0x70)
IDLE = (0, 0)

Pair = tuple[int, int]


def letters(text: str) -> list[Pair]:
    """Plain letters, two a pair."""
    codes = [*text.encode("ascii"), *([0] if len(text) % 2 else [])]
    return list(zip(codes[::2], codes[1::2], strict=True))


def pop_on(captions: Sequence[tuple[int, int, str]], frames: int) -> list[Pair]:
    """Pairs for each frame: captions (first frame, frame after the last, text) that are loaded before and shown at once."""
    pairs = [IDLE] * frames
    for first, end, text in captions:
        load = [RCL, ENM, ROW_15, *letters(text)]
        pairs[first - len(load) : first + 1] = [*load, EOC]
        pairs[end] = EDM
    return pairs


def roll_up(lines: Sequence[tuple[int, str]], frames: int) -> list[Pair]:
    """Pairs for each frame: lines (first frame, text) that scroll up in two rows, until the last frame clears them."""
    pairs = [IDLE] * (frames - 1) + [EDM]
    for first, text in lines:
        load = [RU2, CR, ROW_15, *letters(text)]
        pairs[first : first + len(load)] = load
    return pairs


def odd(code: int) -> int:
    """A code of 7 bits with its bit of parity."""
    return code | (0x80 if code.bit_count() % 2 == 0 else 0)


def sei(pair: Pair) -> bytes:
    """An SEI message with one pair."""
    data = bytes((0xB5, 0x00, 0x31)) + b"GA94\x03" + bytes((0xC1, 0xFF, 0xFC, odd(pair[0]), odd(pair[1]), 0xFF))
    payload = bytes((6, 4, len(data))) + data + b"\x80"
    return b"\0\0\0\1" + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\0\0\3", payload)


def captioned(path: Path, pairs: Sequence[Pair], rate: int = 25, more: str = "", copied: str = "-c copy") -> Path:
    """A file of made pictures with these pairs, one a frame. `more` are further inputs."""
    bare, whole = path.with_suffix(".bare.h264"), path.with_suffix(".cc.h264")
    source = f"-f lavfi -i testsrc2=s=160x120:r={rate}:d={len(pairs) / rate}"
    ffmpeg(f"{source} -c:v libx264 -bf 0 -g 25 -threads 1 -x264-params slices=1 -pix_fmt yuv420p", bare)
    written, frame = bytearray(), 0
    for nal in re.split(rb"\x00?\x00\x00\x01", bare.read_bytes())[1:]:
        if nal[0] & 31 in (1, 5):
            written += sei(pairs[frame])
            frame += 1
        written += b"\0\0\0\1" + nal
    assert frame == len(pairs)
    whole.write_bytes(written)
    ffmpeg(f"-r {rate} -f h264 -i {whole} {more} {copied}", path)
    bare.unlink()
    whole.unlink()
    return path
