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
        "what is indexed: every frame, what is said in a window, or a window's fused embedding",
        choices=("frames", "speech", "fused"),
    )
    name: str = option("", "name of the index in OUTPUT/indexes; empty: what --of says")
    min_recall: float = option(
        0.95, "publish only from this recall@10 up, for frame and for text queries", low=0, high=1
    )
    queries: int = option(1000, "held-out queries of each kind that recall is measured with", low=1, high=100_000)
    memory_mb: int = option(4096, "memory that building may take, in MiB; more vectors do not take more", low=64)
    search_memory_mb: int = option(
        65_536, "memory of a machine that searches, in MiB: what auto chooses a kind for", low=1
    )
    threads: int = option(0, "threads a worker; 0 is one a core", low=0, high=1024)
    merge_above: float = option(
        0.2, "merge the parts when new and removed vectors are more than this share of the base", low=0, high=1
    )
    retrain_above: float = option(
        0.5, "train anew when a larger share of the vectors is newer than the training", low=0, high=1
    )
    full: bool = option(False, "build from nothing, though an update would do")
    rollback: bool = option(False, "make the build before the current one current again, and build nothing")
    plan: bool = option(False, "say what building would cost, kind by kind, and build nothing")
    vectors: float = option(0.0, "with --plan: for so many vectors, such as 1e9, in place of OUTPUT's", low=0)
    dimension: int = option(0, "with --plan --vectors: numbers a vector; 0 is OUTPUT's, or 512", low=0, high=8192)
    device: str = option("auto", "where text queries are encoded and lists are trained: auto, cpu, cuda")

    @property
    def called(self) -> str:
        """The name of the index."""
        return self.name or self.of
