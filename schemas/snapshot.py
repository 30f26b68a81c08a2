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
from functools import partial
from typing import Any

from .elements import Grid
from .errors import CommitConflict, CorruptOutput, UsageError
from .file_records import IndexInfo, ShardInfo, TableInfo
from .manifests import Manifest, Part, listed, merged, unlisted, write_manifest
from .storage import Storage
from .tables import OLDEST_SCHEMA_VERSION, SCHEMA_VERSION, RowShape

log = logging.getLogger("reelbeam")

FORMAT = "reelbeam"
MAX_COMMIT_TRIES = 20
MANIFESTS_VERSION = 3
"""Schema version of a snapshot that names manifests, which older programs cannot read."""

MOST_SORTED = 999_998
"""Up to it, the paths of snapshots sort as their numbers do."""

_newest: dict[str, int] = {}  # root of a dataset -> the newest snapshot that this process has seen


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
    manifests: tuple[Manifest, ...] = field(default=(), compare=False, repr=False)
    """The stored lists that hold most of `shards`; the JSON names them within `shards`. A commit brings them up to date."""

    def to_json(self) -> bytes:
        grid = {"tick_hz": str(self.grid.tick_hz), "window_ticks": self.grid.window_ticks}
        fields = {**vars(self), "shape": self.shape.to_json(), "grid": grid}
        parts = listed(self.shards, fields.pop("manifests"))
        fields["shards"] = [part.to_json() if isinstance(part, Part) else vars(part) for part in parts]
        if self.manifests:
            fields["schema_version"] = max(MANIFESTS_VERSION, self.schema_version)
        for name in ("videos", "failures"):
            fields[name] = [vars(one) for one in fields[name]]
        fields["indexes"] = {name: vars(built) for name, built in self.indexes.items()}
        indent = None if self.manifests else 1
        return json.dumps({"format": FORMAT, **fields}, indent=indent).encode()

    @classmethod
    def from_json(cls, storage: Storage, text: bytes) -> Snapshot:
        """Raises CorruptOutput for text that is not a snapshot of this version, FileNotFoundError when a manifest is missing."""
        try:
            fields = json.loads(text)
            if fields.pop("format") != FORMAT:
                raise CorruptOutput("not a Reelbeam snapshot")
            if not OLDEST_SCHEMA_VERSION <= fields["schema_version"] <= MANIFESTS_VERSION:
                raise CorruptOutput(
                    f"snapshot has schema version {fields['schema_version']}, this program reads "
                    f"{OLDEST_SCHEMA_VERSION} to {MANIFESTS_VERSION}; cure: use the Reelbeam version that wrote it"
                )
            fields["schema_version"] = SCHEMA_VERSION  # later commits on top of it need this version
            fields["grid"] = Grid(Fraction(fields["grid"]["tick_hz"]), fields["grid"]["window_ticks"])
            fields["shape"] = RowShape.from_json(fields["shape"])
            fields["shards"], fields["manifests"] = unlisted(storage, fields["shards"])
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
        return Snapshot.from_json(storage, storage.get(snapshot_path(number)))
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
            found[number] = Snapshot.from_json(storage, storage.get(snapshot_path(number)))
    return found


def commit(storage: Storage, snapshot: Snapshot) -> Snapshot:
    """Publishes a snapshot, after the manifests that are due, and returns it with them.

    Raises CommitConflict when another writer was first: reload, plan again and retry.
    """
    manifests = merged(snapshot.shards, snapshot.manifests, partial(write_manifest, storage))
    snapshot = replace(snapshot, manifests=manifests)
    path, content = snapshot_path(snapshot.number), snapshot.to_json()
    # the first attempt may have succeeded although its response was lost; then the retry finds our own object
    if not storage.put_if_absent(path, content) and storage.get(path) != content:
        raise CommitConflict(f"{storage.uri(path)} exists: another run published it first")
    return snapshot


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
            return commit(storage, published)
        except CommitConflict:
            log.info("another run published snapshot %d first; trying again on top of it", published.number)
    raise CommitConflict(f"{storage.root}: other writers were first {MAX_COMMIT_TRIES} times in a row; try again later")


def now() -> str:
    """The current time in the format of `created_at`."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def new_run() -> str:
    """A new name for a run: the time and a random suffix."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
