"""The files of the videos table: what a commit knows of them, and how they are merged in levels.

A commit adds one small file. Sixteen small files are merged into one of the next level, so a file is rewritten at most twice
and a dataset of any size has few small files. A merged file is sorted by video id and holds the newest row of each video.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...schemas.file_records import TableInfo
from ...schemas.parquet_ranges import open_parquet
from ...schemas.small_arrays import int64_array
from ...schemas.storage import Storage
from ...schemas.tables import REMOVED, TITLE_EMBEDDINGS, conformed
from ...transforms.shard_files import put_table

FAN_OUT = 16
"""Number of files of one level that are merged into one."""

LEVEL_ROWS = (4_096, 65_536)
"""Rows from which a file belongs to level 1 and to level 2. Files of level 2 are merged by compaction only."""

MERGED_GROUP_ROWS = 8_192
"""Rows in a row group of a merged file."""

VERSION = ("etag", "status", "attempts", "run", "missing_since_ms", *TITLE_EMBEDDINGS)
"""Columns that show whether a video's row in the videos table has changed since a run was planned."""

COUNTED = {"windows": "windows", "frames": "frames", "words": "words", "media_ms": "duration_ms"}
"""Counts of a snapshot that are sums of columns of the videos table."""

COUNTS = ("videos", "ok", "partial", "failed", *COUNTED)
"""Counts of a snapshot that the newest rows of its videos give."""

FACTS = np.dtype(
    [
        *(("id", "S16"), ("version", "u8"), ("status", "S8"), ("run", "S32")),
        *((name, "i8") for name in COUNTED),
    ]
)
"""What a commit has to know of one row of the videos table: 104 bytes, where a dict takes 2,000."""


def key_of(video_id: str) -> bytes:
    """The key of a video in FACTS: its id, or a hash of an id of more than 16 bytes.

    >>> key_of("ed1ba2a19f481f0e"), len(key_of("made-by-hand-and-long"))
    (b'ed1ba2a19f481f0e', 16)
    """
    key = video_id.encode()
    return key if len(key) <= 16 else hashlib.blake2b(key, digest_size=8).hexdigest().encode()


def keys_of(video_ids: pa.ChunkedArray) -> np.ndarray:
    """The key of each video: S16 [n]. Ids of 16 bytes, which is what listings give, are not converted one by one.

    >>> keys_of(pa.chunked_array([["ed1ba2a19f481f0e"], ["by-hand"]])).tolist()
    [b'ed1ba2a19f481f0e', b'by-hand']
    """
    return np.concatenate([np.zeros(0, "S16"), *(_keys_of(chunk) for chunk in video_ids.chunks)])


def _keys_of(ids: pa.StringArray) -> np.ndarray:
    _, ends, content = ids.buffers()
    at = np.frombuffer(ends, np.int32)[ids.offset : ids.offset + len(ids) + 1]
    if len(ids) and not ids.null_count and (np.diff(at) == 16).all():
        return np.frombuffer(content, "S16", len(ids), int(at[0]))
    return np.array([key_of(video_id) for video_id in ids.to_pylist()], "S16")


def version(row: Mapping[str, Any] | None) -> int:
    """A hash that identifies one version of a video's row; 0 when there is no row, or when the video is removed."""
    if row is None or row["status"] == REMOVED:
        return 0
    return _version(tuple(row[name] for name in VERSION))


def _version(values: tuple[Any, ...]) -> int:
    return int.from_bytes(hashlib.blake2b(repr(values).encode(), digest_size=8).digest(), "little")


def facts_of(rows: pa.Table) -> np.ndarray:
    """The facts of rows of the videos table, oldest first: FACTS [videos], sorted by id, the newest row of each video."""
    found = np.zeros(len(rows), FACTS)
    found["id"] = [key_of(video_id) for video_id in rows["video_id"].to_pylist()]
    values = {name: rows[name].to_pylist() for name in VERSION}
    versions = zip(*values.values(), strict=True)
    found["version"] = [
        0 if status == REMOVED else _version(one) for status, one in zip(values["status"], versions, strict=True)
    ]
    for name in ("status", "run"):
        found[name] = [text.encode() for text in values[name]]
    for name, stored in COUNTED.items():
        found[name] = rows[stored].to_numpy()
    return newest_of([found])


def newest_of(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The newest facts of each video in some FACTS arrays, oldest first: sorted by id."""
    rows = np.concatenate([np.zeros(0, FACTS), *parts])
    return rows[newest_places(rows["id"])]


def newest_places(keys: np.ndarray) -> np.ndarray:
    """The place int64 of the last row of each key, in the order of the keys.

    >>> newest_places(np.array([b"b", b"a", b"b"])).tolist()
    [1, 2]
    """
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    last = np.append(ranked[1:] != ranked[:-1], True)[: len(keys)]
    places: np.ndarray = order[last]
    return places


@dataclass
class KnownVideos:
    """The facts of the files of a videos table, by file. Files never change, so that each is read once in a process."""

    held: dict[TableInfo, np.ndarray] = field(default_factory=dict)

    def add(self, info: TableInfo, facts: np.ndarray) -> None:
        """Notes the facts of a file that this process has written."""
        self.held[info] = facts

    def of(self, storage: Storage, info: TableInfo) -> np.ndarray:
        """The facts of one file: FACTS, sorted by id."""
        if info not in self.held:
            columns = ["video_id", *VERSION, *COUNTED.values()]
            with open_parquet(storage, info.path, info.bytes) as parquet:
                batches = list(parquet.batches(MERGED_GROUP_ROWS, columns))
            self.held[info] = newest_of([facts_of(pa.Table.from_batches([batch])) for batch in batches])
        return self.held[info]

    def find(self, storage: Storage, tables: Sequence[TableInfo], video_ids: Iterable[str]) -> dict[str, np.void]:
        """The facts of the newest row of each video that some files, oldest first, have a row of; also of removed videos.

        Forgets the files that are not asked for.
        """
        self.held = {info: facts for info, facts in self.held.items() if info in set(tables)}
        ids = np.array(list(video_ids), object)
        keys = np.array([key_of(video_id) for video_id in ids], "S16")
        found: dict[str, np.void] = {}
        for info in reversed(tables):
            facts = self.of(storage, info)
            if not len(facts) or not len(keys):
                continue
            at = np.minimum(np.searchsorted(facts["id"], keys), len(facts) - 1)
            here = facts["id"][at] == keys
            found.update(zip(ids[here], facts[at[here]], strict=True))
            ids, keys = ids[~here], keys[~here]
        return found


@functools.lru_cache(maxsize=4)
def known_videos(root: str) -> KnownVideos:
    """What this process knows of the dataset at `root`. A process commits to few datasets."""
    return KnownVideos()


def counts_after(
    counts: Mapping[str, int], before: Collection[np.void], rows: Iterable[Mapping[str, Any]]
) -> dict[str, int]:
    """The counts of a snapshot after the rows `before` gave way to others.

    `counts` are those of the parent; `before` the facts of the newest rows until now of the videos of `rows`.
    """
    after = {name: counts.get(name, 0) for name in COUNTS}
    for old in before:
        _count(after, -1, old["status"].decode(), {name: int(old[name]) for name in COUNTED})
    for row in rows:
        _count(after, 1, row["status"], {name: row[stored] for name, stored in COUNTED.items()})
    return after


def _count(counts: dict[str, int], sign: int, status: str, sums: Mapping[str, int]) -> None:
    if status == REMOVED:
        return
    counts["videos"] += sign
    counts[status] += sign
    for name, value in sums.items():
        counts[name] += sign * value


def merge_plan(rows: Sequence[int]) -> list[list[int]]:
    """Which files of a table to merge: groups of places, oldest first. `rows` are the rows of each file.

    >>> [len(group) for group in merge_plan([70_000] + [256] * 15)], len(merge_plan([70_000] + [256] * 16))
    ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 2)
    >>> merge_plan([4096] * 15 + [256] * 16)
    [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30]]
    """
    groups: list[tuple[int, list[int]]] = []
    for at, count in enumerate(rows):
        groups.append((count, [at]))
        for limit in LEVEL_ROWS:
            due = 0
            while due < len(groups) and groups[-1 - due][0] < limit:
                due += 1
            if due >= FAN_OUT:
                merged = groups[-due:]
                places = [place for _, held in merged for place in held]
                groups[-due:] = [(sum(total for total, _ in merged), places)]
    return [places for _, places in groups]


def merge_tables(
    storage: Storage,
    tables: Sequence[TableInfo],
    path: str,
    schema: pa.Schema,
    known: KnownVideos | None = None,
) -> tuple[TableInfo, ...]:
    """The files of a table after the merges that are due. `path` is the path of a new file, without its suffix.

    With `known`, of a videos table: a merged file holds the newest row of each video. Without: it holds all rows.
    """
    after = []
    for places in merge_plan([info.rows for info in tables]):
        group = [tables[place] for place in places]
        if len(group) == 1:
            after += group
            continue
        rows = pa.concat_tables([conformed(_whole(storage, info), schema).cast(schema) for info in group])
        if known:
            keys = np.array([video_id.encode() for video_id in rows["video_id"].to_pylist()])
            rows = rows.combine_chunks().take(int64_array(newest_places(keys)))  # of one chunk: three times faster
        made = put_table(storage, f"{path}-{secrets.token_hex(3)}.parquet", rows, _write_merged)
        if known:
            known.add(made, newest_of([known.of(storage, info) for info in group]))
        after.append(made)
    return tuple(after)


def _whole(storage: Storage, info: TableInfo) -> pa.Table:
    with open_parquet(storage, info.path, info.bytes) as parquet:
        schema = parquet.file.schema_arrow
        return pa.Table.from_batches(list(parquet.batches(MERGED_GROUP_ROWS, schema.names)), schema)


def _write_merged(table: pa.Table, file: Any) -> None:
    pq.write_table(table, file, row_group_size=MERGED_GROUP_ROWS, compression="zstd")
