"""The records of stored files: a shard of windows, a file of the videos or failures table, an index build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ShardInfo:
    """One file of windows. Row i has the permanent global number `row_numbers()[i]`: `first_row + i` in a newly written
    shard, and the number in `stretches` in a shard that was rewritten from older ones.

    >>> shard = ShardInfo("p", 3, 0, "", ("a", 0), ("b", 0), 7, stretches=((7, 1), (20, 2)))
    >>> shard.row_numbers().tolist(), shard.end_row
    ([7, 20, 21], 22)
    """

    path: str
    rows: int
    bytes: int
    sha256: str
    first_key: tuple[str, int]
    """(video_id, window) of the first row: rows are sorted by it."""
    last_key: tuple[str, int]
    """(video_id, window) of the last row."""
    first_row: int = -1
    """Lowest global row number; assigned when the shard is committed."""
    removed: tuple[str, ...] = ()
    """Ids of videos whose rows in this shard are removed: readers skip them."""
    removed_rows: int = 0
    """Number of those rows."""
    stretches: tuple[tuple[int, int], ...] = ()
    """(first global number, rows) of each run of rows with consecutive numbers, in file order. `first_row` is then the lowest
    number. Empty means a single run: (first_row, rows)."""

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> ShardInfo:
        """The record that JSON holds, where tuples are lists. Raises KeyError or TypeError for another one."""
        return cls(
            **{
                **fields,
                "first_key": tuple(fields["first_key"]),
                "last_key": tuple(fields["last_key"]),
                "removed": tuple(fields["removed"]),
                "stretches": tuple((first, rows) for first, rows in fields.get("stretches", ())),
            }
        )

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """The runs of consecutive row numbers, also when there is only one."""
        return self.stretches or ((self.first_row, self.rows),)

    @property
    def end_row(self) -> int:
        """The number after the highest one in this shard."""
        return max((first + rows for first, rows in self.runs), default=0)

    def row_numbers(self) -> np.ndarray:
        """Global number of each row, int64 [rows]."""
        return np.concatenate([np.arange(first, first + rows, dtype=np.int64) for first, rows in self.runs])


@dataclass(frozen=True)
class TableInfo:
    """One file of the videos or failures table."""

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class IndexInfo:
    """One published index build."""

    path: str
    """Folder of index.json and of the build's new files."""
    kind: str
    """The kind of index: a FAISS factory string, or tantivy."""
    vectors: int
    """Number of vectors in it, or of documents."""
    snapshot: int
    """The snapshot that it was built from."""
    rows: int
    """That snapshot's next_row: rows from this number on are newer than the index."""
    sha256: str
    """Hash of index.faiss, or of the first part of a build with several parts; of words, of the file of ids."""
    settings_sha256: str
    """Hash of index.json."""
    files: tuple[str, ...] = ()
    """All stored files of the build, including index.json. An update shares files with earlier builds."""
    of: str = "frames"
    """What is indexed: embeddings of frames, speech or fused ones; or words."""
