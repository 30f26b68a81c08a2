"""Draws marks (boxes, dots, texts, images) as one HTML page with SVG, or as one PNG. Needs no network."""

from __future__ import annotations

import base64
import colorsys
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

MARGIN = 12


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    colour: str
    tip: str = ""
    """Text that the page shows when the mouse is over the mark."""


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    radius: float
    colour: str
    tip: str = ""


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
    jpeg: bytes


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


def as_html(marks: Sequence[Mark], title: str) -> str:
    """One self-contained HTML page."""
    width, height = size_of(marks)
    drawn = "".join(_svg(mark) for mark in marks)
    head = f"<meta charset=utf-8><title>{html.escape(title)}</title>"
    style = "<style>body{font-family:system-ui,sans-serif;margin:1rem}div{overflow-x:auto}</style>"
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'>{drawn}</svg>"
    return f"<!doctype html><html lang=en>{head}{style}<h1>{html.escape(title)}</h1><div>{svg}</div></html>\n"


def _svg(mark: Mark) -> str:
    if isinstance(mark, Box):
        tip = f"<title>{html.escape(mark.tip)}</title>" if mark.tip else ""
        place = f"x='{mark.x:.1f}' y='{mark.y:.1f}' width='{mark.width:.1f}' height='{mark.height:.1f}'"
        return f"<rect {place} fill='{mark.colour}'>{tip}</rect>"
    if isinstance(mark, Dot):
        tip = f"<title>{html.escape(mark.tip)}</title>" if mark.tip else ""
        return f"<circle cx='{mark.x:.1f}' cy='{mark.y:.1f}' r='{mark.radius}' fill='{mark.colour}'>{tip}</circle>"
    if isinstance(mark, Line):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.points)
        return f"<polyline points='{points}' fill='none' stroke='{mark.colour}'/>"
    if isinstance(mark, Label):
        place = f"x='{mark.x:.1f}' y='{mark.y + mark.size:.1f}' font-size='{mark.size}' fill='{mark.colour}'"
        return f"<text {place}>{html.escape(mark.text)}</text>"
    place = f"x='{mark.x:.1f}' y='{mark.y:.1f}' width='{mark.width:.1f}' height='{mark.height:.1f}'"
    return f"<image {place} href='data:image/jpeg;base64,{base64.b64encode(mark.jpeg).decode()}'/>"


def as_png(marks: Sequence[Mark], title: str, file: Path) -> None:
    """The same drawing as a PNG, without the mouse texts. The title is in the file's metadata."""
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
            picture = Image.open(io.BytesIO(mark.jpeg)).resize((round(mark.width), round(mark.height)))
            image.paste(picture, (round(mark.x), round(mark.y)))
    facts = PngInfo()
    facts.add_itxt("Title", title)
    image.save(file, format="PNG", pnginfo=facts)


def write_drawing(marks: Sequence[Mark], title: str, html_file: str, png_file: str) -> None:
    """Writes the page, the picture, or both, as the options ask."""
    if html_file:
        Path(html_file).write_text(as_html(marks, title), encoding="utf-8")
    if png_file:
        as_png(marks, title, Path(png_file))
