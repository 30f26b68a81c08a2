"""What tests of speech share: engines by name, their own transcription of a whole file, and the errors of a text."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from reelbeam.models import ct2_weights
from reelbeam.models.profiles import OFFLINE_CLIP, OFFLINE_WHISPER
from reelbeam.models.weights import resolve

ENGINES = ("faster-whisper", "openai-whisper")
NOT_WORSE = 0.005
"""Half a point of word error rate."""


def models_of(engine: str, folder: Path) -> str:
    """`--models` for the offline models with one of the engines."""
    fields = {
        "clip": {"architecture": "mini", "weights": OFFLINE_CLIP},
        "whisper": {"engine": engine, "weights": OFFLINE_WHISPER},
    }
    file = folder / f"{engine}.json"
    file.write_text(json.dumps(fields))
    return str(file)


def by_hand(engine: str, folder: Path) -> Callable[[str], str]:
    """An engine as its README calls it: a whole file, its own defaults, the same weights. Gives the text of a file."""
    weights = resolve(OFFLINE_WHISPER)
    assert weights is not None
    if engine == "faster-whisper":
        from faster_whisper import WhisperModel

        faster = WhisperModel(str(weights), device="cpu", compute_type="int8")
        return lambda path: " ".join(segment.text for segment in faster.transcribe(path, language="en")[0])
    import whisper

    if not (folder / "tiny.en.pt").exists():
        ct2_weights.convert(weights, folder / "tiny.en.pt")
    openai = whisper.load_model(str(folder / "tiny.en.pt"), device="cpu")
    ct2_weights.set_alignment_heads(openai, ct2_weights.alignment_heads(weights))
    return lambda path: str(openai.transcribe(path, language="en", fp16=False)["text"])


@lru_cache
def normalizer() -> Callable[[str], str]:
    from whisper.normalizers import EnglishTextNormalizer

    return EnglishTextNormalizer()


def normal(text: str) -> list[str]:
    """The words of a text as WER compares them."""
    return normalizer()(text).split()


def errors(said: list[str], heard: list[str]) -> int:
    """Levenshtein distance in words."""
    costs = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        before, costs[0] = costs[0], at
        for place, other in enumerate(heard, 1):
            before, costs[place] = costs[place], min(costs[place] + 1, costs[place - 1] + 1, before + (word != other))
    return costs[-1]


def words_of(dataset: Any) -> dict[str, list[dict[str, Any]]]:
    """The words heard in each file, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for _, batch in dataset.batches(["uri", "words"]):
        for row in batch.to_pylist():
            found.setdefault(Path(row["uri"]).name, []).extend(row["words"])
    return found
