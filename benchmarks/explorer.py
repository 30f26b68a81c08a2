"""How fast the explorer answers: text queries over many vectors, from one client and from 16 at once, over HTTP.

    python -m benchmarks.explorer [--vectors 1000000] [--seconds 60] [--processes 2]

A made dataset with the offline models' shapes is indexed and served by `reelbeam explore`; each query is a name that the models
know, asked in a random order. Each window shows something near one of those names, and its frames are near each other: evenly spread
vectors, which no model makes, have neighbours in every list of an index. One client first, then all at once; the server's memory is
measured at a third of the time and at the end.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reelbeam.models.clip_words import word_encoder
from reelbeam.models.devices import cores
from reelbeam.models.profiles import profile
from reelbeam.schemas.file_records import TableInfo
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import videos_schema
from reelbeam.schemas.tensors import tensor, tensor_array

from .made import made_rows, put_snapshot, with_columns
from .measure import ROOT, resident_bytes, tree
from .results import Figure, finish

CLIENTS = 16
TICKS = 10
SHARD_ROWS = 5_000
VIDEO_WINDOWS = 50
SINGLE_S_MOST = 20.0
"""Seconds that one client asks alone, at most."""

WARM_S = 15.0
"""For which all processes are asked before anything is measured: their models load, and their caches fill."""

TIMEOUT_S = 120

WINDOWS_APART, FRAMES_APART = 1.0, 0.4
"""Spread of windows around a name and of frames around their window, beside vectors of length 1: cosines of about 0.7 and 0.93."""


def videos_table(ids: list[str], text_dim: int) -> pa.Table:
    """A videos table with a row per id, whose other columns hold empty values of their types."""
    schema = videos_schema(text_dim)
    columns = []
    for field in schema:
        if field.name in ("video_id", "uri", "status", "run"):
            value = {"status": "ok", "run": "made"}.get(field.name)
            columns.append(pa.array([value or (f"/videos/{one}.mp4" if field.name == "uri" else one) for one in ids]))
        elif field.nullable:
            columns.append(pa.nulls(len(ids), field.type))
        else:
            empty: object = "" if pa.types.is_string(field.type) else [] if pa.types.is_list(field.type) else 0
            columns.append(pa.array([empty] * len(ids), field.type))
    return pa.table(columns, schema=schema)


def seen(names: np.ndarray, rows: int, seed: int) -> np.ndarray:
    """float16 [rows, TICKS, D], unit length: frames of windows near the vectors float32 [n, D] of some names."""
    choose = np.random.default_rng(seed)

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    def around(x: np.ndarray, spread: float) -> np.ndarray:
        return unit(x + spread * unit(choose.standard_normal(x.shape, np.float32)))

    windows = around(names[choose.integers(0, len(names), rows)], WINDOWS_APART)
    return around(np.repeat(windows[:, None], TICKS, axis=1), FRAMES_APART).astype(np.float16)


def known_names() -> list[str]:
    """What the offline models have names for."""
    lines = (ROOT / "models" / "mini_clip" / "names.txt").read_text().splitlines()
    return [name.strip() for name in lines if name.strip() and not name.startswith("#")]


def make(folder: Path, vectors: int) -> None:
    """A made dataset of about so many frames, which an index of frames covers."""
    names = word_encoder(profile("offline").clip, "cpu").encode_text(known_names())
    shape = profile("offline").row_shape(TICKS)
    shards, ids, tables = -(-vectors // TICKS // SHARD_ROWS), [], []
    rows = min(SHARD_ROWS, max(2 * VIDEO_WINDOWS, vectors // TICKS // shards // VIDEO_WINDOWS * VIDEO_WINDOWS))
    for part in range(shards):
        table = made_rows(rows, part, shape, [VIDEO_WINDOWS] * (rows // VIDEO_WINDOWS))
        frames = tensor_array(seen(names, rows, part) * tensor(table, "tick_valid").astype(bool)[..., None])
        own = [f"{part * 10**6 + row // VIDEO_WINDOWS:016x}" for row in range(rows)]
        uris = [f"/videos/{one}.mp4" for one in own]
        table = with_columns(table, frame_embedding=frames, video_id=own, uri=uris)
        ids += sorted(set(own))
        tables.append(table)
    put_snapshot(folder, tables, shape)
    file = folder / "videos" / "made.parquet"
    file.parent.mkdir()
    pq.write_table(videos_table(ids, shape.text_dim), file)
    storage = Storage.at(folder)
    listed = TableInfo("videos/made.parquet", len(ids), file.stat().st_size, storage.sha256("videos/made.parquet"))
    first = folder / "snapshots" / "000001.json"
    stated = json.loads(first.read_text())
    zero = dict.fromkeys(("ok", "partial", "failed", "words", "media_ms", "failures"), 0)
    counts = zero | stated["counts"] | {"videos": len(ids), "ok": len(ids)}
    models = profile("offline").identities()
    first.write_text(json.dumps({**stated, "counts": counts, "models": models, "videos": [vars(listed)]}))
    index = [
        sys.executable,
        "-m",
        "reelbeam.pipeline.cli",
        "index",
        str(folder),
        "--queries",
        "200",
    ]
    subprocess.run(index, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def served(folder: Path | str, processes: int = 1) -> Iterator[tuple[str, int]]:
    """`reelbeam explore` on a free port: its address and its process id."""
    command = [sys.executable, "-m", "reelbeam.pipeline.cli", "explore", str(folder), "--port", "0", "--device", "cpu"]
    command += ["--processes", str(processes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip().rstrip("/"), server.pid
        finally:
            server.terminate()


def ask(address: str, query: str) -> float:
    """Milliseconds of one search. Raises RuntimeError when it finds nothing."""
    started = time.perf_counter()
    asked = urllib.parse.urlencode({"q": query, "in": "frames", "k": 10})
    with urllib.request.urlopen(f"{address}/api/search?{asked}", timeout=TIMEOUT_S) as answer:
        found = json.load(answer)
    took_ms = (time.perf_counter() - started) * 1000
    if not found["moments"]:
        raise RuntimeError(f"{query!r} finds nothing")
    return took_ms


def load(address: str, queries: list[str], clients: int, seconds: float) -> list[float]:
    """Milliseconds of each search that so many clients ask one after the other. Raises what a client raised."""
    until, times, faults = time.monotonic() + seconds, [], []

    def client(seed: int) -> None:
        order = random.Random(seed)
        try:
            while time.monotonic() < until:
                times.append(ask(address, order.choice(queries)))
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
    return times


def percentile(values: list[float], share: float) -> float:
    return float(np.percentile(values, share))


def memory_bytes(pid: int) -> int:
    """Resident bytes of a process and its children."""
    return sum(resident_bytes(one) for one in tree(pid))


def main() -> int:
    """Prints the percentiles, as JSON in the last line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explorer")
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--processes", type=int, default=cores(), help="of the server (default: one a core)")
    parser.add_argument("--quick", action="store_true", help="few vectors, few seconds: only whether it runs")
    args = parser.parse_args()
    vectors, seconds = (10_000, 4.0) if args.quick else (args.vectors, args.seconds)
    queries = known_names()
    with tempfile.TemporaryDirectory(prefix="reelbeam-bench-") as made:
        folder = Path(made) / "features"
        make(folder, vectors)
        with served(folder, args.processes) as (address, pid):
            started = time.monotonic()
            ask(address, queries[0])
            first_s = time.monotonic() - started
            load(address, queries, 2 * args.processes, WARM_S * min(1, seconds / 60))  # each process warm
            single = load(address, queries, 1, min(SINGLE_S_MOST, seconds))
            many = load(address, queries, CLIENTS, seconds / 3)
            early = memory_bytes(pid)
            many += load(address, queries, CLIENTS, seconds * 2 / 3)
            growth = memory_bytes(pid) / early - 1
    figures = (
        Figure.of("p50_ms", "one client, median", percentile(single, 50), at_most=60),
        Figure.of("p99_ms", f"{CLIENTS} clients, 99th percentile", percentile(many, 99), at_most=250),
        Figure.of("many_p50_ms", f"{CLIENTS} clients, median", percentile(many, 50), at_most=60),
        Figure.of("searches_per_s", f"{CLIENTS} clients, searches per second", len(many) / seconds),
        Figure.of(
            "memory_growth",
            "server's memory at the end, over that at a third of the time, less 1",
            growth,
            at_most=0.05,
        ),
        Figure.of("first_answer_s", "first answer after the start, models loading", first_s),
    )
    finish("explorer", figures, args.quick, vectors=vectors, clients=CLIENTS, processes=args.processes, load_s=seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
