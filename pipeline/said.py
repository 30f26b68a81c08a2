"""What a video says, wherever it is written: a purge reads it before the rows go, and looks for it afterwards."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ..schemas import snapshot as snapshots
from ..schemas.storage import Storage, Stored
from .read import Dataset, stored_file
from .stored_texts import row_texts, spelt, text_batches

OWN_WORDS = ("text", "words", "title", "description")
"""The columns that say something of a video's own. Words with spaces between them are not the text in every language."""

LEAST_LETTERS = 12
"""Shorter sentences are anybody's."""

MOST_SENTENCES = 64
"""The longest ones stand for all: each is looked for in every stored text."""


@dataclass(frozen=True)
class Search:
    """What a search for sentences found."""

    sentences: int
    places: tuple[str, ...]
    """One line for each file that still holds one, in a row of nobody or of a video that is not in the books."""
    shared: tuple[str, ...]
    """Uris of the videos of the books that say the same: the same bytes under another name, or the same words."""


def sentences_of(storage: Storage, video_id: str) -> list[str]:
    """What a video says, window by window, with its title and description; from every file that holds a row of it."""
    found: set[str] = set()
    for stored in _tables(storage):
        for batch, _ in _batches(storage, stored):
            mine = (
                batch.filter(pc.equal(batch["video_id"], video_id)) if "video_id" in batch.schema.names else batch[:0]
            )
            for name in set(OWN_WORDS) & set(mine.schema.names):
                found.update(said for texts in row_texts(mine[name]) for said in texts.to_pylist() if said)
    long = (said for said in found if len(said) >= LEAST_LETTERS)
    return sorted(long, key=lambda said: (-len(said), said))[:MOST_SENTENCES]


def look_for(storage: Storage, sentences: Sequence[str], video_id: str) -> Search:
    """Looks for sentences in everything below OUTPUT: in the texts of Parquet files and in the bytes of all others."""
    if not sentences:
        return Search(0, (), ())
    books = {
        key: row["uri"] for key, row in Dataset(storage, snapshots.load(storage)).videos.items() if key != video_id
    }
    places, shared = [], set()
    for stored in storage.list():
        if stored.path.endswith(".parquet"):
            speakers = set(_speakers(storage, stored, sentences))
            shared |= {books[speaker] for speaker in speakers & books.keys()}
            held = bool(speakers - books.keys())
        elif stored.path.startswith("indexes/") and not stored.path.endswith(".json"):
            continue  # vectors and numbers
        else:
            try:
                content = storage.get(stored.path)
            except FileNotFoundError:  # swept meanwhile
                continue
            held = any(form in content for said in sentences for form in spelt(said))
        if held:
            places.append(f"{stored.path}: holds what the video says")
    return Search(len(sentences), tuple(places), tuple(sorted(shared)))


def _speakers(storage: Storage, stored: Stored, sentences: Collection[str]) -> Iterator[str]:
    """The ids of the videos in whose rows a sentence stands; the empty one for a row without an id."""
    for batch, columns in _batches(storage, stored):
        says = pa.array([False] * len(batch))
        for texts in columns:
            for said in sentences:
                says = pc.or_(says, pc.fill_null(pc.match_substring(texts, said), False))
        if pc.any(says).as_py():
            yield from batch.filter(says)["video_id"].to_pylist() if "video_id" in batch.schema.names else [""]


def _tables(storage: Storage) -> Iterator[Stored]:
    return (stored for stored in storage.list() if stored.path.endswith(".parquet"))


def _batches(storage: Storage, stored: Stored) -> Iterator[tuple[pa.RecordBatch, list[pa.Array]]]:
    """The texts of one file; none where it has gone, or cannot be read: the search for names says so."""
    try:
        with stored_file(storage, stored.path) as file:
            yield from text_batches(file)
    except (FileNotFoundError, pa.ArrowInvalid):
        return
