"""The tensors of a safetensors file as numpy arrays, read from disk when they are used. Imports no torch.

A file is a uint64 (the length of the header), the header as JSON {name: {dtype, shape, data_offsets}}, and the tensors.
Source: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

HEADER_AT_MOST = 100_000_000
"""Bytes: what the safetensors library itself reads at most."""

DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
"""What is read, and how it lies in the file; each of these widens to float32 exactly."""


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    """Offset in the file, bytes."""

    def rows(self, places: list[int]) -> np.ndarray:
        """float32 [n, ...]: these rows of a tensor of a dtype in DTYPES; the others are not read."""
        return widened(np.asarray(self._whole[places]), self.dtype)

    @cached_property
    def _whole(self) -> np.ndarray:
        return np.memmap(self.file, DTYPES[self.dtype], "r", self.start, self.shape)

    def array(self) -> np.ndarray:
        """float32, the whole tensor, of a dtype in DTYPES."""
        flat = np.fromfile(self.file, DTYPES[self.dtype], math.prod(self.shape), offset=self.start)
        return widened(flat.reshape(self.shape), self.dtype)


def widened(values: np.ndarray, dtype: str) -> np.ndarray:
    """float32 of stored values; bfloat16 is the upper half of a float32.

    >>> widened(np.array([0x3FC0], np.uint16), "BF16")
    array([1.5], dtype=float32)
    """
    if dtype == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


def stored_tensors(file: Path) -> dict[str, StoredTensor]:
    """All tensors of a file by name, those of other dtypes too; empty where it is no safetensors file."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= HEADER_AT_MOST or (text := stream.read(length))[:1] != b"{":
            return {}
        try:
            header: dict[str, Any] = json.loads(text)
        except ValueError:
            return {}
    return {
        name: StoredTensor(file, kept["dtype"], tuple(kept["shape"]), 8 + length + kept["data_offsets"][0])
        for name, kept in header.items()
        if name != "__metadata__"
    }
