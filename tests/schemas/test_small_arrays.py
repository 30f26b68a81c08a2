"""Arrays made and read through their buffers are those that pyarrow makes and reads."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelbeam.schemas.small_arrays import flags, int64_array, string_array

BOOLS = st.lists(st.booleans(), max_size=40)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_numbers_are_pyarrows(values: list[int]) -> None:
    made = int64_array(value for value in values)
    made.validate(full=True)
    assert made.equals(pa.array(values, pa.int64()))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_are_pyarrows(texts: list[str]) -> None:
    made = string_array(texts)
    made.validate(full=True)
    assert made.equals(pa.array(texts, pa.string()))


@given(values=BOOLS, start=st.integers(0, 40), count=st.integers(0, 40), other=BOOLS)
def test_flags_are_read_from_slices_and_pieces(values: list[bool], start: int, count: int, other: list[bool]) -> None:
    piece = pa.array(values, pa.bool_()).slice(min(start, len(values)), count)
    assert flags(piece).dtype == bool
    assert flags(piece).tolist() == piece.to_pylist()
    pieces = pa.chunked_array([piece, pa.array(other, pa.bool_())], pa.bool_())
    assert flags(pieces).tolist() == pieces.to_pylist()
    assert flags(pa.chunked_array([], pa.bool_())).tolist() == []


def test_flags_that_are_null_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 flags are null"):
        flags(pa.array([True, None]))


def test_flags_of_missing_values_are_as_pyarrow_says() -> None:
    column = pa.array(["a", None, "b"]).slice(1)
    np.testing.assert_array_equal(flags(column.is_valid()), [False, True])
    np.testing.assert_array_equal(flags(column.is_null()), [True, False])
