"""A name is found in whatever kind of column a Parquet file keeps it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reelbeam.pipeline.nightly.purge_texts import parquet_names, spelt

NAME = "s3://b/a.mp4"
COLUMNS = {
    "string": pa.array([NAME]),
    "large_string": pa.array([NAME], pa.large_string()),
    "dictionary": pa.array([NAME]).dictionary_encode(),
    "struct": pa.array([{"n": 1, "name": NAME}]),
    "list": pa.array([["x", NAME]]),
    "large_list": pa.array([["x", NAME]], pa.large_list(pa.string())),
    "list of lists": pa.array([[["x"], [NAME]]]),
    "binary": pa.array([NAME.encode()]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_name_is_found_in_every_kind_of_column(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "table.parquet"
    pq.write_table(pa.table({"other": [1], "column": COLUMNS[kind]}), file, compression="zstd")
    assert parquet_names(file, NAME)
    assert not parquet_names(file, "s3://b/a.mp")


def test_quotes_are_looked_for_as_json_writes_them() -> None:
    assert 'said \\"é\\"'.encode() in spelt('said "é"')
