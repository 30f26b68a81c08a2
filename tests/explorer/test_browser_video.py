"""The page of a video in a real browser: what it cannot play is shown by a bright copy, and its timeline goes along."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import Visit
from conftest import REPOSITORY
from nights import World

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

MEAN_BYTE = """() => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 36 });
    const pen = canvas.getContext("2d");
    pen.drawImage(document.getElementById("player"), 0, 0, 64, 36);
    const bytes = pen.getImageData(0, 0, 64, 36).data.filter((_, at) => at % 4 < 3);
    return bytes.reduce((sum, one) => sum + one, 0) / bytes.length;
}"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> World:
    bucket = tmp_path_factory.mktemp("bucket")
    film = make_video("film.mov", 6, "640x360", extra="-c:v prores_ks -pix_fmt yuv422p10le")
    shutil.copy(film, bucket / "film.mov")
    shutil.copy(REPOSITORY / "examples" / "sample_bucket" / "kitchen.mp4", bucket / "kitchen.mp4")
    made = World(bucket, tmp_path_factory.mktemp("out") / "features")
    assert made.night() == 0
    return made


def page_of(visit: Visit, world: World, name: str, at_ms: int) -> None:
    [video_id] = [key for key, row in world.data.facts.items() if row["uri"].endswith(name)]
    visit.open(f"/videos/{video_id}?at_ms={at_ms}")


def test_prores_is_shown_by_a_copy_whose_picture_is_that_of_the_film(visit: Visit, world: World) -> None:
    page_of(visit, world, "film.mov", 3000)
    visit.until("document.getElementById('player').videoWidth > 0 && !document.getElementById('player').seeking")
    visit.until("document.getElementById('player').readyState >= 2")
    assert "copy of this minute is shown" in visit.page.inner_text("#unplayable")
    assert visit.page.evaluate("document.getElementById('player').currentTime") == pytest.approx(3, abs=0.3)
    assert visit.page.evaluate(MEAN_BYTE) == pytest.approx(126, abs=8), "ffmpeg's testsrc2 has a mean of 126"
    visit.is_clean()


def test_the_timeline_is_to_scale_and_goes_along(visit: Visit, world: World) -> None:
    page_of(visit, world, "kitchen.mp4", 0)
    page = visit.page
    parts = page.evaluate(
        "[...document.querySelectorAll('.lane [data-at-ms]')].map((one) => [Number(one.dataset.atMs), one.offsetLeft])"
    )
    assert len(parts) > 40
    assert all(left == pytest.approx(at_ms / 10, abs=1) for at_ms, left in parts), "100 pixels a second"
    word = page.locator("button.word").nth(9)
    word.click()
    visit.until("!document.getElementById('player').seeking")
    spoken_s = int(str(word.get_attribute("data-at-ms"))) / 1000
    assert page.evaluate("document.getElementById('player').currentTime") == pytest.approx(spoken_s, abs=0.3)
    page.evaluate("document.getElementById('player').muted = true; document.getElementById('player').play()")
    visit.until(f"document.querySelector('.playhead').offsetLeft > {(spoken_s + 1) * 100}")
    visit.until(f"Number(document.querySelector('.frames .current').dataset.atMs) >= {spoken_s * 1000}")
    visit.is_clean()
