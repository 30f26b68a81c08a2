"""A video's page holds what is stored of it, on one clock; its bytes come by range, and no other file's ever do."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from nights import World, move_video

from reelbeam.pipeline.explorer import Explorer, make_app


def row_of(world: World, end: str) -> dict[str, object]:
    [row] = [row for row in world.data.videos.values() if row["uri"].endswith(end)]
    return row


def test_the_page_shows_frames_words_and_subtitles_at_their_time(client: TestClient, first_world: World) -> None:
    row = row_of(first_world, ")>.mp4")
    facts = client.get(f"/api/videos/{row['video_id']}").json()
    assert len(facts["frames_shown"]) == row["frames"]
    times = [one["at_ms"] for one in facts["frames_shown"]]
    assert times == sorted(times)
    assert len([one for one in facts["texts"] if one["kind"] == "speech"]) == row["words"]
    [line] = [one for one in facts["texts"] if one["kind"] == "subtitles"]
    assert (line["start_ms"], line["end_ms"]) == (1000, 3000)
    assert len(facts["sound"]) > 0
    page = client.get(f"/videos/{row['video_id']}?at_ms=1000")
    assert page.status_code == 200
    assert 'data-at-ms="1000"' in page.text
    assert "<img src=x" not in page.text
    assert "A purple elephant 5 &lt; 6 &amp; &#34;seven&#34;" in page.text


def test_a_failed_video_has_a_page_that_says_why(client: TestClient, first_world: World) -> None:
    row = row_of(first_world, "broken.mp4")
    page = client.get(f"/videos/{row['video_id']}")
    assert page.status_code == 200
    assert "Failures and flags" in page.text


def test_bytes_come_whole_and_by_range(client: TestClient, first_world: World) -> None:
    row = row_of(first_world, "desk.mp4")
    content, address = Path(str(row["uri"])).read_bytes(), f"/api/media/{row['video_id']}"
    whole = client.get(address)
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, content, "bytes")
    for asked, start, end in (("0-9", 0, 10), ("100-", 100, len(content)), ("-7", len(content) - 7, len(content))):
        part = client.get(address, headers={"range": f"bytes={asked}"})
        assert part.status_code == 206
        assert part.content == content[start:end]
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(content)}"


def test_ranges_that_abuse_are_refused_or_ignored(client: TestClient, first_world: World) -> None:
    address = f"/api/media/{row_of(first_world, 'desk.mp4')['video_id']}"
    size = Path(str(row_of(first_world, "desk.mp4")["uri"])).stat().st_size
    for asked in ("bytes=999999999-", f"bytes={size}-{size}", "bytes=9-3", "bytes=-0"):
        refused = client.get(address, headers={"range": asked})
        assert (refused.status_code, refused.headers["content-range"]) == (416, f"bytes */{size}")
    many = "bytes=" + ",".join(f"{at}-{at + 1}" for at in range(20))
    assert len(client.get(address, headers={"range": many}).content) == size
    assert client.get(address, headers={"range": "bytes=" + "0-," * 500}).status_code == 422


@pytest.mark.parametrize("kind", ["videos", "api/videos", "api/media"])
@pytest.mark.parametrize(
    "asked",
    ["../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "0123456789abcdef", "%00", "desk.mp4", "a" * 5000],
)
def test_nothing_but_an_id_of_this_snapshot_leads_anywhere(client: TestClient, kind: str, asked: str) -> None:
    for path in (f"/{kind}/{asked}", f"/{kind}/{quote(asked, safe='')}"):
        assert client.get(path).status_code in (404, 422)


def test_a_video_that_has_moved_is_a_404(changing_world: World, tmp_path: Path) -> None:
    explorer = Explorer(str(changing_world.output))
    video_id = move_video(explorer.dataset(), "desk.mp4", tmp_path / "no such folder" / "desk.mp4")
    client = TestClient(make_app(explorer), "http://localhost")
    assert client.get(f"/api/media/{video_id}").status_code == 404
    assert client.get(f"/api/frames/{explorer.opened().places.row_at(video_id, 0)}/0.jpg").status_code == 404
    assert not (tmp_path / "no such folder").exists()


def test_a_minute_comes_as_a_small_copy(client: TestClient, first_world: World) -> None:
    address = f"/api/previews/{row_of(first_world, 'desk.mp4')['video_id']}"
    made = client.get(f"{address}/0.mp4", headers={"range": "bytes=4-7"})
    assert (made.status_code, made.content, made.headers["content-type"]) == (206, b"ftyp", "video/mp4")
    assert client.get(f"{address}/9.mp4").status_code == 404
    assert client.get(f"{address}/-1.mp4").status_code == 422
