"""Shot detectors on videos whose boundaries are known: precision, recall, F1 and processor seconds per minute of video.

    python -m benchmarks.shots [--seeds 6] [--half unseen|tuning] [--clips FOLDER] [--transnet] [--media FOLDER] [--quick]

Clips come from `shots_truth.py`: nine classes, some seeds each, five boundaries a clip. Thresholds were chosen on the tuning half
(even seeds). A boundary is found where a detector cuts from TOLERANCE_S before its first changed frame to TOLERANCE_S after the first
wholly new one; a second cut there is a false one. Processor seconds hold decoding too, by ffmpeg or OpenCV. `--media` counts the
cuts in real files, whose truth nobody wrote down. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from reelbeam.models.preprocessing import square
from reelbeam.schemas.elements import Grid, Video
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.decode_command import NO_SHOTS, SCENE, ShotSearch
from reelbeam.transforms.discover import plan_units
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.probe import probe_file

from .measure import ROOT, WORK
from .results import Figure, finish
from .shots_truth import CLASSES, Boundary, write_clip

TOLERANCE_S = 0.2
"""Two frames and a half at 12 frames per second, the slowest clips."""

WANTED_F1 = 0.9
FIRST_SEED = {"tuning": 0, "unseen": 1}
REAL = (
    "PySceneDetect/testvideo.mp4",
    "cosmos-curate/test_clip_10s.mp4",
    "gcp-python-samples/describe_video_content.mp4",
    "intel-sample-videos/car-detection.mp4",
    "moviepy/big_buck_bunny_0_30.webm",
    "moviepy/chaplin.mp4",
    "mp4parser/count-video.mp4",
    "subsai/test1.webm",
    "torchcodec/nasa_13013.mp4",
)

Found = Callable[[Path], list[float]]


def by_reelbeam(name: str) -> Found:
    """Seconds at which shots start, as the decode pass finds them; with NO_SHOTS what decoding costs without."""

    def cuts(path: Path) -> list[float]:
        probe, grid = probe_file(path), Grid()
        video = Video("0" * 16, str(path), path.stat().st_size, "")
        found: list[float] = []
        for unit in plan_units(video, probe, grid, 12):
            limits = DecodeLimits(ShotSearch(name))
            decoded, _ = decode_unit(unit, file_url(path), grid, square(32), limits)
            found += [at / 1000 for at in decoded.cuts_ms.tolist() if at > 0] if decoded else []
        return found

    return cuts


def by_scenedetect(name: str) -> Found:
    """Seconds at which PySceneDetect's detector of that name, with its defaults, starts new scenes."""
    import scenedetect

    logging.getLogger("pyscenedetect").setLevel(logging.ERROR)

    def cuts(path: Path) -> list[float]:
        scenes = scenedetect.detect(str(path), getattr(scenedetect, name)())
        return [start.seconds for start, _ in scenes[1:]]

    return cuts


def hits(found: Sequence[float], truth: Sequence[Boundary]) -> int:
    """How many boundaries have a cut of their own.

    >>> hits([1.0, 1.1, 5.0], [Boundary(1.0, 1.0), Boundary(3.0, 4.0)])
    1
    """
    left, count = sorted(found), 0
    for one in truth:
        near = [at for at in left if one.start_s - TOLERANCE_S <= at <= one.end_s + TOLERANCE_S]
        if near:
            left.remove(near[0])
            count += 1
    return count


def scores(counts: Counter[str]) -> dict[str, float]:
    """Precision, recall and F1 of counted hits, cuts and boundaries; a detector that cuts nowhere has precision 0."""
    hit, cuts, boundaries = counts["hits"], counts["cuts"], counts["boundaries"]
    return {
        "precision": round(hit / max(1, cuts), 3),
        "recall": round(hit / max(1, boundaries), 3),
        "f1": round(2 * hit / max(1, cuts + boundaries), 3),
    }


def cpu_s() -> float:
    """Processor seconds of this process and its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def clip(kind: str, seed: int, folder: Path) -> tuple[Path, list[Boundary]]:
    """A clip and its boundaries; made where it is not there yet."""
    path = folder / f"{kind}-{seed}.mp4"
    known = path.with_suffix(".json")
    if not known.exists():
        folder.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps([(one.start_s, one.end_s) for one in write_clip(kind, seed, path)]))
    return path, [Boundary(*pair) for pair in json.loads(known.read_text())]


def detectors(transnet: bool) -> dict[str, Found]:
    """All that are compared, by the name in the table."""
    found = {"none": by_reelbeam(NO_SHOTS), "adaptive": by_reelbeam("adaptive"), "scene": by_reelbeam(SCENE)}
    if transnet:
        found["transnet"] = by_reelbeam("transnet")
    if find_spec("scenedetect"):
        for name in ("AdaptiveDetector", "ContentDetector", "ThresholdDetector"):
            found[f"PySceneDetect {name}"] = by_scenedetect(name)
    return found


def main() -> int:
    """Prints a table and one JSON object; 1 where the default misses what is wanted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shots")
    parser.add_argument("--seeds", type=int, default=6, help="clips of each class")
    parser.add_argument("--half", choices=sorted(FIRST_SEED), default="unseen")
    parser.add_argument("--clips", type=Path, default=WORK / "shots", help="where clips are kept")
    parser.add_argument("--transnet", action="store_true", help="TransNetV2 too: minutes of processor time")
    parser.add_argument("--media", type=Path, default=ROOT.parent / "shared" / "media")
    parser.add_argument("--quick", action="store_true", help="one clip of two classes")
    args = parser.parse_args()
    kinds, seeds = (("cut", "dissolve"), 1) if args.quick else (CLASSES, args.seeds)
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    spent: Counter[str] = Counter()
    minutes, compared = 0.0, detectors(args.transnet)
    for kind in kinds:
        for seed in range(FIRST_SEED[args.half], 2 * seeds, 2):
            path, truth = clip(kind, seed, args.clips)
            minutes += probe_file(path).duration_ms / 60_000
            for name, find in compared.items():
                before = cpu_s()
                cuts = find(path)
                spent[name] += cpu_s() - before  # type: ignore[assignment]
                for column in (kind, "all"):
                    counts[name][column].update(hits=hits(cuts, truth), cuts=len(cuts), boundaries=len(truth))
        print(kind, {name: scores(counts[name][kind])["f1"] for name in compared}, flush=True)
    real = (
        {} if args.quick else {name: media_cuts(find, args.media) for name, find in compared.items() if name != "none"}
    )
    report = {
        "half": args.half,
        "boundaries": counts["adaptive"]["all"]["boundaries"],
        "minutes": round(minutes, 1),
        "cpu_s_per_minute": {name: round(spent[name] / minutes, 2) for name in compared},
        "scores": {n: {k: scores(c) for k, c in counts[n].items()} for n in compared if n != "none"},
        "cuts_in_real_files": real,
    }
    lines = table(report, kinds)
    print("\n".join(lines))
    ours, theirs = (report["scores"].get(name, {}) for name in ("adaptive", "PySceneDetect AdaptiveDetector"))
    spent_s = report["cpu_s_per_minute"]
    figures = [Figure.of("f1", "adaptive, F1 over all classes", ours["all"]["f1"], at_least=WANTED_F1)]
    figures += [
        Figure.of(f"f1_{kind}", f"adaptive, F1 of {kind}", ours[kind]["f1"], at_least=theirs.get(kind, {}).get("f1"))
        for kind in kinds
    ]
    figures.append(
        Figure.of(
            "over_scene_s_per_minute",
            "adaptive, processor seconds per minute of video beyond those of scene",
            spent_s["adaptive"] - spent_s["scene"],
        )
    )
    missed = finish("shots", figures, args.quick, table="\n".join(lines[:-1]), **report)
    return int(not args.quick and missed > 0)


def media_cuts(find: Found, folder: Path) -> dict[str, int]:
    """Cuts found in each real file that is at hand."""
    return {name: len(find(folder / name)) for name in REAL if (folder / name).exists()}


def table(report: dict[str, Any], kinds: Sequence[str]) -> list[str]:
    """The Markdown table of F1 by class, precision and recall over all, and cost."""
    lines = [f"| F1 | {' | '.join(kinds)} | all | precision | recall | CPU s/min |", "|---" * (len(kinds) + 5) + "|"]
    for name, each in report["scores"].items():
        shown = [f"{each[kind]['f1']:.2f}" for kind in (*kinds, "all")]
        shown += [f"{each['all'][part]:.2f}" for part in ("precision", "recall")]
        lines.append(f"| {name} | {' | '.join(shown)} | {report['cpu_s_per_minute'][name]:.1f} |")
    return [*lines, f"decoding alone: {report['cpu_s_per_minute']['none']:.1f} CPU s/min"]


if __name__ == "__main__":
    sys.exit(main())
