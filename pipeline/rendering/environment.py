"""The templates of all pages: those that are served, and those that are written to files, which hold everything themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..answers import marked
from ..surveys import Health, SnapshotChange
from ..views import age, clock, size, when

STATIC = Path(__file__).parent / "static"
"""Styles and scripts."""

CHART = (640, 120)
"""Width and height of a chart."""

Asset = Callable[[str], Markup]
"""The tag that brings a file of STATIC into a page."""

Address = Callable[[str, str, int], str]
"""Where a video is seen from an instant on: (video_id, uri, ms) -> an address; empty for none."""


def served_asset(name: str) -> Markup:
    """
    >>> served_asset("style.css")
    Markup('<link rel="stylesheet" href="/static/style.css">')
    """
    if name.endswith(".css"):
        return Markup('<link rel="stylesheet" href="/static/{}">').format(name)
    return Markup('<script src="/static/{}" defer></script>').format(name)


def served_address(video_id: str, uri: str, at_ms: int) -> str:
    """
    >>> served_address("00ff", "/data/a.mp4", 1500), served_address("00ff", "/data/a.mp4", 0)
    ('/videos/00ff?at_ms=1500', '/videos/00ff')
    """
    return f"/videos/{quote(video_id, safe='')}" + (f"?at_ms={at_ms}" if at_ms else "")


def templates(
    asset: Asset = served_asset, address: Address = served_address, standalone: bool = False, **more: Any
) -> Environment:
    """The templates. Each value is escaped where it is shown. `standalone`: for pages in files, with `more` for all of them."""
    loader = PackageLoader("reelbeam.pipeline.rendering", "templates")
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters["clock"] = clock
    found.globals.update(asset=asset, video_address=address, standalone=standalone, marked=marked)
    found.globals.update(size=size, age=age, when=when, **more)
    return found


def polyline(values: Sequence[float], width: int = CHART[0], height: int = CHART[1], margin: int = 6) -> str:
    """The points of an SVG polyline: values from left to right, 0 at the bottom, the largest at the top.

    >>> polyline([0, 5, 10], 100, 50, 0)
    '0.0,50.0 50.0,25.0 100.0,0.0'
    """
    high = max([*values, 1e-9])
    step = (width - 2 * margin) / max(1, len(values) - 1)
    points = [
        (margin + at * step, height - margin - value / high * (height - 2 * margin)) for at, value in enumerate(values)
    ]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def health_values(health: Health, changes: Sequence[SnapshotChange]) -> dict[str, Any]:
    """What `health_facts.html` shows beside the state of `changes`: charts are name, newest value and points, oldest snapshot on
    the left."""
    by_time = health.snapshots[::-1]
    lines = [(name, [getattr(one, name) for one in by_time]) for name in ("videos", "windows", "bytes")]
    charts = [(name, values[-1], polyline(values)) for name, values in lines if values]
    return {"health": health, "by_number": {one.number: one for one in changes}, "lines": charts, "chart": CHART}
