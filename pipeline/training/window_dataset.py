"""WindowDataset: a snapshot as a torch dataset, in an order that resumes exactly.

    dataset = WindowDataset(Dataset.open("/data/features"), ["frame_embedding", "text"], batch_size=256, shuffle=7)
    loader = DataLoader(dataset, batch_size=None, num_workers=2)
    for epoch in range(dataset.epoch, 10):
        dataset.set_epoch(epoch)
        for batch in loader:
            ...
            state = batch["state"]  # store it with the weights; dataset.load_state_dict(state) goes on from here

Every batch carries the state after it: the epoch, and how many samples of its order all ranks have seen. That is
enough to go on with another number of ranks and workers, because the order depends on neither (see `order`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from ...schemas.errors import UsageError
from ..dataset import Dataset
from .batches import Batch, ahead, as_batch, cut, is_run, joined, picked, spans
from .buffers import Recycled
from .order import Block, Order, Share
from .row_groups import Columns, Filters, Group, ShardFiles, groups_of, parts_of, snapshot_key

READERS = 2
"""Reading threads per process; each is one block ahead."""


class WindowDataset(IterableDataset[Batch]):
    """Batches of windows: a dict of tensors [n, ...] (text and lists: Python lists), `row` int64 [n], and `state`.

    `shuffle` is the seed of the order, None the stored order. With `sequence` k each sample is k neighbouring windows of
    one video: tensors are [n, k, ...]. `where` keeps rows by conditions on columns. `drop_last` leaves out the last step,
    which is not full: use it where ranks must take equally many steps. Rank and ranks are those of torch.distributed, or
    of torchrun's environment. `cache` is the local folder for shards of a bucket: it may grow to the size of the dataset.

    Raises UsageError for columns that do not exist or whose sense is off, and a dataset without samples.
    """

    def __init__(
        self,
        dataset: Dataset,
        columns: Sequence[str],
        *,
        batch_size: int,
        shuffle: int | None = None,
        sequence: int = 1,
        where: Filters = (),
        drop_last: bool = False,
        rank: int | None = None,
        ranks: int | None = None,
        cache: str = "",
    ):
        for name, value in (("batch_size", batch_size), ("sequence", sequence)):
            if value < 1:
                raise UsageError(f"{name} {value}: allowed is from 1")
        self.batch_size, self.seed, self.sequence, self.drop_last = batch_size, shuffle, sequence, drop_last
        self.columns = list(dict.fromkeys(columns))
        self.rank, self.ranks = (rank, ranks) if rank is not None and ranks is not None else _world()
        used = [*self.columns, *(name for name, _, _ in where)]
        dataset.snapshot.shape.check_on(*(name for name in used if not name.endswith("_status")))
        self.files = ShardFiles(dataset.storage, dataset.snapshot.shards, cache)
        self.groups: list[Group] = list(groups_of(dataset, self.files, where, sequence))
        self.counts = np.array([group.samples for group in self.groups], np.int64)
        if not self.counts.sum():
            raise UsageError(f"{dataset.storage.root}: snapshot {dataset.snapshot.number} has no such samples")
        unknown = set(self.columns) - set(known := self.files.open(0).columns)
        if unknown:
            raise UsageError(f"no column {sorted(unknown)[0]!r}; there are {', '.join(known)}")
        self.identity = {"snapshot": snapshot_key(dataset), "seed": shuffle, "samples": int(self.counts.sum())}
        self.files.close()  # worker processes open their own
        # [epoch, position], shared with worker processes that outlive an epoch.
        self._at = torch.zeros(2, dtype=torch.int64).share_memory_()
        self.memory = Recycled()
        self._own: dict[str, Any] | None = None
        self._reached: dict[str, Any] | None = None

    @property
    def samples(self) -> int:
        """Samples per epoch, over all ranks."""
        return int(self.identity["samples"] or 0)

    @property
    def epoch(self) -> int:
        return int(self._at[0])

    def set_epoch(self, epoch: int) -> None:
        """Goes to the start of another epoch; stays where it is when this is the epoch already (after a resume)."""
        if epoch != self.epoch:
            self._at.copy_(torch.tensor([epoch, 0]))
        self._reached = None

    def state_dict(self) -> dict[str, Any]:
        """Position of this reader. In a StatefulDataLoader's worker, it is that worker's own state."""
        return self._reached or {**self.identity, "epoch": self.epoch, "position": int(self._at[1])}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resumes after a batch's state, or a worker's own. Raises UsageError when the state belongs to other samples or another order."""
        for name, value in self.identity.items():
            if state.get(name) != value:
                raise UsageError(
                    f"the state has {name} {state.get(name)!r}, this dataset {value!r}: the order would not be the same; "
                    "cure: open the snapshot, seed, conditions and sequence that the run was started with"
                )
        if "reader" in state and state["reader"] != self._reader():
            raise UsageError(
                f"the state is of one worker among [ranks, workers, batch size] {state['reader']}, here they are "
                f"{self._reader()}; cure: load the state that came with the last batch: batch['state']"
            )
        if get_worker_info() is not None:
            self._own = state
        else:
            self._at.copy_(torch.tensor([state["epoch"], state["position"]]))
        self._reached = None

    def _reader(self) -> list[int]:
        info = get_worker_info()
        return [self.ranks, info.num_workers if info else 1, self.batch_size]

    def __iter__(self) -> Iterator[Batch]:
        """This worker's batches of the epoch, from the position on."""
        info = get_worker_info()
        share = Share(self.batch_size, self.rank, self.ranks, info.id if info else 0, info.num_workers if info else 1)
        own, self._own = self._own, None
        epoch, position = (own["epoch"], own["position"]) if own else (self.epoch, int(self._at[1]))
        order = Order(self.counts, self.seed, epoch)
        first = position if own and "reader" in own else share.first(position)
        steps = list(share.steps(order.total, first, self.drop_last))
        place = {**self.identity, "epoch": epoch}
        alone = share.workers == 1
        for (_, _, after), columns in zip(steps, self._batches(order, steps), strict=True):
            # Of several workers, this one goes on after the next steps of all others: a state of its own alone.
            reached = {"position": after} if alone else {"position": after + (share.workers - 1) * share.step}
            self._reached = {**place, **reached, **({} if alone else {"reader": self._reader()})}
            yield as_batch(columns) | {"state": {**place, "position": after}}

    def _batches(self, order: Order, steps: list[tuple[int, int, int]]) -> Iterator[Columns]:
        """The batch of each step. Threads read a few blocks ahead."""
        with ThreadPoolExecutor(READERS, "reelbeam-read") as pool:
            parts = ahead(pool, self._reads(order, steps), READERS)
            batches = (partial(joined, pieces, self.memory) for pieces in cut(steps, parts))
            if order.seed is None:  # every batch is copied from the files; the pool does that as well
                yield from ahead(pool, batches, READERS)
            else:  # nearly every batch is a view
                for batch in batches:
                    yield batch()

    def _reads(self, order: Order, steps: list[tuple[int, int, int]]) -> Iterator[Callable[[], tuple[int, Columns]]]:
        """The reads that the steps need, block after block."""
        if not steps:
            return
        lows, highs = (np.array([step[side] for step in steps]) for side in (0, 1))
        for block in order.blocks(steps[0][0]):
            here = slice(np.searchsorted(highs, block.start, "right"), np.searchsorted(lows, block.stop))
            positions = spans(lows[here], highs[here], block.start, block.stop)
            if len(positions):
                yield partial(self._read, order, block, positions)

    def _read(self, order: Order, block: Block, positions: np.ndarray) -> tuple[int, Columns]:
        """The samples at some positions of a block, in their order: name -> [n, ...]."""
        which, places = order.places(block, positions)
        length = self.sequence
        found: Columns = {}
        for at, number in enumerate(block.groups):
            (into,) = np.nonzero(which == at)
            if not len(into):
                continue
            group, file = self.groups[number], self.files.open(self.groups[number].shard)
            starts = places[into] if group.starts is None else group.starts[places[into]]
            # Row r of the group goes to place t of the block. Sorted by row: reading in order and writing at random
            # takes two thirds of the time of the opposite.
            rows = (starts[:, None] + np.arange(length)).ravel()
            to = (into[:, None] * length + np.arange(length)).ravel()
            if not is_run(rows):
                by_row = np.argsort(rows, kind="stable")
                rows, to = rows[by_row], to[by_row]
            for first, read in parts_of(file, group, self.columns, length):
                low, high = np.searchsorted(rows, [first, first + len(read["row"])])
                here, there = picked(rows[low:high] - first), picked(to[low:high])
                if high - low == len(positions) * length and isinstance(here, slice) and isinstance(there, slice):
                    found = {name: values[here] for name, values in read.items()}  # copied when it is cut into batches
                    break
                for name, values in read.items():
                    if name not in found:
                        found[name] = self.memory.empty((len(positions) * length, *values.shape[1:]), values.dtype)
                    found[name][there] = values[here]
        if length > 1:
            found = {name: values.reshape(-1, length, *values.shape[1:]) for name, values in found.items()}
        return len(positions), found


def _world() -> tuple[int, int]:
    """This process's rank and the number of ranks."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
