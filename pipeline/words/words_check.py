"""Proves that a lexical index is as promised: its files, its documents against the rows, and nothing of rows that are gone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow.compute as pc

from ...schemas.errors import CorruptOutput
from ...schemas.file_records import IndexInfo, ShardInfo
from ...schemas.local_cache import LocalCache
from ...schemas.small_arrays import flags
from ...schemas.storage import Storage
from ...schemas.vector_sources import WORDS, is_made_with
from ..dataset import Dataset, are_held
from .documents import titled, titles_array
from .window_texts import fields_of, sense_columns
from .words_store import OpenWords, read_ids, read_words_manifest


def check_words(dataset: Dataset, name: str, built: IndexInfo) -> Iterator[str]:
    """One line per problem of a lexical index: its files and hashes, its documents, and that they are the rows with words."""
    try:
        manifest = read_words_manifest(dataset.storage, built)
        ids = read_ids(dataset.storage, manifest)
        with tempfile.TemporaryDirectory(
            prefix="reelbeam-verify-"
        ) as folder:  # the bucket's bytes, not a cached copy's
            opened = OpenWords.of_build(dataset.storage, manifest, LocalCache.at(folder, bounded=False), check=True)
    except CorruptOutput as error:
        yield f"index {name}: {error}"
        return
    rows, videos = opened.rows, opened.videos
    if not np.array_equal(rows, ids.rows):
        yield f"index {name}: holds {len(rows)} windows, and its list of ids has {len(ids.rows)}"
    if not np.array_equal(videos, np.sort(ids.titles["video"])):
        yield f"index {name}: holds {len(videos)} titles, and its list of ids has {len(ids.titles)}"
    if manifest.documents != built.vectors or (manifest.windows, manifest.videos) != (len(rows), len(videos)):
        yield f"index {name}: holds {len(rows)} windows and {len(videos)} titles, promised {built.vectors} documents"
    if not is_made_with(WORDS, manifest.models, dataset.snapshot):
        yield f"index {name}: made with other models than the rows"
    current = built.rows == dataset.snapshot.next_row and built.snapshot >= dataset.snapshot.rows_changed
    if not current:
        if len(rows) and not 0 <= rows.min() <= rows.max() < dataset.snapshot.next_row:
            yield f"index {name}: a row number points outside the rows that ever were"
        return
    if not np.array_equal(rows, rows_with_words(dataset, manifest.fields)):
        yield f"index {name}: its windows are not those with words in the shards"
    if not np.array_equal(np.sort(ids.titles), np.sort(titles_array(titled(dataset)))):
        yield f"index {name}: its titles are not those of the videos table; cure: reelbeam index {dataset.storage.root} --of words"


def rows_with_words(dataset: Dataset, fields: Iterable[str] = ()) -> np.ndarray:
    """Row numbers of the windows in which something is said, or has a text of the other kinds `fields`: int64, sorted."""
    found = [np.zeros(0, np.int64)]
    lists = sense_columns(set(fields) & set(fields_of(dataset.snapshot.shape)))
    for numbers, batch in dataset.batches(["text", *lists], rows=65_536):
        held = flags(pc.fill_null(pc.greater(pc.utf8_length(batch["text"]), 0), False))
        for name in lists:
            held = held | flags(pc.fill_null(pc.greater(pc.list_value_length(batch[name]), 0), False))
        found.append(numbers[held])
    return np.sort(np.concatenate(found))


def stray_documents(storage: Storage, built: IndexInfo, shards: Sequence[ShardInfo], gone: int) -> int:
    """How many documents of a build belong to rows that none of these shards holds, or to the video `gone` (its id as a
    number); deleted ones whose terms may still be in the files are counted too."""
    ids = read_ids(storage, read_words_manifest(storage, built))
    rows = np.union1d(ids.rows, ids.dead_rows)
    titles = np.concatenate([ids.titles["video"], ids.dead_titles["video"]])
    return int((~are_held(shards, rows)).sum()) + int((titles == np.uint64(gone)).sum())
