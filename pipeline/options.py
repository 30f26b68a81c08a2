"""What a person can set, one dataclass a command: flags, help, checks and the README's tables are made from it."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Self

from ..schemas.elements import Grid
from ..schemas.errors import UsageError
from ..schemas.options import check, documented, flag, option

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


@dataclass(frozen=True)
class Options:
    """A command's options, checked when made."""

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def add_to(cls, parser: argparse.ArgumentParser) -> None:
        """One flag a field."""
        for declared, doc in documented(cls):
            name = doc.flag or flag(declared.name)
            shown = f"{doc.text} (default: {'none' if declared.default in ('', None) else declared.default})"
            if declared.default is False:
                parser.add_argument(name, dest=declared.name, action="store_true", help=doc.text)
            else:
                parser.add_argument(
                    name,
                    dest=declared.name,
                    type=type(declared.default),
                    default=declared.default,
                    help=shown,
                    choices=doc.choices or None,
                    metavar=None if doc.choices else type(declared.default).__name__.upper(),
                )

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Self:
        return cls(**{declared.name: getattr(args, declared.name) for declared, _ in documented(cls)})


@dataclass(frozen=True)
class ExtractOptions(Options):
    """reelbeam extract"""

    models: str = option("standard", "models to use: offline, standard, or a JSON file", changes_data=False)
    device: str = option("auto", "where models run: auto, cpu, cuda, cuda:1")
    tick_hz: str = option(
        "1", "frames sampled a second; a fraction such as 1/2 or 30000/1001 is exact", changes_data=True
    )
    window_ticks: int = option(10, "ticks in a row", low=1, high=600, changes_data=True)
    unit_s: float = option(120.0, "longest span that is decoded at once, in seconds", low=1, high=3600)
    shot_threshold: float = option(
        0.2, "scene score above which a new shot starts", low=0.01, high=1, changes_data=True
    )
    decoders: int = option(0, "decoder processes at a time; 0 is one a core", low=0, high=1024)
    decode_timeout_s: float = option(0.0, "time limit of one unit's decoder; 0 is 60 s plus 20 times the unit", low=0)
    wave_videos: int = option(256, "videos a commit: what a crash can cost", low=1, high=100_000)
    shard_mb: int = option(128, "size that shards aim for, in MB", low=1, high=4096)
    retry_failed: bool = option(False, "try failed and partial videos again though they have not changed")
    max_failed: float = option(
        1.0, "publish no wave in which a larger share of the videos failed entirely", low=0, high=1
    )
    dry_run: bool = option(False, "say what would be done, and do nothing")

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            hz = Fraction(self.tick_hz)
        except (ValueError, ZeroDivisionError):
            raise UsageError(
                f"--tick-hz {self.tick_hz}: not a number; give frames a second, such as 1, 0.5 or 1/3"
            ) from None
        if not Fraction(1, 3600) <= hz <= 240:
            raise UsageError(f"--tick-hz {self.tick_hz}: allowed is 1/3600 to 240")

    @property
    def grid(self) -> Grid:
        return Grid(Fraction(self.tick_hz), self.window_ticks)

    @property
    def unit_windows(self) -> int:
        """Windows a unit: as many as fit into unit_s, at least one."""
        return max(1, int(Fraction(self.unit_s) * self.grid.tick_hz / self.window_ticks))

    @property
    def decoder_count(self) -> int:
        return self.decoders or cores()


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class IndexOptions(Options):
    """reelbeam index"""

    index: str = option("auto", "auto, or any FAISS factory string: Flat, IVF1024,SQfp16, ...")
    name: str = option("frames", "name of the index in OUTPUT/indexes")
    min_recall: float = option(
        0.95, "publish only from this recall@10 up, for frame and for text queries", low=0, high=1
    )
    queries: int = option(1000, "held-out queries of each kind that recall is measured with", low=1, high=100_000)
    device: str = option("auto", "where the text queries are encoded: auto, cpu, cuda")


@dataclass(frozen=True)
class SearchOptions(Options):
    """reelbeam search"""

    image: str = option("", "search with a picture instead of words")
    k: int = option(10, "moments to find", low=1, high=10_000)
    json: bool = option(False, "answer as JSON")
    html: str = option("", "write a page with the frames found to this file")
    models: str = option("", "models to encode the query with; default: those that made the dataset")
    name: str = option("frames", "index to search")
    device: str = option("auto", "where the query is encoded: auto, cpu, cuda")


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

    frames: int = option(3000, "dots at most: every so many-th frame is taken", low=3, high=100_000)


def beam_options(flags: list[str]) -> PipelineOptions:
    """Beam's own options. Raises UsageError for a flag that neither we nor Beam know."""
    from apache_beam.options.pipeline_options import PipelineOptions

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for kind in {PipelineOptions, *_subclasses(PipelineOptions)}:
        if "_add_argparse_args" in vars(kind):
            try:
                kind._add_argparse_args(parser)  # type: ignore[attr-defined]
            except argparse.ArgumentError:  # two of Beam's option classes may declare the same flag
                continue
    _, unknown = parser.parse_known_args(flags)
    if unknown:
        raise UsageError(f"unknown option {unknown[0]}; see reelbeam extract --help, and Beam's own options")
    return PipelineOptions(flags)


def _subclasses(kind: type) -> set[type]:
    direct: list[type] = kind.__subclasses__()
    return {deeper for found in direct for deeper in {found, *_subclasses(found)}}
