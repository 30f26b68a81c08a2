"""The constants of the index plan (`transforms/index_kinds.py`), measured on this machine.

    python -m benchmarks.index_constants [--vectors 200000]

Every kind of the table is trained and filled with the same made vectors of 512 numbers (as in `benchmarks.index`), on all cores.
Recall@10 is that of frame queries and of queries between two centres, whichever is lower, at the smallest nprobe that reaches
the target of a gate of 0.95, the second look included where a kind has one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from reelbeam.models.devices import cores
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.dataset.vectors import frame_vectors
from reelbeam.pipeline.indexes.store import Searcher
from reelbeam.schemas.index_manifest import OperatingPoint
from reelbeam.transforms.build_index import GRAPH_SEARCH, exact_search
from reelbeam.transforms.index_kinds import (
    GRAPH_ABOVE,
    KINDS,
    TRAINING_A_LIST,
    Kind,
    list_count,
    lists_for,
    split_refine,
)
from reelbeam.transforms.index_parts import merge_parts
from reelbeam.transforms.index_recall import RECALL_K, Truth, drop_own, measure, tune

from .index import DIMENSION, encode, made

GATE, QUERIES = 0.95, 300
MANY = 256
ROUNDS = 3


def seconds(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The fastest of some rounds: a shared machine only ever slows down."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def flops(vectors: np.ndarray) -> tuple[float, float]:
    """Multiplications and additions a second and core: of k-means, and of finding lists among 4096."""
    lists, iterations = 1024, 10
    points = vectors[: TRAINING_A_LIST * lists]
    train_s = seconds(lambda: faiss.Kmeans(DIMENSION, lists, niter=iterations, verbose=False).train(points), 1)
    centres = faiss.IndexFlatIP(DIMENSION)
    centres.add(vectors[:4096])
    find_s = seconds(lambda: centres.assign(vectors[:50_000], 1))
    return (
        2.0 * len(points) * lists * DIMENSION * iterations / train_s / cores(),
        2.0 * 50_000 * 4096 * DIMENSION / find_s / cores(),
    )


def graph_us(vectors: np.ndarray) -> float:
    """Microseconds a core to find a list through a graph of GRAPH_ABOVE centres."""
    graph = faiss.IndexHNSWFlat(DIMENSION, 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efSearch = GRAPH_SEARCH
    graph.add(vectors[:GRAPH_ABOVE])
    return seconds(lambda: graph.assign(vectors[-5_000:], 1)) / 5_000 * 1e6 * cores()


def filled(kind: str, vectors: np.ndarray) -> tuple[faiss.Index, float, float]:
    """An index with ids from 0, the seconds that its training took, and microseconds a core to encode a vector."""
    base, _ = split_refine(kind)
    index = faiss.index_factory(DIMENSION, base, faiss.METRIC_INNER_PRODUCT)
    started = time.perf_counter()
    index.train(vectors[: TRAINING_A_LIST * list_count(base)])
    trained_s = time.perf_counter() - started
    ivf = faiss.extract_index_ivf(index)
    find_s = seconds(lambda: faiss.downcast_index(ivf.quantizer).assign(vectors, 1), 1)
    started = time.perf_counter()
    index.add_with_ids(vectors, np.arange(len(vectors)))
    encode_us = max(0.0, time.perf_counter() - started - find_s) / len(vectors) * 1e6 * cores()
    return index, trained_s, encode_us


def merge_bytes_s(index: faiss.Index) -> float:
    """Bytes of parts merged a second, read and written."""
    with tempfile.TemporaryDirectory() as folder:
        part, whole = Path(folder, "part.faiss"), Path(folder, "whole.faiss")
        faiss.write_index(index, str(part))
        empty = faiss.read_index(str(part))
        empty.reset()
        return 2 * part.stat().st_size / seconds(lambda: merge_parts(empty, [part], whole, 1 << 29), 1)


def recall_of(
    index: faiss.Index, row: Kind, vectors: np.ndarray, truths: list[Truth]
) -> tuple[OperatingPoint, OperatingPoint]:
    """At the smallest nprobe that reaches the gate's target, and looking into MANY lists: what the codes allow."""
    second = (lambda ids: vectors[ids]) if split_refine(row.pattern)[1] else None
    searcher = Searcher([index], np.zeros(0, np.int64), 1, second)

    def at(nprobe: int | None) -> OperatingPoint:
        return measure(searcher.search, truths, nprobe)

    return tune(at, searcher.nlist, GATE)[0], at(min(MANY, searcher.nlist))


def main() -> int:
    """Prints each constant."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index_constants")
    parser.add_argument("--vectors", type=int, default=200_000)
    args = parser.parse_args()
    dataset = Dataset.open(made(args.vectors, "index_constants").root)
    pieces: list[Any] = []
    read_s = seconds(lambda: pieces.append([values for _, values in frame_vectors(dataset)]))
    vectors = np.concatenate(pieces[0])
    pieces.clear()
    print(f"{len(vectors):,} vectors of {DIMENSION}, {cores()} cores, FAISS {faiss.__version__}")
    print(f"READ_BYTES_S {len(vectors) * DIMENSION * 2 / read_s / 1e6:.0f}e6")
    train, find = flops(vectors)
    print(f"CORE_FLOPS of k-means {train / 1e9:.0f}e9, of finding lists {find / 1e9:.0f}e9")
    print(f"GRAPH_US {graph_us(vectors):.0f} ({GRAPH_ABOVE:,} centres)")
    asked = np.concatenate([vectors[:QUERIES], encode(dataset, QUERIES, "cpu")])
    own = np.concatenate([np.arange(QUERIES), np.full(QUERIES, -2)])
    scores, ids = exact_search(asked, iter([(np.arange(len(vectors)), vectors)]), 102)
    truths = [
        truth(name, slice(*part), asked, own, scores, ids)
        for name, part in (("frames", (0, QUERIES)), ("text", (QUERIES, None)))
    ]
    for row in KINDS[1:]:
        kind = row.factory(len(vectors), DIMENSION)
        index, trained_s, encode_us = filled(kind, vectors)
        tuned, most = recall_of(index, row, vectors, truths)
        print(
            f"{kind}: training {trained_s:.1f} s, encode_us {encode_us:.2f}; "
            f"recall@10 {tuned.worst(RECALL_K):.4f} at nprobe {tuned.nprobe}, "
            f"{tuned.latency_ms:.2f} ms a query; {most.worst(RECALL_K):.4f} at nprobe {most.nprobe}",
            flush=True,
        )
        if row.name == "half":
            print(f"MERGE_BYTES_S {merge_bytes_s(index) / 1e6:.0f}e6, from and to the page cache")
    print(f"lists {lists_for(len(vectors))}, training vectors a list {TRAINING_A_LIST}")
    return 0


def truth(name: str, part: slice, asked: np.ndarray, own: np.ndarray, scores: np.ndarray, ids: np.ndarray) -> Truth:
    """Exact answers of some of the queries, less the queries themselves."""
    return Truth(name, asked[part], own[part], *drop_own(scores[part], ids[part], 100, own[part]))


if __name__ == "__main__":
    sys.exit(main())
