"""RunSenses: the further senses that are on, one after the other, on units that are decoded and transcribed.

In:  groups of units with the frames and samples that the senses asked for.
Out: the same with `senses`: a record per window and sense, or why there is none. The senses' frames are dropped.
Bad: a sense that raises, or gives something else than it declares, costs its own columns in that unit: a
     Failure("senses", kind "sense_failed"), and the status `failed: reason`. Memory errors and errors of a store are raised.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import apache_beam as beam
import numpy as np
import pyarrow as pa

from ..models.loaded import loaded, preload
from ..schemas.elements import Grid, Group, UnitFeatures
from ..schemas.errors import Failure, InputError, StorageError
from ..schemas.senses import (
    NO_FRAMES,
    PartlyRead,
    Reader,
    Record,
    Sense,
    SenseColumns,
    SenseInput,
    SenseRows,
    wrong_value,
)
from ..schemas.tables import ABSENT, FAILED, OK, RowShape
from .decode import covered_windows
from .metrics import StageMetrics

log = logging.getLogger("reelbeam")

SENSES = "senses"
"""The stage that failures of a sense name."""

NO_SAMPLES = np.zeros(0, np.float32)


def input_of(features: UnitFeatures, sense: Sense, grid: Grid) -> SenseInput | None:
    """What a sense is given of a unit; None when the unit has nothing that it wants."""
    decoded = features.decoded
    if decoded is None:
        return None
    frames = decoded.for_senses.get(sense.frames, NO_FRAMES) if sense.frames else NO_FRAMES
    has_sound = decoded.sound_end_ms > decoded.sound_start_ms
    wants_sound = sense.samples or sense.words
    if (sense.frames or wants_sound) and not len(frames) and not (wants_sound and has_sound):
        return None
    return SenseInput(
        features.unit,
        grid,
        covered_windows(features.unit, decoded, grid),
        frames,
        decoded.samples if sense.samples and has_sound else NO_SAMPLES,
        decoded.samples_start_ms,
        tuple(word for passage in features.passages or () for word in passage.words) if sense.words else (),
    )


def run_sense(features: UnitFeatures, sense: Sense, reader: Reader, grid: Grid) -> UnitFeatures:
    """The unit with what one sense found in it."""
    seen = input_of(features, sense, grid)
    if seen is None:
        return features
    try:
        reason, records = "", tuple[Record | None, ...]()
        try:
            records = tuple(reader(seen))
        except PartlyRead as part:
            records, reason = part.records, f"{sense.name}: {part}"
        if wrong := wrong_records(records, sense.stored(grid.window_ticks), len(seen.windows)):
            raise ValueError(wrong)
    except (MemoryError, StorageError):
        raise
    except Exception as error:  # somebody else's code: whatever it raises costs its own columns
        log.warning("%s: the sense %s failed", features.unit.video.uri, sense.name, exc_info=True)
        records, reason = (), f"{sense.name}: {type(error).__name__}: {error}"
    features = replace(features, senses={**features.senses, sense.name: SenseRows(records, reason)})
    if not reason:
        return features
    log.warning("%s: %s", features.unit.video.uri, reason)
    failure = Failure.of(SENSES, InputError("sense_failed", reason), features.unit.start_ms, features.unit.end_ms)
    return replace(features, failures=(*features.failures, failure))


def wrong_records(records: Sequence[Record | None], stored: SenseColumns, windows: int) -> str:
    """Why the records of a sense are not what it declares; "" when they are."""
    if len(records) != windows:
        return f"{len(records)} records for {windows} windows"
    declared = {one.name: one for one in stored.columns if not one.embeds}
    for record in records:
        if record is None:
            continue
        if unknown := set(record) - set(declared):
            return f"a value for {', '.join(sorted(unknown))}, which it does not declare"
        for name, column in declared.items():
            if wrong := wrong_value(column, record.get(name)):
                return wrong
    return ""


def sense_columns(found: Mapping[str, SenseRows], kept: np.ndarray, shape: RowShape) -> dict[str, pa.Array]:
    """The columns of the further senses in the kept windows int64 [k]. Embeddings of texts are still null."""
    columns: dict[str, pa.Array] = {}
    for sense in shape.senses:
        rows = found.get(sense.name, SenseRows())
        records = [rows.records[at] if at < len(rows.records) else None for at in kept]
        for declared in sense.columns:
            values = [record.get(declared.name) if record else None for record in records]
            field = declared.field(shape.text_dim)
            if declared.type in ("tensor", "text_embedding"):
                values = [None if value is None else np.ascontiguousarray(value).tobytes() for value in values]
            columns[declared.name] = pa.array(values, field.type)
        empty = f"{FAILED}: {rows.failed}" if rows.failed else ABSENT
        columns[sense.status] = pa.array([OK if record else empty for record in records], pa.string())
    return columns


class _RunSenses(beam.DoFn):
    def __init__(self, senses: Sequence[Sense], grid: Grid, device: str):
        self.senses, self.grid, self.device = tuple(senses), grid, device

    def setup(self) -> None:
        self.metrics = {sense.name: StageMetrics(f"sense_{sense.name}") for sense in self.senses}
        for sense in self.senses:
            preload(sense, self.device)

    def process(self, group: Group) -> Iterator[Group]:
        for sense in self.senses:
            metrics, reader = self.metrics[sense.name], loaded(sense, self.device)
            before = sum(len(features.failures) for features in group)
            with metrics.busy():
                group = tuple(run_sense(features, sense, reader, self.grid) for features in group)
            metrics.add(units=len(group), failed=sum(len(features.failures) for features in group) - before)
            metrics.flush()
        yield tuple(
            replace(features, decoded=replace(features.decoded, for_senses={})) if features.decoded else features
            for features in group
        )


class RunSenses(beam.PTransform):
    """Groups of decoded units -> the same with what the senses found."""

    def __init__(self, senses: Sequence[Sense], grid: Grid, device: str = "auto"):
        super().__init__()
        self.do = _RunSenses(senses, grid, device)

    def expand(self, groups: beam.PCollection) -> beam.PCollection:
        return groups | beam.ParDo(self.do)
