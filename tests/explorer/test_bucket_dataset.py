"""The explorer on a dataset in an S3 server: every page works, and little is read."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from bucket_world import OUTPUT, SAMPLES, VIDEOS, BucketWorld, bucket_world
from fastapi.testclient import TestClient

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.explorer import Explorer, make_app
from reelbeam.schemas.storage import Storage

pytestmark = pytest.mark.slow

PAGES = ("/", "/?q=a+farm", "/health", "/map", "/repeats?threshold=0.9", "/outliers", "/tags?labels=a+cup", "/api")
ANSWERS = ("search?q=a+farm", "health", "map", "repeats?threshold=0.9", "outliers", "tags?labels=a+cup")
FIRST_PAGE_BYTES = 2_000_000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketWorld]:
    with bucket_world(
        tmp_path_factory.mktemp("s3"), ["desk.mp4", "farm.mp4", "harbour.mkv", "not_a_video.mp4"]
    ) as made:
        yield made


def opened(signed: bool = True) -> tuple[Explorer, TestClient]:
    """An explorer whose models are loaded, and what asks it."""
    explorer = Explorer(OUTPUT, device="cpu", signed=signed)
    explorer.load_models()
    assert explorer.models.wait(120)
    assert explorer.models.state == "ready", explorer.models.message
    return explorer, TestClient(make_app(explorer), "http://localhost", follow_redirects=False)


@pytest.fixture(scope="module")
def client(world: BucketWorld) -> TestClient:
    return opened()[1]


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_there(client: TestClient, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert "cannot be answered" not in page.text


@pytest.mark.parametrize("asked", ANSWERS)
def test_every_answer_is_there(client: TestClient, asked: str) -> None:
    found = client.get(f"/api/{asked}")
    assert found.status_code == 200
    assert found.json().get("state", "done") in ("done", "computing"), found.text


def test_a_moment_has_its_picture_its_video_and_a_preview(client: TestClient, world: BucketWorld) -> None:
    [first, *_] = client.get("/api/search", params={"q": "a farm", "in": "frames"}).json()["moments"]
    assert client.get(first["thumbnail"]).headers["content-type"] == "image/jpeg"
    facts = client.get(f"/api/videos/{first['video_id']}").json()
    assert facts["uri"].startswith(VIDEOS)
    assert facts["frames_shown"]
    assert client.get(f"/videos/{first['video_id']}").status_code == 200
    made = client.get(f"/api/previews/{world.row('harbour.mkv')['video_id']}/0.mp4", headers={"range": "bytes=4-7"})
    assert (made.status_code, made.content) == (206, b"ftyp")
    picture = client.get(first["thumbnail"]).content
    assert client.post("/api/search/picture", content=picture).json()["moments"]


def test_the_first_page_reads_little_beside_the_index(
    world: BucketWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REELBEAM_CACHE", str(tmp_path / "empty"))
    sizes = {f"/features/out/{one.path}": one.size_bytes for one in Storage.at(OUTPUT).list("indexes")}
    world.taken_bytes()
    world.proxy.bytes_of.clear()
    _, client = opened()
    for path in ("/", *re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get("/").text)):
        assert client.get(path).status_code == 200
    of_indexes = {path: count for path, count in world.proxy.bytes_of.items() if path in sizes}
    assert any(path.endswith(".faiss") for path in of_indexes)
    assert all(count <= sizes[path] for path, count in of_indexes.items()), "each file of an index once"
    assert world.taken_bytes() - sum(of_indexes.values()) < FIRST_PAGE_BYTES
    client.get("/api/search", params={"q": "a farm"})
    first = world.taken_bytes()
    client.get("/api/search", params={"q": "a desk"})
    assert first < FIRST_PAGE_BYTES
    assert world.taken_bytes() < 20_000, "rows are in memory, and the listing of snapshots is small"


def test_a_browser_is_sent_to_the_store_for_some_minutes(client: TestClient, world: BucketWorld) -> None:
    row = world.row("desk.mp4")
    sent = client.get(f"/api/media/{row['video_id']}")
    assert sent.status_code == 307
    address = sent.headers["location"]
    assert int(parse_qs(urlsplit(address).query)["X-Amz-Expires"][0]) <= 600
    content = (SAMPLES / "desk.mp4").read_bytes()
    with urllib.request.urlopen(urllib.request.Request(address, headers={"range": "bytes=10-19"})) as part:
        assert part.read() == content[10:20]
    policy = client.get(f"/videos/{row['video_id']}").headers["content-security-policy"]
    assert f"media-src 'self' {world.proxy.endpoint};" in policy
    assert policy.count("http") == 1, "no other page or host"
    assert "http" not in client.get("/").headers["content-security-policy"]


def test_bytes_pass_through_where_that_is_asked_for(client: TestClient, world: BucketWorld) -> None:
    content, address = (SAMPLES / "desk.mp4").read_bytes(), f"/api/media/{world.row('desk.mp4')['video_id']}"
    for asking, path in ((client, f"{address}?proxied=true"), (opened(signed=False)[1], address)):
        part = asking.get(path, headers={"range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, content[10:20])
        assert asking.get(path).content == content
    unsigned = opened(signed=False)[1].get(f"/videos/{world.row('desk.mp4')['video_id']}")
    assert "media-src 'self';" in unsigned.headers["content-security-policy"]


def test_ranges_that_abuse_read_nothing_from_the_bucket(client: TestClient, world: BucketWorld) -> None:
    address = f"/api/media/{world.row('desk.mp4')['video_id']}?proxied=true"
    size = int(str(world.row("desk.mp4")["size_bytes"]))
    client.get("/")
    world.taken_bytes()
    for asked in ("bytes=999999999-", f"bytes={size}-{size}", "bytes=9-3", "bytes=-0"):
        refused = client.get(address, headers={"range": asked})
        assert (refused.status_code, refused.headers["content-range"]) == (416, f"bytes */{size}")
    assert client.get(address, headers={"range": "bytes=" + "0-," * 500}).status_code == 422
    assert world.taken_bytes() < 10_000
    many = client.get(address, headers={"range": "bytes=" + ",".join(f"0-{size}" for _ in range(15))})
    assert (many.status_code, len(many.content)) == (200, size), "once, not fifteen times"
    assert world.taken_bytes() < size + 10_000


def test_a_new_snapshot_appears_and_a_purged_video_is_gone(world: BucketWorld) -> None:
    explorer, client = opened()
    world.put("toys.mp4")
    assert world.night() == 0
    explorer._looked_at -= 2  # as after two seconds
    row = world.row("toys.mp4")
    video, asked = f"/api/videos/{row['video_id']}", {"q": "toys", "in": "frames", "uri": "*toys*"}
    assert client.get(video).status_code == 200
    assert explorer.models.wait(60)
    [first, *_] = client.get("/api/search", params=asked).json()["moments"]
    assert client.get(first["thumbnail"]).status_code == 200
    assert client.get(f"/api/media/{row['video_id']}").status_code == 307
    world.input.delete("toys.mp4")
    assert main(["purge", OUTPUT, str(row["uri"])]) == 0
    explorer._looked_at -= 2
    for path in (video, first["thumbnail"], f"/api/media/{row['video_id']}", f"/api/previews/{row['video_id']}/0.mp4"):
        assert client.get(path).status_code == 404
    assert explorer.sources.held_bytes == 0
    assert explorer.models.wait(60)
    assert not client.get("/api/search", params=asked).json()["moments"]
