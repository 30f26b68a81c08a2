"""The report of a nightly run: printed by `nightly --json`, and stored as `runs/<run>.report.json` if anything was done."""

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
    """One failure in the form that commands print."""

    uri: str
    stage: str
    kind: str
    message: str


@dataclass(frozen=True)
class Remodelled:
    """Columns recomputed because models or options changed."""

    parts: tuple[str, ...]
    """The models whose columns were recomputed, or "everything"."""
    videos: int
    """Videos that were decoded again."""
    lost: int
    """Videos whose rows were removed because the file no longer exists."""
    snapshot: int
    """The snapshot with the new rows."""


@dataclass(frozen=True)
class IndexUpdate:
    """One index that was built or updated."""

    snapshot: int
    """The snapshot that names the build."""
    kind: str
    vectors: int
    """Number of vectors in it, or of documents."""
    recall_at_10: dict[str, Recall]
    """Recall@10 by the name of the queries; empty for words."""
    of: str = "frames"
    """What is indexed."""


@dataclass
class NightReport:
    """Findings and results of a nightly run."""

    run: str
    input: str
    """INPUT, as given on the command line."""
    started_at: str
    """UTC, ISO 8601."""
    snapshot_before: int | None = None
    """The current snapshot when the run started; none for a new dataset."""
    snapshot_after: int | None = None
    """The current snapshot when the run ended."""
    listed: int = 0
    """Number of listed videos."""
    found: dict[str, int] = field(default_factory=dict)
    """Number of videos by kind of change: new, changed, touched, retried, recaptioned, retitled, removed, missing, back, unchanged.
    Among new and changed ones, twins have the same bytes as another video, and renamed ones the same bytes as a removed video."""
    statuses: dict[str, int] = field(default_factory=dict)
    """Number of processed videos by status."""
    windows: int = 0
    """Rows written."""
    media_ms: int = 0
    """Media time of the processed videos."""
    remodelled: Remodelled | None = None
    """None when models and options did not change."""
    indexes: dict[str, IndexUpdate] = field(default_factory=dict)
    """Indexes that were built or updated, by name."""
    compacted: bool = False
    """Whether small shards were merged."""
    swept: dict[str, int] = field(default_factory=dict)
    """Files, bytes and snapshots that were deleted."""
    failures: list[FailedVideo] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """Duration of each step."""

    @property
    def changed(self) -> bool:
        return self.snapshot_before != self.snapshot_after or any(self.swept.values())

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Adds the duration of the context to a step."""
        started = time.monotonic()
        try:
            with phase(step):
                yield
        finally:
            self.seconds[step] = round(self.seconds.get(step, 0.0) + time.monotonic() - started, 3)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)
