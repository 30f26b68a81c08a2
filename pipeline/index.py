"""index: a FAISS index over the frame embeddings of the current snapshot, with its measured recall beside it."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from ..models.clip import ClipSpec
from ..models.loaded import loaded
from ..schemas import snapshot as snapshots
from ..schemas.errors import GateError, ModelMismatch, UsageError
from ..schemas.snapshot import IndexInfo, Snapshot
from ..schemas.storage import Storage, file_sha256
from ..schemas.tables import tensor
from ..transforms import build_index as build
from .options import IndexOptions
from .read import Dataset

log = logging.getLogger("reelbeam")

PROMPTS = (
    "a person",
    "a crowd of people",
    "a face",
    "a child",
    "an animal",
    "a dog",
    "a cat",
    "a bird",
    "a fish",
    "a horse",
    "a car",
    "a train",
    "a boat",
    "an aeroplane",
    "a street",
    "a building",
    "a room",
    "a kitchen",
    "a mountain",
    "a beach",
    "a forest",
    "the sky",
    "the sea",
    "snow",
    "fire",
    "night",
    "food",
    "a flower",
    "a tree",
    "a ball",
    "a game",
    "music",
    "text on a screen",
    "a map",
    "a chart",
    "a phone",
    "a computer",
    "a book",
    "a hand",
    "a drawing",
)
"""Text queries that any dataset is asked, beside what is said in it."""

VECTORS_A_TEXT_QUERY = 100
"""Text queries grow with the index: encoding a thousand of them takes longer than building a small one."""


def frame_vectors(dataset: Dataset) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All frame embeddings that count: (ids int64 [n], vectors float32 [n, D]). Ticks without a frame are left out."""
    for rows, batch in dataset.batches(["frame_embedding", "tick_valid"]):
        valid = tensor(batch, "tick_valid").astype(bool)
        ids = rows[:, None] * valid.shape[1] + np.arange(valid.shape[1])
        yield ids[valid], tensor(batch, "frame_embedding")[valid].astype(np.float32)


def clip_of(identity: dict[str, Any]) -> ClipSpec:
    """The CLIP that made a dataset. Raises ModelMismatch when the weights here are not the same."""
    spec = ClipSpec(identity["architecture"], identity["weights"], quick_gelu=identity["quick_gelu"])
    here = spec.identity()
    if here != identity:
        raise ModelMismatch(
            f"the dataset was made with CLIP weights {identity['weights']} of sha256 {identity['weights_sha256'][:12]}, "
            f"here they have {here['weights_sha256'][:12]}; cure: install the version that made it"
        )
    return spec


def text_queries(dataset: Dataset, wanted: int) -> list[str]:
    """What people might ask: standing prompts, and what is said in the videos."""
    said: dict[str, None] = {}
    for _, batch in dataset.batches(["text"]):
        said.update(dict.fromkeys(" ".join(text.split()[:12]) for text in batch["text"].to_pylist() if text))
        if len(said) >= 20 * wanted:
            break
    spoken = list(said)
    picked = np.random.default_rng(1).permutation(len(spoken))[: max(0, wanted - len(PROMPTS))]
    return [*PROMPTS, *(spoken[at] for at in picked)][:wanted]


def run_index(output: str, options: IndexOptions) -> tuple[Snapshot, dict[str, Any]]:
    """Builds, measures, and publishes. Returns the new snapshot and what index.json says.

    Raises GateError under --min-recall, and UsageError when there is nothing to index.
    """
    dataset = Dataset.open(output)
    total = sum(len(ids) for ids, _ in frame_vectors(dataset))
    if not total:
        raise UsageError(f"{output}: snapshot {dataset.snapshot.number} has no frame embeddings to index")
    kind = build.choose_kind(total) if options.index == "auto" else options.index
    query_ids, query_vectors = build.sample(frame_vectors(dataset), total, options.queries, seed=1)
    try:
        index = build.new_index(kind, dataset.snapshot.shape.frame_dim, _training(dataset, kind, total, query_ids))
    except ValueError as error:
        raise UsageError(f"--index {options.index}: {error}") from error
    build.fill(index, frame_vectors(dataset))

    texts = text_queries(dataset, min(options.queries, max(len(PROMPTS), total // VECTORS_A_TEXT_QUERY)))
    text_vectors = loaded(clip_of(dataset.snapshot.models["clip"]), options.device).encode_text(texts)
    exact = [
        build.exact_search(query_vectors, frame_vectors(dataset), build.RECALL_K, query_ids),
        build.exact_search(text_vectors, frame_vectors(dataset), build.RECALL_K),
    ]

    def measure() -> list[build.Recall]:
        found = [
            build.index_search(index, query_vectors, build.RECALL_K, query_ids),
            build.index_search(index, text_vectors, build.RECALL_K),
        ]
        return [build.recall(*one, *true) for one, true in zip(found, exact, strict=True)]

    nprobe, (frames, words) = build.tune(index, measure, options.min_recall)
    settings = {
        "kind": kind,
        "metric": "inner product of unit vectors: a cosine",
        "dimension": dataset.snapshot.shape.frame_dim,
        "vectors": total,
        "id": f"row * {dataset.snapshot.shape.ticks} + tick",
        "ticks": dataset.snapshot.shape.ticks,
        "nprobe": nprobe,
        "recall_at_10": {"frame_queries": asdict(frames), "text_queries": asdict(words)},
        "min_recall": options.min_recall,
        "clip": dataset.snapshot.models["clip"],
        "snapshot": dataset.snapshot.number,
        "rows": dataset.snapshot.next_row,
        "created_at": snapshots.now(),
        "faiss": faiss.__version__,
    }
    if min(frames.recall, words.recall) < options.min_recall:
        raise GateError(
            f"recall@10 is {frames.recall:.3f} for frame queries and {words.recall:.3f} for text queries, under --min-recall "
            f"{options.min_recall:g}: not published. Cure: an index with less compression, such as --index auto or Flat"
        )
    return publish(dataset.storage, options.name, index, settings), settings


def _training(dataset: Dataset, kind: str, total: int, held_out: np.ndarray) -> np.ndarray:
    """Vectors to train with: never the queries that recall is measured with, unless there are too few others."""
    wanted = max(10_000, build.TRAINING_A_LIST * (4 * int(total**0.5) + 64))
    ids, values = build.sample(frame_vectors(dataset), total, wanted)
    kept = ~np.isin(ids, held_out)
    return values[kept] if kept.sum() >= len(values) // 2 else values


def publish(storage: Storage, name: str, index: faiss.Index, settings: dict[str, Any]) -> Snapshot:
    """Writes a build and commits a snapshot that names it."""
    folder = f"indexes/{name}/{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    with tempfile.TemporaryDirectory(prefix="reelbeam-index-") as scratch:
        file = Path(scratch, "index.faiss")
        faiss.write_index(index, str(file))
        text = json.dumps(settings, indent=1).encode()
        storage.put_file(f"{folder}/index.faiss", file)
        storage.put(f"{folder}/index.json", text)
        info = IndexInfo(
            folder,
            settings["kind"],
            settings["vectors"],
            settings["snapshot"],
            settings["rows"],
            file_sha256(file),
            hashlib.sha256(text).hexdigest(),
        )

    def swapped(parent: Snapshot | None) -> Snapshot:
        current = parent or snapshots.load(storage)
        return replace(
            current,
            number=current.number + 1,
            parent=current.number,
            created_at=snapshots.now(),
            indexes={**current.indexes, name: info},
        )

    return snapshots.commit_next(storage, swapped)
