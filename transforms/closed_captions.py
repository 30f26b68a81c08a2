"""read_closed_captions: the CEA-608 captions that lie within a file's pictures (ATSC A/53), on the presentation clock.

In:  a file on local disk, and the record of its film.
Out: captions, a row each where rows scroll; source `cea608 in stream N`. Their language is not known.
Bad: a decoder that breaks off gives the reason. A file without A/53 data is not decoded.

ffmpeg gives these captions only through a filter graph (`movie` with `subcc`), which decodes every frame: so the file is first searched for
the mark of A/53 data. The graph opens the file by itself, and gets the same whitelists as every other input. Of CEA-708, ffmpeg reads the
608 captions that it carries along; of two fields the first that speaks (CC1 or CC2, not CC3).

Sources: ATSC A/53 part 4, 6.2.3 (user data); CTA-608-E; ffmpeg's libavdevice/lavfi.c and libavfilter/src_movie.c.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from ..schemas.elements import Caption
from ..schemas.errors import InputError
from .captions import TIMED, ms_of_clock
from .ffmpeg import FORMATS, Limits, file_url, run
from .streams import Stream

A53_MARK = b"GA94\x03"
"""user_identifier and user_data_type_code of closed captions, in MPEG-2, H.264 and H.265 alike."""

LEAST_WALL_S = 600.0

CONTINUES_MS = 100
"""A row goes on where the next event begins at most this late."""


def has_closed_captions(path: Path) -> bool:
    """Whether a file holds the mark of A/53 captions. Reads all of it, and decodes nothing."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(A53_MARK) >= 0


def read_closed_captions(
    path: Path, video: Stream, zero_s: Fraction, duration_ms: int
) -> tuple[tuple[Caption, ...], str]:
    """The captions within the pictures of a stream, and why they could not all be read ("" when they were)."""
    if not has_closed_captions(path):
        return (), ""
    wall_s = max(LEAST_WALL_S, duration_ms / 1000)
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-copyts", "-f", "lavfi", "-i"]
    command += [graph_of(path, video["index"]), "-map", "0:s", "-c:s", "text", "-f", "srt", "pipe:{pipe0}"]
    try:
        finished = run(command, 1, Limits(wall_s, wall_s, 64 << 20))
    except InputError as error:
        return (), f"closed captions: {error}"
    events = events_of(bytes(finished.outputs[0]).decode(errors="replace"), round(zero_s * 1000))
    reason = finished.errors.replace(file_url(path), path.name) or f"ffmpeg ended with {finished.exit_code}"
    lost = f"closed captions: {reason}" if finished.exit_code else ""
    return rows_of(events, f"cea608 in stream {video['index']}"), lost


def graph_of(path: Path, stream: int) -> str:
    r"""ffmpeg's filter graph that gives the closed captions of a stream.

    >>> print(graph_of(Path("/a b.mp4"), 0).partition(":format_opts")[0])
    movie=filename=file\\\:/a\\\ b.mp4:stream_index=0:dec_threads=1
    """
    options = f"protocol_whitelist=file:format_whitelist={FORMATS}"
    given = {"filename": file_url(path), "stream_index": str(stream), "dec_threads": "1", "format_opts": options}
    return f"movie={':'.join(f'{name}={escaped(value)}' for name, value in given.items())}[out+subcc]"


def escaped(value: str) -> str:
    """A value within a filter graph: escaped once for the filter's options, and again for the graph."""
    for _ in range(2):
        value = re.sub(r"([^\w/.=-])", r"\\\1", value)
    return value


Event = tuple[int, int, tuple[str, ...]]
"""Start and end in ms on the presentation clock, and the rows on the screen from top to bottom."""


def events_of(content: str, zero_ms: int) -> list[Event]:
    """The events of a SubRip file that ffmpeg wrote, less what ends before the presentation starts."""
    found = []
    for match in TIMED.finditer(content.replace("\r\n", "\n")):
        start_ms, end_ms = (ms_of_clock(match.groups()[at : at + 4]) - zero_ms for at in (0, 4))
        rows = tuple(text for row in match[9].splitlines() if (text := " ".join(row.split())))
        if rows and end_ms > max(0, start_ms):
            found.append((max(0, start_ms), end_ms, rows))
    return sorted(found)


def rows_of(events: Iterable[Event], source: str) -> tuple[Caption, ...]:
    """Captions of events: rows that come and go together are one; a row that scrolls up is not said again.

    >>> events = [(0, 900, ("So it", "began.")), (1000, 2000, ("One",)), (2000, 3000, ("One", "two")), (3000, 4000, ("two",))]
    >>> [(one.text, one.start_ms, one.end_ms) for one in rows_of(events, "cea608 in stream 0")]
    [('So it began.', 0, 900), ('One', 1000, 3000), ('two', 2000, 4000)]
    """
    done: list[tuple[int, int, str]] = []
    standing: list[tuple[int, int, str]] = []
    for start_ms, end_ms, rows in events:
        before, standing = standing, []
        for row in rows:
            known = next((one for one in before if one[2] == row and start_ms - one[1] <= CONTINUES_MS), None)
            if known:
                before.remove(known)
            standing.append((known[0] if known else start_ms, end_ms, row))
        done += before
    together: dict[tuple[int, int], list[str]] = {}
    for start_ms, end_ms, row in (*done, *standing):
        together.setdefault((start_ms, end_ms), []).append(row)
    return tuple(Caption("", " ".join(rows), *span, source) for span, rows in sorted(together.items()))
