"""An export holds every row that counts, opens in other tools, and follows the snapshot."""

from __future__ import annotations

import csv
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.made import made_rows, put_snapshot
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.views.export import export_view
from reelbeam.schemas.errors import UsageError
from reelbeam.schemas.switched_off import turned_off
from reelbeam.schemas.tables import RowShape
from reelbeam.schemas.tensors import tensor

SHAPE = RowShape(ticks=3, frame_dim=8, audio_dim=5, text_dim=6)
ROWS = 60
GONE = f"{2:016x}"


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return made_rows(ROWS, 5, SHAPE)


@pytest.fixture
def dataset(rows: pa.Table, tmp_path: Path) -> Dataset:
    """Two shards; one video of the first was removed."""
    put_snapshot(tmp_path / "features", [rows.slice(0, 30), rows.slice(30)], SHAPE)
    opened = Dataset.open(str(tmp_path / "features"))
    first, second = opened.snapshot.shards
    return replace(opened, snapshot=replace(opened.snapshot, shards=(replace(first, removed=(GONE,)), second)))


@pytest.fixture
def kept(rows: pa.Table) -> pa.Table:
    return rows.filter(pa.array([video != GONE for video in rows["video_id"].to_pylist()])).combine_chunks()


NUMBERS = [row for row in range(ROWS) if row not in (4, 5)]


@pytest.mark.parametrize("kind", ["lists", "npy", "webdataset", "csv"])
def test_columns_of_senses_that_are_off_are_left_out(kind: str, rows: pa.Table, tmp_path: Path) -> None:
    shape = replace(SHAPE, off=("frames", "speech"))
    put_snapshot(tmp_path / "features", [turned_off(rows, shape)], shape)
    assert export_view(Dataset.open(str(tmp_path / "features")), tmp_path / "view", kind)["rows"] == ROWS
    [made] = [path for path in (tmp_path / "view").iterdir() if path.name != "export.json"]
    if kind == "npy":
        names = {path.stem for path in made.iterdir()}
    elif kind == "lists":
        names = set(pq.read_schema(made).names)
    elif kind == "csv":
        names = set(made.read_text().splitlines()[0].split(","))
    else:
        with tarfile.open(made) as tar:
            held = tar.getnames()
            names = {name.split(".")[1] for name in held} | set(json.load(tar.extractfile(held[0])))  # type: ignore[arg-type]
    assert not names & {"frame_embedding", "text", "words", "text_embedding"}
    assert {"frame_status", "speech_status", "start_ms"} <= names
    assert kind == "csv" or "audio_feature" in names


def test_lists_answer_sql_over_single_vectors(dataset: Dataset, kept: pa.Table, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    assert export_view(dataset, tmp_path / "view", "lists")["rows"] == len(kept)
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT row, frame_embedding[2][3], tick_valid, text_embedding, list_dot_product(frame_embedding[1], "
            f"frame_embedding[1]) FROM read_parquet('{tmp_path}/view/*.parquet') ORDER BY row"
        ).fetchall()
    assert [row[0] for row in found] == NUMBERS
    frames = tensor(kept, "frame_embedding").astype(np.float32)
    np.testing.assert_array_equal([row[1] for row in found], frames[:, 1, 2])
    assert [row[2] for row in found] == tensor(kept, "tick_valid").tolist()
    assert [row[3] is not None for row in found] == kept["text_embedding"].is_valid().to_pylist()
    np.testing.assert_allclose([row[4] for row in found], (frames[:, 0] ** 2).sum(-1), rtol=1e-5)
    said = next(row[3] for row in found if row[3] is not None)
    np.testing.assert_array_equal(said, tensor(kept, "text_embedding")[0].astype(np.float32))


def test_npy_has_one_array_a_column(dataset: Dataset, kept: pa.Table, tmp_path: Path) -> None:
    export_view(dataset, tmp_path / "view", "npy")
    folders = sorted(path for path in (tmp_path / "view").iterdir() if path.is_dir())
    assert len(folders) == 2
    for name in ("frame_embedding", "text_embedding", "tick_pts_ms"):
        found = np.concatenate([np.load(folder / f"{name}.npy", mmap_mode="r") for folder in folders])
        np.testing.assert_array_equal(found, tensor(kept, name))
    texts = np.concatenate([np.load(folder / "text.npy") for folder in folders])
    assert texts.tolist() == kept["text"].to_pylist()
    words = [row for folder in folders for row in json.loads((folder / "words.json").read_text())]
    assert words == kept["words"].to_pylist()
    numbers = np.concatenate([np.load(folder / "row.npy") for folder in folders])
    assert numbers.tolist() == NUMBERS


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves its tar open
def test_webdataset_reads_the_tars(dataset: Dataset, kept: pa.Table, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    export_view(dataset, tmp_path / "view", "webdataset")
    tars = sorted(str(path) for path in (tmp_path / "view").glob("*.tar"))
    found = list(webdataset.WebDataset(tars, shardshuffle=False).decode())
    assert [int(row["__key__"]) for row in found] == NUMBERS
    np.testing.assert_array_equal(
        np.stack([row["frame_embedding.npy"] for row in found]), tensor(kept, "frame_embedding")
    )
    assert [row["json"]["text"] for row in found] == kept["text"].to_pylist()
    assert [("text_embedding.npy" in row) for row in found] == kept["text_embedding"].is_valid().to_pylist()
    with tarfile.open(tars[0]) as tar:
        assert {entry.mtime for entry in tar} == {0}


def test_csv_has_numbers_and_text(dataset: Dataset, kept: pa.Table, tmp_path: Path) -> None:
    export_view(dataset, tmp_path / "view", "csv")
    found = []
    for file in sorted((tmp_path / "view").glob("*.csv")):
        with open(file, newline="", encoding="utf-8") as stream:
            found += list(csv.DictReader(stream))
    assert [int(row["row"]) for row in found] == NUMBERS
    assert [row["text"] for row in found] == kept["text"].to_pylist()
    assert [len(json.loads(row["words"])) for row in found] == [len(words) for words in kept["words"].to_pylist()]
    assert "frame_embedding" not in found[0]


@pytest.mark.parametrize("kind", ["lists", "npy", "webdataset", "csv"])
def test_a_second_export_writes_only_what_changed(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    dest = tmp_path / "view"
    assert export_view(dataset, dest, kind) == {"written": 2, "kept": 0, "deleted": 0, "rows": 58}
    before = {path: path.stat().st_mtime_ns for path in dest.rglob("*") if path.name != "export.json"}
    assert export_view(dataset, dest, kind) == {"written": 0, "kept": 2, "deleted": 0, "rows": 58}
    assert {path: path.stat().st_mtime_ns for path in dest.rglob("*") if path.name != "export.json"} == before

    first, second = dataset.snapshot.shards
    less = replace(second, removed=(f"{20:016x}",))
    newer = replace(dataset, snapshot=replace(dataset.snapshot, shards=(first, less)))
    assert export_view(newer, dest, kind) == {"written": 1, "kept": 1, "deleted": 0, "rows": 56}
    last = replace(dataset, snapshot=replace(dataset.snapshot, shards=(less,)))
    assert export_view(last, dest, kind) == {"written": 0, "kept": 1, "deleted": 1, "rows": 28}
    assert len([path for path in dest.iterdir() if path.name != "export.json"]) == 1


def test_a_shard_without_rows_leaves_no_file(dataset: Dataset, tmp_path: Path) -> None:
    first, second = dataset.snapshot.shards
    empty = replace(first, removed=tuple(f"{video:016x}" for video in range(15)))
    newer = replace(dataset, snapshot=replace(dataset.snapshot, shards=(empty, second)))
    assert export_view(newer, tmp_path / "view", "lists")["rows"] == 30
    assert len(list((tmp_path / "view").glob("*.parquet"))) == 1
    assert export_view(newer, tmp_path / "view", "lists")["kept"] == 2


def test_a_folder_of_somebody_else_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(UsageError, match="not empty"):
        export_view(dataset, tmp_path / "mine", "lists")
    export_view(dataset, tmp_path / "view", "lists")
    with pytest.raises(UsageError, match="as lists, not as csv"):
        export_view(dataset, tmp_path / "view", "csv")


def test_the_command_exports(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", dataset.storage.root, str(tmp_path / "view"), "--as", "csv"]) == 0
    assert "60 rows; shards: 2 written" in capsys.readouterr().out
    assert pq.ParquetFile(next((Path(dataset.storage.root) / "windows").rglob("*.parquet"))).metadata.num_rows == 30
