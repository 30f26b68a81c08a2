"""Indexes at a million made-up vectors: recall, time beside bare FAISS, memory, many nights.

    python -m benchmarks.index [--vectors 1000000] [--gate]
    python -m benchmarks.index --nights 100 --vectors 100000

Vectors lie around centres, as frames of scenes do: unit length, 512 numbers, 10,000 centres, noise of 0.7 of a centre's
length; text queries lie between two centres each. They are made in a stream and stored as the pipeline stores them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.dataset.vectors import count_vectors, frame_vectors
from reelbeam.pipeline.indexes.options import IndexOptions
from reelbeam.pipeline.indexes.update import run_index, update_index
from reelbeam.schemas.index_manifest import IndexManifest
from reelbeam.transforms.build_index import fill, new_index, sample, training_size
from reelbeam.transforms.index_kinds import choose_kind

from . import measure
from .measure import ROOT, WORK
from .results import Figure, finish

sys.path.insert(0, str(ROOT / "tests"))
from made_vectors import Clusters, MadeDataset

DIMENSION, TICKS, SHARD = 512, 10, 100_000
WORLD = Clusters(DIMENSION, 10_000, spread=0.7)
MEMORY_MB = 2048
BASE_BYTES = 700 << 20
"""What the process holds before it builds: interpreter, Beam, torch, FAISS."""
MOST_TIME, LEAST_RECALL, MOST_NIGHTS_TIME = 1.15, 0.95, 0.25


def between_centres(world: Clusters, wanted: int) -> np.ndarray:
    """Text queries float32 [wanted, D] lie between two centres, and near none of the vectors."""
    values = world.draw(wanted, seed=10**6) + world.draw(wanted, seed=10**6 + 1)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def encode(dataset: Dataset, wanted: int, device: str) -> np.ndarray:
    return between_centres(WORLD, wanted)


def made(vectors: int, name: str, world: Clusters = WORLD) -> MadeDataset:
    """A dataset of so many vectors, made anew."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    dataset = MadeDataset(folder, DIMENSION, TICKS)
    for at in range(0, vectors, SHARD):
        dataset.add([world.draw(min(SHARD, vectors - at), seed=at)])
    return dataset


class Anonymous:
    """The highest anonymous memory of this process: what a limit would refuse. Mapped files can be dropped at any time."""

    def __enter__(self) -> Anonymous:
        self.bytes, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.over.wait(0.05):
            status = Path("/proc/self/status").read_text()
            self.bytes = max(self.bytes, int(status.split("RssAnon:")[1].split()[0]) * 1024)

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()


def build_bare(root: str) -> dict[str, Any]:
    """What somebody would write with FAISS alone: the same factory string, training vectors, threads and pieces."""
    started, worked = time.monotonic(), time.process_time()
    dataset = Dataset.open(root)
    total = sum(count_vectors(dataset).values())
    kind = choose_kind(total, DIMENSION)
    _, training = sample(frame_vectors(dataset), total, training_size(kind, total, DIMENSION, MEMORY_MB << 19), seed=0)
    sampled = time.monotonic()
    index = new_index(kind, DIMENSION, training)
    trained = time.monotonic()
    fill(index, frame_vectors(dataset))
    faiss.write_index(index, str(Path(root, "bare.faiss")))
    ended = time.monotonic()
    return {
        "kind": kind,
        "s": ended - started,
        "sample_s": sampled - started,
        "train_s": trained - sampled,
        "fill_s": ended - trained,
        "processor_s": time.process_time() - worked,
    }


def build_ours(root: str) -> dict[str, Any]:
    """The same through the pipeline."""
    with Anonymous() as memory:
        started, worked = time.monotonic(), time.process_time()
        _, manifest = run_index(root, IndexOptions(device="cpu", memory_mb=MEMORY_MB), encode=encode)
        seconds, processor_s = time.monotonic() - started, time.process_time() - worked
    steps = manifest.seconds
    beside = sum(steps.get(step, 0.0) for step in ("exact", "measure", "encode_queries"))
    return {
        "s": seconds - beside,
        "processor_s": processor_s,
        "with_recall_s": seconds,
        "anonymous_bytes": memory.bytes,
        "manifest": json.loads(manifest.to_json()),
    }


def compare(vectors: int) -> bool:
    """Builds both ways in processes of their own, and says what was reached."""
    dataset = made(vectors, "index_million")
    bare = measure.run(["-m", "benchmarks.index", "--build", "bare", "--root", dataset.root])
    ours = measure.run(["-m", "benchmarks.index", "--build", "ours", "--root", dataset.root])
    manifest, b, o = IndexManifest.from_json(json.dumps(ours.report["manifest"])), bare.report, ours.report
    recalls = {name: one.recall for name, one in manifest.recall_at_10.items()}
    print(f"{vectors:,} vectors of {DIMENSION}: {manifest.kind}, nprobe {manifest.nprobe}")
    for point in manifest.by_nprobe:
        shown = ", ".join(
            f"{name} " + "/".join(f"{point.recalls[name][k].recall:.4f}" for k in (1, 10, 100)) for name in recalls
        )
        print(
            f"  nprobe {point.nprobe}: recall@1/10/100 {shown}; {point.latency_ms:.2f} ms a query, {point.batch_ms:.3f} in batches"
        )
    steps = ", ".join(f"{name} {b[f'{name}_s']:.1f}" for name in ("sample", "train", "fill"))
    print(f"bare FAISS {b['s']:.1f} s ({steps}); other processes took {bare.others_s:.1f} s of processor time")
    steps = ", ".join(f"{name} {value:.1f}" for name, value in manifest.seconds.items())
    print(
        f"pipeline {o['s']:.1f} s, {o['with_recall_s']:.1f} with recall ({steps}); "
        f"other processes took {ours.others_s:.1f} s of processor time"
    )
    print(
        f"processor time (the pipeline's with recall): bare FAISS {b['processor_s']:.1f} s, pipeline {o['processor_s']:.1f} s"
    )
    ratio, bound = o["s"] / b["s"], (MEMORY_MB << 20) + BASE_BYTES
    figures = [
        Figure.of("recall_at_10", "lowest recall@10", min(recalls.values()), at_least=LEAST_RECALL),
        Figure.of("over_bare_faiss", "build, times bare FAISS", ratio, at_most=MOST_TIME),
        Figure.of("anonymous_gb", "anonymous memory, GB", o["anonymous_bytes"] / 1e9, at_most=bound / 1e9),
        Figure.of("build_s", "build with recall measured, seconds", o["with_recall_s"]),
    ]
    missed = finish("index", figures, vectors < 1_000_000, vectors=vectors, kind=manifest.kind, nprobe=manifest.nprobe)
    return not missed


def nights(vectors: int, count: int) -> bool:
    """Each night 1% of new vectors, and half a percent of the videos go, for good. As many vectors a centre as the million has."""
    world = Clusters(DIMENSION, max(1, vectors * WORLD.centres // 1_000_000), WORLD.spread)
    dataset = made(vectors, "index_nights", world)

    def encode(dataset: Dataset, wanted: int, device: str) -> np.ndarray:
        return between_centres(world, wanted)

    options = IndexOptions(device="cpu", memory_mb=MEMORY_MB)
    started = time.monotonic()
    _, manifest = run_index(dataset.root, options, encode=encode)
    rebuild_s, updates_s, worst, whys = time.monotonic() - started, 0.0, 1.0, []
    rng = np.random.default_rng(0)
    for night in range(count):
        videos = dataset.videos()
        dataset.remove(set(rng.choice(videos, max(1, len(videos) // 200), replace=False).tolist()))
        dataset.tidy()  # deleted videos leave their shards in the same night, and so their vectors leave the lists
        dataset.add([world.draw(int(manifest.vectors * 0.01) // TICKS * TICKS, seed=10**7 + night)])
        started = time.monotonic()
        _, manifest = update_index(dataset.root, options, encode=encode)
        updates_s += time.monotonic() - started
        worst = min(worst, *(one.recall for one in manifest.recall_at_10.values()))
        whys.append(manifest.why.split(":")[0])
        if whys[-1].startswith("full"):
            print(f"night {night}: {manifest.why}", flush=True)
    started = time.monotonic()
    run_index(dataset.root, options, encode=encode)
    rebuild_s = (rebuild_s + time.monotonic() - started) / 2
    share = updates_s / (count * rebuild_s)
    kinds = {kind: whys.count(kind) for kind in sorted(set(whys))}
    figures = [
        Figure.of("share_of_rebuilds", f"{count} updates, share of as many rebuilds", share, at_most=MOST_NIGHTS_TIME),
        Figure.of("lowest_recall_at_10", "lowest recall@10", worst, at_least=options.min_recall),
    ]
    missed = finish("index_nights", figures, count < 100, vectors=vectors, updates=kinds, rebuild_s=round(rebuild_s, 1))
    return not missed


def main() -> int:
    """Prints what was seen; 1 when `--gate` is given and something wanted was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index")
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--nights", type=int, default=0)
    parser.add_argument("--build", choices=["bare", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    parser.add_argument("--gate", action="store_true")
    args = parser.parse_args()
    if args.build:
        print(json.dumps((build_bare if args.build == "bare" else build_ours)(args.root)))
        return 0
    reached = nights(args.vectors, args.nights) if args.nights else compare(args.vectors)
    return 1 if args.gate and not reached else 0


if __name__ == "__main__":
    sys.exit(main())
