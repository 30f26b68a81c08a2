"""A small dataset in a real S3 server: its videos are objects, its OUTPUT is a prefix. What tests of the explorer on buckets share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import REPOSITORY
from object_store import FaultyProxy, s3_server, use_s3

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset import Dataset
from reelbeam.schemas.storage import Storage

SAMPLES = REPOSITORY / "examples" / "sample_bucket"
VIDEOS, OUTPUT = "s3://videos/in", "s3://features/out"
OFFLINE = ("--models", "offline", "--max-removed", "1")


@dataclass
class BucketWorld:
    """Videos and an OUTPUT in buckets, behind a proxy that counts."""

    proxy: FaultyProxy

    @property
    def input(self) -> Storage:
        return Storage.at(VIDEOS)

    def put(self, *names: str) -> None:
        for name in names:
            self.input.put_file(name, SAMPLES / name)

    def night(self, *flags: str) -> int:
        return main(["nightly", VIDEOS, OUTPUT, *OFFLINE, *flags])

    def row(self, end: str) -> dict[str, object]:
        """The row of the videos table whose uri ends so."""
        [row] = [row for row in Dataset.open(OUTPUT).videos.values() if row["uri"].endswith(end)]
        return row

    def taken_bytes(self) -> int:
        """Bytes answered since the last look."""
        found = self.proxy.counts["answered_bytes"]
        self.proxy.counts.clear()
        return found


@contextmanager
def bucket_world(folder: Path, names: Sequence[str]) -> Iterator[BucketWorld]:
    """A dataset of some sample videos; the environment names its server while the context is open."""
    with (
        pytest.MonkeyPatch.context() as patch,
        s3_server(folder, ("videos", "features")) as url,
        FaultyProxy(url) as proxy,
    ):
        use_s3(patch, proxy.endpoint)
        patch.setenv("REELBEAM_CACHE", str(folder / "cache"))
        world = BucketWorld(proxy)
        world.put(*names)
        assert world.night() == 0
        for kind in ("speech", "words"):
            assert main(["index", OUTPUT, "--of", kind, "--device", "cpu"]) == 0
        yield world
