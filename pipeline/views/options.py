"""Options of `reelbeam export`, `timeline` and `map`."""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.options import Options, option


@dataclass(frozen=True)
class ExportOptions(Options):
    """reelbeam export"""

    view: str = option("lists", "kind of view", choices=("lists", "npy", "webdataset", "csv"), flag="--as")
    version: int = option(0, "snapshot to export; 0 is the current one", low=0)


@dataclass(frozen=True)
class TimelineOptions(Options):
    """reelbeam timeline"""

    html: str = option("", "write a page to this file")
    png: str = option("", "write a picture to this file")


@dataclass(frozen=True)
class MapOptions(TimelineOptions):
    """reelbeam map"""

    frames: int = option(3000, "most dots to draw; frames are taken at even steps", low=3, high=100_000)
