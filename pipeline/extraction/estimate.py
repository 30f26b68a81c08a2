"""Estimates a run for `extract --dry-run`: videos, hours, rows and bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...schemas.elements import Probe
from ...schemas.errors import Failure
from ...transforms.discover import plan_units, probe_video
from ...transforms.stage import Stage
from .plan import plan_extraction
from .prepare import Job
from .wave import ROW_BYTES_GUESS

TYPICAL_SPEED = 10.0
"""Media seconds per wall second on two CPU cores, with 1 frame per second, 720p, ViT-B/32 and Whisper tiny.en."""


@dataclass(frozen=True)
class Estimate:
    """The figures that `--dry-run` prints."""

    videos: int
    unchanged: int
    unreadable: int
    hours: float
    units: int
    windows: int
    bytes: int
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    """(uri, reason) of each video that cannot be read."""


def estimate_extraction(location: str, job: Job) -> Estimate:
    """Probes the videos that a run would extract. Writes nothing."""
    planned = plan_extraction(location, job)
    stage, grid = Stage(), job.options.grid
    try:
        probes = [(video, probe_video(video, stage, job.options.streams)) for video in planned.todo]
    finally:
        stage.close()
    readable = [(video, probe) for video, probe in probes if isinstance(probe, Probe)]
    units = [unit for video, probe in readable for unit in plan_units(video, probe, grid, job.options.unit_windows)]
    windows = sum(unit.last_window - unit.first_window for unit in units)
    shape = job.profile.row_shape(grid.window_ticks)
    row_bytes = shape.ticks * (shape.frame_dim + shape.audio_dim) * 2 + shape.text_dim * 2 + ROW_BYTES_GUESS
    return Estimate(
        len(planned.todo),
        planned.listed - len(planned.todo),
        len(probes) - len(readable),
        sum(probe.duration_ms for _, probe in readable) / 3_600_000,
        len(units),
        windows,
        windows * row_bytes,
        [(video.uri, probe) for video, probe in probes if isinstance(probe, Failure)],
    )
