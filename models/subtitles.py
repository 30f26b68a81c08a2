"""The sense `subtitles`: the captions of a file's own text streams, within its pictures and of files beside it, window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from ..schemas.senses import Column, PartlyRead, Reader, Record, Sense, SenseInput


@dataclass(frozen=True)
class Subtitles(Sense):
    """Captions of the text streams inside a file, within its pictures (CEA-608) and of subtitle files beside it, of every language."""

    name = "subtitles"
    version = 2
    captions = True

    def columns(self) -> tuple[Column, ...]:
        return (
            Column(
                "subtitles",
                "captions that are shown during the window: language, text, times on the presentation clock, and the stream or file",
                "list",
                "ms",
                fields=(
                    ("language", "string"),
                    ("text", "string"),
                    ("start_ms", "int32"),
                    ("end_ms", "int32"),
                    ("source", "string"),
                ),
            ),
        )

    def load(self, device: str) -> Reader:
        return captions_of_windows


def captions_of_windows(seen: SenseInput, /) -> Sequence[Record | None]:
    """The captions that are shown in each window of a unit. Raises PartlyRead with the others when some could not be read."""
    records: list[Record | None] = []
    for window in seen.windows:
        start_ms, end_ms = seen.grid.window_ms(window)
        here = [asdict(one) for one in seen.unit.probe.captions if one.start_ms < end_ms and one.end_ms > start_ms]
        records.append({"subtitles": here} if here else None)
    probe = seen.unit.probe
    if lost := "; ".join(why for why in (probe.sidecars_lost, probe.captions_lost) if why):
        raise PartlyRead(lost, records)
    return records
