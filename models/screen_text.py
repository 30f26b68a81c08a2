"""The sense `ocr`: text on the screen, read by RapidOCR with PP-OCR's networks, which its package carries.

Frames are read only where the picture has changed since the last reading. What stays on the screen is one entry, from the
first frame that shows it to the first that does not. A line that moves, such as a ticker, is an entry for each reading, so that
each of its words has its own time. Source of the networks: https://github.com/RapidAI/RapidOCR.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np

from ..schemas.errors import UsageError
from ..schemas.extras import missing_package
from ..schemas.senses import Column, FrameNeed, Reader, Record, Sense, SenseInput
from .devices import cores, pick_device

log = logging.getLogger("reelbeam")

PACKAGE = "rapidocr_onnxruntime"

LEAST_CONFIDENCE = 0.5
"""Lines below it are dropped: RapidOCR's own default."""

DETECTOR = {"det_limit_type": "max", "det_limit_side_len": 1280}
"""Text is searched in the frame as it is. RapidOCR's own setting enlarges it to 736 pixels on the shorter side, which takes
four times as long on frames of 360 lines."""

NARROWER = 0.65
"""Lines are made this much narrower before they are read. PP-OCR's recogniser was trained on Chinese and leaves out the spaces between
Latin words: of 42 made lines in compressed video it reads 16 without a mistake as they are, 34 at 0.65, 6 when widened to 1.25."""

SAME_PLACE = 0.5
"""Least overlap (intersection over union) of the boxes of two readings of one line."""

LONGEST_SLIP, MOST_SLIPS, SHORT = 2, 0.15, 6
"""Compression makes letters be read otherwise now and then. Two readings are of one line when at most this many letters in a row
differ, and at most this share of all; no digit may differ, and in shorter lines nothing may."""

LEAST_MOVING, AT_EDGE = 6, 3
"""A line that moves shows at least this many of its letters again, all but this many at its edges."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture's width and height, 0 to 1."""


@dataclass(frozen=True)
class Line:
    """One line of text in one frame."""

    text: str
    box: Box
    confidence: float


@dataclass(frozen=True)
class Entry:
    """One line of text over the time that it is on the screen, on the presentation clock."""

    line: Line
    start_ms: int
    end_ms: int

    def record(self) -> Record:
        left, top, right, bottom = self.line.box
        return {
            "text": self.line.text,
            "left": left,
            "top": top,
            "right": right,
            "bottom": bottom,
            "confidence": self.line.confidence,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
        }


@dataclass(frozen=True)
class ScreenText(Sense):
    """Text on the screen, with its place and times, and its sentence embedding."""

    name = "ocr"
    version = 2
    frames = FrameNeed(longest_side=1280, only_changed=True)

    def columns(self) -> tuple[Column, ...]:
        share = ("left", "top", "right", "bottom", "confidence")
        return (
            Column(
                "screen_text",
                "lines of text on the screen during the window: text; left, top, right, bottom as shares of the picture; "
                "confidence; and for how long it is there within the unit",
                "list",
                "0..1, ms",
                fields=(
                    ("text", "string"),
                    *((name, "float32") for name in share),
                    ("start_ms", "int32"),
                    ("end_ms", "int32"),
                ),
            ),
            Column(
                "screen_embedding",
                "sentence embedding of these lines, unit length; null without text",
                "text_embedding",
                embeds="screen_text",
            ),
        )

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "weights": f"package:{PACKAGE}", "weights_sha256": weights_sha256()}

    def load(self, device: str) -> Reader:
        return ScreenReader(pick_device(device))


@functools.cache
def weights_sha256() -> str:
    """Hash of the networks that the package carries. Raises UsageError when it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        newer = " (on a Python below 3.13: this RapidOCR knows no newer one)" if sys.version_info >= (3, 13) else ""
        raise UsageError(f"--senses ocr: {missing_package(PACKAGE)}{newer}")
    digest = hashlib.sha256()
    for file in sorted(Path(found.origin).parent.glob("models/*.onnx")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


class ScreenReader:
    """Reads the text of a unit's frames."""

    def __init__(self, device: str):
        try:
            from rapidocr_onnxruntime import RapidOCR
        except ImportError as error:
            raise UsageError(
                f"--senses ocr: OpenCV cannot be loaded: {error}; cure: pip install --force-reinstall --no-deps "
                "opencv-python-headless, or apt-get install libgl1 libglib2.0-0"
            ) from error
        cuda = device.startswith("cuda") and _has_cuda()
        on_gpu = {f"{part}_use_cuda": cuda for part in ("det", "cls", "rec")}
        self.engine = RapidOCR(text_score=LEAST_CONFIDENCE, intra_op_num_threads=cores(), **DETECTOR, **on_gpu)
        recognise = self.engine.text_rec
        self.engine.text_rec = lambda crops, *more: recognise([narrowed(crop) for crop in crops], *more)

    def lines(self, picture: np.ndarray) -> list[Line]:
        """The lines of text in a picture uint8 [h, w, 3], RGB, from top to bottom."""
        found, _ = self.engine(np.ascontiguousarray(picture[:, :, ::-1]))  # it takes BGR, as OpenCV does
        height, width = picture.shape[:2]
        lines = []
        for corners, text, confidence in found or ():
            (left, top), (right, bottom) = np.min(corners, axis=0), np.max(corners, axis=0)
            shares = (left / width, top / height, right / width, bottom / height)
            lines.append(Line(text.strip(), tuple(float(min(1, max(0, one))) for one in shares), float(confidence)))  # type: ignore[arg-type]
        return [line for line in lines if line.text]

    def __call__(self, seen: SenseInput, /) -> Sequence[Record | None]:
        """A record for each window: the lines that are on the screen in it. Reads every frame of the unit once."""
        readings = [self.lines(seen.frames.pixels(at)) for at in range(len(seen.frames))]
        unit = seen.unit
        end_ms = min(seen.grid.window_ms(seen.windows[-1])[1], max(unit.probe.duration_ms, unit.start_ms + 1))
        entries = joined(readings, seen.frames.pts_ms.tolist(), end_ms)
        records: list[Record | None] = []
        for window in seen.windows:
            start, end = seen.grid.window_ms(window)
            here = [one.record() for one in entries if one.start_ms < end and one.end_ms > start]
            records.append({"screen_text": here} if here else None)
        return records


def narrowed(crop: np.ndarray) -> np.ndarray:
    """The picture uint8 [h, w, 3] of one line, narrower by NARROWER: [h, w', 3]."""
    from PIL import Image

    height, width = crop.shape[:2]
    size = max(1, round(width * NARROWER)), height
    return np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BICUBIC))


def _has_cuda() -> bool:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return True
    log.info("ocr runs on the CPU: this onnxruntime knows no CUDA; for the GPU: pip install onnxruntime-gpu")
    return False


def joined(readings: Sequence[Sequence[Line]], pts_ms: Sequence[int], end_ms: int) -> list[Entry]:
    """Lines of text over time: a line that a following reading shows again goes on, with the reading of the highest confidence.

    `pts_ms` are the times of the readings. What the last reading shows stays until `end_ms`.

    >>> one = Line("Hello", (0, 0, 0.5, 0.1), 0.9)
    >>> [(entry.line.text, entry.start_ms, entry.end_ms) for entry in joined([[one], [one], []], [0, 1000, 4000], 9000)]
    [('Hello', 0, 4000)]
    """
    done: list[Entry] = []
    standing: list[Entry] = []
    ends = [*pts_ms[1:], max(end_ms, *pts_ms[-1:])] if pts_ms else []
    for lines, start_ms, until_ms in zip(readings, pts_ms, ends, strict=True):
        before, standing = standing, []
        for line in lines:
            match = next((one for one in before if is_same(one.line, line)), None)
            if match is None:
                standing.append(Entry(line, start_ms, until_ms))
            else:
                before.remove(match)
                surest = max(match.line, line, key=lambda one: one.confidence)
                standing.append(replace(match, line=surest, end_ms=until_ms))
        done += before
    return sorted([*done, *standing], key=lambda one: (one.start_ms, one.line.box[1], one.line.box[0]))


def is_same(one: Line, two: Line) -> bool:
    """Whether two readings show the same line.

    >>> place = (0.1, 0.1, 0.5, 0.2)
    >>> is_same(Line("Revenue", place, 1), Line("Revenve", place, 1)), is_same(Line("one", place, 1), Line("two", place, 1))
    (True, False)
    """
    if overlap(one.box, two.box) < SAME_PLACE or has_moved_on(one.text, two.text):
        return False
    return reads_alike(one.text, two.text)


def reads_alike(one: str, two: str) -> bool:
    """Whether two texts differ by slips of the reader alone. Spaces and case do not count.

    >>> reads_alike("Revenue grew by 14%", "Revenvegrew by 14 %"), reads_alike("Costs of 2025", "Costs of 2026")
    (True, False)
    >>> reads_alike("Costs of the valley plan", "Costs of the lantern plan"), reads_alike("Total", "Totel")
    (False, False)
    """
    one, two = ("".join(text.lower().split()) for text in (one, two))
    if one == two:
        return True
    if min(len(one), len(two)) < SHORT:
        return False
    codes = SequenceMatcher(None, one, two, autojunk=False).get_opcodes()
    slips = [(one[at:to], two[start:end]) for kind, at, to, start, end in codes if kind != "equal"]
    lengths = [max(map(len, slip)) for slip in slips]
    digits = any(letter.isdigit() for slip in slips for part in slip for letter in part)
    return not digits and max(lengths) <= LONGEST_SLIP and sum(lengths) <= MOST_SLIPS * max(len(one), len(two))


def has_moved_on(one: str, two: str) -> bool:
    """Whether the second reading shows a line, such as a ticker's, further on: it lacks the first letters of the first reading and
    has others at its end. Letters at the edges are often misread.

    >>> has_moved_on("Storm reaches the coa", "rm reaches the coast of"), has_moved_on("Anna Roe, chief", "Maria Roe, chief")
    (True, False)
    """
    if one == two:
        return False
    match = SequenceMatcher(None, one, two, autojunk=False).find_longest_match()
    left, more = len(one) - match.a - match.size, len(two) - match.b - match.size
    return (
        match.size >= LEAST_MOVING and match.a > match.b + 1 and match.b <= AT_EDGE and left <= AT_EDGE and more > left
    )


def overlap(one: Box, two: Box) -> float:
    """Intersection over union of two boxes.

    >>> overlap((0, 0, 1, 1), (0.5, 0, 1, 1))
    0.5
    """
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, two))
    return both / (areas - both)
