"""The texts of a window, kind by kind, as words with times: what is said, what is written on the screen, and subtitles.

Subtitles of two languages or streams are two texts. A phrase may go on in the next window where the text does: in speech and
subtitles, whose next words come after it; not on the screen, where a line that stays belongs to both windows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ...schemas.tables import RowShape
from .analyzers import PLAIN, TEXT_FIELDS, analyzer_of, normal

STORED_IN: dict[str, tuple[str, str]] = {"screen": ("ocr", "screen_text"), "subtitles": ("subtitles", "subtitles")}
"""Kind of text of a further sense -> the sense, and its column."""


class TimedWord(NamedTuple):
    """A word, and when it is said or shown, on the presentation clock."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class WindowText:
    """One text of a window."""

    kind: Literal["speech", "screen", "subtitles"]
    language: str
    """As Whisper names it; of the screen, the language that is spoken there."""
    text: str
    words: tuple[TimedWord, ...]
    """Its words, and after the first `own` those of the next window, where the text goes on."""
    own: int

    @property
    def analyzers(self) -> tuple[str, ...]:
        """The analyzers of the fields that it is indexed in. Which language is written on a screen is not known, so words that
        are not of the spoken one are found as they stand."""
        name = analyzer_of(normal(self.text), self.language)
        return tuple(dict.fromkeys((name, PLAIN))) if self.kind == "screen" else (name,)

    @property
    def next_words(self) -> list[str]:
        """The words of the next window, where the text goes on."""
        return [word.text for word in self.words[self.own :]]

    def span_ms(self, places: Iterable[int]) -> tuple[int, int]:
        """When the words at these places are there, half-open: on the screen, while they are all shown, if they ever are; else
        from the first to the last."""
        words = [self.words[at] for at in places]
        start_ms, end_ms = min(word.start_ms for word in words), max(word.end_ms for word in words)
        if self.kind == "screen":
            last, first = max(word.start_ms for word in words), min(word.end_ms for word in words)
            return (last, first) if last < first else (start_ms, end_ms)
        return start_ms, end_ms


def fields_of(shape: RowShape) -> tuple[str, ...]:
    """The kinds of text that a dataset has, in the order of TEXT_FIELDS."""
    held = {(sense.name, column.name) for sense in shape.senses for column in sense.columns}
    return tuple(kind for kind in TEXT_FIELDS if kind not in STORED_IN or STORED_IN[kind] in held)


def sense_columns(fields: Iterable[str]) -> list[str]:
    """The columns of further senses that hold these kinds of text."""
    return [column for kind, (_, column) in STORED_IN.items() if kind in fields]


def texts_of_window(
    row: Mapping[str, Any], after: Mapping[str, Any] | None = None, fields: Sequence[str] = TEXT_FIELDS
) -> list[WindowText]:
    """The texts of a row of the windows table, of the kinds `fields`: speech, screen, and each language and stream of the
    subtitles. `after` is the row of the video's next window."""
    written = written_texts(row, after, fields)
    if not (words := [TimedWord(one["word"], one["start_ms"], one["end_ms"]) for one in row["words"] or ()]):
        return written
    more = [TimedWord(one["word"], one["start_ms"], one["end_ms"]) for one in after["words"] or ()] if after else []
    return [WindowText("speech", row["language"], row["text"], (*words, *more), len(words)), *written]


def written_texts(row: Mapping[str, Any], after: Mapping[str, Any] | None, fields: Sequence[str]) -> list[WindowText]:
    """The same without speech."""
    found = []
    if "screen" in fields and (lines := in_reading_order(row["screen_text"] or ())):
        shown = words_of(lines)
        found.append(WindowText("screen", row["language"] or "", joined(lines), tuple(shown), len(shown)))
    if "subtitles" in fields:
        follow = tracks(after["subtitles"] or ()) if after else {}
        for track, captions in tracks(row["subtitles"] or ()).items():
            own = words_of(captions)
            rest = words_of(one for one in follow.get(track, ()) if one not in captions)
            found.append(WindowText("subtitles", track[0], joined(captions), (*own, *rest), len(own)))
    return found


def in_reading_order(lines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Lines of a screen as one reads them: row by row, those of an earlier picture first. Parts of a row that are there together, such as
    those of a ticker, follow each other, so that a phrase may go on from one to the next.

    >>> def line(text, left, top, start_ms):
    ...     return {"text": text, "left": left, "top": top, "bottom": top + 0.1, "start_ms": start_ms, "end_ms": 9000}
    >>> lines = [line("a", 0, 0.8, 0), line("b", 0.5, 0.81, 900), line("right", 0.5, 0.1, 0), line("left", 0, 0.1, 0)]
    >>> [one["text"] for one in in_reading_order(lines)]
    ['left', 'right', 'a', 'b']
    """
    rows: list[list[Mapping[str, Any]]] = []
    for line in sorted(lines, key=lambda one: (one["start_ms"], one["left"])):
        row = next((one for one in rows if line["start_ms"] < one[-1]["end_ms"] and _beside(one[-1], line)), None)
        if row:
            row.append(line)
        else:
            rows.append([line])
    rows.sort(key=lambda row: (row[0]["start_ms"], row[0]["top"], row[0]["left"]))
    return [line for row in rows for line in row]


def _beside(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two lines are in one row: one covers at least half of the other's height."""
    lower = min(one["bottom"] - one["top"], other["bottom"] - other["top"])
    return bool(min(one["bottom"], other["bottom"]) - max(one["top"], other["top"]) >= lower / 2)


def tracks(captions: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """Captions by language and source, in their order."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in captions:
        found.setdefault((one["language"], one["source"]), []).append(one)
    return found


def joined(lines: Iterable[Mapping[str, Any]]) -> str:
    """The texts of lines or captions as one."""
    return " ".join(one["text"] for one in lines)


def words_of(lines: Iterable[Mapping[str, Any]]) -> list[TimedWord]:
    """The words of lines or captions, each with the times of its line.

    >>> words_of([{"text": "Good morning", "start_ms": 0, "end_ms": 900}])[1]
    TimedWord(text='morning', start_ms=0, end_ms=900)
    """
    return [TimedWord(word, one["start_ms"], one["end_ms"]) for one in lines for word in one["text"].split()]
