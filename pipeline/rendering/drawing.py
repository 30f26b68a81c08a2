"""Draws marks (boxes, dots, texts, images) as one PNG."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from ...schemas.errors import UsageError

MARGIN = 12


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    radius: float
    colour: str


@dataclass(frozen=True)
class Line:
    points: tuple[tuple[float, float], ...]
    colour: str


@dataclass(frozen=True)
class Label:
    x: float
    y: float
    text: str
    """`y` is the top of the text."""
    size: int = 11
    colour: str = "#222222"


@dataclass(frozen=True)
class Picture:
    x: float
    y: float
    width: float
    height: float
    file: bytes
    """A JPEG or WebP file."""


Mark = Box | Dot | Line | Label | Picture


def colour_of(number: int) -> str:
    """A colour for a number; consecutive numbers get clearly different colours.

    >>> colour_of(0), colour_of(1) != colour_of(2)
    ('#cc5252', True)
    """
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.6, 0.8)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def size_of(marks: Sequence[Mark]) -> tuple[int, int]:
    """Width and height of the drawing: all marks, margins included; long labels may stick out."""
    rights, bottoms = [0.0], [0.0]
    for mark in marks:
        if isinstance(mark, Line):
            rights += [x for x, _ in mark.points]
            bottoms += [y for _, y in mark.points]
        elif isinstance(mark, Dot):
            rights.append(mark.x + mark.radius)
            bottoms.append(mark.y + mark.radius)
        elif isinstance(mark, Label):
            rights.append(mark.x)
            bottoms.append(mark.y + mark.size)
        else:
            rights.append(mark.x + mark.width)
            bottoms.append(mark.y + mark.height)
    return int(max(rights)) + MARGIN, int(max(bottoms)) + MARGIN


def write_png(marks: Sequence[Mark], title: str, file: str | Path) -> None:
    """Writes the drawing. The title is in the file's metadata. Raises UsageError where it cannot be written."""
    from PIL.PngImagePlugin import PngInfo

    image = Image.new("RGB", size_of(marks), "white")
    draw = ImageDraw.Draw(image)
    for mark in marks:
        if isinstance(mark, Box):
            draw.rectangle((mark.x, mark.y, mark.x + max(1, mark.width), mark.y + mark.height), fill=mark.colour)
        elif isinstance(mark, Dot):
            box = (mark.x - mark.radius, mark.y - mark.radius, mark.x + mark.radius, mark.y + mark.radius)
            draw.ellipse(box, fill=mark.colour)
        elif isinstance(mark, Line):
            draw.line(mark.points, fill=mark.colour)
        elif isinstance(mark, Label):
            draw.text((mark.x, mark.y), mark.text, fill=mark.colour, font_size=mark.size)
        else:
            picture = Image.open(io.BytesIO(mark.file)).resize((round(mark.width), round(mark.height)))
            image.paste(picture, (round(mark.x), round(mark.y)))
    facts = PngInfo()
    facts.add_itxt("Title", title)
    try:
        image.save(file, format="PNG", pnginfo=facts)
    except OSError as error:
        raise UsageError(
            f"--png {file}: {error.strerror}; cure: name a file in a folder that you may write to"
        ) from error
