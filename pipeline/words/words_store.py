"""The stored files of a lexical index: reads index.json, opens the index from local copies, reads and writes its ids.

tantivy wants one folder of files. Here each file is stored once, under a path that index.json names with its hash: an update adds
files and shares the others. To open an index, a temporary folder gets a link to each of them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import weakref
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tantivy

from ...schemas.errors import CorruptOutput
from ...schemas.file_records import IndexInfo
from ...schemas.local_cache import LocalCache
from ...schemas.storage import Storage, file_sha256
from ...schemas.words_manifest import WordsManifest
from .analyzers import ROW, VIDEO, register
from .documents import TITLES

META = "meta.json"
MANAGED = ".managed.json"
"""tantivy's list of the files that it may delete."""

CURE = "cure: reelbeam index --of words --full"


@dataclass(frozen=True)
class DocumentIds:
    """What a lexical index holds, by id."""

    rows: np.ndarray
    """int64, sorted: row numbers of the windows."""
    titles: np.ndarray
    """TITLES: the videos with a title or description."""
    dead_rows: np.ndarray
    """int64, sorted: deleted windows whose terms the files may still contain."""
    dead_titles: np.ndarray
    """TITLES: deleted or replaced titles whose terms the files may still contain."""

    @classmethod
    def of(cls, rows: np.ndarray, titles: np.ndarray) -> DocumentIds:
        return cls(rows, titles, np.zeros(0, np.int64), np.zeros(0, TITLES))

    def to_bytes(self) -> bytes:
        """As .npz, compressed at the fastest level: numpy's own takes a third of a second for a million ids."""
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, ids in vars(self).items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, ids, allow_pickle=False)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> DocumentIds:
        with np.load(io.BytesIO(content)) as stored:
            return cls(*(stored[name] for name in ("rows", "titles", "dead_rows", "dead_titles")))


def read_words_manifest(storage: Storage, built: IndexInfo) -> WordsManifest:
    """Reads a build's index.json. Raises CorruptOutput when it is missing or its hash differs from the snapshot's."""
    path = f"{built.path}/index.json"
    try:
        text = storage.get(path)
    except FileNotFoundError as error:
        raise CorruptOutput(f"{path} is missing; {CURE}") from error
    if hashlib.sha256(text).hexdigest() != built.settings_sha256:
        raise CorruptOutput(f"{path}: its hash is not the one in the snapshot; {CURE}")
    return WordsManifest.from_json(text)


def read_ids(storage: Storage, manifest: WordsManifest) -> DocumentIds:
    """The ids of a build. Raises CorruptOutput when the file is missing or differs from what index.json says."""
    try:
        content = storage.get(manifest.ids.path)
    except FileNotFoundError as error:
        raise CorruptOutput(f"{manifest.ids.path} is missing; {CURE}") from error
    if hashlib.sha256(content).hexdigest() != manifest.ids.sha256:
        raise CorruptOutput(f"{manifest.ids.path}: its hash is not the one in index.json; {CURE}")
    return DocumentIds.from_bytes(content)


def gather_files(
    storage: Storage, manifest: WordsManifest, folder: Path, cache: LocalCache | None = None, check: bool = False
) -> None:
    """Links every file of a build into a local folder, which tantivy can then open, read-only or to extend it.

    `check` compares each file's hash even when it is already on this machine. Raises CorruptOutput when a file is missing or
    differs from what index.json says.
    """
    cache = cache or LocalCache.at()
    for file in manifest.segments:
        try:
            local = cache.file(storage, file.path, file.sha256)
            size = local.stat().st_size
        except FileNotFoundError as error:
            raise CorruptOutput(f"{file.path} is missing; {CURE}") from error
        if size != file.bytes:
            raise CorruptOutput(f"{file.path} has {size} bytes, index.json says {file.bytes}; {CURE}")
        if check and file_sha256(local) != file.sha256:
            raise CorruptOutput(f"{file.path}: its hash is not the one in index.json; {CURE}")
        if file.name == META:  # tantivy replaces it
            shutil.copyfile(local, folder / META)
        else:
            os.symlink(local.absolute(), folder / file.name)
    names = [file.name for file in manifest.segments]
    (folder / MANAGED).write_text(json.dumps(names))


def live_files(folder: Path) -> list[str]:
    """The files that belong to the last commit in tantivy's folder, by name, meta.json included."""
    meta = json.loads((folder / META).read_text())
    named = {one["segment_id"].replace("-", "") for one in meta["segments"]}
    deletes = {
        f"{one['segment_id'].replace('-', '')}.{one['deletes']['opstamp']}.del"
        for one in meta["segments"]
        if one["deletes"]
    }
    found = [META]
    for file in sorted(folder.iterdir()):
        if file.name.partition(".")[0] in named and (not file.name.endswith(".del") or file.name in deletes):
            found.append(file.name)
    return found


class OpenWords:
    """A lexical index, open for searching. A temporary folder that is given goes with it."""

    def __init__(self, index: tantivy.Index, folder: str = ""):
        self.index = index
        if folder:
            weakref.finalize(self, shutil.rmtree, folder, True)
        index.reload()
        self.searcher = index.searcher()

    @classmethod
    def of_build(
        cls, storage: Storage, manifest: WordsManifest, cache: LocalCache | None = None, check: bool = False
    ) -> OpenWords:
        """Opens a build. Raises CorruptOutput when a file is missing, differs, or is not what tantivy reads."""
        folder = tempfile.mkdtemp(prefix="reelbeam-words-")
        try:
            gather_files(storage, manifest, Path(folder), cache, check)
            index = tantivy.Index.open(folder)
            return cls(register(index, manifest.analyzers), folder)
        except ValueError as error:
            shutil.rmtree(folder, True)
            raise CorruptOutput(f"{manifest.segments[0].path}: tantivy cannot open it: {error}; {CURE}") from error
        except CorruptOutput:
            shutil.rmtree(folder, True)
            raise

    def ids(self, name: str) -> np.ndarray:
        """The ids of all its windows or videos, sorted: uint64 [n]. `name` is ROW or VIDEO."""
        query = tantivy.Query.exists_query(name)
        asked = max(1, self.searcher.num_docs)
        found = self.searcher.search(query, limit=asked, count=False, order_by_field=name).hits
        return np.sort(np.array([value for value, _ in found], np.uint64))

    @property
    def rows(self) -> np.ndarray:
        """Row numbers of its windows, int64, sorted."""
        return self.ids(ROW).astype(np.int64)

    @property
    def videos(self) -> np.ndarray:
        """Ids of its videos as numbers, uint64, sorted."""
        return self.ids(VIDEO)
