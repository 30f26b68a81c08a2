"""The order in which a training run sees its samples: pure arithmetic, a function of row groups, seed and epoch alone.

An epoch is one line of samples, numbered from 0. Without a seed it is the stored order. With one, row groups are
shuffled, taken in blocks of BLOCK_GROUPS, and the samples of a block are shuffled. Ranks and workers cut that same line
into steps: in a step each rank takes the next `batch_size` samples, so what all of them have seen is always a prefix,
and one number says where a run stands, for any number of ranks and workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

BLOCK_GROUPS = 8
"""Row groups that are shuffled together: at 8 MiB a group, what one reader holds."""

_GROUPS_STREAM = 0
"""First stream of an epoch's random numbers: the order of the groups. Stream 1 + b orders the samples of block b."""


def mixed(values: np.ndarray) -> np.ndarray:
    """Mixes uint64 [n] to uint64 [n], one to one, without a visible pattern. Source: Steele et al. 2014, SplitMix64.

    >>> hex(int(mixed(np.array([0], np.uint64))[0]))
    '0xe220a8397b1dcdaf'
    """
    with np.errstate(over="ignore"):  # arithmetic is modulo 2**64
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def key_of(*parts: int) -> np.uint64:
    """Combines several numbers into one key; each of them changes it."""
    key = np.zeros(1, np.uint64)
    for part in parts:
        key = mixed(key ^ mixed(np.array([part % 2**64], np.uint64)))
    return key[0]


def shuffled(count: int, key: np.uint64) -> np.ndarray:
    """A permutation of range(count), int64, the same on every machine and with every version of NumPy.

    >>> sorted(shuffled(5, key_of(7)).tolist())
    [0, 1, 2, 3, 4]
    """
    return np.argsort(mixed(np.arange(count, dtype=np.uint64) ^ key), kind="stable")


@dataclass(frozen=True)
class Block:
    """Samples [start, stop) of the line, which are those of some row groups."""

    number: int
    start: int
    stop: int
    groups: np.ndarray
    """int64 [g]: the row groups, in the order of the line."""


@dataclass(frozen=True)
class Order:
    """One epoch's line of samples. `counts` int64 [G]: samples in each row group."""

    counts: np.ndarray
    seed: int | None
    epoch: int

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    @cached_property
    def groups(self) -> np.ndarray:
        """int64 [G]: the row groups in the order of the line."""
        if self.seed is None:
            return np.arange(len(self.counts))
        return shuffled(len(self.counts), key_of(self.seed, self.epoch, _GROUPS_STREAM))

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.counts[self.groups])

    @property
    def _size(self) -> int:
        return 1 if self.seed is None else BLOCK_GROUPS

    def blocks(self, start: int = 0) -> Iterator[Block]:
        """The non-empty blocks, from the one that holds sample `start`."""
        first = int(np.searchsorted(self._ends, start, side="right")) // self._size
        for number in range(first, -(-len(self.counts) // self._size)):
            low, high = number * self._size, min((number + 1) * self._size, len(self.counts))
            begin, end = int(self._ends[low - 1]) if low else 0, int(self._ends[high - 1])
            if end > max(begin, start):
                yield Block(number, begin, end, self.groups[low:high])

    def places(self, block: Block, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where samples of a block lie: for each position int64 [n] of the line, which of `block.groups`, and which of
        that group's samples, both int64 [n]."""
        at = positions - block.start
        if self.seed is not None:
            at = shuffled(block.stop - block.start, key_of(self.seed, self.epoch, 1 + block.number))[at]
        ends = np.cumsum(self.counts[block.groups])
        group = np.searchsorted(ends, at, side="right")
        return group, at - (ends - self.counts[block.groups])[group]

    def line(self) -> tuple[np.ndarray, np.ndarray]:
        """The whole epoch: the row group of each sample and its number in it, both int64 [total]."""
        parts = [(block, *self.places(block, np.arange(block.start, block.stop))) for block in self.blocks()]
        groups = [block.groups[group] for block, group, _ in parts]
        empty = [np.zeros(0, np.int64)]
        return np.concatenate(groups or empty), np.concatenate([place for _, _, place in parts] or empty)


@dataclass(frozen=True)
class Share:
    """Which part a reader takes: its rank, its worker on that rank, and `batch_size` samples per step."""

    batch_size: int
    rank: int = 0
    ranks: int = 1
    worker: int = 0
    workers: int = 1

    @property
    def step(self) -> int:
        """Samples per step, over all ranks."""
        return self.batch_size * self.ranks

    def steps(self, total: int, position: int, drop_last: bool = False) -> Iterator[tuple[int, int, int]]:
        """This reader's batches from its own next step at `position` on: (start, stop, position after the step).

        A rank's workers take its steps in turn. The last step shares what is left evenly; with `drop_last` it is left out.

        >>> list(Share(2, rank=1, ranks=2).steps(total=7, position=0))
        [(2, 4, 4), (5, 7, 7)]
        >>> list(Share(2, worker=1, workers=2).steps(total=7, position=2))
        [(2, 4, 4), (6, 7, 7)]
        """
        while position < total:
            left = total - position
            if left >= self.step:
                start = position + self.rank * self.batch_size
                yield start, start + self.batch_size, position + self.step
            elif not drop_last:
                start, stop = (position + left * rank // self.ranks for rank in (self.rank, self.rank + 1))
                if stop > start:
                    yield start, stop, total
            position += self.step * self.workers

    def first(self, position: int) -> int:
        """Position of this worker's first step, when the rank's next step starts at `position`."""
        return position + self.worker * self.step
