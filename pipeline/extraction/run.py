"""Runs a planned extraction in waves. Each wave is one Beam pipeline and one commit.

A crash loses at most one wave. A rerun continues after the last commit.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace

from ...schemas import snapshot as snapshots
from ...schemas.night_report import FailedVideo
from ...transforms import metrics
from ...transforms.frame_choice import frame_coverage
from ..dataset import Dataset, commit_videos, commit_wave
from .changes import relisted
from .plan import ExtractionPlan
from .prepare import Job
from .wave import over_waves, run_wave

log = logging.getLogger("reelbeam")


@dataclass
class ExtractionReport:
    """The results of a run."""

    done: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    """Number of videos per status: ok, partial, failed."""
    windows: int = 0
    media_ms: int = 0
    frames: int = 0
    """Number of ticks with a frame, of `ticks` in videos that have pictures."""
    ticks: int = 0
    seconds: float = 0.0
    snapshot: int | None = None
    failures: list[FailedVideo] = field(default_factory=list)
    retitled: int = 0
    """Number of unchanged videos whose title or description changed."""


def run_extraction(planned: ExtractionPlan, job: Job) -> ExtractionReport:
    """Extracts the planned videos, wave by wave, and commits each wave."""
    started = time.monotonic()
    report = ExtractionReport(snapshot=planned.snapshot)
    if planned.todo or planned.retitled:
        job.storage.touch()
    if planned.retitled:
        stored = Dataset(job.storage, snapshots.load(job.storage, planned.snapshot))
        before = stored.video_rows(video.video_id for video in planned.retitled)
        rows = [relisted(before[video.video_id], video) for video in planned.retitled]
        report.snapshot = commit_videos(job.storage, job.settings, job.titles.embed(rows), planned.known).number
        report.retitled = len(rows)
    with closing(over_waves(run_wave, planned.todo, job)) as waves:
        for made in waves:
            wave = replace(made, planned=planned.known)
            report.snapshot = commit_wave(job.storage, job.settings, wave, job.options.max_failed).number
            report.done += len(wave.videos)
            for row in wave.videos:
                report.statuses[row["status"]] += 1
                report.windows += row["windows"]
                report.media_ms += row["duration_ms"]
            frames, ticks = frame_coverage(wave.videos, job.options.grid.tick_hz)
            report.frames, report.ticks = report.frames + frames, report.ticks + ticks
            report.failures += [
                FailedVideo(row["uri"], row["stage"], row["kind"], row["message"]) for row in wave.failures
            ]
            kinds = Counter(row["kind"] for row in wave.failures)
            windows = sum(row["windows"] for row in wave.videos)
            metrics.add_totals({"committed": {"videos": len(wave.videos), "windows": windows}, "failures": kinds})
            report.seconds = time.monotonic() - started
            log.info("snapshot %d: %d of %d videos", report.snapshot, report.done, len(planned.todo))
    return report
