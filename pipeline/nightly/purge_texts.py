"""What a video says, wherever it is written: a purge reads it before the rows go, and looks for it afterwards."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...schemas import snapshot as snapshots
from ...schemas.storage import Storage, Stored
from ..dataset import Dataset, stored_file

OWN_WORDS = ("text", "words", "title", "description")
"""The columns that say something of a video's own. Words with spaces between them are not the text in every language."""

OWN_LINES = ("screen_text", "subtitles")
"""Columns of lists of records, whose field `text` does."""

LEAST_LETTERS = 12
"""Shorter sentences are anybody's."""

MOST_SENTENCES = 64
"""The longest ones stand for all: each is looked for in every stored text."""


@dataclass(frozen=True)
class Search:
    """What a search for sentences found."""

    sentences: int
    places: tuple[str, ...]
    """One line for each file that still holds one, in a row without a video, or of a video that the videos table does not hold."""
    shared: tuple[str, ...]
    """Uris of other videos with the same bytes or the same words."""


def sentences_of(storage: Storage, video_id: str) -> list[str]:
    """What a video says, window by window, the lines on its screen, its subtitles, title and description; from every file that
    holds a row of it."""
    found: set[str] = set()
    for stored in _tables(storage):
        for batch, _ in _batches(storage, stored):
            mine = (
                batch.filter(pc.equal(batch["video_id"], video_id)) if "video_id" in batch.schema.names else batch[:0]
            )
            for name in set(OWN_WORDS) & set(mine.schema.names):
                found.update(said for texts in row_texts(mine[name]) for said in texts.to_pylist() if said)
            for name in set(OWN_LINES) & set(mine.schema.names):
                lines = pc.struct_field(pc.list_flatten(mine[name]), "text")
                found.update(said for said in lines.to_pylist() if said)
    long = (said for said in found if len(said) >= LEAST_LETTERS)
    return sorted(long, key=lambda said: (-len(said), said))[:MOST_SENTENCES]


def look_for(storage: Storage, sentences: Sequence[str], video_id: str) -> Search:
    """Looks for sentences in everything below OUTPUT: in the texts of Parquet files and in the bytes of all others."""
    if not sentences:
        return Search(0, (), ())
    known = {
        key: row["uri"] for key, row in Dataset(storage, snapshots.load(storage)).videos.items() if key != video_id
    }
    places, shared = [], set()
    for stored in storage.list():
        if stored.path.endswith(".parquet"):
            speakers = set(_speakers(storage, stored, sentences))
            shared |= {known[speaker] for speaker in speakers & known.keys()}
            held = bool(speakers - known.keys())
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


def spelt(text: str) -> list[bytes]:
    r"""How a text stands in files that are not compressed: as it is, and as JSON writes quotes and what is not ASCII.

    >>> spelt("/v/a.mp4"), spelt("/v/é.mp4")[1]
    ([b'/v/a.mp4'], b'/v/\\u00e9.mp4')
    """
    forms = (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    return [form.encode() for form in dict.fromkeys(forms)]


def is_part(before: bytes, after: bytes) -> bool:
    """Whether a name between these bytes goes on: `/v/a.mp4` in `/v/a.mp4.bak`, and not in `/v/a.mp4: broken`."""
    follows = after[1:2] if after[:1] == b"." else after[:1]
    return _in_names(before[-1:], b"_-.") or _in_names(follows, b"_-")


def _in_names(byte: bytes, more: bytes) -> bool:
    return bool(byte) and (byte.isalnum() or byte in more or byte >= b"\x80")


def stands_in(content: bytes, name: bytes) -> bool:
    """Whether a name stands in a text by itself, and not as a part of a longer one.

    >>> stands_in(b"at s3://b/a.mp4: broken", b"s3://b/a.mp4"), stands_in(b"s3://b/talk2 s3://b/talk", b"s3://b/talk")
    (True, True)
    >>> stands_in(b"s3://b/a.mp4.bak", b"s3://b/a.mp4"), stands_in(b"/mnt/v/a.mp4", b"/v/a.mp4")
    (False, False)
    """
    at = content.find(name)
    while at >= 0:
        end = at + len(name)
        if not is_part(content[max(0, at - 1) : at], content[end : end + 2]):
            return True
        at = content.find(name, at + 1)
    return False


def holds_text(kind: pa.DataType) -> bool:
    """Whether a column may hold text: as it is, as bytes, or anywhere within lists and records.

    >>> holds_text(pa.list_(pa.struct([("word", pa.large_string())]))), holds_text(pa.binary(8)), holds_text(pa.int64())
    (True, False, False)
    """
    if pa.types.is_dictionary(kind):
        return holds_text(kind.value_type)
    if kind.num_fields:
        return any(holds_text(kind.field(at).type) for at in range(kind.num_fields))
    return str(kind) in ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")


def strings_in(value: object) -> Iterator[str]:
    """Every text within a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, dict):
        yield from (text for part in value.items() for text in strings_in(part[1]))
    elif isinstance(value, list | tuple):
        yield from (text for part in value for text in strings_in(part))


def row_texts(values: pa.Array) -> Iterator[pa.Array]:
    """A column's texts, one string a row. The texts of a list are joined, as words are to a sentence.

    >>> words = [[{"word": "hello", "ms": 1}, {"word": "you", "ms": 2}], []]
    >>> [found.to_pylist() for found in row_texts(pa.array(words))]
    [['hello you', '']]
    """
    if pa.types.is_string(values.type):
        yield values
        return
    inner = values.values if pa.types.is_list(values.type) else None
    if inner is not None and pa.types.is_string(inner.type):
        yield pc.binary_join(pa.ListArray.from_arrays(values.offsets, inner), " ")
    elif (
        inner is not None
        and pa.types.is_struct(inner.type)
        and not any(part.type.num_fields for part in inner.flatten())
    ):
        for part in inner.flatten():
            if pa.types.is_string(part.type):
                yield pc.binary_join(pa.ListArray.from_arrays(values.offsets, part), " ")
    else:  # none of our own columns: slower
        yield pa.array([" ".join(strings_in(value)) for value in values.to_pylist()], pa.string())


def text_batches(file: Path) -> Iterator[tuple[pa.RecordBatch, list[pa.Array]]]:
    """The columns of a Parquet file that hold text, batch by batch: as they are, and as one string a row each.

    Raises pyarrow.ArrowInvalid for a file that is no Parquet, or not all of one.
    """
    with pq.ParquetFile(file, memory_map=True) as parquet:
        names = [field.name for field in parquet.schema_arrow if holds_text(field.type)]
        for batch in parquet.iter_batches(columns=names):
            yield batch, [texts for column in batch.columns for texts in row_texts(column)]


def parquet_names(file: Path, name: str) -> bool:
    """Whether a name stands anywhere in a Parquet file's texts, or in what its schema says."""
    wanted = name.encode()
    for _, columns in text_batches(file):
        for texts in columns:
            found = texts.filter(pc.match_substring(texts, name))
            if any(stands_in(one.encode(), wanted) for one in pc.unique(found).to_pylist()):
                return True
    notes = pq.read_schema(file).metadata or {}
    return any(stands_in(note, wanted) for pair in notes.items() for note in pair)
