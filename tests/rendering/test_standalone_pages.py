"""Pages in files hold all that they show, ask for nothing, and show stored texts as texts."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import REPOSITORY
from nights import World

from reelbeam.pipeline.cli import main
from reelbeam.schemas.tensors import tensor

SAMPLES = REPOSITORY / "examples" / "sample_bucket"
HOSTILE = "<img src=x onerror=alert(1)>"
SUBTITLES = f"1\n00:00:01,000 --> 00:00:03,000\n{HOSTILE} </script><script>alert(2)</script>\n"


class Page(HTMLParser):
    """A page's tags with their attributes, and the content of its styles and scripts."""

    def __init__(self, file: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.inline: dict[str, list[str]] = {"style": [], "script": []}
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        if (kind := self.tags[-1][0] if self.tags else "") in self.inline and data.strip():
            self.inline[kind].append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A night with two videos, whose names and subtitles try to be markup, and one that is none; then one goes and one comes."""
    bucket = tmp_path_factory.mktemp("bucket")
    shutil.copy(SAMPLES / "desk.mp4", bucket / "desk.mp4")
    shutil.copy(SAMPLES / "farm.mp4", bucket / f"{HOSTILE}.mp4")
    (bucket / f"{HOSTILE}.srt").write_text(SUBTITLES)
    (bucket / f"{HOSTILE}.broken.mp4").write_text(f"no video {HOSTILE}")
    made = World(bucket, tmp_path_factory.mktemp("out") / "features")
    assert made.night("--senses", "+subtitles") == 0
    (bucket / "desk.mp4").unlink()
    shutil.copy(SAMPLES / "toys.mp4", bucket / "toys.mp4")
    assert made.night() == 0
    return made


@pytest.fixture(scope="module")
def pages(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind, by command."""
    folder, output = tmp_path_factory.mktemp("pages"), str(world.output)
    made = {name: folder / f"{name}.html" for name in ("search", "timeline", "map", "report")}
    assert main(["search", output, "a farm", HOSTILE, "-k", "3", "--html", str(made["search"])]) == 0
    assert main(["timeline", output, f"{HOSTILE}.mp4", "--html", str(made["timeline"])]) == 0
    assert main(["map", output, "--html", str(made["map"])]) == 0
    assert main(["report", output, "--html", str(made["report"])]) == 0
    return made


KINDS = ("search", "timeline", "map", "report")


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_asks_for_nothing_that_is_not_in_it(pages: dict[str, Path], kind: str) -> None:
    page = Page(pages[kind])
    for tag, attributes in page.tags:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        if tag in ("img", "source"):
            assert not attributes.get("src") or attributes["src"].startswith("data:image/")
        if tag in ("video", "a"):
            places = {attributes.get("src", "file:"), attributes.get("href", "file:")}
            assert all(place.startswith(("file:", "#", "data:")) or not place for place in places), attributes
    assert not page.all("link")
    assert not [one for one in page.all("script") if "src" in one]


@pytest.mark.parametrize("kind", KINDS)
def test_the_policy_allows_the_page_s_own_styles_and_scripts_alone(pages: dict[str, Path], kind: str) -> None:
    page = Page(pages[kind])
    [policy] = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    runs = [text for text in page.inline["script"] if not text.startswith("{")]
    for text in (*page.inline["style"], *runs):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy


@pytest.mark.parametrize("kind", KINDS)
def test_stored_texts_are_shown_as_texts(pages: dict[str, Path], kind: str) -> None:
    content = pages[kind].read_text("utf-8")
    assert "<img src=x" not in content
    assert "<script>alert" not in content
    assert "&lt;img src=x onerror=alert(1)&gt;" in content or "\\u003cimg src=x onerror=alert(1)\\u003e" in content


def test_the_page_of_a_search_shows_each_moment_with_its_frame(pages: dict[str, Path]) -> None:
    page = Page(pages["search"])
    assert len([one for one in page.all("img") if one["src"].startswith("data:image/")]) == 6
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", pages["search"].read_text()) == [
        "a farm",
        "&lt;img src=x onerror=alert(1)&gt;",
    ]


def test_the_timeline_has_all_frames_and_words_at_their_times(pages: dict[str, Path], world: World) -> None:
    buttons = Page(pages["timeline"]).all("button")
    frames = [int(one["data-at-ms"]) for one in buttons if "frame" in one.get("class", "").split()]
    stored: list[int] = []
    words: list[int] = []
    for _, batch in world.data.batches(["uri", "tick_pts_ms", "tick_valid", "words"]):
        for at, uri in enumerate(batch["uri"].to_pylist()):
            if HOSTILE in uri:
                stored += tensor(batch, "tick_pts_ms")[at][tensor(batch, "tick_valid")[at].astype(bool)].tolist()
                words += [word["start_ms"] for word in batch["words"][at].as_py()]
    assert frames == stored
    shown = [int(one["data-at-ms"]) for one in buttons if "word" in one.get("class", "").split()]
    assert sorted(shown) == sorted(words)
    [player] = Page(pages["timeline"]).all("video")
    assert player["src"].startswith("file:///")


def test_the_map_has_a_point_a_frame(pages: dict[str, Path], world: World) -> None:
    [points] = [json.loads(text) for text in Page(pages["map"]).inline["script"] if text.startswith("{")]
    assert len(points["x"]) == world.data.snapshot.counts["frames"]
    assert sorted(points["uris"]) == sorted(row["uri"] for row in world.data.facts.values() if row["windows"])


def test_the_report_tells_what_the_night_changed(pages: dict[str, Path]) -> None:
    text = " ".join(re.sub(r"<[^>]*>", " ", pages["report"].read_text().partition("<body>")[2]).split())
    assert "What the last night changed" in text
    assert "1 video added" in text
    assert "toys.mp4" in text
    assert "1 video removed" in text
    assert "desk.mp4" in text
    assert "not_media" in text
    assert "Recall@10" in text


def test_a_report_after_another_command_compares_with_the_snapshot_before(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, page = tmp_path / "out", tmp_path / "report.html"
    shutil.copytree(world.output, output)
    assert main(["index", str(output), "--of", "words"]) == 0
    capsys.readouterr()
    assert main(["report", str(output), "--html", str(page)]) == 0
    before = world.data.snapshot.number
    assert f"0 videos added, 0 removed, 0 changed since snapshot {before}; 1 failures stand" in capsys.readouterr().out
    assert "What the last commit changed" in page.read_text()
    assert main(["report", str(output)]) == 2
