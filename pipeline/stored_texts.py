"""The texts of stored files, out of their compression: where a search for a name or a sentence has to look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


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
