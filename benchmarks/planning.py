"""Measures what planning a quiet night costs: a listing against the videos table of a dataset, without media and models.

    python -m benchmarks.planning 1000000 10000000

For each number of videos, one process writes the videos table of a dataset that holds them: a merged file, a newer one, and
a small one with rows that replace older ones. Another process plans: the listing comes as a store's client gives it, record
by record, and is compared without changes and with 1% changed. Its peak memory is that of all of it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reelbeam.pipeline.dataset import Dataset
from reelbeam.pipeline.extraction import Policy, compare_listing
from reelbeam.pipeline.extraction.known_rows import KnownRows
from reelbeam.schemas.elements import Video
from reelbeam.schemas.file_records import TableInfo
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import videos_schema
from reelbeam.transforms.listing import video_id_of
from reelbeam.transforms.video_list import VideoList

from .commits import EMPTY, SETTINGS, SHAPE
from .measure import run
from .results import Figure, finish

STEP = 65_536
MERGED = 0.9
"""Share of the videos in the merged file."""

MOST_MIB = 6_144


def listed(objects: int, changed_every: int = 0) -> Iterator[Video]:
    """What a store's listing of so many objects becomes, in its order. Every so many have other bytes than the table says."""
    for at in range(objects):
        uri = f"s3://bucket/videos/{at // 1000:05d}/{at:08d}.mp4"
        changed = changed_every and at % changed_every == 0
        yield Video(video_id_of(uri), uri, 5_000_000 + at % 997 + bool(changed), f"{at + bool(changed):032x}-1")


def write_tables(folder: Path, objects: int) -> list[TableInfo]:
    """The files of the videos table after these videos were extracted. Rows are sorted by video id, as in merged files."""
    schema, infos = videos_schema(SHAPE.text_dim), []
    videos = VideoList.of(listed(objects)).table
    merged = int(objects * MERGED)
    spans = {"merged": (0, merged), "newer": (merged, objects - merged), "replacing": (0, objects // 100)}
    for name, (first, count) in spans.items():
        path = folder / f"{name}.parquet"
        rows = videos.slice(first, count).sort_by("video_id")
        with pq.ParquetWriter(path, schema, compression="zstd") as file:
            for at in range(0, count, STEP):
                file.write_table(whole_rows(rows.slice(at, STEP), at, schema), row_group_size=8_192)
        infos.append(TableInfo(path.name, count, path.stat().st_size, ""))
    return infos


def whole_rows(videos: pa.Table, first: int, schema: pa.Schema) -> pa.Table:
    """Listed videos with all columns of the videos table. Waves of 256 videos have one run each."""
    count = len(videos)
    runs = [f"20260101T000000-{(first + at) // 256:06x}" for at in range(count)]
    held = {name: videos[name] for name in ("video_id", "uri", "size_bytes", "etag")} | {"run": pa.array(runs)}
    columns = []
    for field in schema:
        value = EMPTY.get(field.name)
        made = pa.nulls(count, field.type) if value is None else pa.array([value] * count, field.type)
        columns.append(held[field.name].cast(field.type) if field.name in held else made)
    return pa.Table.from_arrays(columns, schema=schema)


def measure(folder: Path, objects: int) -> dict[str, Any]:
    """Seconds of planning in this process, over the tables in a folder."""
    infos = [TableInfo(**one) for one in json.loads((folder / "tables.json").read_text())]
    dataset = Dataset(Storage.at(folder), replace(SETTINGS.first_snapshot(), videos=tuple(infos)))
    found: dict[str, Any] = {}
    for share, every in (("unchanged", 0), ("1_percent_changed", 100)):
        started = time.monotonic()
        videos = VideoList.of(listed(objects, every))
        found["listing_s"] = time.monotonic() - started
        started = time.monotonic()
        known = KnownRows.of_dataset(dataset)
        found["known_s"] = time.monotonic() - started
        started = time.monotonic()
        changes = compare_listing(videos, known, (), Policy(), 0)
        found[f"compare_{share}_s"] = time.monotonic() - started
        wanted = -(-objects // every) if every else 0
        assert (len(changes.changed), changes.unchanged) == (wanted, objects - wanted), changes.unchanged
        del videos, known, changes
    return found


def main() -> int:
    """One process per size and step, so that each has a peak of its own."""
    if len(sys.argv) == 4 and sys.argv[1].startswith("--"):
        step, folder, objects = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
        if step == "--write":
            infos = write_tables(folder, objects)
            (folder / "tables.json").write_text(json.dumps([asdict(info) for info in infos]))
        else:
            print(json.dumps(measure(folder, objects)))
        return 0
    sizes = [int(size) for size in sys.argv[1:]] or [20_000, 1_000_000]
    figures = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="reelbeam-planning-") as work:
            run(["-m", "benchmarks.planning", "--write", work, str(size)], report=False)
            cost = run(["-m", "benchmarks.planning", "--plan", work, str(size)])
        found = cost.report
        what = f"{size:,} known videos"
        figures += [
            Figure.of(f"listing_{size}_s", f"{what}: seconds to take in the listing", found["listing_s"]),
            Figure.of(f"known_{size}_s", f"{what}: seconds to read what is known", found["known_s"]),
            Figure.of(
                f"compare_{size}_unchanged_s", f"{what}, 0 changed: seconds to compare", found["compare_unchanged_s"]
            ),
            Figure.of(
                f"compare_{size}_1_percent_changed_s",
                f"{what}, 1% changed: seconds to compare",
                found["compare_1_percent_changed_s"],
            ),
            Figure.of(f"peak_{size}_mib", f"{what}: peak memory, MiB", cost.own_bytes >> 20, at_most=MOST_MIB),
        ]
    finish("planning", figures, max(sizes) < 1_000_000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
