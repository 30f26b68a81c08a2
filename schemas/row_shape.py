"""The sizes of a window's tensors, and the optional columns that its table has."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .senses import SenseColumns

MODALITIES = ("frame", "audio", "speech", "text")


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

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> RowShape:
        return cls(**{**fields, "senses": tuple(SenseColumns.from_json(one) for one in fields.get("senses", ()))})

    def to_json(self) -> dict[str, Any]:
        later = ("senses", "speech_source")  # older datasets do not name them
        fields = {name: value for name, value in asdict(self).items() if name not in later}
        fields |= {"speech_source": True} if self.speech_source else {}
        return {**fields, **({"senses": [one.to_json() for one in self.senses]} if self.senses else {})}

    @property
    def modalities(self) -> tuple[str, ...]:
        """Whatever has a status column: the built-in modalities and the further senses."""
        return (*MODALITIES, *(one.name for one in self.senses))
