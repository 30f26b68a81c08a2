"""The order of an epoch is a pure function, and ranks and workers cut it without loss."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reelbeam.pipeline.training.order import BLOCK_GROUPS, Order, Share, key_of, shuffled

COUNTS = st.lists(st.integers(0, 40), min_size=1, max_size=30).map(lambda counts: np.array(counts, np.int64))
SEEDS = st.none() | st.integers(0, 2**40)


def pairs(order: Order) -> list[tuple[int, int]]:
    groups, places = order.line()
    return list(zip(groups.tolist(), places.tolist(), strict=True))


@given(COUNTS, SEEDS, st.integers(0, 5))
def test_an_epoch_has_every_sample_of_every_row_group_once(counts: np.ndarray, seed: int | None, epoch: int) -> None:
    wanted = [(group, place) for group, count in enumerate(counts) for place in range(count)]
    found = pairs(Order(counts, seed, epoch))
    assert sorted(found) == wanted
    if seed is None:
        assert found == wanted


@given(COUNTS, SEEDS, st.data())
def test_a_part_of_the_line_is_where_the_whole_line_says(
    counts: np.ndarray, seed: int | None, data: st.DataObject
) -> None:
    order = Order(counts, seed, 3)
    start = data.draw(st.integers(0, order.total))
    found = []
    for block in order.blocks(start):
        positions = np.arange(max(start, block.start), block.stop)
        group, place = order.places(block, positions)
        found += zip(block.groups[group].tolist(), place.tolist(), strict=True)
    assert found == pairs(order)[start:]


@given(st.integers(0, 200), st.integers(0, 50), st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_ranks_and_workers_cut_the_line_into_disjoint_batches(
    total: int, position: int, batch: int, ranks: int, workers: int, drop_last: bool
) -> None:
    seen: list[int] = []
    for rank in range(ranks):
        for worker in range(workers):
            share = Share(batch, rank, ranks, worker, workers)
            for start, stop, _ in share.steps(total, share.first(position), drop_last):
                assert 0 < stop - start <= batch
                seen += range(start, stop)
    whole = list(range(position, total))
    assert sorted(seen) == (whole[: len(whole) // (batch * ranks) * batch * ranks] if drop_last else whole)


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 3))
def test_after_any_step_all_ranks_have_seen_a_prefix(total: int, batch: int, ranks: int) -> None:
    by_rank = [list(Share(batch, rank, ranks).steps(total, 0)) for rank in range(ranks)]
    for step in range(max(len(steps) for steps in by_rank)):
        seen = [at for steps in by_rank for start, stop, _ in steps[: step + 1] for at in range(start, stop)]
        afters = {steps[step][2] for steps in by_rank if step < len(steps)}
        assert afters == {len(seen)}
        assert sorted(seen) == list(range(len(seen)))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    counts = np.full(40, 10)
    assert pairs(Order(counts, 1, 0)) == pairs(Order(counts, 1, 0))
    lines = [pairs(Order(counts, seed, epoch)) for seed, epoch in ((1, 0), (1, 1), (2, 0), (0, 1))]
    for at, line in enumerate(lines):
        for other in lines[at + 1 :]:
            same = sum(left == right for left, right in zip(line, other, strict=True))
            assert same < 40, "two epochs agree in a tenth of their places"


def test_the_order_is_written_in_stone() -> None:
    """A resumed run may run on another version of this program: these numbers may never change."""
    assert shuffled(8, key_of(7, 0)).tolist() == GOLDEN
    assert BLOCK_GROUPS == 8


def test_a_shuffle_moves_samples_across_the_whole_block() -> None:
    _, places = Order(np.array([1000]), 3, 0).line()
    moved = np.abs(places - np.arange(1000))
    assert moved.mean() > 250, "a uniform permutation moves by a third of its length on average"
    assert np.abs(np.corrcoef(places, np.arange(1000))[0, 1]) < 0.1


GOLDEN = [3, 2, 0, 6, 7, 1, 5, 4]
