"""MeasureAudio: audio features of each tick.

In:  groups of units with decoded samples and speech spans.
Out: the same with `audio_features` float32 [ticks, A], one row per tick of the unit's windows.
Bad: no input fails here. AlignToWindows marks ticks without sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import apache_beam as beam

from ..models.audio import AudioSpec
from ..models.loaded import loaded
from ..schemas.elements import SAMPLE_RATE_HZ, Grid, Group, UnitFeatures
from .decode import covered_windows, unit_samples
from .metrics import StageMetrics


def measure_audio(features: UnitFeatures, meter: object, grid: Grid) -> UnitFeatures:
    """Measures one unit. A unit without sound is returned unchanged."""
    decoded = features.decoded
    if decoded is None or decoded.sound_end_ms <= decoded.sound_start_ms:
        return features
    windows = covered_windows(features.unit, decoded, grid)
    start_s = windows.start * grid.window_ticks / grid.tick_hz
    ticks = len(windows) * grid.window_ticks
    samples = unit_samples(decoded, start_s)[: round(ticks / grid.tick_hz * SAMPLE_RATE_HZ)]
    spans = [
        tuple(round((Fraction(at, 1000) - start_s) * SAMPLE_RATE_HZ) for at in span)
        for span in features.speech_spans_ms
    ]
    return replace(features, audio_features=meter.measure(samples, grid.tick_hz, ticks, spans))  # type: ignore[attr-defined]


class _MeasureAudio(beam.DoFn):
    def __init__(self, spec: AudioSpec, grid: Grid, device: str):
        self.spec, self.grid, self.device = spec, grid, device

    def setup(self) -> None:
        self.metrics = StageMetrics("measure_audio")

    def process(self, group: Group) -> Iterator[Group]:
        meter = loaded(self.spec, self.device)
        with self.metrics.busy():
            measured = tuple(measure_audio(features, meter, self.grid) for features in group)
        yield measured


class MeasureAudio(beam.PTransform):
    """Groups with samples -> groups with audio features."""

    def __init__(self, spec: AudioSpec, grid: Grid, device: str = "cpu"):
        super().__init__()
        self.do = _MeasureAudio(spec, grid, device)

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        return groups | beam.ParDo(self.do)
