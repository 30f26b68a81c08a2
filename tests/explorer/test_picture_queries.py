"""A picture and a stored frame find what looks like them; what is no picture, or too much, is refused."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient
from PIL import Image

from reelbeam.pipeline.answers import Client
from reelbeam.pipeline.explorer import Explorer, make_app
from reelbeam.schemas.errors import UsageError

TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture
def first(client: TestClient) -> dict[str, Any]:
    """The best moment for some words, of which we take the frame."""
    found: dict[str, Any] = client.get("/api/search", params={"q": "a farm", "in": "frames"}).json()["moments"][0]
    return found


def test_a_stored_frame_finds_itself_first(client: TestClient, first: dict[str, Any]) -> None:
    found = client.get("/api/search", params={"like": f"{first['row']}/{first['tick']}"}).json()["moments"]
    assert found[0]["score"] == pytest.approx(1, abs=0.01)
    assert found[0]["video_id"] == first["video_id"]
    page = client.get("/", params={"like": f"{first['row']}/{first['tick']}"})
    assert "that look like that frame" in page.text


def test_a_picture_of_a_frame_finds_its_video(client: TestClient, first: dict[str, Any]) -> None:
    picture = client.get(first["thumbnail"]).content
    found = client.post("/api/search/picture", content=picture, headers={"content-type": "application/octet-stream"})
    assert found.json()["moments"][0]["video_id"] == first["video_id"]
    page = client.post("/", files={"picture": ("<b>.jpg", picture, "image/jpeg")})
    assert page.status_code == 200
    assert first["video_id"] in page.text


def test_what_is_no_picture_or_too_large_is_refused(client: TestClient) -> None:
    binary = {"content-type": "application/octet-stream"}
    for content in (b"", b"no picture", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>"):
        assert client.post("/api/search/picture", content=content, headers=binary).status_code in (400, 422)
    bomb = io.BytesIO()
    Image.fromarray(np.zeros((8000, 8000), np.uint8)).save(bomb, "PNG")
    refused = client.post("/api/search/picture", content=bomb.getvalue(), headers=binary)
    assert (refused.status_code, "64000000" in refused.text or "8000" in refused.text) == (400, True)
    assert client.post("/api/search/picture", content=b"x" * (11 << 20), headers=binary).status_code == 413
    assert client.post("/api/search/picture", content=iter([b"x"]), headers=binary).status_code == 411
    assert client.post("/", content=b"x", headers={"content-length": "-5"}).status_code == 413


def test_filters_narrow_the_answers(client: TestClient) -> None:
    everything = client.get("/api/search", params={"q": "a farm", "k": 50}).json()["moments"]
    desk = client.get("/api/search", params={"q": "a farm", "k": 50, "uri": "*/desk.mp4"}).json()["moments"]
    assert {one["name"] for one in desk} == {"desk.mp4"} < {one["name"] for one in everything}
    late = client.get("/api/search", params={"q": "a farm", "start_ms": 9000, "end_ms": 19000}).json()["moments"]
    assert late
    assert all(9000 <= one["best_ms"] < 19000 for one in late)


@pytest.fixture(scope="module")
def address(explorer: Explorer) -> Iterator[str]:
    """A real server with a token."""
    server = uvicorn.Server(uvicorn.Config(make_app(explorer, TOKEN), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def test_the_client_asks_all_of_it(address: str, tmp_path: Any) -> None:
    with Client(address, TOKEN) as client:
        [first, *_] = client.search("a farm", 5, "frames").moments
        assert first.row is not None
        assert first.tick is not None
        assert client.like_frame(first.row, first.tick, 3).moments[0].video_id == first.video_id
        picture = tmp_path / "a.jpg"
        picture.write_bytes(client.thumbnail(first.row, first.tick))
        assert client.like_picture(picture, 3, uri=f"*{first.name[-4:]}").moments[0].video_id == first.video_id
        assert client.video(first.video_id).name == first.name
        with pytest.raises(UsageError, match="an empty query"):
            client.search("  ")
    with pytest.raises(UsageError, match="a token is wanted"):
        Client(address).search("a")
