"""The page of `search --html`: each query's moments with the frames found, in one file that needs no network."""

from __future__ import annotations

import base64
import html
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from ..schemas.storage import is_remote
from ..transforms.ffmpeg import file_url

if TYPE_CHECKING:
    from .search import Moment


def clock(at_ms: int) -> str:
    """
    >>> clock(3_725_400)
    '1:02:05.4'
    >>> clock(65_000)
    '1:05.0'
    """
    minutes, ms = divmod(at_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{ms // 1000:02d}.{ms % 1000 // 100}"


def frame_at(uri: str, at_ms: int, height: int = 180) -> bytes | None:
    """A JPEG of a video's frame at an instant; None when the video cannot be reached from here."""
    if is_remote(uri) or not Path(uri).exists():
        return None
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "error",
        "-protocol_whitelist",
        "file,pipe",
        "-ss",
        f"{at_ms / 1000:.3f}",
        "-i",
        file_url(Path(uri)),
        "-frames:v",
        "1",
        "-vf",
        f"scale=-2:{height}",
        "-f",
        "mjpeg",
        "pipe:1",
    ]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    return done.stdout or None


def page(results: list[tuple[str, list[Moment]]]) -> str:
    """A page that shows each query's moments with the frames found. Needs no network and no other file."""
    parts = []
    for query, moments in results:
        cards = "".join(_card(moment) for moment in moments)
        parts.append(f"<section><h2>{html.escape(query)}</h2><div class=row>{cards}</div></section>")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Moments found</title><style>{STYLE}</style>"
        f"<h1>Moments found</h1>{''.join(parts)}</html>\n"
    )


def _card(moment: Moment) -> str:
    picture = frame_at(moment.uri, moment.best_ms)
    shown = (
        f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(picture).decode()}'>"
        if picture
        else "<div class=none>no picture</div>"
    )
    link = html.escape(
        f"{moment.uri if is_remote(moment.uri) else Path(moment.uri).as_uri()}#t={moment.start_ms / 1000:.1f}",
        quote=True,
    )
    return (
        f"<figure><a href='{link}'>{shown}</a><figcaption><b>{html.escape(os.path.basename(moment.uri))}</b> "
        f"{clock(moment.start_ms)} to {clock(moment.end_ms)} <i>{moment.score:.3f}</i><br>{html.escape(moment.text)}</figcaption></figure>"
    )


STYLE = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:2rem;background:#fafafa;color:#222}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}"
    ".row{display:flex;gap:12px;overflow-x:auto}figure{margin:0;width:250px;flex:none;background:#fff;border:1px solid #ddd;"
    "border-radius:8px;overflow:hidden}img,.none{width:100%;height:150px;object-fit:contain;background:#111;display:block;color:#888}"
    "figcaption{padding:8px;font-size:.85rem}i{color:#777;float:right}"
)
