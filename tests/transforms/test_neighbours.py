"""Arithmetic over neighbours: runs of matches, thresholds, covers."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbeam.transforms.neighbours import Match, cover, span_pairs, split_scores


def test_matches_that_go_on_together_are_one_pair_and_each_pair_comes_once() -> None:
    forward = [Match(0, tick, 1, tick + 5, 0.9) for tick in (3, 4, 6, 7)]
    back = [Match(1, tick + 5, 0, tick, 0.9) for tick in (3, 4, 6, 7)]
    apart = [Match(0, 40, 1, 90, 0.8)]
    [pair] = span_pairs([*back, *forward, *apart])
    assert (pair.video, pair.first, pair.last, pair.other_video, pair.other_first, pair.other_last) == (
        0,
        3,
        7,
        1,
        8,
        12,
    )
    assert pair.matches == 4


@settings(max_examples=50)
@given(st.integers(1, 30), st.integers(0, 100), st.integers(0, 100))
def test_a_copied_span_is_found_whole(length: int, first: int, other: int) -> None:
    pairs = list(span_pairs([Match(0, first + at, 1, other + at, 0.9) for at in range(length)], least=1))
    assert [(pair.first, pair.last, pair.other_first, pair.matches) for pair in pairs] == [
        (first, first + length - 1, other, length)
    ]


@settings(max_examples=20)
@given(st.integers(50, 200), st.integers(50, 200), st.integers(0, 10**6))
def test_two_groups_of_scores_are_parted(copies: int, others: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.uniform(0.97, 0.999, copies), rng.uniform(0.3, 0.7, others)])
    cosine, clarity = split_scores(scores)
    assert 0.7 <= cosine <= 0.97
    assert clarity > 0.7


def test_one_group_of_scores_is_not_clear() -> None:
    assert split_scores(np.random.default_rng(0).normal(0.5, 0.05, 2000))[1] < 0.7
    assert split_scores(np.full(10, 0.5)) == (1.0, 0.0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_a_cover_is_near_the_best_there_is(seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(9, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = vectors @ vectors.T + 1  # the guarantee is for gains over nothing, which are never negative
    places, stands_for = cover(vectors.astype(np.float32), 3)
    best = max(likeness[list(three)].max(axis=0).sum() for three in itertools.combinations(range(9), 3))
    assert likeness[places].max(axis=0).sum() >= (1 - 1 / np.e) * best
    assert np.array_equal(stands_for, likeness[places].argmax(axis=0))
