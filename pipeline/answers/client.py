"""A client of the explorer's API.

from reelbeam.pipeline.answers import Client

for one in Client("http://127.0.0.1:8000").search("a dog on a beach", k=5).moments:
    print(one.uri, one.best_ms, one.score)
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from ...schemas.errors import StorageError, UsageError
from .answer_types import RowsAnswer, SearchAnswer, SearchIn, VideoAnswer

TIMEOUT_S = 120.0


class Client:
    """Asks one explorer. `token` is that of its --token-file."""

    def __init__(self, address: str, token: str = "", timeout_s: float = TIMEOUT_S):
        """Raises UsageError for an address that is none of a web server."""
        if not address.startswith(("http://", "https://")):
            raise UsageError(f"{address}: no address of an explorer; give one such as http://127.0.0.1:8000")
        self.address, self.token, self.timeout_s = address.rstrip("/"), token, timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing stays open."""

    def search(self, q: str, k: int = 20, search_in: SearchIn = "all", **filters: Any) -> SearchAnswer:
        """The moments for some words, best first. `filters` are uri, language, present, start_ms and end_ms."""
        return SearchAnswer.model_validate_json(self._get("/api/search", q=q, k=k, **{"in": search_in}, **filters))

    def like_picture(self, file: str | Path, k: int = 20, **filters: Any) -> SearchAnswer:
        """The moments that look like a picture."""
        query = urlencode({"k": k, **filters})
        content = Path(file).read_bytes()
        return SearchAnswer.model_validate_json(self._ask(f"/api/search/picture?{query}", content))

    def like_frame(self, row: int, tick: int, k: int = 20, **filters: Any) -> SearchAnswer:
        """The moments that look like a stored frame."""
        return SearchAnswer.model_validate_json(self._get("/api/search", like=f"{row}/{tick}", k=k, **filters))

    def video(self, video_id: str, from_window: int = 0) -> VideoAnswer:
        """What is stored of a video."""
        return VideoAnswer.model_validate_json(self._get(f"/api/videos/{video_id}", from_window=from_window))

    def windows(self, video_id: str, from_window: int = 0, k: int = 50) -> RowsAnswer:
        """Rows of a video, without embeddings."""
        asked = self._get("/api/windows", video_id=video_id, from_window=from_window, k=k)
        return RowsAnswer.model_validate_json(asked)

    def thumbnail(self, row: int, tick: int) -> bytes:
        """A JPEG of a frame."""
        return self._get(f"/api/frames/{row}/{tick}.jpg")

    def _get(self, path: str, **asked: Any) -> bytes:
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return self._ask(f"{path}?{query}" if query else path)

    def _ask(self, path: str, content: bytes | None = None) -> bytes:
        """The body of an answer. Raises UsageError with the explorer's words, StorageError when it is not reached."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        if content is not None:
            headers["content-type"] = "application/octet-stream"
        try:
            with urlopen(Request(self.address + path, content, headers), timeout=self.timeout_s) as answer:
                body: bytes = answer.read()
                return body
        except HTTPError as error:
            with error:
                raise UsageError(f"{self.address}{path}: {said(error.read())}") from error
        except URLError as error:
            raise StorageError(
                f"{self.address}: {error.reason}; cure: reelbeam explore OUTPUT, or the right address"
            ) from error


def said(body: bytes) -> str:
    """The words of a problem.

    >>> said(b'{"title": "this cannot be answered", "detail": "no words"}')
    'this cannot be answered: no words'
    """
    try:
        problem = json.loads(body)
        return ": ".join(part for part in (problem["title"], problem["detail"]) if part)
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
