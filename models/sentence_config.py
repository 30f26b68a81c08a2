"""What a sentence-transformers folder says of itself: prompts, and the length of its vectors. Read without torch.

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
"""What a text is encoded as: searched for, or stored."""

OTHER_DOCUMENT_PROMPTS = ("passage", "corpus")
"""Prompts that `encode_document` names as candidates behind `document`. As each model has a `document` prompt, an empty one
where its author gave none, the library never takes them."""

OLD_POOLING = "pooling_mode_"
"""Start of the keys of older pooling configs, one a mode, true where it is on."""


@dataclass(frozen=True)
class SentenceConfig:
    """What decides the vectors beside the weights."""

    prompts: dict[str, str]
    """The model's own prompt of each of USES; empty where it has none."""
    default_prompt: str
    """What a plain `encode` puts before a text."""
    dimension: int | None
    """Length of a vector; None where no module says it."""
    is_routed: bool
    """Whether queries and documents go through modules of their own."""


def read_config(folder: Path) -> SentenceConfig:
    """The config of a folder that holds modules.json."""
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
    )


def _module_config(folder: Path, module: Mapping[str, str]) -> dict[str, Any]:
    file = folder / module["path"] / "config.json"
    return json.loads(file.read_text()) if module["path"] and file.is_file() else {}


def _vector_length(config: Mapping[str, Any]) -> int | None:
    """What a module makes of its input; modules that pool in several ways lay the results side by side.

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
