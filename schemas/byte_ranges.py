"""The Range header of HTTP requests. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple


class ByteRange(NamedTuple):
    """Half-open, in bytes."""

    start: int
    end: int


def asked_range(header: str, size: int) -> ByteRange | None:
    """The range that a Range header asks for; None for the whole, also where it names several or is not understood.

    Raises ValueError for a range that lies outside.

    >>> asked_range("bytes=5-9", 100), asked_range("bytes=90-", 100), asked_range("bytes=-8", 100)
    (ByteRange(start=5, end=10), ByteRange(start=90, end=100), ByteRange(start=92, end=100))
    >>> asked_range("bytes=0-900", 100), asked_range("", 100), asked_range("bytes=0-1,5-9", 100), asked_range("lines=1-2", 100)
    (ByteRange(start=0, end=100), None, None, None)
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
    return ByteRange(start, end)
