"""Search and play in a real browser, while the dataset changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from browser import Visit, serious_faults
from conftest import REPOSITORY
from nights import World

from reelbeam.pipeline.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

SAMPLES = REPOSITORY / "examples" / "sample_bucket"
NAMES = ("desk.mp4", "kitchen.mp4", "toys.mp4")
START_WITHIN_S = 0.3
"""How far from the moment the player may stand."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    bucket = tmp_path_factory.mktemp("bucket")
    for name in NAMES[:2]:
        shutil.copy(SAMPLES / name, bucket / name)
    made = World(bucket, tmp_path_factory.mktemp("out") / "features")
    assert made.night() == 0
    assert main(["index", str(made.output), "--of", "words"]) == 0
    return made


def shown(name: str, number: int = 2) -> tuple[str, int, int]:
    """(what it is called, start_ms, end_ms) of a drawing of a sample video."""
    videos = json.loads((SAMPLES / "truth.json").read_text())["videos"]
    [video] = [one for one in videos if one["file"] == name]
    drawing = video["shows"][number]
    return drawing["name"], drawing["start_ms"], drawing["end_ms"]


def test_a_typed_query_finds_the_right_moment_first_and_plays_it_there(visit: Visit) -> None:
    what, start_ms, end_ms = shown("desk.mp4")
    page = visit.open("/")
    page.fill("input[name=q]", what)
    page.keyboard.press("Enter")
    page.wait_for_selector("a.moment", timeout=120_000)
    assert "q=" in page.url, "the address holds the query"
    first = page.locator("a.moment").first
    assert "desk.mp4" in first.inner_text()
    page.keyboard.press("Escape")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    visit.until("document.activeElement === document.querySelector('a.moment')")
    wanted_s = int(str(first.get_attribute("href")).partition("at_ms=")[2]) / 1000
    page.keyboard.press("Enter")
    page.wait_for_url("**/videos/**")
    visit.until("document.querySelector('video').readyState >= 2")
    at_s = page.evaluate("document.querySelector('video').currentTime")
    assert abs(at_s - wanted_s) <= START_WITHIN_S
    assert start_ms / 1000 - START_WITHIN_S <= at_s <= end_ms / 1000 + START_WITHIN_S
    page.evaluate("document.querySelector('video').muted = true; document.querySelector('video').play()")
    visit.until(f"document.querySelector('video').currentTime > {at_s + 0.5}")
    assert not serious_faults(page)
    visit.is_clean()


def test_a_second_snapshot_appears_and_a_purge_removes_it_without_a_restart(visit: Visit, world: World) -> None:
    what, _, _ = shown("toys.mp4", 0)
    page = visit.open(f"/?q={what}&in=frames")
    assert "toys.mp4" not in page.inner_text("main")
    shutil.copy(SAMPLES / "toys.mp4", world.bucket / "toys.mp4")
    assert world.night() == 0
    page = visit.open(f"/?q={what}&in=frames")
    assert "toys.mp4" in page.locator("a.moment").first.inner_text()
    picture = str(page.locator("a.moment img").first.get_attribute("src"))
    video = str(page.locator("a.moment").first.get_attribute("href"))
    page = visit.open("/health")
    assert str(world.data.snapshot.number) in page.inner_text("header")
    visit.is_clean()
    assert main(["purge", str(world.output), str(Path(world.bucket, "toys.mp4"))]) == 0
    page.wait_for_timeout(300)
    for path in (f"/?q={what}&in=frames", "/health", "/outliers"):
        assert "toys.mp4" not in visit.open(path).inner_text("main")
    asked = visit.page.request
    assert asked.get(visit.address + picture).status == 404
    assert asked.get(visit.address + video).status == 404
    points = visit.open("/map")
    points.wait_for_selector("#map[data-points]", timeout=60_000)
    assert "toys.mp4" not in points.inner_text("main")


PASTE = """async (address) => {
    const picture = await (await fetch(address)).blob();
    const carried = new DataTransfer();
    carried.items.add(new File([picture], "clipboard.jpg", { type: "image/jpeg" }));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true }));
}"""


def test_a_pasted_picture_finds_its_own_moment(visit: Visit) -> None:
    what, _, _ = shown("kitchen.mp4")
    page = visit.open(f"/?q={what}&in=frames")
    picture = page.locator("a.moment img").first.get_attribute("src")
    wanted = page.locator("a.moment").first.get_attribute("href")
    visit.open("/")
    page.evaluate(PASTE, picture)
    page.wait_for_selector("h1:has-text('look like the picture')", timeout=60_000)
    assert page.locator("a.moment").first.get_attribute("href") == wanted
    visit.is_clean()


def test_a_filter_keeps_what_fits_and_stays_in_the_address(visit: Visit) -> None:
    what, _, _ = shown("desk.mp4")
    page = visit.open(f"/?q={what}&in=frames")
    page.click("summary:has-text('Filters')")
    page.fill("input[name=uri]", "*kitchen*")
    page.click("button.main")
    page.wait_for_url("**uri=*")
    names = page.locator("a.moment").all_inner_texts()
    assert names
    assert all("kitchen.mp4" in name for name in names)
    visit.is_clean()
