"""The explorer in a real browser: what people do on its pages, without an error and without a request to another host."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from browser import Visit, serious_faults
from conftest import REPOSITORY
from nights import World

from reelbeam.pipeline.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

SAMPLES = REPOSITORY / "examples" / "sample_bucket"
NAMES = ("desk.mp4", "kitchen.mp4", "toys.mp4", "harbour.mkv", "not_a_video.mp4")
PAGES = ("/", "/health", "/map", "/repeats?threshold=0.9", "/outliers", "/tags?labels=a+cup%0Aa+toy")
START_WITHIN_S = 0.3
"""How far from the moment the player may stand."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    bucket = tmp_path_factory.mktemp("bucket")
    for name in NAMES:
        shutil.copy(SAMPLES / name, bucket / name)
    made = World(bucket, tmp_path_factory.mktemp("out") / "features")
    assert made.night() == 0
    assert main(["index", str(made.output), "--of", "words"]) == 0
    return made


def truth() -> list[tuple[str, str, int, int]]:
    """(query, file, start_ms, end_ms) of the drawings that only one moment of these videos shows."""
    queries = json.loads((SAMPLES / "truth.json").read_text())["queries"]
    found = []
    for query in queries:
        here = [one for one in query["moments"] if one["file"] in NAMES]
        if query["kind"] == "frame" and len(here) == 1 and here[0]["file"] == "desk.mp4":
            found.append((query["text"], here[0]["file"], here[0]["start_ms"], here[0]["end_ms"]))
    return found


@pytest.mark.parametrize("path", PAGES)
def test_a_page_works_without_an_error_and_asks_no_other_host(visit: Visit, path: str) -> None:
    page = visit.open(path)
    page.wait_for_load_state("networkidle")
    assert page.locator("main").is_visible()
    visit.is_clean()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_no_serious_fault(visit: Visit, path: str, scheme: str) -> None:
    visit.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page = visit.open(path)
    page.wait_for_load_state("networkidle")
    assert not serious_faults(page)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_380_pixels(visit: Visit, path: str) -> None:
    visit.page.set_viewport_size({"width": 380, "height": 800})
    page = visit.open(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_health_shows_the_failed_video(visit: Visit) -> None:
    page = visit.open("/health")
    failures = page.get_by_role("region", name="Failures")
    assert "not_media" in failures.inner_text()
    assert "not_a_video.mp4" in failures.inner_text()
    assert "current" in page.locator("table", has_text="Recall@10").inner_text()
    visit.is_clean()


def points(visit: Visit) -> Any:
    """The map's page with its points drawn."""
    page = visit.open("/map")
    page.wait_for_selector("#map[data-points]", timeout=60_000)
    return page


def test_the_map_shows_the_frame_under_the_pointer_and_a_click_opens_its_video(visit: Visit, world: World) -> None:
    page = points(visit)
    assert int(page.get_attribute("#map", "data-points")) == world.data.snapshot.counts["frames"]
    canvas = page.locator("#map")
    box = canvas.bounding_box()
    page.keyboard.press("Tab")
    canvas.focus()
    page.keyboard.press("n")  # the dot most to the left: its place is known
    at = int(canvas.get_attribute("data-chosen"))
    x, y = page.evaluate(f"place({at})")
    page.keyboard.press("n")
    assert canvas.get_attribute("data-chosen") != str(at)
    page.mouse.move(box["x"] + x, box["y"] + y)
    assert canvas.get_attribute("data-chosen") == str(at)
    shown = page.evaluate("[points.uris[points.video[chosen]], points.row[chosen], points.tick[chosen]]")
    assert page.inner_text("#frame-name").startswith(Path(shown[0]).name)
    picture = page.locator("#frame-picture")
    assert picture.get_attribute("src") == f"/api/frames/{shown[1]}/{shown[2]}.jpg"
    visit.until("document.getElementById('frame-picture').naturalWidth > 0")
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.wait_for_url("**/videos/**")
    assert page.locator("main").is_visible()
    visit.is_clean()


def test_the_map_zooms_where_the_wheel_turns_and_moves_with_a_drag(visit: Visit) -> None:
    page = points(visit)
    box = page.locator("#map").bounding_box()
    x, y = box["width"] * 0.3, box["height"] * 0.4
    under = page.evaluate(f"[({x} - canvas.clientWidth / 2) / side() / view.scale + view.left]")
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.wheel(0, -400)
    visit.until("parseFloat(document.getElementById('map').dataset.scale) > 2")
    assert page.evaluate(f"[({x} - canvas.clientWidth / 2) / side() / view.scale + view.left]") == pytest.approx(
        under, abs=0.005
    )
    before = page.evaluate("place(0)")
    page.mouse.down()
    page.mouse.move(box["x"] + x + 50, box["y"] + y + 20, steps=5)
    page.mouse.up()
    after = page.evaluate("place(0)")
    assert [after[0] - before[0], after[1] - before[1]] == pytest.approx([50, 20], abs=0.5)
    page.click("#whole")
    assert page.get_attribute("#map", "data-scale") == "1.00"
    visit.is_clean()


def test_the_map_is_coloured_by_video_cluster_and_language(visit: Visit) -> None:
    page = points(visit)
    assert page.locator("#legend li").count() == 4
    page.select_option("#colour", "cluster")
    assert "cluster 1" in page.inner_text("#legend")
    page.select_option("#colour", "language")
    assert "en" in page.inner_text("#legend")


def test_labels_of_the_user_are_tried(visit: Visit) -> None:
    page = visit.open("/tags?labels=a+cup")
    page.fill("#labels", "a teapot\na rocket")
    page.click("text=Label the windows")
    page.wait_for_selector("h2:has-text('a rocket')", timeout=60_000)
    assert "a cup" not in page.inner_text("main h2 >> nth=0")
