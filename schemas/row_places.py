"""Where rows lie: the shard and the position in its file for a global row number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .file_records import ShardInfo

RUNS = np.dtype([("first", "<i8"), ("end", "<i8"), ("shard", "<i8"), ("place", "<i8")])
"""A run of consecutive row numbers, half-open, with its shard and the position of its first row in the file."""


class RowPlaces:
    """The runs of row numbers of all shards of a snapshot, sorted: a lookup costs the same for ten shards and ten thousand."""

    def __init__(self, shards: Sequence[ShardInfo]):
        self.shards = shards
        runs = []
        for at, shard in enumerate(shards):
            place = 0
            for first, rows in shard.runs:
                runs.append((first, first + rows, at, place))
                place += rows
        self._runs = np.array(sorted(runs), RUNS)

    def find(self, numbers: Iterable[int]) -> list[tuple[ShardInfo, dict[int, int]]]:
        """The shards that hold some rows, each with the position of each row number in its file.

        >>> shard = ShardInfo("p", 3, 0, "", ("a", 0), ("b", 0), 7, stretches=((20, 2), (7, 1)))
        >>> RowPlaces([shard]).find([21, 8, 7])[0][1]
        {7: 2, 21: 1}
        """
        asked = np.array(sorted(set(numbers)), np.int64)
        if not len(self._runs):
            return []
        at = np.searchsorted(self._runs["first"], asked, "right") - 1
        inside = (at >= 0) & (asked < self._runs["end"][at])
        found: dict[int, dict[int, int]] = {}
        for number, run in zip(asked[inside].tolist(), self._runs[at[inside]].tolist(), strict=True):
            first, _, shard, place = run
            found.setdefault(shard, {})[number] = number - first + place
        return [(self.shards[shard], found[shard]) for shard in sorted(found)]
