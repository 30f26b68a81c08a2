"""Builds and updates a lexical index. An update adds the new windows and titles and deletes those that are gone.

tantivy names its files at random: two builds of the same rows hold the same documents in files of other bytes.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import tantivy

from ...models.devices import cores
from ...schemas import snapshot as snapshots
from ...schemas.errors import CorruptOutput, UsageError
from ...schemas.file_records import IndexInfo
from ...schemas.index_manifest import CoveredShard
from ...schemas.local_cache import LocalCache
from ...schemas.snapshot import Snapshot
from ...schemas.storage import Storage, file_sha256
from ...schemas.vector_sources import WORDS, models_of
from ...schemas.words_manifest import WORDS_KIND, WordsFile, WordsManifest
from ..dataset import Dataset, commit_index
from .analyzers import ROW, VIDEO, analyzers_for, register, schema_of
from .documents import Titled, WindowWords, languages_of, rows_in, titled, titles_array, window_words
from .window_texts import fields_of
from .words_changes import WordsChange, words_change
from .words_store import META, DocumentIds, gather_files, live_files, read_ids, read_words_manifest

log = logging.getLogger("reelbeam")

MOST_HEAP_BYTES = 1 << 30
"""Memory of the writer: with more, segments grow larger before they are written, and little is gained."""

LEAST_HEAP_BYTES = 15_000_000
"""What tantivy asks for per thread."""

MOST_THREADS = 4

DELETED_AT_ONCE = 10_000


class NothingToIndex(UsageError):
    """No window has a text, and no video a title or description."""


@dataclass
class Writing:
    """One build in the making."""

    name: str
    memory_mb: int
    why: str
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[step] = round(time.monotonic() - started, 3)

    def writer(self, index: tantivy.Index, threads: int) -> tantivy.IndexWriter:
        heap = max(LEAST_HEAP_BYTES * threads, min(MOST_HEAP_BYTES, self.memory_mb << 18))
        return index.writer(heap, threads)


def update_words(
    output: str, name: str = WORDS, full: bool = False, memory_mb: int = 4096, merge_above: float = 0.2
) -> tuple[Snapshot, WordsManifest]:
    """Brings a lexical index up to the current snapshot by nothing, an update or a full build; `why` has the reason.

    Raises NothingToIndex, and UsageError when the index of that name is not of words.
    """
    dataset = Dataset.open(output)
    built = dataset.snapshot.indexes.get(name)
    if built is not None and built.of != WORDS:
        raise UsageError(
            f"the index {name} is built of {built.of}, not of words; cure: --of {built.of}, or another --name"
        )
    writing = Writing(name, memory_mb, f"there is no index {name} yet")
    if built is None or full:
        writing.why = "--full is asked for" if built else writing.why
        return full_words(dataset, writing)
    try:
        manifest = read_words_manifest(dataset.storage, built)
        change = words_change(dataset, manifest, read_ids(dataset.storage, manifest))
        if why := change.too_much(merge_above):
            writing.why = f"full: {why}"
        elif not change:
            return dataset.snapshot, replace(manifest, why=f"nothing has changed since snapshot {manifest.snapshot}")
        else:
            writing.why = f"update: {change}"
            return extend_words(dataset, manifest, change, writing)
    except (CorruptOutput, FileNotFoundError) as error:
        writing.why = f"full: the current build cannot be used: {error}"
    log.info("index %s: %s", name, writing.why)
    return full_words(dataset, writing)


def full_words(dataset: Dataset, writing: Writing) -> tuple[Snapshot, WordsManifest]:
    """Builds a lexical index of the whole dataset and publishes it. Raises NothingToIndex."""
    with tempfile.TemporaryDirectory(prefix="reelbeam-words-") as folder, writing.timed("build"):
        analyzers = analyzers_for(languages_of(dataset))
        schema = schema_of(analyzers, fields_of(dataset.snapshot.shape))
        index = register(tantivy.Index(schema, path=folder), analyzers)
        writer = writing.writer(index, min(MOST_THREADS, cores()))
        rows, videos = write_documents(
            writer, window_words(dataset, dataset.snapshot.shards), titled(dataset), analyzers
        )
        if not len(rows) and not videos:
            raise NothingToIndex(
                f"{dataset.storage.root} has no window with words and no video with a title, so there is nothing to index"
            )
        writer.commit()
        writer.wait_merging_threads()
        ids = DocumentIds.of(np.sort(rows), titles_array(videos))
        return publish_words(dataset, writing, Path(folder), ids, analyzers, None)


def write_documents(
    writer: tantivy.IndexWriter,
    windows: Iterable[WindowWords],
    videos: Iterable[Titled],
    analyzers: Iterable[str],
) -> tuple[np.ndarray, list[Titled]]:
    """Adds documents to a writer. Returns the row numbers int64 of the windows, and the videos."""
    rows, named = [], list(videos)
    for window in windows:
        writer.add_document(window.document())
        rows.append(window.row)
    for video in named:
        writer.add_document(video.document(analyzers))
    return np.array(rows, np.int64), named


def extend_words(
    dataset: Dataset, manifest: WordsManifest, change: WordsChange, writing: Writing
) -> tuple[Snapshot, WordsManifest]:
    """Adds and deletes documents, and publishes a build that shares all unchanged files with the one before."""
    with tempfile.TemporaryDirectory(prefix="reelbeam-words-") as folder, writing.timed("update"):
        gather_files(dataset.storage, manifest, Path(folder))
        index = register(tantivy.Index.open(folder), manifest.analyzers)
        writer = writing.writer(index, 1)
        delete(writer, index.schema, ROW, change.gone)
        delete(writer, index.schema, VIDEO, change.titles_gone["video"])
        write_documents(writer, change.windows, change.videos, manifest.analyzers)
        writer.commit()
        writer.wait_merging_threads()
        return publish_words(dataset, writing, Path(folder), change.after, manifest.analyzers, manifest)


def delete(writer: tantivy.IndexWriter, schema: tantivy.Schema, name: str, ids: np.ndarray) -> None:
    """Deletes documents by id. A term of a plain Python int would be signed and match nothing, so it is done by query."""
    for at in range(0, len(ids), DELETED_AT_ONCE):
        some = ids[at : at + DELETED_AT_ONCE].tolist()
        writer.delete_documents_by_query(tantivy.Query.term_set_query(schema, name, some))


def publish_words(
    dataset: Dataset,
    writing: Writing,
    folder: Path,
    ids: DocumentIds,
    analyzers: tuple[str, ...],
    before: WordsManifest | None,
) -> tuple[Snapshot, WordsManifest]:
    """Stores the new files and index.json, and commits a snapshot that names the build."""
    storage, snapshot = dataset.storage, dataset.snapshot
    path = f"indexes/{writing.name}/{snapshots.new_run()}"
    shared = {file.name: file for file in before.segments if file.name != META} if before else {}
    files = [shared.get(name) or put(storage, path, folder / name) for name in live_files(folder)]
    content = ids.to_bytes()
    (folder / "ids.npz").write_bytes(content)
    manifest = WordsManifest(
        kind=WORDS_KIND,
        of=WORDS,
        why=writing.why,
        snapshot=snapshot.number,
        rows=snapshot.next_row,
        created_at=snapshots.now(),
        tantivy=version("tantivy"),
        models=models_of(WORDS, snapshot),
        fields=fields_of(snapshot.shape),
        analyzers=analyzers,
        windows=len(ids.rows),
        videos=len(ids.titles),
        segments=tuple(files),
        ids=put(storage, path, folder / "ids.npz"),
        covers=tuple(CoveredShard.of(shard, len(rows_in(shard, ids.rows))) for shard in snapshot.shards),
        seconds=dict(writing.seconds),
    )
    return publish_manifest(storage, writing.name, path, manifest), manifest


def publish_manifest(storage: Storage, name: str, path: str, manifest: WordsManifest) -> Snapshot:
    """Writes index.json and commits a snapshot that names the build. Its other files must exist already."""
    text = manifest.to_json()
    storage.put(f"{path}/index.json", text)
    facts: dict[str, Any] = {"snapshot": manifest.snapshot, "rows": manifest.rows, "sha256": manifest.ids.sha256}
    info = IndexInfo(
        path,
        manifest.kind,
        manifest.documents,
        settings_sha256=hashlib.sha256(text).hexdigest(),
        files=(f"{path}/index.json", *manifest.files()),
        of=WORDS,
        **facts,
    )
    return commit_index(storage, name, info)


def put(storage: Storage, path: str, file: Path) -> WordsFile:
    """Stores a local file in a build's folder and moves it into this machine's cache."""
    stored = WordsFile(file.name, f"{path}/{file.name}", file_sha256(file), file.stat().st_size)
    storage.put_file(stored.path, file)
    LocalCache.at().adopt(storage, file, stored.sha256)
    return stored
