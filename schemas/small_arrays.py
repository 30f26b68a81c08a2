"""Short lists and flags between Python, numpy and Arrow, through the buffers.

`pa.array` of a list, `take` by a list, `pa.scalar` (and so a comparison with a text) and `to_numpy` import pandas where it is
installed. That takes a quarter of a second: more than all else that a short command does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pyarrow as pa


def int64_array(values: Iterable[int]) -> pa.Int64Array:
    """Numbers, none of them null.

    >>> int64_array([3, 1]).to_pylist()
    [3, 1]
    """
    numbers = np.fromiter(values, np.int64)
    return pa.Int64Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])


def string_array(texts: Iterable[str]) -> pa.StringArray:
    """Texts, none of them null, 2 GiB of UTF-8 at most.

    >>> string_array(["a", "", "é"]).to_pylist()
    ['a', '', 'é']
    """
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded)))


def strings(texts: pa.StringArray) -> list[str]:
    """The texts of an array without nulls, many times as fast as `to_pylist`.

    >>> strings(string_array(["a", "", "é"]).slice(1))
    ['', 'é']
    """
    _, ends, held = texts.buffers()
    if not len(texts) or held is None:
        return [""] * len(texts)
    at = np.frombuffer(ends, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    content = memoryview(held)[at[0] : at[-1]]
    whole, places = str(content, "utf-8"), (at - at[0]).tolist()
    if len(whole) == len(content):  # ASCII: a letter is a byte
        return [whole[start:end] for start, end in itertools.pairwise(places)]
    return [str(content[start:end], "utf-8") for start, end in itertools.pairwise(places)]


def flags(values: pa.BooleanArray | pa.ChunkedArray) -> np.ndarray:
    """bool [n] of an array without nulls. Raises ValueError for one with nulls.

    >>> flags(string_array(["a", "b"]).is_valid())
    array([ True,  True])
    """
    if values.null_count:
        raise ValueError(f"{values.null_count} of {len(values)} flags are null: neither true nor false")
    if isinstance(values, pa.ChunkedArray):
        return np.concatenate([np.zeros(0, bool), *map(flags, values.chunks)])
    if not len(values):
        return np.zeros(0, bool)
    held = np.frombuffer(values.buffers()[1], np.uint8)
    bits = np.unpackbits(held, count=values.offset + len(values), bitorder="little")
    return bits[values.offset :].astype(bool)


def stretches_of(numbers: np.ndarray) -> tuple[tuple[int, int], ...]:
    """Row numbers int64 [rows] as runs of consecutive numbers, each (first, rows).

    >>> stretches_of(np.array([7, 8, 20, 3]))
    ((7, 2), (20, 1), (3, 1))
    """
    if not len(numbers):
        return ()
    starts = np.flatnonzero(np.concatenate([[True], np.diff(numbers) != 1]))
    lengths = np.diff(np.append(starts, len(numbers)))
    return tuple((int(numbers[at]), int(rows)) for at, rows in zip(starts, lengths, strict=True))


def united(*parts: np.ndarray) -> np.ndarray:
    """The numbers of sorted int64 arrays, sorted, each once. `np.unique` hashes first, and takes twenty times as long for these.

    >>> united(np.array([1, 5]), np.array([1, 2]), np.zeros(0, np.int64)).tolist()
    [1, 2, 5]
    """
    merged = np.concatenate([np.zeros(0, np.int64), *parts])
    merged.sort(kind="stable")  # merges runs that are sorted already
    return merged[np.append(True, merged[1:] != merged[:-1])[: len(merged)]]


def held_in(numbers: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Whether each number is one of the sorted int64 ids: bool [n].

    >>> held_in(np.array([4, 1, 9]), np.array([1, 4])).tolist(), held_in(np.array([4]), np.zeros(0, np.int64)).tolist()
    ([True, True, False], [False])
    """
    if not len(ids):
        return np.zeros(len(numbers), bool)
    found: np.ndarray = ids[np.minimum(np.searchsorted(ids, numbers), len(ids) - 1)] == numbers
    return found
