"""WriteShards writes rows as Parquet shards. WriteBooks writes the videos and failures tables, and a receipt of all files.

The videos table includes embeddings of titles and descriptions. Readers see the files only when a snapshot names them.

In:  (shard number, UnitRows); (Video, Probe or Failure) and UnitOutcome by video.
Out: ShardInfo; one receipt, `runs/<run>.json`.
Bad: a file that reads back differently from what was written raises CorruptOutput.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa

from ..schemas.elements import Probe, UnitOutcome, UnitRows, Video
from ..schemas.errors import Failure, InputError
from ..schemas.file_records import ShardInfo
from ..schemas.snapshot import shard_path
from ..schemas.storage import Storage
from ..schemas.tables import (
    FAILED,
    OK,
    PARTIAL,
    TITLE_EMBEDDINGS,
    RowShape,
    failures_schema,
    validate_windows,
    videos_schema,
)
from ..schemas.tensors import tensor, tensor_array
from .embed_titles import Titles
from .metrics import StageMetrics
from .shard_files import put_table, put_windows, receipt_path
from .sidecars import sidecars_as_listed


def shard_table(units: Iterable[UnitRows]) -> pa.Table:
    """The rows of a shard, sorted by video and window, with shots numbered from 0 within each video."""
    ordered = sorted(units, key=lambda rows: (rows.unit.video.video_id, rows.unit.number))
    tables, video_id, shots = [], "", 0
    for rows in ordered:
        if rows.unit.video.video_id != video_id:
            video_id, shots = rows.unit.video.video_id, 0
        place = rows.table.schema.get_field_index("shot")
        numbered = tensor_array((tensor(rows.table, "shot") + shots).astype(np.int32))
        if len(rows.table):
            tables.append(rows.table.set_column(place, rows.table.schema.field(place), numbered))
        shots += rows.cuts
    return pa.concat_tables(tables).combine_chunks() if tables else ordered[0].table


def write_shard(
    storage: Storage, path: str, units: Iterable[UnitRows], shape: RowShape, embedded: bool = True
) -> ShardInfo | None:
    """Writes one shard. Returns None when its units have no rows. `embedded`: whether CLIP has filled them."""
    table = shard_table(units)
    if not len(table):
        return None
    validate_windows(table, shape, embedded)
    return put_windows(storage, path, table)


def video_row(
    video: Video, probe: Probe | Failure, outcomes: Iterable[UnitOutcome], run: str
) -> tuple[dict[str, Any], list[Failure]]:
    """A video's row in the videos table, and its failures."""
    units = sorted(outcomes, key=lambda outcome: outcome.number)
    failures = [probe] if isinstance(probe, Failure) else [failure for unit in units for failure in unit.failures]
    if isinstance(probe, Probe) and probe.lost_ms:
        error = InputError("joined", probe.lost_reason)
        failures.append(Failure.of("probe", error, probe.duration_ms, probe.duration_ms + probe.lost_ms))
    windows = sum(unit.windows for unit in units)
    facts = (
        {}
        if isinstance(probe, Failure)
        else {
            name: getattr(probe, name)
            for name in (
                "content_sha256",
                "duration_ms",
                "container",
                "video_codec",
                "audio_codec",
                "width",
                "height",
                "rotation",
                "fps",
            )
        }
    )
    empty = {
        "content_sha256": "",
        "duration_ms": 0,
        "container": "",
        "video_codec": "",
        "audio_codec": "",
        "width": 0,
        "height": 0,
        "rotation": 0,
        "fps": 0.0,
    }
    return {
        **{name: getattr(video, name) for name in ("video_id", "uri", "size_bytes", "etag")},
        **{name: getattr(video, name) or "" for name in TITLE_EMBEDDINGS},
        "status": FAILED if not windows else PARTIAL if failures else OK,
        "attempts": video.attempts + 1,
        "windows": windows,
        "frames": sum(unit.frames for unit in units),
        "words": sum(unit.words for unit in units),
        **{**empty, **facts},
        "run": run,
        "missing_since_ms": 0,
        "sidecars": sidecars_as_listed(video),
    }, failures


def write_books(
    storage: Storage,
    run: str,
    entries: Iterable[tuple[dict[str, Any], list[Failure]]],
    shards: Iterable[ShardInfo],
    titles: Titles,
) -> str:
    """Writes the videos and failures tables of a run, then the receipt that names all its files. Returns the receipt's path."""
    ordered = sorted(entries, key=lambda entry: entry[0]["video_id"])
    failures = [
        {"video_id": row["video_id"], "uri": row["uri"], **asdict(failure), "run": run}
        for row, found in ordered
        for failure in found
    ]
    rows = titles.embed([row for row, _ in ordered])
    books = pa.Table.from_pylist(rows, videos_schema(titles.dimension))
    videos = put_table(storage, f"videos/{run}.parquet", books)
    failed = (
        put_table(storage, f"failures/{run}.parquet", pa.Table.from_pylist(failures, failures_schema()))
        if failures
        else None
    )
    receipt = {
        "run": run,
        "shards": [asdict(shard) for shard in sorted(shards, key=lambda shard: shard.path)],
        "videos": asdict(videos),
        "failures": asdict(failed) if failed else None,
    }
    path = receipt_path(run)
    storage.put(path, json.dumps(receipt, indent=1).encode())
    return path


class _WriteShard(beam.DoFn):
    def __init__(self, output: str, run: str, parts: int, shape: RowShape, embedded: bool):
        self.storage, self.run, self.parts, self.shape = Storage.at(output), run, parts, shape
        self.embedded = embedded

    def setup(self) -> None:
        self.metrics = StageMetrics("write_shards")

    def process(self, keyed: tuple[int, Iterable[UnitRows]]) -> Iterator[ShardInfo]:
        with self.metrics.busy():
            path = shard_path(self.run, keyed[0], self.parts)
            info = write_shard(self.storage, path, keyed[1], self.shape, self.embedded)
        if info:
            self.metrics.add(shards=1, rows=info.rows, bytes=info.bytes)
            yield info


class WriteShards(beam.PTransform):
    """UnitRows -> ShardInfo. All windows of a video go to one shard, chosen by the video's id."""

    def __init__(self, output: str, run: str, parts: int, shape: RowShape, embedded: bool = True):
        super().__init__()
        self.parts = parts
        self.do = _WriteShard(output, run, parts, shape, embedded)

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        parts = self.parts
        return (
            rows
            | "ToShard" >> beam.Map(lambda unit: (int(unit.unit.video.video_id, 16) % parts, unit))
            | "ByShard" >> beam.GroupByKey()
            | "Write" >> beam.ParDo(self.do)
        )


class WriteBooks(beam.PTransform):
    """(probed videos, outcomes, shards) -> the path of the receipt. The receipt is written last."""

    def __init__(self, output: str, run: str, titles: Titles):
        super().__init__()
        self.storage, self.run, self.titles = Storage.at(output), run, titles

    def expand(self, found: dict[str, beam.PCollection]) -> beam.PCollection:
        storage, run, titles = self.storage, self.run, self.titles
        probed = found["probed"] | beam.Map(lambda pair: (pair[0].video_id, pair))
        outcomes = found["outcomes"] | beam.Map(lambda outcome: (outcome.video_id, outcome))

        def row(_: str, parts: dict[str, Any]) -> tuple[dict[str, Any], list[Failure]]:
            [(video, probe)] = parts["probed"]
            return video_row(video, probe, parts["outcomes"], run)

        rows = {"probed": probed, "outcomes": outcomes} | beam.CoGroupByKey() | "Row" >> beam.MapTuple(row)
        books = {
            "rows": rows | "OneRows" >> beam.Map(lambda entry: (0, entry)),
            "shards": found["shards"] | "OneShards" >> beam.Map(lambda shard: (0, shard)),
        }
        return (
            books
            | "All" >> beam.CoGroupByKey()
            | "Write"
            >> beam.MapTuple(lambda _, parts: write_books(storage, run, parts["rows"], parts["shards"], titles))
        )
