"""Builds and runs one wave: a Beam pipeline over some videos. Readers do not see its files until they are committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import TypeVar, overload

import apache_beam as beam

from ...models.thumbnails import THUMBNAILS, TYPICAL_BYTES
from ...schemas import snapshot as snapshots
from ...schemas.elements import Group, Probe, Video
from ...schemas.errors import Failure
from ...schemas.tables import RowShape
from ...transforms import metrics
from ...transforms.decode import DecodeLimits
from ...transforms.decode_command import NO_SHOTS, ShotSearch
from ...transforms.discover import PlanUnits, ProbeVideos
from ...transforms.extract_rows import (
    EVERY_MODEL,
    ExtractRows,
    outcome_of,
    preload_models,
    running_senses,
    wanted_streams,
)
from ...transforms.frame_choice import EXACT
from ...transforms.shard_files import read_receipt
from ...transforms.write_shards import WriteBooks, WriteShards
from ..dataset import WaveRows, read_table
from ..workers import Pool, shares
from .options import SHOT_DETECTORS, ExtractOptions
from .prepare import Job

log = logging.getLogger("reelbeam")

Result = TypeVar("Result")

GROUP_TICKS = 128
"""Ticks per group: enough for full CLIP batches, and few enough that decoding and models overlap."""


BUCKET_VIDEOS = 64
"""Videos per bucket. Groups are packed within a bucket."""


WORKERS_NEED = (__name__, "faster_whisper", "torch")
"""Modules that most of a worker's start goes into. onnxruntime starts a thread when it is imported, and so is not among them."""


ROW_BYTES_GUESS = 2_000
"""Estimated bytes of a row without its tensors: words, text, ids."""


def run_wave(videos: Sequence[Video], job: Job) -> WaveRows:
    """Runs one Beam pipeline over some videos and returns what it wrote. Commit the result to make it visible."""
    run = snapshots.new_run()
    if job.is_local:
        preload_models(job.profile, EVERY_MODEL, job.options.device)
    build = beam.Pipeline(runner=job.runner, options=job.beam)
    build_wave(build, videos, job, run)
    result = build.run()
    result.wait_until_finish()
    if not job.is_local:
        metrics.add_totals(metrics.beam_totals(result))
    shards, videos_info, failures_info = read_receipt(job.storage, run)
    return WaveRows(
        run,
        shards,
        videos_info,
        failures_info,
        read_table(job.storage, videos_info.path).to_pylist(),
        read_table(job.storage, failures_info.path).to_pylist() if failures_info else [],
    )


class Waves(Sequence[Sequence[Video]]):
    """Videos in pieces of at most `step`. A piece is taken out of `videos` when it is asked for."""

    def __init__(self, videos: Sequence[Video], step: int):
        self.videos, self.step = videos, step

    def __len__(self) -> int:
        return -(-len(self.videos) // self.step)

    @overload
    def __getitem__(self, place: int) -> Sequence[Video]: ...
    @overload
    def __getitem__(self, place: slice) -> list[Sequence[Video]]: ...
    def __getitem__(self, place: int | slice) -> Sequence[Video] | list[Sequence[Video]]:
        if isinstance(place, slice):
            return [self[at] for at in range(len(self))[place]]
        first = range(0, len(self.videos), self.step)[place]
        return self.videos[first : first + self.step]


def over_waves(
    do: Callable[[Sequence[Video], Job], Result], videos: Sequence[Video], job: Job
) -> Generator[Result, None, None]:
    """Calls `do` for waves of `--wave-videos`, in this process or in `--workers` processes at once; yields results in order.

    The waves and the bytes of their files do not depend on the number of workers. Where a worker was killed twice in a
    wave, the wave comes in pieces. Close the generator to end the workers.
    """
    waves = Waves(videos, job.options.wave_videos)
    workers = min(job.worker_count, len(waves))
    if job.worker_count > workers > 0:
        log.info("only %d waves for %d workers; a smaller --wave-videos gives more", workers, job.worker_count)
    if workers <= 1:
        for number, wave in enumerate(waves):
            metrics.set_length("waves_waiting", len(waves) - number - 1)
            yield do(wave, job)
        return
    own = shares(workers, job.options.device, job.options.decoder_count)
    with Pool(do, own, lambda share: job.with_decoders(share.decoders), worker_killed, WORKERS_NEED) as pool:
        for made in pool.run(waves):
            yield from made


def worker_killed(video: Video, why: str) -> Video:
    """A video that killed its worker: it is not opened again, and recorded as failed."""
    said = (
        f"the worker process was killed ({why}) each time it was at this video alone; often that is too little memory"
    )
    return replace(video, failure=Failure("worker", "killed", said, retryable=True))


def build_wave(
    pipeline: beam.Pipeline, videos: Sequence[Video], job: Job, run: str, parts: frozenset[str] = EVERY_MODEL
) -> None:
    """Adds the wave's stages to a pipeline: probe, plan, extract, write.

    `parts` are the models and further senses to run. Streams that none of them needs are not decoded.
    """
    options, output = job.options, job.storage.root
    grid = options.grid
    shape = job.profile.row_shape(grid.window_ticks)
    limits = DecodeLimits(
        shot_search(options, parts),
        options.frames or EXACT,
        timeout_s=options.decode_timeout_s,
        nvdec=options.decode_on == "nvdec",
    )
    group_ms = int(GROUP_TICKS * 1000 / grid.tick_hz)
    captions = any(one.captions for one in running_senses(job.profile, parts)) or (
        "whisper" in parts and job.profile.whisper.speech != "whisper"
    )
    if not captions:
        videos = [replace(video, sidecars=()) if video.sidecars else video for video in videos]
    probed = (
        pipeline | "List" >> beam.Create(list(videos)) | ProbeVideos(options.streams, captions, ranges=job.spread > 1)
    )
    planned = (
        probed
        | "Readable" >> beam.Filter(lambda pair: not isinstance(pair[1], Failure))
        | PlanUnits(grid, options.unit_windows, group_ms, -(-len(videos) // BUCKET_VIDEOS), job.spread)
        | "Spread" >> beam.Reshuffle()
        | "Groups" >> beam.FlatMap(list)
        | "Streams" >> beam.Map(keep_streams, *wanted_streams(job.profile, parts))
    )
    rows = planned | ExtractRows(
        job.profile, grid, limits, options.decoder_count, options.device, options.still_difference, parts
    )
    shards = rows | WriteShards(output, run, shard_count(videos, options, shape), shape, "clip" in parts)
    outcomes = rows | "Outcome" >> beam.Map(outcome_of)
    _ = {"probed": probed, "outcomes": outcomes, "shards": shards} | WriteBooks(output, run, job.titles)


def shot_search(options: ExtractOptions, parts: frozenset[str]) -> ShotSearch:
    """Settings of shot detection. It is off unless all models run: stored shots are then kept."""
    if parts != EVERY_MODEL:
        return ShotSearch(NO_SHOTS)
    return ShotSearch(options.shots or SHOT_DETECTORS[0], options.shot_threshold, options.device)


def keep_streams(group: Group, pictures: bool, sound: bool) -> Group:
    """The same units without the streams that are not wanted, so that they are not decoded."""

    def kept(probe: Probe) -> Probe:
        return replace(
            probe,
            video_stream=probe.video_stream if pictures else None,
            audio_stream=probe.audio_stream if sound else None,
        )

    return tuple(replace(one, unit=replace(one.unit, probe=kept(one.unit.probe))) for one in group)


def shard_count(videos: Sequence[Video], options: ExtractOptions, shape: RowShape) -> int:
    """Number of shards of a wave. Estimates its bytes from the file sizes, at 1 Mbit per second of media."""
    seconds = sum(video.size_bytes for video in videos) / 125_000
    row_bytes = shape.ticks * (shape.frame_dim + shape.audio_dim) * 2 + ROW_BYTES_GUESS + picture_bytes(shape)
    windows = len(videos) + seconds * options.grid.tick_hz / options.window_ticks
    return max(1, min(len(videos), round(float(windows) * row_bytes / (options.shard_mb * 1_000_000))))


def picture_bytes(shape: RowShape) -> int:
    """Estimated bytes of a row's thumbnails."""
    return shape.ticks * TYPICAL_BYTES if THUMBNAILS in shape.modalities else 0
