"""What of a video is anywhere in OUTPUT: rows, books, vectors, and its name in any file at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..schemas import snapshot as snapshots
from ..schemas.errors import UsageError
from ..schemas.storage import Storage
from ..transforms.discover import video_id_of
from .index_store import stored_ids
from .read import Dataset, stored_file


@dataclass(frozen=True)
class Named:
    """A video as somebody named it: by uri, or by id alone."""

    video_id: str
    uri: str = ""

    @classmethod
    def of(cls, text: str) -> Named:
        """
        >>> Named.of("ed1ba2a19f481f0e").uri, Named.of("s3://bucket/a.mp4").video_id
        ('', 'ed1ba2a19f481f0e')
        """
        return cls(text) if re.fullmatch(r"[0-9a-f]{16}", text) else cls(video_id_of(text), text)

    @property
    def needles(self) -> list[bytes]:
        return [text.encode() for text in (self.video_id, self.uri) if text]


def known_as(dataset: Dataset, text: str) -> Named:
    """A video by uri or id, with its uri where the books still have it."""
    named = Named.of(text)
    rows = dataset.table("videos")
    if named.uri or not len(rows):
        return named
    uris = rows.filter(pc.equal(rows["video_id"], named.video_id))["uri"].to_pylist()
    return Named(named.video_id, uris[-1] if uris else "")


def file_names(storage: Storage, path: str, named: Named) -> bool:
    """Whether a stored file names a video: in its bytes, or in the compressed columns of a Parquet file."""
    with stored_file(storage, path) as file:
        if path.endswith(".parquet"):
            parquet = pq.ParquetFile(file, memory_map=True)
            texts = [field.name for field in parquet.schema_arrow if pa.types.is_string(field.type)]
            wanted = [text.decode() for text in named.needles]
            for batch in parquet.iter_batches(columns=texts):
                if any(pc.any(pc.match_substring(batch[name], text)).as_py() for name in texts for text in wanted):
                    return True
        content = file.read_bytes()
        return any(needle in content for needle in named.needles)


def stray_ids(storage: Storage, path: str, numbers: np.ndarray) -> int:
    """How many vectors of one part of an index build belong to no row of these global numbers."""
    ticks = json.loads(storage.get(f"{path.rpartition('/')[0]}/index.json"))["ticks"]
    with stored_file(storage, path) as file:
        ids = stored_ids(faiss.read_index(str(file)))
    return int((~np.isin(ids // ticks, numbers)).sum())


def traces(storage: Storage, named: Named) -> Iterator[str]:
    """One line for each place that still holds a video; nothing at all is a proof that it is gone.

    Every file below OUTPUT is looked into. Of an index build every vector must belong to a row that a shard of a snapshot
    still holds: the rows hold the video no more, so no such vector is the video's.
    """
    known = snapshots.load_all(storage)
    if not known:
        raise UsageError(f"{storage.root} holds no snapshot: there is nothing to prove")
    shards = {shard.path: shard for one in known.values() for shard in one.shards}
    numbers = np.concatenate([np.zeros(0, np.int64), *(shard.row_numbers() for shard in shards.values())])
    for piece in storage.unfinished():
        yield f"{piece.path}: a write that never ended: nobody can say whose rows it holds"
    for stored in storage.list():
        if stored.path.endswith(("/index.faiss", "/delta.faiss")):
            try:
                stray = stray_ids(storage, stored.path, numbers)
            except FileNotFoundError:
                yield f"{stored.path}: a part of a build: nobody can say whose vectors it holds"
                continue
            if stray:
                yield f"{stored.path}: holds {stray} vectors of rows that no snapshot holds any more"
        elif file_names(storage, stored.path, named):
            yield f"{stored.path}: names {named.uri or named.video_id}"
