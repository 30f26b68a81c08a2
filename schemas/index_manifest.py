"""The records of `indexes/<name>/<build>/index.json`: a build's files, how it was made, and its measured recall."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .file_records import ShardInfo
from .options import fingerprint

METRIC = "inner product of unit vectors: a cosine"
INTERVAL = "95%, Wilson's over queries"


@dataclass(frozen=True)
class PartInfo:
    """One stored part of an index."""

    path: str
    sha256: str
    bytes: int
    vectors: int
    """Number of vectors in it."""


@dataclass(frozen=True)
class VectorFile:
    """The float16 vectors of one shard, for rescoring. Vector `id` is at byte (id - first_id) * D * 2."""

    path: str
    first_id: int
    """The id of the first vector in the file."""
    ids: int
    """Number of ids that the file covers."""


@dataclass(frozen=True)
class RemovedIds:
    """The file of removed ids that the parts still contain: int64, sorted, as .npy."""

    path: str
    ids: int
    """Number of removed ids."""


@dataclass(frozen=True)
class Training:
    """The data that an index's lists were trained on, and how well the lists fitted it."""

    rows: int
    """next_row of that snapshot: rows from this number on are newer than the training."""
    vectors: int
    """Number of vectors in the full build."""
    snapshot: int
    """The snapshot of the full build."""
    nprobe: int | None = None
    """nprobe of the full build; none for an index without lists."""
    imbalance: float | None = None
    """Imbalance of the lists at the full build; none for an index without lists."""


@dataclass(frozen=True)
class CoveredShard:
    """One shard whose vectors a build contains. The next update compares these with the snapshot's shards."""

    path: str
    sha256: str
    first_row: int
    """Lowest global row number of the shard."""
    rows: int
    stretches: tuple[tuple[int, int], ...]
    """(first global number, rows) of each run of rows."""
    removed: tuple[str, ...]
    """Hashes of the videos whose rows were removed, see `mark`."""
    vectors: int
    """Number of the shard's vectors, or documents, in the build."""

    @property
    def key(self) -> tuple[str, str, int]:
        """Identity of the shard: path, hash and first row."""
        return self.path, self.sha256, self.first_row

    @classmethod
    def of(cls, shard: ShardInfo, vectors: int) -> CoveredShard:
        """The record of a shard of which a build contains so many vectors."""
        removed = tuple(mark(video_id) for video_id in shard.removed)
        return cls(shard.path, shard.sha256, shard.first_row, shard.rows, shard.runs, removed, vectors)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CoveredShard:
        runs = tuple((first, rows) for first, rows in stored["stretches"])
        return cls(**{**stored, "stretches": runs, "removed": tuple(stored["removed"])})


@dataclass(frozen=True, kw_only=True)
class Recall:
    """Share of the exact k nearest vectors that an index finds, over a set of queries."""

    recall: float
    low: float | None = None
    """Lower bound of its 95% interval; none in builds that predate intervals."""
    high: float | None = None
    """Upper bound of its 95% interval."""
    queries: int
    k: int


@dataclass(frozen=True)
class OperatingPoint:
    """Recall and latency of a search with one nprobe."""

    nprobe: int | None
    """Lists searched per query; none for an index without lists."""
    latency_ms: float
    """Median time of single queries."""
    batch_ms: float
    """Time per query when all queries are searched in one batch."""
    recalls: dict[str, dict[int, Recall]] = field(default_factory=dict)
    """Recalls by the name of the queries, then by k. In JSON each name is a key beside `nprobe`."""

    def worst(self, k: int) -> float:
        """The lowest recall@k over the kinds of queries."""
        return min(found[k].recall for found in self.recalls.values())

    def to_json(self) -> dict[str, Any]:
        recalls = {name: {str(k): asdict(one) for k, one in found.items()} for name, found in self.recalls.items()}
        return {"nprobe": self.nprobe, "latency_ms": self.latency_ms, "batch_ms": self.batch_ms, **recalls}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> OperatingPoint:
        own = {"nprobe", "latency_ms", "batch_ms"}
        recalls = {
            name: {int(k): Recall(**one) for k, one in found.items()}
            for name, found in stored.items()
            if name not in own
        }
        return cls(stored["nprobe"], stored["latency_ms"], stored["batch_ms"], recalls)


@dataclass(frozen=True)
class IndexManifest:
    """The content of index.json. Fields after `parts` are filled in during the build."""

    kind: str
    """FAISS factory string, as `--index` takes it."""
    asked: str
    """The value of `--index`."""
    why: str
    """Why this build was made."""
    of: str
    """The embeddings that are indexed: frames, speech or fused."""
    dimension: int
    """Dimension of the vectors."""
    vectors: int
    """Number of vectors, without removed ones."""
    ids_a_row: int
    """Ids per row: the ticks of a window for frames, otherwise 1."""
    models: dict[str, Any]
    """Identities of the models that made the vectors, by name."""
    snapshot: int
    """The snapshot that it was built from."""
    rows: int
    """That snapshot's next_row."""
    created_at: str
    """When the build was made, UTC, ISO 8601."""
    faiss: str
    """Version of FAISS."""
    parts: tuple[PartInfo, ...]
    """Its part files: the full build or merge first, then one per delta."""
    metric: str = METRIC
    """How two vectors are compared."""
    id: str = ""
    """How an id is made from a row and a tick."""
    trained: PartInfo | None = None
    """The trained, empty index that deltas are filled with; none for a kind without lists."""
    trained_on: Training | None = None
    """The full build in which its lists were trained."""
    newer: int = 0
    """Number of vectors added after the training."""
    covers: tuple[CoveredShard, ...] | None = None
    """Shards whose vectors it contains; none in builds that predate updates."""
    second_look: tuple[VectorFile, ...] | None = None
    """Raw vectors for rescoring the best candidates; none for an index without rescoring."""
    removed: RemovedIds | None = None
    """Removed ids that the parts still contain; none when there are none."""
    queries: str = ""
    """The file of queries and their exact answers."""
    nprobe: int | None = None
    """Lists searched per query; none for an index without lists."""
    recall_at_10: dict[str, Recall] = field(default_factory=dict)
    """Recall@10 by the name of the queries."""
    recall: OperatingPoint | None = None
    """Recall and latency measured with that nprobe."""
    by_nprobe: tuple[OperatingPoint, ...] = ()
    """All points measured while nprobe was chosen."""
    interval: str = INTERVAL
    """How the bounds of a recall are computed."""
    min_recall: float = 0.0
    """The gate: `--min-recall`."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of each step of the build."""
    imbalance: float | None = None
    """How unevenly the lists are filled: 1 is even; none for an index without lists."""

    def files(self) -> list[str]:
        """Every stored file that it needs, index.json left out."""
        return [
            *(part.path for part in self.parts),
            self.queries,
            *([self.trained.path] if self.trained else []),
            *([self.removed.path] if self.removed else []),
            *(file.path for file in self.second_look or ()),
        ]

    def to_json(self) -> bytes:
        """The bytes of index.json. Fields that are absent are left out; null is kept where it says "without lists"."""
        stored = asdict(self)
        stored["recall"] = self.recall.to_json() if self.recall else None
        stored["by_nprobe"] = [point.to_json() for point in self.by_nprobe]
        absent = [
            name for name in ("trained", "trained_on", "newer", "covers", "second_look", "removed") if not stored[name]
        ]
        return json.dumps({name: value for name, value in stored.items() if name not in absent}, indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes | str, built_path: str = "", built_sha256: str = "") -> IndexManifest:
        """Reads index.json. Builds of older versions lack fields; the path and hash of such a build name its only file."""
        stored: dict[str, Any] = {"asked": "auto", "why": "made before reasons were stored"} | json.loads(text)
        if "parts" not in stored:  # builds that predate updates
            stored["parts"] = [asdict(PartInfo(f"{built_path}/index.faiss", built_sha256, 0, stored["vectors"]))]
        if "of" not in stored:  # builds that predate indexes over windows
            stored |= {"of": "frames", "ids_a_row": stored["ticks"], "models": {"clip": stored["clip"]}}
        for name, read in _READ.items():
            if stored.get(name) is not None:
                stored[name] = read(stored[name])
        return cls(**{one.name: stored[one.name] for one in fields(cls) if one.name in stored})


_READ: dict[str, Callable[[Any], Any]] = {
    "parts": lambda some: tuple(PartInfo(**one) for one in some),
    "trained": lambda one: PartInfo(**one),
    "trained_on": lambda one: Training(**one),
    "covers": lambda some: tuple(CoveredShard.from_json(one) for one in some),
    "second_look": lambda some: tuple(VectorFile(**one) for one in some),
    "removed": lambda one: RemovedIds(**one),
    "recall_at_10": lambda some: {name: Recall(**one) for name, one in some.items()},
    "recall": OperatingPoint.from_json,
    "by_nprobe": lambda some: tuple(OperatingPoint.from_json(one) for one in some),
}
"""How the fields of IndexManifest that hold records are read from JSON."""


def raw_name(shard: ShardInfo) -> str:
    """The name of a shard's raw vectors."""
    return f"{shard.sha256}-{shard.first_row}.f16"


def mark(video_id: str) -> str:
    """Hash that replaces a removed video's id in index.json, so that no file contains the id after a purge."""
    return fingerprint({"removed": video_id})
