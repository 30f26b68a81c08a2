"""ListVideos, ProbeVideos, PlanUnits: from a location to what will be decoded.

In:  a folder, a glob, a bucket URL with a prefix or glob, or a file that lists videos (txt, csv, parquet).
Out: `Video` records; probed ones; groups of units (`Group`), composed the same way in every run.
Bad: a file that ffprobe cannot read is a Failure("probe") of its video; a location that does not exist is a UsageError.
"""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq

from ..schemas.elements import Grid, Group, Probe, Unit, UnitFeatures, Video
from ..schemas.errors import Failure, InputError, UsageError
from ..schemas.storage import Storage, Stored, is_remote
from .metrics import StageMetrics
from .probe import probe_file
from .stage import Stage, shared_stage

MEDIA_SUFFIXES = frozenset(
    (
        ".3g2 .3gp .aac .aiff .amr .asf .avi .flac .flv .gif .ivf .m2ts .m4a .m4v .mka .mkv .mov .mp3 .mp4 .mpeg "
        ".mpg .mts .mxf .oga .ogg .ogv .opus .ts .vob .wav .webm .wma .wmv"
    ).split()
)
"""Names that a folder or prefix listing takes for media. A glob or a list takes whatever it names."""

LIST_SUFFIXES = {".txt", ".csv", ".parquet"}
URI_COLUMNS = ("uri", "url", "path", "video", "file")


def video_id_of(uri: str) -> str:
    """The id of a video for life: 16 hex digits of its uri's hash.

    >>> video_id_of("s3://bucket/a.mp4")
    'ed1ba2a19f481f0e'
    """
    return hashlib.blake2b(uri.encode(), digest_size=8).hexdigest()


def list_videos(location: str) -> list[Video]:
    """All videos at a location, sorted by uri, each once.

    Raises UsageError where there is nothing at all to list.
    """
    if PurePosixPath(location).suffix.lower() in LIST_SUFFIXES and (is_remote(location) or Path(location).is_file()):
        videos = list(_listed_in_file(location))
    elif re.search(r"[*?\[]", location) and not (not is_remote(location) and Path(location).exists()):
        videos = list(_matching(location))
    else:
        videos = list(_below(location))
    return [video for _, video in sorted({video.uri: video for video in videos}.items())]


def _video(storage: Storage, stored: Stored, title: str | None = None, description: str | None = None) -> Video:
    uri = storage.uri(stored.path)
    return Video(video_id_of(uri), uri, stored.size_bytes, stored.etag, title, description)


def _below(location: str) -> Iterator[Video]:
    """Media files in a folder or under a prefix, or one single file."""
    if not is_remote(location):
        path = Path(location).expanduser().absolute()
        if not path.exists():
            raise UsageError(f"{location}: no such file or folder")
        if path.is_file():
            storage = Storage.at(path.parent)
            yield _video(storage, storage.head(path.name))
            return
    storage = Storage.at(location)
    for stored in storage.list():
        hidden = any(part.startswith((".", "_")) for part in PurePosixPath(stored.path).parts)
        if PurePosixPath(stored.path).suffix.lower() in MEDIA_SUFFIXES and not hidden:
            yield _video(storage, stored)


def _matching(location: str) -> Iterator[Video]:
    """Objects that match a glob: `*` and `?` stay within a folder, `**` crosses folders."""
    whole = location if is_remote(location) else str(Path(location).expanduser().absolute())
    fixed = whole[: re.search(r"[*?\[]", whole).start()].rpartition("/")[0]  # type: ignore[union-attr]
    if not is_remote(location) and not Path(fixed).exists():
        raise UsageError(f"{location}: no such folder {fixed}")
    storage = Storage.at(fixed)
    pattern = re.compile(glob_pattern(whole[len(fixed) + 1 :]))
    for stored in storage.list():
        if pattern.fullmatch(stored.path):
            yield _video(storage, stored)


def glob_pattern(glob: str) -> str:
    """A glob as a regular expression over relative paths. As in a shell, no star matches a leading dot.

    >>> bool(re.fullmatch(glob_pattern("*.mp4"), "a.mp4")), bool(re.fullmatch(glob_pattern("*.mp4"), "b/a.mp4"))
    (True, False)
    >>> bool(re.fullmatch(glob_pattern("**/*.mp4"), "b/c/a.mp4")), bool(re.fullmatch(glob_pattern("**/*.mp4"), "a.mp4"))
    (True, True)
    """
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]*\])", glob)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "(?!.*(?:^|/)[.])" * ("." not in {glob[0], *(after[0] for after in glob.split("/") if after)}) + "".join(
        known.get(part) or (fnmatch.translate(part)[4:-3] if part.startswith("[") else re.escape(part))
        for part in parts
    )


def _listed_in_file(location: str) -> Iterator[Video]:
    """Videos that a txt (a uri a line), csv or parquet file (columns uri, title, description) names.

    Relative names are relative to the list. One that cannot be found is still a video: its probe will fail and say so.
    """
    parent, name = location.rpartition("/")[::2]
    storage = Storage.at(parent or ".")
    local = storage.local_path(name)
    if local is None:
        raise UsageError(f"{location}: a list file must be on local disk; copy it here first")
    for row in _rows(local):
        uri = next((row[column] for column in URI_COLUMNS if row.get(column)), None)
        if not uri:
            raise UsageError(f"{location}: no column {' or '.join(URI_COLUMNS)}; found {', '.join(row)}")
        if not is_remote(uri):
            uri = str(Path(storage.root, Path(uri).expanduser()))
        folder, base = uri.rpartition("/")[::2]
        holder = Storage.at(folder)
        try:
            stored = holder.head(base)
        except FileNotFoundError:
            stored = Stored(base, 0, "", 0)
        yield _video(holder, stored, _text(row, "title"), _text(row, "description"))


def _text(row: Mapping[str, Any], column: str) -> str | None:
    """What a list says in a column; empty where it says nothing, None where it has no such column."""
    return str(row[column] or "").strip() if column in row else None


def _rows(path: Path) -> Iterable[dict[str, Any]]:
    if path.suffix.lower() == ".parquet":
        return pq.read_table(path).to_pylist()
    with open(path, newline="", encoding="utf-8-sig") as stream:
        if path.suffix.lower() == ".csv":
            return list(csv.DictReader(stream))
        lines = [line.strip() for line in stream]
    return [{"uri": line} for line in lines if line and not line.startswith("#")]


def plan_units(video: Video, probe: Probe, grid: Grid, unit_windows: int) -> list[Unit]:
    """Cuts a video into units of at most `unit_windows` windows, of nearly equal length."""
    windows = grid.windows(probe.duration_ms)
    count = -(-windows // unit_windows)
    cuts = [windows * part // count for part in range(count + 1)]
    return [
        Unit(video, probe, number, first, last, grid.window_ms(first)[0], grid.window_ms(last)[0], last == windows)
        for number, (first, last) in enumerate(itertools.pairwise(cuts))
    ]


def group_units(units: Iterable[Unit], group_ms: int) -> list[Group]:
    """Packs units, in the given order, into groups of at least `group_ms` of media: full batches for the models."""
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


class _ProbeVideos(beam.DoFn):
    def setup(self) -> None:
        self.stage = shared_stage()
        self.metrics = StageMetrics("probe")

    def process(self, video: Video) -> Iterator[tuple[Video, Probe | Failure]]:
        with self.metrics.busy():
            found = probe_video(video, self.stage)
        self.metrics.add(
            videos=1, failed=isinstance(found, Failure), media_ms=0 if isinstance(found, Failure) else found.duration_ms
        )
        self.metrics.flush()
        yield video, found


def probe_video(video: Video, stage: Stage) -> Probe | Failure:
    """The facts of one video, or why there are none."""
    try:
        with stage.local(video) as path:
            return probe_file(path)
    except InputError as error:
        return Failure.of("probe", error)


class ProbeVideos(beam.PTransform):
    """Video -> (Video, Probe or Failure)."""

    def expand(self, videos: beam.PCollection) -> beam.PCollection:
        return videos | beam.ParDo(_ProbeVideos())


class PlanUnits(beam.PTransform):
    """(Video, Probe) -> groups of units. Videos are packed by a hash of their id, in order: no run differs."""

    def __init__(self, grid: Grid, unit_windows: int, group_ms: int, buckets: int):
        super().__init__()
        self.grid, self.unit_windows, self.group_ms, self.buckets = grid, unit_windows, group_ms, buckets

    def expand(self, probed: beam.PCollection) -> beam.PCollection:
        grid, unit_windows, group_ms, buckets = self.grid, self.unit_windows, self.group_ms, self.buckets

        def plan(_: int, found: Iterable[tuple[Video, Probe]]) -> list[Group]:
            ordered = sorted(found, key=lambda pair: pair[0].uri)
            units = [unit for video, probe in ordered for unit in plan_units(video, probe, grid, unit_windows)]
            return group_units(units, group_ms)

        return (
            probed
            | "Bucket" >> beam.Map(lambda pair: (int(pair[0].video_id, 16) % buckets, pair))
            | "ByBucket" >> beam.GroupByKey()
            | "Plan" >> beam.FlatMapTuple(plan)
        )
