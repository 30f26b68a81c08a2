"""Row groups for readers of single rows: decoded columns stay in memory, so that a search that runs on reads few of them again.

A row lies in a row group of up to a thousand, and Parquet gives whole column chunks: reading the words of one row decodes those
of its neighbours. Scans do not come here: they would push out what searches need.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import pyarrow as pa

from .parquet_ranges import open_parquet, rows_of_groups
from .storage import Storage

LIMIT_BYTES = min(1 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 16)
"""Most bytes of decoded columns per process: a sixteenth of the machine's memory, 1 GiB at most. That is room for 1.4 million windows
with their words, texts and times."""

FILES_AT_ONCE = 8
"""Files that are read at a time."""

File = tuple[Storage, str, int, int]
"""A stored file: where, its path, its size in bytes, and when a local one was written (ns)."""

Column = tuple[pa.Field, pa.ChunkedArray]


class GroupCache:
    """Decoded columns of row groups by file, group and name. The least recently used ones go first. Safe for threads."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES):
        self.limit_bytes, self.held_bytes = limit_bytes, 0
        self._held: OrderedDict[tuple[File, int, str], Column] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, file: File, group: int, names: Sequence[str]) -> dict[str, Column]:
        """Those of some columns that are held."""
        found = {}
        with self._lock:
            for name in names:
                if (held := self._held.get((file, group, name))) is not None:
                    self._held.move_to_end((file, group, name))
                    found[name] = held
        return found

    def keep(self, file: File, group: int, table: pa.Table) -> None:
        """Holds the columns of a table, but for one that would take a sixteenth of the room alone."""
        with self._lock:
            for field in table.schema:
                values = table[field.name]
                key = (file, group, field.name)
                if key in self._held or values.nbytes > self.limit_bytes // 16:
                    continue
                self._held[key] = (field, values)
                self.held_bytes += values.nbytes
            while self.held_bytes > self.limit_bytes:
                _, (_, dropped) = self._held.popitem(last=False)
                self.held_bytes -= dropped.nbytes


CACHE = GroupCache()
"""This process's."""


@lru_cache(maxsize=4096)
def _starts(file: File) -> np.ndarray:
    with open_parquet(*file[:3]) as parquet:
        return rows_of_groups(parquet.group_rows())


def read_files(
    storage: Storage,
    wanted: Sequence[tuple[str, int, Sequence[int]]],
    columns: Sequence[str],
    cache: GroupCache = CACHE,
) -> list[list[tuple[int, pa.Table]]]:
    """The row groups of stored files that hold some rows: for each file, (place of the group's first row, table of these columns).

    `wanted` has each file's path, size in bytes and places of rows. What the cache lacks is read, several files at a time. Raises
    FileNotFoundError.
    """
    with ThreadPoolExecutor(
        max(1, min(FILES_AT_ONCE, len(wanted)))
    ) as pool:  # starts threads only for files that are read
        read = [_groups(storage, *one, columns, cache, pool) for one in wanted]
        return [groups.result() if isinstance(groups, Future) else groups for groups in read]


def _groups(
    storage: Storage,
    path: str,
    size_bytes: int,
    places: Sequence[int],
    columns: Sequence[str],
    cache: GroupCache,
    pool: ThreadPoolExecutor,
) -> list[tuple[int, pa.Table]] | Future[list[tuple[int, pa.Table]]]:
    local = storage.local_path(path)
    file = (storage, path, size_bytes, local.stat().st_mtime_ns if local else 0)
    starts = _starts(file)
    groups = np.unique(np.searchsorted(starts, np.asarray(places, np.int64), "right") - 1).tolist()
    held = {group: cache.get(file, group, columns) for group in groups}
    missing = {group: tuple(name for name in columns if name not in held[group]) for group in groups}

    def read() -> list[tuple[int, pa.Table]]:
        with open_parquet(storage, path, size_bytes) as parquet:
            for names in set(missing.values()) - {()}:
                wanted = [group for group in groups if missing[group] == names]
                for group, table in parquet.groups(wanted, names):
                    held[group] |= {field.name: (field, table[field.name]) for field in table.schema}
                    cache.keep(file, group, table)
        return _tables(starts, held, columns)

    return pool.submit(read) if any(missing.values()) else _tables(starts, held, columns)


def _tables(
    starts: np.ndarray, held: Mapping[int, Mapping[str, Column]], columns: Sequence[str]
) -> list[tuple[int, pa.Table]]:
    found = []
    for group, known in held.items():
        fields, values = zip(*(known[name] for name in columns), strict=True)
        found.append((int(starts[group]), pa.Table.from_arrays(values, schema=pa.schema(fields))))
    return found
