"""What can be indexed: vectors of frames, speech or fused windows, with their columns, ids and models; and words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .errors import UsageError
from .file_records import IndexInfo
from .snapshot import Snapshot
from .tables import RowShape


@dataclass(frozen=True)
class VectorSource:
    """One column of vectors. A frame's id is `row * T + tick`; a window's id is its row number."""

    name: str
    column: str
    models: tuple[str, ...]
    """Names in `Snapshot.models` that its values depend on. When one of these models changes, the index is rebuilt."""
    called: str
    """Name of its vectors in messages."""

    @property
    def of_frames(self) -> bool:
        return self.column == "frame_embedding"

    def ids_per_row(self, shape: RowShape) -> int:
        return shape.ticks if self.of_frames else 1

    def is_stored(self, shape: RowShape) -> bool:
        """Whether the dataset's rows have this column."""
        return bool(self._width(shape))

    def _width(self, shape: RowShape) -> int:
        if self.name in shape.off:
            return 0
        return {"frames": shape.frame_dim, "speech": shape.text_dim, "fused": shape.fused_dim}[self.name]

    def dimension(self, shape: RowShape) -> int:
        """Dimension of its vectors. Raises UsageError when the dataset has none of them."""
        if not (found := self._width(shape)):
            how = f"--senses +{self.name}" if self.name in shape.off else "--fuse concat"
            raise UsageError(
                f"the dataset has no {self.called}; make them with: reelbeam nightly INPUT OUTPUT {how} --remodel"
            )
        return found

    @property
    def id_columns(self) -> list[str]:
        """The columns that show which ids have a vector."""
        return ["tick_valid"] if self.of_frames else [self.column]

    def made_with(self, snapshot: Snapshot) -> dict[str, Any]:
        """The identities of its models in a snapshot."""
        return {name: snapshot.models[name] for name in self.models if name in snapshot.models}


FRAMES = VectorSource("frames", "frame_embedding", ("clip",), "frame embeddings")
SPEECH = VectorSource("speech", "text_embedding", ("whisper", "text"), "embeddings of what is said")
FUSED = VectorSource("fused", "fused_embedding", ("clip", "whisper", "audio", "text", "fusion"), "fused embeddings")
VECTOR_SOURCES = {source.name: source for source in (FRAMES, SPEECH, FUSED)}


WORDS = "words"
"""What a lexical index is of. It has documents in place of vectors."""


def called_of(of: str) -> str:
    """Name of what an index holds, in messages."""
    return "documents" if of == WORDS else VECTOR_SOURCES[of].called


WORDS_MODELS = ("whisper", "ocr", "subtitles")
"""Models and further senses whose texts a lexical index holds, where the dataset has them. Nobody's vectors are in it."""


def models_of(of: str, snapshot: Snapshot) -> dict[str, Any]:
    """The identities of the models that an index of this kind depends on, in a snapshot."""
    if of != WORDS:
        return VECTOR_SOURCES[of].made_with(snapshot)
    return {name: snapshot.models[name] for name in WORDS_MODELS if name in snapshot.models}


def is_made_with(of: str, models: dict[str, Any], snapshot: Snapshot) -> bool:
    """Whether an index that these models made still says what the rows of a snapshot say.

    A lexical index from before a sense was added lacks that sense's texts, and is true in all the others.
    """
    current = models_of(of, snapshot)
    return models == current or (
        of == WORDS and all(models[name] == current[name] for name in models.keys() & current.keys())
    )


def still_valid(snapshot: Snapshot, models: dict[str, Any]) -> dict[str, IndexInfo]:
    """The indexes of a snapshot whose content does not depend on the changed models."""
    other = replace(snapshot, models=models)
    return {
        name: built
        for name, built in snapshot.indexes.items()
        if is_made_with(built.of, models_of(built.of, snapshot), other)
    }
