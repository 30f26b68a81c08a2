"""Snapshots of a dataset over time: lists them, compares two, pins one, restores one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ...schemas import snapshot as snapshots
from ...schemas.errors import UsageError
from ...schemas.snapshot import Snapshot
from ...schemas.storage import Storage
from ...schemas.tables import TITLE_EMBEDDINGS
from .read import Dataset
from .sweep import files_of, pin_path, pins


def list_snapshots(storage: Storage) -> list[dict[str, Any]]:
    """One record for each snapshot that can be opened, oldest first."""
    pinned, facts = pins(storage), []
    for number, one in snapshots.load_all(storage).items():
        facts.append(
            {
                "number": number,
                "created_at": one.created_at,
                "run": one.run,
                "videos": one.counts.get("videos", 0),
                "windows": one.counts.get("windows", 0),
                "shards": len(one.shards),
                "bytes": sum(shard.bytes for shard in one.shards),
                "fingerprint": one.fingerprint,
                "indexes": {name: built.snapshot for name, built in one.indexes.items()},
                "pinned": number in pinned,
            }
        )
    return facts


def pin_snapshot(storage: Storage, number: int, pinned: bool) -> None:
    """Pins a snapshot, so that retention never deletes it, or unpins it. Raises UsageError when it does not exist."""
    snapshots.load(storage, number)
    if pinned:
        storage.put(pin_path(number), b"")
    else:
        storage.delete(pin_path(number))


@dataclass(frozen=True)
class Difference:
    """Changes from a first snapshot to a second one."""

    added: list[str]
    """Uris of videos."""
    removed: list[str]
    changed: list[str]
    """Uris of videos whose bytes, status, rows or titles differ."""
    counts: dict[str, tuple[int, int]]
    settings: dict[str, tuple[Any, Any]]
    """Options and models that differ."""
    shards_added: int
    shards_removed: int
    indexes: dict[str, tuple[int | None, int | None]]
    """Indexes that differ: by name, the snapshots that they were built from (None: no such index)."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


COMPARED = ("content_sha256", "status", "windows", "frames", "words", *TITLE_EMBEDDINGS)


def snapshot_difference(storage: Storage, first: int, second: int) -> Difference:
    """Compares the content of two snapshots. Raises UsageError when one does not exist."""
    old, new = (Dataset(storage, snapshots.load(storage, number)) for number in (first, second))
    before, after = _compared(old), _compared(new)
    changed = [key for key in before.keys() & after.keys() if before[key][1:] != after[key][1:]]
    one, two = old.snapshot, new.snapshot
    settings = ({**one.options, **one.models}, {**two.options, **two.models})
    paths = tuple({shard.path for shard in snapshot.shards} for snapshot in (one, two))
    builds = [{name: built.snapshot for name, built in snapshot.indexes.items()} for snapshot in (one, two)]
    return Difference(
        sorted(after[key][0] for key in after.keys() - before.keys()),
        sorted(before[key][0] for key in before.keys() - after.keys()),
        sorted(after[key][0] for key in changed),
        _differing(one.counts, two.counts),
        _differing(*settings),
        len(paths[1] - paths[0]),
        len(paths[0] - paths[1]),
        _differing(*builds),
    )


def _compared(dataset: Dataset) -> dict[str, tuple[Any, ...]]:
    """Of each video the uri, and what a change would change."""
    return {key: (row["uri"], *(row[name] for name in COMPARED)) for key, row in dataset.facts.items()}


def _differing(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """
    >>> _differing({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    {'b': (2, 3), 'c': (None, 4)}
    """
    names = sorted(first.keys() | second.keys())
    return {name: (first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)}


def restore_snapshot(storage: Storage, number: int) -> Snapshot:
    """Publishes a new snapshot with the content of an old one. Row numbers assigned since then are not reused.

    Raises UsageError when the old snapshot does not exist or a sweep has deleted one of its files. The files are checked
    before and after the commit, because a concurrent sweep can still delete one.
    """
    old = snapshots.load(storage, number)
    _require_files(storage, old)

    def again(parent: Snapshot | None) -> Snapshot:
        current = parent or old
        next_row = max(current.next_row, old.next_row)
        return replace(
            old,
            number=current.number + 1,
            parent=current.number,
            created_at=snapshots.now(),
            next_row=next_row,
            holes=next_row - sum(shard.rows for shard in old.shards),
            rows_changed=current.number + 1,
            indexes=_current_indexes(old, current.number + 1, next_row),
        )

    published = snapshots.commit_next(storage, again)
    _require_files(storage, published)
    return published


def _current_indexes(old: Snapshot, number: int, next_row: int) -> dict[str, Any]:
    """The old snapshot's indexes. Those that were up to date then are marked as up to date with the restored snapshot."""
    return {
        name: replace(built, snapshot=number, rows=next_row)
        if built.snapshot >= old.rows_changed and built.rows == old.next_row
        else built
        for name, built in old.indexes.items()
    }


def _require_files(storage: Storage, snapshot: Snapshot) -> None:
    for path in files_of(snapshot):
        try:
            storage.head(f"{path}index.json" if path.endswith("/") else path)
        except FileNotFoundError as error:
            raise UsageError(
                f"snapshot {snapshot.number} can't be restored: {path} has been swept; "
                f"cure: restore another snapshot of {storage.root}: {snapshots.numbers(storage)}"
            ) from error
