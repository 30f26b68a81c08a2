"""Options of `reelbeam nightly` and `reelbeam purge`."""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.options import option
from ..dataset import KeepOptions, SweepOptions
from ..extraction import ExtractOptions
from ..indexes import IndexOptions


@dataclass(frozen=True)
class PurgeOptions(IndexOptions, SweepOptions):
    """reelbeam purge: how the index is built again, and when an unnamed file may be swept"""


@dataclass(frozen=True)
class NightlyOptions(ExtractOptions, IndexOptions, KeepOptions):
    """reelbeam nightly: everything that extract and index take, and its own"""

    grace_days: float = option(0.0, "days that a video may be missing from INPUT before its rows are removed", low=0)
    max_removed: float = option(
        0.5, "do nothing when a larger share of the videos is gone, as when a bucket is not mounted", low=0, high=1
    )
    max_attempts: int = option(3, "attempts at a video whose failure may be temporary", low=1)
    retry_after_h: float = option(
        20.0, "hours before the second attempt; each further attempt waits twice as long", low=0
    )
    remodel: bool = option(
        False,
        "accept other models or options: recompute the columns that they affect, keep the rest, and publish all in one commit",
    )
