"""What a person can set, one dataclass a command: flags, help, checks and the README's tables are made from it."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Self, TypeVar

from ..schemas.elements import Grid
from ..schemas.errors import UsageError
from ..schemas.options import check, documented, flag, option

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions


Part = TypeVar("Part", bound="Options")


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

    def part(self, kind: type[Part]) -> Part:
        """The options of one of the commands that this one is composed of."""
        return kind(**{declared.name: getattr(self, declared.name) for declared, _ in documented(kind)})

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
    fuse: str = option(
        "", "fused_embedding: none, concat, mean, attention, or a TorchScript file; empty: as the models say (concat)"
    )
    language: str = option("", "what is spoken, such as en or de; empty: detected for each video")
    task: str = option(
        "", "transcribe, or translate into English; empty: as the models say", choices=("", "transcribe", "translate")
    )
    audio_embedding: bool = option(False, "store audio_embedding: what Whisper's encoder heard in each window")
    still_difference: float = option(
        0.0,
        "a frame that differs from an embedded one before it by at most this mean of 255 shares its embedding; "
        "0: exact copies only",
        low=0,
        high=255,
        changes_data=True,
    )
    decode_on: str = option(
        "cpu", "nvdec decodes on an NVIDIA GPU what it can, the rest on the CPU", choices=("cpu", "nvdec")
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
    of: str = option(
        "frames",
        "what is indexed: every frame, what is said in a window, or a window's fused embedding",
        choices=("frames", "speech", "fused"),
    )
    name: str = option("", "name of the index in OUTPUT/indexes; empty: what --of says")
    min_recall: float = option(
        0.95, "publish only from this recall@10 up, for frame and for text queries", low=0, high=1
    )
    queries: int = option(1000, "held-out queries of each kind that recall is measured with", low=1, high=100_000)
    memory_mb: int = option(4096, "memory that building may take, in MiB; more vectors do not take more", low=64)
    search_memory_mb: int = option(
        65_536, "memory of a machine that searches, in MiB: what auto chooses a kind for", low=1
    )
    threads: int = option(0, "threads a worker; 0 is one a core", low=0, high=1024)
    merge_above: float = option(
        0.2, "merge the parts when new and removed vectors are more than this share of the base", low=0, high=1
    )
    retrain_above: float = option(
        0.5, "train anew when a larger share of the vectors is newer than the training", low=0, high=1
    )
    full: bool = option(False, "build from nothing, though an update would do")
    rollback: bool = option(False, "make the build before the current one current again, and build nothing")
    plan: bool = option(False, "say what building would cost, kind by kind, and build nothing")
    vectors: float = option(0.0, "with --plan: for so many vectors, such as 1e9, in place of OUTPUT's", low=0)
    dimension: int = option(0, "with --plan --vectors: numbers a vector; 0 is OUTPUT's, or 512", low=0, high=8192)
    device: str = option("auto", "where text queries are encoded and lists are trained: auto, cpu, cuda")

    @property
    def called(self) -> str:
        """The name of the index."""
        return self.name or self.of


@dataclass(frozen=True)
class SweepOptions(Options):
    """When a file is nobody's."""

    sweep_after_h: float = option(
        24.0,
        "age from which a file that no snapshot names is deleted: a running job may yet commit a younger one",
        low=0,
    )


@dataclass(frozen=True)
class KeepOptions(SweepOptions):
    """What is tidied up, and when."""

    keep_snapshots: int = option(14, "snapshots kept beside the pinned ones; older ones can't be restored", low=1)
    compact_from: int = option(8, "merge small shards when there are so many of them", low=2)
    removed_share: float = option(
        0.2,
        "rewrite a shard when more of its rows than this were replaced; deleted videos' rows always leave at once",
        low=0,
        high=1,
    )


@dataclass(frozen=True)
class PurgeOptions(IndexOptions, SweepOptions):
    """reelbeam purge: how the index is built again, and when a file is nobody's"""


@dataclass(frozen=True)
class NightlyOptions(ExtractOptions, IndexOptions, KeepOptions):
    """reelbeam nightly: everything that extract and index take, and its own"""

    grace_days: float = option(0.0, "days that a video may be missing from INPUT before its rows go", low=0)
    max_removed: float = option(
        0.5, "do nothing when a larger share of the videos is gone: an unmounted bucket looks so", low=0, high=1
    )
    max_attempts: int = option(3, "attempts at a video whose failure may pass", low=1)
    retry_after_h: float = option(20.0, "hours before the second attempt; each further one waits twice as long", low=0)
    remodel: bool = option(
        False, "accept other models or options: recompute what they touch, carry over the rest, swap all at once"
    )


@dataclass(frozen=True)
class SearchOptions(Options):
    """reelbeam search"""

    image: str = option("", "search with a picture instead of words")
    search_in: str = option(
        "frames",
        "what is searched: pictures, what is said, both as one vector, or titles and descriptions; all joins them by rank",
        choices=("frames", "speech", "fused", "titles", "all"),
        flag="--in",
    )
    phrase: bool = option(False, "find exactly these words in a row, as they were said")
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
