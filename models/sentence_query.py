"""A sentence model's query encoder in numpy: a query in milliseconds, where importing torch and transformers takes seconds.

Only what is known to the last field is run here: a BERT in the folder layout of all-MiniLM-L6-v2 (Transformer, mean pooling,
normalisation; float32 in model.safetensors; BERT's own WordPiece in tokenizer.json). All other models load whole, as
`TextEncoder`. The vectors equal those of sentence-transformers on a CPU but for rounding.

Source: Devlin et al. 2019, "BERT"; sentence-transformers 6.2, `base/modules/transformer.py` and `modules/pooling.py`;
transformers 5.23, `models/bert/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from .loaded import loaded
from .numpy_layers import attention, gelu, layer_norm, linear, one_thread, unit
from .tensor_file import StoredTensor, stored_tensors
from .text import TextSpec
from .weights import resolve

MODULES = (
    {"sentence_transformers.models.Transformer", "sentence_transformers.base.modules.transformer.Transformer"},
    {
        "sentence_transformers.models.Pooling",
        "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    },
    {"sentence_transformers.models.Normalize", "sentence_transformers.base.modules.normalize.Normalize"},
)
"""The chain of modules, each under its old and its new name. The last may be missing: a query is scaled in any case."""

BERT_IS = {"model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu"}
BERT_MAY_BE = {"position_embedding_type": "absolute", "is_decoder": False, "dtype": "float32", "torch_dtype": "float32"}
"""Fields of config.json that must have this value where they stand."""

BERT_SIZES = (
    *("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers"),
    *("vocab_size", "type_vocab_size", "max_position_embeddings", "layer_norm_eps"),
)
BERT_IDLE = {
    *(
        "_name_or_path",
        "transformers_version",
        "initializer_range",
        "gradient_checkpointing",
        "use_cache",
        "pad_token_id",
    ),
    *("attention_probs_dropout_prob", "hidden_dropout_prob", "classifier_dropout"),
}
"""Fields of config.json that do not change a vector."""

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TOKENIZER_IS = {
    "normalizer": {
        **{"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True},
        **{"strip_accents": None, "lowercase": True},
    },
    "pre_tokenizer": {"type": "BertPreTokenizer"},
}
"""What tokenizer.json states, and what transformers makes anew of a BertTokenizer with its default settings."""

TOKENIZER_DEFAULTS = {"do_lower_case": True, "tokenize_chinese_chars": True, "strip_accents": None, "never_split": None}


class QueryEncoder(Protocol):
    """Encodes what is searched for among stored texts."""

    def encode_query(self, texts: Sequence[str]) -> np.ndarray:
        """n texts -> float32 [n, D], unit length, behind the model's prompt for queries."""


def query_encoder(spec: TextSpec, device: str) -> QueryEncoder:
    """The model in numpy where it can run without torch and no GPU is asked for; else as it is. Raises MissingWeights."""
    light = sentence_queries(spec) if device in ("auto", "cpu") else None
    return light or loaded(spec, device)


class SentenceQueries:
    """A BERT held in memory, but for the embeddings of the vocabulary, of which only the rows asked for are read."""

    def __init__(self, tokenizer: Any, tensors: Mapping[str, StoredTensor], config: Mapping[str, Any], prompt: str):
        """`tokenizer`: a tokenizers.Tokenizer that cuts and does not pad. `config`: the fields of BERT_SIZES."""
        self._tokenizer, self._config, self._prompt = tokenizer, config, prompt
        self._vocabulary = tensors["embeddings.word_embeddings.weight"]
        self._weights = {name: kept.array() for name, kept in tensors.items() if kept is not self._vocabulary}

    def encode_query(self, texts: Sequence[str]) -> np.ndarray:
        """n texts -> float32 [n, D], unit length."""
        with one_thread():
            found = [self._encode(self._prompt + text) for text in texts]
        return np.stack(found) if found else np.zeros((0, self._config["hidden_size"]), np.float32)

    def _encode(self, text: str) -> np.ndarray:
        ids: list[int] = self._tokenizer.encode(text).ids
        x = self._vocabulary.rows(ids) + self._weights["embeddings.token_type_embeddings.weight"][0]
        x = self._norm(x + self._weights["embeddings.position_embeddings.weight"][: len(ids)], "embeddings.LayerNorm")
        for layer in range(self._config["num_hidden_layers"]):
            x = self._layer(x, f"encoder.layer.{layer}.")
        return unit(x.mean(axis=0))

    def _layer(self, x: np.ndarray, at: str) -> np.ndarray:
        """One layer: float32 [n, width] -> [n, width]."""
        query, key, value = (self._dense(x, f"{at}attention.self.{part}") for part in ("query", "key", "value"))
        seen = attention(query, key, value, self._config["num_attention_heads"], is_causal=False)
        x = self._norm(x + self._dense(seen, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm")
        made = self._dense(gelu(self._dense(x, f"{at}intermediate.dense")), f"{at}output.dense")
        return self._norm(x + made, f"{at}output.LayerNorm")

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        return layer_norm(x, weight, bias, self._config["layer_norm_eps"])

    def _dense(self, x: np.ndarray, name: str) -> np.ndarray:
        return linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])


class KnownBert(NamedTuple):
    """The parts of a sentence model that is known to the last field."""

    tokenizer: Any
    """A tokenizers.Tokenizer that cuts and does not pad."""
    tensors: Mapping[str, StoredTensor]
    config: Mapping[str, Any]
    """The fields of BERT_SIZES."""


@lru_cache(maxsize=4)
def sentence_queries(spec: TextSpec) -> SentenceQueries | None:
    """The model of a spec; None where only sentence-transformers itself knows how to run it. Raises MissingWeights."""
    known = known_bert(spec)
    return known and SentenceQueries(known.tokenizer, known.tensors, known.config, spec.used_prompts()["query"])


def known_bert(spec: TextSpec) -> KnownBert | None:
    """The parts of a spec's model; None where only sentence-transformers itself knows how to run it. Raises MissingWeights."""
    folder = resolve(spec.weights)
    length = folder and longest_text(folder)
    config = folder and bert_config(_read(folder / "config.json"))
    if not folder or not length or not config or length > config["max_position_embeddings"]:
        return None
    if (folder / "adapter_config.json").exists() or not (folder / "model.safetensors").is_file():
        return None
    expected = expected_shapes(config)
    held = stored_tensors(folder / "model.safetensors")
    own = {name: kept for name, kept in held.items() if not name.startswith("pooler.") and name in expected}
    rest = {name for name in held if name not in own and not name.startswith("pooler.")}
    if rest - {"embeddings.position_ids"} or {name: kept.shape for name, kept in own.items()} != expected:
        return None
    tokenizer = word_pieces(folder, length)
    if tokenizer is None or any(kept.dtype != "F32" for kept in own.values()):
        return None
    return KnownBert(tokenizer, own, config)


def _read(file: Path) -> Any:
    """A JSON file; an empty object where there is none."""
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def longest_text(folder: Path) -> int | None:
    """Tokens that the model reads of a text; None unless its modules are a transformer, mean pooling and normalisation."""
    modules = _read(folder / "modules.json") or []
    chain = [{module["type"]} for module in modules]
    if not 2 <= len(chain) <= 3 or not all(one <= known for one, known in zip(chain, MODULES, strict=False)):
        return None
    if modules[0]["path"] or not is_mean(_read(folder / modules[1]["path"] / "config.json")):
        return None
    said, limits = _read(folder / "config_sentence_transformers.json"), _read(folder / "sentence_bert_config.json")
    if said.get("truncate_dim") or said.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        return None
    if set(limits) - {"max_seq_length", "do_lower_case"} or limits.get("do_lower_case"):
        return None
    length: int | None = limits.get("max_seq_length")
    return length


def is_mean(pooling: Mapping[str, Any]) -> bool:
    """Whether a pooling config says: the mean of all tokens, the prompt's too.

    >>> is_mean({"word_embedding_dimension": 384, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False})
    True
    >>> is_mean({"embedding_dimension": 384, "pooling_mode": "cls"})
    False
    """
    modes = {name for name, is_on in pooling.items() if name.startswith("pooling_mode_") and is_on}
    rest = {
        name for name in pooling if not name.startswith("pooling_mode") and not name.endswith("embedding_dimension")
    }
    stated = pooling.get("pooling_mode") == "mean" and not modes
    is_all = (modes == {"pooling_mode_mean_tokens"} and "pooling_mode" not in pooling) or stated
    return is_all and rest <= {"include_prompt"} and pooling.get("include_prompt", True) is True


def bert_config(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of BERT_SIZES of a config.json; None where it says more than this file understands."""
    known = {*BERT_IS, *BERT_MAY_BE, *BERT_SIZES} | BERT_IDLE
    if set(config) - known or set(BERT_SIZES) - set(config):
        return None
    if any(config.get(name) != value for name, value in BERT_IS.items()):
        return None
    if any(config.get(name, value) != value for name, value in BERT_MAY_BE.items()):
        return None
    sizes = {name: config[name] for name in BERT_SIZES}
    return sizes if sizes["hidden_size"] % sizes["num_attention_heads"] == 0 else None


def expected_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Each tensor of the model with its shape, without the pooler, which mean pooling does not use."""
    width, hidden = config["hidden_size"], config["intermediate_size"]
    dense = {
        **{f"attention.self.{part}": (width, width) for part in ("query", "key", "value")},
        "attention.output.dense": (width, width),
        "intermediate.dense": (hidden, width),
        "output.dense": (width, hidden),
    }
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
    }
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}."
        for name, shape in dense.items():
            found |= {f"{at}{name}.weight": shape, f"{at}{name}.bias": shape[:1]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            found |= {f"{at}{name}.weight": (width,), f"{at}{name}.bias": (width,)}
    return found


def word_pieces(folder: Path, length: int) -> Any:
    """BERT's tokenizer, which cuts a text to `length` tokens and does not pad; None where the folder's is another one.

    tokenizer.json may state a length and padding of its own: sentence-transformers overrides both, and so does this.
    """
    settings, stated = _read(folder / "tokenizer_config.json"), _read(folder / "tokenizer.json")
    if settings.get("tokenizer_class") not in ("BertTokenizer", "BertTokenizerFast"):
        return None
    if any(settings.get(name, value) != value for name, value in TOKENIZER_DEFAULTS.items()):
        return None
    if any(stated.get(name) != value for name, value in TOKENIZER_IS.items()):
        return None
    model, added = stated["model"], [one["content"] for one in stated["added_tokens"]]
    if model["type"] != "WordPiece" or model.get("unk_token") != "[UNK]" or sorted(added) != sorted(SPECIAL):
        return None
    if (model.get("continuing_subword_prefix"), model.get("max_input_chars_per_word")) != ("##", 100):
        return None
    if settings.get("model_max_length", length) < length or not wraps_one_text(stated.get("post_processor") or {}):
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    return tokenizer


def wraps_one_text(processor: Mapping[str, Any]) -> bool:
    """Whether a post-processor puts one text between [CLS] and [SEP]."""
    if processor.get("type") != "TemplateProcessing":
        return False
    parts = [part.get("SpecialToken", part.get("Sequence")) for part in processor["single"]]
    return [(part["id"], part["type_id"]) for part in parts] == [("[CLS]", 0), ("A", 0), ("[SEP]", 0)]
