"""Reads what is indexed out of a dataset: one document per window with a text, and one per video with a title or description."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tantivy import Document

from ...schemas.file_records import ShardInfo
from ...schemas.small_arrays import flags, strings
from ..dataset import Dataset, shard_batches
from .analyzers import ROW, VIDEO, VIDEO_FIELDS, analyzer_of, field_name, normal
from .window_texts import fields_of, sense_columns, written_texts

LEAD_WORDS = 3
"""Words of the next window that a window's document also holds, so that a phrase is found across the border of two windows. Of a
longer phrase, the first LEAD_WORDS + 1 words find the candidates."""

LEAD_CHARACTERS = 40
"""Limit of the same for scripts without spaces."""

COLUMNS = ("video_id", "window", "language", "text")


TITLES = np.dtype([("video", "<u8"), ("digest", "<u8")])
"""One indexed video: its id as a number, and a hash of its title and description."""


class WindowWords(NamedTuple):
    """What is said, written and subtitled in one window, as its document has it."""

    row: int
    texts: tuple[tuple[str, str], ...]
    """(field, text). A field may have several texts; no phrase goes from one to the other. Each ends with the first words of the next
    window where it goes on there."""
    languages: frozenset[str]
    """The languages of its texts, where they are known."""

    def document(self) -> Document:
        """What tantivy indexes."""
        made = Document()
        made.add_unsigned(ROW, self.row)
        for name, text in self.texts:
            made.add_text(name, text)
        return made


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

    def document(self, analyzers: Iterable[str]) -> Document:
        """What tantivy indexes. The language of a title is not known: each analyzer gets it, in a field of its own."""
        made = Document()
        made.add_unsigned(VIDEO, self.number)
        for kind in VIDEO_FIELDS:
            if text := normal(getattr(self, kind)):
                for name in analyzers:
                    made.add_text(field_name(kind, name), text)
        return made


def lead(text: str) -> str:
    """The first words of a text.

    >>> lead("and so it goes on"), len(lead("東" * 50))
    ('and so it', 40)
    """
    words = text[: 2 * LEAD_CHARACTERS].split(None, LEAD_WORDS)
    if len(words) <= LEAD_WORDS:  # the last one may be cut, or there are long spaces
        words = text.split(None, LEAD_WORDS)
    return " ".join(words[:LEAD_WORDS])[:LEAD_CHARACTERS]


def window_words(dataset: Dataset, shards: Iterable[ShardInfo]) -> Iterator[WindowWords]:
    """The windows of some shards that have a text, each with the first words of the next window of the video."""
    fields = fields_of(dataset.snapshot.shape)
    columns = (*COLUMNS, *sense_columns(fields))
    for shard in shards:
        last: tuple[np.ndarray, pa.RecordBatch] | None = None
        for numbers, batch in shard_batches(dataset.storage, shard, columns, rows=8192):
            if last:  # the row before the first may go on there
                numbers, batch = np.append(last[0], numbers), pa.concat_batches([last[1], batch])
            if len(batch):
                yield from _documents(numbers[:-1], batch, fields)
                last = numbers[-1:], batch.slice(len(batch) - 1)
        if last:
            yield from _documents(*last, fields)


def _documents(numbers: np.ndarray, batch: pa.RecordBatch, fields: Sequence[str]) -> Iterator[WindowWords]:
    """The first rows of a batch, those with the global numbers int64 [n], as far as they have a text. The row after them may be in the
    batch too. A million rows pass here, so that little is done for each."""
    texts, languages, goes_on = strings(batch["text"]), strings(batch["language"]), _goes_on(batch)
    extra = sense_columns(fields)
    written = batch.select(extra).to_pylist() if extra else []
    in_ascii = {one: (field_name("speech", analyzer_of("", one)), frozenset([one])) for one in set(languages)}
    next_texts = [text if goes else "" for text, goes in zip([*texts[1:], ""], goes_on, strict=True)]
    found: tuple[tuple[str, str], ...]
    for at, (row, text, language, next_text) in enumerate(
        zip(numbers.tolist(), texts, languages, next_texts, strict=False)
    ):
        (name, spoken), found = in_ascii[language], ()
        if text:
            if next_text:
                text = f"{text} {lead(next_text)}"
            if not text.isascii():
                text = normal(text)
                name = field_name("speech", analyzer_of(text, language))
            found = ((name, text),)
        if written:
            after = written[at + 1] if goes_on[at] else None
            more = written_texts({"language": language, **written[at]}, after, fields)
            whole = [(one, normal(f"{one.text} {lead(' '.join(one.next_words))}".rstrip())) for one in more]
            found += tuple((field_name(one.kind, name), text) for one, text in whole for name in one.analyzers)
            spoken = spoken.union(one.language for one in more)
        if found:
            yield WindowWords(row, found, spoken)


def _goes_on(batch: pa.RecordBatch) -> list[bool]:
    """Whether the row after each is the next window of the same video."""
    ids, window = batch["video_id"], batch["window"]
    number = np.frombuffer(window.buffers()[1], np.int32)[window.offset : window.offset + len(window)]
    same = flags(pc.equal(ids.slice(1), ids.slice(0, len(ids) - 1)))
    return [*(same & (np.diff(number) == 1)).tolist(), False]


def languages_of(dataset: Dataset) -> set[str]:
    """The languages spoken and subtitled in a dataset."""
    found: set[str] = set()
    subtitled = "subtitles" in fields_of(dataset.snapshot.shape)
    for _, batch in dataset.batches(["language", *(["subtitles"] if subtitled else [])], rows=65_536):
        found.update(language or "" for language in batch["language"].unique().to_pylist())
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
