"""What decoding costs beside the bare ffmpeg command, over processes, and for a unit in the middle of a long file.

python -m benchmarks.decode [--rounds 3] [--gate]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reelbeam.models.preprocessing import square
from reelbeam.schemas.elements import SAMPLE_RATE_HZ, Grid, Unit, Video
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.discover import plan_units
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.probe import probe_file
from reelbeam.transforms.small_pictures import HEIGHT, WIDTH

from . import media
from .measure import ROOT, WORK
from .results import Figure, finish

SIZE = 224
LONG_S = 1800
SOUND = ("-ac", "1", "-ar", str(SAMPLE_RATE_HZ), "-f", "f32le")
GATES = {
    "over bare ffmpeg": {"at_most": 1.05},
    "two processes": {"at_least": 1.8},
    "a unit in the middle": {"at_most": 1.3},
}


def units(path: Path, unit_windows: int) -> list[Unit]:
    """A file's units of so many windows of 10 s."""
    stat = path.stat()
    return plan_units(Video("0" * 16, str(path), stat.st_size, ""), probe_file(path), Grid(), unit_windows)


def ours(unit: Unit) -> None:
    """Frames, times, shots and samples, as the pipeline decodes them."""
    decoded, failures = decode_unit(unit, file_url(Path(unit.video.uri)), Grid(), square(SIZE), DecodeLimits(nice=0))
    assert decoded is not None
    assert not failures


def bare(path: Path, start_s: float = 0, length_s: float = 1e6) -> None:
    """The same filters in ffmpeg alone: frames, small pictures for shots, sound. Its output is thrown away; no guard, no pipes to
    read, no search for shots in the pictures. The first `scale` is there for a reason: without it ffmpeg turns every frame into
    RGB, not only those of ticks."""
    pictures = (
        f"[0:v]split[a][b];[a]fps=1,scale=flags=bicubic:interl=0,format=rgb24,scale=-2:{SIZE}:flags=bicubic+full_chroma_inp+full_chroma_int+accurate_rnd,"
        f"format=rgb24,crop={SIZE}:{SIZE}[x];[b]scale={WIDTH}:{HEIGHT}:flags=area,format=yuv420p[y]"
    )
    command = ["ffmpeg", "-nostdin", "-v", "error", "-filter_threads", "1", "-threads", "1", "-ss", str(start_s)]
    command += [
        "-t",
        str(length_s),
        "-i",
        str(path),
        "-filter_complex",
        pictures,
        "-map",
        "[x]",
        "-f",
        "rawvideo",
        "pipe:1",
    ]
    command += ["-map", "[y]", "-f", "rawvideo", "/dev/null", "-map", "0:a", *SOUND, "/dev/null", "-y"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def took_s(work: Callable[[], object]) -> float:
    """Wall time."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def long_file(first: Path, length_s: int) -> Path:
    """A long video: one of the set again and again, not encoded anew."""
    path = WORK / f"long_{length_s}.mp4"
    if not path.exists():
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-y",
            "-stream_loop",
            "-1",
            "-i",
            str(first),
            "-c",
            "copy",
            "-t",
            str(length_s),
        ]
        subprocess.run([*command, str(path)], check=True)
    return path


def main() -> int:
    """Prints the ratios; 1 when `--gate` is given and one is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gate", action="store_true", help="exit 1 when a ratio is missed")
    parser.add_argument("--quick", action="store_true", help="short videos, one round: only whether it runs")
    args = parser.parse_args()
    sample = ROOT / "examples" / "sample_bucket" / "desk.mp4"
    paths = [sample, sample] if args.quick else media.videos()
    rounds, long = (1, long_file(sample, 180)) if args.quick else (args.rounds, long_file(paths[0], LONG_S))
    whole = [unit for path in paths for unit in units(path, 1000)]
    cut = units(long, 6)
    middle = cut[len(cut) // 2]
    found: dict[str, list[float]] = {name: [] for name in GATES}

    def both(workers: int) -> float:
        with ThreadPoolExecutor(workers) as pool:
            return took_s(lambda: list(pool.map(ours, whole[:2])))

    for _ in range(rounds):
        found["over bare ffmpeg"].append(took_s(lambda: ours(whole[0])) / took_s(lambda: bare(paths[0])))
        found["two processes"].append(both(1) / both(2))
        found["a unit in the middle"].append(
            took_s(lambda: ours(middle)) / took_s(lambda: bare(long, middle.start_ms / 1000, 60))
        )
    figures = [
        Figure.of(name.replace(" ", "_"), f"decode, {name}", found[name], **bound) for name, bound in GATES.items()
    ]
    return 1 if finish("decode", figures, args.quick) and args.gate else 0


if __name__ == "__main__":
    sys.exit(main())
