"""Parts merged on disk are one FAISS file, the same as one index filled at once, in little memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_vectors import Clusters

from reelbeam.schemas.errors import CorruptOutput
from reelbeam.transforms.build_index import Vectors, fill, new_index
from reelbeam.transforms.index_kinds import KINDS, choose_kind, code_bytes, estimate, lists_for
from reelbeam.transforms.index_parts import blocks, can_merge, fill_parts, merge_parts

VALUES = Clusters(16, 50).draw(6000, seed=1)
IDS = np.arange(6000) * 7 + 11
QUERIES = Clusters(16, 50).draw(50, seed=2)


def pieces(size: int = 700) -> Vectors:
    for at in range(0, len(VALUES), size):
        yield IDS[at : at + size], VALUES[at : at + size]


@pytest.mark.parametrize(
    "kind",
    [
        "IVF32,Flat",
        "IVF32,SQfp16",
        "IVF32,RaBitQ",
        "PCA8,IVF32,SQ8",
        "IVF32_HNSW8,SQ8",
        pytest.param("OPQ4,IVF32,PQ8x4", marks=pytest.mark.slow),
    ],
)
def test_merged_parts_answer_exactly_as_one_index_filled_at_once(kind: str, tmp_path: Path) -> None:
    trained = new_index(kind, 16, VALUES)
    parts = [file for file, _ in fill_parts(trained, pieces(), tmp_path, 50_000)]
    assert len(parts) > 1
    assert merge_parts(trained, parts, tmp_path / "merged.faiss", 20_000) == len(IDS)
    trained.reset()
    fill(trained, pieces())
    merged = faiss.read_index(str(tmp_path / "merged.faiss"))
    assert merged.ntotal == trained.ntotal
    for nprobe in (1, 4, 32):
        faiss.extract_index_ivf(merged).nprobe = faiss.extract_index_ivf(trained).nprobe = nprobe
        for found, at_once in zip(merged.search(QUERIES, 20), trained.search(QUERIES, 20), strict=True):
            assert np.array_equal(found, at_once)


def test_a_graph_over_the_lists_finds_nearly_every_vectors_own_list(tmp_path: Path) -> None:
    values = np.random.default_rng(3).standard_normal((4500, 128)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    training, others = values[:4000], values[4000:]
    faiss.write_index(new_index("IVF2048_HNSW32,Flat", 128, training), str(tmp_path / "trained.faiss"))
    index = faiss.read_index(str(tmp_path / "trained.faiss"))
    graph = faiss.extract_index_ivf(index).quantizer
    centres = np.array([graph.reconstruct(number) for number in range(2048)])
    assert (graph.search(others, 1)[1].ravel() == (others @ centres.T).argmax(axis=1)).mean() >= 0.95


def test_removed_ids_are_left_out_of_a_merge(tmp_path: Path) -> None:
    trained = new_index("IVF32,Flat", 16, VALUES)
    parts = [file for file, _ in fill_parts(trained, pieces(), tmp_path, 50_000)]
    removed = np.sort(np.concatenate([IDS[::3], [5, 10**9]]))
    assert merge_parts(trained, parts, tmp_path / "merged.faiss", 20_000, removed) == len(IDS) - len(IDS[::3])
    merged = faiss.read_index(str(tmp_path / "merged.faiss"))
    faiss.extract_index_ivf(merged).nprobe = 32
    scores = QUERIES @ VALUES.T
    scores[:, ::3] = -np.inf
    assert np.array_equal(merged.search(QUERIES, 5)[1], IDS[np.argsort(-scores, axis=1)[:, :5]])


def test_no_parts_merge_to_an_empty_index(tmp_path: Path) -> None:
    trained = new_index("IVF32,Flat", 16, VALUES)
    assert merge_parts(trained, [], tmp_path / "merged.faiss", 1000) == 0
    assert faiss.read_index(str(tmp_path / "merged.faiss")).ntotal == 0


@pytest.mark.parametrize("kind", ["IVF16,Flat", "IVF32,SQ8", "Flat"])
def test_a_part_of_another_index_is_refused(kind: str, tmp_path: Path) -> None:
    trained = new_index("IVF32,Flat", 16, VALUES)
    other = new_index(kind, 16, VALUES)
    fill(other, pieces())
    faiss.write_index(other, str(tmp_path / "other.faiss"))
    with pytest.raises(CorruptOutput, match="not a part of this index"):
        merge_parts(trained, [tmp_path / "other.faiss"], tmp_path / "merged.faiss", 1000)


def test_a_part_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    trained = new_index("IVF32,Flat", 16, VALUES)
    [(part, _)] = fill_parts(trained, pieces(), tmp_path, 10**9)
    part.write_bytes(part.read_bytes()[:-1000])
    with pytest.raises(CorruptOutput):
        merge_parts(trained, [part], tmp_path / "merged.faiss", 1000)


def test_kinds_whose_lists_faiss_stores_in_another_form_are_not_merged_on_disk() -> None:
    assert can_merge(new_index("IVF32,SQ8", 16, VALUES))
    assert not can_merge(new_index("IVF32,PQ8x4fs", 16, VALUES))
    assert not can_merge(new_index("Flat", 16, VALUES))


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 100))
def test_blocks_cover_all_lists_once_and_keep_to_their_bound(sizes: list[int], most: int) -> None:
    found = list(blocks(np.array(sizes, np.int64), most))
    assert [at for first, last in found for at in range(first, last)] == list(range(len(sizes)))
    assert all(sum(sizes[first:last]) <= most or last == first + 1 for first, last in found)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 10**10), st.sampled_from([64, 512, 1024]))
def test_the_table_of_choices_names_kinds_that_faiss_knows(vectors: int, dimension: int) -> None:
    kinds = [row.factory(vectors, dimension) for row in KINDS]
    costs = [estimate(kind, vectors, dimension, 2) for kind in kinds]
    assert all(code_bytes(kind, dimension) > 0 for kind in kinds)
    assert all(cost.memory_bytes >= vectors for cost in costs)
    assert choose_kind(vectors, dimension, 1e9) in kinds
    assert int(lists_for(vectors).split("_")[0]) ** 2 <= 64 * vectors


def test_less_memory_or_more_recall_changes_the_choice() -> None:
    assert choose_kind(10**7, 512, 64e9) == "IVF16384,SQfp16"
    assert "SQ8" in choose_kind(10**7, 512, 8e9)
    assert "RaBitQ" in choose_kind(10**7, 512, 1e9) or "PQ" in choose_kind(10**7, 512, 1e9)
    assert "SQ8" in choose_kind(10**7, 512, 1e9, recall=0.99), "recall comes first, memory second"


MERGE_IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
import faiss
from reelbeam.transforms.index_parts import merge_parts
trained = faiss.read_index(sys.argv[1] + "/trained.faiss")
parts = sorted(Path(sys.argv[1]).glob("0*.faiss"))
status = Path("/proc/self/status").read_text()
held = int(status.split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (held + int(sys.argv[2]), held + int(sys.argv[2])))
print(merge_parts(trained, parts, Path(sys.argv[1], "merged.faiss"), int(sys.argv[2]) // 4))
try:
    bytearray(2 * int(sys.argv[2]))
except MemoryError:
    print("the limit holds")
"""


def test_merging_keeps_to_a_memory_limit_that_is_smaller_than_the_index(tmp_path: Path) -> None:
    limit, dimension, count = 24 << 20, 256, 60_000
    world = Clusters(dimension, 100)
    trained = new_index("IVF64,Flat", dimension, world.draw(3000, seed=0))

    def stream() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for at in range(0, count, 5000):
            yield np.arange(at, at + 5000), world.draw(5000, seed=at)

    parts = [file for file, _ in fill_parts(trained, stream(), tmp_path, limit // 4)]
    faiss.write_index(trained, str(tmp_path / "trained.faiss"))
    assert sum(part.stat().st_size for part in parts) > 2 * limit
    done = subprocess.run(
        [sys.executable, "-c", MERGE_IN_LITTLE_MEMORY, str(tmp_path), str(limit)], capture_output=True, text=True
    )
    assert done.stdout.split("\n")[:2] == [str(count), "the limit holds"], done.stderr
    assert faiss.read_index(str(tmp_path / "merged.faiss"), faiss.IO_FLAG_MMAP).ntotal == count
