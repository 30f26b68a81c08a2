"""The explorer counts what it answers, and gives its rows and the description of its API without another host."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from nights import World
from prometheus_client.parser import text_string_to_metric_families

from reelbeam.pipeline.explorer import Explorer, make_app

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(client: TestClient) -> Samples:
    """Value by name and labels, as Prometheus reads them."""
    page = client.get("/metrics")
    assert page.status_code == 200
    families = text_string_to_metric_families(page.text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for kind in families for one in kind.samples}


def test_answers_searches_and_pictures_are_counted(first_world: World) -> None:
    explorer = Explorer(str(first_world.output))
    explorer.load_models()
    assert explorer.models.wait(120)
    client = TestClient(make_app(explorer), "http://localhost", raise_server_exceptions=False)
    found = client.get("/api/search", params={"q": "a farm", "in": "frames", "k": 1}).json()["moments"]
    client.get(found[0]["thumbnail"])
    client.get(found[0]["thumbnail"])
    client.get("/static/style.css")
    client.get("/no/<such>/place")
    client.get("/", headers={"host": "elsewhere.example"})
    seen = samples(client)

    def answers(route: str, status: str) -> float:
        return seen["reelbeam_explorer_requests_total", (("method", "GET"), ("route", route), ("status", status))]

    assert answers("/api/search", "200") == 1
    assert answers("/api/frames/{row}/{tick}.jpg", "200") == 2
    assert answers("/static", "200") == 1
    assert answers("none", "404") == 1
    assert answers("none", "421") == 1
    assert seen["reelbeam_explorer_searches_total", ()] == 1
    assert seen["reelbeam_explorer_thumbnails_total", ()] == 1
    assert seen["reelbeam_explorer_cache_bytes", (("cache", "pictures"),)] > 0
    assert seen["reelbeam_explorer_request_seconds_count", (("route", "/api/search"),)] == 1


def test_metrics_want_the_token_too(explorer: Explorer) -> None:
    assert TestClient(make_app(explorer, "a-token-that-nobody-guesses")).get("/metrics").status_code == 401


def test_windows_come_by_video_in_parts_and_by_row(client: TestClient, first_world: World) -> None:
    [row] = [one for one in first_world.data.videos.values() if one["uri"].endswith("desk.mp4")]
    whole = client.get("/api/windows", params={"video_id": row["video_id"]}).json()
    assert len(whole["rows"]) == row["windows"]
    assert whole["next_window"] is None
    part, parts = client.get("/api/windows", params={"video_id": row["video_id"], "k": 1}).json(), []
    while parts.append(part["rows"]) or part["next_window"] is not None:  # type: ignore[func-returns-value]
        asked = {"video_id": row["video_id"], "k": 1, "from_window": part["next_window"]}
        part = client.get("/api/windows", params=asked).json()
    assert [one for rows in parts for one in rows] == whole["rows"]
    numbers = [one["row"] for one in whole["rows"]]
    again = client.get("/api/windows", params={"row": [*numbers, 10**9]}).json()
    assert again["rows"] == whole["rows"]
    assert client.get(whole["rows"][0]["frames"][0]["thumbnail"]).status_code == 200


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 400),
        ({"row": 1, "video_id": "ab"}, 400),
        ({"video_id": "ab"}, 404),
        ({"video_id": "../x"}, 422),
        ({"row": -1}, 422),
        ({"row": list(range(201))}, 422),
        ({"video_id": "ab", "k": 201}, 422),
    ],
)
def test_windows_that_cannot_be_given_are_a_problem(client: TestClient, asked: dict[str, object], status: int) -> None:
    answer = client.get("/api/windows", params=asked)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_api_is_described_without_another_host(client: TestClient) -> None:
    page = client.get("/api")
    assert page.status_code == 200
    assert "/api/windows" in page.text
    assert "<script" not in page.text
    assert '"/api/openapi.json"' in page.text
    assert "http" not in page.text
    assert "/api/windows" in client.get("/api/openapi.json").json()["paths"]
