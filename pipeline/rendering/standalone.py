"""Renders the templates as pages that need no server: styles, scripts and pictures lie in the page itself."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ...schemas.addresses import is_remote
from ...schemas.errors import UsageError
from ..answers import picture_type
from ..dataset import Dataset
from .environment import STATIC, templates


def inlined(name: str) -> Markup:
    """A style or script as a tag. A module runs when the page is there, as `defer` does."""
    kind = "style" if name.endswith(".css") else "script"
    attributes = "" if kind == "style" else ' type="module"'
    return Markup(f"<{kind}{attributes}>{content_of(name)}</{kind}>")


@cache
def content_of(name: str) -> str:
    """The text of a style or script."""
    return Path(STATIC, name).read_text("utf-8")


@cache
def policy() -> str:
    """The Content-Security-Policy of pages in files: only our own styles and scripts, pictures of the page itself, and local videos."""

    def hashes(suffix: str) -> str:
        names = sorted(file.name for file in STATIC.iterdir() if file.suffix == suffix)
        digests = [hashlib.sha256(content_of(name).encode()).digest() for name in names]
        return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)

    return (
        f"default-src 'none'; style-src {hashes('.css')}; script-src {hashes('.js')}; img-src data:; media-src file:; "
        "base-uri 'none'; form-action 'none'"
    )


def file_address(video_id: str, uri: str, at_ms: int) -> str:
    """Where a browser finds a video without a server; empty for an object of a bucket.

    >>> file_address("00ff", "/data/a b.mp4", 1500), file_address("00ff", "s3://bucket/a.mp4", 0)
    ('file:///data/a%20b.mp4#t=1.5', '')
    """
    if is_remote(uri):
        return ""
    return Path(uri).absolute().as_uri() + (f"#t={at_ms / 1000:.1f}" if at_ms else "")


def picture_address(picture: bytes | None) -> str | None:
    """A picture as an address that holds it; None for none.

    >>> picture_address(b"RIFF....WEBP"), picture_address(b"\\xff\\xd8\\xff")
    ('data:image/webp;base64,UklGRi4uLi5XRUJQ', 'data:image/jpeg;base64,/9j/')
    """
    if picture is None:
        return None
    return f"data:{picture_type(picture)};base64,{base64.b64encode(picture).decode()}"


@cache
def _environment() -> Environment:
    return templates(inlined, file_address, standalone=True, policy=policy())


def rendered(dataset: Dataset, name: str, **values: Any) -> str:
    """A page about a dataset from a template."""
    shared = {"output": dataset.storage.root, "snapshot": dataset.snapshot}
    return _environment().get_template(name).render({**shared, **values})


def write_page(file: str, page: str) -> None:
    """Raises UsageError where it cannot be written."""
    try:
        Path(file).write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"--html {file}: {error.strerror}; cure: name a file in a folder that you may write to"
        ) from error
