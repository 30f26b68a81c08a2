"""Where the weights of a spec lie on this machine, and how large they are. Downloads nothing, and imports no network's library.

A hub name is looked up in the hub's local cache. Which hub repository a name of open_clip or of faster-whisper means stands here
as a table, because these libraries import torch; a test compares it with them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..schemas.errors import MissingWeights
from .clip import ClipSpec
from .frame_engines import FrameSpec
from .sentence_clip import SentenceClipSpec
from .text import TextSpec
from .weights import PACKAGE, resolve
from .whisper import WhisperSpec

CLIP_REPOSITORIES = {
    ("ViT-B-32", "laion2b_s34b_b79k"): "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    ("ViT-B-16-SigLIP2", "webli"): "timm/ViT-B-16-SigLIP2",
    ("PE-Core-L-14-336", "meta"): "timm/PE-Core-L-14-336",
}
"""Hub repository of each pretrained tag of the profiles. Source: open_clip 3.3, `get_pretrained_cfg(...)["hf_hub"]`."""

WHISPER_REPOSITORIES = {
    **{name: f"Systran/faster-whisper-{name}" for name in ("tiny", "base", "small", "medium", "large-v2", "large-v3")},
    **dict.fromkeys(("large-v3-turbo", "turbo"), "mobiuslabsgmbh/faster-whisper-large-v3-turbo"),
}
"""Hub repository of faster-whisper's names. Source: faster-whisper 1.2, `utils._MODELS`."""

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


@dataclass(frozen=True)
class AtHand:
    """What is known of one model's weights."""

    weights: str
    """As the spec names them; of CLIP with the architecture."""
    state: str
    """`package`, `path`, `cache`, or `absent`: not on this machine."""
    path: str = ""
    bytes: int = 0
    note: str = ""
    """Where they come from or what cures their absence."""


def weights_at_hand(spec: FrameSpec | WhisperSpec | TextSpec) -> AtHand:
    """Where the weights of a model lie."""
    name = f"{spec.architecture}:{spec.weights}" if isinstance(spec, ClipSpec) else spec.weights
    try:
        path = resolve(spec.weights)
    except MissingWeights as error:
        return AtHand(name, "absent", note=str(error))
    if path is not None:
        is_package = spec.weights.startswith(PACKAGE)
        return AtHand(spec.weights, "package" if is_package else "path", str(path), _size(path))
    if isinstance(spec, WhisperSpec) and spec.engine == "openai-whisper":
        file = _cache_home() / "whisper" / f"{spec.weights}.pt"
        found, origin = file if file.is_file() else None, "openai-whisper's own store"
    else:
        repository = hub_repository(spec)
        found, origin = (
            (cached_snapshot(repository) if repository else None),
            repository or "a hub that its library knows",
        )
    if found is None:
        return AtHand(name, "absent", note=f"a hub name, downloaded at first use from {origin}; or name a local folder")
    return AtHand(name, "cache", str(found), _size(found), origin)


def hub_repository(spec: FrameSpec | WhisperSpec | TextSpec) -> str:
    """The hub repository of a name; empty where only the model's library knows it."""
    if isinstance(spec, ClipSpec):
        return CLIP_REPOSITORIES.get((spec.architecture, spec.weights), "")
    if "/" in spec.weights:
        return spec.weights
    if isinstance(spec, TextSpec | SentenceClipSpec):
        return f"sentence-transformers/{spec.weights}"
    return WHISPER_REPOSITORIES.get(spec.weights, "")


def cached_snapshot(repository: str) -> Path | None:
    """The newest whole copy of a hub repository in the local cache; None where there is none with weights in it.

    Source: huggingface_hub, "Understand caching": `models--OWNER--NAME/snapshots/COMMIT`, links to blobs.
    """
    folder = hub_cache() / f"models--{repository.replace('/', '--')}" / "snapshots"
    copies = sorted(folder.glob("*"), key=lambda copy: copy.stat().st_mtime, reverse=True) if folder.is_dir() else []
    return next((copy for copy in copies if any(file.suffix in WEIGHT_SUFFIXES for file in _files(copy))), None)


def hub_cache() -> Path:
    """The hub's cache, by the variables that its client reads."""
    if explicit := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(explicit).expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else _cache_home() / "huggingface") / "hub"


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()


def _files(path: Path) -> list[Path]:
    """Files that are there: a link to a blob that was never fetched whole is none."""
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))
