"""An index is built from parts, kept up to date by deltas, and never answers with what is gone."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from made_vectors import Clusters, MadeDataset

from reelbeam.pipeline.dataset.compact import rewrite_shards, with_rewrites
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.dataset.sweep import sweep_files
from reelbeam.pipeline.dataset.vectors import frame_vectors
from reelbeam.pipeline.indexes import changes as index_changes
from reelbeam.pipeline.indexes import update
from reelbeam.pipeline.indexes.build import Build
from reelbeam.pipeline.indexes.options import IndexOptions
from reelbeam.pipeline.indexes.queries import Queries
from reelbeam.pipeline.indexes.store import open_searcher, read_manifest
from reelbeam.pipeline.indexes.update import rollback, run_index, update_index
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.errors import CorruptOutput, GateError, UsageError
from reelbeam.schemas.snapshot import Snapshot
from reelbeam.transforms import fill_index
from reelbeam.transforms.build_index import exact_search

WORLD = Clusters(16, 200)
KIND = "IVF32,SQfp16"


def encode(dataset: Dataset, wanted: int, device: str) -> np.ndarray:
    """Stands in for CLIP: directions between the clusters, as words are."""
    return WORLD.draw(wanted, seed=99)


def options(**changed: Any) -> IndexOptions:
    return IndexOptions(**{"index": KIND, "device": "cpu", "queries": 100, **changed})


@pytest.fixture
def made(tmp_path: Path) -> MadeDataset:
    dataset = MadeDataset(tmp_path / "features", 16)
    dataset.add([WORLD.draw(2000, seed) for seed in range(3)], valid=0.9)
    return dataset


def all_vectors(made: MadeDataset) -> tuple[np.ndarray, np.ndarray]:
    pieces = list(frame_vectors(Dataset.open(made.root)))
    return np.concatenate([ids for ids, _ in pieces]), np.concatenate([values for _, values in pieces])


def opened(made: MadeDataset, **how: Any) -> Any:
    dataset = Dataset.open(made.root)
    return open_searcher(dataset.storage, read_manifest(dataset.storage, dataset.snapshot.indexes["frames"]), **how)


def check_everywhere(made: MadeDataset) -> None:
    """Looking into all lists, an index answers as brute force over what counts now, mapped or in memory."""
    ids, values = all_vectors(made)
    queries = WORLD.draw(30, seed=77)
    scores, exact = exact_search(queries, iter([(ids, values)]), 10)
    for mapped in (True, False):
        searcher = opened(made, mapped=mapped)
        assert sorted(searcher.ids().tolist()) == sorted(ids.tolist())
        found_scores, found = searcher.search(queries, 10, nprobe=32)
        assert np.allclose(found_scores, scores, atol=2e-3)
        assert (found == exact).mean() > 0.98  # near ties may change places


def test_a_build_from_many_parts_answers_as_brute_force(made: MadeDataset) -> None:
    snapshot, manifest = run_index(made.root, options(memory_mb=64), encode=encode)
    assert (manifest.kind, manifest.vectors) == (KIND, len(all_vectors(made)[0]))
    check_everywhere(made)
    found = manifest.recall.recalls["frame_queries"]
    assert set(found) == {1, 10, 100}
    assert all(one.low <= one.recall <= one.high for one in found.values())
    assert [point.nprobe for point in manifest.by_nprobe][-1] == manifest.nprobe
    path = Path(made.root, snapshot.indexes["frames"].path, "index.faiss")
    assert faiss.read_index(str(path)).ntotal == manifest.vectors, "a bare FAISS reads it"


def test_parts_that_an_interrupted_build_has_finished_are_not_filled_again(
    made: MadeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GateError):
        run_index(made.root, options(index="IVF32,PQ8x4", min_recall=0.999), encode=encode)
    work = sorted(Path(made.root, "indexes/frames/work").rglob("*.faiss"))
    assert len(work) >= 2
    filled: list[str] = []
    original = fill_index.fill_task

    def counted(*given: Any) -> Any:
        filled.append(given[2].key)
        return original(*given)

    monkeypatch.setattr(fill_index, "fill_task", counted)
    run_index(made.root, options(index="IVF32,PQ8x4", min_recall=0), encode=encode)
    assert filled == []
    assert not list(Path(made.root, "indexes/frames/work").rglob("*.faiss")), "a published build leaves nothing behind"


@pytest.mark.parametrize("kind", [KIND, "IVF32,PQ8x4,RFlat", "Flat"])
def test_workers_build_and_update_the_same_index(made: MadeDataset, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spread, original = [], Build.in_workers

    def noted(*given: Any) -> Any:
        spread.append(given[-1])
        return original(*given)

    monkeypatch.setattr(Build, "in_workers", noted)

    def bytes_of(workers: str) -> list[bytes]:
        asked = options(index=kind, workers=workers, min_recall=0)
        built, _ = run_index(made.root, asked, encode=encode)
        return [Path(made.root, path).read_bytes() for path in built.indexes["frames"].files if path.endswith(".faiss")]

    assert bytes_of("3") == bytes_of("1")
    assert spread == {KIND: ["fill_index"], "Flat": []}.get(kind, ["fill_index", "store_vectors"])
    made.add([WORLD.draw(200, seed=50), WORLD.draw(160, seed=51)])
    _, manifest = update_index(made.root, options(index=kind, workers="2", min_recall=0), encode=encode)
    assert manifest.vectors == len(all_vectors(made)[0])
    check_everywhere(made)


def test_workers_of_an_index_are_for_one_machine(made: MadeDataset) -> None:
    with pytest.raises(UsageError, match="leave out one of them"):
        run_index(made.root, options(workers="2"), ["--runner", "PortableRunner"], encode=encode)


def test_a_damaged_part_is_filled_again(made: MadeDataset) -> None:
    with pytest.raises(GateError):
        run_index(made.root, options(index="IVF32,PQ8x4", min_recall=0.999), encode=encode)
    for part in Path(made.root, "indexes/frames/work").rglob("*-00000.faiss"):
        part.write_bytes(part.read_bytes()[:-1] + b"x")
    run_index(made.root, options(index="IVF32,PQ8x4", min_recall=0), encode=encode)
    assert sorted(opened(made).ids().tolist()) == sorted(all_vectors(made)[0].tolist())


def test_new_rows_become_a_delta_and_removed_ones_are_never_found(made: MadeDataset) -> None:
    run_index(made.root, options(), encode=encode)
    gone = set(made.videos()[:7])
    made.remove(gone)
    made.add([WORLD.draw(200, seed=50)])
    _, manifest = update_index(made.root, options(), encode=encode)
    assert manifest.why.startswith("delta: 200 vectors are new")
    assert len(manifest.parts) == 2
    assert manifest.vectors == len(all_vectors(made)[0])
    check_everywhere(made)
    assert "fresh_queries" in manifest.recall.recalls


def test_when_nothing_has_changed_nothing_is_done(made: MadeDataset) -> None:
    first, _ = run_index(made.root, options(), encode=encode)
    second, manifest = update_index(made.root, options(), encode=encode)
    assert second.number == first.number
    assert "nothing has changed" in manifest.why


def test_parts_are_merged_when_they_pass_the_threshold(made: MadeDataset) -> None:
    run_index(made.root, options(), encode=encode)
    made.remove(set(made.videos()[:20]))
    made.add([WORLD.draw(1200, seed=50)])
    _, manifest = update_index(made.root, options(), encode=encode)
    assert manifest.why.startswith("merge:")
    assert len(manifest.parts) == 1
    assert manifest.parts[0].vectors == manifest.vectors == len(all_vectors(made)[0])
    check_everywhere(made)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"retrain_above": 0.01}, "newer than the training"),
        ({"index": "IVF16,SQfp16"}, "--index IVF16,SQfp16 is asked for"),
        ({"full": True}, "--full is asked for"),
    ],
)
def test_a_new_build_says_why(made: MadeDataset, change: dict[str, Any], reason: str) -> None:
    run_index(made.root, options(), encode=encode)
    made.add([WORLD.draw(200, seed=50)])
    _, manifest = update_index(made.root, options(**change), encode=encode)
    assert reason in manifest.why
    check_everywhere(made)


def test_rows_of_another_world_make_the_lists_uneven_and_call_for_a_new_build(made: MadeDataset) -> None:
    run_index(made.root, options(), encode=encode)
    made.add([WORLD.draw(2000, seed=50, within=(0, 1))])
    _, manifest = update_index(made.root, options(merge_above=1.0), encode=encode)
    assert "the data has drifted" in manifest.why
    check_everywhere(made)


def test_the_stored_answers_stay_exact_through_many_nights(made: MadeDataset) -> None:
    run_index(made.root, options(), encode=encode)
    for night in range(6):
        videos = made.videos()
        made.remove(set(videos[night :: len(videos) // 8]))
        made.add([WORLD.draw(120, seed=60 + night)])
        _, manifest = update_index(made.root, options(retrain_above=1.0), encode=encode)
        assert not manifest.why.startswith("full"), manifest.why
    queries = Queries.from_bytes(Path(made.root, manifest.queries).read_bytes())
    scores, ids = exact_search(queries.vectors, iter([all_vectors(made)]), 101)
    assert np.allclose(queries.scores[:, :101], scores, atol=1e-5)
    assert (queries.ids[:, :101] == ids).mean() > 0.99
    live = set(all_vectors(made)[0].tolist())
    assert set(queries.own[queries.own >= 0].tolist()) <= live
    assert (queries.own >= 0).sum() == 100


@pytest.mark.parametrize(
    "kind", [KIND, "IVF32(PQ8x4fs,RFlat),SQfp16", pytest.param("IVF32,PQ8x4,Refine(SQfp16)", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("removed", [0, 30])
def test_compaction_leaves_ids_as_they_are_and_needs_no_new_build(made: MadeDataset, kind: str, removed: int) -> None:
    chosen = options(index=kind, min_recall=0.5)
    run_index(made.root, chosen, encode=encode)
    made.remove(set(made.videos()[:removed]))
    before = all_vectors(made)
    snapshots.commit_next(made.storage, lambda parent: rewritten(made, parent))
    assert sorted(all_vectors(made)[0].tolist()) == sorted(before[0].tolist())
    made.add([WORLD.draw(200, seed=50)])
    _, manifest = update_index(made.root, chosen, encode=encode)
    assert manifest.why.startswith("merge: " if removed else "delta: 200 vectors are new")
    ids, values = all_vectors(made)
    searcher = opened(made)
    assert sorted(searcher.ids().tolist()) == sorted(ids.tolist())
    by_id = dict(zip(ids.tolist(), values, strict=True))
    scores, found = searcher.search(values[::50], 3, nprobe=32)
    wanted = np.einsum("qd,qkd->qk", values[::50], np.array([[by_id[one] for one in some] for some in found.tolist()]))
    assert np.allclose(scores, wanted, atol=2e-3)
    if kind != KIND:
        return
    check_everywhere(made)
    _, manifest = update_index(made.root, chosen, encode=encode)
    assert "nothing has changed" in manifest.why


@pytest.mark.parametrize("kind", [KIND, "IVF32(PQ8x4fs,RFlat),SQfp16", "IVF32,SQ8,Refine(SQfp16)"])
@pytest.mark.parametrize("compacted_later", [False, True])
def test_vectors_of_rows_that_left_their_shards_are_in_no_file_of_the_index(
    made: MadeDataset, kind: str, compacted_later: bool
) -> None:
    chosen = options(index=kind)
    run_index(made.root, chosen, encode=encode)
    gone = set(made.videos()[10:20])
    ids, values = all_vectors(made)
    made.remove(gone)
    gone_values = values[~np.isin(ids, all_vectors(made)[0])]
    assert len(gone_values) > 100
    if compacted_later:  # listed as removed in the build between
        update_index(made.root, chosen, encode=encode)
    snapshots.commit_next(made.storage, lambda parent: rewritten(made, parent))
    assert found_in_files(made, gone_values), "the old build holds them"
    _, manifest = update_index(made.root, chosen, encode=encode)
    assert "left their shards" in manifest.why
    sweep_files(made.storage, 1, 0, now_s=time.time() + 10)
    assert found_in_files(made, values[np.isin(ids, all_vectors(made)[0])]), "those that stay are found like this"
    assert found_in_files(made, gone_values) == []
    again, _ = update_index(made.root, chosen, encode=encode)
    assert again.number == Dataset.open(made.root).snapshot.number, "there is nothing left to do"


def found_in_files(made: MadeDataset, values: np.ndarray) -> list[str]:
    """The files of indexes in which the bytes of some vector lie, as float16 or as float32."""
    wanted = [kind.tobytes() for value in values for kind in (value.astype(np.float16), value)]
    files = [(stored.path, made.storage.get(stored.path)) for stored in made.storage.list("indexes")]
    return [path for path, content in files if any(one in content for one in wanted)]


def rewritten(made: MadeDataset, parent: Snapshot | None) -> Snapshot:
    """The same dataset, all its rows that count in one shard."""
    assert parent is not None
    done = rewrite_shards(made.storage, parent.shards, "windows/compacted/windows-00000-of-00001.parquet")
    return replace(
        parent, number=parent.number + 1, parent=parent.number, shards=tuple(with_rewrites(parent.shards, [done]))
    )


def test_rolling_back_makes_the_build_before_current_again(made: MadeDataset) -> None:
    first, _ = run_index(made.root, options(), encode=encode)
    with pytest.raises(UsageError, match="oldest build"):
        rollback(made.root, "frames")
    made.add([WORLD.draw(200, seed=50)])
    second, _ = update_index(made.root, options(), encode=encode)
    assert second.indexes["frames"] != first.indexes["frames"]
    third = rollback(made.root, "frames")
    assert (third.number, third.indexes) == (second.number + 1, first.indexes)
    _, manifest = update_index(made.root, options(), encode=encode)
    assert manifest.why.startswith("delta"), "an update goes on from there"
    check_everywhere(made)


def test_a_second_look_gives_the_scores_of_the_stored_vectors(made: MadeDataset) -> None:
    run_index(made.root, options(index="IVF32,PQ8x4,Refine(SQfp16)", min_recall=0.5), encode=encode)
    made.remove(set(made.videos()[:7]))
    made.add([WORLD.draw(200, seed=50)])
    _, manifest = update_index(made.root, options(index="IVF32,PQ8x4,Refine(SQfp16)", min_recall=0.5), encode=encode)
    assert manifest.why.startswith("delta")
    ids, values = all_vectors(made)
    by_id = dict(zip(ids.tolist(), values, strict=True))
    queries = WORLD.draw(20, seed=5)
    scores, found = opened(made).search(queries, 5, nprobe=32)
    for query, best, some in zip(queries, scores, found, strict=True):
        assert np.allclose(best, [query @ by_id[one] for one in some.tolist()], atol=1e-3)


@pytest.mark.parametrize("kind", ["auto", "Flat", "IVF1,Flat"])
def test_one_vector_is_an_index(tmp_path: Path, kind: str) -> None:
    made = MadeDataset(tmp_path / "features", 16, ticks=1)
    made.add([WORLD.draw(1, seed=1)])
    _, manifest = update_index(made.root, options(index=kind, min_recall=0), encode=encode)
    assert manifest.vectors == 1
    _, ids = opened(made).search(WORLD.draw(2, seed=2), 5)
    assert ids.tolist() == [[0, -1, -1, -1, -1]] * 2


def test_an_empty_dataset_is_refused(tmp_path: Path) -> None:
    made = MadeDataset(tmp_path / "features", 16)
    with pytest.raises(UsageError, match="no frame embeddings"):
        update_index(made.root, options(), encode=encode)


def test_when_all_videos_go_there_is_nothing_to_index(made: MadeDataset) -> None:
    run_index(made.root, options(), encode=encode)
    made.remove(set(made.videos()))
    with pytest.raises(UsageError, match="no frame embeddings"):
        update_index(made.root, options(), encode=encode)


def test_too_many_lists_for_the_vectors_and_unknown_kinds_are_refused(made: MadeDataset) -> None:
    for kind, reason in (("IVF8192,Flat", "8192 lists"), ("Nonsense12", "does not know"), ("IVF32,PQ5", "PQ5")):
        with pytest.raises(UsageError, match=reason):
            run_index(made.root, options(index=kind), encode=encode)


@pytest.mark.parametrize("damage", ["cut", "foreign", "gone", "manifest"])
def test_a_damaged_build_is_named_and_built_anew(made: MadeDataset, damage: str) -> None:
    snapshot, _ = run_index(made.root, options(), encode=encode)
    folder = Path(made.root, snapshot.indexes["frames"].path)
    file = folder / "index.faiss"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:1000])
    elif damage == "foreign":
        size = file.stat().st_size
        file.write_bytes(b"x" * size)
    elif damage == "gone":
        file.unlink()
    else:
        manifest = json.loads((folder / "index.json").read_text())
        (folder / "index.json").write_text(json.dumps({**manifest, "nprobe": 1000}))
    with pytest.raises(CorruptOutput, match="cure: reelbeam index --full"):
        opened(made)
    made.add([WORLD.draw(200, seed=50)])
    update_index(made.root, options(), encode=encode)
    check_everywhere(made)


def test_a_build_whose_work_another_has_cleared_takes_what_that_one_published(
    made: MadeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, raced = update.full_build, []

    def overtaken(*given: Any) -> Any:
        published = real(*given)
        raced.append(published)
        raise FileNotFoundError("indexes/frames/work/part.faiss")

    monkeypatch.setattr(update, "full_build", overtaken)
    published, manifest = update_index(made.root, options(), encode=encode)
    assert len(raced) == 1
    assert manifest.why.startswith("nothing has changed")
    assert published.indexes == raced[0][0].indexes


def test_an_index_of_another_model_is_built_anew(made: MadeDataset) -> None:
    run_index(made.root, options(), encode=encode)
    dataset = Dataset.open(made.root)
    manifest = read_manifest(dataset.storage, dataset.snapshot.indexes["frames"])
    change = index_changes.changes_since(dataset, manifest)
    other = replace(manifest, models={"clip": {**manifest.models["clip"], "weights": "another"}})
    assert index_changes.decide(dataset, other, change, options())[0] == "full"
    assert index_changes.decide(dataset, replace(manifest, dimension=8), change, options())[0] == "full"


@pytest.mark.long
def test_through_a_hundred_nights_recall_holds_and_ids_keep_their_meaning(tmp_path: Path) -> None:
    made = MadeDataset(tmp_path / "features", 16)
    made.add([WORLD.draw(4000, seed=1)])
    _, manifest = run_index(made.root, options(), encode=encode)
    meant = dict(zip(*(some.tolist() for some in all_vectors(made)), strict=True))
    rng, whys = np.random.default_rng(0), []
    for night in range(100):
        videos = made.videos()
        made.remove(set(rng.choice(videos, max(1, len(videos) // 200), replace=False).tolist()))
        made.add([WORLD.draw(40, seed=1000 + night)])
        _, manifest = update_index(made.root, options(), encode=encode)
        assert min(one.recall for one in manifest.recall_at_10.values()) >= options().min_recall
        whys.append(manifest.why.split(":")[0])
    assert {"delta", "merge", "full"} == set(whys)
    assert whys.count("full") <= 3
    for number, vector in zip(*all_vectors(made), strict=True):
        assert meant.setdefault(int(number), vector.tolist()) == vector.tolist()
    check_everywhere(made)
