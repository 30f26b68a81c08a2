"""VideoList: listed videos in Arrow columns. One takes about 130 bytes, where a `Video` record takes 900.

In:  `Video` records as a listing gives them, in any order.
Out: the same videos, each uri once, sorted by uri; a record is made when it is asked for.
Bad: nothing raises. A video with a failure or with subtitle files beside it is kept as the record that it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..schemas.elements import Video
from ..schemas.small_arrays import flags, int64_array, string_array

BATCH = 65_536
"""Videos that are held as records at a time while a list is made or read."""

SCHEMA = pa.schema(
    [
        ("video_id", pa.string()),
        ("uri", pa.large_string()),
        ("size_bytes", pa.int64()),
        ("etag", pa.large_string()),
        ("title", pa.large_string()),
        ("description", pa.large_string()),
    ]
)
"""Texts that may exceed 2 GiB in ten million videos have 64-bit offsets."""


class VideoList(Sequence[Video]):
    """Listed videos, sorted by uri."""

    def __init__(self, table: pa.Table, others: Mapping[int, Video]):
        self.table = table
        """The columns of SCHEMA."""
        self.others = others
        """By place: the records of videos with what has no column: failure, subtitle files, attempts."""

    @classmethod
    def of(cls, videos: Iterable[Video]) -> VideoList:
        """Each uri once, sorted by uri. Of two videos with one uri the first counts."""
        parts, others, place = [pa.RecordBatch.from_pylist([], SCHEMA)], dict[int, Video](), 0
        given = iter(videos)
        while block := list(itertools.islice(given, BATCH)):
            parts.append(_columns(block))
            others |= {place + at: one for at, one in enumerate(block) if not _is_plain(one)}
            place += len(block)
        table = pa.Table.from_batches(parts)
        uris = table["uri"]
        if flags(pc.less(uris[:-1], uris[1:])).all():
            return cls(table, others)
        ranks = pc.sort_indices(uris)  # stable: the first of equal ones stays first
        ranked = uris.take(ranks)
        first = np.append(True, flags(pc.less(ranked[:-1], ranked[1:])))
        order = np.frombuffer(ranks.buffers()[1], np.uint64)[first].astype(np.int64)
        moved = {was: now for now, was in enumerate(order.tolist()) if was in others} if others else {}
        return cls(table.take(int64_array(order)), {moved[at]: one for at, one in others.items() if at in moved})

    def with_others(self, others: Mapping[int, Video]) -> VideoList:
        """The same list, in which the records at some places are these."""
        return VideoList(self.table, {**self.others, **others})

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, place: int) -> Video: ...
    @overload
    def __getitem__(self, place: slice) -> list[Video]: ...
    def __getitem__(self, place: int | slice) -> Video | list[Video]:
        if isinstance(place, slice):
            return self.take(range(len(self))[place])
        return self.take([range(len(self))[place]])[0]

    def __iter__(self) -> Iterator[Video]:
        for first in range(0, len(self), BATCH):
            yield from self.take(range(first, min(first + BATCH, len(self))))

    def take(self, places: Sequence[int] | np.ndarray) -> list[Video]:
        """The records at some places, in that order."""
        if isinstance(places, range) and places.step == 1:
            rows = self.table.slice(places.start, len(places))
        else:
            rows = self.table.take(int64_array(places))
        columns = [rows[name].to_pylist() for name in SCHEMA.names]
        return [
            self.others[at] if at in self.others else Video(*values)
            for at, values in zip(places, zip(*columns, strict=True), strict=True)
        ]

    def find(self, video_ids: Iterable[str]) -> dict[str, Video]:
        """Those videos of some ids that are listed, by id."""
        wanted = string_array(video_ids)
        if not len(wanted):
            return {}
        places: np.ndarray = np.flatnonzero(flags(pc.is_in(self.table["video_id"], wanted)))
        return {one.video_id: one for one in self.take(places)}


def _is_plain(one: Video) -> bool:
    """Whether the columns say all of a video."""
    return one.failure is None and not one.sidecars and one.sidecars_known and not one.attempts


def _columns(videos: Sequence[Video]) -> pa.RecordBatch:
    """Some records as columns."""
    return pa.RecordBatch.from_arrays(
        [
            string_array(one.video_id for one in videos),
            string_array(one.uri for one in videos).cast(pa.large_string()),
            int64_array(one.size_bytes for one in videos),
            string_array(one.etag for one in videos).cast(pa.large_string()),
            _texts([one.title for one in videos]),
            _texts([one.description for one in videos]),
        ],
        schema=SCHEMA,
    )


def _texts(values: Sequence[str | None]) -> pa.Array:
    if all(value is None for value in values):
        return pa.nulls(len(values), pa.large_string())
    return pa.array(values, pa.large_string())
