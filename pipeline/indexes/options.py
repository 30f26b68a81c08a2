"""Options of `reelbeam index`."""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.options import Options, option


@dataclass(frozen=True)
class IndexOptions(Options):
    """reelbeam index"""

    index: str = option("auto", "auto, or any FAISS factory string: Flat, IVF1024,SQfp16, ...")
    of: str = option(
        "frames",
        "what to index: the embeddings of every frame, of the speech of each window, or the fused one of each window; or the words "
        "of speech, titles and descriptions, and of the screen and subtitles where those senses are on",
        choices=("frames", "speech", "fused", "words"),
    )
    name: str = option("", "name of the index in OUTPUT/indexes (empty: the value of --of)")
    min_recall: float = option(
        0.95, "lowest recall@10 to publish with, for frame queries and for text queries alike", low=0, high=1
    )
    queries: int = option(1000, "held-out queries of each kind to measure recall with", low=1, high=100_000)
    memory_mb: int = option(4096, "memory limit of a build, in MiB, for any number of vectors", low=64)
    search_memory_mb: int = option(
        65_536, "memory of the machine that will search, in MiB; --index auto chooses a kind that fits", low=1
    )
    workers: str = option(
        "1",
        "worker processes on this machine that fill the parts of an index; auto: one for each core; bytes do not depend on it",
    )
    threads: int = option(0, "threads per worker (0: one per core, or each worker's share)", low=0, high=1024)
    merge_above: float = option(
        0.2, "merge the parts when new and removed vectors exceed this share of the base", low=0, high=1
    )
    retrain_above: float = option(
        0.5, "train again when more than this share of the vectors is newer than the training", low=0, high=1
    )
    full: bool = option(False, "run a full build even when an update would be enough")
    rollback: bool = option(False, "make the previous build current again, without building")
    plan: bool = option(False, "print the estimated cost of each kind of index, without building")
    vectors: float = option(0.0, "with --plan: number of vectors, such as 1e9 (0: that of OUTPUT)", low=0)
    dimension: int = option(
        0, "with --plan --vectors: dimension of the vectors (0: that of OUTPUT, or 512)", low=0, high=8192
    )
    device: str = option("auto", "device that encodes text queries and trains lists: auto, cpu, cuda")

    @property
    def called(self) -> str:
        """The name of the index."""
        return self.name or self.of
