"""The sizes of a window's tensors, and the optional columns that its table has."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .errors import UsageError
from .senses import SenseColumns

MODALITIES = ("frame", "audio", "speech", "text")

TRANSCRIPT = (
    "text",
    "words",
    "language",
    "avg_logprob",
    "no_speech_prob",
    "compression_ratio",
    "repetition",
    "chars_per_s",
    "speech_flags",
    "text_status",
    "speech_source",
    "text_embedding",
)
"""The columns that follow from what is said, those that are stored."""

BUILT_IN: dict[str, tuple[str, ...]] = {
    "frames": ("frame_embedding", "frame_status"),
    "speech": (*TRANSCRIPT, "speech_status"),
    "sound": ("audio_feature", "audio_status"),
}
"""Built-in senses that can be turned off -> the columns that are then null, and their statuses, which are then `off`."""

MODEL_OF = {"frames": "clip", "speech": "whisper", "sound": "audio"}
"""The model of each."""


@dataclass(frozen=True)
class RowShape:
    """The sizes that the models and the grid give to a window's tensors."""

    ticks: int
    frame_dim: int
    audio_dim: int
    text_dim: int
    fused_dim: int = 0
    """0: no fused embedding is stored."""
    audio_embedding_dim: int = 0
    """0: no states of the speech model are stored."""
    senses: tuple[SenseColumns, ...] = ()
    """Columns of the further senses that are on, in the order in which they are stored."""
    speech_source: bool = False
    """Whether it is stored where the words come from: with --speech subtitles or auto."""
    off: tuple[str, ...] = ()
    """The built-in senses that are off, sorted."""

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> RowShape:
        senses = tuple(SenseColumns.from_json(one) for one in fields.get("senses", ()))
        return cls(**{**fields, "senses": senses, "off": tuple(fields.get("off", ()))})

    def to_json(self) -> dict[str, Any]:
        later = ("senses", "speech_source", "off")  # older datasets do not name them
        fields = {name: value for name, value in asdict(self).items() if name not in later}
        fields |= {"speech_source": True} if self.speech_source else {}
        fields |= {"off": list(self.off)} if self.off else {}
        return {**fields, **({"senses": [one.to_json() for one in self.senses]} if self.senses else {})}

    @property
    def off_columns(self) -> frozenset[str]:
        """The columns of the built-in senses that are off, statuses included."""
        return frozenset(name for sense in self.off for name in BUILT_IN[sense])

    def check_on(self, *columns: str) -> None:
        """Raises UsageError, with the cure, for a column whose built-in sense is off."""
        for sense in self.off:
            for name in sorted({*columns} & {*BUILT_IN[sense]}):
                raise UsageError(
                    f"{name}: {sense} is off in this dataset; cure: reelbeam nightly INPUT OUTPUT --senses +{sense} --remodel"
                )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Whatever has a status column: the built-in modalities and the further senses."""
        return (*MODALITIES, *(one.name for one in self.senses))
