"""read_captions: the captions of a file's text streams, on the presentation clock.

In:  a file on local disk, ffprobe's records of its streams, and where its presentation starts.
Out: captions of every language, sorted by time. The whole file is read once; nothing of its pictures and sound is decoded.
Bad: a stream that ffmpeg cannot read gives the captions before the fault, and the reason. Bitmap subtitles are no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

from ..schemas.elements import Caption
from ..schemas.errors import InputError
from .ffmpeg import Limits, file_url, guarded_input, run
from .streams import CODE_OF, Stream

TEXT_CODECS = ("subrip", "ass", "ssa", "mov_text", "webvtt", "text", "eia_608", "subviewer", "microdvd")
"""ffmpeg's names of text streams."""

CAPTION_LIMITS = Limits(wall_s=600, stall_s=120, output_bytes=64 << 20)

TIMED = re.compile(
    r"^\d+\n(-?\d+):(\d\d):(\d\d),(\d{3}) --> (-?\d+):(\d\d):(\d\d),(\d{3})\n(.*?)(?=^\d+\n-?\d+:\d\d:\d\d,\d{3} --> |\Z)",
    re.DOTALL | re.MULTILINE,
)


def read_captions(path: Path, streams: Sequence[Stream], zero_s: Fraction) -> tuple[tuple[Caption, ...], str]:
    """The captions of all text streams, and why some could not be read ("" when all were)."""
    texts = [one for one in streams if one.get("codec_type") == "subtitle" and one.get("codec_name") in TEXT_CODECS]
    if not texts:
        return (), ""
    inputs = [part for name, value in guarded_input().items() for part in (f"-{name}", str(value))]
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", "-copyts", *inputs, "-i", file_url(path)]
    for at, stream in enumerate(texts):
        command += ["-map", f"0:{stream['index']}", "-c:s", "text", "-f", "srt", f"pipe:{{pipe{at}}}"]
    try:
        finished = run(command, len(texts), CAPTION_LIMITS)
    except InputError as error:
        return (), f"captions: {error}"
    found = [
        caption
        for stream, output in zip(texts, finished.outputs, strict=True)
        for caption in parse_srt(bytes(output).decode(errors="replace"), stream, zero_s)
    ]
    lost = f"captions: {finished.errors or f'ffmpeg ended with {finished.exit_code}'}" if finished.exit_code else ""
    return in_order(found), lost


def in_order(captions: Iterable[Caption]) -> tuple[Caption, ...]:
    """Captions by time, those of one time by source."""
    return tuple(sorted(captions, key=lambda one: (one.start_ms, one.source)))


def parse_srt(content: str, stream: Stream, zero_s: Fraction, source: str = "") -> list[Caption]:
    """The captions in a SubRip file that ffmpeg wrote, less what ends before the presentation starts. `source` is by default the
    stream.

    >>> text = "1\\n00:00:01,000 --> 00:00:02,500\\nHello,\\nyou\\n\\n2\\n00:01:00,000 --> 00:01:01,000\\nBye\\n\\n"
    >>> stream = {"index": 2, "codec_name": "mov_text", "tags": {"language": "deu"}}
    >>> [(one.language, one.text, one.start_ms, one.source) for one in parse_srt(text, stream, Fraction(1, 2))]
    [('de', 'Hello, you', 500, 'stream 2, mov_text'), ('de', 'Bye', 59500, 'stream 2, mov_text')]
    """
    tag = str(stream.get("tags", {}).get("language", "")).lower()
    forced = ", forced" if stream.get("disposition", {}).get("forced") else ""
    source = source or f"stream {stream['index']}, {stream['codec_name']}{forced}"
    zero_ms = round(zero_s * 1000)
    found = []
    for match in TIMED.finditer(content.replace("\r\n", "\n")):
        start, end = (ms_of_clock(match.groups()[at : at + 4]) - zero_ms for at in (0, 4))
        text = " ".join(match[9].split())
        if text and end > 0 and end > start:
            found.append(Caption(CODE_OF.get(tag, "" if tag == "und" else tag), text, max(0, start), end, source))
    return found


def ms_of_clock(parts: Sequence[str]) -> int:
    """Hours, minutes, seconds and thousandths, as TIMED finds them, in ms."""
    hours, minutes, seconds, thousandths = map(int, parts)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths
