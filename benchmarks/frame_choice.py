"""What `--frames reference` and `key` cost in retrieval: the share of the sample bucket's queries whose first moment is right.

    python -m benchmarks.frame_choice

The bucket is extracted and indexed once with each value, with the offline models. Decoding is exact, so one run is enough.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .measure import ROOT, WORK, run
from .results import Figure, finish

SAMPLES = ROOT / "examples" / "sample_bucket"
FRAMES = ("exact", "reference", "key")
MOST_POINTS_BEHIND = 1.0
"""Wanted of `reference`: at most this much of the share below `exact`."""


def bucket(videos: int) -> Path:
    """The sample bucket, or a folder with copies of its first videos that have queries."""
    if not videos:
        return SAMPLES
    folder = WORK / "frame_choice" / f"videos-{videos}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("desk.mp4", "farm.mp4", "space.mp4")[:videos]:
        shutil.copy(SAMPLES / name, folder)
    return folder


def made(videos: Path, frames: str) -> tuple[Path, float]:
    """A fresh dataset with an index, and the processor seconds of its extraction."""
    output = WORK / "frame_choice" / frames
    shutil.rmtree(output, ignore_errors=True)
    program = ["-m", "reelbeam.pipeline.cli"]
    extract = [*program, "extract", str(videos), str(output), "--models", "offline", "--frames", frames]
    cost = run(extract, report=False)
    run([*program, "index", str(output)], report=False)
    return output, cost.cpu_s


def right_first(output: Path, queries: Sequence[dict[str, Any]]) -> float:
    """The share of queries whose first moment lies in a moment of their truth."""
    from reelbeam.pipeline.dataset import Dataset
    from reelbeam.pipeline.search import FrameIndex, SearchOptions, query_vector

    index = FrameIndex(Dataset.open(str(output)))
    found = 0
    for query in queries:
        [best] = index.search(query_vector(index, query["text"], SearchOptions(k=1)), 1)
        found += any(
            Path(best.uri).name == true["file"] and best.start_ms < true["end_ms"] and best.end_ms > true["start_ms"]
            for true in query["moments"]
        )
    return found / len(queries)


def main() -> int:
    """Each value of `--frames` once; exit code 1 where `reference` finds less than wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three videos: figures mean nothing")
    options = parser.parse_args()
    videos = bucket(3 if options.quick else 0)
    there = {file.name for file in videos.iterdir()}
    queries = [
        query
        for query in json.loads((SAMPLES / "truth.json").read_text())["queries"]
        if query["kind"] == "frame" and any(true["file"] in there for true in query["moments"])
    ]
    shares, costs = {}, {}
    for frames in FRAMES:
        output, costs[frames] = made(videos, frames)
        shares[frames] = right_first(output, queries)
    behind = 100 * (shares["exact"] - shares["reference"])
    figures = [
        *(Figure.of(f"{one}_right_first", f"--frames {one}: share right at first", shares[one]) for one in FRAMES),
        Figure.of(
            "reference_behind_points",
            "--frames reference: points of that share below exact",
            behind,
            at_most=MOST_POINTS_BEHIND,
        ),
        *(Figure.of(f"{one}_cpu_s", f"--frames {one}: processor seconds of extract", costs[one]) for one in FRAMES),
    ]
    missed = finish("frame_choice", figures, options.quick, queries=len(queries))
    return 0 if options.quick else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
