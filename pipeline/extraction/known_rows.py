"""KnownRows: what planning compares of the videos table, in Arrow columns, and the join of a listing with it.

Ten million videos take about 1.3 GB. A row becomes a dict only when it may differ from its listing, or is asked for by id.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...schemas.elements import Video
from ...schemas.parquet_ranges import open_parquet
from ...schemas.small_arrays import flags, int64_array, string_array
from ...schemas.tables import OK, REMOVED, TITLE_EMBEDDINGS, conformed, videos_schema
from ...transforms.video_list import VideoList
from ..dataset import Dataset, key_of, keys_of, newest_places

COPIED = (
    "video_id",
    "etag",
    "size_bytes",
    "status",
    "attempts",
    "run",
    "missing_since_ms",
    "sidecars",
    *TITLE_EMBEDDINGS,
)
"""Columns of the videos table that are compared as they are."""

COMPARED = (*COPIED, "content_sha256", *TITLE_EMBEDDINGS.values())
"""Columns of the videos table that planning reads. Of the last three it keeps HASHED and UNEMBEDDED."""

HASHED = "hashed"
"""Whether the hash of a video's bytes is known."""

UNEMBEDDED = "unembedded"
"""Whether its title or description has no embedding. Such rows predate embeddings of titles."""

SLICE = 1 << 18
"""Rows that are read, and listed videos that are compared, at a time."""


def as_compared(rows: pa.Table) -> pa.Table:
    """Rows of the videos table with the columns COMPARED -> COPIED, HASHED, UNEMBEDDED."""
    missing = [pc.and_(pc.not_equal(rows[text], ""), rows[name].is_null()) for text, name in TITLE_EMBEDDINGS.items()]
    kept = rows.select(COPIED).append_column(HASHED, pc.not_equal(rows["content_sha256"], ""))
    return kept.append_column(UNEMBEDDED, functools.reduce(pc.or_, missing))


class KnownRows(Mapping[str, dict[str, Any]]):
    """Rows of the videos table as planning sees them, keyed by video_id; see `as_compared`."""

    def __init__(self, rows: pa.Table):
        self.rows = rows

    @classmethod
    def of_dataset(cls, dataset: Dataset) -> KnownRows:
        """The newest row of each video, without removed videos."""
        schema = videos_schema(dataset.snapshot.shape.text_dim)
        wanted = pa.schema([schema.field(name) for name in COMPARED])
        none = as_compared(wanted.empty_table())
        parts, newer = [none], [np.zeros(0, "S16")]
        for info in reversed(dataset.snapshot.videos):
            with open_parquet(dataset.storage, info.path, info.bytes) as parquet:
                held = [name for name in COMPARED if name in parquet.file.schema_arrow.names]
                batches = (pa.Table.from_batches([batch]) for batch in parquet.batches(SLICE, held))
                rows = pa.concat_tables([none, *(as_compared(conformed(batch, wanted)) for batch in batches)])
            keys = keys_of(rows["video_id"])
            newest = np.zeros(len(rows), bool)
            newest[newest_places(keys)] = True
            for others in newer:
                newest[newest] = ~is_held(keys[newest], others)
            newer.append(np.sort(keys[newest]))
            newest &= flags(pc.not_equal(rows["status"], string_array([REMOVED])[0]))
            parts.append(rows if newest.all() else rows.filter(pa.array(newest)))
        return cls(pa.concat_tables(reversed(parts)))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        for chunk in self.rows["video_id"].chunks:
            yield from chunk.to_pylist()

    def __getitem__(self, video_id: str) -> dict[str, Any]:
        keys, places = self._by_key
        first, end = (int(np.searchsorted(keys, np.bytes_(key_of(video_id)), side)) for side in ("left", "right"))
        for row in self.take(places[first:end]):
            if row["video_id"] == video_id:
                return row
        raise KeyError(video_id)

    @functools.cached_property
    def _by_key(self) -> tuple[np.ndarray, np.ndarray]:
        """The keys S16 [rows], sorted, and the place int64 of each."""
        keys = keys_of(self.rows["video_id"])
        places = np.argsort(keys, kind="stable")
        return keys[places], places

    def take(self, places: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        """The rows at some places, in that order."""
        return self.rows.take(int64_array(places)).to_pylist() if len(places) else []

    def places_of(self, video_ids: pa.ChunkedArray) -> np.ndarray:
        """The place of each id: int64 [n], -1 where it is not known."""
        found = pc.index_in(video_ids, value_set=self.rows["video_id"].combine_chunks())
        return np.concatenate([np.zeros(0, np.int64), *(_numbers(chunk) for chunk in found.chunks)])


@dataclass(frozen=True)
class Joined:
    """A listing beside the known rows: `places` int64 [listed] is the place of each video's row, -1 where there is none."""

    listed: VideoList
    known: KnownRows
    places: np.ndarray

    @classmethod
    def of(cls, listed: VideoList, known: KnownRows) -> Joined:
        return cls(listed, known, known.places_of(listed.table["video_id"]))

    def unlisted(self) -> np.ndarray:
        """The places int64 of known rows whose video is not listed, in order."""
        gone = np.ones(len(self.known), bool)
        gone[self.places[self.places >= 0]] = False
        return np.flatnonzero(gone)

    def differing(self, sidecars: bool = False) -> Iterator[tuple[Video, dict[str, Any] | None]]:
        """Each listed video that may differ from its row, with the row, in the listing's order. None of the others does: they
        have an ok row of the same etag, size and texts, are not missing, and with `sidecars` have none and had none.
        """
        others = np.zeros(len(self.listed), bool)
        others[np.fromiter(self.listed.others, np.int64)] = True
        for first in range(0, len(self.listed), SLICE):
            places = self.places[first : first + SLICE]
            here = places >= 0
            same = here & ~others[first : first + SLICE]
            at = np.flatnonzero(same)
            listed = self.listed.table.slice(first, SLICE).take(int64_array(at))
            same[at] = unchanged(listed, self.known.rows.take(int64_array(places[at])), sidecars)
            at = np.flatnonzero(~same)
            rows = iter(self.known.take(places[~same & here]))
            for number, video in zip(at, self.listed.take(at + first), strict=True):
                yield video, next(rows) if here[number] else None


def unchanged(listed: pa.Table, known: pa.Table, sidecars: bool) -> np.ndarray:
    """bool [n]: whether a listed video is certainly the one of its row. Both tables have n rows, of the same videos."""
    same = [_equal(listed[name], known[name]) for name in ("etag", "size_bytes")]
    same.append(_equal(known["status"], pa.scalar(OK)))
    same.append(_equal(known["missing_since_ms"], pa.scalar(0, pa.int64())))
    same.append(pc.invert(known[UNEMBEDDED]))
    same += [pc.or_(listed[text].is_null(), _equal(listed[text], known[text])) for text in TITLE_EMBEDDINGS]
    if sidecars:
        same.append(known["sidecars"].is_null())
    return flags(functools.reduce(pc.and_, same))


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray | pa.Scalar) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(one, other), False)


def is_held(keys: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """bool [n]: whether each key is one of some sorted keys."""
    if not len(ordered):
        return np.zeros(len(keys), bool)
    found: np.ndarray = ordered[np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)] == keys
    return found


def _numbers(found: pa.Int32Array) -> np.ndarray:
    """int64 [n] of Arrow's int32, -1 for null."""
    return np.frombuffer(pc.fill_null(found, -1).buffers()[1], np.int32)[: len(found)].astype(np.int64)
