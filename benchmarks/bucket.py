"""What commands read from a bucket, counted at the server, beside what they need: a real S3 server on loopback.

    python -m benchmarks.bucket [--rows 30000]

A made dataset is indexed, searched and verified, and a list of uris is resolved. `index_ratio` is over the bytes of the
columns that are indexed, `verify_ratio` over all stored files, `search_bytes` beside the one download of the index.
A second one, with a videos table, is opened by the explorer: its first page with all that loads behind it, two searches, a video.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from reelbeam.models.profiles import profile
from reelbeam.pipeline.cli import main as reelbeam
from reelbeam.schemas.storage import Storage
from reelbeam.transforms.listing import list_videos

from .explorer import make as make_explored
from .explorer import served
from .made import made_rows, put_snapshot, with_columns
from .measure import ROOT
from .results import Figure, finish

sys.path.insert(0, str(ROOT / "tests"))
from object_store import KEY, SECRET, FaultyProxy, s3_server

SHARDS = 10
INDEXED = ("frame_embedding", "tick_valid")
OUTPUT = "s3://data/out"


def make(folder: Path, rows: int) -> int:
    """A made dataset in a local folder; returns the bytes of its indexed columns."""
    shape = profile("offline").row_shape(10)
    tables = []
    for part in range(SHARDS):
        table = made_rows(rows // SHARDS, part, shape)
        tables.append(with_columns(table, video_id=[f"{part * 10**6 + row // 2:016x}" for row in range(len(table))]))
    put_snapshot(folder, tables, shape)
    first = folder / "snapshots" / "000001.json"
    stated = json.loads(first.read_text())
    stated["counts"] = (
        dict.fromkeys(("videos", "ok", "partial", "failed", "words", "media_ms", "failures"), 0) | stated["counts"]
    )
    first.write_text(json.dumps({**stated, "models": profile("offline").identities()}))
    indexed = 0
    for file in folder.rglob("*.parquet"):
        footer = pq.read_metadata(file)
        for group in range(footer.num_row_groups):
            chunks = (footer.row_group(group).column(at) for at in range(footer.num_columns))
            indexed += sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema in INDEXED)
    return indexed


class Counted:
    """Bytes and requests at the server since the last look."""

    def __init__(self, proxy: FaultyProxy, endpoint: str):
        self.proxy, self.endpoint = proxy, endpoint

    def taken(self) -> tuple[int, int]:
        found = self.proxy.counts["answered_bytes"], self.proxy.counts["requests"]
        self.proxy.counts.clear()
        return found


def run(*command: str, code: int = 0) -> None:
    """One command, without its output. Raises RuntimeError when it ends with another code."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        ended = reelbeam([*command])
    if ended != code:
        raise RuntimeError(f"reelbeam {' '.join(command)} ended with {ended}: {said.getvalue()[-500:]}")


@contextlib.contextmanager
def bucket(folder: Path) -> Iterator[Counted]:
    """A running S3 server behind a counting proxy, in the environment of this process."""
    with s3_server(folder, ("data",)) as endpoint, FaultyProxy(endpoint) as proxy:
        os.environ |= {
            "AWS_ENDPOINT": proxy.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "REELBEAM_CACHE": str(folder / "cache"),
        }
        yield Counted(proxy, endpoint)


def wait_until_ready(address: str) -> None:
    """Until the query models are loaded."""
    while "still loading" in read(address):
        time.sleep(0.2)


def read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=120) as answer:
        text: str = answer.read().decode()
    return text


def explorer_figures(counted: Counted, folder: Path, rows: int) -> list[Figure]:
    """What the explorer's pages read of a dataset with an index of frames and none of speech, beside the index's one download."""
    make_explored(folder, 10 * rows)
    remote = Storage.at("s3://data/explored")
    for file in (file for file in folder.rglob("*") if file.is_file()):
        remote.put_file(str(file.relative_to(folder)), file)
    counted.taken()
    counted.proxy.bytes_of.clear()
    found = []
    with served(remote.root) as (address, _):
        wait_until_ready(f"{address}/")
        read(f"{address}/static/style.css"), read(f"{address}/static/search.js")
        first, requests = counted.taken()
        index_bytes = sum(count for path, count in counted.proxy.bytes_of.items() if "/indexes/" in path)
        found += [
            Figure.of("page_bytes", "explorer, first page, beside the index", first - index_bytes, at_most=2e6),
            Figure.of("page_requests", "explorer, first page, requests", requests),
        ]
        for name, query in (("frames_search_bytes", "q=a+rocket&in=frames"), ("all_search_bytes", "q=a+rocket")):
            answer = json.loads(read(f"{address}/api/search?{query}"))
            found.append(Figure.of(name, f"explorer, first search by {query}", counted.taken()[0]))
        json.loads(read(f"{address}/api/search?q=a+cup"))
        found.append(Figure.of("next_search_bytes", "explorer, the next search", counted.taken()[0]))
        read(f"{address}/videos/{answer['moments'][0]['video_id']}")
        found.append(Figure.of("video_page_bytes", "explorer, page of a video, without pictures", counted.taken()[0]))
        read(f"{address}/map")
        while json.loads(read(f"{address}/api/map"))["state"] == "computing":
            time.sleep(0.2)
        found.append(Figure.of("map_bytes", "explorer, map", counted.taken()[0]))
        while json.loads(read(f"{address}/api/health"))["state"] == "computing":
            time.sleep(0.2)
        found.append(Figure.of("health_bytes", "explorer, health", counted.taken()[0]))
    return found


def listed_per_s(folder: Path, uris: int) -> float:
    """Rows per second at which a csv of s3 uris is resolved, asked of the server without the proxy."""
    videos = Storage.at("s3://data/in")
    for number in range(uris):
        videos.put(f"{number:05d}.mp4", b"x")
    listing = folder / "list.csv"
    listing.write_text("uri\n" + "".join(f"s3://data/in/{number:05d}.mp4\n" for number in range(uris)))
    started = time.monotonic()
    assert len(list_videos(str(listing))) == uris
    return uris / (time.monotonic() - started)


def main() -> int:
    """Prints what each command reads."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bucket")
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--listed", type=int, default=2_000, help="objects of the list that is resolved")
    parser.add_argument("--quick", action="store_true", help="few rows: only whether it runs")
    args = parser.parse_args()
    rows, uris = (3_000, 100) if args.quick else (args.rows, args.listed)
    with tempfile.TemporaryDirectory(prefix="reelbeam-bench-") as made:
        folder = Path(made)
        indexed = make(folder / "local", rows)
        files = [file for file in (folder / "local").rglob("*") if file.is_file()]
        with bucket(folder) as counted:
            remote = Storage.at(OUTPUT)
            for file in files:
                remote.put_file(str(file.relative_to(folder / "local")), file)
            counted.taken()
            run("index", OUTPUT, "--index", "IVF64,SQfp16", "--queries", "200", "--min-recall", "0")
            index_bytes, _ = counted.taken()
            stored = sum(
                one.size_bytes for place in ("windows", "videos", "failures", "indexes") for one in remote.list(place)
            )
            run("search", OUTPUT, "a rocket", "--json")  # fetches the index
            counted.taken()
            run("search", OUTPUT, "a rocket", "--json")
            search_bytes, search_requests = counted.taken()
            run("verify", OUTPUT, code=4)  # the made dataset has rows and no videos table
            verify_bytes, _ = counted.taken()
            run("verify", OUTPUT, "--quick")
            quick_bytes, _ = counted.taken()
            run("status", OUTPUT)
            status_bytes, status_requests = counted.taken()
            explored = explorer_figures(counted, folder / "explored", rows)
            os.environ["AWS_ENDPOINT"] = counted.endpoint
            rate = listed_per_s(folder, uris)
    figures = [
        Figure.of("search_bytes", "search -k 10, bytes beside the index's one download", search_bytes, at_most=5e6),
        Figure.of("search_requests", "search -k 10, requests", search_requests),
        Figure.of(
            "index_ratio",
            "full index, bytes read over those of the indexed columns",
            index_bytes / indexed,
            at_most=2.2,
        ),
        Figure.of("verify_ratio", "verify, bytes read over those stored", verify_bytes / stored, at_most=1.05),
        Figure.of("verify_quick_bytes", "verify --quick, bytes read", quick_bytes),
        Figure.of("status_requests", "status, requests", status_requests),
        Figure.of("status_bytes", "status, bytes read", status_bytes),
        Figure.of("listed_per_s", "list of uris, rows resolved per second", rate),
        *explored,
    ]
    finish("bucket", figures, args.quick, rows=rows, stored_bytes=stored, indexed_bytes=indexed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
