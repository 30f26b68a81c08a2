"""Every command, on datasets that lack what it asks for, ends with an answer or with one line that says why not.

The commands are taken from the program itself: a new one is tried without a word here.
"""

from __future__ import annotations

import argparse
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from fastapi.testclient import TestClient

from reelbeam.models.profiles import PROFILES
from reelbeam.pipeline.cli import build_parser, main
from reelbeam.pipeline.commands import COMMANDS
from reelbeam.pipeline.dataset.read import Dataset
from reelbeam.schemas import snapshot as snapshots
from reelbeam.schemas.storage import Storage
from reelbeam.schemas.tables import REMOVED

DATASETS = (
    "sound only",
    "pictures only",
    "one row",
    "no rows",
    "all failed",
    "removed everything",
    "no vectors",
    "built-in off",
)

CLIP_DIM = PROFILES["offline"].clip.dimension

VARIANTS: dict[str, tuple[str, ...]] = {
    "search": ("", "--in speech", "--in fused", "--in titles", "--in all", "--phrase", "--json", "--image {picture}"),
    "index": ("", "--of speech", "--of fused", "--full", "--rollback", "--plan"),
    "explore": ("--port 0",),
    "export": ("--as lists", "--as npy", "--as webdataset", "--as csv"),
    "timeline": ("--html {page}", "--png {drawing}"),
    "map": ("--html {page}", "--png {drawing}"),
    "report": ("--html {page}",),
    "status": ("", "--json"),
    "snapshots": ("", "--json", "--pin 1"),
    "verify": ("", "--gone {video}"),
    "extract": ("--models offline", "--models offline --dry-run", "--models offline --retry-failed"),
    "nightly": ("--models offline --max-removed 1", "--models offline --max-removed 1 --dry-run"),
}
"""Ways to call a command beside its plain form; a command without an entry is called plainly."""


@pytest.fixture(scope="session")
def datasets(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> dict[str, tuple[Path, Path]]:
    """INPUT and OUTPUT of each dataset, by name."""
    root = tmp_path_factory.mktemp("matrix")
    videos = {
        "sound only": make_video("sound.m4a", 2, extra="-map 1:a"),
        "pictures only": make_video("silent.mp4", 2, sound=False),
        "one row": make_video("one.mp4", 2),
    }
    made = {}

    def build(name: str, video: Path | None, indexed: bool = True, *flags: str) -> tuple[Path, Path]:
        bucket, output = root / name / "in", root / name / "out"
        bucket.mkdir(parents=True)
        if video:
            shutil.copy(video, bucket / video.name)
            assert main(["extract", str(bucket), str(output), "--models", "offline", *flags]) == 0
            if indexed:
                main(["index", str(output)])
        made[name] = bucket, output
        return made[name]

    for name, video in videos.items():
        build(name, video)
    build("no rows", None)
    failed = root / "words.mp4"
    failed.write_text("these are words, not a video")
    build("all failed", failed)
    bucket, output = build("removed everything", videos["one row"], indexed=False)
    assert main(["purge", str(output), str(next(bucket.iterdir()))]) == 0
    build("built-in off", videos["one row"], True, "--senses", "-frames,-speech,-sound")
    bucket, output = build("no vectors", videos["one row"])
    assert main(["purge", str(output), str(next(bucket.iterdir()))]) == 0
    return made


def picture(path: Path) -> Path:
    """A grey PNG of 8x8 pixels, written by hand."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress((b"\0" + b"\x80" * 8) * 8)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def words_for(command: str, bucket: Path, output: Path, scratch: Path) -> list[str]:
    """A word for each positional argument that the command's own parser wants."""
    queries = scratch / "queries.parquet"
    vector = pa.array([[1.0] + [0.0] * (CLIP_DIM - 1)], pa.list_(pa.float32(), CLIP_DIM))
    pq.write_table(pa.table({"vector": vector}), queries)
    labels = scratch / "labels.txt"
    labels.write_text("a dog\na cat\n")
    words = {
        "INPUT": str(bucket),
        "OUTPUT": str(output),
        "VIDEO": str(next(bucket.iterdir(), bucket / "none.mp4")),
        "TEXT": "a dog",
        "PROFILE": "offline",
        "DEST": str(scratch / "view"),
        "QUERIES.parquet": str(queries),
        "OUT.parquet": str(scratch / "answers.parquet"),
        "LABELS.txt": str(labels),
        **dict.fromkeys(("N", "A", "B"), str(max(snapshots.numbers(Storage.at(output)), default=1))),
    }
    parsers = next(
        action.choices for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    wanted = [str(action.metavar) for action in parsers[command]._actions if not action.option_strings]
    return [words[name] for name in wanted]


def is_heavy(name: str, command: str) -> bool:
    """Runs of models on datasets that the cheaper ones resemble."""
    return command in ("extract", "nightly") and name in ("removed everything", "no vectors")


PAGES = ("/", "/health", "/map", "/repeats", "/outliers", "/tags", "/api/search?q=a+dog")


def asked_once(server: uvicorn.Server, **_: object) -> None:
    """In place of serving for ever: asks each page of the explorer once."""
    with TestClient(server.config.app, base_url="http://127.0.0.1") as client:  # type: ignore[arg-type]
        answers = {page: client.get(page).status_code for page in PAGES}
    assert all(code < 500 or code == 503 for code in answers.values()), answers  # 503: models are still loading


CASES = [
    pytest.param(
        *(name, command, flags),
        id=f"{name}: {command} {flags}".strip(),
        marks=[pytest.mark.slow] if is_heavy(name, command) else [],
    )
    for name in DATASETS
    for command in COMMANDS
    for flags in VARIANTS.get(command, ("",))
]


@pytest.mark.parametrize(("name", "command", "flags"), CASES)
def test_a_command_answers_or_says_why_not(
    name: str,
    command: str,
    flags: str,
    datasets: dict[str, tuple[Path, Path]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uvicorn.Server, "run", asked_once)
    bucket, first = datasets[name]
    output = tmp_path / "out"
    if first.exists():
        shutil.copytree(first, output)
    given = words_for(command, bucket, output, tmp_path)
    known = {
        "picture": picture(tmp_path / "grey.png"),
        "page": tmp_path / "page.html",
        "drawing": tmp_path / "drawing.png",
        "video": next(bucket.iterdir(), "none.mp4"),
    }
    capsys.readouterr()
    if "--image" in flags:  # in place of words
        given.pop()
    code = main([command, *given, *(flag.format(**known) for flag in flags.split())])
    said = capsys.readouterr()
    assert code in range(6)
    assert "Traceback" not in said.err
    if code:
        last = said.err.strip().splitlines()[-1] if said.err.strip() else said.out.strip()
        assert len(last) > len(f"reelbeam {command}: ") + 10, "an error says what is wrong"


def test_the_datasets_are_what_they_are_called(datasets: dict[str, tuple[Path, Path]]) -> None:
    data = {name: Dataset.open(str(output)) for name, (_, output) in datasets.items() if output.exists()}
    counts = {name: one.snapshot.counts for name, one in data.items()}
    assert set(DATASETS) - set(data) == {"no rows"}
    assert (counts["sound only"]["frames"], counts["sound only"]["windows"]) == (0, 1)
    assert (counts["one row"]["frames"], counts["one row"]["windows"]) == (2, 1)
    assert (counts["all failed"]["failed"], counts["all failed"]["windows"]) == (1, 0)
    assert counts["removed everything"]["windows"] == counts["no vectors"]["windows"] == 0
    assert {row["status"] for row in data["removed everything"].videos.values()} <= {REMOVED}
