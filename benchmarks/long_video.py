"""Measures what is fetched of one long video that several workers share: bytes at the S3 server, against the video's size.

    python -m benchmarks.long_video --hours 10 --workers 4

The video is cheap to make: one frame a second with noise, so that it has about 8 kB a second. Beam's in-process runner starts
the workers as processes, which share nothing: each reads for itself, as on a cluster. The rows are compared with those of one
process that stages the whole file.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from reelbeam.pipeline.dataset import Dataset
from reelbeam.schemas.storage import Storage

from .bucket import bucket
from .measure import WORK, run
from .results import Figure, finish

SPREAD = ("--direct_running_mode", "multi_processing", "--direct_num_workers")


def film(hours: float) -> Path:
    """A film of so many hours, made at the first call and kept."""
    WORK.mkdir(exist_ok=True)
    path = WORK / f"long-{hours:g}h.mp4"
    if not path.exists():
        seconds, partial = round(hours * 3600), path.with_suffix(".part")
        picture = f"testsrc=size=160x120:rate=1:duration={seconds},noise=alls=90:allf=t:all_seed=1"
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-nostdin",
            "-y",
            "-f",
            "lavfi",
            "-i",
            picture,
            "-c:v",
            "libx264",
            "-qp",
            "10",
        ]
        command += [
            "-preset",
            "ultrafast",
            "-g",
            "10",
            "-pix_fmt",
            "yuv420p",
            "-threads",
            "2",
            "-f",
            "mp4",
            str(partial),
        ]
        subprocess.run(command, check=True)
        partial.rename(path)
    return path


def hashes(output: str) -> list[str]:
    """The hashes of the shards' bytes, in the order of their rows."""
    storage = Storage.at(output)
    return [hashlib.sha256(storage.get(one.path)).hexdigest() for one in Dataset.open(output).snapshot.shards]


def main() -> int:
    """1 when more is fetched than wanted, or other rows come out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="a quarter of an hour: figures mean nothing")
    options = parser.parse_args()
    hours = 0.25 if options.quick else options.hours
    path = film(hours)
    size = path.stat().st_size
    print(f"{path.name}: {size / 1e6:.0f} MB", flush=True)
    extract = ["-m", "reelbeam.pipeline.cli", "extract", "s3://data/videos"]
    models = ["--models", "offline", "--shots", "none"]
    with tempfile.TemporaryDirectory(prefix="reelbeam-long-") as folder, bucket(Path(folder)) as server:
        Storage.at("s3://data/videos").put_file("film.mp4", path)
        server.taken()
        many = run([*extract, "s3://data/many", *models, *SPREAD, str(options.workers)], report=False)
        fetched, requests = server.taken()
        one = run([*extract, "s3://data/one", *models], report=False)
        staged, _ = server.taken()
        same = hashes("s3://data/many") == hashes("s3://data/one")
    what = f"{hours:g} hours on {options.workers} workers"
    figures = [
        Figure.of("ratio", f"{what}: bytes fetched, times the video's size", fetched / size, at_most=1.3),
        Figure.of(
            "same_bytes",
            "stored shards are those of one process that stages the file (1: yes)",
            float(same),
            at_least=1,
        ),
        Figure.of("requests", f"{what}: requests to the store", requests),
        Figure.of("wall_s", f"{what}: seconds", many.wall_s),
        Figure.of("single_wall_s", "one process: seconds", one.wall_s),
        Figure.of("single_ratio", "one process: bytes fetched, times the video's size", staged / size),
    ]
    return 0 if finish("long_video", figures, options.quick, size_bytes=size) == 0 or options.quick else 1


if __name__ == "__main__":
    sys.exit(main())
