"""The page of `search --html`: each query's moments with the frames found, in one file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import html
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ...schemas.addresses import is_remote
from ...schemas.errors import InputError
from ...schemas.storage import Storage
from ...transforms.ffmpeg import Limits, input_flags, run

if TYPE_CHECKING:
    from ..search import Moment


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


def local_file(uri: str, folder: Path) -> Path | None:
    """A video on local disk: where it lies, or fetched into `folder` once; None when it is gone."""
    if not is_remote(uri):
        return Path(uri) if Path(uri).exists() else None
    copy = folder / hashlib.sha256(uri.encode()).hexdigest()
    if not copy.exists():
        parent, _, name = uri.rpartition("/")
        try:
            Storage.at(parent).fetch(name, copy)
        except FileNotFoundError:
            return None
    return copy


def frame_at(source: Path | str, at_ms: int, height: int = 180, stream: str = "") -> bytes | None:
    """A JPEG of a video's frame at an instant, of the `--video-stream` that was extracted; None when ffmpeg finds none there.

    `source` is a file, or an address on loopback.
    """
    limits = Limits(wall_s=60, stall_s=60, output_bytes=16 << 20)
    command = ["ffmpeg", "-nostdin", "-v", "error", *input_flags(source, at_ms / 1000)]
    chosen = ["-map", f"0:V:{stream}"] if stream else []
    shown = [*chosen, "-frames:v", "1", "-vf", f"scale=-2:{height}", "-f", "mjpeg", "pipe:{pipe0}"]
    try:
        return bytes(run([*command, *shown], 1, limits).outputs[0]) or None
    except InputError:
        return None


def moments_page(results: list[tuple[str, list[Moment]]], stream: str = "") -> str:
    """A page that shows each query's moments with the frames found. Needs no network and no other file.

    `stream` is the `--video-stream` of the dataset; empty for ffmpeg's own choice.
    """
    with tempfile.TemporaryDirectory(prefix="reelbeam-page-") as folder:
        parts = [
            f"<section><h2>{html.escape(query)}</h2><div class=row>"
            f"{''.join(_card(moment, Path(folder), stream) for moment in moments)}</div></section>"
            for query, moments in results
        ]
    head = f"<meta charset=utf-8><title>Moments found</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang=en>{head}<h1>Moments found</h1>{''.join(parts)}</html>\n"


def _card(moment: Moment, folder: Path, stream: str) -> str:
    file = local_file(moment.uri, folder)
    picture = frame_at(file, moment.best_ms, stream=stream) if file else None
    shown = "<div class=none>no picture</div>"
    if picture:
        shown = f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(picture).decode()}'>"
    place = moment.uri if is_remote(moment.uri) else Path(moment.uri).as_uri()
    link = html.escape(f"{place}#t={moment.start_ms / 1000:.1f}", quote=True)
    name = html.escape(os.path.basename(moment.uri))
    return (
        f"<figure><a href='{link}'>{shown}</a><figcaption><b>{name}</b> {clock(moment.start_ms)} to "
        f"{clock(moment.end_ms)} <i>{moment.score:.3f}</i><br>{_marked(moment)}</figcaption></figure>"
    )


def _marked(moment: Moment) -> str:
    """A moment's text with its highlights, safe in a page."""
    parts, at = [], 0
    for start, end in moment.highlights:
        parts += [html.escape(moment.text[at:start]), f"<mark>{html.escape(moment.text[start:end])}</mark>"]
        at = end
    note = f"<br><small>{html.escape(moment.note)}</small>" if moment.note else ""
    return "".join([*parts, html.escape(moment.text[at:])]) + note


STYLE = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:2rem;background:#fafafa;color:#222}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}"
    ".row{display:flex;gap:12px;overflow-x:auto}figure{margin:0;width:250px;flex:none;background:#fff;border:1px solid #ddd;"
    "border-radius:8px;overflow:hidden}img,.none{width:100%;height:150px;object-fit:contain;background:#111;display:block;color:#888}"
    "figcaption{padding:8px;font-size:.85rem}i{color:#777;float:right}"
)
