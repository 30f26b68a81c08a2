"""What is stored opens again as what it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.elements import Grid
from reelbeam.schemas.errors import CommitConflict, CorruptOutput, UsageError, shorten
from reelbeam.schemas.example_rows import example_windows
from reelbeam.schemas.file_records import IndexInfo, ShardInfo, TableInfo
from reelbeam.schemas.snapshot import Snapshot, commit, commit_next, latest, load
from reelbeam.schemas.storage import Storage, Stored
from reelbeam.schemas.switched_off import turned_off
from reelbeam.schemas.tables import RowShape, failures_schema, validate_windows, videos_schema, windows_schema
from reelbeam.schemas.tensors import tensor, tensor_array

STORAGE = Storage.at("/nowhere")  # no test reads from it
SHAPE = RowShape(4, 8, 5, 6)


def test_example_rows_are_valid() -> None:
    validate_windows(example_windows(7, seed=1, shape=SHAPE), SHAPE)


@pytest.mark.parametrize("off", [("frames",), ("sound",), ("speech",), ("frames", "sound", "speech")])
def test_rows_with_senses_off_are_valid_and_nothing_may_stand_in_their_columns(off: tuple[str, ...]) -> None:
    whole, part = example_windows(6, seed=2, shape=SHAPE), replace(SHAPE, off=off)
    rows = turned_off(whole, part)
    validate_windows(rows, part)
    assert RowShape.from_json(part.to_json()) == part
    [name, *_] = [name for name in part.off_columns if not name.endswith("_status") and name in rows.schema.names]
    filled = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), whole[name])
    with pytest.raises(CorruptOutput, match=f"{name} holds values|frame embedding"):
        validate_windows(filled, part)
    [status, *_] = [name for name in part.off_columns if name.endswith("_status")]
    with pytest.raises(CorruptOutput, match=f"{status} holds 'ok'"):
        validate_windows(broken(rows, status, ["ok"] * 6), part)
    with pytest.raises(CorruptOutput, match="holds 'off'"):
        validate_windows(broken(whole, status, ["off"] * 6), SHAPE)


def test_all_that_is_on_is_stored_as_before_senses_could_be_off() -> None:
    assert "off" not in SHAPE.to_json()
    assert turned_off(example_windows(6, seed=2, shape=SHAPE), SHAPE).equals(example_windows(6, seed=2, shape=SHAPE))


@pytest.mark.parametrize("schema", [windows_schema(SHAPE), videos_schema(6), failures_schema()])
def test_every_column_has_a_doc(schema: pa.Schema) -> None:
    for field in schema:
        assert field.metadata[b"doc"], field.name


def broken(table: pa.Table, name: str, values: object) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(
        place,
        table.schema.field(place),
        pa.array(values, table.schema.field(place).type) if not isinstance(values, pa.Array) else values,
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("window", lambda values: values[::-1]),
        ("end_ms", lambda values: [0 for _ in values]),
        ("frame_status", lambda values: ["perhaps" for _ in values]),
    ],
)
def test_rows_that_break_a_promise_are_refused(name: str, change) -> None:  # type: ignore[no-untyped-def]
    table = example_windows(6, seed=2, shape=SHAPE)
    with pytest.raises(CorruptOutput):
        validate_windows(broken(table, name, change(table[name].to_pylist())), SHAPE)


def test_an_embedding_that_is_not_of_unit_length_is_refused() -> None:
    table = example_windows(6, seed=2, shape=SHAPE)
    doubled = tensor_array(tensor(table, "frame_embedding") * np.float16(2))
    with pytest.raises(CorruptOutput, match="unit length"):
        validate_windows(broken(table, "frame_embedding", doubled), SHAPE)


@given(st.integers(1, 5), st.integers(0, 6), st.sampled_from(["float16", "int32", "uint8"]), st.data())
def test_a_tensor_survives_the_round_trip_and_slicing(width: int, rows: int, dtype: str, data: st.DataObject) -> None:
    values = np.arange(rows * width * 2).reshape(rows, width, 2).astype(dtype)
    field = pa.field(
        "x", pa.binary(width * 2 * np.dtype(dtype).itemsize), metadata={"dtype": dtype, "shape": f"[{width}, 2]"}
    )
    batch = pa.record_batch([tensor_array(values)], schema=pa.schema([field]))
    assert np.array_equal(tensor(batch, "x"), values)
    start = data.draw(st.integers(0, rows))
    assert np.array_equal(tensor(batch.slice(start), "x"), values[start:])


def test_null_rows_of_a_tensor_read_as_null() -> None:
    column = tensor_array(np.ones((3, 2), np.float16), np.array([True, False, True]))
    assert column.null_count == 1
    assert column.is_valid().to_pylist() == [True, False, True]


def made_snapshot(number: int = 1) -> Snapshot:
    shard = ShardInfo("windows/r/windows-00000-of-00001.parquet", 5, 100, "ab", ("a", 0), ("b", 2), 0, ("a",), 3)
    return Snapshot(
        number,
        number - 1 or None,
        "r",
        "2026-01-01",
        {"tick_hz": "1"},
        {"clip": {"weights": "w"}},
        "f" * 16,
        Grid(Fraction(30000, 1001), 4),
        SHAPE,
        (shard,),
        (TableInfo("videos/r.parquet", 2, 10, "cd"),),
        (),
        {"frames": IndexInfo("indexes/frames/x", "Flat", 9, 1, 5, "ef", "gh")},
        {"videos": 2},
        5,
    )


def test_a_snapshot_survives_json() -> None:
    assert Snapshot.from_json(STORAGE, made_snapshot().to_json()) == made_snapshot()


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'{"format": "other"}', made_snapshot().to_json()[:-40]])
def test_what_is_not_a_snapshot_is_refused_as_corrupt(text: bytes) -> None:
    with pytest.raises(CorruptOutput):
        Snapshot.from_json(STORAGE, text)


def test_a_snapshot_of_another_schema_version_says_what_to_do() -> None:
    with pytest.raises(CorruptOutput, match="Reelbeam version"):
        Snapshot.from_json(STORAGE, replace(made_snapshot(), schema_version=99).to_json())


def test_only_one_of_two_commits_of_the_same_number_wins(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    snapshots.commit(storage, made_snapshot())
    with pytest.raises(CommitConflict):
        snapshots.commit(storage, replace(made_snapshot(), run="other"))
    current = snapshots.latest(storage)
    assert current is not None
    assert current.run == "r"


def test_row_numbers_go_on_from_the_shards_before() -> None:
    base = made_snapshot()
    shards, next_row = base.add_shards(
        [replace(base.shards[0], path="x", first_row=-1), replace(base.shards[0], path="y", first_row=-1)]
    )
    assert [shard.first_row for shard in shards] == [0, 5, 10]
    assert next_row == 15


def test_an_empty_output_says_how_to_fill_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="reelbeam extract"):
        snapshots.load(Storage.at(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_storage_lists_reads_and_writes_whole_objects(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    storage.put("a/b.txt", b"one")
    assert storage.put_if_absent("a/c.txt", b"two")
    assert not storage.put_if_absent("a/c.txt", b"three")
    assert [stored.path for stored in storage.list()] == ["a/b.txt", "a/c.txt"]
    assert storage.get("a/c.txt") == b"two"
    storage.fetch("a/b.txt", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"one"
    with pytest.raises(FileNotFoundError):
        storage.get("a/none")


def test_an_unknown_kind_of_storage_is_refused() -> None:
    with pytest.raises(UsageError, match="s3://"):
        Storage.at("ftp://host/x")


@given(st.text(max_size=5000))
def test_messages_stay_one_short_line(text: str) -> None:
    assert len(shorten(text)) <= 600
    assert "\n" not in shorten(text)


@given(st.fractions(Fraction(1, 60), Fraction(240)), st.integers(1, 60), st.integers(0, 10**8))
def test_windows_cover_a_presentation_and_touch(tick_hz: Fraction, ticks: int, duration_ms: int) -> None:
    grid = Grid(tick_hz, ticks)
    count = grid.windows(duration_ms)
    assert count >= 1
    exact_end = Fraction(count * ticks * 1000) / tick_hz
    assert exact_end >= duration_ms
    assert count == 1 or Fraction((count - 1) * ticks * 1000) / tick_hz < duration_ms
    assert grid.window_ms(count - 1)[1] == grid.window_ms(count)[0]


def test_the_current_snapshot_is_found_from_the_newest_one_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, listed = Storage.at(tmp_path), []
    real = Storage.list

    def counted(self: Storage, prefix: str = "", after: str = "") -> Iterator[Stored]:
        for stored in real(self, prefix, after):
            listed.append(stored.path)
            yield stored

    def made(parent: Snapshot | None) -> Snapshot:
        base = parent or Snapshot(0, None, "", "", {}, {}, "", Grid(), SHAPE)
        return replace(base, number=base.number + 1)

    monkeypatch.setattr(Storage, "list", counted)
    for _ in range(20):
        commit_next(storage, made)
    listed.clear()
    commit_next(storage, made)
    assert listed == ["snapshots/000019.json", "snapshots/000020.json"], (
        "the cost of a commit does not grow with the number of snapshots"
    )
    snapshot_of_another = made(load(storage))
    commit(storage, snapshot_of_another)
    found = latest(storage)
    assert found is not None
    assert found.number == 22, "another writer's snapshot is seen"
    for file in tmp_path.glob("snapshots/*"):
        file.unlink()
    assert latest(storage) is None
    commit_next(storage, made)
    found = latest(storage)
    assert found is not None
    assert found.number == 1, "a folder that was emptied begins anew"
