"""extract: a bucket of videos becomes rows. Works in waves: each wave is one Beam pipeline and one commit, so that a
crash costs one wave and a rerun continues where the last commit stands.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import apache_beam as beam

from ..schemas import snapshot as snapshots
from ..schemas.elements import Group, Probe, Video
from ..schemas.errors import Failure, UsageError
from ..schemas.tables import RowShape
from ..transforms.decode import DecodeLimits
from ..transforms.decode_command import NO_CUTS
from ..transforms.discover import MEDIA_SUFFIXES, PlanUnits, ProbeVideos, list_videos, plan_units, probe_video
from ..transforms.extract_rows import EVERY_MODEL, ExtractRows, outcome_of
from ..transforms.stage import Stage
from ..transforms.write_shards import WriteBooks, WriteShards, read_receipt
from .changes import as_known, is_out_of_reach, is_retitled, relisted, unembedded
from .job import Job, check_same
from .options import ExtractOptions
from .publish import WaveRows, publish
from .read import Dataset, read_table
from .rows import publish_books

log = logging.getLogger("reelbeam")

GROUP_TICKS = 128
"""Ticks that travel together: full CLIP batches, and small enough that decoders and models overlap."""

BUCKET_VIDEOS = 64
"""Videos that are packed into groups together."""

ROW_BYTES_GUESS = 2_000
"""A row without its tensors: words, text, ids."""

TYPICAL_SPEED = 10.0
"""Media seconds a second on two CPU cores at 1 frame a second, 720p, ViT-B/32 and Whisper tiny.en: for --dry-run's guess."""


@dataclass(frozen=True)
class Plan:
    """What there is to do."""

    listed: int
    todo: list[Video]
    snapshot: int | None
    known: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The books that it was compared with: the row of each known video."""
    retitled: list[Video] = field(default_factory=list)
    """Unchanged videos whose title or description is another one, or was never embedded: only their row is written anew."""


@dataclass
class Report:
    """What a run did."""

    done: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    """Videos that ended ok, partial or failed."""
    windows: int = 0
    media_ms: int = 0
    seconds: float = 0.0
    snapshot: int | None = None
    failures: list[tuple[str, str, str, str]] = field(default_factory=list)
    """(uri, stage, kind, message)."""
    retitled: int = 0
    """Unchanged videos that have another title or description."""


def choose(videos: list[Video], known: dict[str, dict[str, Any]], retry_failed: bool) -> list[Video]:
    """The videos that need work: new ones, changed ones, and failed ones when asked.

    `attempts` of an unchanged video goes on counting; a changed one starts again.
    """
    chosen = []
    for video in videos:
        row = known.get(video.video_id)
        if row and is_out_of_reach(video, row["status"]):
            log.warning("%s: %s; its rows stay", video.uri, video.failure and video.failure.message)
            continue
        if row is None or row["etag"] != video.etag:
            chosen.append(as_known(video, row))
        elif retry_failed and row["status"] != "ok":
            chosen.append(replace(as_known(video, row), attempts=row["attempts"]))
    return chosen


def plan(location: str, job: Job) -> Plan:
    """Lists a location and compares it with the current snapshot. Writes nothing.

    Raises ModelMismatch when the dataset was made with other models or another grid.
    """
    listed = list_videos(location)
    if not listed:
        raise UsageError(
            f"{location}: no videos found; folders are searched for {', '.join(sorted(MEDIA_SUFFIXES)[:6])} and the like, "
            "a glob or a list takes any name"
        )
    parent = snapshots.latest(job.storage)
    if parent:
        check_same(parent, job)
    if parent is None:
        return Plan(len(listed), listed, None)
    dataset = Dataset(job.storage, parent)
    known = dataset.videos
    chosen = choose(listed, known, job.options.retry_failed)
    unread = set(itertools.compress(dataset.newest["video_id"].to_pylist(), unembedded(dataset.newest)))
    rest = {video.video_id: video for video in listed if video.video_id in known}
    for video in chosen:
        rest.pop(video.video_id, None)
    retitled = [one for key, one in rest.items() if key in unread or is_retitled(one, known[key])]
    return Plan(len(listed), chosen, parent.number, known, retitled)


def run(planned: Plan, job: Job) -> Report:
    """Extracts what was planned, wave by wave."""
    started = time.monotonic()
    report = Report(snapshot=planned.snapshot)
    if planned.todo or planned.retitled:
        job.storage.touch()
    if planned.retitled:
        rows = [relisted(planned.known[video.video_id], video) for video in planned.retitled]
        report.snapshot = publish_books(job, rows, planned.known).number
        report.retitled = len(rows)
    step = job.options.wave_videos
    for at in range(0, len(planned.todo), step):
        wave = replace(run_wave(planned.todo[at : at + step], job), planned=planned.known)
        report.snapshot = publish(job, wave).number
        report.done += len(wave.videos)
        for row in wave.videos:
            report.statuses[row["status"]] += 1
            report.windows += row["windows"]
            report.media_ms += row["duration_ms"]
        report.failures += [(row["uri"], row["stage"], row["kind"], row["message"]) for row in wave.failures]
        report.seconds = time.monotonic() - started
        log.info("snapshot %d: %d of %d videos", report.snapshot, report.done, len(planned.todo))
    return report


def run_wave(videos: Sequence[Video], job: Job) -> WaveRows:
    """One Beam pipeline over some videos. What it writes is invisible until it is published."""
    run = snapshots.new_run()
    build = beam.Pipeline(runner=job.runner, options=job.beam)
    build_wave(build, videos, job, run)
    build.run().wait_until_finish()
    shards, videos_info, failures_info = read_receipt(job.storage, run)
    return WaveRows(
        run,
        shards,
        videos_info,
        failures_info,
        read_table(job.storage, videos_info.path).to_pylist(),
        read_table(job.storage, failures_info.path).to_pylist() if failures_info else [],
    )


def build_wave(
    pipeline: beam.Pipeline, videos: Sequence[Video], job: Job, run: str, parts: frozenset[str] = EVERY_MODEL
) -> None:
    """The wave's graph: probe, plan, extract, write. With fewer `parts` only what these models need is decoded."""
    options, output = job.options, job.storage.root
    grid = options.grid
    shape = job.profile.row_shape(grid.window_ticks)
    limits = DecodeLimits(
        options.shot_threshold if parts == EVERY_MODEL else NO_CUTS,  # known shots are carried over
        timeout_s=options.decode_timeout_s,
        nvdec=options.decode_on == "nvdec",
    )
    group_ms = int(GROUP_TICKS * 1000 / grid.tick_hz)
    probed = pipeline | "List" >> beam.Create(list(videos)) | ProbeVideos()
    planned = (
        probed
        | "Readable" >> beam.Filter(lambda pair: not isinstance(pair[1], Failure))
        | PlanUnits(grid, options.unit_windows, group_ms, -(-len(videos) // BUCKET_VIDEOS))
        | "Streams" >> beam.Map(keep_streams, parts)
        | "Spread" >> beam.Reshuffle()
    )
    rows = planned | ExtractRows(
        job.profile, grid, limits, options.decoder_count, options.device, options.still_difference, parts
    )
    shards = rows | WriteShards(output, run, shard_count(videos, options, shape), shape)
    outcomes = rows | "Outcome" >> beam.Map(outcome_of)
    _ = {"probed": probed, "outcomes": outcomes, "shards": shards} | WriteBooks(output, run, job.titles)


def streams_for(probe: Probe, parts: frozenset[str]) -> Probe:
    """A probe without the streams that no model needs: they are not decoded."""
    pictures = probe.video_stream if "clip" in parts else None
    sound = probe.audio_stream if parts & {"whisper", "audio"} else None
    return replace(probe, video_stream=pictures, audio_stream=sound)


def keep_streams(group: Group, parts: frozenset[str]) -> Group:
    """The same units with only the streams that are needed."""
    return tuple(
        replace(features, unit=replace(features.unit, probe=streams_for(features.unit.probe, parts)))
        for features in group
    )


def shard_count(videos: Sequence[Video], options: ExtractOptions, shape: RowShape) -> int:
    """Shards for a wave: a guess of its bytes from the files' sizes, at 1 Mbit a second of media."""
    seconds = sum(video.size_bytes for video in videos) / 125_000
    row_bytes = shape.ticks * (shape.frame_dim + shape.audio_dim) * 2 + ROW_BYTES_GUESS
    windows = len(videos) + seconds * options.grid.tick_hz / options.window_ticks
    return max(1, min(len(videos), round(float(windows) * row_bytes / (options.shard_mb * 1_000_000))))


@dataclass(frozen=True)
class Estimate:
    """What `--dry-run` says."""

    videos: int
    unchanged: int
    unreadable: int
    hours: float
    units: int
    windows: int
    bytes: int
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    """(uri, reason) of each video that cannot be read."""


def estimate(location: str, job: Job) -> Estimate:
    """Probes what would be done, and does nothing."""
    planned = plan(location, job)
    stage, grid = Stage(), job.options.grid
    try:
        probes = [(video, probe_video(video, stage)) for video in planned.todo]
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
