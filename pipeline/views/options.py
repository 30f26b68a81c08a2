"""Options of `reelbeam export` and `plan`."""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.options import Options, option


@dataclass(frozen=True)
class ExportOptions(Options):
    """reelbeam export"""

    view: str = option("lists", "kind of view", choices=("lists", "npy", "webdataset", "csv"), flag="--as")
    version: int = option(0, "snapshot to export; 0 is the current one", low=0)


@dataclass(frozen=True)
class PlanOptions(Options):
    """reelbeam plan"""

    videos: float = option(0.0, "number of videos, such as 1e7", low=0)
    hours: float = option(0.0, "hours of media in all of them", low=0)
    changed: float = option(1.0, "percent of the videos that are new or changed in a night", low=0, high=100)
    cores: int = option(16, "cores of a machine", low=1)
    machines: int = option(0, "number of machines; 0 takes as many as end within --days and --night-h", low=0)
    days: float = option(3.0, "days that the first run may take", low=0.01)
    night_h: float = option(8.0, "hours that a night may take", low=0.1)
    price: float = option(0.0, "money for a machine and hour", low=0)
    height: int = option(720, "lines of a picture, of 16:9", low=16)
    fps: float = option(30.0, "pictures a second", low=1)
    mbps: float = option(2.5, "megabits a second of media, for the bytes that are fetched", low=0)
    decoded: str = option("exact", "as --frames of extract", choices=("exact", "reference", "key"), flag="--frames")
    ticks: float = option(1.0, "embedded frames per second of media: --tick-hz of extract", low=0.001)
    dimension: int = option(512, "numbers of a frame's embedding", low=1)
    wave: int = option(256, "videos of a commit: --wave-videos of extract", low=1)
    frame_s: float = option(0.023, "processor seconds of embedding a frame: 0.023 for ViT-B/32 in bfloat16", low=0)
    media_s: float = option(
        0.014, "processor seconds of a media second beside decoding and frames, mostly speech", low=0
    )
