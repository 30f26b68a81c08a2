"""The pages about a whole snapshot answer at once, escape what they show, and follow the dataset."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from nights import World

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.explorer import Explorer, make_app
from reelbeam.pipeline.rendering import environment

PAGES = ("/health", "/map", "/repeats?threshold=0.9", "/outliers", "/tags?labels=a+desk%0Aa+farm")
IN_A_PAGE = {"accept": "text/html"}


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def done(client: TestClient, path: str) -> Any:
    """The value of an API path, once it is computed."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        answer = client.get(path).json()
        if answer["state"] != "computing":
            assert answer["state"] == "done", answer
            return answer["value"]
    raise AssertionError(f"{path} is still being computed")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_shows_names_as_text_and_runs_nothing_of_them(client: TestClient, path: str) -> None:
    if path != "/health":
        done(client, f"/api{path}")
    answer = client.get(path, headers=IN_A_PAGE)
    assert answer.status_code == 200
    tags = Tags(answer.text).found
    assert not [attributes for _, attributes in tags if any(name.startswith("on") for name in attributes)]
    assert not [attributes for _, attributes in tags if "style" in attributes]
    assert all(attributes.get("src") for tag, attributes in tags if tag == "script")
    assert all(
        (attributes.get("src", "/api/frames/") or "").startswith("/api/frames/")
        for tag, attributes in tags
        if tag == "img"
    )
    if path.startswith(("/outliers", "/tags")):
        assert "&lt;img src=x onerror=alert(1)&gt;" in answer.text


def test_health_tells_of_the_failed_video_and_the_indexes(client: TestClient) -> None:
    health = done(client, "/api/health")
    assert [(kind["stage"], kind["kind"], kind["number"]) for kind in health["failures"]] == [("probe", "not_media", 1)]
    assert {one["name"] for one in health["indexes"]} == {"frames", "words"}
    page = client.get("/health", headers=IN_A_PAGE).text
    assert "broken.mp4" in page
    assert "not_media" in page


def test_every_point_of_the_map_has_its_frame(client: TestClient, first_world: World) -> None:
    points = done(client, "/api/map")
    assert len(points["x"]) == first_world.data.snapshot.counts["frames"]
    assert {Path(uri).name for uri in points["uris"]} == {"desk.mp4", "<img src=x onerror=alert(1)>.mp4"}


def test_tags_take_the_users_labels_and_refuse_too_many(client: TestClient) -> None:
    assert {one["label"] for one in done(client, "/api/tags?labels=a+desk%0Aa+farm")} == {"a desk", "a farm"}
    answer = client.get("/api/tags", params={"labels": "\n".join(f"label {at}" for at in range(60))})
    assert answer.status_code == 400
    assert "at most 50" in answer.json()["detail"]
    assert client.get("/api/tags", params={"labels": "x" * 6_000}).status_code == 422


@pytest.mark.parametrize("threshold", ["2", "-1", "nan", "inf", "a"])
def test_a_threshold_that_is_no_cosine_is_refused(client: TestClient, threshold: str) -> None:
    assert client.get(f"/api/repeats?threshold={threshold}").status_code == 422


def test_a_purged_video_is_gone_from_every_survey_at_once(changing_world: World) -> None:
    explorer = Explorer(str(changing_world.output))
    paths = ("/api/map", "/api/outliers", "/api/repeats?threshold=0.5", "/api/health")
    with TestClient(make_app(explorer), "http://localhost") as client:
        assert "desk.mp4" in str([done(client, path) for path in paths])
        assert main(["purge", str(changing_world.output), str(changing_world.bucket / "desk.mp4")]) == 0
        time.sleep(0.2)
        assert "desk.mp4" not in str([client.get(path).text for path in paths])
        assert "desk.mp4" not in str([done(client, path) for path in paths])
        for path in PAGES:
            assert "desk.mp4" not in client.get(path, headers=IN_A_PAGE).text


def test_a_chart_goes_from_the_oldest_to_the_newest_snapshot(client: TestClient) -> None:
    assert environment.polyline([], 10, 10) == ""
    assert 'class="line"' in client.get("/health", headers=IN_A_PAGE).text
