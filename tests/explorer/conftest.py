"""A small real dataset, whose names and subtitles try to be markup."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Visit, browser, served
from conftest import REPOSITORY
from fastapi.testclient import TestClient
from nights import World

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.explorer import Explorer, make_app

SAMPLES = REPOSITORY / "examples" / "sample_bucket"
HOSTILE = "<img src=x onerror=alert(1)>"
SUBTITLES = f'1\n00:00:01,000 --> 00:00:03,000\nA purple elephant 5 < 6 & "seven" {HOSTILE}\n'


@pytest.fixture(scope="session")
def first_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two that show and say something, one of them with a hostile name; one that is no video."""
    bucket = tmp_path_factory.mktemp("bucket")
    shutil.copy(SAMPLES / "desk.mp4", bucket / "desk.mp4")
    shutil.copy(SAMPLES / "farm.mp4", bucket / f"{HOSTILE}.mp4")
    (bucket / f"{HOSTILE}.srt").write_text(SUBTITLES)
    (bucket / "broken.mp4").write_text("no video")
    made = World(bucket, tmp_path_factory.mktemp("out") / "features")
    assert made.night("--senses", "+subtitles") == 0
    assert main(["index", str(made.output), "--of", "words"]) == 0
    return made


@pytest.fixture(scope="session")
def explorer(first_world: World) -> Explorer:
    """The explorer of that dataset; its models are loaded."""
    found = Explorer(str(first_world.output))
    found.load_models()
    assert found.models.wait(120)
    assert found.models.state == "ready", found.models.message
    return found


@pytest.fixture
def client(explorer: Explorer) -> Iterator[TestClient]:
    """What asks its pages as a browser does."""
    with TestClient(make_app(explorer), "http://localhost", raise_server_exceptions=False) as asking:
        yield asking


@pytest.fixture
def changing_world(first_world: World, tmp_path: Path) -> World:
    """A copy of the dataset, to change at will."""
    shutil.copytree(first_world.output, tmp_path / "out")
    return World(first_world.bucket, tmp_path / "out")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def address(world: World, chromium: Any) -> Iterator[str]:
    with served(world.output) as found:
        yield found


@pytest.fixture
def visit(chromium: Any, address: str) -> Iterator[Visit]:
    page = chromium.new_page()
    yield Visit(page, address)
    page.close()
