"""The bytes of a video by HTTP range: of a file here, or of an object in a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...schemas.addresses import is_remote
from ...schemas.byte_ranges import ByteRange
from .open_buckets import OpenBuckets

PIECE_BYTES = 1 << 20
"""Bytes in memory at once for one reader of a file."""

OBJECT_BYTES = 8 << 20
"""Most of an object that one answer gives; a browser asks for more as it plays."""


def size_of(uri: str, buckets: OpenBuckets) -> int:
    """Bytes of a file or object now. Raises FileNotFoundError."""
    if not is_remote(uri):
        if not Path(uri).is_file():
            raise FileNotFoundError(uri)
        return Path(uri).stat().st_size
    storage, path = buckets.of(uri)
    return storage.head(path).size_bytes


def pieces(uri: str, span: ByteRange, buckets: OpenBuckets) -> Iterator[bytes]:
    """The bytes of a span, a piece at a time. Raises FileNotFoundError."""
    if is_remote(uri):
        storage, path = buckets.of(uri)
        for start in range(span.start, span.end, PIECE_BYTES):
            yield from storage.get_spans(path, [(start, min(start + PIECE_BYTES, span.end))])
        return
    with open(uri, "rb") as stream:
        stream.seek(span.start)
        left = span.end - span.start
        while left and (piece := stream.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            yield piece
