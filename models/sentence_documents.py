"""A sentence model's encoder of stored texts in plain torch, with the very results of sentence-transformers, whose import takes
two processor seconds and more.

Only what sentence_query.py knows to the last field is run here, on a CPU: a BERT in the folder layout of all-MiniLM-L6-v2. All
other models load whole. The operations are those of sentence-transformers and transformers in their order and in batches of the
same texts, so that the vectors are the same to the last bit; a test compares them.

Source: Devlin et al. 2019, "BERT"; sentence-transformers 6.2, `sentence_transformer/model.py` (`_inference`) and
`modules/pooling.py`; transformers 5.23, `models/bert/`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from .sentence_query import known_bert
from .text import SentenceEncoder, TextSpec, unused_prompt


def sentence_documents(spec: TextSpec) -> SentenceDocuments | None:
    """The encoder of a spec; None where only sentence-transformers itself knows how to run it. Raises MissingWeights."""
    known = known_bert(spec)
    if known is None or unused_prompt(spec):  # the whole model says which prompt it does not use
        return None
    tensors = {name: torch.from_numpy(kept.array()) for name, kept in known.tensors.items()}
    return SentenceDocuments(known.tokenizer, tensors, known.config, spec)


class SentenceDocuments(SentenceEncoder):
    """A BERT held in memory. It stands for `TextEncoder`."""

    def __init__(self, tokenizer: Any, tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any], spec: TextSpec):
        """`tokenizer`: a tokenizers.Tokenizer that cuts and does not pad. `config`: the fields of BERT_SIZES."""
        super().__init__(int(config["hidden_size"]), spec.batch_size, spec.used_prompts())
        self._tokenizer, self._weights, self._config = tokenizer, tensors, config

    def _vectors(self, texts: list[str], use: str) -> np.ndarray:
        order = np.argsort([-len(text) for text in texts])
        found = np.empty((len(texts), self.dimension), np.float32)
        with torch.inference_mode():
            for start in range(0, len(texts), self._batch_size):
                batch = order[start : start + self._batch_size]
                found[batch] = self._embed([self._prompts[use] + texts[at] for at in batch]).numpy()
        return found

    def _embed(self, texts: Sequence[str]) -> torch.Tensor:
        """One batch: float32 [n, D], unit length."""
        ids = [one.ids for one in self._tokenizer.encode_batch(list(texts))]
        longest = max(map(len, ids))
        tokens = torch.tensor([[*own, *[0] * (longest - len(own))] for own in ids])
        mask = torch.tensor([[1] * len(own) + [0] * (longest - len(own)) for own in ids])
        kinds = functional.embedding(torch.zeros_like(tokens), self._weights["embeddings.token_type_embeddings.weight"])
        x = functional.embedding(tokens, self._weights["embeddings.word_embeddings.weight"]) + kinds
        x = x + self._weights["embeddings.position_embeddings.weight"][None, :longest]
        x = self._norm(x, "embeddings.LayerNorm")
        seen = None if bool(mask.all()) else mask.bool()[:, None, None, :].expand(-1, 1, longest, longest)
        for layer in range(self._config["num_hidden_layers"]):
            x = self._layer(x, seen, f"encoder.layer.{layer}.")
        counted = mask.unsqueeze(-1).to(x.dtype)
        mean = (x * counted).sum(dim=1) / torch.clamp(counted.sum(dim=1), min=1e-9)
        return functional.normalize(functional.normalize(mean, p=2, dim=1), p=2, dim=1)

    def _layer(self, x: torch.Tensor, seen: torch.Tensor | None, at: str) -> torch.Tensor:
        """One layer: float32 [n, tokens, width] -> the same shape. `seen` bool [n, 1, tokens, tokens]: what is no padding."""
        width = self._config["hidden_size"] // self._config["num_attention_heads"]
        parts = (self._dense(x, f"{at}attention.self.{part}") for part in ("query", "key", "value"))
        query, key, value = (part.view(*x.shape[:-1], -1, width).transpose(1, 2) for part in parts)
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=width**-0.5)
        found = found.transpose(1, 2).contiguous().reshape(x.shape)
        x = self._norm(self._dense(found, f"{at}attention.output.dense") + x, f"{at}attention.output.LayerNorm")
        made = self._dense(functional.gelu(self._dense(x, f"{at}intermediate.dense")), f"{at}output.dense")
        return self._norm(made + x, f"{at}output.LayerNorm")

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return functional.layer_norm(x, weight.shape, weight, bias, self._config["layer_norm_eps"])

    def _dense(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])
