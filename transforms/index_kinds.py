"""Chooses the kind of an index by the number of vectors, and estimates its memory, disk, build time and recall.

Sizes are exact (FAISS reports the bytes of a code). Time constants were measured by `python -m benchmarks.index_constants` on
two shared cores of an AMD EPYC with FAISS 1.15.1; the one for a GPU is a guess. Recalls are those measured on synthetic
vectors with a gate of 0.95: with rescoring, the compressed kinds lose nothing there that probing more lists does not recover.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import faiss

FLAT_UP_TO = 50_000
"""Up to this many vectors, exact search takes milliseconds, so no approximate index is worth its loss of recall."""

GRAPH_ABOVE = 32_768
"""With more lists than this, an HNSW graph finds the nearest ones: comparing with every centre would cost more than the scan."""

TRAINING_A_LIST = 64
"""Training vectors per list. FAISS asks for at least 39 and uses at most 256."""

LEAST_TRAINING_A_LIST = 39

ITERATIONS = 10
"""Iterations of k-means: FAISS's default for lists."""

ID_BYTES = 8

REFINE = re.compile(r",(?:RFlat|Refine\((?:SQfp16|Flat)\))$")
"""The end of a factory string that asks for rescoring the best candidates with the stored float16 vectors."""


@dataclass(frozen=True)
class Kind:
    """One row of the table of index kinds."""

    name: str
    pattern: str
    """FAISS factory string; {lists} and {eighth} (an eighth of the dimension) are filled in."""
    recall: float
    """Expected recall@10 with a tuned nprobe. Each build measures its own."""
    encode_us: float
    """Microseconds per vector on one core to encode dimension 512, without finding the list."""
    when: str
    codebook_s: float = 0.0
    """Seconds on one core to train rotation and codebook for dimension 512. FAISS trains them with at most 65,536 vectors,
    so the time does not grow with the index."""

    def factory(self, vectors: int, dimension: int) -> str:
        """The FAISS factory string for this number of vectors."""
        return self.pattern.format(lists=lists_for(vectors), eighth=max(1, dimension // 8))


KINDS = (
    Kind("exact", "Flat", 1.0, 0.1, f"up to {FLAT_UP_TO:,} vectors: exact"),
    Kind("half", "IVF{lists},SQfp16", 0.999, 3.2, "the first choice while it fits: what is stored, without loss"),
    Kind("byte", "IVF{lists},SQ8,Refine(SQfp16)", 0.998, 1.0, "half the memory; the best are looked at again on disk"),
    Kind(
        "product",
        "OPQ{eighth},IVF{lists},PQ{eighth},Refine(SQfp16)",
        0.97,
        24.0,
        "a sixteenth; slow to train and fill",
        450.0,
    ),
    Kind("bits", "IVF{lists},RaBitQ,Refine(SQfp16)", 0.97, 1.6, "about a sixteenth, without a codebook to train"),
)
"""In order of preference. IVF-Flat is left out: the stored vectors are float16, so float32 would double the bytes in vain."""

CORE_FLOPS = 75e9
"""float32 operations per second per core, in k-means and in finding lists."""

GPU_FLOPS = 20e12
"""float32 operations per second of one GPU in training."""

GRAPH_US = 570.0
"""Microseconds per vector on one core to find its list in a graph of 32,768 (534) to 131,072 centres (607), of which it finds 97.6%."""

READ_BYTES_S = 560e6
"""Bytes of shards read and converted to float32 per second per core."""

MERGE_BYTES_S = 350e6
"""Bytes read and written per second by a merge on one disk, including storing the result; from `benchmarks.index`, 1M vectors."""

SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of an index, in bytes and in seconds on one machine."""

    kind: str
    vectors: int
    dimension: int
    memory_bytes: int
    """Memory of the index while it is searched."""
    disk_bytes: int
    """All stored files, including the raw vectors for rescoring."""
    train_s: float
    train_gpu_s: float
    fill_s: float
    """Wall seconds with all cores of one machine."""
    merge_s: float
    measure_s: float
    recall: float | None
    """recall@10 expected; None for a factory string that is not in the table."""
    build_memory_bytes: int

    @property
    def build_s(self) -> float:
        return self.train_s + self.fill_s + self.merge_s

    def machines(self, memory_bytes: int) -> int:
        """Number of search machines with this much memory that the index needs."""
        return max(1, math.ceil(self.memory_bytes / memory_bytes))


def lists_for(vectors: int) -> str:
    """Number of lists, a power of two near 4 * sqrt(vectors): `2048`, or with a graph that finds them `65536_HNSW32`.

    >>> lists_for(200_000), lists_for(1_000_000), lists_for(1_000_000_000)
    ('2048', '4096', '131072_HNSW32')
    """
    lists = 2 ** round(math.log2(4 * math.sqrt(max(1, vectors))))
    return f"{lists}_HNSW32" if lists > GRAPH_ABOVE else str(lists)


def split_refine(kind: str) -> tuple[str, bool]:
    """A factory string without its rescoring suffix, and whether it had one.

    >>> split_refine("IVF64,SQ8,Refine(SQfp16)"), split_refine("Flat")
    (('IVF64,SQ8', True), ('Flat', False))
    """
    return REFINE.sub("", kind), bool(REFINE.search(kind))


def code_bytes(kind: str, dimension: int) -> int:
    """Bytes per vector, without its id. Raises ValueError for a factory string that FAISS does not know."""
    base, _ = split_refine(kind)
    try:
        index = faiss.index_factory(dimension, base, faiss.METRIC_INNER_PRODUCT)
    except RuntimeError as error:
        raise ValueError(f"FAISS does not know the index {kind!r} for {dimension} dimensions: {error}") from error
    try:
        return int(faiss.extract_index_ivf(index).code_size)
    except RuntimeError:
        pass
    try:
        return int(index.sa_code_size()) if base != "Flat" else 4 * dimension
    except RuntimeError as error:
        raise ValueError(
            f"{kind} keeps a graph, from which vectors cannot be removed; cure: auto, or a kind with lists, such as IVF256,SQfp16"
        ) from error


def list_count(kind: str) -> int:
    """Number of lists in a factory string; 0 if it has none.

    >>> list_count("OPQ16,IVF4096_HNSW32,PQ16"), list_count("Flat")
    (4096, 0)
    """
    found = re.search(r"IVF(\d+)", kind)
    return int(found[1]) if found else 0


def estimate(kind: str, vectors: int, dimension: int, cores: int, queries: int = 2000) -> Estimate:
    """Estimates the cost of a kind for this number of vectors. Raises ValueError for a factory string unknown to FAISS."""
    row = next((row for row in KINDS if row.factory(vectors, dimension) == kind), None)
    one = code_bytes(kind, dimension) + ID_BYTES
    lists = list_count(kind)
    flops = CORE_FLOPS * cores
    training = min(vectors, TRAINING_A_LIST * lists)
    train = 2.0 * training * lists * dimension * ITERATIONS
    codebook = (row.codebook_s if row else 0.0) * dimension / 512 / cores
    find = GRAPH_US * vectors / 1e6 / cores if "_HNSW" in kind else 2.0 * vectors * lists * dimension / flops
    encode = (row.encode_us if row else 1.0) * dimension / 512 * vectors / 1e6 / cores
    stored = 2 * dimension * vectors
    memory = one * vectors + 4 * dimension * lists * (1.1 if "_HNSW" in kind else 1.0)
    return Estimate(
        kind,
        vectors,
        dimension,
        int(memory),
        int(memory + (stored if split_refine(kind)[1] else 0)),
        train / flops + codebook,
        train / GPU_FLOPS + codebook,
        find + encode + stored / READ_BYTES_S / cores,
        2 * one * vectors / MERGE_BYTES_S if lists else 0.0,
        2.0 * queries * vectors * dimension / flops + stored / READ_BYTES_S / cores,
        row.recall if row else None,
        int(4 * dimension * training + 4 * dimension * lists),
    )


def choose_kind(vectors: int, dimension: int = 512, memory_bytes: float = math.inf, recall: float = 0.0) -> str:
    """The first kind in KINDS that fits into `memory_bytes` of a search machine and whose expected recall is enough.

    If none fits, returns the smallest one with enough recall: it needs several machines, or more memory.

    >>> choose_kind(1000), choose_kind(200_000), choose_kind(10**7, 512, 8e9)
    ('Flat', 'IVF2048,SQfp16', 'IVF16384,SQ8,Refine(SQfp16)')
    """
    if vectors <= FLAT_UP_TO:
        return "Flat"
    asked = [row for row in KINDS[1:] if row.recall >= recall] or [max(KINDS[1:], key=lambda row: row.recall)]
    known = [estimate(row.factory(vectors, dimension), vectors, dimension, 1) for row in asked]
    return next(
        (one for one in known if one.memory_bytes <= memory_bytes), min(known, key=lambda one: one.memory_bytes)
    ).kind
