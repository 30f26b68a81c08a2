"""Trains an index, fills it, and searches exactly. Pure functions over streams of vectors.

A vector's id is `row * T + tick`, where row is the window's global number: 64 bits, permanent, without a lookup table.
Vectors have unit length and the metric is the inner product, so a score is a cosine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from ..schemas.errors import CorruptOutput
from .index_kinds import LEAST_TRAINING_A_LIST, TRAINING_A_LIST, list_count, split_refine
from .index_recall import drop_own

Vectors = Iterator[tuple[np.ndarray, np.ndarray]]
"""Pieces of (ids int64 [n], vectors float32 [n, D])."""

LEAST_TRAINING = 10_000
"""Least number of training vectors, if there are as many: codebooks need them even when lists do not."""

GPU_SCORES = 1 << 28
"""Scores in GPU memory at a time: 1 GiB."""


def training_size(kind: str, total: int, dimension: int, memory_bytes: int) -> int:
    """Number of vectors to train with: enough for the lists, and no more than fit into memory.

    Raises ValueError when the lists need more vectors than fit into memory.
    """
    lists = list_count(kind)
    wanted = min(total, max(LEAST_TRAINING, TRAINING_A_LIST * lists))
    fits = memory_bytes // (4 * dimension)
    if wanted > fits and fits < LEAST_TRAINING_A_LIST * lists:
        raise ValueError(
            f"{kind} trains with at least {LEAST_TRAINING_A_LIST * lists} vectors, "
            f"{LEAST_TRAINING_A_LIST * lists * dimension * 4 / 1e6:.0f} MB; {memory_bytes / 1e6:.0f} MB are allowed"
        )
    return min(wanted, fits)


GRAPH_SEARCH = 64
"""Candidates that are kept while a graph finds the nearest lists. With FAISS's 16, vectors are filed in lists that are not theirs, and a
larger nprobe does not find them: recall@10 of a million vectors in 4,096 lists was 0.88, of text queries 0.74; it is 1.00 and 0.97."""


def new_index(kind: str, dimension: int, training: np.ndarray, device: str = "cpu") -> faiss.Index:
    """An empty, trained index that stores given ids. Trains the lists on a GPU when `device` is one.

    Raises ValueError for a factory string that FAISS does not know, or for too few training vectors.
    """
    base, _ = split_refine(kind)
    try:
        index = faiss.index_factory(dimension, base, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ValueError(f"FAISS does not know the index {kind!r}: {error}") from error
    if lists := lists_of(index):
        needed = lists.nlist * LEAST_TRAINING_A_LIST
        if len(training) < lists.nlist:
            raise ValueError(
                f"{kind} has {lists.nlist} lists, which need {needed} vectors to train; there are {len(training)}"
            )
        if isinstance(graph := faiss.downcast_index(lists.quantizer), faiss.IndexHNSW):
            graph.hnsw.efSearch = GRAPH_SEARCH
        lists.cp.seed = 1
        lists.cp.min_points_per_centroid = 1
    try:
        if lists and device.startswith("cuda"):
            _lists_on_gpu(index, lists, training, device)
        index.train(training)
    except RuntimeError as error:
        raise ValueError(f"{kind} cannot be trained with {len(training)} vectors: {error}") from error
    return index if lists else faiss.IndexIDMap2(index)


def _lists_on_gpu(index: Any, lists: faiss.IndexIVF, training: np.ndarray, device: str) -> None:
    """Trains the centres of the lists with k-means on a GPU. Everything else (codebooks) is trained on the CPU."""
    steps = index.chain.size() if type(index) is faiss.IndexPreTransform else 0  # type: ignore[attr-defined]
    for at in range(steps):
        step = faiss.downcast_VectorTransform(index.chain.at(at))
        step.train(training)
        training = step.apply(training)
    lists.quantizer.add(kmeans_on_gpu(training, lists.nlist, lists.cp.niter, device))


def kmeans_on_gpu(values: np.ndarray, centres: int, iterations: int, device: str) -> np.ndarray:
    """Spherical k-means with torch: float32 [n, D] -> float32 [centres, D], unit length.

    A centre without vectors is replaced by a random vector.
    """
    import torch

    draw = torch.Generator().manual_seed(1)
    data = torch.from_numpy(np.ascontiguousarray(values)).to(device)
    found = data[torch.randperm(len(data), generator=draw)[:centres].to(device)].clone()
    step = max(1, GPU_SCORES // centres)
    for _ in range(iterations):
        sums, counts = torch.zeros_like(found), torch.zeros(centres, device=device)
        for at in range(0, len(data), step):
            some = data[at : at + step]
            nearest = (some @ found.T).argmax(dim=1)
            sums.index_add_(0, nearest, some)
            counts.index_add_(0, nearest, torch.ones(len(some), device=device))
        lost = counts == 0
        sums[lost] = data[torch.randint(len(data), (int(lost.sum()),), generator=draw).to(device)]
        found = torch.nn.functional.normalize(sums, dim=1)
    return found.cpu().numpy()


def lists_of(index: faiss.Index) -> faiss.IndexIVF | None:
    """The IVF index inside an index; None if it has no inverted lists."""
    try:
        return faiss.extract_index_ivf(index)
    except RuntimeError:
        return None


def sampled_vectors(index: Any, most: int) -> np.ndarray:
    """At most `most` evenly lying vectors, float32 [n, D], as one FAISS index can give them back."""
    lists = lists_of(index)
    places = np.unique(np.linspace(0, index.ntotal - 1, min(most, index.ntotal)).astype(np.int64))
    if lists is None:
        flat = faiss.downcast_index(index)
        found: np.ndarray = getattr(flat, "index", flat).reconstruct_batch(places)
        return found
    ends = np.cumsum([lists.get_list_size(at) for at in range(lists.nlist)])
    owners = np.searchsorted(ends, places, "right")
    vectors = np.zeros((len(places), lists.d), np.float32)
    for vector, owner, place in zip(vectors, owners.tolist(), places.tolist(), strict=True):
        start = int(ends[owner - 1]) if owner else 0
        lists.reconstruct_from_offset(owner, place - start, faiss.swig_ptr(vector))
    outer = faiss.downcast_index(index)
    if not isinstance(outer, faiss.IndexPreTransform):
        return vectors
    plain = np.zeros((len(places), index.d), np.float32)
    outer.reverse_chain(len(places), faiss.swig_ptr(vectors), faiss.swig_ptr(plain))  # type: ignore[call-arg,arg-type]
    return plain


def read_index(file: Path, name: str, mapped: bool = False) -> faiss.Index:
    """Reads an index file. `mapped` memory-maps its lists. Raises CorruptOutput when the file is not a FAISS index."""
    try:
        return faiss.read_index(str(file), faiss.IO_FLAG_MMAP if mapped else 0)
    except (RuntimeError, MemoryError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error) else type(error).__name__
        raise CorruptOutput(f"{name} is not a FAISS index: {reason}; cure: reelbeam index --full") from error


def fill(index: faiss.Index, vectors: Vectors) -> None:
    """Adds all vectors with their ids."""
    for ids, values in vectors:
        index.add_with_ids(values, ids)


def sample(vectors: Vectors, total: int, wanted: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws `wanted` of `total` vectors uniformly at random, in stream order: (ids, values)."""
    picked = np.sort(np.random.default_rng(seed).choice(total, min(wanted, total), replace=False))
    return take(vectors, [picked])[0]


def take(vectors: Vectors, places: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Picks vectors from a stream in one pass: (ids, values) for each sorted array of stream positions in `places`."""
    kept = [(np.zeros(len(picked), np.int64), np.zeros((len(picked), 0), np.float32)) for picked in places]
    start = 0
    for ids, values in vectors:
        for at, picked in enumerate(places):
            if kept[at][1].shape[1] != values.shape[1]:
                kept[at] = kept[at][0], np.zeros((len(picked), values.shape[1]), np.float32)
            first, last = np.searchsorted(picked, [start, start + len(ids)])
            kept[at][0][first:last] = ids[picked[first:last] - start]
            kept[at][1][first:last] = values[picked[first:last] - start]
        start += len(ids)
    return kept


class ExactSearch:
    """Exact search over a stream: the k nearest of all vectors added so far, by brute force in blocks."""

    def __init__(self, queries: np.ndarray, k: int):
        """`queries` are float32 [q, D]."""
        self.queries, self.k = queries, k
        self.seconds = 0.0
        """Time spent on comparisons."""
        self._best = faiss.ResultHeap(len(queries), k, keep_max=True)

    def add(self, ids: np.ndarray, values: np.ndarray) -> None:
        """Compares the queries with vectors float32 [n, D] of ids int64 [n]."""
        started = time.perf_counter()
        if len(ids) and len(self.queries):
            scores, places = faiss.knn(self.queries, values, min(self.k, len(values)), faiss.METRIC_INNER_PRODUCT)
            self._best.add_result(scores, ids[places])
        self.seconds += time.perf_counter() - started

    def seeing(self, vectors: Vectors) -> Vectors:
        """Passes the vectors through and compares each block, so that one pass over the data also answers the queries."""
        for ids, values in vectors:
            self.add(ids, values)
            yield ids, values

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores float32 [q, k] and ids int64 [q, k], best first; missing results have id -1."""
        self._best.finalize()
        return self._best.D, self._best.I


def exact_search(
    queries: np.ndarray, vectors: Vectors, k: int, without: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of all vectors for each query: scores float32 [q, k], ids int64 [q, k].

    `without` int64 [q] is the query's own id, which is left out of its results. Missing results have id -1.
    """
    search = ExactSearch(queries, k + (0 if without is None else 1))
    for ids, values in vectors:
        search.add(ids, values)
    return drop_own(*search.result(), k, without)


def merge_results(parts: list[tuple[np.ndarray, np.ndarray]], queries: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Merges results for the same queries and keeps the k best of each. Missing results have id -1 and come last."""
    scores = np.concatenate([np.full((queries, 0), -np.inf, np.float32), *(some for some, _ in parts)], axis=1)
    ids = np.concatenate([np.full((queries, 0), -1, np.int64), *(some for _, some in parts)], axis=1)
    scores = np.where(ids >= 0, scores, -np.inf)
    if scores.shape[1] < k:
        short = ((0, 0), (0, k - scores.shape[1]))
        scores, ids = np.pad(scores, short, constant_values=-np.inf), np.pad(ids, short, constant_values=-1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)


def index_search(
    index: faiss.Index, queries: np.ndarray, k: int, without: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Searches an index, with the same arguments and results as `exact_search`."""
    scores, ids = index.search(queries, k + (0 if without is None else 1))
    return drop_own(scores, ids, k, without)
