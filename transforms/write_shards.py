"""WriteShards, WriteBooks: rows become Parquet shards, outcomes become the videos and failures tables, with the embeddings of
titles and descriptions, and a receipt lists them all. Nothing is visible to readers until a snapshot names it.

In:  (shard number, UnitRows); (Video, Probe or Failure) and UnitOutcome by video.
Out: ShardInfo; one receipt, `runs/<run>.json`.
Bad: a file that does not read back as it was written raises CorruptOutput.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..schemas.elements import Probe, UnitOutcome, UnitRows, Video
from ..schemas.errors import CorruptOutput, Failure, InputError
from ..schemas.snapshot import ShardInfo, TableInfo, shard_path
from ..schemas.storage import Storage, file_sha256
from ..schemas.tables import (
    FAILED,
    OK,
    PARTIAL,
    TITLE_EMBEDDINGS,
    RowShape,
    failures_schema,
    tensor,
    tensor_array,
    validate_windows,
    videos_schema,
)
from .embed_titles import Titles
from .metrics import StageMetrics

ROW_GROUP_BYTES = 8 << 20
"""Row groups of 1,000-4,000 rows read fastest, and are what a shuffling reader holds in memory at once."""


def shard_table(units: Iterable[UnitRows]) -> pa.Table:
    """The rows of a shard, sorted by video and window, with shots numbered through each video."""
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


def write_windows(table: pa.Table, file: Path) -> None:
    """One shard: tensors plain and uncompressed (one copy from disk to array), the rest dictionary-coded zstd."""
    plain = [column.name for column in table.schema if pa.types.is_fixed_size_binary(column.type)]
    others = [column.name for column in table.schema if column.name not in plain and column.name != "words"]
    leaves = others + [f"words.list.element.{leaf}" for leaf in ("word", "start_ms", "end_ms", "probability")]
    row_bytes = max(1, table.nbytes // max(1, len(table)))
    pq.write_table(
        table,
        file,
        row_group_size=max(1, ROW_GROUP_BYTES // row_bytes),
        data_page_size=2 * ROW_GROUP_BYTES,  # a tensor column is one page a row group: `pipeline/pages.py` maps it
        use_dictionary=["video_id", "uri", "language"],
        compression={**dict.fromkeys(plain, "NONE"), **dict.fromkeys(leaves, "ZSTD")},
        write_statistics=["video_id", "window", "start_ms", "end_ms"],
        store_schema=True,
    )


def put_table(storage: Storage, path: str, table: pa.Table, write: Any = pq.write_table) -> TableInfo:
    """Writes a table to local disk, reads it back, and puts the file whole."""
    with tempfile.TemporaryDirectory(prefix="reelbeam-write-") as folder:
        file = Path(folder, "table.parquet")
        write(table, file)
        found = pq.ParquetFile(file).metadata.num_rows
        if found != len(table):
            raise CorruptOutput(f"{path}: wrote {len(table)} rows, {found} came back; is the disk full or failing?")
        storage.put_file(path, file)
        return TableInfo(path, len(table), file.stat().st_size, file_sha256(file))


def write_shard(storage: Storage, path: str, units: Iterable[UnitRows], shape: RowShape) -> ShardInfo | None:
    """Writes one shard; None when its units have no rows at all."""
    table = shard_table(units)
    if not len(table):
        return None
    validate_windows(table, shape)
    return put_windows(storage, path, table)


def put_windows(storage: Storage, path: str, table: pa.Table) -> ShardInfo:
    """Writes sorted rows as one shard, which has no row numbers yet."""
    info = put_table(storage, path, table.combine_chunks(), write_windows)
    keys = [(table["video_id"][at].as_py(), table["window"][at].as_py()) for at in (0, len(table) - 1)]
    return ShardInfo(path, info.rows, info.bytes, info.sha256, keys[0], keys[1])


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
    }, failures


def write_books(
    storage: Storage,
    run: str,
    entries: Iterable[tuple[dict[str, Any], list[Failure]]],
    shards: Iterable[ShardInfo],
    titles: Titles,
) -> str:
    """The videos and failures tables of a run, and then the receipt that names all its files. Returns its path."""
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


def receipt_path(run: str) -> str:
    return f"runs/{run}.json"


def read_receipt(storage: Storage, run: str) -> tuple[list[ShardInfo], TableInfo, TableInfo | None]:
    """What a run wrote. Its presence means that the run is complete."""
    receipt = json.loads(storage.get(receipt_path(run)))
    shards = [
        ShardInfo(
            **{**shard, "first_key": tuple(shard["first_key"]), "last_key": tuple(shard["last_key"]), "removed": ()}
        )
        for shard in receipt["shards"]
    ]
    return shards, TableInfo(**receipt["videos"]), TableInfo(**receipt["failures"]) if receipt["failures"] else None


class _WriteShard(beam.DoFn):
    def __init__(self, output: str, run: str, parts: int, shape: RowShape):
        self.storage, self.run, self.parts, self.shape = Storage.at(output), run, parts, shape

    def setup(self) -> None:
        self.metrics = StageMetrics("write_shards")

    def process(self, keyed: tuple[int, Iterable[UnitRows]]) -> Iterator[ShardInfo]:
        with self.metrics.busy():
            info = write_shard(self.storage, shard_path(self.run, keyed[0], self.parts), keyed[1], self.shape)
        if info:
            self.metrics.add(shards=1, rows=info.rows, bytes=info.bytes)
            yield info


class WriteShards(beam.PTransform):
    """UnitRows -> ShardInfo. All windows of a video go to one shard, chosen by its id."""

    def __init__(self, output: str, run: str, parts: int, shape: RowShape):
        super().__init__()
        self.parts = parts
        self.do = _WriteShard(output, run, parts, shape)

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        parts = self.parts
        return (
            rows
            | "ToShard" >> beam.Map(lambda unit: (int(unit.unit.video.video_id, 16) % parts, unit))
            | "ByShard" >> beam.GroupByKey()
            | "Write" >> beam.ParDo(self.do)
        )


class WriteBooks(beam.PTransform):
    """(probed videos, outcomes, shards) -> the path of the receipt, written last."""

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
