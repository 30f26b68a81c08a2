"""Snapshots list the files of a dataset. A snapshot is one immutable JSON object; the highest number is current.

A commit creates the next number only if it does not exist, so readers see a commit completely or not at all.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np

from .elements import Grid
from .errors import CommitConflict, CorruptOutput, UsageError
from .storage import Storage
from .tables import OLDEST_SCHEMA_VERSION, SCHEMA_VERSION, RowShape

log = logging.getLogger("reelbeam")

FORMAT = "reelbeam"
MAX_COMMIT_TRIES = 20
MOST_INDENTED = 1_000  # shards: indenting is ten times slower

MOST_SORTED = 999_998
"""Up to it, the paths of snapshots sort as their numbers do."""

_newest: dict[str, int] = {}  # root of a dataset -> the newest snapshot that this process has seen


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


@dataclass(frozen=True)
class Snapshot:
    """The complete description of a dataset: all that readers need and `verify` checks."""

    number: int
    parent: int | None
    """The snapshot that it was made from; none for the first."""
    run: str
    """The run that committed it; its name begins with the time."""
    created_at: str
    options: dict[str, str]
    """The extraction options that change stored data."""
    models: dict[str, Any]
    """The models that filled the rows."""
    fingerprint: str
    """Hash of those options and models."""
    grid: Grid
    """The grid of ticks and windows."""
    shape: RowShape
    """The sizes of the tensors of a row."""
    shards: tuple[ShardInfo, ...] = ()
    videos: tuple[TableInfo, ...] = ()
    failures: tuple[TableInfo, ...] = ()
    indexes: dict[str, IndexInfo] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """Current numbers of videos, ok, partial, failed, windows, frames, words and media_ms; and of all failures in the tables."""
    next_row: int = 0
    """The global number of the next new row."""
    holes: int = 0
    """Number of assigned row numbers that are in no shard any more, after rewriting shards or restoring a snapshot."""
    rows_changed: int = 0
    """The newest snapshot in which rows were added, removed or changed: an index built from it or a later one is up to date."""
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> bytes:
        grid = {"tick_hz": str(self.grid.tick_hz), "window_ticks": self.grid.window_ticks}
        fields = {**vars(self), "shape": self.shape.to_json(), "grid": grid}
        for name in ("shards", "videos", "failures"):
            fields[name] = [vars(one) for one in fields[name]]
        fields["indexes"] = {name: vars(built) for name, built in self.indexes.items()}
        indent = 1 if len(self.shards) < MOST_INDENTED else None
        return json.dumps({"format": FORMAT, **fields}, indent=indent).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Snapshot:
        """Raises CorruptOutput for text that is not a snapshot of this version."""
        try:
            fields = json.loads(text)
            if fields.pop("format") != FORMAT:
                raise CorruptOutput("not a Reelbeam snapshot")
            if not OLDEST_SCHEMA_VERSION <= fields["schema_version"] <= SCHEMA_VERSION:
                raise CorruptOutput(
                    f"snapshot has schema version {fields['schema_version']}, this program reads "
                    f"{OLDEST_SCHEMA_VERSION} to {SCHEMA_VERSION}; cure: use the Reelbeam version that wrote it"
                )
            fields["schema_version"] = SCHEMA_VERSION  # later commits on top of it need this version
            fields["grid"] = Grid(Fraction(fields["grid"]["tick_hz"]), fields["grid"]["window_ticks"])
            fields["shape"] = RowShape.from_json(fields["shape"])
            fields["shards"] = tuple(
                ShardInfo(
                    **{
                        **shard,
                        "first_key": tuple(shard["first_key"]),
                        "last_key": tuple(shard["last_key"]),
                        "removed": tuple(shard["removed"]),
                        "stretches": tuple((first, rows) for first, rows in shard.get("stretches", ())),
                    }
                )
                for shard in fields["shards"]
            )
            fields["videos"] = tuple(TableInfo(**table) for table in fields["videos"])
            fields["failures"] = tuple(TableInfo(**table) for table in fields["failures"])
            fields["indexes"] = {
                name: IndexInfo(**{**built, "files": tuple(built.get("files", ()))})
                for name, built in fields["indexes"].items()
            }
            return cls(**fields)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptOutput(f"a snapshot file cannot be read: {type(error).__name__}: {error}") from error

    def add_shards(self, shards: Iterator[ShardInfo] | list[ShardInfo]) -> tuple[tuple[ShardInfo, ...], int]:
        """Assigns row numbers to new shards. Returns all shards, and the next free row number."""
        kept, next_row = list(self.shards), self.next_row
        for shard in shards:
            kept.append(replace(shard, first_row=next_row))
            next_row += shard.rows
        return tuple(kept), next_row


def snapshot_path(number: int) -> str:
    """
    >>> snapshot_path(7)
    'snapshots/000007.json'
    """
    return f"snapshots/{number:06d}.json"


def shard_path(run: str, part: int, parts: int) -> str:
    """
    >>> shard_path("r", 3, 16)
    'windows/r/windows-00003-of-00016.parquet'
    """
    return f"windows/{run}/windows-{part:05d}-of-{parts:05d}.parquet"


def numbers(storage: Storage, after: int = 0) -> list[int]:
    """The numbers of all snapshots above `after`, ascending."""
    skipped = snapshot_path(after) if 0 < after < MOST_SORTED else ""
    found = (re.fullmatch(r"snapshots/(\d{6,})\.json", stored.path) for stored in storage.list("snapshots", skipped))
    return sorted(int(match[1]) for match in found if match and int(match[1]) > after)


def load(storage: Storage, number: int | None = None) -> Snapshot:
    """A snapshot by number, or the current one. Raises UsageError when there is none."""
    if number is None:
        known = numbers(storage)
        if not known:
            raise UsageError(f"{storage.root} holds no snapshot; make one with: reelbeam extract INPUT {storage.root}")
        number = known[-1]
    try:
        return Snapshot.from_json(storage.get(snapshot_path(number)))
    except FileNotFoundError as error:
        raise UsageError(f"{storage.root} has no snapshot {number}; it has {numbers(storage)}") from error


def latest(storage: Storage) -> Snapshot | None:
    """The current snapshot; None when there is none. A process lists only from the newest one that it knows."""
    known = numbers(storage, _newest.get(storage.root, 1) - 1) or numbers(storage)
    if not known:
        return None
    _newest[storage.root] = known[-1]
    return load(storage, known[-1])


def load_all(storage: Storage) -> dict[int, Snapshot]:
    """All snapshots by number, without those that a sweep deletes in the meantime."""
    found = {}
    for number in numbers(storage):
        with contextlib.suppress(FileNotFoundError):
            found[number] = Snapshot.from_json(storage.get(snapshot_path(number)))
    return found


def commit(storage: Storage, snapshot: Snapshot) -> None:
    """Publishes a snapshot. Raises CommitConflict when another writer was first: reload, plan again and retry."""
    path, content = snapshot_path(snapshot.number), snapshot.to_json()
    # the first attempt may have succeeded although its response was lost; then the retry finds our own object
    if not storage.put_if_absent(path, content) and storage.get(path) != content:
        raise CommitConflict(f"{storage.uri(path)} exists: another run published it first")


def commit_next(storage: Storage, make: Callable[[Snapshot | None], Snapshot]) -> Snapshot:
    """Commits `make(current snapshot)`. If another writer was first, calls `make` again with the newer snapshot.

    If `make` returns the current snapshot, nothing is committed. Raises CommitConflict after MAX_COMMIT_TRIES attempts.
    """
    for _ in range(MAX_COMMIT_TRIES):
        current = latest(storage)
        published = make(current)
        if published is current:
            return published
        try:
            commit(storage, published)
        except CommitConflict:
            log.info("another run published snapshot %d first; trying again on top of it", published.number)
        else:
            return published
    raise CommitConflict(f"{storage.root}: other writers were first {MAX_COMMIT_TRIES} times in a row; try again later")


def now() -> str:
    """The current time in the format of `created_at`."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_run() -> str:
    """A new name for a run: the time and a random suffix."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
