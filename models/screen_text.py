"""The sense `ocr`: text on the screen, read by RapidOCR with PP-OCR's networks, which its package carries.

Frames are read only where the picture has changed since the last reading. What stays on the screen is one entry, from the
first frame that shows it to the first that does not. Source of the networks: https://github.com/RapidAI/RapidOCR.
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

SAME_TEXT, SAME_PLACE = 0.8, 0.5
"""A line is the one before it when the ratio of equal letters and the overlap of the boxes (intersection over union) are at
least these: compression makes a letter read otherwise now and then."""

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
    version = 1
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
    if overlap(one.box, two.box) < SAME_PLACE:
        return False
    return one.text == two.text or SequenceMatcher(None, one.text, two.text, autojunk=False).ratio() >= SAME_TEXT


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
