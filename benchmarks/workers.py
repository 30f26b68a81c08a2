"""Compares `extract --workers N` with one process on many short clips: wall time, and whether the stored bytes are the same.

    python -m benchmarks.workers

Both read the same clips with the same weights and waves, each as a process of its own, in alternating rounds.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from pathlib import Path

from .clips import clips
from .measure import WORK, Cost, run
from .results import Figure, finish


def extract(bucket: Path, workers: int, wave: int) -> tuple[Cost, list[str]]:
    """The cost of a run into a new OUTPUT, and the hashes of its shards in the order of their rows."""
    from reelbeam.pipeline.dataset import Dataset

    output = WORK / "workers" / str(workers)
    shutil.rmtree(output, ignore_errors=True)
    command = ["-m", "reelbeam.pipeline.cli", "extract", str(bucket), str(output), "--models", "offline"]
    cost = run([*command, "--wave-videos", str(wave), "--workers", str(workers)], report=False)
    shards = Dataset.open(str(output)).snapshot.shards
    return cost, [hashlib.sha256((output / shard.path).read_bytes()).hexdigest() for shard in shards]


def main() -> int:
    """Alternating rounds; exit code 1 where the bytes differ or the ratio is not reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four clips, one round: figures mean nothing")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--wave-videos", type=int, default=25)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    count, wave, rounds = (4, 2, 1) if options.quick else (options.clips, options.wave_videos, options.rounds)
    bucket = clips(count)
    single, several, same, peaks, others = [], [], [], [], []
    for _ in range(rounds):
        alone, wanted = extract(bucket, 1, wave)
        many, found = extract(bucket, options.workers, wave)
        single.append(alone.wall_s)
        several.append(many.wall_s)
        same.append(float(found == wanted))
        peaks.append(many.tree_bytes / 1e9)
        others.append((alone.others_s, many.others_s))
    ratios = [one / other for one, other in zip(single, several, strict=True)]
    figures = [
        Figure.of("ratio", f"speed of {options.workers} workers over one process", ratios, at_least=1.15),
        Figure.of("same_bytes", "stored shards are the same (1: yes)", same, at_least=1),
        Figure.of("clips_per_s", f"clips a second, {options.workers} workers", [count / one for one in several]),
        Figure.of("single_clips_per_s", "clips a second, one process", [count / one for one in single]),
        Figure.of("tree_gb", "memory of launcher and workers, GB", peaks),
    ]
    missed = finish("workers", figures, options.quick, clips=count, wave_videos=wave, others_s=others)
    return 0 if options.quick else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
