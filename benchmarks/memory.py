"""Shows that memory does not grow with the number of videos: 20 copies of a sample video, then 200.

    python -m benchmarks.memory [--models offline] [--video FILE] [--gate]

What counts is the highest sum of resident memory of `reelbeam extract` and its decoders.
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
FEW, MANY = 20, 200
GATE = 1.3
"""Most that MANY copies may take, in times of what FEW take."""


def extract(video: Path, copies: int, models: str) -> Cost:
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
    return measure.run(
        ["-m", "reelbeam.pipeline.cli", "extract", str(folder), str(output), "--models", models], report=False
    )


def main() -> int:
    """Prints both peaks and their ratio; 1 when `--gate` is given and the ratio is over it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("--models", default="offline")
    parser.add_argument("--video", type=Path, default=VIDEO)
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--quick", action="store_true", help="1 and 2 copies: only whether it runs")
    args = parser.parse_args()
    peaks = []
    few, many = (1, 2) if args.quick else (FEW, MANY)
    for copies in (few, many):
        cost = extract(args.video, copies, args.models)
        peaks.append(cost.tree_bytes)
        print(
            f"{copies} copies of {args.video.name}: peak {cost.tree_bytes / 1e9:.2f} GB, {cost.wall_s:.1f} s",
            flush=True,
        )
    figures = [
        Figure.of("memory_growth", f"memory of {many} videos, times that of {few}", peaks[1] / peaks[0], at_most=GATE),
        Figure.of("peak_gb", f"peak memory of all processes with {many} videos, GB", peaks[1] / 1e9),
    ]
    return 1 if finish("memory", figures, args.quick) and args.gate else 0


if __name__ == "__main__":
    sys.exit(main())
