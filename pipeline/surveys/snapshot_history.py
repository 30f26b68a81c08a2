"""The snapshots of a dataset, newest first, and what each changed since the one before it."""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.errors import UsageError
from ...schemas.snapshot import Snapshot
from ...schemas.storage import Storage
from ..dataset import list_snapshots, snapshot_difference

MOST_COMPARED = 8
"""Newest snapshots that are compared: each comparison reads two videos tables."""

MOST_VIDEOS = 50_000
"""Videos up to which two snapshots are compared."""

EXAMPLES = 5


@dataclass(frozen=True)
class Changed:
    """Videos that a snapshot added, removed or changed: their number, and the uris of the first few."""

    number: int
    examples: list[str]

    @classmethod
    def of(cls, uris: list[str]) -> Changed:
        return cls(len(uris), uris[:EXAMPLES])


@dataclass(frozen=True)
class SnapshotFacts:
    """One snapshot, as the health page lists it."""

    number: int
    created_at: str
    """UTC, ISO 8601."""
    run: str
    videos: int
    windows: int
    bytes: int
    """Size of its shards."""
    pinned: bool


@dataclass(frozen=True)
class SnapshotChange:
    """What a snapshot changed since the listed snapshot before it."""

    number: int
    since: int
    added: Changed
    removed: Changed
    changed: Changed
    counts: dict[str, tuple[int, int]]
    settings: list[str]
    """Names of options and models that differ."""
    indexes: list[str]
    """Names of indexes that differ."""


def snapshot_facts(storage: Storage) -> list[SnapshotFacts]:
    """The snapshots that can be opened, newest first."""
    wanted = SnapshotFacts.__dataclass_fields__
    return [SnapshotFacts(**{name: one[name] for name in wanted}) for one in reversed(list_snapshots(storage))]


def compared_pairs(facts: list[SnapshotFacts]) -> list[tuple[int, int]]:
    """The (older, newer) numbers of the snapshots to compare, newest pair first; pairs of many videos are left out.

    >>> few = [SnapshotFacts(number, "", "", 3, 0, 0, False) for number in (7, 5, 4)]
    >>> compared_pairs(few)
    [(5, 7), (4, 5)]
    """
    pairs = list(zip(facts[1:], facts, strict=False))[:MOST_COMPARED]
    return [(old.number, new.number) for old, new in pairs if max(old.videos, new.videos) <= MOST_VIDEOS]


def snapshot_changes(storage: Storage, pairs: list[tuple[int, int]]) -> list[SnapshotChange]:
    """What changed between the snapshots of each pair. A snapshot that was swept meanwhile is left out."""
    found = []
    for old, new in pairs:
        try:
            one = snapshot_difference(storage, old, new)
        except (FileNotFoundError, UsageError):
            continue
        found.append(
            SnapshotChange(
                new,
                old,
                Changed.of(one.added),
                Changed.of(one.removed),
                Changed.of(one.changed),
                one.counts,
                sorted(one.settings),
                sorted(one.indexes),
            )
        )
    return found


def missing_rows(snapshot: Snapshot) -> int:
    """Rows of removed videos that shards still contain, until they are compacted."""
    return sum(shard.removed_rows for shard in snapshot.shards)
