"""Measures what short commands cost before they answer: processor seconds of `--help`, `status` and `search`; and what a job costs
before it works: `extract` of one ten-second clip.

    python -m benchmarks.start

The dataset is the sample bucket's, extracted with the offline models and indexed, once; so is the clip with them. Each command is a
process of its own, started as a user does it. Processor seconds (user and system) hardly depend on what else the machine does; wall time
would.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from .clips import clips
from .measure import ROOT, WORK, Cost, run
from .results import Figure, finish

SAMPLES = ROOT / "examples" / "sample_bucket"
QUERY = "a dog on the beach"

COMMANDS: dict[str, tuple[str, list[str], float | None]] = {
    "help": ("reelbeam --help", ["--help"], None),
    "status": ("reelbeam status", ["status", "OUTPUT"], 0.5),
    "search_frames": ("reelbeam search", ["search", "OUTPUT", QUERY], 2.0),
    "search_phrase": ("reelbeam search --phrase", ["search", "OUTPUT", "the", "--phrase"], None),
    "search_speech": ("reelbeam search --in speech", ["search", "OUTPUT", QUERY, "--in", "speech"], None),
    "search_all": ("reelbeam search --in all", ["search", "OUTPUT", QUERY, "--in", "all"], None),
}
"""Key -> (what is shown, arguments, processor seconds wanted at most)."""


def dataset(videos: int) -> Path:
    """The features and index of the first videos of the sample bucket, made where they are missing; 0 is all of it."""
    output = WORK / "start" / f"features-{videos}"
    if (output / "snapshots").exists():
        return output
    bucket = SAMPLES
    if videos:
        bucket = WORK / "start" / f"videos-{videos}"
        bucket.mkdir(parents=True, exist_ok=True)
        for file in sorted(SAMPLES.glob("*.mp4"))[1 : videos + 1]:  # the first is cut short on purpose
            shutil.copy(file, bucket / file.name)
    program = ["-m", "reelbeam.pipeline.cli"]
    run([*program, "extract", str(bucket), str(output), "--models", "offline"], report=False)
    run([*program, "index", str(output)], report=False)
    return output


def extract_clip() -> Cost:
    """`reelbeam extract` of one ten-second clip into a new dataset."""
    output = WORK / "start" / "clip"
    shutil.rmtree(output, ignore_errors=True)
    extract = ["-m", "reelbeam.pipeline.cli", "extract", str(clips(1)), str(output), "--models", "offline"]
    return run(extract, report=False)


def main() -> int:
    """Each command several times; exit code 1 where one takes longer than wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one video, one round: figures mean nothing")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    output, times = dataset(1 if options.quick else 0), 1 if options.quick else options.rounds
    figures = []
    for name, (shown, arguments, at_most) in COMMANDS.items():
        command = ["-m", "reelbeam.pipeline.cli", *(str(output) if one == "OUTPUT" else one for one in arguments)]
        rounds = [run(command, report=False).cpu_s for _ in range(times)]
        figures.append(Figure.of(f"{name}_cpu_s", f"{shown}: processor seconds", rounds, at_most=at_most))
    jobs = [extract_clip() for _ in range(times)]
    what = "reelbeam extract of a ten-second clip"
    figures.append(Figure.of("extract_cpu_s", f"{what}: processor seconds", [job.cpu_s for job in jobs]))
    figures.append(Figure.of("extract_s", f"{what}: seconds", [job.wall_s for job in jobs]))
    missed = finish("start", figures, options.quick)
    return 0 if options.quick else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
