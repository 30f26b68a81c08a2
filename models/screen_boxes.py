"""Boxes of text that a detector has found: pieces of one line become one box, so that it is read as a whole.

PP-OCR's detector cuts long lines into pieces, at other places in each frame. A reader sees a piece of a letter at each cut.
"""

from __future__ import annotations

import numpy as np

ONE_ROW = 0.7
"""Least share of the lower of two boxes that the other covers from top to bottom, where both are of one line."""

ALIKE = 1.5
"""Most times that one of them is as high as the other."""

GAP = 0.8
"""Most space between them, in heights of the lower one. Boxes reach beyond their letters, so that there is none between two words of most
fonts, and about half a height in monospaced ones; columns of a table are further apart."""

LEVEL = 0.2
"""Most by which the upper edge of a box falls, in its heights: text that is askew keeps its boxes."""


def whole_lines(boxes: np.ndarray) -> np.ndarray:
    """Boxes float32 [n, 4, 2], corners clockwise from the upper left in pixels: [m, 4, 2] where pieces of one line are one.

    >>> pieces = np.array([corners(10, 100, 200, 130), corners(195, 102, 400, 131), corners(500, 100, 600, 130)])
    >>> extents(whole_lines(pieces)).tolist()
    [[10.0, 100.0, 400.0, 131.0], [500.0, 100.0, 600.0, 130.0]]
    """
    level = np.array([is_level(box) for box in boxes], bool)
    lines: list[np.ndarray] = []
    for piece in sorted(extents(boxes[level]), key=lambda extent: float(extent[0])):
        line = next((one for one in lines if is_next(one, piece)), None)
        if line is None:
            lines.append(piece.copy())
        else:
            line[:] = *np.minimum(line[:2], piece[:2]), *np.maximum(line[2:], piece[2:])
    joined = np.array([corners(*line) for line in lines], boxes.dtype).reshape(-1, 4, 2)
    return np.concatenate([boxes[~level], joined])


def is_next(line: np.ndarray, piece: np.ndarray) -> bool:
    """Whether a piece (left, top, right, bottom) goes on with a line that begins further to the left."""
    heights = line[3] - line[1], piece[3] - piece[1]
    shared = min(line[3], piece[3]) - max(line[1], piece[1])
    return bool(
        shared >= ONE_ROW * min(heights)
        and max(heights) <= ALIKE * min(heights)
        and piece[0] - line[2] <= GAP * min(heights)
    )


def is_level(box: np.ndarray) -> bool:
    """Whether the upper edge of a box is level, and it is no column of letters."""
    (left, top), (right, other_top), _, (_, bottom) = box
    return bool(abs(other_top - top) <= LEVEL * (bottom - top) and right - left >= bottom - top)


def extents(boxes: np.ndarray) -> np.ndarray:
    """[n, 4, 2] corners to [n, 4]: left, top, right, bottom."""
    return np.concatenate([boxes.min(axis=1), boxes.max(axis=1)], axis=1)


def corners(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """float32 [4, 2], clockwise from the upper left."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
