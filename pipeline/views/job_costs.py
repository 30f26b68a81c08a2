"""reelbeam plan: machines, hours, bytes and money of a first run and of a night, from measured constants. Runs nothing."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from ...schemas.errors import UsageError
from ...transforms.index_kinds import choose_kind, estimate
from .options import PlanOptions

MEASURED = (
    "2026-11-28, two cores of an EPYC with AVX-512 and bfloat16, profile offline, `python -m benchmarks.job_costs`"
)

VIDEO_S = 0.12
"""Processor seconds of a video: probe, one start of ffmpeg, its rows in tables."""

DECODE_S = 0.0046
"""Processor seconds of decoding a million pixels of H.264 and of its sound: a media second of 720p30 has 27.6 million."""

FRAME_S = 0.004
"""Processor seconds of an embedded frame, with the small CLIP of the offline profile; ViT-B/32 took 0.023."""

WORKER_S = 7.0
"""Processor seconds of starting a worker: imports and models."""

BUSY = 0.85
"""Share of a machine's cores that a long run keeps busy."""

COMMIT_S = 0.02
LIST_PAGE, LIST_PAGE_S = 1_000, 0.1
PLAN_S, PLAN_BYTES = 40e-6, 500
"""Processor seconds and bytes of memory of comparing one known video with a listing."""

TEXT_BYTES = 2_000
"""Bytes of a row without its tensors."""


@dataclass(frozen=True)
class JobCosts:
    """What a run over some videos costs."""

    core_s: float
    """Processor seconds."""
    machines: int
    hours: float
    """Wall hours on these machines."""
    money: float
    read_bytes: float
    """Bytes of videos that are fetched."""
    stored_bytes: float
    """Bytes of the shards that are written."""
    requests: float
    """Requests for listing, fetching and committing."""


def extraction_s(videos: float, media_s: float, options: PlanOptions) -> float:
    """Processor seconds of extracting: videos * VIDEO_S + media_s * (megapixels a second * DECODE_S + ticks * frame_s + media_s).

    >>> round(extraction_s(1, 0, PlanOptions()), 2)
    0.12
    """
    shares = {"exact": 1.0, "reference": 0.73, "key": 0.06}  # of decoding, measured; see the page on frames
    decode = options.height**2 * 16 / 9 * options.fps / 1e6 * DECODE_S * shares[options.decoded]
    each_s = decode + options.ticks * options.frame_s + options.media_s
    return videos * VIDEO_S + media_s * each_s


def run_costs(videos: float, media_s: float, listed: float, within_s: float, options: PlanOptions) -> JobCosts:
    """The costs of extracting some videos of a bucket with `listed` objects, with as many machines as end in time."""
    waves = math.ceil(videos / options.wave)
    work = extraction_s(videos, media_s, options) + listed * PLAN_S
    serial_s = waves * COMMIT_S + listed / LIST_PAGE * LIST_PAGE_S  # by one launcher
    speed = options.cores * BUSY
    left_s = within_s - serial_s
    if left_s <= 0:
        raise UsageError(
            f"listing and committing alone take {serial_s / 3600:.1f} h, and {within_s / 3600:.1f} h are given; "
            "cure: more --days or --night-h, or larger waves"
        )
    machines = options.machines or max(1, math.ceil(work / (speed * left_s)))
    hours = (serial_s + (work / machines + WORKER_S * options.cores) / speed) / 3600
    windows = videos / 2 + media_s * options.ticks / 10  # the last window of a video is half empty in the mean
    row = 10 * (options.dimension + 5) * 2 + 384 * 2 + TEXT_BYTES
    return JobCosts(
        work,
        machines,
        hours,
        hours * machines * options.price,
        media_s * options.mbps * 125_000,
        windows * row,
        listed / LIST_PAGE + 2 * videos + 6 * waves,
    )


def plan_costs(options: PlanOptions) -> tuple[JobCosts, JobCosts]:
    """The first run, and a night in which `--changed` of the videos are new. Raises UsageError for a plan without videos."""
    videos, media_s = options.videos, options.hours * 3600
    if not videos or not media_s:
        raise UsageError("a plan needs to know how much there is: give --videos 1e7 --hours 1e6")
    share = options.changed / 100
    return (
        run_costs(videos, media_s, videos, options.days * 86_400, options),
        run_costs(share * videos, share * media_s, videos, options.night_h * 3600, options),
    )


def print_job_plan(options: PlanOptions) -> None:
    """Prints both runs as a table, then what else is needed as sentences."""
    first, night = plan_costs(options)
    table = Table("", "processor hours", "machines", "hours", "money", "videos fetched", "shards", "requests")
    table.title = f"{options.videos:,.0f} videos, {options.hours:,.0f} hours, machines of {options.cores} cores"
    for name, run in (("first run", first), (f"a night, {options.changed:g}% new", night)):
        table.add_row(
            name,
            f"{run.core_s / 3600:,.1f}",
            str(run.machines),
            f"{run.hours:,.1f}",
            f"{run.money:,.2f}" if options.price else "give --price",
            amount(run.read_bytes),
            amount(run.stored_bytes),
            f"{run.requests:,.0f}",
        )
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    vectors = max(1, round(options.hours * 3600 * options.ticks))
    kind = choose_kind(vectors, options.dimension)
    built = estimate(kind, vectors, options.dimension, options.cores)
    print(
        f"Index of frames: {vectors:,} vectors, {kind}: {amount(built.memory_bytes)} to search, {amount(built.disk_bytes)} stored, "
        f"{built.build_s / 3600:.1f} h on one machine; a night adds {options.changed:g}% to it.\n"
        f"The launcher holds {amount(options.videos * PLAN_BYTES)} for the plan of a night.\n"
        f"Constants: {MEASURED}. For other models and machines measure your own with a small run, and give --frame-s and --media-s."
    )


def amount(size: float) -> str:
    """
    >>> amount(1.5e9), amount(2e15)
    ('1.5 GB', '2000.0 TB')
    """
    for unit, base in (("TB", 1e12), ("GB", 1e9)):
        if size >= base:
            return f"{size / base:.1f} {unit}"
    return f"{size / 1e6:.1f} MB"
