"""The vectors that an index gives back are those that it was filled with, whatever its kind."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from reelbeam.pipeline.indexes.store import Searcher
from reelbeam.transforms.build_index import sampled_vectors


@pytest.mark.parametrize("kind", ["IDMap2,Flat", "IVF8,Flat", "IVF8,SQfp16", "RR16,IVF8,Flat"])
def test_a_sample_holds_vectors_of_the_index(kind: str) -> None:
    vectors = np.random.default_rng(0).normal(0.3, 1, (900, 16)).astype(np.float32)
    index = faiss.index_factory(16, kind, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add_with_ids(vectors, np.arange(900) * 3)
    found = sampled_vectors(index, 300)
    assert 250 < len(found) <= 300
    distances = np.abs(found[:, None] - vectors[None]).max(axis=2)
    assert distances.min(axis=1).max() < 2e-3
    assert len(set(distances.argmin(axis=1).tolist())) == len(found)
    searcher = Searcher([index], np.zeros(0, np.int64), 4)
    np.testing.assert_allclose(searcher.mean(), vectors.mean(axis=0), atol=1e-3)
