"""A night on which nothing changed, over a bucket of many objects: seconds, and requests beyond the listing's own.

    python -m benchmarks.quiet_night [--objects 100000]

A real first night extracts two videos of the sample bucket, held in an S3 server on loopback, and builds the indexes. Then the bucket
gets as many small objects as asked, and the dataset a row for each of them, as if they had been extracted long ago. The next night is
measured as a whole process; its requests are counted at the server. Then a csv of all uris is resolved, and one of a tenth of them, each in
a process of its own, whose peak memory is told.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reelbeam.pipeline.dataset import Dataset
from reelbeam.schemas.file_records import TableInfo
from reelbeam.schemas.snapshot import commit
from reelbeam.schemas.storage import PAGE, Storage
from reelbeam.transforms.listing import list_videos

from .bucket import OUTPUT, bucket
from .made import with_columns
from .measure import ROOT, run
from .results import Figure, finish

VIDEOS = "s3://data/in"
EXTRACTED = ("desk.mp4", "farm.mp4")
MOST_S, MOST_REQUESTS = 30, 500


def night() -> float:
    """Seconds of one night over the bucket, as a user runs it."""
    command = ["-m", "reelbeam.pipeline.cli", "nightly", VIDEOS, OUTPUT, "--models", "offline"]
    return run(command, report=False).wall_s


def put_objects(objects: int) -> None:
    """Small objects that are named as videos."""
    videos = Storage.at(VIDEOS)
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(lambda at: videos.put(f"{at // PAGE:05d}/{at:08d}.mp4", b"x"), range(objects)):
            pass


def make_known(folder: Path) -> None:
    """Adds a row for each object of the bucket that the dataset does not know: that of a video that was extracted, under its name."""
    dataset = Dataset.open(OUTPUT)
    snapshot, held = dataset.snapshot, {*dataset.videos}
    listed = sorted((one for one in list_videos(VIDEOS) if one.video_id not in held), key=lambda one: one.video_id)
    model = dataset.newest.slice(0, 1)
    table = model.take(pa.array([0] * len(listed)))
    table = with_columns(
        table,
        video_id=[one.video_id for one in listed],
        uri=[one.uri for one in listed],
        size_bytes=[one.size_bytes for one in listed],
        etag=[one.etag for one in listed],
        windows=[0] * len(listed),
    )
    file = folder / "known.parquet"
    pq.write_table(table, file, compression="zstd", row_group_size=8_192)
    path = "videos/known.parquet"
    dataset.storage.put_file(path, file)
    info = TableInfo(path, len(listed), file.stat().st_size, dataset.storage.sha256(path))
    added = {name: snapshot.counts[name] + len(listed) for name in ("videos", "ok")}
    commit(
        dataset.storage,
        replace(
            snapshot,
            number=snapshot.number + 1,
            parent=snapshot.number,
            videos=(*snapshot.videos, info),
            counts={**snapshot.counts, **added},
        ),
    )


def resolve(listing: str) -> float:
    """Seconds of resolving a list in this process."""
    started = time.monotonic()
    videos = list_videos(listing)
    if any(video.failure or not video.etag for video in videos):
        raise RuntimeError(f"{listing}: some videos were not resolved")
    return time.monotonic() - started


def resolved(folder: Path, uris: Sequence[str]) -> tuple[float, float]:
    """Rows a second of resolving a csv of some uris in a process of its own, and that one's peak memory in MiB."""
    listing = folder / f"list_{len(uris)}.csv"
    listing.write_text("uri\n" + "".join(f"{uri}\n" for uri in uris))
    cost = run(["-m", "benchmarks.quiet_night", "--resolve", str(listing)])
    return len(uris) / cost.report["seconds"], cost.own_bytes / (1 << 20)


def main() -> int:
    """Prints the seconds and requests of a quiet night."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quiet_night")
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="few objects: only whether it runs")
    parser.add_argument("--resolve", default="", help="only resolve this list, and print seconds and memory")
    args = parser.parse_args()
    if args.resolve:
        print(json.dumps({"seconds": resolve(args.resolve)}))
        return 0
    objects = 300 if args.quick else args.objects
    with tempfile.TemporaryDirectory(prefix="reelbeam-bench-") as made:
        folder = Path(made)
        with bucket(folder) as counted:
            for name in EXTRACTED:
                Storage.at(VIDEOS).put_file(name, ROOT / "examples" / "sample_bucket" / name)
            night()
            put_objects(objects - len(EXTRACTED))
            make_known(folder)
            before = Dataset.open(OUTPUT).snapshot
            counted.taken()
            took_s = night()
            read_bytes, requests = counted.taken()
            after = Dataset.open(OUTPUT).snapshot
            if after.counts != before.counts or after.counts["videos"] != objects:
                raise RuntimeError(f"the night was not quiet: {before.counts}, then {after.counts}")
            uris = [video.uri for video in list_videos(VIDEOS)]
            (tenth_per_s, tenth_mib), (whole_per_s, whole_mib) = resolved(folder, uris[::10]), resolved(folder, uris)
    pages = -(-objects // PAGE)
    figures = [
        Figure.of("night_s", f"quiet night on {objects:,} objects, seconds", took_s, at_most=MOST_S),
        Figure.of("requests", "its requests beyond the listing's pages", requests - pages, at_most=MOST_REQUESTS),
        Figure.of("read_bytes", "its bytes, the listing among them", read_bytes),
        Figure.of(
            "listed_per_s",
            "csv of all uris, rows resolved per second",
            whole_per_s,
            at_least=2_000,
        ),
        Figure.of(
            "listed_sparse_per_s",
            "csv of every tenth uri, rows resolved per second",
            tenth_per_s,
            at_least=2_000,
        ),
        Figure.of("listed_mib", "peak memory of resolving all, MiB", whole_mib),
        Figure.of("listed_tenth_mib", "peak memory of resolving a tenth, MiB", tenth_mib),
    ]
    finish("quiet_night", figures, args.quick, objects=objects)
    return 0


if __name__ == "__main__":
    sys.exit(main())
