"""Every code block of README and docs runs, or says why it cannot.

The blocks of *Get started* build one small dataset in a temporary folder, of the first seconds of the sample videos. The slow
part runs the other pages on it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FIRST = "docs/get-started.md"
LIMIT_S = 180
"""A block that takes longer fails. The slowest took 61 s on two crowded cores."""
FENCE = re.compile(
    r"(<!-- not run: (?P<why>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
SAMPLES = ("farm.mp4", "space.mp4")
SAMPLE_S = 11
"""Seconds of each sample video: a window and a bit."""
SHOWN = ("text",)
"""Languages of blocks that show something and are no programs."""


@dataclass(frozen=True)
class Block:
    """One fenced block. `why` says why it is not run; empty: it runs."""

    page: str
    number: int
    language: str
    code: str
    why: str


def blocks_of(name: str, text: str) -> list[Block]:
    """The fenced blocks of a page, in its order."""
    found = enumerate(FENCE.finditer(text), 1)
    return [Block(name, number, one["language"], one["code"], (one["why"] or "").strip()) for number, one in found]


BLOCKS = [block for page in PAGES for block in blocks_of(str(page.relative_to(ROOT)), page.read_text("utf-8"))]


def run(block: Block, folder: Path, limit_s: float = LIMIT_S) -> None:
    """Runs one block in a folder; fails with what it printed."""
    program = [sys.executable, "-c"] if block.language == "python" else ["bash", "-euo", "pipefail", "-c"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with subprocess.Popen(
        [*program, block.code],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its children too: they hold the pipe
            pytest.fail(f"{block.page}, block {block.number}: not done after {limit_s:g} s")
    assert process.returncode == 0, f"{block.page}, block {block.number}:\n{printed}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the dataset that the blocks of Get started have made."""
    made = tmp_path_factory.mktemp("docs")
    samples = made / "examples" / "sample_bucket"
    samples.mkdir(parents=True)
    for name in SAMPLES:
        whole = ROOT / "examples" / "sample_bucket" / name
        cut = ["ffmpeg", "-v", "error", "-i", whole, "-t", str(SAMPLE_S), "-c", "copy", samples / name]
        subprocess.run(cut, check=True, timeout=60)
    for block in BLOCKS:
        if block.page == FIRST and not block.why:
            run(block, made)
    return made


def test_every_block_is_a_program_that_runs_or_says_why_not() -> None:
    for block in BLOCKS:
        known = block.language in (*SHOWN, "bash", "python", "")
        assert known or block.why, f"{block.page}, block {block.number}: run or mark {block.language}"


def test_a_block_without_a_mark_is_found_and_one_with_a_mark_has_its_reason() -> None:
    text = "```bash\nfalse\n```\n\n<!-- not run: a reason -->\n```python\n1 / 0\n```\n"
    assert [(one.language, one.why) for one in blocks_of("page", text)] == [("bash", ""), ("python", "a reason")]


def test_a_block_that_fails_fails_the_test(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="page, block 1"):
        run(Block("page", 1, "bash", "false\n", ""), tmp_path)


def test_a_block_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="not done after"):
        run(Block("page", 1, "bash", "sleep 100\ntrue\n", ""), tmp_path, limit_s=1)


@pytest.mark.slow
def test_get_started_builds_a_dataset(folder: Path) -> None:
    assert list((folder / "features" / "snapshots").glob("*.json"))
    assert list((folder / "features" / "indexes").glob("*/*/index.json"))


LATER = [one for one in BLOCKS if one.page != FIRST and not one.why and one.language in ("bash", "python")]


@pytest.mark.slow
@pytest.mark.parametrize("block", LATER, ids=lambda one: f"{one.page}-{one.number}")
def test_the_blocks_of_the_other_pages_run(block: Block, folder: Path) -> None:
    run(block, folder)
