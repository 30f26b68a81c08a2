"""Many ten-second clips: `reelbeam extract`, with one worker a core and in one process, beside the naive script over the same
clips with the same models, alternating.

    python -m benchmarks.short_clips [--clips 200] [--rounds 3]

What a process costs once (imports, models) and what each video costs once (probing, starting a decoder) count as they do for a
user: whole processes are timed, each with a fresh output. The naive script is benchmarks/naive.py with batches of 16.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from . import measure, weights
from .clips import clips
from .measure import ROOT, WORK, Cost
from .results import Figure, finish

WAVES_PER_WORKER = 4
"""As the docs advise for a small bucket."""


def reelbeam(bucket: Path, flags: Sequence[str] = ()) -> Cost:
    """`reelbeam extract` with the offline models, once."""
    output = WORK / "short_clips" / "reelbeam"
    shutil.rmtree(output, ignore_errors=True)
    command = ["-m", "reelbeam.pipeline.cli", "extract", str(bucket), str(output), "--models", "offline"]
    return measure.run([*command, *flags], report=False)


def workers(bucket: Path) -> Cost:
    """The same with one worker a core."""
    wave = max(1, len(list(bucket.iterdir())) // (WAVES_PER_WORKER * (os.cpu_count() or 1)))
    return reelbeam(bucket, ["--workers", "auto", "--wave-videos", str(wave)])


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
    costs: dict[str, list[Cost]] = {run.__name__: [] for run in (workers, reelbeam, naive)}
    for number in range(rounds):
        for run in (workers, reelbeam, naive)[:: 1 if number % 2 == 0 else -1]:
            costs[run.__name__].append(cost := run(bucket))
            print(f"round {number + 1}: {run.__name__}: {cost.wall_s:.1f} s, others {cost.others_s:.1f} s", flush=True)
    many, one, script = costs.values()

    def over(fast: list[Cost]) -> list[float]:
        return [slow.wall_s / quick.wall_s for slow, quick in zip(script, fast, strict=True)]

    figures = [
        Figure.of(
            "clips_per_s", "clips per second, one worker a core", [count / cost.wall_s for cost in many], at_least=7
        ),
        Figure.of("over_naive", "naive script, times reelbeam with one worker a core", over(many), at_least=3),
        Figure.of("single_clips_per_s", "clips per second, one process", [count / cost.wall_s for cost in one]),
        Figure.of("single_over_naive", "naive script, times reelbeam in one process", over(one)),
        Figure.of(
            "cpu_s_per_clip",
            "processor seconds per clip, workers, start included",
            [cost.cpu_s / count for cost in many],
        ),
        Figure.of("single_cpu_s_per_clip", "one process, the same", [cost.cpu_s / count for cost in one]),
        Figure.of("naive_cpu_s_per_clip", "naive script, the same", [cost.cpu_s / count for cost in script]),
        Figure.of("tree_gb", "memory of launcher and workers, GB", [cost.tree_bytes / 1e9 for cost in many]),
    ]
    missed = finish(
        "short_clips",
        figures,
        options.quick,
        clips=count,
        others_s=[cost.others_s for kept in costs.values() for cost in kept],
    )
    return 0 if options.quick else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
