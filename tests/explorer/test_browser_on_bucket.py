"""A real browser plays a bucket's video from the store itself, and through the explorer where it does not reach the store."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser import Visit, served
from bucket_world import OUTPUT, BucketWorld, bucket_world

from reelbeam.pipeline.playing.signed_videos import VALID_S

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

START_WITHIN_S = 0.3


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketWorld]:
    with bucket_world(tmp_path_factory.mktemp("s3"), ["desk.mp4", "farm.mp4"]) as made:
        yield made


@pytest.fixture(scope="module")
def address(world: BucketWorld) -> Iterator[str]:
    with served(OUTPUT) as found:
        yield found


@pytest.fixture(params=["reached", "unreachable"])
def visited(request: pytest.FixtureRequest, chromium: Any, address: str, world: BucketWorld) -> Iterator[Visit]:
    """A page whose browser reaches the store, or does not."""
    page = chromium.new_page()
    also = {urlsplit(world.proxy.endpoint).netloc} if request.param == "reached" else set()
    if not also:  # routes of playwright do not see where an answer leads
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.setBlockedURLs", {"urls": [f"{world.proxy.endpoint}/*"]})
    yield Visit(page, address, also=also)
    page.close()


def test_the_player_stands_at_the_moment_and_plays(visited: Visit, world: BucketWorld) -> None:
    row = world.row("desk.mp4")
    page = visited.open(f"/videos/{row['video_id']}?at_ms=4000")
    visited.until("document.getElementById('player').readyState >= 2")
    assert page.evaluate("document.getElementById('player').currentTime") == pytest.approx(4, abs=START_WITHIN_S)
    page.evaluate("document.getElementById('player').play()")
    visited.until("document.getElementById('player').currentTime > 4.5")
    source = page.evaluate("document.getElementById('player').currentSrc")
    assert ("proxied" in source) == (not visited.also)
    assert page.is_hidden("#unplayable")
    visited.until("!document.getElementById('similar').hidden")
    assert "farm.mp4" in page.inner_text("#similar")
    if visited.also:
        visited.is_clean()
    else:
        assert all(one.startswith(world.proxy.endpoint) for one in visited.foreign)


def test_an_address_that_has_run_out_is_asked_for_again_and_playing_goes_on(
    chromium: Any, address: str, world: BucketWorld
) -> None:
    row, store = world.row("desk.mp4"), urlsplit(world.proxy.endpoint).netloc
    page = chromium.new_page()
    page.clock.install()
    visited = Visit(page, address, also={store})
    visited.open(f"/videos/{row['video_id']}?at_ms=4000")
    visited.until("document.getElementById('player').readyState >= 2")
    assert not visited.failed
    old = world.input.signed("desk.mp4", 1)
    refused: list[str] = []
    page.on("requestfailed", lambda asked: refused.append(asked.url))
    time.sleep(2)
    page.clock.fast_forward(1000 * VALID_S)
    with page.expect_response(lambda got: got.status == 206 and urlsplit(got.url).netloc == store) as answer:
        page.evaluate(f"document.getElementById('player').src = {old!r}")  # as if the player went on reading from there
    assert answer.value.url != old
    assert old in refused
    visited.until("document.getElementById('player').readyState >= 2")
    assert page.evaluate("document.getElementById('player').currentTime") == pytest.approx(4, abs=START_WITHIN_S)
    assert "proxied" not in page.evaluate("document.getElementById('player').currentSrc")
    assert page.is_hidden("#unplayable")
    page.close()
