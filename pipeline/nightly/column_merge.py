"""Carries columns over: old rows take the columns that a new model fills from recomputed rows, and keep all the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...schemas.file_records import ShardInfo
from ...schemas.row_shape import BUILT_IN, MODEL_OF, TRANSCRIPT
from ...schemas.storage import Storage
from ...schemas.switched_off import turned_off
from ...schemas.tables import ABSENT, OFF, RowShape, windows_schema
from ...schemas.tensors import tensor, tensor_array
from ...transforms.embed_text import embedded_texts
from ..dataset import read_table

TOUCHES: dict[str, tuple[str, ...]] = {
    "clip": ("frame_embedding",),
    "whisper": (*TRANSCRIPT, "audio_embedding"),
    "text": ("text_embedding",),
    "audio": ("audio_feature",),
    "fusion": (),
}
"""The columns that each model fills, those that are stored; everything else is carried over. Fused embeddings are made anew from
whatever changed."""

FUSED = "fused_embedding"


def touched_by(parts: Iterable[str], shape: RowShape) -> set[str]:
    """The stored columns that some models and further senses fill."""
    senses = {one.name: {*(column.name for column in one.columns), one.status} for one in shape.senses}
    if "text" in (parts := set(parts)):
        senses["text"] = {*TOUCHES["text"], *embedded_texts(shape)}
    stored = set(windows_schema(shape).names)
    return stored & {name for part in parts for name in (senses.get(part) or TOUCHES.get(part, ()))}


def fresh_rows(storage: Storage, fresh: Sequence[ShardInfo], ids: set[str], shape: RowShape) -> pa.Table:
    """The recomputed rows of some videos."""
    found = [windows_schema(shape).empty_table()]
    for shard in fresh:
        if any(shard.first_key[0] <= video_id <= shard.last_key[0] for video_id in ids):
            table = read_table(storage, shard.path)
            found.append(table.filter(pc.is_in(table["video_id"], pa.array(sorted(ids), pa.string()))))
    return pa.concat_tables(found).combine_chunks()


def keys_of(table: pa.Table) -> list[tuple[str, int]]:
    return list(zip(table["video_id"].to_pylist(), table["window"].to_pylist(), strict=True))


def same_columns(pictures: bool, sound: bool) -> list[str]:
    """Columns that a second look at the same bytes must give again, or the new columns would not belong to the old rows."""
    return [*(("tick_pts_ms", "tick_valid") if pictures else ()), *(("tick_sound",) if sound else ())]


def same_rows(old: pa.Table, new: pa.Table, video_id: str, compared: Sequence[str]) -> bool:
    """Whether a second look at a video saw the same ticks where the old rows have some."""
    before, after = (table.filter(pc.equal(table["video_id"], video_id)) for table in (old, new))
    place = {window: at for at, window in enumerate(after["window"].to_pylist())}
    windows = before["window"].to_pylist()
    if not set(place) <= set(windows):
        return False
    for name in compared:
        marks = tensor(before, "tick_valid" if name == "tick_pts_ms" else name).astype(bool)
        stored, seen = tensor(before, name), tensor(after, name)
        for row, window in enumerate(windows):
            if window not in place:
                if marks[row].any():
                    return False
            elif not np.array_equal(stored[row], seen[place[window]]):
                return False
    return True


def merged(old: pa.Table, new: pa.Table, parts: frozenset[str], shape: RowShape) -> pa.Table:
    """The old rows with the touched columns of the new ones; empty where a row was not recomputed, for it has none."""
    schema = windows_schema(shape)
    place = {key: at for at, key in enumerate(keys_of(new))}
    at = [place.get(key) for key in keys_of(old)]
    touched = touched_by(parts, shape) | statuses_of_off(old, parts)
    columns = {name: old[name] for name in schema.names if name not in touched and name != FUSED}
    if FUSED in schema.names and FUSED in old.schema.names and not parts & set(TOUCHES):
        columns[FUSED] = old[FUSED]
    elif FUSED in schema.names:
        columns[FUSED] = pa.nulls(len(old), schema.field(FUSED).type)
    for name in touched:
        field = schema.field(name)
        if pa.types.is_fixed_size_binary(field.type):
            values = tensor(new, name)
            empty = np.zeros((1, *values.shape[1:]), values.dtype)
            order = [len(values) if one is None else one for one in at]
            there = np.append(new[name].is_valid().to_numpy(), not field.nullable)
            columns[name] = tensor_array(np.concatenate([values, empty])[order], there[order])
        else:
            columns[name] = _picked(new, name, at, field)
    table = pa.table({name: columns[name] for name in schema.names}, schema=schema)
    return turned_off(table, shape) if shape.off else table


def statuses_of_off(old: pa.Table, parts: Iterable[str]) -> set[str]:
    """The statuses of built-in senses that were off in the old rows and are among `parts`, the models that change."""
    columns = [name for sense, names in BUILT_IN.items() if MODEL_OF[sense] in parts for name in names]
    return {name for name in columns if name.endswith("_status") and OFF in old[name].unique().to_pylist()}


def _picked(new: pa.Table, name: str, at: Sequence[int | None], field: pa.Field) -> pa.Array:
    """A plain column of the new rows in the order of the old ones; its empty value where there is no new row."""
    empty: dict[str, Any] = {"text": "", "words": [], "language": ""}
    empty |= {"repetition": 0.0, "chars_per_s": 0.0, "speech_flags": []}
    values = new[name].to_pylist()
    default = ABSENT if name.endswith("_status") else empty.get(name)
    return pa.array([default if one is None else values[one] for one in at], field.type)
