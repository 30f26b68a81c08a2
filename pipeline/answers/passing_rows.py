"""The rows of a snapshot that pass a filter: read from small columns, and the last few kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...schemas.small_arrays import flags
from ...schemas.tables import OK
from ..dataset import Dataset

if TYPE_CHECKING:
    from .narrowing import Narrowing

KEPT = 8
"""Filters whose rows are kept: 8 bytes a row."""


class PassingRows:
    """Rows by filter, of one snapshot. May be asked by several threads."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self._kept: OrderedDict[Narrowing, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, wanted: Narrowing) -> np.ndarray:
        """The global numbers int64 [n] of the windows that pass, ascending: a time span passes each window that it touches."""
        with self._lock:
            if wanted not in self._kept:
                self._kept[wanted] = self._read(wanted)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(wanted)
            return self._kept[wanted]

    def _read(self, wanted: Narrowing) -> np.ndarray:
        columns = ["uri"] if wanted.uri else []
        columns += ["language"] if wanted.language else []
        columns += [f"{wanted.present}_status"] if wanted.present else []
        found = [np.zeros(0, np.int64)]
        for rows, batch in self.dataset.batches([*columns, "start_ms", "end_ms"], rows=65_536):
            start_ms, end_ms = (batch[name].to_numpy() for name in ("start_ms", "end_ms"))
            passes = end_ms > wanted.start_ms
            if wanted.end_ms is not None:
                passes &= start_ms < wanted.end_ms
            if wanted.uri:
                passes &= matching(batch["uri"], wanted.uri)
            if wanted.language:
                passes &= equal(batch["language"], wanted.language)
            if wanted.present:
                passes &= equal(batch[f"{wanted.present}_status"], OK)
            found.append(rows[passes])
        return np.sort(np.concatenate(found))


def matching(uris: pa.Array, pattern: str) -> np.ndarray:
    """Which texts a pattern fits, bool [n]: `*` stands for any text, `?` for one letter.

    >>> matching(pa.array(["/a/1.mp4", "/b/1.mp4", "/a/1.mp4"]), "/a/*").tolist()
    [True, False, True]
    """
    coded = uris.dictionary_encode()
    fits = [fnmatchcase(one, pattern) for one in coded.dictionary.to_pylist()]
    return np.array(fits, bool)[coded.indices.to_numpy()] if len(uris) else np.zeros(0, bool)


def equal(texts: pa.Array, wanted: str) -> np.ndarray:
    """Which texts are so, bool [n]; null is not."""
    return flags(pc.fill_null(pc.equal(texts, wanted), False))
