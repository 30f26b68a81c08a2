"""Reads, searches and publishes stored indexes. A Searcher searches all parts of a build and leaves removed ids out.

A build is `indexes/<name>/<build>/index.json` and the files that it names. A full build or a merge is one file,
`index.faiss`; a delta adds `delta.faiss`, filled with the same trained lists, and `removed.npy`.
"""

from __future__ import annotations

import hashlib
import io
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from ...schemas.errors import CorruptOutput
from ...schemas.file_records import IndexInfo
from ...schemas.index_manifest import IndexManifest, PartInfo, VectorFile
from ...schemas.local_cache import LocalCache
from ...schemas.snapshot import Snapshot
from ...schemas.storage import Storage, file_sha256
from ...transforms.build_index import lists_of, merge_results, read_index, sampled_vectors
from ..dataset import commit_index

REFINE_FACTOR = 8
"""Candidates rescored per result, for an index that stores raw vectors for rescoring."""

MEAN_OF = 4_000
"""Vectors of which `Searcher.mean` is the mean."""

VectorsOf = Callable[[np.ndarray], np.ndarray]
"""ids int64 [n] -> float32 [n, D]."""


class Searcher:
    """Searches an index of one or more parts that share their trained lists. Gives the same results as a single index.

    Memory-mapped parts stay on disk, so memory does not grow with the number of vectors.
    """

    def __init__(
        self,
        parts: Sequence[faiss.Index],
        removed: np.ndarray,
        nprobe: int | None,
        second_look: VectorsOf | None = None,
    ):
        self.parts, self.removed, self.second_look = list(parts), removed, second_look
        self.nprobe = nprobe or 1
        self.d = self.parts[0].d
        lists = lists_of(self.parts[0])
        self.nlist = lists.nlist if lists else 0
        self.ntotal = sum(part.ntotal for part in self.parts)
        self._gone = faiss.IDSelectorNot(faiss.IDSelectorBatch(removed)) if len(removed) else None

    def leave_out(self, ids: np.ndarray) -> None:
        """Leaves these ids out of all later searches."""
        self.removed = np.union1d(self.removed, ids)
        self._gone = faiss.IDSelectorNot(faiss.IDSelectorBatch(self.removed)) if len(self.removed) else None

    def search(
        self, queries: np.ndarray, k: int, nprobe: int | None = None, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of each query float32 [q, D]: scores float32 [q, k], ids int64 [q, k], padded with -1.

        `allowed` int64 [n] restricts the search to these ids.
        """
        return self._search(queries, k, nprobe or self.nprobe, None if allowed is None else _among(allowed))

    def search_outside(self, queries: np.ndarray, k: int, without: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same without some ids int64 [n]."""
        return self._search(queries, k, self.nprobe, faiss.IDSelectorNot(_among(without)))

    def _search(self, queries: np.ndarray, k: int, nprobe: int, chosen: Any) -> tuple[np.ndarray, np.ndarray]:
        wanted = k * REFINE_FACTOR if self.second_look else k
        selector = faiss.IDSelectorAnd(chosen, self._gone) if chosen and self._gone else chosen or self._gone
        found = [part.search(queries, wanted, params=_parameters(part, nprobe, selector)) for part in self.parts]
        scores, ids = merge_results(found, len(queries), wanted)
        if self.second_look is None:
            return scores, ids
        return look_again(self.second_look, queries, ids, k)

    def search_among(self, queries: np.ndarray, k: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same among some ids int64 [n].

        The fewer they are, the more lists are searched, so that about as many vectors are compared.
        """
        share = max(len(allowed), 1) / max(self.ntotal, 1)
        nprobe = min(max(1, self.nlist), math.ceil(self.nprobe / share))
        return self.search(queries, k, nprobe, allowed)

    def mean(self) -> np.ndarray:
        """The mean of a sample of the vectors, as the index holds them: float32 [D]. Zeros where there are none."""
        sampled = [np.zeros((0, self.d), np.float32)]
        sampled += [sampled_vectors(part, MEAN_OF * part.ntotal // self.ntotal) for part in self.parts if part.ntotal]
        values = np.concatenate(sampled)
        mean: np.ndarray = values.sum(axis=0) / max(1, len(values))
        return mean

    def ids(self) -> np.ndarray:
        """All ids of the index without removed ones, int64 [n], in stored order."""
        held = np.concatenate([np.zeros(0, np.int64), *(stored_ids(part) for part in self.parts)])
        return held[~np.isin(held, self.removed)] if len(self.removed) else held


def _among(ids: np.ndarray) -> Any:
    """Selects some ids: by a bit for each id up to the highest, which is faster to make and to ask than FAISS's set of ids."""
    held = np.zeros(int(ids.max(initial=-1)) + 1, bool)
    held[ids] = True
    return faiss.IDSelectorBitmap(np.packbits(held, bitorder="little"))  # type: ignore[call-arg,arg-type]


def _parameters(index: faiss.Index, nprobe: int, selector: Any) -> Any:
    """Search parameters for one part: nprobe, and which ids may be found."""
    if lists_of(index) is None:
        return faiss.SearchParameters(sel=selector) if selector else None  # type: ignore[call-arg]
    inner = faiss.SearchParametersIVF(nprobe=nprobe, **({"sel": selector} if selector else {}))  # type: ignore[call-arg]
    if isinstance(faiss.downcast_index(index), faiss.IndexPreTransform):
        return faiss.SearchParametersPreTransform(index_params=inner)  # type: ignore[call-arg]
    return inner


def look_again(vectors_of: VectorsOf, queries: np.ndarray, ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rescores candidates int64 [q, c] with their raw vectors and returns the k best of each query."""
    known, places = np.unique(ids, return_inverse=True)
    vectors = vectors_of(known[known >= 0])
    if len(known) and known[0] < 0:
        vectors = np.concatenate([np.zeros((1, queries.shape[1]), np.float32), vectors])
    scores = np.einsum("qd,qcd->qc", queries, vectors[places.reshape(ids.shape)], optimize=True).astype(np.float32)
    return merge_results([(scores, ids)], len(queries), k)


def stored_ids(index: Any) -> np.ndarray:
    """All ids in one FAISS index, int64 [n]."""
    lists = lists_of(index)
    if lists is None:
        return faiss.vector_to_array(faiss.downcast_index(index).id_map)  # type: ignore[attr-defined]
    held = lists.invlists
    assert held is not None
    parts = [
        faiss.rev_swig_ptr(held.get_ids(at), held.list_size(at)).copy()
        for at in range(lists.nlist)
        if held.list_size(at)
    ]
    return np.concatenate([np.zeros(0, np.int64), *parts])


@dataclass(frozen=True)
class RawVectors:
    """Reads vectors from raw float16 files, one per shard. Vector `id` is at byte `(id - first_id) * D * 2` of its file."""

    storage: Storage
    dimension: int
    files: tuple[VectorFile, ...]

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        out = np.zeros((len(ids), self.dimension), np.float32)
        width = 2 * self.dimension
        for file in self.files:
            here = np.flatnonzero((ids >= file.first_id) & (ids < file.first_id + file.ids))
            if not len(here):
                continue
            local = self.storage.local_path(file.path)
            if local is not None:
                stored = np.memmap(local, np.float16, "r", shape=(file.ids, self.dimension))
                out[here] += stored[ids[here] - file.first_id]
            else:
                starts = ((ids[here] - file.first_id) * width).tolist()
                pieces = self.storage.get_ranges(file.path, starts, width)
                out[here] += np.frombuffer(b"".join(pieces), np.float16).reshape(-1, self.dimension)
        return out


def stored_settings(storage: Storage, built: IndexInfo) -> bytes:
    """A build's index.json. Raises CorruptOutput when it is missing or its hash differs from the snapshot's."""
    path = f"{built.path}/index.json"
    try:
        text = storage.get(path)
    except FileNotFoundError as error:
        raise CorruptOutput(f"{path} is missing; cure: reelbeam index --full") from error
    if hashlib.sha256(text).hexdigest() != built.settings_sha256:
        raise CorruptOutput(f"{path}: its hash is not the one in the snapshot; cure: reelbeam index --full")
    return text


def read_manifest(storage: Storage, built: IndexInfo) -> IndexManifest:
    """Reads a build's index.json. Raises CorruptOutput when it is missing or its hash differs from the snapshot's."""
    return IndexManifest.from_json(stored_settings(storage, built), built.path, built.sha256)


def read_removed(storage: Storage, manifest: IndexManifest) -> np.ndarray:
    """Ids that the parts still contain and that searches must leave out, int64, sorted."""
    stored = manifest.removed
    return np.load(io.BytesIO(storage.get(stored.path))) if stored else np.zeros(0, np.int64)


def open_searcher(
    storage: Storage,
    manifest: IndexManifest,
    mapped: bool = False,
    cache: LocalCache | None = None,
    check: bool = False,
) -> Searcher:
    """Opens all parts of a build for searching.

    `mapped` maps the files into memory. Otherwise the parts are read into memory and merged, and removed ids are deleted.
    `check` compares each part's hash even when the file is already in this machine's cache.
    Raises CorruptOutput when a file differs from what index.json says.
    """
    parts, removed = [], read_removed(storage, manifest)
    cache = cache or LocalCache.at()
    for part in manifest.parts:
        try:
            file = cache.file(storage, part.path, part.sha256)
            if part.bytes and file.stat().st_size != part.bytes:
                raise CorruptOutput(
                    f"{part.path} has {file.stat().st_size} bytes, index.json says {part.bytes}; "
                    "cure: reelbeam index --full"
                )
            if check and file_sha256(file) != part.sha256:
                raise CorruptOutput(f"{part.path}: its hash is not the one in index.json; cure: reelbeam index --full")
        except FileNotFoundError as error:
            raise CorruptOutput(f"{part.path} is missing; cure: reelbeam index --full") from error
        index = read_index(file, part.path, mapped=mapped)
        if index.d != manifest.dimension or index.ntotal != part.vectors:
            raise CorruptOutput(
                f"{part.path} holds {index.ntotal} vectors of {index.d}, index.json says {part.vectors} of "
                f"{manifest.dimension}; cure: reelbeam index --full"
            )
        parts.append(index)
    second = manifest.second_look
    looker = RawVectors(storage, manifest.dimension, second) if second else None
    if not mapped and lists_of(parts[0]) is not None:
        parts, removed = [_in_one(parts, removed)], np.zeros(0, np.int64)
    return Searcher(parts, removed, manifest.nprobe, looker)


def _in_one(parts: list[faiss.Index], removed: np.ndarray) -> faiss.Index:
    """Merges parts with lists in memory and deletes the removed ids."""
    whole, *deltas = parts
    lists = lists_of(whole)
    assert lists is not None
    for delta in deltas:
        more = lists_of(delta)
        assert more is not None
        lists.merge_from(more, 0)
    whole.ntotal = lists.ntotal
    if len(removed):
        lists.remove_ids(faiss.IDSelectorBatch(removed))
        whole.ntotal = lists.ntotal
    return whole


def array_bytes(values: np.ndarray) -> bytes:
    """The array in .npy format."""
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def publish(storage: Storage, name: str, folder: str, manifest: IndexManifest) -> Snapshot:
    """Writes index.json and commits a snapshot that names the build. The build's other files must exist already."""
    text = manifest.to_json()
    path = f"{folder}/index.json"
    storage.put(path, text)
    info = IndexInfo(
        folder,
        manifest.kind,
        manifest.vectors,
        manifest.snapshot,
        manifest.rows,
        manifest.parts[0].sha256,
        hashlib.sha256(text).hexdigest(),
        (path, *manifest.files()),
        manifest.of,
    )
    return commit_index(storage, name, info)


def put_scratch(storage: Storage, path: str, file: Path, vectors: int) -> PartInfo:
    """Moves a local scratch file into storage (and the local cache) and returns its path, hash and size."""
    info = PartInfo(path, file_sha256(file), file.stat().st_size, vectors)
    storage.put_file(path, file)
    LocalCache.at().adopt(storage, file, info.sha256)
    return info


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder. Its disk must have room for one whole index."""
    return tempfile.TemporaryDirectory(prefix="reelbeam-index-")
