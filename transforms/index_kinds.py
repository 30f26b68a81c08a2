"""Which kind of index for how many vectors: the one table of choices, and what each costs in bytes, hours and recall.

Sizes are exact (FAISS states the bytes of a code). The constants of time were measured by `python -m benchmarks.index_constants`
on two shared cores of an AMD EPYC with FAISS 1.15.1; that of a GPU is a guess. Recalls are what a gate of 0.95 is passed with
on made vectors: with the second look the compressed kinds lose nothing there that more lists do not find.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import faiss

FLAT_UP_TO = 50_000
"""Vectors below which exact search answers in milliseconds, and nothing else is worth its loss."""

GRAPH_ABOVE = 32_768
"""Lists above which a graph finds the nearest ones: comparing with all of them would cost more than reading them."""

TRAINING_A_LIST = 64
"""Training vectors a list: FAISS asks for at least 39 and uses at most 256."""

LEAST_TRAINING_A_LIST = 39

ITERATIONS = 10
"""Of k-means, FAISS's default for lists."""

ID_BYTES = 8

REFINE = re.compile(r",(?:RFlat|Refine\((?:SQfp16|Flat)\))$")
"""A factory string's end that asks for a second look at the best candidates with the stored float16 vectors."""


@dataclass(frozen=True)
class Kind:
    """One row of the table of choices."""

    name: str
    pattern: str
    """FAISS factory string; {lists} and {eighth} (an eighth of the dimension) are filled in."""
    recall: float
    """recall@10 to expect with a tuned nprobe. The build measures its own and has the last word."""
    encode_us: float
    """Microseconds a core to encode a vector of 512 numbers, its list known."""
    when: str
    codebook_s: float = 0.0
    """Seconds of one core to learn its rotation and codebook for 512 numbers, whatever the number of vectors: FAISS takes
    65,536 of them at most."""

    def factory(self, vectors: int, dimension: int) -> str:
        """The factory string for so many vectors."""
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
"""In the order of preference. IVF-Flat is not here: the stored vectors are float16, it would double the bytes for nothing."""

CORE_FLOPS = 75e9
"""float32 multiplications and additions a second and core in k-means and in finding lists."""

GPU_FLOPS = 20e12
"""The same on one GPU that trains."""

GRAPH_US = 280.0
"""Microseconds a core to find a vector's list through a graph of 32,768 centres; it grows with their logarithm."""

READ_BYTES_S = 560e6
"""Bytes of shards read and widened to float32 a second and core."""

MERGE_BYTES_S = 350e6
"""Bytes merged a second on one disk, read and written: of the million in `benchmarks.index`, with storing the result."""

SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class Estimate:
    """What an index is going to cost. Bytes, seconds of one machine."""

    kind: str
    vectors: int
    dimension: int
    memory_bytes: int
    """Of the index in memory when it is searched."""
    disk_bytes: int
    """Of all that is stored, the vectors of a second look included."""
    train_s: float
    train_gpu_s: float
    fill_s: float
    """Of all cores together, on one machine."""
    merge_s: float
    measure_s: float
    recall: float | None
    """recall@10 expected; None for a factory string that is not in the table."""
    build_memory_bytes: int

    @property
    def build_s(self) -> float:
        return self.train_s + self.fill_s + self.merge_s

    def machines(self, memory_bytes: int) -> int:
        """Search machines of so much memory that hold it together."""
        return max(1, math.ceil(self.memory_bytes / memory_bytes))


def lists_for(vectors: int) -> str:
    """Lists, a power of two near four times the root: `2048`, or `65536_HNSW32` where a graph finds them.

    >>> lists_for(200_000), lists_for(1_000_000), lists_for(1_000_000_000)
    ('2048', '4096', '131072_HNSW32')
    """
    lists = 2 ** round(math.log2(4 * math.sqrt(max(1, vectors))))
    return f"{lists}_HNSW32" if lists > GRAPH_ABOVE else str(lists)


def split_refine(kind: str) -> tuple[str, bool]:
    """A factory string without the end that asks for a second look, and whether it asked.

    >>> split_refine("IVF64,SQ8,Refine(SQfp16)"), split_refine("Flat")
    (('IVF64,SQ8', True), ('Flat', False))
    """
    return REFINE.sub("", kind), bool(REFINE.search(kind))


def code_bytes(kind: str, dimension: int) -> int:
    """Bytes a vector without its id. Raises ValueError for a factory string that FAISS does not know."""
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
            f"{kind} keeps a graph, out of which no vector can be taken; cure: auto, or a kind with lists, such as IVF256,SQfp16"
        ) from error


def list_count(kind: str) -> int:
    """Lists that a factory string asks for; 0 without any.

    >>> list_count("OPQ16,IVF4096_HNSW32,PQ16"), list_count("Flat")
    (4096, 0)
    """
    found = re.search(r"IVF(\d+)", kind)
    return int(found[1]) if found else 0


def estimate(kind: str, vectors: int, dimension: int, cores: int, queries: int = 2000) -> Estimate:
    """What a kind costs for so many vectors. Raises ValueError for a factory string that FAISS does not know."""
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
    """The first kind of the table that fits the memory of a search machine and is expected to reach the recall.

    Where none does both, the smallest that reaches the recall: it takes several machines, or more memory.

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
