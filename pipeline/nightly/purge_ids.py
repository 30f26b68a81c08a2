"""Searches OUTPUT for every trace of a video: rows, vectors, and its uri or id in any file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import pyarrow as pa
import pyarrow.compute as pc

from ...schemas import snapshot as snapshots
from ...schemas.errors import UsageError
from ...schemas.file_records import ShardInfo
from ...schemas.index_manifest import raw_name
from ...schemas.storage import Storage
from ...schemas.vector_sources import VECTOR_SOURCES, WORDS
from ...transforms.listing import video_id_of
from ..dataset import Dataset, are_held, files_of, stored_file
from ..indexes import Queries, stored_ids
from ..words import stray_documents
from .purge_texts import parquet_names, spelt, stands_in

VECTORS = ("/index.faiss", "/delta.faiss", "/queries.npz", ".f16")
"""Files of an index build that hold vectors of frames."""


@dataclass(frozen=True)
class NamedVideo:
    """A video as given on the command line: a uri or an id."""

    video_id: str
    uri: str = ""

    @classmethod
    def of(cls, text: str) -> NamedVideo:
        """
        >>> NamedVideo.of("ed1ba2a19f481f0e").uri, NamedVideo.of("s3://bucket/a.mp4").video_id
        ('', 'ed1ba2a19f481f0e')
        >>> NamedVideo.of("a.mp4").uri == str(Path("a.mp4").absolute())
        True
        """
        if re.fullmatch(r"[0-9a-f]{16}", text):
            return cls(text)
        uri = text if "://" in text else str(Path(text).expanduser().absolute())  # as a listing writes it
        return cls(video_id_of(uri), uri)

    @property
    def names(self) -> list[str]:
        return [text for text in (self.video_id, self.uri) if text]


def known_as(dataset: Dataset, text: str) -> NamedVideo:
    """A video by uri or id, with its uri where the videos table still holds it."""
    named = NamedVideo.of(text)
    rows = dataset.table("videos")
    if named.uri or not len(rows):
        return named
    uris = rows.filter(pc.equal(rows["video_id"], named.video_id))["uri"].to_pylist()
    return NamedVideo(named.video_id, uris[-1] if uris else "")


def likely_names(dataset: Dataset, text: str) -> list[str]:
    """Uris in the videos table that end with a name: suggestions for a video that was not found."""
    return sorted(row["uri"] for row in dataset.videos.values() if f"/{row['uri']}".endswith("/" + text.lstrip("./")))


def why_held(storage: Storage, path: str, named: NamedVideo) -> str:
    """Why a stored file may hold a video: its name in its bytes, or in the compressed texts of a Parquet file. Else empty."""
    names = f"names {named.uri or named.video_id}"
    with stored_file(storage, path) as file:
        if not path.endswith(".parquet"):
            content = file.read_bytes()
            return names if any(stands_in(content, form) for name in named.names for form in spelt(name)) else ""
        try:
            if any(parquet_names(file, name) for name in named.names):
                return names
        except pa.ArrowInvalid as error:
            return f"cannot be read, so its rows are unknown: {error}"
        return names if named.video_id.encode() in file.read_bytes() else ""


def stray_vectors(storage: Storage, path: str, shards: Sequence[ShardInfo], ids_a_row: int) -> int:
    """How many vectors of one file of an index build belong to no row that one of these shards holds."""
    if path.endswith(".f16"):  # of one shard, whose name it has
        raw = {raw_name(shard) for shard in shards}
        return 0 if path.rpartition("/")[2] in raw else storage.head(path).size_bytes
    if path.endswith(".npz"):
        own = Queries.from_bytes(storage.get(path)).own
        ids = own[own >= 0]
    else:
        with stored_file(storage, path) as file:
            ids = stored_ids(faiss.read_index(str(file)))
    return int((~are_held(shards, ids // ids_a_row)).sum())


def find_traces(storage: Storage, named: NamedVideo) -> Iterator[str]:
    """One line for each place that still holds a video; nothing at all is a proof that it is gone.

    Every file below OUTPUT is looked into. Of an index build every vector must belong to a row that a shard of a snapshot
    still holds: the rows hold the video no more, so no such vector is the video's.
    """
    known = snapshots.load_all(storage)
    if not known:
        raise UsageError(f"{storage.root} holds no snapshot: there is nothing to prove")
    shards = list({shard.path: shard for one in known.values() for shard in one.shards}.values())
    kept = {path for one in known.values() for path in files_of(one)}
    ids_a_row = {
        file: VECTOR_SOURCES[built.of].ids_per_row(one.shape)
        for one in known.values()
        for built in one.indexes.values()
        if built.of != WORDS
        for file in built.files
    }
    lexical = {built.path: built for one in known.values() for built in one.indexes.values() if built.of == WORDS}
    for built in lexical.values():
        if stray := stray_documents(storage, built, shards, int(named.video_id, 16)):
            yield f"{built.path}: holds the words of {stray} windows or titles that no snapshot holds any more, or of this video"
    for piece in storage.unfinished():
        yield f"{piece.path}: an unfinished write, so its rows are unknown"
    for stored in storage.list():
        folder = f"{stored.path.rpartition('/')[0]}/"
        try:
            if stored.path.startswith("indexes/") and not {stored.path, folder} & kept:
                yield f"{stored.path}: belongs to an index build that no snapshot names, so its vectors are unknown"
            elif stored.path.startswith("indexes/") and stored.path.endswith(VECTORS):
                if stray := stray_vectors(storage, stored.path, shards, ids_a_row.get(stored.path, 1)):
                    yield f"{stored.path}: holds {stray} vectors of rows that no snapshot holds any more"
            elif why := why_held(storage, stored.path, named):
                yield f"{stored.path}: {why}"
        except FileNotFoundError:  # swept meanwhile
            continue
