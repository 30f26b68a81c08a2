"""Options of `reelbeam timeline`, `map` and `report`."""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.options import Options, option


@dataclass(frozen=True)
class TimelineOptions(Options):
    """reelbeam timeline"""

    html: str = option("", "write a page to this file")
    png: str = option("", "write a picture to this file")


@dataclass(frozen=True)
class MapOptions(TimelineOptions):
    """reelbeam map"""

    frames: int = option(3000, "most dots to draw; frames are taken at even steps", low=3, high=100_000)


@dataclass(frozen=True)
class ReportOptions(Options):
    """reelbeam report"""

    html: str = option("", "write the page to this file")
