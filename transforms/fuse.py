"""FuseModalities: one vector per window, made from its frames, its words and its sound.

In:  groups of `UnitRows` with text embeddings.
Out: the same with `fused_embedding` float16 [F], unit length; null where a window has nothing to fuse.
Bad: no input fails here. The formulas are in `fusers.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import apache_beam as beam

from ..models.profiles import Profile
from ..schemas.elements import UnitRows
from .fusers import fused
from .metrics import StageMetrics


class _FuseModalities(beam.DoFn):
    def __init__(self, profile: Profile, device: str):
        self.profile, self.device = profile, device

    def setup(self) -> None:
        self.metrics = StageMetrics("fuse")

    def process(self, group: tuple[UnitRows, ...]) -> Iterator[tuple[UnitRows, ...]]:
        with self.metrics.busy():
            done = tuple(replace(rows, table=fused(rows.table, self.profile, self.device)) for rows in group)
        yield done


class FuseModalities(beam.PTransform):
    """Groups of rows -> groups of rows with fused embeddings. Unchanged when the profile has no fusion."""

    def __init__(self, profile: Profile, device: str = "auto"):
        super().__init__()
        self.profile, self.device = profile, device

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        if not self.profile.fusion.is_on:
            return groups
        return groups | beam.ParDo(_FuseModalities(self.profile, self.device))
