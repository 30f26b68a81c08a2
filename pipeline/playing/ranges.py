"""The bytes of a video by HTTP range: of a file here, or of an object in a bucket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...schemas.addresses import is_remote
from .open_buckets import OpenBuckets

PIECE_BYTES = 1 << 20
"""Bytes in memory at once for one reader of a file."""

OBJECT_BYTES = 8 << 20
"""Most of an object that one answer gives; a browser asks for more as it plays."""


class Span(NamedTuple):
    """Half-open, in bytes."""

    start: int
    end: int


def asked_span(header: str, size: int) -> Span | None:
    """The span that a Range header asks for; None for the whole, also where it names several or is not understood.

    Raises ValueError for a span that lies outside.

    >>> asked_span("bytes=5-9", 100), asked_span("bytes=90-", 100), asked_span("bytes=-8", 100), asked_span("bytes=0-900", 100)
    (Span(start=5, end=10), Span(start=90, end=100), Span(start=92, end=100), Span(start=0, end=100))
    >>> asked_span("", 100), asked_span("bytes=0-1,5-9", 100), asked_span("lines=1-2", 100)
    (None, None, None)
    """
    found = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", header.strip(), re.ASCII)
    if not found or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= end:
        raise ValueError(f"{header} of {size} bytes")
    return Span(start, end)


def size_of(uri: str, buckets: OpenBuckets) -> int:
    """Bytes of a file or object now. Raises FileNotFoundError."""
    if not is_remote(uri):
        if not Path(uri).is_file():
            raise FileNotFoundError(uri)
        return Path(uri).stat().st_size
    storage, path = buckets.of(uri)
    return storage.head(path).size_bytes


def pieces(uri: str, span: Span, buckets: OpenBuckets) -> Iterator[bytes]:
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
