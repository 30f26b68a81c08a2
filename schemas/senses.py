"""The contract of a sense: one extractor on the common clock, with columns of its own in the windows table.

Subclass `Sense` as a frozen dataclass. Its fields are settings, and part of its identity:

    @dataclass(frozen=True)
    class Brightness(Sense):
        name = "brightness"
        version = 1
        frames = FrameNeed(longest_side=32)

        def columns(self) -> tuple[Column, ...]:
            return (Column("brightness", "mean of all bytes of the window's frames", "float32", unit="0..255"),)

        def load(self, device: str) -> Reader:
            return lambda seen: [
                {"brightness": float(np.mean([seen.frames.pixels(at) for at in here]))} if len(here) else None
                for here in seen.frames_of_windows()
            ]

What a sense declares is stored in the snapshot, so that a dataset is read without the package that made it.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import pyarrow as pa

from .elements import Grid, Unit, Word
from .tensors import column, tensor_column

PLAIN_TYPES = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "binary": pa.binary(),
}
"""Types of columns that are neither tensors nor lists. Those of `binary` are stored as they are, without compression."""


@dataclass(frozen=True)
class Column:
    """One column of a sense. It is null in windows where the sense's status is not ok.

    >>> Column("hash", "perceptual hash of each tick", "tensor", dtype="uint64", shape=(10,)).field(384).type
    FixedSizeBinaryType(fixed_size_binary[80])
    """

    name: str
    doc: str
    type: str
    """One of PLAIN_TYPES; "tensor" with dtype and shape; "list" of records with `fields`; or "text_embedding" of the texts in the
    column `embeds`, which the dataset's sentence model fills."""
    unit: str = ""
    dtype: str = ""
    shape: tuple[int | str, ...] = ()
    """Of a tensor. "T" stands for the dataset's ticks per window."""
    fields: tuple[tuple[str, str], ...] = ()
    """Name and plain type of each field of a list's records."""
    embeds: str = ""

    def at(self, ticks: int) -> Column:
        """The column in a dataset with this many ticks per window.

        >>> Column("hash", "", "tensor", dtype="uint64", shape=("T",)).at(10).shape
        (10,)
        """
        return replace(self, shape=tuple(ticks if size == "T" else size for size in self.shape))

    def field(self, text_dim: int) -> pa.Field:
        """The Arrow field. `text_dim` is the dimension of the dataset's sentence model."""
        if self.type == "tensor":
            sizes = tuple(int(size) for size in self.shape)
            return tensor_column(self.name, self.dtype, sizes, self.doc, self.unit, True)
        if self.type == "text_embedding":
            return tensor_column(self.name, "float16", (text_dim,), self.doc, self.unit, True)
        if self.type == "list":
            record = pa.struct([pa.field(name, PLAIN_TYPES[kind], False) for name, kind in self.fields])
            return column(self.name, pa.list_(pa.field("element", record)), self.doc, self.unit, True)
        return column(self.name, PLAIN_TYPES[self.type], self.doc, self.unit, True)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Column:
        pairs = tuple((name, kind) for name, kind in fields.get("fields", ()))
        return cls(**{**fields, "shape": tuple(fields.get("shape", ())), "fields": pairs})

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value or name == "doc"}


@dataclass(frozen=True)
class SenseColumns:
    """The columns that one sense fills, as the snapshot records them. Its status column is `<name>_status`."""

    name: str
    columns: tuple[Column, ...]

    @property
    def status(self) -> str:
        return f"{self.name}_status"

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> SenseColumns:
        return cls(fields["name"], tuple(Column.from_json(one) for one in fields["columns"]))

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "columns": [one.to_json() for one in self.columns]}

    def fields(self, text_dim: int) -> list[pa.Field]:
        """The Arrow fields of its columns and of its status."""
        status = "ok, absent (nothing here), or failed: with the reason"
        return [*(one.field(text_dim) for one in self.columns), column(self.status, pa.string(), status)]


@dataclass(frozen=True)
class FrameNeed:
    """The frames that a sense wants: upright, tone-mapped RGB, never enlarged."""

    longest_side: int
    """In pixels. Frames above 512 travel as JPEG of high quality between decoder and sense, smaller ones as raw bytes."""
    only_changed: bool = False
    """Only ticks at which the picture differs visibly from the last frame given; the first tick of a unit always counts."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Height and width of the frames of a video of this display size, both even.

        >>> FrameNeed(1280).size(1920, 1080), FrameNeed(1280).size(607, 1080), FrameNeed(32).size(1920, 1080)
        ((720, 1280), (1080, 606), (18, 32))
        """
        scale = min(1.0, self.longest_side / max(width, height, 1))
        return max(2, round(height * scale) // 2 * 2), max(2, round(width * scale) // 2 * 2)


@dataclass(frozen=True)
class SenseFrames:
    """Frames of one unit for a sense."""

    ticks: np.ndarray
    """int32 [n], strictly increasing: the tick of each frame, counted from the start of the video."""
    pts_ms: np.ndarray
    """int32 [n]: true presentation time of each frame."""
    pictures: tuple[bytes, ...]
    """Each frame as raw rgb24 bytes, or as a JPEG file."""
    size: tuple[int, int]
    """Height and width in pixels."""

    def pixels(self, at: int) -> np.ndarray:
        """Frame number `at` of these, uint8 [h, w, 3] RGB. Decodes it when it is a JPEG file."""
        picture = self.pictures[at]
        if len(picture) == self.size[0] * self.size[1] * 3:
            return np.frombuffer(picture, np.uint8).reshape(*self.size, 3)
        from PIL import Image  # only senses that want large frames need it

        return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))

    def __len__(self) -> int:
        return len(self.ticks)


NO_FRAMES = SenseFrames(np.zeros(0, np.int32), np.zeros(0, np.int32), (), (0, 0))


@dataclass(frozen=True)
class SenseInput:
    """What a sense is given of one unit."""

    unit: Unit
    grid: Grid
    windows: range
    """The windows of the unit, for each of which the sense returns a record."""
    frames: SenseFrames
    """Empty when the sense wants none, or the video has none."""
    samples: np.ndarray
    """float32 [m] in -1..1, mono, 16 kHz; sample 0 is at `samples_start_ms`. Empty when the sense wants none."""
    samples_start_ms: int
    words: tuple[Word, ...]
    """What Whisper heard in the unit and the sound around it. Empty when the sense wants none."""

    def frames_of_windows(self) -> list[np.ndarray]:
        """For each window, the numbers of its frames, int64 [k]."""
        window = self.frames.ticks // self.grid.window_ticks
        return [np.flatnonzero(window == at) for at in self.windows]


class PartlyRead(Exception):
    """Raised by a reader that has found a part: `records` are stored, windows without one are failed with the reason."""

    def __init__(self, reason: str, records: Sequence[Record | None]):
        super().__init__(reason)
        self.records = tuple(records)


Record = dict[str, Any]
"""Values by column name: arrays for tensors, lists of dicts for lists."""


@dataclass(frozen=True)
class SenseRows:
    """What a sense found in one unit."""

    records: tuple[Record | None, ...] = ()
    """One per window of the unit; None where there is nothing."""
    failed: str = ""
    """Why it found nothing, where there is no record."""


class Reader(Protocol):
    """What `load` gives. Reads one unit: a record for each window of `seen.windows`, None where there is nothing."""

    def __call__(self, seen: SenseInput, /) -> Sequence[Record | None]: ...


@dataclass(frozen=True)
class Sense:
    """One extractor. See the head of this file."""

    name: ClassVar[str] = ""
    version: ClassVar[int] = 0
    """To be raised when the same input gives other values."""
    frames: ClassVar[FrameNeed | None] = None
    samples: ClassVar[bool] = False
    """Whether it wants sound."""
    words: ClassVar[bool] = False
    """Whether it wants the words that Whisper heard."""
    captions: ClassVar[bool] = False
    """Whether it wants the captions of the file's text streams, `seen.unit.probe.captions`."""

    def columns(self) -> tuple[Column, ...]:
        """The columns that it fills."""
        raise NotImplementedError(f"the sense {self.name} declares no columns")

    def load(self, device: str) -> Reader:
        """Loads its model. Called once per process."""
        raise NotImplementedError(f"the sense {self.name} loads nothing")

    def identity(self) -> dict[str, Any]:
        """What distinguishes its values from those of another version or setting. Add hashes of weights here."""
        settings = {declared.name: getattr(self, declared.name) for declared in dataclasses.fields(self)}
        return {"sense": self.name, "version": self.version, **settings}

    def stored(self, ticks: int) -> SenseColumns:
        """Its columns as the snapshot of a dataset with this many ticks per window records them."""
        return SenseColumns(self.name, tuple(one.at(ticks) for one in self.columns()))


def wrong_value(declared: Column, value: Any) -> str:
    """Why a value does not fit its column; "" when it does.

    >>> wrong_value(Column("a", "", "tensor", dtype="float16", shape=(3,)), np.zeros(2, np.float16))
    'a is float16 [2], declared is float16 [3]'
    >>> wrong_value(Column("a", "", "int32"), 3)
    ''
    """
    if value is None:
        return ""
    if declared.type == "tensor":
        found = np.asarray(value)
        wanted = f"{np.dtype(declared.dtype).name} {list(declared.shape)}"
        if found.shape != declared.shape or found.dtype != np.dtype(declared.dtype):
            return f"{declared.name} is {found.dtype.name} {list(found.shape)}, declared is {wanted}"
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            return f"{declared.name} holds values that are not finite"
        return ""
    if declared.type == "float32" and isinstance(value, float) and not math.isfinite(value):
        return f"{declared.name} is {value}, wanted is a finite number"
    if declared.type == "list":
        wanted_fields = {name for name, _ in declared.fields}
        for record in value:
            if set(record) != wanted_fields or None in record.values():
                return (
                    f"{declared.name}: a record is {record}, wanted are values for {', '.join(sorted(wanted_fields))}"
                )
    try:
        pa.array([value], declared.field(1).type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, ValueError) as error:
        return f"{declared.name}: {str(error).splitlines()[0]}"
    return ""
