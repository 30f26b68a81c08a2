"""Many ten-second clips: `reelbeam extract` beside the naive script over the same clips with the same models, alternating.

    python -m benchmarks.short_clips [--clips 200] [--rounds 3]

What a process costs once (imports, models) and what each video costs once (probing, starting a decoder) count as they do for a
user: whole processes are timed, each with a fresh output. The naive script is benchmarks/naive.py with batches of 16.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from . import measure, weights
from .clips import clips
from .measure import ROOT, WORK, Cost
from .results import Figure, finish


def reelbeam(bucket: Path) -> Cost:
    """`reelbeam extract` with the offline models, once."""
    output = WORK / "short_clips" / "reelbeam"
    shutil.rmtree(output, ignore_errors=True)
    command = ["-m", "reelbeam.pipeline.cli", "extract", str(bucket), str(output), "--models", "offline"]
    return measure.run(command, report=False)


def naive(bucket: Path) -> Cost:
    """The naive script with the same CLIP and Whisper, once."""
    output = WORK / "short_clips" / "naive"
    shutil.rmtree(output, ignore_errors=True)
    models = ["--clip", str(ROOT / "models" / "mini_clip"), "--whisper", str(weights.whisper_file())]
    return measure.run(["-m", "benchmarks.naive", str(bucket), str(output), *models, "--batch", "16"])


def main() -> int:
    """Alternating rounds; exit code 1 where a figure is not as wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four clips, one round: figures mean nothing")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    count, rounds = (4, 1) if options.quick else (options.clips, options.rounds)
    bucket = clips(count)
    (WORK / "short_clips").mkdir(parents=True, exist_ok=True)
    for path in bucket.iterdir():
        path.read_bytes()  # both find the files in the page cache
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for number in range(rounds):
        for run, found in ((reelbeam, ours), (naive, theirs))[:: 1 if number % 2 == 0 else -1]:
            found.append(run(bucket))
            print(f"round {number + 1}: {run.__name__}: {found[-1].wall_s:.1f} s, others {found[-1].others_s:.1f} s")
    ratios = [slow.wall_s / fast.wall_s for slow, fast in zip(theirs, ours, strict=True)]
    figures = [
        Figure.of("clips_per_s", "clips per second, one process", [count / one.wall_s for one in ours], at_least=7),
        Figure.of("over_naive", "naive script, times reelbeam", ratios, at_least=3),
        Figure.of("cpu_s_per_clip", "processor seconds per clip, start included", [one.cpu_s / count for one in ours]),
        Figure.of("naive_cpu_s_per_clip", "naive script, the same", [one.cpu_s / count for one in theirs]),
        Figure.of("tree_gb", "memory of all processes, GB", [one.tree_bytes / 1e9 for one in ours]),
    ]
    missed = finish(
        "short_clips", figures, options.quick, clips=count, others_s=[one.others_s for one in ours + theirs]
    )
    return 0 if options.quick else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
