"""Compares a listing with the current snapshot: which videos a run has to extract. Writes nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...schemas import snapshot as snapshots
from ...schemas.elements import Video
from ...schemas.errors import UsageError
from ...schemas.tables import OK
from ...transforms.listing import MEDIA_SUFFIXES, list_videos
from ..dataset import Dataset
from .changes import as_known, is_out_of_reach, is_retitled
from .known_rows import UNEMBEDDED, Joined, KnownRows
from .prepare import Job
from .recaption import sidecar_use

log = logging.getLogger("reelbeam")


@dataclass(frozen=True)
class ExtractionPlan:
    """The work of one run."""

    listed: int
    todo: Sequence[Video]
    snapshot: int | None
    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Rows of the videos table at planning time, keyed by video_id: of each what planning and commits compare."""
    retitled: Sequence[Video] = field(default_factory=list)
    """Unchanged videos whose title or description changed or was never embedded: only their videos-table row is rewritten."""


def choose(joined: Joined, retry_failed: bool) -> tuple[list[Video], list[Video]]:
    """The videos to extract: new ones, changed ones, and with `retry_failed` failed ones. And the others of which title or
    description changed or was never embedded.

    An unchanged video keeps its number of attempts; a changed one starts from zero.
    """
    chosen, retitled = [], []
    for video, row in joined.differing():
        if row is None:
            chosen.append(video)
            continue
        if is_out_of_reach(video, row["status"]):
            log.warning("%s: %s; its stored rows are kept", video.uri, video.failure and video.failure.message)
        elif row["etag"] != video.etag:
            chosen.append(as_known(video, row))
            continue
        elif retry_failed and row["status"] != OK:
            chosen.append(replace(as_known(video, row), attempts=row["attempts"]))
            continue
        if row[UNEMBEDDED] or is_retitled(video, row):
            retitled.append(video)
    return chosen, retitled


def plan_extraction(location: str, job: Job) -> ExtractionPlan:
    """Lists a location and compares it with the current snapshot. Writes nothing.

    Raises UsageError when there are no videos, and ModelMismatch when the dataset was made with other models or another grid.
    """
    listed = list_videos(location, look_beside=bool(sidecar_use(job)))
    if not listed:
        raise UsageError(
            f"{location}: no videos found; a folder is searched for names ending in "
            f"{', '.join(sorted(MEDIA_SUFFIXES)[:6])} and other media suffixes; cure: give a glob or a list for other names"
        )
    parent = snapshots.latest(job.storage)
    if parent:
        job.settings.check_same(parent, job.storage)
    if parent is None:
        return ExtractionPlan(len(listed), listed, None)
    known = KnownRows.of_dataset(Dataset(job.storage, parent))
    chosen, retitled = choose(Joined.of(listed, known), job.options.retry_failed)
    return ExtractionPlan(len(listed), chosen, parent.number, known, retitled)
