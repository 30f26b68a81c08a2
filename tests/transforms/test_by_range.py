"""A long remote video read by byte ranges gives the same frames, sound and facts as a staged copy, and far fewer bytes."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from object_store import FaultyProxy, s3_server, use_s3

from reelbeam.models.preprocessing import Preprocessing
from reelbeam.schemas.elements import Grid, Group, Probe, Unit, UnitFeatures, Video
from reelbeam.schemas.errors import Failure, InputError, StorageError
from reelbeam.schemas.storage import Storage
from reelbeam.transforms import discover, remote_blocks
from reelbeam.transforms.decode import decode_unit
from reelbeam.transforms.decode_groups import BY_DEFAULT
from reelbeam.transforms.discover import group_units, plan_units, probe_video, runs_of
from reelbeam.transforms.ffmpeg import file_url
from reelbeam.transforms.key_frames import measured_gaps
from reelbeam.transforms.probe_by_range import probe_by_range
from reelbeam.transforms.range_server import range_server
from reelbeam.transforms.remote_blocks import RemoteObject
from reelbeam.transforms.stage import Stage
from reelbeam.transforms.streams import StreamChoice

GRID = Grid(window_ticks=5)
WANTED = Preprocessing((64, 64))
SECONDS = 120
FILMS = {
    "film.mp4": [],
    "fast.mp4": ["-movflags", "+faststart"],
    "film.mkv": [],
    "pieces.mp4": ["-movflags", "+frag_keyframe+empty_moov"],
    "live.mkv": ["-live", "1"],
}


def make_film(to: Path, options: list[str]) -> Path:
    """Two minutes of a moving picture with noise and a tone, about 3 MB."""
    picture = f"testsrc2=size=160x120:rate=10:duration={SECONDS},noise=alls=40:allf=t"
    sound = f"sine=frequency=300:duration={SECONDS}"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-c:a", "aac", *options, str(to)]
    subprocess.run(command, check=True)
    return to


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyProxy]:
    """A bucket with films in it, behind a proxy that counts."""
    folder = tmp_path_factory.mktemp("films")
    with (
        pytest.MonkeyPatch.context() as patch,
        s3_server(tmp_path_factory.mktemp("s3"), ("data",)) as endpoint,
        FaultyProxy(endpoint) as proxy,
    ):
        use_s3(patch, proxy.endpoint)
        patch.setattr(discover, "LONG_BYTES", 0)
        small = remote_blocks.Blocks(1 << 16)
        patch.setattr(remote_blocks, "kept_blocks", lambda: small)
        for name, options in FILMS.items():
            Storage.at("s3://data").put_file(name, make_film(folder / name, options))
        yield proxy


def listed(name: str) -> Video:
    found = Storage.at("s3://data").head(name)
    return Video(name, f"s3://data/{name}", found.size_bytes, found.etag)


def decoded(unit: Unit, source: str) -> list[np.ndarray]:
    made, failures = decode_unit(unit, source, GRID, WANTED, BY_DEFAULT)
    assert not failures
    assert made is not None
    return [made.frames, made.ticks, made.pts_ms, made.samples, made.cuts_ms]


def bytes_taken(proxy: FaultyProxy) -> int:
    taken = proxy.counts["answered_bytes"]
    proxy.counts.clear()
    return taken


@pytest.mark.slow
@pytest.mark.parametrize("name", ["film.mp4", "fast.mp4", "film.mkv"])
def test_units_by_range_are_those_of_a_staged_copy_and_read_only_their_bytes(bucket: FaultyProxy, name: str) -> None:
    video, stage = listed(name), Stage()
    bytes_taken(bucket)
    probe = probe_video(video, stage, ranges=True)
    assert isinstance(probe, Probe)
    assert probe.by_range
    assert bytes_taken(bucket) < video.size_bytes / 2
    with stage.local(video) as path:
        staged = probe_video(video, stage)
        assert isinstance(staged, Probe)
        assert replace(staged, content_sha256="", by_range=True) == probe
        units = plan_units(video, probe, GRID, 4)
        wanted = [decoded(unit, file_url(path)) for unit in units]
    stage.close()
    bytes_taken(bucket)
    for unit, arrays in zip(units[2:4], wanted[2:4], strict=True):
        with range_server().serving(RemoteObject.open(video)) as source:
            for found, one in zip(decoded(unit, source), arrays, strict=True):
                np.testing.assert_array_equal(found, one)
    assert bytes_taken(bucket) < video.size_bytes * 0.7, "a third of the film, sound around it, and the index"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pieces.mp4", "live.mkv"])
def test_a_file_without_an_index_is_staged_whole(bucket: FaultyProxy, name: str) -> None:
    assert probe_by_range(listed(name)) is None
    probe = probe_video(listed(name), Stage(), ranges=True)
    assert isinstance(probe, Probe)
    assert not probe.by_range
    assert probe.content_sha256


@pytest.mark.slow
def test_a_store_that_fails_in_mid_film_is_no_fault_of_the_film(
    bucket: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = listed("fast.mp4")
    probe = probe_by_range(video)
    assert probe is not None
    unit = plan_units(video, probe, GRID, 4)[4]
    fresh = remote_blocks.Blocks(1 << 16)
    monkeypatch.setattr(remote_blocks, "kept_blocks", lambda: fresh)
    real = RemoteObject.fetch

    def failing(self: RemoteObject, number: int) -> bytes:
        if number > 3:
            raise StorageError("the network is down")
        return real(self, number)

    monkeypatch.setattr(RemoteObject, "fetch", failing)
    with pytest.raises(StorageError, match="network"), range_server().serving(RemoteObject.open(video)) as source:
        decode_unit(unit, source, GRID, WANTED, BY_DEFAULT)


@pytest.mark.slow
def test_an_address_ends_with_its_context_and_a_changed_object_is_not_served(bucket: FaultyProxy) -> None:
    video = listed("film.mp4")
    with range_server().serving(RemoteObject.open(video)) as source:
        asked = urllib.request.Request(source, headers={"Range": "bytes=4-7"})
        with urllib.request.urlopen(asked) as answer:
            assert (answer.status, answer.read()) == (206, b"ftyp")
        with pytest.raises(urllib.error.HTTPError, match="416"):
            urllib.request.urlopen(urllib.request.Request(source, headers={"Range": f"bytes={video.size_bytes}-"}))
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(source[:-1])
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(source)
    with pytest.raises(InputError, match="listed with"):
        RemoteObject.open(replace(video, size_bytes=5))
    gone = probe_video(replace(video, uri="s3://data/gone.mp4"), Stage(), ranges=True)
    assert isinstance(gone, Failure)
    assert gone.kind == "vanished"


def groups(**lengths_s: int) -> list[Group]:
    """Groups of the units of some videos, as PlanUnits packs them."""
    units: list[Unit] = []
    for name, seconds in lengths_s.items():
        probe = replace(PROBE, duration_ms=seconds * 1000)
        units += plan_units(Video(name, name, 1, "e"), probe, GRID, 24)
    return group_units(units, 120_000)


PROBE = Probe("mp4", 0, Fraction(0), Fraction(0), 0, "h264", Fraction(1, 1000), 1, 1, 0, 25.0, None, "", 0)


def test_a_long_video_alone_is_cut_in_one_run_for_each_worker() -> None:
    found = groups(long=36_000)
    runs = runs_of(found, 4)
    assert [group for run in runs for group in run] == found, "nothing changes but what goes together"
    assert [len(run) for run in runs] == [75] * 4
    assert [len(run) for run in runs_of(found, 0)] == [1] * 300


def test_among_others_a_video_gets_its_share_of_the_workers_and_short_ones_stay_alone() -> None:
    found = groups(a=7_200, b=7_200, c=60, d=60, e=60, f=60)
    runs = runs_of(found, 4)
    assert [group for run in runs for group in run] == found
    assert [len(run) for run in runs] == [30, 30, 30, 30, 1, 1]
    assert [len(run) for run in runs_of(groups(a=7_200, b=7_200, c=7_200, d=7_200), 2)] == [60] * 4


def test_groups_of_runs_are_units_of_one_video() -> None:
    for run in runs_of(groups(a=600, b=30, c=900), 8):
        videos = {features.unit.video.video_id for group in run for features in group}
        assert len(videos) == 1 or len(run) == 1
        assert all(isinstance(features, UnitFeatures) for group in run for features in group)


def test_the_gaps_between_key_frames_are_measured_in_a_bucket(bucket: FaultyProxy) -> None:
    found = measured_gaps("s3://data", StreamChoice())
    assert found.gaps_s == pytest.approx([5] * len(FILMS), abs=0.01)
    assert found.tick_hz == Fraction(1, 5)
