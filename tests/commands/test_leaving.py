"""A command's process ends at once, but not before it has cleaned up, and with the command's own exit code."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import atexit, sys
from reelbeam.pipeline import cli

class Large:
    def __del__(self):
        print("taken apart")

held = Large()
sys.held = held

def main():
    atexit.register(print, "cleaned up")
    print("said")
    {end}

cli.main = main
cli.run()
"""


@pytest.mark.parametrize("code", [0, 4])
def test_what_is_registered_runs_and_nothing_is_taken_apart(code: int) -> None:
    ended = subprocess.run([sys.executable, "-c", SCRIPT.format(end=f"return {code}")], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (code, "said\ncleaned up\n"), ended.stderr


def test_a_fault_is_told_as_python_tells_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(end="raise KeyError(7)")], capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "KeyError: 7" in ended.stderr
    assert ended.stdout.startswith("said\ncleaned up\n")


def test_output_that_cannot_be_written_is_no_success() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(end="return 0")], stdout=full, stderr=subprocess.DEVNULL
        )
    assert ended.returncode != 0
