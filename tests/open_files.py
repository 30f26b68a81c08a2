"""What this process holds open, so that a test can name what was left behind."""

from __future__ import annotations

import gc
import os
from pathlib import Path

HELD = Path("/proc/self/fd")


def open_files() -> set[tuple[str, str]]:
    """Each open file's number and what it is. Earlier tests' garbage is collected first, for it closes files at a time of its own."""
    gc.collect()
    held = set()
    for number in os.listdir(HELD):
        try:
            held.add((number, os.readlink(HELD / number)))
        except FileNotFoundError:  # the listing itself, or closed since by a thread that another test left
            continue
    return held
