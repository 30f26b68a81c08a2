"""The health of a dataset: counts over time, failures by kind, indexes with recall and age, sizes, the last nights."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ...schemas.snapshot import Snapshot
from ...schemas.storage import Storage
from ...schemas.vector_sources import called_of
from ...schemas.words_manifest import WORDS_KIND
from ...transforms.frame_choice import frame_coverage
from ..dataset import Dataset
from ..indexes import read_manifest
from ..words import read_words_manifest
from .snapshot_history import SnapshotFacts, missing_rows, snapshot_facts

MOST_NIGHTS = 14
MOST_SNAPSHOTS = 100
EXAMPLES = 5
MESSAGE_LETTERS = 300


@dataclass(frozen=True)
class Example:
    """One failure of a kind."""

    video_id: str
    uri: str
    message: str


@dataclass(frozen=True)
class FailureKind:
    """Failures of one stage and kind that still stand."""

    stage: str
    kind: str
    number: int
    examples: list[Example]


@dataclass(frozen=True)
class IndexHealth:
    """One index of the current snapshot."""

    name: str
    kind: str
    called: str
    """What is indexed."""
    vectors: int
    snapshot: int
    """The snapshot that it was built from."""
    is_current: bool
    """Whether it covers the rows of the current snapshot."""
    created_at: str
    age_s: int
    """Seconds since the build."""
    why: str
    recalls: dict[str, float]
    """Recall@10 by the name of the queries; empty for words."""
    min_recall: float
    latency_ms: float | None
    """Median time of a single query when it was built; none for words."""
    bytes: int
    """Size of its files."""


@dataclass(frozen=True)
class Night:
    """The report of one run, in short."""

    run: str
    started_at: str
    snapshot_before: int | None
    snapshot_after: int | None
    found: dict[str, int]
    """Videos by kind of change; kinds without a video are left out."""
    statuses: dict[str, int]
    windows: int
    failures: int
    seconds: float
    """Duration of all steps."""


@dataclass(frozen=True)
class Health:
    """All of it. Sizes in bytes, times in UTC, ISO 8601."""

    snapshot: int
    created_at: str
    age_s: int
    fingerprint: str
    models: dict[str, str]
    senses: list[str]
    counts: dict[str, int]
    frame_coverage: float | None
    """Share of ticks that have a frame, in videos with pictures."""
    next_row: int
    missing_rows: int
    """Rows of removed videos that shards still contain."""
    shards: int
    sizes: dict[str, int]
    """Bytes by kind of file: shards, tables, and each index."""
    failures: list[FailureKind] = field(default_factory=list)
    indexes: list[IndexHealth] = field(default_factory=list)
    snapshots: list[SnapshotFacts] = field(default_factory=list)
    """Newest first, at most MOST_SNAPSHOTS."""
    nights: list[Night] = field(default_factory=list)
    """Newest first, at most MOST_NIGHTS."""


def age_s(created_at: str, now: datetime) -> int:
    """Seconds from an ISO 8601 time, UTC where it names no zone; never below 0.

    >>> age_s("2026-01-01T00:00:00+00:00", datetime(2026, 1, 1, 0, 1, tzinfo=UTC))
    60
    """
    at = datetime.fromisoformat(created_at)
    return max(0, int((now - (at if at.tzinfo else at.replace(tzinfo=UTC))).total_seconds()))


def failures_by_kind(failures: list[dict[str, Any]]) -> list[FailureKind]:
    """Failures grouped by stage and kind, most frequent first, with the first few of each as examples."""
    numbers = Counter((one["stage"], one["kind"]) for one in failures)
    examples: dict[tuple[str, str], list[Example]] = {}
    for one in failures:
        held = examples.setdefault((one["stage"], one["kind"]), [])
        if len(held) < EXAMPLES:
            held.append(Example(one["video_id"], one["uri"], one["message"][:MESSAGE_LETTERS]))
    return [FailureKind(*key, number, examples[key]) for key, number in numbers.most_common()]


def index_health(storage: Storage, snapshot: Snapshot, now: datetime) -> list[IndexHealth]:
    """The indexes that a snapshot names."""
    return [_index_health(storage, snapshot, name, now) for name in snapshot.indexes]


def _index_health(storage: Storage, snapshot: Snapshot, name: str, now: datetime) -> IndexHealth:
    built = snapshot.indexes[name]
    is_current = built.snapshot >= snapshot.rows_changed
    if built.kind == WORDS_KIND:
        words = read_words_manifest(storage, built)
        shown = (called_of(words.of), built.vectors, built.snapshot, is_current, words.created_at)
        return IndexHealth(
            name, built.kind, *shown, age_s(words.created_at, now), words.why, {}, 0.0, None, words.size_bytes
        )
    vectors = read_manifest(storage, built)
    shown = (called_of(vectors.of), built.vectors, built.snapshot, is_current, vectors.created_at)
    recalls = {queries: one.recall for queries, one in vectors.recall_at_10.items()}
    latency_ms = vectors.recall.latency_ms if vectors.recall else None
    size = sum(part.bytes for part in vectors.parts)
    age = age_s(vectors.created_at, now)
    return IndexHealth(name, built.kind, *shown, age, vectors.why, recalls, vectors.min_recall, latency_ms, size)


def last_nights(storage: Storage) -> list[Night]:
    """The newest reports, newest first. One that a sweep deletes meanwhile, or that is not a report, is left out."""
    paths = [stored.path for stored in storage.list("runs") if stored.path.endswith(".report.json")]
    found = []
    for path in sorted(paths, reverse=True)[:MOST_NIGHTS]:
        try:
            report = json.loads(storage.get(path))
            found.append(
                Night(
                    report["run"],
                    report["started_at"],
                    report["snapshot_before"],
                    report["snapshot_after"],
                    {name: number for name, number in report["found"].items() if number},
                    report["statuses"],
                    report["windows"],
                    len(report["failures"]),
                    round(sum(report["seconds"].values()), 1),
                )
            )
        except (FileNotFoundError, ValueError, KeyError):
            continue
    return found


def health_of(dataset: Dataset, now: datetime | None = None) -> Health:
    """The health of a snapshot. Reads its small tables, the indexes' index.json, all snapshots and the last reports."""
    storage, snapshot, now = dataset.storage, dataset.snapshot, now or datetime.now(UTC)
    shown = dataset.newest.select(["video_codec", "duration_ms", "frames"])
    frames, ticks = frame_coverage(shown.to_pylist(), snapshot.grid.tick_hz)
    indexes = index_health(storage, snapshot, now)
    sizes = {
        "shards": sum(shard.bytes for shard in snapshot.shards),
        "tables": sum(table.bytes for table in (*snapshot.videos, *snapshot.failures)),
        **{f"index {one.name}": one.bytes for one in indexes},
    }
    return Health(
        snapshot.number,
        snapshot.created_at,
        age_s(snapshot.created_at, now),
        snapshot.fingerprint,
        {
            name: str(identity.get("weights", "off" if identity.get("off") else ""))
            for name, identity in snapshot.models.items()
        },
        [sense.name for sense in snapshot.shape.senses],
        snapshot.counts,
        round(frames / ticks, 4) if ticks else None,
        snapshot.next_row,
        missing_rows(snapshot),
        len(snapshot.shards),
        sizes,
        failures_by_kind(dataset.standing_failures()),
        indexes,
        snapshot_facts(storage)[:MOST_SNAPSHOTS],
        last_nights(storage),
    )
