"""The pictures of frames that a dataset with the sense `thumbnails` holds, by byte range: no other bytes of its shards are read."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...models.thumbnails import ENDS, PICTURES, THUMBNAILS, picture_at
from ...schemas.file_records import ShardInfo
from ...schemas.group_cache import read_files
from ...schemas.parquet_ranges import open_parquet
from ...schemas.row_places import RowPlaces
from ...schemas.tensors import tensor
from ..dataset import Dataset

WINDOWS_KEPT = 256
"""Windows whose pictures stay in memory, about 50 kB each."""

LENGTH_BYTES = 4
"""Before each value of a plain column of files. Source: https://parquet.apache.org/docs/file-format/data-pages/encodings/"""


class Window(NamedTuple):
    """The pictures of one window."""

    pictures: bytes
    ends: np.ndarray
    """int32 [T]"""


class StoredFrames:
    """Stored pictures of one snapshot. May be asked by several threads."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self.are_stored = THUMBNAILS in dataset.snapshot.shape.modalities
        self._places = RowPlaces(dataset.snapshot.shards)
        self._window = lru_cache(WINDOWS_KEPT)(self._read_window)

    def webp(self, row: int, tick: int) -> bytes | None:
        """The WebP file of a frame that the snapshot has; None where no picture of it is stored."""
        window = self._window(row) if self.are_stored else None
        return picture_at(*window, tick) if window else None

    def _read_window(self, row: int) -> Window | None:
        [(shard, places)] = self._places.find([row])
        place = places[row]
        [[(start, group)]] = read_files(self.dataset.storage, [(shard.path, shard.bytes, [place])], [ENDS])
        table = group.table([ENDS])
        ends, at = tensor(table, ENDS), place - start
        lengths = np.where(table[ENDS].is_valid().to_numpy(), ends[:, -1].astype(np.int64), -LENGTH_BYTES)
        if lengths[at] <= 0:
            return None
        pictures = self._read_value(shard, start, lengths, at)
        if pictures is None:  # not as we write it: Parquet's own reader takes the whole column chunk
            pictures = self.dataset.take([row], [PICTURES])[row][PICTURES]
        return Window(pictures, ends[at])

    def _read_value(self, shard: ShardInfo, start: int, lengths: np.ndarray, at: int) -> bytes | None:
        """The value at a place of the row group that begins with row `start`; `lengths` int64 [rows] has -4 for null.

        Values end where their column chunk does, so the place of each follows from the lengths of those behind it. None when
        what lies there is no such value.
        """
        with open_parquet(self.dataset.storage, shard.path, shard.bytes) as parquet:
            starts = np.cumsum([0, *parquet.group_rows()])
            group = parquet.footer.row_group(int(np.searchsorted(starts, start, "right")) - 1)
        chunks = [group.column(number) for number in range(group.num_columns)]
        [chunk] = [one for one in chunks if one.path_in_schema == PICTURES]
        end = chunk.data_page_offset + chunk.total_compressed_size - int((lengths[at + 1 :] + LENGTH_BYTES).sum())
        length = int(lengths[at])
        span = (end - length - LENGTH_BYTES, end)
        if chunk.compression != "UNCOMPRESSED" or span[0] < chunk.data_page_offset:
            return None
        [found] = self.dataset.storage.get_spans(shard.path, [span])
        is_whole = int.from_bytes(found[:LENGTH_BYTES], "little") == length
        return found[LENGTH_BYTES:] if is_whole and found[LENGTH_BYTES:][:4] == b"RIFF" else None
