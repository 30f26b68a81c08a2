"""Fills part indexes on disk and merges them, both in bounded memory. The result is one plain FAISS file.

A FAISS file of inverted lists ends with the lists, one after the other: the codes of a list, then its ids. Merging copies, for
each list, the entries of all parts, without decoding them. Results are the same as those of one index filled at once.

In:  a trained, empty index; streams of (ids int64 [n], vectors float32 [n, D]); files of parts.
Out: files that plain `faiss.read_index` opens.
Bad: an index whose lists FAISS stores in another form raises ValueError. A part of another index raises CorruptOutput.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np

from ..schemas.errors import CorruptOutput
from .build_index import Vectors, lists_of, read_index
from .index_kinds import ID_BYTES


@dataclass(frozen=True)
class Layout:
    """Positions of the lists in an index file. A list's codes begin at its offset; its ids follow them."""

    file: Path
    code_size: int
    sizes: np.ndarray
    """int64 [lists]: number of vectors in each list."""
    offsets: np.ndarray
    """int64 [lists], bytes from the start of the file."""

    @property
    def bytes_per_vector(self) -> int:
        return self.code_size + ID_BYTES

    def read(self, stream: BinaryIO, first: int, last: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(codes uint8 [n, code_size], ids int64 [n]) of each list in [first, last), from a single read."""
        count = int(self.sizes[first:last].sum())
        stream.seek(int(self.offsets[first]))
        block = stream.read(count * self.bytes_per_vector)
        if len(block) != count * self.bytes_per_vector:
            raise CorruptOutput(f"{self.file}: ends within its lists; cure: reelbeam index --full")
        at = 0
        for size in self.sizes[first:last].tolist():
            codes = np.frombuffer(block, np.uint8, size * self.code_size, at).reshape(size, self.code_size)
            at += size * self.code_size
            yield codes, np.frombuffer(block, np.int64, size, at)
            at += size * ID_BYTES


def can_merge(trained: faiss.Index) -> bool:
    """Whether parts of this index can be merged on disk: it has lists in FAISS's plain format."""
    lists = lists_of(trained)
    return lists is not None and _with_lists(trained, 0).endswith(_tail(lists))


def _tail(lists: faiss.IndexIVF) -> bytes:
    """The bytes at the end of the FAISS file of an index whose lists are all empty."""
    return b"ilar" + np.array([lists.nlist, lists.code_size], np.uint64).tobytes() + b"sprs" + bytes(8)


def _with_lists(trained: faiss.Index, vectors: int) -> bytes:
    """The bytes of a trained index whose header claims `vectors` vectors, with empty lists."""
    empty = faiss.deserialize_index(faiss.serialize_index(trained))
    lists = lists_of(empty)
    assert lists is not None
    lists.reset()
    empty.ntotal = lists.ntotal = vectors
    return faiss.serialize_index(empty).tobytes()


def header(trained: faiss.Index, sizes: np.ndarray) -> bytes:
    """All bytes before the lists in a FAISS file whose lists have these sizes.

    Raises ValueError for an index that FAISS does not store like this.
    """
    lists = lists_of(trained)
    text = _with_lists(trained, int(sizes.sum())) if lists else b""
    if lists is None or not text.endswith(_tail(lists)):
        raise ValueError("FAISS stores the lists of this kind of index in a form that cannot be merged on disk")
    counts = np.array([lists.nlist], np.uint64).tobytes() + sizes.astype(np.uint64).tobytes()
    return text[: -len(_tail(lists))] + _tail(lists)[:20] + b"full" + counts


def layout(file: Path, trained: faiss.Index) -> Layout:
    """The layout of a part file. Raises CorruptOutput when it is not a part of this trained index."""
    index = read_index(file, file.name, mapped=True)
    lists, wanted = lists_of(index), lists_of(trained)
    if lists is None or wanted is None or (lists.nlist, lists.code_size, index.d) != (
        wanted.nlist, wanted.code_size, trained.d
    ):  # fmt: skip
        raise CorruptOutput(f"{file.name} is not a part of this index; cure: reelbeam index --full")
    held: Any = faiss.downcast_InvertedLists(lists.invlists)  # type: ignore[arg-type]
    raw = (ctypes.c_uint64 * (3 * lists.nlist)).from_address(int(held.lists.data().this))
    table = np.array(raw, np.int64).reshape(lists.nlist, 3)
    sizes = table[:, 0].copy()
    if sizes.sum() != index.ntotal:
        raise CorruptOutput(f"{file.name}: its lists hold {sizes.sum()} vectors, its header says {index.ntotal}")
    before = np.concatenate([[0], np.cumsum(sizes)[:-1]]) * (lists.code_size + ID_BYTES)
    return Layout(
        file, lists.code_size, sizes, file.stat().st_size - sizes.sum() * (lists.code_size + ID_BYTES) + before
    )


def fill_parts(trained: faiss.Index, vectors: Vectors, folder: Path, part_bytes: int) -> Iterator[tuple[Path, int]]:
    """Fills part files of about `part_bytes` at most, one by one, and yields (file, vectors). Leaves `trained` empty."""
    lists = lists_of(trained)
    one = (lists.code_size if lists else 4 * trained.d) + ID_BYTES
    most = max(1, part_bytes // one)
    number = 0
    trained.reset()

    def written() -> tuple[Path, int]:
        nonlocal number
        file, held = folder / f"{number:05d}.faiss", trained.ntotal
        faiss.write_index(trained, str(file))
        trained.reset()
        number += 1
        return file, held

    for ids, values in vectors:
        at = 0
        while at < len(ids):
            step = min(len(ids) - at, most - trained.ntotal)
            trained.add_with_ids(values[at : at + step], ids[at : at + step])
            at += step
            if trained.ntotal >= most:
                yield written()
    if trained.ntotal:
        yield written()


def merge_parts(
    trained: faiss.Index, parts: Sequence[Path], out: Path, block_bytes: int, removed: np.ndarray | None = None
) -> int:
    """Merges parts into one FAISS file, without the ids in `removed` (int64, sorted). Returns the number of vectors in it.

    Uses `block_bytes` of memory, or the size of the largest list if that is more. Within a list, entries keep the parts' order.
    """
    layouts = [layout(part, trained) for part in parts]
    lists = lists_of(trained)
    assert lists is not None
    sizes = np.zeros(lists.nlist, np.int64)
    before = sum((one.sizes for one in layouts), np.zeros(lists.nlist, np.int64))
    space = len(header(trained, sizes))
    with ExitStack() as opened, open(out, "wb") as stream:
        streams = [opened.enter_context(open(one.file, "rb")) for one in layouts]
        stream.write(bytes(space))
        for first, last in blocks(before * (lists.code_size + ID_BYTES), block_bytes):
            found = zip(*(one.read(part, first, last) for one, part in zip(layouts, streams, strict=True)), strict=True)
            for number, pieces in enumerate(found, first):
                kept = [_without(codes, ids, removed) for codes, ids in pieces]
                for codes, _ in kept:
                    stream.write(codes.tobytes())
                for _, ids in kept:
                    stream.write(ids.tobytes())
                sizes[number] = sum(len(ids) for _, ids in kept)
        stream.seek(0)
        stream.write(header(trained, sizes))
    return int(sizes.sum())


def _without(codes: np.ndarray, ids: np.ndarray, removed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    if removed is None or not len(removed) or not len(ids):
        return codes, ids
    places = np.minimum(np.searchsorted(removed, ids), len(removed) - 1)
    keep = removed[places] != ids
    return (codes, ids) if keep.all() else (codes[keep], ids[keep])


def blocks(sizes: np.ndarray, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of consecutive lists whose sizes sum to at most `most`; a larger list is its own range.

    >>> list(blocks(np.array([3, 3, 9, 1, 1]), 6))
    [(0, 2), (2, 3), (3, 5)]
    """
    first = held = 0
    for at, size in enumerate(sizes.tolist()):
        if at > first and held + size > most:
            yield first, at
            first, held = at, 0
        held += size
    if len(sizes) > first:
        yield first, len(sizes)
