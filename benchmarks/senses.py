"""What each further sense adds, in processor seconds per minute of video, and what a dataset costs without any.

    python -m benchmarks.senses [--quick]

The videos are made (examples/sample_written.py): slides, which change every 8 s; and moving pictures with lower thirds, and tickers, whose
picture changes in every tick. Each set is extracted with the offline models four times: without further senses, with `subtitles`,
with `thumbnails`, with `ocr`. The cost of a sense is the difference to the run without it, whole processes measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from .measure import ROOT, run
from .results import Figure, finish

sys.path.insert(0, str(ROOT / "examples"))
from sample_written import SECONDS, make_written

SETS = {"slides": "slide", "moving": "lower_third", "tickers": "ticker"}
RUNS = {"none": (), **{name: ("--senses", f"+{name}") for name in ("subtitles", "thumbnails", "ocr")}}


def main() -> int:
    """Every set and sense; exit code 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one video of slides, without ocr: figures mean nothing")
    options = parser.parse_args()
    sets = {"slides": "slide_0"} if options.quick else SETS
    runs = {name: RUNS[name] for name in ("none", "subtitles")} if options.quick else RUNS
    cpu_s: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory(prefix="reelbeam-bench-senses-") as folder:
        made = Path(folder, "made")
        make_written(made, Path(folder, "work"), only="slide_0" if options.quick else "")
        for kind, begins in sets.items():
            bucket = Path(folder, kind)
            bucket.mkdir()
            files = [file.rename(bucket / file.name) for file in sorted(made.glob(f"{begins}*"))]
            minutes = sum(file.suffix in (".mp4", ".mkv") for file in files) * SECONDS / 60
            for name, flags in runs.items():
                command = ["-m", "reelbeam.pipeline.cli", "extract", str(bucket), str(Path(folder, f"{kind}-{name}"))]
                cost = run([*command, "--models", "offline", *flags], report=False)
                cpu_s[kind, name] = cost.cpu_s / minutes
    figures = [
        *(
            Figure.of(
                f"{kind}_none_cpu_s_per_min", f"{kind}: seconds a minute without further senses", cpu_s[kind, "none"]
            )
            for kind in sets
        ),
        *(
            Figure.of(
                f"{kind}_{name}_cpu_s_per_min",
                f"{kind}: seconds a minute that {name} adds",
                cpu_s[kind, name] - cpu_s[kind, "none"],
            )
            for kind in sets
            for name in runs
            if name != "none"
        ),
    ]
    finish("senses", figures, options.quick, seconds_a_video=SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
