"""Queries that measure an index's recall (frames of the dataset and text), and their exact answers."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np

from ...schemas.vector_sources import FRAMES, VectorSource
from ...transforms.encode_queries import encode_queries
from ...transforms.index_recall import RECALL_AT, Truth, drop_own
from ..dataset import Dataset

TRUTH_K = 150
"""Exact answers kept per query. More than 100, so that recall@100 can still be measured after some were removed."""

PROMPTS = (
    "a person",
    "a crowd of people",
    "a face",
    "a child",
    "an animal",
    "a dog",
    "a cat",
    "a bird",
    "a fish",
    "a horse",
    "a car",
    "a train",
    "a boat",
    "an aeroplane",
    "a street",
    "a building",
    "a room",
    "a kitchen",
    "a mountain",
    "a beach",
    "a forest",
    "the sky",
    "the sea",
    "snow",
    "fire",
    "night",
    "food",
    "a flower",
    "a tree",
    "a ball",
    "a game",
    "music",
    "text on a screen",
    "a map",
    "a chart",
    "a phone",
    "a computer",
    "a book",
    "a hand",
    "a drawing",
)
"""Fixed text queries, used for every dataset in addition to sentences from its transcripts."""


def text_queries(dataset: Dataset, wanted: int) -> list[str]:
    """At most `wanted` text queries: PROMPTS first, then random first words (up to 12) of the dataset's transcripts."""
    said: dict[str, None] = {}
    for _, batch in dataset.batches(["text"]):
        said.update(dict.fromkeys(" ".join(text.split()[:12]) for text in batch["text"].to_pylist() if text))
        if len(said) >= 20 * wanted:
            break
    spoken = list(said)
    picked = np.random.default_rng(1).permutation(len(spoken))[: max(0, wanted - len(PROMPTS))]
    return [*PROMPTS, *(spoken[at] for at in picked)][:wanted]


def encode_texts(dataset: Dataset, wanted: int, device: str, kind: VectorSource = FRAMES) -> np.ndarray:
    """Embeddings float32 [q, D] of text queries, made with the models that made the dataset."""
    return encode_queries(kind, dataset.snapshot, text_queries(dataset, wanted), device)


@dataclass(frozen=True)
class Queries:
    """Queries and their exact answers. A frame query's own vector is among its answers.

    Stored in the build's folder; each update brings them up to date.
    """

    vectors: np.ndarray
    """float32 [q, D]."""
    own: np.ndarray
    """int64 [q]: the frame's id for a frame query, -1 for a text query."""
    scores: np.ndarray
    """float32 [q, TRUTH_K]."""
    ids: np.ndarray
    """int64 [q, TRUTH_K]; padded with -1 when the dataset has fewer vectors."""

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def asked(cls, own: np.ndarray, vectors: np.ndarray) -> Queries:
        """Queries without answers yet: all ids are -1."""
        blank = np.full((len(own), TRUTH_K), -1, np.int64)
        return cls(vectors, own, np.full(blank.shape, -np.inf, np.float32), blank)

    @classmethod
    def from_bytes(cls, text: bytes) -> Queries:
        with np.load(io.BytesIO(text)) as stored:
            return cls(*(stored[name] for name in ("vectors", "own", "scores", "ids")))

    def to_bytes(self) -> bytes:
        stream = io.BytesIO()
        np.savez(stream, vectors=self.vectors, own=self.own, scores=self.scores, ids=self.ids)
        return stream.getvalue()

    def answered(self, scores: np.ndarray, ids: np.ndarray) -> Queries:
        return replace(self, scores=scores, ids=ids)

    def __getitem__(self, picked: np.ndarray) -> Queries:
        return Queries(self.vectors[picked], self.own[picked], self.scores[picked], self.ids[picked])

    def __add__(self, other: Queries) -> Queries:
        return Queries(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__annotations__))

    def truth(self, name: str) -> Truth:
        """The ground truth for recall: answers without the query's own vector."""
        scores, ids = drop_own(self.scores, self.ids, max(RECALL_AT), self.own_or_none)
        return Truth(name, self.vectors, self.own_or_none, scores, ids)

    @property
    def own_or_none(self) -> np.ndarray:
        """`own` with -2 for text queries, because -1 already means a missing answer."""
        return np.where(self.own < 0, np.int64(-2), self.own)

    def truths(self, own: str = "frame_queries") -> list[Truth]:
        """Ground truth for frame queries and for text queries, measured apart because their recall differs."""
        stored = self.own >= 0
        return [self[picked].truth(name) for name, picked in ((own, stored), ("text_queries", ~stored)) if picked.any()]
