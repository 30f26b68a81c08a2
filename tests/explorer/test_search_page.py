"""The search page and its API give the moments of `reelbeam search`, and show every stored text as text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from nights import World

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.explorer import Explorer, make_app

HOSTILE = "<img src=x onerror=alert(1)>"


def test_the_api_finds_what_the_command_finds(
    client: TestClient, first_world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for query in ("a purple elephant", "a desk with a computer"):
        assert main(["search", str(first_world.output), query, "--in", "all", "--json", "-k", "5"]) == 0
        wanted = json.loads(capsys.readouterr().out)["moments"]
        found = client.get("/api/search", params={"q": query, "k": 5}).json()["moments"]
        names = ("rank", "video_id", "start_ms", "end_ms", "best_ms", "score", "text", "highlights")
        assert [{name: one[name] for name in names} for one in found] == [
            {name: one[name] for name in names} for one in wanted
        ]
        assert found


def test_words_are_highlighted_and_markup_of_others_stays_text(client: TestClient) -> None:
    page = client.get("/", params={"q": "purple elephant", "in": "subtitles"})
    assert page.status_code == 200
    assert "<mark>purple</mark> <mark>elephant</mark>" in page.text
    assert "<img src=x" not in page.text
    assert "&lt;img src=x onerror=alert(1)&gt;" in page.text
    assert "5 &lt; 6 &amp; &#34;" in page.text


def test_a_query_is_shown_as_text(client: TestClient) -> None:
    page = client.get("/", params={"q": f'"><script>alert(1)</script>{HOSTILE}'})
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text


def test_each_moment_has_a_picture_of_its_frame(client: TestClient) -> None:
    found = client.get("/api/search", params={"q": "a farm", "in": "frames", "k": 3}).json()["moments"]
    for one in found:
        picture = client.get(one["thumbnail"])
        assert picture.headers["content-type"] == "image/jpeg"
        assert picture.content[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"q": "x" * 501}, 422),
        ({"q": "a", "k": "0"}, 422),
        ({"q": "a", "k": "100000"}, 422),
        ({"q": "a", "in": "everywhere"}, 422),
        ({"q": "  "}, 400),
        ({"q": "a", "in": "screen"}, 400),
        ({}, 400),
        ({"like": "1"}, 422),
        ({"like": "99999999/0"}, 400),
        ({"q": "a", "present": "smell"}, 400),
        ({"q": "a", "start_ms": "-1"}, 422),
    ],
)
def test_what_cannot_be_answered_is_a_problem(client: TestClient, asked: dict[str, str], status: int) -> None:
    answer = client.get("/api/search", params=asked)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/frames/999999/0.jpg",
        "/api/frames/0/999.jpg",
        "/api/frames/-1/0.jpg",
        "/api/frames/99999999999999999999999/0.jpg",
        "/api/frames/0/..%2f..%2fetc%2fpasswd.jpg",
        "/static/..%2f..%2fapp.py",
        "/static/%2e%2e/%2e%2e/app.py",
    ],
)
def test_no_other_frame_and_no_file_can_be_asked_for(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (404, 422)


def test_a_purged_video_is_gone_from_answers_and_pictures(changing_world: World) -> None:
    explorer = Explorer(str(changing_world.output))
    explorer.load_models()
    assert explorer.models.wait(60)
    client = TestClient(make_app(explorer), "http://localhost")
    asked = {"q": "purple elephant", "in": "subtitles"}
    [first] = client.get("/api/search", params=asked).json()["moments"]
    assert client.get(first["thumbnail"]).status_code == 200
    assert main(["purge", str(changing_world.output), first["uri"], "--sweep-after-h", "0"]) == 0
    explorer._looked_at -= 1  # as after a second
    assert client.get(first["thumbnail"]).status_code == 404
    assert client.get("/api/search", params=asked).json()["moments"] == []
    everything = client.get("/api/search", params={"q": "a farm"}).json()
    assert everything["snapshot"] == changing_world.data.snapshot.number
    assert first["video_id"] not in {one["video_id"] for one in everything["moments"]}
    assert Path(first["uri"]).exists()
