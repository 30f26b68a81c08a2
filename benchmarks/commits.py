"""Measures what a commit costs while a dataset grows: waves of 256 made videos, one small shard each, no media.

    python -m benchmarks.commits --videos 1000000

Prints the seconds of a commit, the last hundred commits against the first hundred, and the bytes that a commit writes and
reads through the storage. The files of the wave itself are written before and not counted.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa

from reelbeam.pipeline.dataset import DatasetSettings, WaveRows, commit_wave
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.elements import Grid
from reelbeam.schemas.file_records import ShardInfo
from reelbeam.schemas.snapshot import shard_path
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import RowShape, videos_schema
from reelbeam.transforms.listing import video_id_of
from reelbeam.transforms.shard_files import put_table

from .results import Figure, finish

WAVE = 256
SHAPE = RowShape(10, 512, 5, 384)
SETTINGS = DatasetSettings({}, {"clip": {"weights": "none"}}, Grid(), SHAPE)
EMPTY = {
    **{"title": "", "description": "", "content_sha256": "0" * 64, "status": "ok", "attempts": 1, "windows": 1},
    **{"frames": 10, "words": 0, "duration_ms": 60_000, "container": "mov", "video_codec": "h264", "width": 1280},
    **{"audio_codec": "aac", "height": 720, "rotation": 0, "fps": 30.0, "missing_since_ms": 0},
    **{"title_embedding": None, "description_embedding": None},
}


@dataclass
class Traffic:
    """Bytes that went through the storage."""

    read: int = 0
    written: int = 0


@contextmanager
def counted() -> Iterator[Traffic]:
    """Counts what the storage reads and writes. A local Parquet file that is opened counts whole."""
    traffic, real_put, real_once, real_file = Traffic(), Storage.put, Storage.put_if_absent, Storage.put_file
    real_get, real_sha, real_local, real_list = Storage.get, Storage.sha256, Storage.local_path, Storage.list

    def put(self: Storage, path: str, content: bytes) -> None:
        traffic.written += len(content)
        real_put(self, path, content)

    def put_if_absent(self: Storage, path: str, content: bytes) -> bool:
        traffic.written += len(content)
        return bool(real_once(self, path, content))

    def put_file(self: Storage, path: str, file: Path) -> None:
        traffic.written += file.stat().st_size
        real_file(self, path, file)

    def get(self: Storage, path: str) -> bytes:
        content = bytes(real_get(self, path))
        traffic.read += len(content)
        return content

    def sha256(self: Storage, path: str) -> str:
        traffic.read += Path(self.root, path).stat().st_size
        return str(real_sha(self, path))

    def local_path(self: Storage, path: str) -> Path | None:
        local = real_local(self, path)
        traffic.read += local.stat().st_size if local is not None and local.is_file() else 0
        return local

    changed: dict[str, Any] = {"put": put, "put_if_absent": put_if_absent, "put_file": put_file, "get": get}
    with mock.patch.multiple(Storage, **changed, sha256=sha256, local_path=local_path, list=real_list):
        yield traffic


def made_wave(storage: Storage, wave: int) -> WaveRows:
    """Writes the files of one wave of new videos. The shard's rows are not read by any commit, so it holds ids only."""
    run, rows = snapshots.new_run(), []
    for number in range(WAVE):
        uri = f"s3://bucket/videos/{wave:05d}/{number:05d}.mp4"
        facts = {"video_id": video_id_of(uri), "uri": uri, "size_bytes": 1000 + number, "etag": f"{wave}-{number}"}
        rows.append({**EMPTY, **facts, "run": run})
    rows.sort(key=lambda row: str(row["video_id"]))
    table = pa.Table.from_pylist(rows, videos_schema(SHAPE.text_dim))
    ids = pa.table({"video_id": table["video_id"]})
    shard = put_table(storage, shard_path(run, 0, 1), ids)
    keys = [(ids["video_id"][at].as_py(), 0) for at in (0, -1)]
    shards = [ShardInfo(shard.path, shard.rows, shard.bytes, shard.sha256, keys[0], keys[1])]
    return WaveRows(run, shards, put_table(storage, f"videos/{run}.parquet", table), None, rows, [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=1_000_000)
    videos = parser.parse_args().videos
    seconds, written, read = [], [], []
    with tempfile.TemporaryDirectory(prefix="reelbeam-commits-") as folder:
        storage = Storage.at(folder)
        for wave in range(-(-videos // WAVE)):
            made = made_wave(storage, wave)
            with counted() as traffic:
                started = time.monotonic()
                commit_wave(storage, SETTINGS, made)
                seconds.append(time.monotonic() - started)
            written.append(traffic.written)
            read.append(traffic.read)
            if wave % 200 == 0:
                print(f"{(wave + 1) * WAVE:9d} videos: {seconds[-1]:.3f} s", flush=True)
    some = min(100, max(1, len(seconds) // 2))
    ratio = statistics.mean(seconds[-some:]) / statistics.mean(seconds[:some])
    what = f"{videos:,} videos in waves of {WAVE}"
    finish(
        "commits",
        [
            Figure.of("median_s", f"{what}: seconds of a commit, median", statistics.median(seconds), at_most=0.1),
            Figure.of("last_over_first", "mean of the last hundred commits over that of the first", ratio, at_most=1.5),
            Figure.of("written_bytes", "bytes written by a commit, median", statistics.median(written), at_most=2e6),
            Figure.of("read_bytes", "bytes read by a commit, median", statistics.median(read), at_most=1e6),
            Figure.of("longest_s", "seconds of the longest commit", max(seconds)),
            Figure.of("most_written_bytes", "bytes written by the commit that wrote most", max(written)),
            Figure.of("most_read_bytes", "bytes read by the commit that read most", max(read)),
            Figure.of("mean_written_bytes", "bytes written by a commit, mean", statistics.mean(written)),
            Figure.of("mean_read_bytes", "bytes read by a commit, mean", statistics.mean(read)),
        ],
        videos < 1_000_000,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
