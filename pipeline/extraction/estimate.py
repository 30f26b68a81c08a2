"""Estimates a run for `extract --dry-run`: videos, hours, rows and bytes."""

from __future__ import annotations

import logging
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...schemas.elements import Probe, Video
from ...schemas.errors import Failure
from ...transforms.discover import plan_units, probe_video
from ...transforms.stage import Stage
from .plan import plan_extraction
from .prepare import Job
from .wave import ROW_BYTES_GUESS, picture_bytes

log = logging.getLogger("reelbeam")

TYPICAL_SPEED = 10.0
"""Media seconds per wall second on two CPU cores, with 1 frame per second, 720p, ViT-B/32 and Whisper tiny.en."""


PROBED_AT_MOST = 1_000
"""Videos that an estimate probes. Beyond that it probes a random choice of so many, the same in every run."""

CONFIDENT = 1.96
"""Standard errors to each side of a mean that hold the truth 95 times of 100."""


@dataclass(frozen=True)
class Estimate:
    """The figures that `--dry-run` prints. Where only some videos were probed, all figures are scaled up from those."""

    videos: int
    unchanged: int
    probed: int
    unreadable: int
    hours: float
    hours_off: float
    """Half the width of the 95% interval of `hours`; 0 when all videos were probed."""
    units: int
    windows: int
    bytes: int
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    """(uri, reason) of each probed video that cannot be read."""


def sampled(videos: Sequence[Video], most: int = PROBED_AT_MOST) -> list[Video]:
    """All videos, or `most` of them by a seeded choice, in their order."""
    if len(videos) <= most:
        return list(videos)
    return [videos[at] for at in sorted(random.Random(0).sample(range(len(videos)), most))]


def total_and_error(values: Sequence[float], population: int) -> tuple[float, float]:
    """The sum over a population, from a random sample of it, and half the width of its 95% interval.

    The interval is the normal one, with the correction for a finite population: it is 0 when the sample is all of it.

    >>> total_and_error([1, 2, 3], 3)
    (6.0, 0.0)
    >>> total, error = total_and_error([1, 2, 3, 2], 400); total, round(error)
    (800.0, 318)
    """
    count = len(values)
    if not count:
        return 0.0, 0.0
    spread = statistics.stdev(values) if count > 1 else 0.0
    error = CONFIDENT * population * spread * math.sqrt((1 - count / population) / count)
    return population * statistics.fmean(values), error


def estimate_extraction(location: str, job: Job) -> Estimate:
    """Probes the videos that a run would extract, at most PROBED_AT_MOST of them. Writes nothing."""
    planned = plan_extraction(location, job)
    chosen, count = sampled(planned.todo), len(planned.todo)
    log.info("%d videos to extract; probing %s", count, len(chosen) if len(chosen) < count else "all of them")
    stage, grid = Stage(), job.options.grid
    try:
        probes = [(video, probe_video(video, stage, job.options.streams)) for video in chosen]
    finally:
        stage.close()
    units = [
        unit
        for video, probe in probes
        if isinstance(probe, Probe)
        for unit in plan_units(video, probe, grid, job.options.unit_windows)
    ]
    hours = [probe.duration_ms / 3_600_000 if isinstance(probe, Probe) else 0.0 for _, probe in probes]
    total, error = total_and_error(hours, count)
    scale = count / max(1, len(chosen))
    windows = round(scale * sum(unit.last_window - unit.first_window for unit in units))
    shape = job.profile.row_shape(grid.window_ticks)
    tensors = {"frame_embedding": shape.ticks * shape.frame_dim, "audio_feature": shape.ticks * shape.audio_dim}
    row_bytes = 2 * sum(values for name, values in tensors.items() if name not in shape.off_columns)
    row_bytes += 2 * shape.text_dim + ROW_BYTES_GUESS + picture_bytes(shape)
    failures = [(video.uri, probe) for video, probe in probes if isinstance(probe, Failure)]
    return Estimate(
        count,
        planned.listed - count,
        len(chosen),
        round(scale * len(failures)),
        total,
        error,
        round(scale * len(units)),
        windows,
        windows * row_bytes,
        failures,
    )
