"""The record of a night: printed by `nightly --json`, and stored as `runs/<run>.report.json` when anything was done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from .index_manifest import Recall
from .phases import phase


class FailedVideo(NamedTuple):
    """One failure, as it is printed."""

    uri: str
    stage: str
    kind: str
    message: str


@dataclass(frozen=True)
class Remodelled:
    """What was recomputed because models or options changed."""

    parts: tuple[str, ...]
    """The models whose columns were recomputed, or "everything"."""
    videos: int
    """Videos that were decoded again."""
    lost: int
    """Videos whose rows left, because their bytes are not there any more."""
    snapshot: int
    """The snapshot that holds the new rows."""


@dataclass(frozen=True)
class IndexUpdate:
    """One index that was built or updated."""

    snapshot: int
    """The snapshot that names the build."""
    kind: str
    vectors: int
    """Vectors that it holds."""
    recall_at_10: dict[str, Recall]
    """Recall@10 by the name of the queries."""


@dataclass
class NightReport:
    """What a night found and did."""

    run: str
    input: str
    """The videos' location, as it was given."""
    started_at: str
    """UTC, ISO 8601."""
    snapshot_before: int | None = None
    """The current snapshot when the night began; none for a new dataset."""
    snapshot_after: int | None = None
    """The current snapshot when the night ended."""
    listed: int = 0
    """Videos in the bucket."""
    found: dict[str, int] = field(default_factory=dict)
    """Videos by what had become of them: new, changed, touched, retried, retitled, removed, missing, back, unchanged; of the
    new and the changed ones, twins have the bytes of another video, and renamed ones those of a removed one."""
    statuses: dict[str, int] = field(default_factory=dict)
    """Videos that were worked on, by how they ended."""
    windows: int = 0
    """Rows that were written."""
    media_ms: int = 0
    """Media time of the videos that were worked on."""
    remodelled: Remodelled | None = None
    """None when models and options were as before."""
    indexes: dict[str, IndexUpdate] = field(default_factory=dict)
    """Indexes that were built or updated, by name."""
    compacted: bool = False
    """Whether small shards were merged."""
    swept: dict[str, int] = field(default_factory=dict)
    """Files, bytes and snapshots that were deleted."""
    failures: list[FailedVideo] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each step."""

    @property
    def changed(self) -> bool:
        return self.snapshot_before != self.snapshot_after or any(self.swept.values())

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Adds the seconds of a step."""
        started = time.monotonic()
        try:
            with phase(step):
                yield
        finally:
            self.seconds[step] = round(self.seconds.get(step, 0.0) + time.monotonic() - started, 3)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)
