"""Reads the configuration of a sentence-transformers folder: prompts and dimension. Does not import torch.

Source: sentence-transformers 6.2, `base/model.py` (`_parse_model_config`), `sentence_transformer/model.py`
(`encode_query`, `encode_document`, `get_embedding_dimension`) and `modules/pooling.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USES = ("query", "document")
"""Uses of a text: as a search query, or as a stored document."""

OTHER_DOCUMENT_PROMPTS = ("passage", "corpus")
"""Prompts that `encode_document` lists as candidates after `document`. The library never uses them, because each model has a
`document` prompt, which is empty by default."""

OLD_POOLING = "pooling_mode_"
"""Prefix of the keys in older pooling configs: one boolean key per mode."""


@dataclass(frozen=True)
class SentenceConfig:
    """Settings that determine the vectors, besides the weights."""

    prompts: dict[str, str]
    """The model's prompt for each of USES; empty when it has none."""
    default_prompt: str
    """The prompt that plain `encode` puts before a text."""
    dimension: int | None
    """Dimension of the vectors; None when no module states it."""
    is_routed: bool
    """Whether queries and documents go through different modules."""
    other_prompts: tuple[str, ...] = ()
    """Names of prompts that look meant for documents, and that sentence-transformers does not use for them."""


def read_config(folder: Path) -> SentenceConfig:
    """Reads the configuration of a folder that contains modules.json."""
    file = folder / "config_sentence_transformers.json"
    said = json.loads(file.read_text()) if file.is_file() else {}
    modules = json.loads((folder / "modules.json").read_text())
    prompts = {name: prompt or "" for name, prompt in (said.get("prompts") or {}).items()}
    default = said.get("default_prompt_name")
    lengths = (_vector_length(_module_config(folder, module)) for module in reversed(modules))
    length = next((found for found in lengths if found is not None), None)
    cut = said.get("truncate_dim")
    return SentenceConfig(
        {use: prompts.get(use, "") for use in USES},
        prompts.get(default, "") if default else "",
        min(length, cut) if length and cut else length,
        any(module["type"].endswith(".Router") for module in modules),
        tuple(name for name in OTHER_DOCUMENT_PROMPTS if prompts.get(name)),
    )


def _module_config(folder: Path, module: Mapping[str, str]) -> dict[str, Any]:
    file = folder / module["path"] / "config.json"
    return json.loads(file.read_text()) if module["path"] and file.is_file() else {}


def _vector_length(config: Mapping[str, Any]) -> int | None:
    """The output dimension of a module. A module with several pooling modes concatenates their results.

    >>> _vector_length({"embedding_dimension": 32, "pooling_mode": ["cls", "mean"]})
    64
    >>> _vector_length({"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_max_tokens": False})
    32
    """
    if "out_features" in config:
        return int(config["out_features"])
    length = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    if length is None:
        return None
    modes = config.get("pooling_mode") or [on for key, on in config.items() if key.startswith(OLD_POOLING) and on]
    return int(length) * (1 if isinstance(modes, str) else max(1, len(modes)))
