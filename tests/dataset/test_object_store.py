"""The same program on a real object store: conditional commits, pages of listings, large objects, and a bad network."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nights import World
from object_store import FaultyProxy, s3_server, use_s3

from reelbeam.pipeline.cli import main
from reelbeam.schemas.errors import CorruptOutput
from reelbeam.schemas.file_records import TableInfo
from reelbeam.schemas.storage import MULTIPART_BYTES, Storage, file_sha256
from reelbeam.transforms.listing import list_videos
from reelbeam.transforms.shard_files import check_stored

FAST = ("--sweep-after-h", "0", "--keep-snapshots", "2", "--compact-from", "2")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3"), ("videos", "features")) as url:
        yield url


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    use_s3(monkeypatch, endpoint)
    return endpoint


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """Three small videos on local disk."""
    folder = tmp_path_factory.mktemp("local")
    for name, seconds in (("a.mp4", 4), ("b.mp4", 12), ("c.mp4", 3)):
        (folder / name).write_bytes(make_video(name, seconds, sound=False).read_bytes())
    return folder


def fill(prefix: str, folder: Path) -> str:
    """Puts the videos into a bucket; returns the location."""
    storage = Storage.at(prefix)
    for file in sorted(folder.iterdir()):
        storage.put_file(file.name, file)
    return prefix


def test_of_many_writers_of_one_object_exactly_one_wins(s3: str) -> None:
    storage = Storage.at("s3://features/race")
    start = threading.Barrier(8)

    def write(who: int) -> bool:
        start.wait()
        return Storage.at("s3://features/race").put_if_absent("one.json", b"%d" % who)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert won.count(True) == 1
    assert storage.get("one.json") == b"%d" % won.index(True)


def test_a_list_of_uris_says_of_each_video_what_the_listing_of_its_folder_says(s3: str, tmp_path: Path) -> None:
    storage = Storage.at("s3://videos/listed")
    for at in range(40):
        storage.put(f"{at:03}.mp4", b"x" * at)
    (tmp_path / "list.csv").write_text("uri\n" + "".join(f"s3://videos/listed/{at:03}.mp4\n" for at in range(41)))
    listed = [*list_videos(str(tmp_path / "list.csv"))]
    assert listed[:-1] == [*list_videos("s3://videos/listed")]
    assert (listed[-1].size_bytes, listed[-1].etag) == (0, "")  # it is not there: its probe says so


@pytest.mark.parametrize("size", [1_000, MULTIPART_BYTES + 1_000])
def test_what_was_put_is_compared_by_the_etag_and_not_read_again(
    s3: str, tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, file = Storage.at("s3://features/compared"), tmp_path / "file"
    file.write_bytes(random.Random(size).randbytes(size))
    storage.put_file("file", file)
    info = TableInfo("file", 1, size, file_sha256(file))
    with monkeypatch.context() as no_reading:
        no_reading.setattr(Storage, "sha256", None)
        check_stored(storage, info, file)
    storage.put("file", file.read_bytes()[:-1] + b"?")
    with pytest.raises(CorruptOutput, match="reads back"):
        check_stored(storage, info, file)


def test_a_listing_of_several_pages_is_whole_and_sorted(s3: str) -> None:
    storage = Storage.at("s3://features/pages")
    names = [f"{at:05d}.txt" for at in range(2_300)]  # a page has a thousand
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: storage.put(name, b"x"), names))
    assert [stored.path for stored in storage.list()] == names


def test_a_large_object_goes_up_in_parts_and_comes_back_whole(s3: str, tmp_path: Path) -> None:
    storage, file = Storage.at("s3://features/large"), tmp_path / "large"
    file.write_bytes(bytes(range(256)) * (5 * MULTIPART_BYTES // 512))
    storage.put_file("large.bin", file)
    assert storage.head("large.bin").size_bytes == file.stat().st_size
    assert storage.sha256("large.bin") == file_sha256(file)
    storage.fetch("large.bin", tmp_path / "copy")
    assert file_sha256(tmp_path / "copy") == file_sha256(file)


def test_deleting_what_is_gone_is_no_error_and_reading_it_is_one(s3: str) -> None:
    storage = Storage.at("s3://features/gone")
    storage.put("a", b"a")
    storage.delete("a")
    storage.delete("a")
    for read in (storage.get, storage.head, storage.sha256):
        with pytest.raises(FileNotFoundError):
            read("a")


def test_nights_on_an_object_store_do_what_they_do_on_a_disk(s3: str, local: Path, tmp_path: Path) -> None:
    world = World(fill("s3://videos/nights", local), "s3://features/nights")  # type: ignore[arg-type]
    storage, bucket = Storage.at("s3://features/nights"), Storage.at("s3://videos/nights")
    assert world.night(*FAST) == 0
    on_disk = World(local, tmp_path / "out")
    assert on_disk.night() == 0

    def bare(found: World) -> dict[tuple[str, int], tuple[object, ...]]:
        return {(Path(uri).name, window): row for (uri, window), row in found.content().items()}

    assert bare(world) == bare(on_disk)
    before = list(storage.list())
    assert world.night() == 0
    assert list(storage.list()) == before
    numbers = world.numbers()
    bucket.delete("b.mp4")
    bucket.put_file("twin.mp4", local / "a.mp4")
    bucket.put_file("c.mp4", local / "c.mp4")
    assert world.night(*FAST) == 0
    assert world.names() == {"a.mp4", "c.mp4", "twin.mp4"}
    assert {key: number for key, number in numbers.items() if "b.mp4" not in key[0]}.items() <= world.numbers().items()
    assert world.verified()
    assert main(["purge", "s3://features/nights", "s3://videos/nights/twin.mp4", *FAST[:2]]) == 0
    assert main(["verify", "s3://features/nights", "--gone", "s3://videos/nights/twin.mp4"]) == 0
    assert main(["search", "s3://features/nights", "a test picture", "--json"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_bad_network_changes_nothing_but_the_time(
    s3: str, local: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = World(fill(f"s3://videos/calm{seed}", local), f"s3://features/calm{seed}")  # type: ignore[arg-type]
    assert calm.night(*FAST) == 0
    wanted = calm.content()
    with FaultyProxy(s3, error=0.05, slow=0.05, cut=0.05, seed=seed) as proxy:
        use_s3(monkeypatch, proxy.endpoint)
        world = World(calm.bucket, f"s3://features/faulty{seed}")  # type: ignore[arg-type]
        assert world.night("--wave-videos", "1", *FAST) == 0
        assert world.night(*FAST) == 0
        assert world.content() == wanted
        assert world.verified()
        assert world.data.snapshot.counts["frames"] == sum((4, 12, 3))
        print(f"requests: {dict(proxy.counts)}")
        assert all(proxy.counts[fault] for fault in ("error", "slow", "cut")), proxy.counts
