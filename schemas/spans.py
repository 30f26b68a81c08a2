"""Byte spans of one object: merges requested spans into few requests. Pure functions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Span = tuple[int, int]
"""(start, end) in bytes, half-open."""

GAP_BYTES = 16 << 10
"""Spans with a smaller gap are fetched together: a request costs more than reading the gap."""


def coalesce(spans: Iterable[Span], gap_bytes: int = GAP_BYTES) -> list[Span]:
    """Merges spans whose gaps are at most `gap_bytes`.

    >>> coalesce([(100, 200), (0, 50), (150, 300), (5000, 6000)], gap_bytes=64)
    [(0, 300), (5000, 6000)]
    """
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[1] > span[0]):
        if found and start - found[-1][1] <= gap_bytes:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def cut(spans: Sequence[Span], pieces: Sequence[bytes], start: int, end: int) -> bytes | None:
    """The bytes from `start` to `end`, from the pieces fetched for sorted spans; None when no single piece has them all.

    >>> cut([(10, 14)], [b"abcd"], 11, 13), cut([(10, 14)], [b"abcd"], 11, 20)
    (b'bc', None)
    """
    at = bisect_right(spans, start, key=lambda span: span[0]) - 1
    if at < 0 or spans[at][1] < end:
        return None
    return pieces[at][start - spans[at][0] : end - spans[at][0]]
