"""What is stored opens in other people's programs, unmodified: nothing of ours is needed but the field's metadata."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reelbeam.schemas.example_rows import example_windows
from reelbeam.schemas.tables import RowShape
from reelbeam.schemas.tensors import tensor
from reelbeam.transforms.build_index import fill, new_index
from reelbeam.transforms.shard_files import write_windows

SHAPE = RowShape(ticks=4, frame_dim=8, audio_dim=5, text_dim=6)
ROWS = 500
SAID = {"word": "hello", "start_ms": 100, "end_ms": 400, "probability": pytest.approx(0.9)}


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return example_windows(ROWS, 7, SHAPE)


@pytest.fixture(scope="module")
def shards(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two shards as WriteShards stores them, of several row groups each, with half of the rows in each."""
    folder = tmp_path_factory.mktemp("windows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reelbeam.transforms.shard_files.ROW_GROUP_BYTES", 20_000)
        for part in range(2):
            file = folder / f"windows-{part:05d}-of-00002.parquet"
            write_windows(rows.slice(part * ROWS // 2, ROWS // 2), file)
            assert pq.ParquetFile(file).num_row_groups > 1
    return sorted(folder.glob("*.parquet"))


def open_tensor(raw: bytes, field: pa.Field) -> np.ndarray:
    """One call, with what the field's metadata says."""
    return np.frombuffer(raw, field.metadata[b"dtype"].decode()).reshape(json.loads(field.metadata[b"shape"]))


def tensor_names(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if b"dtype" in (field.metadata or {})]


def test_pyarrow_reads_every_column_as_it_was(rows: pa.Table, shards: list[Path]) -> None:
    found = pq.read_table(shards[0].parent)
    assert found.num_rows == ROWS
    assert found.schema.equals(rows.schema)
    assert [field.metadata for field in found.schema] == [field.metadata for field in rows.schema]
    assert found.schema.metadata == rows.schema.metadata
    assert found.equals(rows)


def test_every_tensor_is_one_frombuffer_with_the_metadata_of_its_field(rows: pa.Table, shards: list[Path]) -> None:
    found = pq.read_table(shards[1])
    names = tensor_names(found.schema)
    assert set(names) >= {
        "frame_embedding",
        "audio_feature",
        "text_embedding",
        "tick_pts_ms",
        "tick_valid",
        "tick_sound",
        "shot",
    }
    for name in names:
        wanted = tensor(rows, name)[ROWS // 2 :]
        for row in (0, 1, ROWS // 2 - 2):
            raw = found[name][row].as_py()
            if raw is None:
                assert name == "text_embedding"
                assert not found["text"][row].as_py()
            else:
                opened = open_tensor(raw, found.schema.field(name))
                assert opened.dtype == wanted.dtype
                np.testing.assert_array_equal(opened, wanted[row])


def test_duckdb_queries_rows_words_and_tensors_of_all_shards(rows: pa.Table, shards: list[Path]) -> None:
    duckdb = pytest.importorskip("duckdb")
    source = f"read_parquet('{shards[0].parent}/*.parquet')"
    with duckdb.connect() as connection:

        def ask(query: str) -> list[tuple]:
            return connection.execute(query).fetchall()

        assert ask(f"SELECT count(*), count(DISTINCT video_id) FROM {source}") == [(ROWS, ROWS // 2)]
        assert ask(f"SELECT count(*) FROM {source} WHERE text = 'hello' AND speech_status = 'ok'") == [(ROWS // 2,)]
        assert ask(f"SELECT count(*) FROM (SELECT unnest(words) AS said FROM {source}) WHERE said.word = 'hello'") == [
            (ROWS // 2,)
        ]
        [(words,)] = ask(f"SELECT words FROM {source} WHERE video_id = '{0:016x}' AND \"window\" = 0")
        assert words == [SAID]
        found = ask(f'SELECT frame_embedding FROM {source} ORDER BY video_id, "window"')
    field = rows.schema.field("frame_embedding")
    np.testing.assert_array_equal(
        np.stack([open_tensor(raw, field) for (raw,) in found]), tensor(rows, "frame_embedding")
    )


def test_polars_scans_rows_words_and_tensors_of_all_shards(rows: pa.Table, shards: list[Path]) -> None:
    polars = pytest.importorskip("polars")
    found = polars.scan_parquet(shards[0].parent / "*.parquet").sort("video_id", "window").collect()
    assert found.height == ROWS
    assert found.columns == rows.schema.names
    said = found.filter(polars.col("text") == "hello").select(polars.col("words").list.len())
    assert said.height == ROWS // 2
    assert said["words"].to_list() == [1] * (ROWS // 2)
    assert found["words"][0].to_list() == [SAID]
    field = rows.schema.field("frame_embedding")
    opened = np.stack([open_tensor(raw, field) for raw in found["frame_embedding"]])
    np.testing.assert_array_equal(opened, tensor(rows, "frame_embedding"))


@pytest.mark.parametrize("streaming", [False, True])
def test_hugging_face_datasets_loads_and_streams_all_shards(
    rows: pa.Table, shards: list[Path], streaming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(
        "parquet",
        data_files=[str(shard) for shard in shards],
        split="train",
        streaming=streaming,
        cache_dir=str(tmp_path),
    )
    assert loaded.column_names == rows.schema.names
    found = list(loaded)
    assert len(found) == ROWS
    assert found[0]["words"] == [SAID]
    assert found[1]["words"] == []
    field = rows.schema.field("frame_embedding")
    opened = np.stack([open_tensor(row["frame_embedding"], field) for row in found])
    np.testing.assert_array_equal(opened, tensor(rows, "frame_embedding"))


RAY = """
import json, sys, numpy, pyarrow.parquet, ray

def frames(batch):
    column = batch["frame_embedding"].combine_chunks()
    values = numpy.frombuffer(column.buffers()[1], field.metadata[b"dtype"].decode())
    opened = values.reshape(-1, *json.loads(field.metadata[b"shape"]))[column.offset :][: len(column)]
    return {"video": batch["video_id"].to_numpy(), "window": batch["window"].to_numpy(), "frames": opened}

folder, shard, out = sys.argv[1:]
field = pyarrow.parquet.read_schema(shard).field("frame_embedding")
ray.init(num_cpus=1, include_dashboard=False, object_store_memory=100 * 2**20)
windows = ray.data.read_parquet(folder)
said = [row["words"] for row in windows.sort(["video_id", "window"]).take(2)]
batches = list(windows.map_batches(frames, batch_format="pyarrow").iter_batches(batch_size=64))
read = {name: numpy.concatenate([batch[name] for batch in batches]) for name in batches[0]}
order = numpy.lexsort([read["window"], read["video"].astype(str)])
numpy.savez(out, names=windows.columns(), said=json.dumps(said), frames=read["frames"][order])
"""


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed")
def test_ray_data_reads_rows_words_and_tensors_of_all_shards(
    rows: pa.Table, shards: list[Path], tmp_path: Path
) -> None:
    # A process of its own: Ray starts a small cluster, and leaves threads behind.
    command = [sys.executable, "-c", RAY, str(shards[0].parent), str(shards[0]), str(tmp_path / "read.npz")]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    found = np.load(tmp_path / "read.npz")
    assert found["names"].tolist() == rows.schema.names
    assert json.loads(str(found["said"])) == [[SAID], []]
    assert found["frames"].dtype == np.float16
    np.testing.assert_array_equal(found["frames"], tensor(rows, "frame_embedding"))


def test_a_batch_of_rows_is_one_array_without_a_copy(rows: pa.Table, shards: list[Path]) -> None:
    field = rows.schema.field("frame_embedding")
    at = 0
    for batch in pq.ParquetFile(shards[0]).iter_batches(64, columns=["frame_embedding"]):
        column = batch.column(0)
        wide = np.frombuffer(column.buffers()[1], field.metadata[b"dtype"].decode())
        opened = wide.reshape(-1, *json.loads(field.metadata[b"shape"]))[column.offset :][: len(column)]
        assert not opened.flags.owndata
        np.testing.assert_array_equal(opened, tensor(rows, "frame_embedding")[at : at + len(batch)])
        at += len(batch)
    assert at == ROWS // 2


@pytest.mark.parametrize("kind", ["Flat", "IVF16,SQfp16"])
def test_a_bare_faiss_read_index_finds_rows_and_ticks_by_arithmetic_on_ids(
    kind: str, rows: pa.Table, tmp_path: Path
) -> None:
    faiss = pytest.importorskip("faiss")
    vectors = tensor(rows, "frame_embedding").astype(np.float32)
    valid = tensor(rows, "tick_valid").astype(bool)
    ids = np.arange(ROWS * SHAPE.ticks).reshape(ROWS, SHAPE.ticks)
    built = new_index(kind, SHAPE.frame_dim, vectors[valid])
    fill(built, iter([(ids[valid], vectors[valid])]))
    faiss.write_index(built, str(tmp_path / "index.faiss"))

    index = faiss.read_index(str(tmp_path / "index.faiss"))
    assert index.ntotal == valid.sum()
    row, tick = np.argwhere(valid)[[0, 10, -1]].T
    scores, found = index.search(vectors[row, tick], 1)
    assert found[:, 0].tolist() == (row * SHAPE.ticks + tick).tolist()
    np.testing.assert_allclose(scores[:, 0], 1, atol=2e-3)
