"""Row groups for readers of single rows: decoded columns stay in memory, so that a search that runs on reads few of them again.

A row lies in a row group of up to a thousand, and Parquet gives whole column chunks: reading the words of one row decodes those
of its neighbours. Scans do not come here: they would push out what searches need.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import pyarrow as pa

from .parquet_ranges import open_parquet, rows_of_groups
from .storage import Storage
from .tensors import tensor

LIMIT_BYTES = min(1 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 16)
"""Most bytes of decoded columns per process: a sixteenth of the machine's memory, 1 GiB at most. That is room for 1.4 million windows
with their words, texts and times."""

FILES_AT_ONCE = 8
"""Files that are read at a time."""

File = tuple[str, str, int, int]
"""A stored file: the root of its storage, its path, its size in bytes, and when a local one was written (ns)."""

Column = tuple[pa.Field, pa.ChunkedArray]


Values = Callable[[int], Any]
"""Gives the value of a row by its place in the group."""


def values_of(field: pa.Field, column: pa.ChunkedArray) -> Values:
    """The values of a column as Python has them, and arrays [*shape] of a tensor.

    What is short is decoded whole, once; of nested columns and of files only the rows that are asked for are.

    >>> values_of(pa.field("a", pa.int32()), pa.chunked_array([[5, 6]]))(1)
    6
    """
    if b"dtype" in (field.metadata or {}):
        return tensor(pa.table([column], schema=pa.schema([field])), field.name).__getitem__
    if pa.types.is_nested(field.type) or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
        return lambda at: column[at].as_py()
    known: dict[Any, Any] = {}
    return [known.setdefault(one, one) for one in column.to_pylist()].__getitem__  # equal texts are one


class Group:
    """Decoded columns of one row group, and how their values are given: to find out costs more than to give one."""

    def __init__(self, columns: dict[str, Column] | None = None) -> None:
        self.columns: dict[str, Column] = columns or {}
        self.held_bytes = 0
        self._values: dict[str, Values] = {}

    def table(self, names: Sequence[str]) -> pa.Table:
        """Some columns that are there."""
        fields, values = zip(*(self.columns[name] for name in names), strict=True)
        return pa.Table.from_arrays(values, schema=pa.schema(fields))

    def values(self, name: str) -> Values:
        """Those of a column that is there."""
        found = self._values.get(name)
        if found is None:
            found = self._values[name] = values_of(*self.columns[name])
        return found


class GroupCache:
    """Decoded columns by file and row group. The least recently used groups go first. Safe for threads."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES):
        self.limit_bytes, self.held_bytes = limit_bytes, 0
        self._held: OrderedDict[tuple[File, int], Group] = OrderedDict()
        self._lock = threading.Lock()

    def groups(self, file: File, numbers: Sequence[int], names: Sequence[str]) -> dict[int, Group]:
        """Those groups of a file of which some columns are all held."""
        found = {}
        with self._lock:
            for number in numbers:
                group = self._held.get((file, number))
                if group is not None and all(name in group.columns for name in names):
                    self._held.move_to_end((file, number))
                    found[number] = group
        return found

    def columns(self, file: File, group: int, names: Sequence[str]) -> dict[str, Column]:
        """Those of some columns that are held."""
        with self._lock:
            held = self._held.get((file, group))
            return {} if held is None else {name: held.columns[name] for name in names if name in held.columns}

    def keep(self, file: File, group: int, table: pa.Table) -> None:
        """Holds the columns of a table, but for one that would take a sixteenth of the room alone."""
        with self._lock:
            held = self._held.setdefault((file, group), Group())
            self._held.move_to_end((file, group))
            for field in table.schema:
                values = table[field.name]
                if field.name in held.columns or values.nbytes > self.limit_bytes // 16:
                    continue
                size = values.nbytes * (2 if pa.types.is_string(field.type) else 1)  # as Python's own texts too
                held.columns[field.name] = (field, values)
                held.held_bytes += size
                self.held_bytes += size
            while self.held_bytes > self.limit_bytes:
                _, dropped = self._held.popitem(last=False)
                self.held_bytes -= dropped.held_bytes


CACHE = GroupCache()
"""This process's."""


@lru_cache(maxsize=4096)
def _starts(storage: Storage, path: str, size_bytes: int, written_ns: int) -> list[int]:
    """Places of the first rows of a file's groups, and the number of its rows."""
    with open_parquet(storage, path, size_bytes) as parquet:
        found: list[int] = rows_of_groups(parquet.group_rows()).tolist()
    return found


def read_files(
    storage: Storage,
    wanted: Sequence[tuple[str, int, Sequence[int]]],
    columns: Sequence[str],
    cache: GroupCache = CACHE,
) -> list[list[tuple[int, Group]]]:
    """The row groups of stored files that hold some rows: for each file, (place of the group's first row, group with these columns).

    `wanted` has each file's path, size in bytes and places of rows. What the cache lacks is read, several files at a time. Raises
    FileNotFoundError.
    """
    found = [_groups(storage, *one, columns, cache) for one in wanted]
    lacking = [read for read in found if not isinstance(read, list)]
    if not lacking:
        return [groups for groups in found if isinstance(groups, list)]
    with ThreadPoolExecutor(min(FILES_AT_ONCE, len(lacking))) as pool:
        read = pool.map(lambda one: one(), lacking)
        return [groups if isinstance(groups, list) else next(read) for groups in found]


def _groups(
    storage: Storage, path: str, size_bytes: int, places: Sequence[int], columns: Sequence[str], cache: GroupCache
) -> list[tuple[int, Group]] | Callable[[], list[tuple[int, Group]]]:
    """The groups of one file, or what reads them."""
    written_ns = (
        os.stat(f"{storage.root}/{path}").st_mtime_ns if storage.is_local else 0
    )  # Path costs more than all of this
    file = (storage.root, path, size_bytes, written_ns)
    starts = _starts(storage, path, size_bytes, file[-1])
    groups = sorted({bisect_right(starts, place) - 1 for place in places})
    held = cache.groups(file, groups, columns)

    def read() -> list[tuple[int, Group]]:
        known = {group: cache.columns(file, group, columns) for group in groups if group not in held}
        lacking = {group: tuple(name for name in columns if name not in known[group]) for group in known}
        with open_parquet(storage, path, size_bytes) as parquet:
            for wanted in set(lacking.values()) - {()}:
                for group, table in parquet.groups([one for one in known if lacking[one] == wanted], wanted):
                    known[group] |= {field.name: (field, table[field.name]) for field in table.schema}
                    cache.keep(file, group, table)
        held.update({group: Group(found) for group, found in known.items()})
        return [(starts[group], held[group]) for group in groups]

    return read if len(held) < len(groups) else [(starts[group], held[group]) for group in groups]
