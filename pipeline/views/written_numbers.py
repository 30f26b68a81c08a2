"""How times, ages and sizes are written for people."""

from __future__ import annotations


def clock(at_ms: int) -> str:
    """A time in a video.

    >>> clock(3_725_400)
    '1:02:05.4'
    >>> clock(65_000)
    '1:05.0'
    """
    minutes, ms = divmod(at_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{ms // 1000:02d}.{ms % 1000 // 100}"


def size(size_bytes: float) -> str:
    """
    >>> size(0), size(1_500), size(2_345_678)
    ('0 B', '1.5 kB', '2.3 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def age(age_s: float) -> str:
    """
    >>> age(5), age(7_300), age(200_000)
    ('5 s', '2 h', '2 d')
    """
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if age_s >= length_s:
            return f"{age_s // length_s:.0f} {unit}"
    return f"{age_s:.0f} s"


def when(at: str) -> str:
    """An instant given in ISO 8601.

    >>> when("2026-11-27T02:00:13+00:00")
    '2026-11-27 02:00:13'
    """
    return at[:19].replace("T", " ")
