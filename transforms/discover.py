"""ProbeVideos, PlanUnits: probe listed videos and plan the units to decode.

In:  `Video` records (see listing.py).
Out: (Video, Probe or Failure); runs of groups of units (`Run`, `Group`); the groups are the same in every run.
Bad: a video that the listing could not reach keeps its Failure("list"). A file that ffprobe cannot read gives a
     Failure("probe").
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import apache_beam as beam

from ..schemas.addresses import is_remote
from ..schemas.elements import Grid, Group, Probe, Run, Sidecar, Unit, UnitFeatures, Video
from ..schemas.errors import Failure, InputError
from .captions import in_order
from .glob_pattern import glob_pattern
from .listing import MEDIA_SUFFIXES, list_videos, video_id_of
from .metrics import StageMetrics
from .probe import BY_DEFAULT, probe_file
from .probe_by_range import LONG_BYTES, probe_by_range
from .sidecars import read_sidecars
from .stage import Stage, shared_stage
from .streams import StreamChoice

__all__ = [
    "MEDIA_SUFFIXES",
    "PlanUnits",
    "ProbeVideos",
    "glob_pattern",
    "group_units",
    "list_videos",
    "plan_units",
    "probe_video",
    "video_id_of",
]


def plan_units(video: Video, probe: Probe, grid: Grid, unit_windows: int) -> list[Unit]:
    """Cuts a video into units of at most `unit_windows` windows, of nearly equal length."""
    windows = grid.windows(probe.duration_ms)
    count = -(-windows // unit_windows)
    cuts = [windows * part // count for part in range(count + 1)]
    units = [
        Unit(video, probe, number, first, last, grid.window_ms(first)[0], grid.window_ms(last)[0], last == windows)
        for number, (first, last) in enumerate(itertools.pairwise(cuts))
    ]
    return [with_own_captions(unit) for unit in units] if probe.captions else units


def with_own_captions(unit: Unit) -> Unit:
    """The unit with only those captions that are shown in it. A last unit has all until the end."""
    own = tuple(
        one
        for one in unit.probe.captions
        if one.end_ms > unit.start_ms and (unit.is_last or one.start_ms < unit.end_ms)
    )
    return replace(unit, probe=replace(unit.probe, captions=own))


def group_units(units: Iterable[Unit], group_ms: int) -> list[Group]:
    """Packs units, in order, into groups of at least `group_ms` of media (the last may be shorter), to fill model batches."""
    groups: list[Group] = []
    waiting: list[UnitFeatures] = []
    length = 0
    for unit in units:
        waiting.append(UnitFeatures(unit))
        length += unit.end_ms - unit.start_ms
        if length >= group_ms:
            groups.append(tuple(waiting))
            waiting, length = [], 0
    return groups + ([tuple(waiting)] if waiting else [])


def runs_of(groups: Sequence[Group], workers: int) -> list[Run]:
    """Joins consecutive groups of one video to as few runs as keep `workers` busy; 0 leaves each group alone.

    A video gets its share of the workers, by its part of all media, and at least one. Groups of several short videos stay alone.
    """
    spans = [(one[0].unit.video.video_id, one[-1].unit.video.video_id, group_ms_of(one)) for one in groups]
    total_ms = max(1, sum(length for _, _, length in spans))
    runs: list[Run] = []
    for whole, held in itertools.groupby(
        zip(spans, groups, strict=True), lambda pair: pair[0][0] == pair[0][1] and pair[0][0]
    ):
        own = [*held]
        count = len(own)
        if whole and workers:
            count = min(count, max(1, -(-sum(span[2] for span, _ in own) * workers // total_ms)))
        cuts = [len(own) * part // count for part in range(count + 1)]
        runs += [tuple(group for _, group in own[first:last]) for first, last in itertools.pairwise(cuts)]
    return runs


def group_ms_of(group: Group) -> int:
    """Media of a group, in ms."""
    return sum(one.unit.end_ms - one.unit.start_ms for one in group)


class _ProbeVideos(beam.DoFn):
    def __init__(self, choice: StreamChoice, captions: bool, ranges: bool):
        self.choice, self.captions, self.ranges = choice, captions, ranges

    def setup(self) -> None:
        self.stage = shared_stage()
        self.metrics = StageMetrics("probe")

    def process(self, video: Video) -> Iterator[tuple[Video, Probe | Failure]]:
        with self.metrics.busy():
            found = probe_video(video, self.stage, self.choice, self.captions, self.ranges)
        self.metrics.add(
            videos=1, failed=isinstance(found, Failure), media_ms=0 if isinstance(found, Failure) else found.duration_ms
        )
        self.metrics.flush()
        yield video, found


def probe_video(
    video: Video, stage: Stage, choice: StreamChoice = BY_DEFAULT, captions: bool = False, ranges: bool = False
) -> Probe | Failure:
    """Probes one video; with `ranges`, a long remote one without reading all of it. Returns the failure when it cannot be read."""
    if video.failure:
        return video.failure
    try:
        far = ranges and is_remote(video.uri) and video.size_bytes >= LONG_BYTES
        probe = probe_by_range(video, choice, captions) if far else None
        if probe is None:
            with stage.local(video) as path:
                probe = probe_file(path, choice, captions)
    except InputError as error:
        return Failure.of("probe", error)
    return captioned(probe, video.sidecars) if captions and video.sidecars else probe


def captioned(probe: Probe, sidecars: Sequence[Sidecar]) -> Probe:
    """The probe with the captions of subtitle files beside the video."""
    found, lost = read_sidecars(sidecars)
    return replace(probe, captions=in_order((*probe.captions, *found)), sidecars_lost=lost)


class ProbeVideos(beam.PTransform):
    """Video -> (Video, Probe or Failure), with the streams of a choice, and with captions if wanted. With `ranges`, long remote
    videos are read by byte ranges, then and later."""

    def __init__(self, choice: StreamChoice = BY_DEFAULT, captions: bool = False, ranges: bool = False):
        super().__init__()
        self.choice, self.captions, self.ranges = choice, captions, ranges

    def expand(self, videos: beam.PCollection) -> beam.PCollection:
        return videos | beam.ParDo(_ProbeVideos(self.choice, self.captions, self.ranges))


class PlanUnits(beam.PTransform):
    """(Video, Probe) -> runs of groups of units. Videos are assigned to buckets by id and sorted, so every run of the pipeline makes
    the same groups, whatever the number of workers that they are joined for."""

    def __init__(self, grid: Grid, unit_windows: int, group_ms: int, buckets: int, workers: int = 0):
        super().__init__()
        self.grid, self.unit_windows, self.group_ms = grid, unit_windows, group_ms
        self.buckets, self.workers = buckets, workers

    def expand(self, probed: beam.PCollection) -> beam.PCollection:
        grid, unit_windows, group_ms, buckets = self.grid, self.unit_windows, self.group_ms, self.buckets
        workers = -(-self.workers // buckets)

        def plan(_: int, found: Iterable[tuple[Video, Probe]]) -> list[Run]:
            ordered = sorted(found, key=lambda pair: pair[0].uri)
            units = [unit for video, probe in ordered for unit in plan_units(video, probe, grid, unit_windows)]
            return runs_of(group_units(units, group_ms), workers)

        return (
            probed
            | "Bucket" >> beam.Map(lambda pair: (int(pair[0].video_id, 16) % buckets, pair))
            | "ByBucket" >> beam.GroupByKey()
            | "Plan" >> beam.FlatMapTuple(plan)
        )
