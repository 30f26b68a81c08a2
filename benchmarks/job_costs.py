"""Checks `reelbeam plan` against real runs: processor seconds of buckets of different sizes, against what the plan says.

    python -m benchmarks.job_costs [--clips 40]

Three runs with the offline models: short clips, three times as many, and four videos of 720p30, 330 s in all.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from reelbeam.pipeline.views import PlanOptions
from reelbeam.pipeline.views.job_costs import FRAME_S, WORKER_S, extraction_s

from .clips import SECONDS, clips
from .measure import WORK, run
from .media import FOLDER, LENGTHS_S, videos
from .results import Figure, finish


def measured_s(bucket: Path) -> float:
    """Processor seconds of `reelbeam extract` over a bucket, with everything that it starts."""
    output = WORK / "job_costs"
    shutil.rmtree(output, ignore_errors=True)
    command = ["-m", "reelbeam.pipeline.cli", "extract", str(bucket), str(output), "--models", "offline"]
    return run(command, report=False).cpu_s


def main() -> int:
    """Prints each run; exit code 1 where the plan is off by more than a quarter."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few clips: figures mean nothing")
    parser.add_argument("--clips", type=int, default=40)
    options = parser.parse_args()
    count = 2 if options.quick else options.clips
    small, large = PlanOptions(height=360, fps=25, frame_s=FRAME_S), PlanOptions(frame_s=FRAME_S)
    runs = [(clips(many), many, many * SECONDS, small) for many in (count, 3 * count)]
    if not options.quick:
        videos()
        runs.append((FOLDER, len(LENGTHS_S), sum(LENGTHS_S), large))
    ratios = []
    for bucket, many, media_s, plan in runs:
        found, said = measured_s(bucket), extraction_s(many, media_s, plan) + WORKER_S
        ratios.append(said / found)
        print(f"{many} videos, {media_s} s: {found:.1f} processor seconds, planned {said:.1f}", flush=True)
    worst = max(max(ratio, 1 / ratio) for ratio in ratios)
    figures = [
        Figure.of("worst", "planned against measured processor seconds, the worst of three runs", worst, at_most=1.25),
        Figure.of("ratios", "planned over measured", ratios),
    ]
    missed = finish("job_costs", figures, options.quick)
    return 0 if options.quick else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
