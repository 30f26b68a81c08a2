"""The map of frames as a page and as a picture: like frames are near."""

from __future__ import annotations

from dataclasses import asdict

from ..dataset import Dataset
from ..surveys import MapPoints, map_points
from .drawing import Dot, Line, Mark, colour_of
from .standalone import file_address, rendered

MAP_PX = 800
MARGIN_PX = 20


def map_page(dataset: Dataset, most: int) -> tuple[str, str]:
    """The page of the map, with at most so many frames, and what it shows. Raises UsageError for fewer than 3 frames."""
    points = map_points(dataset, most)
    addresses = [file_address(*one, 0) for one in zip(points.video_ids, points.uris, strict=True)]
    return rendered(dataset, "map.html", points={**asdict(points), "addresses": addresses}), said(points)


def draw_map(dataset: Dataset, most: int) -> tuple[list[Mark], str]:
    """The same as marks of a picture: a dot per frame, coloured by video."""
    points = map_points(dataset, most)
    return marks_of(points), said(points)


def marks_of(points: MapPoints) -> list[Mark]:
    """A frame, and a dot per point; x to the right, y upwards."""
    side = MAP_PX - 2 * MARGIN_PX
    dots: list[Mark] = [
        Dot(MARGIN_PX + x * side, MAP_PX - MARGIN_PX - y * side, 3, colour_of(video))
        for x, y, video in zip(points.x, points.y, points.video, strict=True)
    ]
    low, high = MARGIN_PX / 2, MAP_PX - MARGIN_PX / 2
    return [Line(((low, low), (high, low), (high, high), (low, high), (low, low)), "#dddddd"), *dots]


def said(points: MapPoints) -> str:
    return f"{len(points)} of {points.of_frames} frames"
