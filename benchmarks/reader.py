"""Reading for training, in samples a second: ours beside bare pyarrow, Hugging Face, webdataset and mosaicml-streaming.

    python -m benchmarks.reader [--rows 50000] [--gate]

All read the same made tensors (frames, sound, text of windows as ViT-B/32 gives them) from local disk with a warm page cache,
in batches of 256 and one process. Each rival holds them as its own users would: webdataset as one npy a tensor in tars,
mosaicml-streaming as ndarray columns. mosaicml-streaming wants other versions of NumPy: where it does not import, its row
says so; `--python` names an interpreter in which it does.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.utils.data import DataLoader

from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.pipeline.training.window_dataset import WindowDataset
from reelbeam.schemas.tables import RowShape
from reelbeam.schemas.tensors import tensor

from .made import made_rows, put_snapshot
from .measure import WORK
from .results import Figure, finish

SHAPE = RowShape(10, 512, 41, 384)
COLUMNS = ["frame_embedding", "tick_valid", "audio_feature", "text_embedding"]
BATCH = 256
SHARD_ROWS = 10_000
ROUNDS = 5
"""Each reader reads so many epochs after its first, in turns with the others; the fastest counts: a shared machine only
ever slows down. Opening is not timed."""
RIVAL_ROWS = 10_000
"""What the slow rivals read: they would take minutes for all."""
EPOCHS = 10
MEMORY_GATE = 1.05
"""Most that anonymous memory may grow from the second epoch to the last."""

Reader = Callable[[], int]


def make(rows: int) -> Path:
    """The snapshot, and the rivals' files, under bench_output; made once."""
    folder = WORK / f"reader_{rows}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        seeds = range(-(-rows // SHARD_ROWS))
        tables = [made_rows(min(SHARD_ROWS, rows - seed * SHARD_ROWS), seed, SHAPE) for seed in seeds]
        put_snapshot(folder / "features", tables, SHAPE)
        _write_tars(tables[0], folder / "tars")
        (folder / "done").touch()
    return folder


def _write_tars(table: Any, folder: Path) -> None:
    folder.mkdir()
    with tarfile.open(folder / "rows-000000.tar", "w") as tar:
        columns = {name: tensor(table, name) for name in COLUMNS}
        for row in range(len(table)):
            for name, values in columns.items():
                content = io.BytesIO()
                np.save(content, values[row])
                entry = tarfile.TarInfo(f"{row:09d}.{name}.npy")
                entry.size = content.tell()
                tar.addfile(entry, io.BytesIO(content.getvalue()))


def bare_pyarrow(folder: Path) -> int:
    """Batches of the same columns, mapped into memory, one after another, and nothing done with them."""
    rows = 0
    for shard in Dataset.open(str(folder / "features")).snapshot.shards:
        with pq.ParquetFile(folder / "features" / shard.path, memory_map=True) as file:
            for batch in file.iter_batches(BATCH, columns=COLUMNS):
                rows += len(batch)
    return rows


def ours(folder: Path, shuffle: int | None) -> Reader:
    windows = WindowDataset(Dataset.open(str(folder / "features")), COLUMNS, batch_size=BATCH, shuffle=False)
    return lambda: sum(len(batch["row"]) for batch in windows)


def as_arrays(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """A DataLoader's collate_fn: raw bytes of rows to tensors, null to zeros."""
    kinds = {"tick_valid": np.dtype("uint8")}
    found = {}
    for name in COLUMNS:
        width = max(len(row[name] or b"") for row in rows)
        raw = b"".join(row[name] or bytes(width) for row in rows)
        found[name] = torch.from_numpy(
            np.frombuffer(bytearray(raw), kinds.get(name, np.float16)).reshape(len(rows), -1)
        )
    return found


def hugging_face(folder: Path) -> Reader:
    """Streaming over the same shards into a DataLoader that makes tensors of the bytes."""
    import datasets

    shards = [str(folder / "features" / shard.path) for shard in Dataset.open(str(folder / "features")).snapshot.shards]
    stream = datasets.load_dataset("parquet", data_files=shards[:1], split="train", streaming=True, columns=COLUMNS)
    loader = DataLoader(stream, batch_size=BATCH, collate_fn=as_arrays)
    return lambda: sum(len(batch["tick_valid"]) for batch in loader)


def webdataset(folder: Path) -> Reader:
    import webdataset

    stream = webdataset.WebDataset(str(folder / "tars" / "rows-000000.tar"), shardshuffle=False, empty_check=False)
    names = [f"{name}.npy" for name in COLUMNS]
    batches = stream.decode().to_tuple(*names).batched(BATCH)
    return lambda: sum(len(batch[0]) for batch in batches)


MOSAIC = """
import json, shutil, sys, time, warnings
warnings.filterwarnings("ignore")
import numpy as np
from pathlib import Path
from streaming import MDSWriter, StreamingDataset
from torch.utils.data import DataLoader
folder, rows, batch = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
shapes = json.loads(sys.argv[4])
if not folder.exists():
    rng = np.random.default_rng(0)
    columns = {name: f"ndarray:{kind}:" + ",".join(map(str, shape)) for name, (kind, shape) in shapes.items()}
    with MDSWriter(out=str(folder), columns=columns) as out:
        for _ in range(rows):
            out.write({name: rng.normal(size=shape).astype(kind) for name, (kind, shape) in shapes.items()})
best = 0.0
for _ in range(3):
    data = StreamingDataset(local=str(folder), batch_size=batch, shuffle=False)
    started, seen = time.perf_counter(), 0
    for got in DataLoader(data, batch_size=batch):
        seen += len(got["frame_embedding"])
    best = max(best, seen / (time.perf_counter() - started))
print(json.dumps(best))
"""


def mosaic(folder: Path, python: str) -> float | str:
    """Samples a second, or why it did not run. A process of its own: it leaves shared memory behind."""
    shapes = {
        "frame_embedding": ("float16", [SHAPE.ticks, SHAPE.frame_dim]),
        "tick_valid": ("uint8", [SHAPE.ticks]),
        "audio_feature": ("float16", [SHAPE.ticks, SHAPE.audio_dim]),
        "text_embedding": ("float16", [SHAPE.text_dim]),
    }
    arguments = [str(folder / "mosaic"), str(RIVAL_ROWS), str(BATCH), json.dumps(shapes)]
    done = subprocess.run([python, "-c", MOSAIC, *arguments], capture_output=True, text=True, timeout=600)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    return float(done.stdout.strip().splitlines()[-1])


def rate(read: Reader) -> float:
    gc.collect()
    started = time.perf_counter()
    rows = read()
    return rows / (time.perf_counter() - started)


def best_rates(readers: dict[str, Reader]) -> dict[str, float]:
    """The best of ROUNDS rounds of each, in turns, so that a slow minute of the machine meets all alike."""
    for read in readers.values():
        read()
    rounds = [{name: rate(read) for name, read in readers.items()} for _ in range(ROUNDS)]
    return {name: max(each[name] for each in rounds) for name in readers}


def anonymous_bytes() -> int:
    """Memory of this process that no file backs."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) * 1024


def memory_of_epochs(folder: Path) -> Iterator[int]:
    """Anonymous memory after each of EPOCHS shuffled epochs."""
    windows = WindowDataset(Dataset.open(str(folder / "features")), COLUMNS, batch_size=BATCH, shuffle=1)
    for epoch in range(EPOCHS):
        windows.set_epoch(epoch)
        for _ in windows:
            pass
        yield anonymous_bytes()


ROWS = 50_000


def main() -> int:
    """Prints rates and verdicts; 1 when `--gate` is given and something wanted is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reader")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--python", default=sys.executable, help="interpreter that imports mosaicml-streaming")
    parser.add_argument("--gate", action="store_true")
    args = parser.parse_args()
    folder = make(args.rows)
    fast: dict[str, Reader] = {
        "bare pyarrow": lambda: bare_pyarrow(folder),
        "ours, stored order": ours(folder, None),
        "ours, shuffled": ours(folder, 1),
    }
    slow: dict[str, Reader] = {
        "Hugging Face streaming": hugging_face(folder),
        "webdataset": webdataset(folder),
    }
    rates: dict[str, float] = best_rates(fast) | best_rates(slow)
    found = mosaic(folder, args.python)
    if isinstance(found, float):
        rates["mosaicml-streaming"] = found
    else:
        print(f"mosaicml-streaming did not run: {found}")
    for name, value in rates.items():
        print(f"{name:24} {value:12,.0f} samples/s")
    shuffled = rates["ours, shuffled"]
    wanted = [
        ("stored order over bare pyarrow", rates["ours, stored order"] / rates["bare pyarrow"], 0.9),
        ("shuffled over bare pyarrow", shuffled / rates["bare pyarrow"], 0.6),
        ("shuffled over Hugging Face streaming", shuffled / rates["Hugging Face streaming"], 10),
        *(
            (f"shuffled over {name}", shuffled / rates[name], 2)
            for name in ("webdataset", "mosaicml-streaming")
            if name in rates
        ),
    ]
    memory = list(memory_of_epochs(folder))
    figures = [Figure.of(name.replace(" ", "_"), name, ratio, at_least=least) for name, ratio, least in wanted]
    figures.append(
        Figure.of(
            "memory_growth", "memory, times that of the second epoch", memory[-1] / memory[1], at_most=MEMORY_GATE
        )
    )
    missed = finish(
        "reader", figures, args.rows < ROWS, samples_per_s={name: round(value) for name, value in rates.items()}
    )
    return 1 if args.gate and missed else 0


if __name__ == "__main__":
    sys.exit(main())
