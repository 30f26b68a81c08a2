"""Measures what a quiet night costs: planning over simulated listings, without a store and without a model.

    python -m benchmarks.planning 20000 1000000

Prints, for each number of objects, the seconds and the peak memory of the comparison with 0% and with 1% changed, and
of building what it needs: the listing as `Video` records, and the books as the Arrow table that a snapshot gives.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

import pyarrow as pa

from reelbeam.pipeline.extraction.changes import COMPARED, Policy, compare_listing
from reelbeam.schemas.elements import Video
from reelbeam.schemas.tables import TITLE_EMBEDDINGS, videos_schema
from reelbeam.transforms.listing import video_id_of

from .results import Figure, finish

TEXT_DIM = 384
"""Of all-MiniLM-L6-v2."""


def listing(objects: int) -> list[Video]:
    """What a store's listing of so many objects becomes."""
    uris = (f"s3://bucket/videos/{at % 1000:03d}/{at:08d}.mp4" for at in range(objects))
    return [Video(video_id_of(uri), uri, 5_000_000 + at % 997, f"etag-{at:032d}") for at, uri in enumerate(uris)]


def books_of(videos: list[Video]) -> pa.Table:
    """The columns of the books that planning reads, as they are after these videos were extracted."""
    schema = videos_schema(TEXT_DIM)
    schema = pa.schema([schema.field(name) for name in (*COMPARED, *TITLE_EMBEDDINGS.values())])
    count = len(videos)
    columns = {
        "video_id": [video.video_id for video in videos],
        "etag": [video.etag for video in videos],
        "size_bytes": [video.size_bytes for video in videos],
        "content_sha256": ["0" * 64] * count,
        "status": ["ok"] * count,
        "attempts": [1] * count,
        "run": ["20260101T000000-abcdef"] * count,
        "missing_since_ms": [0] * count,
        "sidecars": [""] * count,
        **dict.fromkeys(TITLE_EMBEDDINGS, [""] * count),
        **{name: pa.nulls(count, schema.field(name).type) for name in TITLE_EMBEDDINGS.values()},
    }
    return pa.table(columns, schema=schema)


def measure(objects: int) -> dict[str, Any]:
    """Seconds and peak memory, in this process."""
    started = time.monotonic()
    videos = listing(objects)
    listed_s = time.monotonic() - started
    books = books_of(videos)
    found: dict[str, Any] = {"objects": objects, "listing_s": round(listed_s, 2)}
    for share in (0, 100):
        changed = [
            Video(video.video_id, video.uri, video.size_bytes + 1, "new") if share and at % share == 0 else video
            for at, video in enumerate(videos)
        ]
        started = time.monotonic()
        changes = compare_listing(changed, books, (), Policy(), 0)
        name = "1% changed" if share else "0 changed"
        found[name] = {"compare_s": round(time.monotonic() - started, 2), "changed": len(changes.changed)}
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return found


def main() -> int:
    """One process per size, so that each has a peak of its own."""
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        print(json.dumps(measure(int(sys.argv[2]))))
        return 0
    sizes = [int(size) for size in sys.argv[1:]] or [20_000, 1_000_000]
    figures = []
    for size in sizes:
        command = [sys.executable, "-m", "benchmarks.planning", "--one", str(size)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for share in ("0 changed", "1% changed"):
            key = "unchanged" if share.startswith("0") else "1_percent_changed"
            what = f"{size:,} objects, {share}: seconds to compare"
            figures.append(Figure.of(f"compare_{size}_{key}_s", what, found[share]["compare_s"]))
        figures.append(
            Figure.of(f"listing_{size}_s", f"{size:,} objects: seconds to become records", found["listing_s"])
        )
        figures.append(Figure.of(f"peak_{size}_mib", f"{size:,} objects: peak memory, MiB", found["peak_mib"]))
    finish("planning", figures, max(sizes) < 1_000_000)
    return 0


if __name__ == "__main__":
    sys.exit(main())
