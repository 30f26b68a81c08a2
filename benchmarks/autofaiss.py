"""Our index beside autofaiss's of the same vectors: time to build, size, and recall at equal latency.

    python -m benchmarks.autofaiss --python VENV/bin/python [--vectors 1000000]

VENV holds autofaiss 2.17.0 with a FAISS that it runs with: `pip install autofaiss==2.17.0 'faiss-cpu<1.9' 'numpy<2'`. autofaiss is
asked twice: with its defaults, and for an index no larger than ours. Its index is read and searched by our FAISS, with
its own parameters and with larger and smaller ones, by the queries that ours is measured with, one at a time.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.dataset.vectors import frame_vectors
from reelbeam.pipeline.indexes.options import IndexOptions
from reelbeam.pipeline.indexes.queries import Queries
from reelbeam.pipeline.indexes.store import open_searcher
from reelbeam.pipeline.indexes.update import run_index
from reelbeam.schemas.index_manifest import OperatingPoint
from reelbeam.transforms.index_recall import RECALL_K, Truth, measure

from .index import MEMORY_MB, encode, made
from .measure import WORK

CORES = 2
STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""nprobe or efSearch, tried one after another until recall@10 is ENOUGH."""
ENOUGH = 0.9995

BUILD = """
import json, resource, sys, time
from autofaiss import build_index
folder, out, asked = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
started = time.monotonic()
build_index(folder, out + ".faiss", out + ".json", metric_type="ip", verbose=30, **asked)
spent = resource.getrusage(resource.RUSAGE_SELF)  # its ru_maxrss would count what the parent held at the fork
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"s": time.monotonic() - started, "processor_s": spent.ru_utime + spent.ru_stime, "rss": int(peak) * 1024}))
"""


def stored_vectors(dataset: Dataset, folder: Path) -> np.ndarray:
    """Writes the vectors as autofaiss reads them, float32 in npy files; their ids, int64 [n], in that order."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = []
    for number, (found, values) in enumerate(frame_vectors(dataset)):
        np.save(folder / f"{number:06d}.npy", values.astype(np.float32))
        ids.append(found)
    return np.concatenate(ids)


def built_by_autofaiss(python: str, vectors: Path, out: Path, limit_s: float, **asked: Any) -> dict[str, Any]:
    """What it took and what was chosen. Raises RuntimeError with autofaiss's own words, TimeoutExpired beyond the limit."""
    asked |= {"nb_cores": CORES, "current_memory_available": "20G"}
    done = subprocess.run(
        [python, "-c", BUILD, vectors, out, json.dumps(asked)], capture_output=True, text=True, timeout=limit_s
    )
    if done.returncode or not Path(f"{out}.json").exists():  # it may only log why it built nothing
        raise RuntimeError(f"autofaiss ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1]) | json.loads(Path(f"{out}.json").read_text())


def searched(index: faiss.Index, ids: np.ndarray, parameters: str) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """A search by FAISS's own words for its parameters, answering with our ids."""
    faiss.ParameterSpace().set_index_parameters(index, parameters)  # type: ignore[arg-type]

    def search(asked: np.ndarray, k: int, _: int) -> tuple[np.ndarray, np.ndarray]:
        scores, places = index.search(asked, k)
        return scores, np.where(places < 0, -1, ids[places])

    return search


def sweep(at: Callable[[int], OperatingPoint]) -> Iterator[OperatingPoint]:
    """Points of more and more work, until there is nothing to gain."""
    for step in STEPS:
        point = at(step)
        yield point
        if point.worst(RECALL_K) >= ENOUGH:
            return


def shown(name: str, parameters: str, point: OperatingPoint) -> str:
    recalls = ", ".join(f"{kind} {found[10].recall:.4f}" for kind, found in point.recalls.items())
    return f"  {name:10} {parameters:44} recall@10 {recalls}; {point.latency_ms:.3f} ms a query"


def best_within(points: list[OperatingPoint], latency_ms: float) -> float:
    """The best recall@10 of points that take no longer."""
    return max((point.worst(RECALL_K) for point in points if point.latency_ms <= latency_ms), default=0.0)


def theirs(
    name: str, python: str, folder: Path, ids: np.ndarray, truths: list[Truth], limit_s: float, **asked: Any
) -> list[OperatingPoint]:
    """Builds, prints what it took, and measures."""
    out = folder / name
    took = built_by_autofaiss(python, folder / "vectors", out, limit_s, **asked)
    size = Path(f"{out}.faiss").stat().st_size
    print(f"autofaiss {name}: {took['index_key']}, {took['s']:.0f} s, {took['processor_s']:.0f} s of processor time, "
          f"{size / 1e9:.2f} GB, peak {took['rss'] / 1e9:.1f} GB")  # fmt: skip
    index = faiss.read_index(f"{out}.faiss")
    chosen = took["index_param"]
    point = measure(searched(index, ids, chosen), truths, None)
    print(shown(name, chosen, point))
    turned = "efSearch" if "efSearch" in chosen and "nprobe" not in chosen else "nprobe"
    points = [point]
    for one in sweep(
        lambda step: measure(searched(index, ids, re.sub(rf"{turned}=\d+", f"{turned}={step}", chosen)), truths, step)
    ):
        print(shown(name, f"{turned}={one.nprobe}", one))
        points.append(one)
    return points


def main() -> int:
    """Prints what both give, and where ours is not the better."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autofaiss")
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--limit-s", type=float, default=3600.0, help="longest build of autofaiss that is waited for")
    parser.add_argument("--python", default=sys.executable, help="interpreter that imports autofaiss")
    args = parser.parse_args()
    folder = WORK / "autofaiss"
    shutil.rmtree(folder, ignore_errors=True)
    dataset = made(args.vectors, "autofaiss/features")
    started, worked = time.monotonic(), time.process_time()
    _, manifest = run_index(dataset.root, IndexOptions(device="cpu", memory_mb=MEMORY_MB), encode=encode)
    size = sum(part.bytes for part in manifest.parts)
    print(f"ours: {manifest.kind}, {time.monotonic() - started:.0f} s with recall measured, "
          f"{time.process_time() - worked:.0f} s of processor time, {size / 1e9:.2f} GB")  # fmt: skip
    truths = list(Queries.from_bytes(dataset.storage.get(manifest.queries)).truths())
    searcher = open_searcher(dataset.storage, manifest, mapped=True)
    faiss.omp_set_num_threads(CORES)
    own = list(sweep(lambda step: measure(searcher.search, truths, step)))
    for point in own:
        print(shown("ours", f"nprobe={point.nprobe}", point))
    ids = stored_vectors(Dataset.open(dataset.root), folder / "vectors")
    for name, asked in {"defaults": {}, "as-large": {"max_index_memory_usage": f"{size // 1_000_000}MB"}}.items():
        try:
            points = theirs(name, args.python, folder, ids, truths, args.limit_s, **asked)
        except subprocess.TimeoutExpired:
            print(f"autofaiss {name}: not built within {args.limit_s:.0f} s")
            continue
        for point in points:
            ours = best_within(own, point.latency_ms)
            verdict = (
                "ours is better"
                if ours > point.worst(RECALL_K)
                else "the same"
                if ours == point.worst(RECALL_K)
                else "THEIRS is better"
            )
            print(
                f"  at {point.latency_ms:.3f} ms: ours {ours:.4f}, autofaiss {name} {point.worst(RECALL_K):.4f}: {verdict}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
