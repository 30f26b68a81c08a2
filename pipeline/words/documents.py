"""Reads what is indexed out of a dataset: one document per window with a text, and one per video with a title or description."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from ...schemas.file_records import ShardInfo
from ..dataset import Dataset, shard_batches
from .analyzers import ROW, VIDEO, VIDEO_FIELDS, analyzer_of, field_name, normal
from .window_texts import WindowText, fields_of, sense_columns, written_texts

LEAD_WORDS = 3
"""Words of the next window that a window's document also holds, so that a phrase is found across the border of two windows. Of a
longer phrase, the first LEAD_WORDS + 1 words find the candidates."""

LEAD_CHARACTERS = 40
"""Limit of the same for scripts without spaces."""

COLUMNS = ("video_id", "window", "language", "text")


class Texts(NamedTuple):
    """The texts of a row of the windows table."""

    row: int
    video_id: str
    window: int
    language: str
    text: str
    lists: dict[str, Any]
    """Columns of further senses."""


TITLES = np.dtype([("video", "<u8"), ("digest", "<u8")])
"""One indexed video: its id as a number, and a hash of its title and description."""


@dataclass(frozen=True)
class WindowWords:
    """What is said, written and subtitled in one window."""

    row: int
    language: str
    """Of the speech."""
    text: str
    """What is said; empty where nothing is."""
    more: tuple[tuple[WindowText, str], ...] = ()
    """Its other texts, each with the first words of the next window where it goes on there."""

    @property
    def languages(self) -> set[str]:
        """The languages of its texts, where they are known."""
        return {self.language, *(text.language for text, _ in self.more)}

    def fields(self) -> dict[str, Any]:
        """The fields of its document. A field may have several texts; no phrase goes from one to the other."""
        text = normal(self.text)
        found: dict[str, Any] = {ROW: self.row}
        if text:
            found[field_name("speech", analyzer_of(text, self.language))] = text
        for other, follows in self.more:
            for name in other.analyzers:
                found.setdefault(field_name(other.kind, name), []).append(normal(f"{other.text} {follows}".rstrip()))
        return found


@dataclass(frozen=True)
class Titled:
    """What a video is called."""

    video_id: str
    title: str
    description: str

    @property
    def number(self) -> int:
        """The id as a number: 64 bits."""
        return int(self.video_id, 16)

    @property
    def digest(self) -> int:
        """Hash of both texts: 64 bits."""
        return int.from_bytes(blake2b(f"{self.title}\0{self.description}".encode(), digest_size=8).digest(), "little")

    def fields(self, analyzers: Iterable[str]) -> dict[str, Any]:
        """The fields of its document. The language of a title is not known: each analyzer gets it, in a field of its own."""
        found: dict[str, Any] = {VIDEO: self.number}
        for kind in VIDEO_FIELDS:
            if text := normal(getattr(self, kind)):
                found |= {field_name(kind, name): text for name in analyzers}
        return found


def lead(text: str) -> str:
    """The first words of a text.

    >>> lead("and so it goes on"), len(lead("東" * 50))
    ('and so it', 40)
    """
    return " ".join(text.split(None, LEAD_WORDS)[:LEAD_WORDS])[:LEAD_CHARACTERS]


def window_words(dataset: Dataset, shards: Iterable[ShardInfo]) -> Iterator[WindowWords]:
    """The windows of some shards that have a text, each with the first words of the next window of the video."""
    fields = fields_of(dataset.snapshot.shape)
    extra = sense_columns(fields)
    for shard in shards:
        before: Texts | None = None
        for numbers, batch in shard_batches(dataset.storage, shard, (*COLUMNS, *extra), rows=8192):
            columns = [batch[name].to_pylist() for name in COLUMNS]
            written = batch.select(extra).to_pylist() if extra else repeat({}, len(batch))
            for here in map(Texts, numbers.tolist(), *columns, written):
                if before:
                    follows = here[1] == before[1] and here[2] == before[2] + 1
                    if made := _document(before, here if follows else None, fields):
                        yield made
                before = here
        if before and (made := _document(before, None, fields)):
            yield made


def _document(here: Texts, after: Texts | None, fields: Sequence[str]) -> WindowWords | None:
    row, _, _, language, text, lists = here
    if text and after and after.text:
        text = f"{text} {lead(after.text)}"
    if not lists:
        return WindowWords(row, language, text) if text else None
    more = written_texts({"language": language, **lists}, after.lists if after else None, fields)
    return (
        WindowWords(row, language, text, tuple((one, lead(" ".join(one.next_words))) for one in more))
        if text or more
        else None
    )


def languages_of(dataset: Dataset) -> set[str]:
    """The languages spoken and subtitled in a dataset."""
    found: set[str] = set()
    subtitled = "subtitles" in fields_of(dataset.snapshot.shape)
    for _, batch in dataset.batches(["language", *(["subtitles"] if subtitled else [])], rows=65_536):
        found.update(batch["language"].unique().to_pylist())
        if subtitled:
            captions = pc.list_flatten(batch["subtitles"])
            found.update(pc.unique(pc.struct_field(captions, "language")).to_pylist())
    return found


def titled(dataset: Dataset) -> list[Titled]:
    """The videos with a title or description, in the order of their ids."""
    videos = dataset.newest.select(["video_id", "title", "description"]).to_pylist()
    named = [Titled(row["video_id"], row["title"] or "", row["description"] or "") for row in videos]
    return sorted((one for one in named if one.title or one.description), key=lambda one: one.video_id)


def titles_array(found: Iterable[Titled]) -> np.ndarray:
    """The same as an array of TITLES."""
    return np.array([(one.number, one.digest) for one in found], TITLES)


def stored_titles(dataset: Dataset) -> np.ndarray:
    """Every title and description in the files of the videos table, replaced and removed rows included, as TITLES."""
    rows = dataset.table("videos")
    if not len(rows):
        return np.zeros(0, TITLES)
    named = rows.select(["video_id", "title", "description"]).to_pylist()
    return titles_array(Titled(row["video_id"], row["title"] or "", row["description"] or "") for row in named)


def rows_in(shard: ShardInfo, rows: np.ndarray) -> np.ndarray:
    """Those of the sorted row numbers int64 [n] that lie in a shard's runs: int64 [m].

    >>> shard = ShardInfo("p", 3, 0, "", ("a", 0), ("b", 0), 7, stretches=((7, 1), (20, 2)))
    >>> rows_in(shard, np.array([6, 7, 8, 21, 22])).tolist()
    [7, 21]
    """
    parts = [
        rows[np.searchsorted(rows, first) : np.searchsorted(rows, first + count)] for first, count in sorted(shard.runs)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts])
