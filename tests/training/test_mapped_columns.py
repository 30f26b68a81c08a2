"""Tensors mapped out of a file are what Parquet's own decoder gives; a file laid out otherwise is left to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelbeam.pipeline.training.mapped_columns import MappedFile, levels
from reelbeam.schemas.example_rows import example_windows
from reelbeam.schemas.tables import RowShape
from reelbeam.schemas.tensors import tensor, tensor_array, tensor_column
from reelbeam.transforms.shard_files import write_windows

SCHEMA = pa.schema(
    [tensor_column("full", "float16", (2, 3), "a tensor"), tensor_column("some", "float32", (5,), "a tensor", "", True)]
)


def made(present: np.ndarray) -> pa.Table:
    rng = np.random.default_rng(len(present))
    full = tensor_array(rng.normal(size=(len(present), 2, 3)).astype(np.float16))
    some = tensor_array(rng.normal(size=(len(present), 5)).astype(np.float32), present)
    return pa.table([full, some], SCHEMA)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=st.lists(st.tuples(st.booleans(), st.integers(1, 70)), min_size=1, max_size=12))
def test_mapped_tensors_equal_decoded_ones_whatever_is_null(runs: list[tuple[bool, int]], tmp_path: Path) -> None:
    present = np.concatenate([np.full(count, there) for there, count in runs])
    table = made(present)
    pq.write_table(table, tmp_path / "table.parquet", compression="NONE", use_dictionary=False)
    found = MappedFile.open(tmp_path / "table.parquet").mapped(0, ["full", "some"])
    np.testing.assert_array_equal(found["full"], tensor(table, "full"))
    np.testing.assert_array_equal(found["some"], tensor(table, "some"))
    assert found["some_present"].tolist() == present.tolist()


def test_every_tensor_of_a_shard_is_mapped(tmp_path: Path) -> None:
    table = example_windows(50, 1, RowShape(4, 8, 5, 6, 7))
    write_windows(table, tmp_path / "shard.parquet")
    file = MappedFile.open(tmp_path / "shard.parquet")
    found = file.mapped(0, file.columns)
    assert set(found) >= set(file.tensors) > {"frame_embedding", "text_embedding", "tick_valid"}
    for name in file.tensors:
        np.testing.assert_array_equal(found[name], tensor(table, name))


@pytest.mark.parametrize(
    "layout",
    [
        {"compression": "ZSTD"},
        {"use_dictionary": True},
        {"data_page_size": 64, "write_batch_size": 8},
        {"data_page_version": "2.0"},
        {"use_byte_stream_split": True},
    ],
    ids=["compressed", "dictionary", "many pages", "pages of version 2", "split bytes"],
)
def test_what_does_not_lie_in_one_plain_page_is_left_out(layout: dict[str, object], tmp_path: Path) -> None:
    table = made(np.arange(400) % 3 > 0)
    plain: dict[str, object] = {"compression": "NONE", "use_dictionary": False}
    pq.write_table(table, tmp_path / "table.parquet", **{**plain, **layout})
    assert MappedFile.open(tmp_path / "table.parquet").mapped(0, ["full", "some"]) == {}


def test_bits_that_stop_short_are_no_answer() -> None:
    assert levels(bytes([3 << 1, 1]), 4) is None
