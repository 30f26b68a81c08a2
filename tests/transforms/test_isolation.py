"""A file that names other files or addresses makes the decoder open none of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from reelbeam.models.preprocessing import square
from reelbeam.schemas.elements import Grid, Video
from reelbeam.schemas.errors import Failure
from reelbeam.transforms.decode import DecodeLimits, decode_unit
from reelbeam.transforms.discover import plan_units, probe_video
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.stage import Stage


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A server on loopback: its address, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"127.0.0.1:{listening.server_address[1]}", asked
        listening.shutdown()
        thread.join()


HLS = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\n{target}\n#EXT-X-ENDLIST\n"
TRAPS = {
    "hls_http": HLS.replace("{target}", "http://{server}/canary.ts"),
    "hls_file": HLS.replace("{target}", "file://{canary}"),
    "hls_path": HLS.replace("{target}", "{canary}"),
    "hls_concat": HLS.replace("{target}", "concat:http://{server}/head|file://{canary}"),
    "hls_subfile": HLS.replace("{target}", "subfile,,start,0,end,99,,:{canary}"),
    "hls_data": HLS.replace("{target}", "data:video/mp2t;base64,R0AAEAAAsA0="),
    "hls_key": HLS.replace("#EXTINF", '#EXT-X-KEY:METHOD=AES-128,URI="http://{server}/key"\n#EXTINF').replace(
        "{target}", "{canary}"
    ),
    "ffconcat": "ffconcat version 1.0\nfile '{canary}'\n",
    "ffconcat_http": "ffconcat version 1.0\nfile 'http://{server}/canary.mp4'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT5S">'
    "<Period><AdaptationSet mimeType='video/mp4'><Representation id='1' bandwidth='1'>"
    "<BaseURL>http://{server}/canary.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "smil": "<smil><body><video src='http://{server}/canary.mp4'/></body></smil>",
    "rtsp_ram": "rtsp://{server}/canary\n",
    "image_svg": "<svg xmlns='http://www.w3.org/2000/svg'><image href='http://{server}/canary.png'/></svg>",
    "imf_cpl": "<?xml version='1.0'?><CompositionPlaylist xmlns='http://www.smpte-ra.org/schemas/2067-3/2016'>"
    "<Id>urn:uuid:1</Id></CompositionPlaylist>",
}


def outcome(path: Path, stage: Stage) -> Failure | tuple[object, tuple[Failure, ...]]:
    """What a file gives: a failure of the probe, or what the decoder made of it."""
    stat = path.stat()
    video = Video("0" * 16, str(path), stat.st_size, f"{stat.st_mtime_ns}-{stat.st_size}")
    probe = probe_video(video, stage)
    if isinstance(probe, Failure):
        return probe
    unit = plan_units(video, probe, Grid(), 100)[0]
    return decode_unit(unit, file_url(path), Grid(), square(32), DecodeLimits())


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".mkv"])
@pytest.mark.parametrize("trap", TRAPS)
def test_a_playlist_in_disguise_opens_nothing(
    trap: str, suffix: str, tmp_path: Path, server: tuple[str, list[str]], make_video
) -> None:  # type: ignore[no-untyped-def]
    address, asked = server
    canary = make_video("canary.ts", 2)
    path = tmp_path / f"trap{suffix}"
    path.write_text(TRAPS[trap].replace("{server}", address).replace("{canary}", str(canary)))
    found = outcome(path, Stage())
    assert isinstance(found, Failure)
    assert found.kind in ("not_media", "no_streams")
    assert asked == []


def with_external_reference(movie: bytes, target: str) -> bytes:
    """A QuickTime file whose track says that its media lie in another file: its `url ` reference is rewritten."""
    inside = b"\x00\x00\x00\x0curl \x00\x00\x00\x01"
    assert movie.count(inside)
    name = target.encode() + b"\x00"
    outside = (12 + len(name)).to_bytes(4, "big") + b"url \x00\x00\x00\x00" + name
    grown = len(outside) - len(inside)
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):  # every box around the reference grows with it
        at = movie.index(box) - 4
        size = int.from_bytes(movie[at : at + 4], "big") + grown
        movie = movie[:at] + size.to_bytes(4, "big") + movie[at + 4 :]
    return movie.replace(inside, outside, 1)


def test_a_movie_that_refers_to_another_file_shows_none_of_it(tmp_path: Path, make_video) -> None:  # type: ignore[no-untyped-def]
    secret = make_video("secret.mov", 2, sound=False, extra="-c:v qtrle -pix_fmt rgb24")
    movie = with_external_reference(secret.read_bytes(), f"file://{secret}")
    media = movie.index(b"mdat") + 4
    size = int.from_bytes(movie[media - 8 : media - 4], "big") - 8
    path = tmp_path / "reference.mov"
    path.write_bytes(movie[:media] + bytes(size) + movie[media + size :])
    shown = outcome(secret, Stage())
    found = outcome(path, Stage())
    assert not isinstance(shown, Failure)
    assert not isinstance(found, Failure)
    assert found[0] is not None  # its own bytes, which are all zero
    assert not np.array_equal(found[0].frames, shown[0].frames)  # type: ignore[attr-defined]
    assert len(np.unique(found[0].frames)) <= 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name",
    [
        "-i.mp4",
        "-y -f null.mp4",
        "100%d.mp4",
        "a\nb.mp4",
        "concat:x|y.mp4",
        "ünïcödé 影片.mp4",
        "pipe:0.mp4",
        "$(id).mp4",
    ],
)
def test_a_name_is_only_a_name(name: str, tmp_path: Path, make_video) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / name
    path.write_bytes(make_video("plain.mp4", 2).read_bytes())
    found = outcome(path, Stage())
    assert not isinstance(found, Failure)
    decoded, failures = found
    assert failures == ()
    assert decoded.ticks.tolist() == [0, 1]  # type: ignore[attr-defined]
    assert sorted(each.name for each in tmp_path.iterdir()) == [name]
    assert np.asarray(decoded.samples).any()  # type: ignore[attr-defined]
