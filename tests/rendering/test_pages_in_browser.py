"""Pages in files, opened in a real browser without a server: no error, no request, and the video plays at the moment."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import browser, serious_faults
from conftest import REPOSITORY
from nights import World

from reelbeam.pipeline.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

SAMPLES = REPOSITORY / "examples" / "sample_bucket"
KINDS = ("search", "timeline", "map", "report")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind, of a dataset with thumbnails."""
    bucket, folder = tmp_path_factory.mktemp("bucket"), tmp_path_factory.mktemp("pages")
    for name in ("desk.mp4", "kitchen.mp4", "not_a_video.mp4"):
        shutil.copy(SAMPLES / name, bucket / name)
    world = World(bucket, tmp_path_factory.mktemp("out") / "features")
    assert world.night("--thumbnails") == 0
    made = {kind: folder / f"{kind}.html" for kind in KINDS}
    output = str(world.output)
    assert main(["search", output, "a teapot", "a cup", "-k", "4", "--html", str(made["search"])]) == 0
    assert main(["timeline", output, "kitchen.mp4", "--html", str(made["timeline"])]) == 0
    assert main(["map", output, "--html", str(made["map"])]) == 0
    assert main(["report", output, "--html", str(made["report"])]) == 0
    return made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


class Opened:
    """A page, what it asked for, and what its console said."""

    def __init__(self, chromium: Any, file: Path, width: int = 1280, scheme: str = "light"):
        self.page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console", lambda told: self.errors.append(told.text) if told.type in ("error", "warning") else None
        )
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("main")
        self.page.wait_for_timeout(300)

    def until(self, expression: str, longest_s: float = 30) -> None:
        """Waits until an expression is true; playwright's own way needs eval, which the pages' policy forbids."""
        end = time.monotonic() + longest_s
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"not within {longest_s} s: {expression}"
            self.page.wait_for_timeout(50)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 380])
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_opens_without_a_server(
    chromium: Any, pages: dict[str, Path], kind: str, width: int, scheme: str
) -> None:
    opened = Opened(chromium, pages[kind], width, scheme)
    assert not opened.errors
    assert all(url.startswith(("file://", "data:")) for url in opened.asked), opened.asked
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    broken = "[...document.images].filter((one) => one.getAttribute('src') && !one.naturalWidth && one.loading !== 'lazy').length"
    assert opened.page.evaluate(broken) == 0
    assert not serious_faults(opened.page)
    opened.page.close()


def test_a_video_plays_at_the_frame_that_is_clicked_and_its_words_lie_to_scale(
    chromium: Any, pages: dict[str, Path]
) -> None:
    opened = Opened(chromium, pages["timeline"])
    page = opened.page
    opened.until("document.querySelector('video').readyState > 0")
    page.locator("button.frame").nth(7).click()
    wanted_s = int(page.locator("button.frame").nth(7).get_attribute("data-at-ms")) / 1000
    opened.until("!document.querySelector('video').seeking")
    assert abs(page.evaluate("document.querySelector('video').currentTime") - wanted_s) <= 0.3
    parts = page.evaluate(
        "[...document.querySelectorAll('.lane [data-at-ms]')].map((one) => [Number(one.dataset.atMs), one.offsetLeft])"
    )
    assert len(parts) > 40
    assert all(left == pytest.approx(at_ms / 10, abs=1) for at_ms, left in parts), "100 pixels a second"
    word = page.locator("button.word").last
    word.click()
    opened.until("!document.querySelector('video').seeking")
    spoken_s = int(word.get_attribute("data-at-ms")) / 1000
    assert abs(page.evaluate("document.querySelector('video').currentTime") - spoken_s) <= 0.3
    opened.until("document.querySelector('.lane.speech .current')")
    line = page.evaluate("document.querySelector('.playhead').offsetLeft")
    assert line == pytest.approx(spoken_s * 100, abs=30)
    assert not opened.errors
    page.close()


def test_the_map_names_the_frame_that_is_chosen(chromium: Any, pages: dict[str, Path]) -> None:
    page = Opened(chromium, pages["map"]).page
    page.wait_for_selector("#map[data-points]")
    page.focus("#map")
    page.keyboard.press("n")
    assert ".mp4 0:" in page.inner_text("#frame-name")
    assert str(page.get_attribute("#frame-link", "href")).startswith("file:///")
    page.close()
