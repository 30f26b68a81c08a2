"""What is said, and fused embeddings: searched exactly, by an index, and by both together, with the same answers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_vectors import TEXT_DIMENSION, Clusters, MadeDataset

from benchmarks.made import put_snapshot
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.dataset.vectors import shard_ids
from reelbeam.pipeline.indexes.options import IndexOptions
from reelbeam.pipeline.indexes.store import read_manifest
from reelbeam.pipeline.indexes.update import run_index, update_index
from reelbeam.pipeline.nightly.indexes import update_indexes
from reelbeam.pipeline.nightly.purge_ids import NamedVideo, find_traces, stray_vectors
from reelbeam.pipeline.nightly.verify import check_index
from reelbeam.pipeline.search.opened_index import open_index
from reelbeam.pipeline.search.windows import WindowVectors
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.example_rows import example_windows
from reelbeam.schemas.tables import RowShape
from reelbeam.schemas.tensors import tensor
from reelbeam.schemas.vector_sources import FUSED, SPEECH, VECTOR_SOURCES, WORDS, VectorSource

WORLD = Clusters(16, 50)


def encode(dataset: Dataset, wanted: int, device: str) -> np.ndarray:
    """Stands in for the sentence model."""
    return queries(20, TEXT_DIMENSION)


def queries(count: int, dimension: int) -> np.ndarray:
    values = np.random.default_rng(7).normal(size=(count, dimension)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def options(**changed: object) -> IndexOptions:
    return IndexOptions(**{"of": "speech", "device": "cpu", "queries": 50, **changed})  # type: ignore[arg-type]


def check(dataset: Dataset, kind: VectorSource, k: int = 9) -> None:
    """The answers are those of brute force over the rows that count."""
    keys, vectors = [], []
    for _, batch in dataset.batches(["video_id", "start_ms", kind.column]):
        there = batch[kind.column].is_valid().to_numpy(zero_copy_only=False)
        rows = zip(batch["video_id"].to_pylist(), batch["start_ms"].to_pylist(), there, strict=True)
        keys += [(video, start) for video, start, has in rows if has]
        vectors.append(tensor(batch, kind.column)[there].astype(np.float32))
    values = np.concatenate(vectors)
    windows = WindowVectors(dataset, kind)
    for query in queries(5, values.shape[1]):
        scores = values @ query
        best = np.argsort(-scores, kind="stable")[:k]
        found = windows.nearest(query, k)
        assert [one.score for one in found] == pytest.approx(scores[best], abs=2e-3)
        assert {(one.video_id, one.start_ms) for one in found} == {keys[at] for at in best}


@pytest.fixture
def made(tmp_path: Path) -> MadeDataset:
    dataset = MadeDataset(tmp_path / "features", 16)
    dataset.add([WORLD.draw(800, seed) for seed in range(2)])
    return dataset


@pytest.mark.parametrize("kind", [SPEECH, FUSED], ids=lambda kind: kind.name)
def test_without_an_index_every_row_is_compared(kind: VectorSource, tmp_path: Path) -> None:
    shape = RowShape(4, 8, 5, 6, 7)
    put_snapshot(tmp_path / "features", [example_windows(60, 5, shape)], shape)
    check(Dataset.open(str(tmp_path / "features")), kind)


@pytest.mark.parametrize("kind", ["auto", "IVF4,Flat"])
def test_an_index_over_what_is_said_answers_as_comparing_all_does_whatever_came_and_went(
    kind: str, made: MadeDataset
) -> None:
    wanted = options(index=kind, min_recall=1.0, merge_above=1.0)
    published, manifest = run_index(made.root, wanted, encode=encode)
    spoken = sum(len(shard_ids(SPEECH, made.storage, shard)) for shard in published.shards)
    assert (manifest.vectors, manifest.id, manifest.dimension) == (spoken, "row", TEXT_DIMENSION)
    assert published.indexes["speech"].of == "speech"
    assert spoken < published.next_row, "windows without words have no vector"
    made.add([WORLD.draw(200, 9)])
    made.remove(set(made.videos()[::7]))
    check(Dataset.open(made.root), SPEECH)  # the index knows neither the new rows nor the removals
    published, manifest = update_index(made.root, wanted, encode=encode)
    assert list(check_index(Dataset.open(made.root), "speech", published.indexes["speech"])) == []
    check(Dataset.open(made.root), SPEECH)
    assert manifest.vectors == sum(len(shard_ids(SPEECH, made.storage, shard)) for shard in published.shards)
    assert manifest.why.startswith("delta" if kind != "auto" else "full")


def test_indexes_of_different_things_stand_side_by_side_and_are_not_mistaken(made: MadeDataset) -> None:
    run_index(made.root, options(), encode=encode)
    run_index(made.root, options(of="frames"), encode=lambda *_: WORLD.draw(20, 3))
    assert set(Dataset.open(made.root).snapshot.indexes) == {"speech", "frames"}
    with pytest.raises(UsageError, match="of speech, here one of frames is wanted"):
        open_index(made.root, "speech")
    with pytest.raises(UsageError, match="--of speech, or another --name"):
        update_index(made.root, options(of="frames", name="speech"), encode=encode)
    with pytest.raises(UsageError, match="no fused embeddings; make them with"):
        run_index(made.root, options(of="fused"), encode=encode)


def test_every_kind_of_vector_is_named_by_its_option() -> None:
    [choices] = [
        declared.metadata["doc"].choices
        for declared in IndexOptions.__dataclass_fields__.values()
        if declared.name == "of"
    ]
    assert set(choices) == {*VECTOR_SOURCES, WORDS}


def test_a_night_keeps_the_kind_that_was_asked_for_and_goes_on_where_a_column_has_gone(made: MadeDataset) -> None:
    published, _ = run_index(made.root, options(index="IVF4,Flat", name="mine", min_recall=0.5), encode=encode)
    made.add([WORLD.draw(40, 9)])
    gone = replace(published.indexes["mine"], of="fused")
    standing = {"mine": published.indexes["mine"], "other": gone}
    night = options(name="speech", index="auto", merge_above=1.0, min_recall=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "reelbeam.pipeline.indexes.update.encode_texts",
            lambda dataset, wanted, device, kind: encode(dataset, wanted, device),
        )
        done = update_indexes(made.storage, night, standing)
    assert {name: one.kind for name, one in done.items()} == {"speech": "Flat", "mine": "IVF4,Flat"}


def test_vectors_of_windows_are_traced_by_their_rows(made: MadeDataset) -> None:
    run_index(made.root, options(), encode=encode)
    [built] = Dataset.open(made.root).snapshot.indexes.values()
    shards = Dataset.open(made.root).snapshot.shards
    [file] = [path for path in built.files if path.endswith("index.faiss")]
    assert stray_vectors(made.storage, file, shards, 1) == 0
    assert stray_vectors(made.storage, file, shards[:1], 1) == len(shard_ids(SPEECH, made.storage, shards[1]))
    seen = list(find_traces(made.storage, NamedVideo("no-such-video", "")))
    assert seen == []


def test_an_index_from_before_windows_had_any_is_read_as_one_of_frames(made: MadeDataset) -> None:
    run_index(made.root, options(of="frames"), encode=lambda *_: WORLD.draw(20, 3))
    [built] = Dataset.open(made.root).snapshot.indexes.values()
    now = read_manifest(made.storage, built)
    stored = json.loads(now.to_json())
    old = {name: value for name, value in stored.items() if name not in ("of", "models", "ids_a_row", "asked")}
    old |= {"ticks": now.ids_a_row, "clip": now.models["clip"]}
    text = json.dumps(old).encode()
    made.storage.put("indexes/frames/old/index.json", text)
    found = read_manifest(
        made.storage, replace(built, path="indexes/frames/old", settings_sha256=hashlib.sha256(text).hexdigest())
    )
    assert found == now


def test_a_graph_is_refused_with_the_cure(made: MadeDataset) -> None:
    with pytest.raises(UsageError, match=r"--index HNSW32: HNSW32 keeps a graph.*cure: auto, or a kind with lists"):
        run_index(made.root, options(index="HNSW32"), encode=encode)
