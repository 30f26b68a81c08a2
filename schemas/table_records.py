"""The rows of a table as records by id, each made when it is asked for: a dict for each of a million takes 1.3 GB and 10 s."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Any

import pyarrow as pa

BATCH_ROWS = 8_192
"""Rows that are records at a time, where all are walked through."""

Record = dict[str, Any]


class TableRecords(Mapping[str, Record]):
    """A read-only mapping from the values of a column, of which each occurs once, to the rows as dicts.

    >>> found = TableRecords(pa.table({"id": ["b", "a"], "windows": [1, 2]}), "id")
    >>> found["a"], "c" in found, list(found), [row["windows"] for row in found.values()]
    ({'id': 'a', 'windows': 2}, False, ['b', 'a'], [1, 2])
    """

    def __init__(self, rows: pa.Table, key: str):
        self.rows, self.key = rows.combine_chunks(), key
        self._places = {one: at for at, one in enumerate(self.rows[key].to_pylist())}

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __getitem__(self, key: str) -> Record:
        [record] = self.rows.slice(self._places[key], 1).to_pylist()
        return dict(record)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def records(self) -> Iterator[Record]:
        """All rows, in their order."""
        for batch in self.rows.to_batches(BATCH_ROWS):
            yield from batch.to_pylist()

    def values(self) -> ValuesView[Record]:
        return _Values(self)

    def items(self) -> ItemsView[str, Record]:
        return _Items(self)


class _Values(ValuesView[Record]):
    """Values without a search for each key."""

    _mapping: TableRecords

    def __iter__(self) -> Iterator[Record]:
        return self._mapping.records()


class _Items(ItemsView[str, Record]):
    """The same, of pairs."""

    _mapping: TableRecords

    def __iter__(self) -> Iterator[tuple[str, Record]]:
        return ((record[self._mapping.key], record) for record in self._mapping.records())
