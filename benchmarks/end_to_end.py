"""Compares `reelbeam` with the script a user would write, on the same videos with the same models, alternating.

    python -m benchmarks.end_to_end [--rounds 3] [--frames exact,reference,key] [--words] [--gate]

reelbeam runs with each value of its option `--frames`. Every run is a fresh process with a fresh output. Ratios are taken
within a round, so that a machine that is busy for minutes slows both sides; the median over rounds is what counts. Whole wall time is
compared: interpreter, imports and loading of models included.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import measure, media, weights
from .measure import WORK, Cost
from .results import Figure, finish

GATES = {
    "exact": {"naive batch 1": 2.3, "naive batch 16": 2.0},
    "reference": {"naive batch 1": 2.8, "naive batch 16": 2.4},
    "key": {"naive batch 1": 3.8, "naive batch 16": 3.2},
}
"""Least median ratio of whole wall times, naive script to reelbeam, by its option `--frames`."""

STAGES = (
    "start",
    "load models",
    "plan",
    "decode",
    "CLIP",
    "Whisper",
    "sound",
    "text",
    "rows and files",
    "index",
    "rest",
)
"""In wall time. `start` is interpreter and imports. In reelbeam decoders, CLIP and Whisper run beside each other, and these three are
what the line waited for each. `CLIP` includes preprocessing."""

MODELS = ("decode", "CLIP", "Whisper")
NOT_STEADY = ("start", "load models")


@dataclass(frozen=True)
class Inputs:
    """What both contenders are given."""

    videos: Path
    media_s: float
    clip: Path
    """A folder with open_clip_config.json and weights."""
    whisper: Path
    models: str
    """The same models, as `reelbeam --models` takes them."""


def full_inputs() -> Inputs:
    """330 s of video, ViT-B/32 with random weights, Whisper tiny.en."""
    media.videos()
    models, whisper = weights.models_file(), weights.whisper_file()
    return Inputs(media.FOLDER, sum(media.LENGTHS_S), weights.CLIP_FOLDER, whisper, str(models))


def quick_inputs() -> Inputs:
    """One short sample video and the offline models: shows that the benchmark runs; its ratios mean nothing."""
    folder = fresh(WORK / "quick_videos")
    folder.mkdir(parents=True)
    shutil.copy(measure.ROOT / "examples" / "sample_bucket" / "desk.mp4", folder)
    return Inputs(folder, 25.0, measure.ROOT / "models" / "mini_clip", weights.whisper_file(), "offline")


@dataclass(frozen=True)
class Run:
    """One run of one contender."""

    wall_s: float
    cpu_s: float
    tree_bytes: int
    others_s: float
    """Processor seconds of the rest of the machine meanwhile."""
    stages: dict[str, float]
    """Seconds of each of STAGES; they add up to the wall time."""

    @property
    def steady_s(self) -> float:
        """Wall time without interpreter start and loading of models."""
        return self.wall_s - sum(self.stages[name] for name in NOT_STEADY)

    def overhead(self, steady: bool) -> float:
        """Share of the time that is neither decode nor CLIP nor Whisper."""
        whole = self.steady_s if steady else self.wall_s
        return 1 - sum(self.stages[name] for name in MODELS) / whole


def run_of(costs: Sequence[Cost], stages: dict[str, float]) -> Run:
    """A run out of its processes; what no stage explains is `rest`."""
    wall_s = sum(cost.wall_s for cost in costs)
    known = {name: stages.get(name, 0.0) for name in STAGES}
    known["rest"] = wall_s - sum(known.values())
    return Run(
        wall_s,
        sum(cost.cpu_s for cost in costs),
        max(cost.tree_bytes for cost in costs),
        sum(cost.others_s for cost in costs),
        known,
    )


def naive(inputs: Inputs, batch: int, words: bool = False) -> Run:
    """The naive script, once."""
    output = fresh(WORK / "naive_output")
    arguments = [
        str(inputs.videos),
        str(output),
        "--clip",
        str(inputs.clip),
        "--whisper",
        str(inputs.whisper),
    ]
    flags = ["--batch", str(batch), *(["--words"] if words else [])]
    cost = measure.run(["-m", "benchmarks.naive", *arguments, *flags])
    took = cost.report["seconds"]
    return run_of(
        [cost],
        {
            "start": took["start"],
            "load models": took["load"],
            "decode": took["decode"],
            "CLIP": took["preprocess"] + took["clip"],
            "Whisper": took["whisper"],
            "sound": took["sound"],
            "rows and files": took["write"],
            "index": took["index"],
        },
    )


def called(frames: str) -> str:
    """Name of reelbeam as a contender.

    >>> called("exact"), called("key")
    ('reelbeam', 'reelbeam, key')
    """
    return "reelbeam" if frames == "exact" else f"reelbeam, {frames}"


def reelbeam(inputs: Inputs, frames: str = "exact") -> Run:
    """`reelbeam nightly`, once: what is extracted, indexed and verified by one process."""
    output = fresh(WORK / "reelbeam_output")
    flags = ["--models", inputs.models, "--fuse", "none", "--frames", frames]  # the naive script fuses nothing
    profile = WORK / "reelbeam_profile.json"
    command = ["-m", "reelbeam.pipeline.cli", "nightly", str(inputs.videos), str(output), "--profile", str(profile)]
    night = measure.run([*command, *flags], report=False)
    report = json.loads(profile.read_text())
    took, counted = report["phases"], report["stages"]

    def of(stage: str, counter: str = "busy_ms") -> float:
        return counted.get(stage, {}).get(counter, 0) / 1000

    return run_of(
        [night],
        {
            "start": report["start_s"],
            "load models": took["prepare"] + took["wait_for_models"],
            "plan": took["plan"] + of("probe"),
            "decode": of("decode", "wait_ms"),
            "CLIP": of("embed_frames", "wait_ms"),
            "Whisper": of("transcribe", "wait_ms"),
            "sound": of("measure_audio"),
            "text": of("embed_text"),
            "rows and files": of("align") + of("write_shards") + took["commit"],
            "index": took["index"],
        },
    )


def fresh(folder: Path) -> Path:
    """The same path with nothing there."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def ratios(
    runs: dict[str, list[Run]], name: str, seconds: Callable[[Run], float], own: str = "reelbeam"
) -> list[float]:
    """How many times as long a contender took as reelbeam, round by round."""
    return [seconds(other) / seconds(one) for other, one in zip(runs[name], runs[own], strict=True)]


def spread(values: Sequence[float], digits: int = 1) -> str:
    """
    >>> spread([3.0, 1.0, 2.0])
    '2.0 (1.0-3.0)'
    """
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(runs: dict[str, list[Run]], media_s: float) -> str:
    """Everything that was measured, as Markdown: median (lowest-highest)."""
    own = [name for name in runs if name.startswith("reelbeam")]
    others = [name for name in runs if name not in own]
    lines = [["seconds", *runs]]
    for stage in STAGES:
        lines.append([stage, *(spread([run.stages[stage] for run in runs[name]]) for name in runs)])
    lines += [
        ["**whole process**", *(spread([run.wall_s for run in runs[name]]) for name in runs)],
        ["without start and load", *(spread([run.steady_s for run in runs[name]]) for name in runs)],
        ["processor seconds", *(spread([run.cpu_s for run in runs[name]]) for name in runs)],
        ["processor seconds of others meanwhile", *(spread([run.others_s for run in runs[name]]) for name in runs)],
        ["x realtime, whole", *(spread([media_s / run.wall_s for run in runs[name]]) for name in runs)],
        [
            "x realtime, without start and load",
            *(spread([media_s / run.steady_s for run in runs[name]]) for name in runs),
        ],
        [
            "peak memory of all processes, GB",
            *(spread([run.tree_bytes / 1e9 for run in runs[name]], 2) for name in runs),
        ],
        [
            "share beside decode, CLIP, Whisper, %",
            *(spread([100 * run.overhead(False) for run in runs[name]]) for name in runs),
        ],
        [
            "the same without start and load, %",
            *(spread([100 * run.overhead(True) for run in runs[name]]) for name in runs),
        ],
    ]
    for one in own:
        for what, seconds in (("**times {}, whole process**", _wall), ("times {}, without start and load", _steady)):
            cells = [spread(ratios(runs, name, seconds, one), 2) for name in others]
            lines.append([what.format(one), *cells, *("1" if name == one else "" for name in own)])
    lines.insert(1, ["---"] * (len(runs) + 1))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _wall(run: Run) -> float:
    return run.wall_s


def _steady(run: Run) -> float:
    return run.steady_s


def main() -> int:
    """Prepares, runs, prints; 1 when `--gate` is given and a ratio is under its gate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contender (default: 3)")
    parser.add_argument(
        "--words", action="store_true", help="add a naive script that asks Whisper for the times of words"
    )
    parser.add_argument("--frames", default=",".join(GATES), help="values of reelbeam's --frames (default: all)")
    parser.add_argument("--gate", action="store_true", help="exit 1 when a median ratio is under its gate")
    parser.add_argument("--quick", action="store_true", help="one short video, one round: only whether it runs")
    args = parser.parse_args()
    inputs = quick_inputs() if args.quick else full_inputs()
    contenders: dict[str, Callable[[], Run]] = {
        "naive batch 1": lambda: naive(inputs, 1),
        "naive batch 16": lambda: naive(inputs, 16),
    }
    if args.words:
        contenders["naive batch 16, words"] = lambda: naive(inputs, 16, words=True)
    chosen = args.frames.split(",")
    for frames in chosen:
        contenders[called(frames)] = functools.partial(reelbeam, inputs, frames)

    for path in inputs.videos.iterdir():
        path.read_bytes()  # everybody finds the files in the page cache
    print(
        f"{inputs.media_s:g} s of video, 1 frame a second, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(1 if args.quick else args.rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            runs[name].append(contenders[name]())
            print(
                f"round {number + 1}: {name}: {runs[name][-1].wall_s:.1f} s, others {runs[name][-1].others_s:.1f} s",
                flush=True,
            )
    (WORK / "end_to_end.json").write_text(
        json.dumps({name: [vars(run) for run in found] for name, found in runs.items()}, indent=1)
    )
    print(f"\n{table(runs, inputs.media_s)}\n")
    figures = [
        Figure.of(
            f"{'' if frames == 'exact' else frames + '_'}over_{name.split(' ', 1)[1].replace(' ', '_')}",
            f"{name}, times {called(frames)}",
            ratios(runs, name, _wall, called(frames)),
            least,
        )
        for frames in chosen
        for name, least in GATES[frames].items()
    ]
    if "exact" not in chosen:
        return int(bool(finish("end_to_end", figures, True)) and args.gate)
    figures += [
        Figure.of(
            "x_realtime",
            "reelbeam, media seconds per second",
            [inputs.media_s / run.wall_s for run in runs["reelbeam"]],
        ),
        Figure.of("reelbeam_s", "reelbeam, seconds", [run.wall_s for run in runs["reelbeam"]]),
        Figure.of("reelbeam_processor_s", "reelbeam, processor seconds", [run.cpu_s for run in runs["reelbeam"]]),
        Figure.of(
            "overhead_share",
            "reelbeam, share of all but decode, CLIP and Whisper, without start and load",
            [run.overhead(True) for run in runs["reelbeam"]],
            at_most=0.1,
        ),
    ]
    missed = finish("end_to_end", figures, args.quick, media_s=inputs.media_s, table=table(runs, inputs.media_s))
    return 1 if args.gate and missed else 0


if __name__ == "__main__":
    sys.exit(main())
