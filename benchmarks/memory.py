"""Shows that memory does not grow with the number of videos: 20 copies of a sample video, then 200, in one process and in two workers.

    python -m benchmarks.memory [--models offline] [--video FILE] [--gate]

What counts is the highest sum of resident memory of `reelbeam extract` and its decoders; with workers, that of the launcher and
that of the largest worker.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from . import measure
from .measure import ROOT, WORK, Cost
from .results import Figure, finish

VIDEO = ROOT / "examples" / "sample_bucket" / "desk.mp4"
FEW, MANY, WAVE = 20, 200, 5
GATE = 1.3
"""Most that MANY copies may take, in times of what FEW take."""


def extract(video: Path, copies: int, models: str, workers: int, wave: int) -> Cost:
    """Extracts some copies of a video; hard links, so that disk stays small."""
    folder, output = WORK / "copies", WORK / "copies_output"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(output, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(copies):
        copy = folder / f"copy_{number:03d}{video.suffix}"
        try:
            os.link(video, copy)
        except OSError:  # another file system
            shutil.copy(video, copy)
    command = ["-m", "reelbeam.pipeline.cli", "extract", str(folder), str(output), "--models", models]
    spread = ["--workers", str(workers), "--wave-videos", str(wave)] if workers > 1 else []
    return measure.run([*command, *spread], report=False)


def main() -> int:
    """Prints both peaks and their ratio; 1 when `--gate` is given and the ratio is over it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("--models", default="offline")
    parser.add_argument("--video", type=Path, default=VIDEO)
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--quick", action="store_true", help="2 and 4 copies: only whether it runs")
    args = parser.parse_args()
    costs: dict[tuple[int, int], Cost] = {}
    few, many, wave = (2, 4, 1) if args.quick else (FEW, MANY, WAVE)
    for workers in (1, 2):
        for copies in (few, many):
            cost = costs[workers, copies] = extract(args.video, copies, args.models, workers, wave)
            print(
                f"{copies} copies of {args.video.name}, {workers} workers: peak {cost.tree_bytes / 1e9:.2f} GB, {cost.wall_s:.1f} s",
                flush=True,
            )
    alone, shared = costs[1, many], costs[2, many]
    what = f"of {many} videos, times that of {few}"
    figures = [
        Figure.of("memory_growth", f"memory {what}", alone.tree_bytes / costs[1, few].tree_bytes, at_most=GATE),
        Figure.of("peak_gb", f"peak memory of all processes with {many} videos, GB", alone.tree_bytes / 1e9),
        Figure.of(
            "launcher_growth",
            f"launcher of two workers: memory {what}",
            shared.own_bytes / costs[2, few].own_bytes,
            at_most=GATE,
        ),
        Figure.of(
            "worker_growth",
            f"largest of two workers: memory {what}",
            shared.worker_bytes / costs[2, few].worker_bytes,
            at_most=GATE,
        ),
        Figure.of(
            "launcher_gb", f"peak memory of the launcher of two workers with {many} videos, GB", shared.own_bytes / 1e9
        ),
        Figure.of(
            "worker_gb", f"peak memory of the largest of two workers with {many} videos, GB", shared.worker_bytes / 1e9
        ),
    ]
    return 1 if finish("memory", figures, args.quick) and args.gate else 0


if __name__ == "__main__":
    sys.exit(main())
