"""The sense `ocr`: text on the screen, read by RapidOCR with PP-OCR's networks, which its package carries.

Frames are read only where the picture has changed since the last reading. What stays on the screen is one entry, from the
first frame that shows it to the first that does not; of a line that moves, such as a ticker, each word is stored once
(`screen_lines.py`). Source of the networks: https://github.com/RapidAI/RapidOCR.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..schemas.errors import UsageError
from ..schemas.extras import missing_package
from ..schemas.senses import Column, FrameNeed, Reader, Record, Sense, SenseInput
from .devices import cores, pick_device
from .screen_boxes import whole_lines
from .screen_lines import Entry, Line, joined

log = logging.getLogger("reelbeam")

PACKAGE = "rapidocr_onnxruntime"

LEAST_CONFIDENCE = 0.5
"""Lines below it are dropped: RapidOCR's own default."""

DETECTOR = {"det_limit_type": "max", "det_limit_side_len": 1280}
"""Text is searched in the frame as it is. RapidOCR's own setting enlarges it to 736 pixels on the shorter side, which takes
four times as long on frames of 360 lines."""

UPRIGHT = {"use_cls": False}
"""Whether a line is upside down is not asked: frames are upright, and the network that tells takes a long line for one now and then."""

NARROWER = 0.8
"""Lines are made this much narrower before they are read. PP-OCR's recogniser was trained on Chinese and leaves out the spaces between
Latin words, fewer of them when lines are narrower; at 0.5 it misreads letters."""

LEAST_SPACE = 0.03
"""Probability from which a space between two letters counts, though another letter or none is likelier at its step. Of 90 made lines in
compressed video, 76 are read without a mistake where only the likeliest letter counts, 84 from 0.3 on, 88 from 0.1, 89 from 0.05 to 0.005,
without an invented space. Narrowed to 0.65, it is 76, and 86 at best; to 0.5, 63 and 79."""


@dataclass(frozen=True)
class ScreenText(Sense):
    """Text on the screen, with its place and times, and its sentence embedding."""

    name = "ocr"
    version = 4
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
        self.engine = RapidOCR(
            text_score=LEAST_CONFIDENCE, intra_op_num_threads=cores(), **DETECTOR, **UPRIGHT, **on_gpu
        )
        detect, recognise = self.engine.text_det, self.engine.text_rec

        def detected(picture: np.ndarray) -> tuple[np.ndarray | None, float]:
            boxes, seconds = detect(picture)
            return (boxes if boxes is None or not len(boxes) else whole_lines(boxes)), seconds

        self.engine.text_det = detected
        letters = recognise.postprocess_op.character
        recognise.postprocess_op = lambda likely, *_, **__: [read(steps, letters) for steps in likely]
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
            here = [record_of(one) for one in entries if one.start_ms < end and one.end_ms > start]
            records.append({"screen_text": here} if here else None)
        return records


def record_of(entry: Entry) -> Record:
    """An entry as the column stores it."""
    left, top, right, bottom = entry.line.box
    place = {"left": left, "top": top, "right": right, "bottom": bottom, "confidence": entry.line.confidence}
    return {"text": entry.line.text, **place, "start_ms": entry.start_ms, "end_ms": entry.end_ms}


def narrowed(crop: np.ndarray) -> np.ndarray:
    """The picture uint8 [h, w, 3] of one line, narrower by NARROWER: [h, w', 3]."""
    from PIL import Image

    height, width = crop.shape[:2]
    size = max(1, round(width * NARROWER)), height
    return np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BICUBIC))


def read(steps: np.ndarray, letters: Sequence[str]) -> tuple[str, float]:
    """The text and the confidence in what the recogniser gives: float32 [steps, letters], where letter 0 is none and the last one is a
    space. As PP-OCR reads it (the likeliest letter of each step, runs of one as one), but a space counts between two letters from
    LEAST_SPACE on.

    >>> steps = np.array([[0.1, 0.9, 0, 0], [0.8, 0, 0, 0.2], [0.1, 0, 0.9, 0]], np.float32)
    >>> read(steps, ["blank", "a", "b", " "])[0], read(steps[[0, 2]], ["blank", "a", "b", " "])[0]
    ('a b', 'ab')
    """
    likeliest = steps.argmax(axis=1)
    kept = np.flatnonzero((likeliest != 0) & (likeliest != np.append(-1, likeliest[:-1])))
    if not len(kept):
        return "", 0.0
    space, text = len(letters) - 1, ""
    for at, step in enumerate(kept):
        if at and likeliest[step] != space != likeliest[kept[at - 1]]:
            between = steps[kept[at - 1] + 1 : step, space]
            text += " " if between.max(initial=0) >= LEAST_SPACE else ""
        text += letters[likeliest[step]]
    return text, float(steps[kept, likeliest[kept]].mean())


def _has_cuda() -> bool:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return True
    log.info("ocr runs on the CPU: this onnxruntime knows no CUDA; for the GPU: pip install onnxruntime-gpu")
    return False
