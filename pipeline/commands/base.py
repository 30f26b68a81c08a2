"""What commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...schemas.errors import UsageError

if TYPE_CHECKING:
    from ..dataset import Dataset
    from ..rendering import Mark, TimelineOptions


def none_left(flags: list[str], command: str) -> None:
    """Raises UsageError for an unknown option."""
    if flags:
        raise UsageError(f"unknown option {flags[0]}; see reelbeam {command} --help")


def one_blas_thread() -> None:
    """Keeps numpy to one thread, where it is not imported yet and the environment does not say otherwise.

    The matrices of one query are small. More threads make it no faster, and while they wait they take processor time.
    """
    if "numpy" not in sys.modules:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def draw(
    output: str,
    options: TimelineOptions,
    page: Callable[[Dataset], tuple[str, str]],
    drawing: Callable[[Dataset], tuple[list[Mark], str]],
) -> int:
    """Writes the page or the picture of OUTPUT, or both; each comes with its title. Raises UsageError when neither is asked for."""
    from ..dataset import Dataset
    from ..rendering import write_page, write_png

    if not (options.html or options.png):
        raise UsageError("say where to: --html FILE, --png FILE, or both")
    dataset, title = Dataset.open(output), ""
    if options.html:
        made, title = page(dataset)
        write_page(options.html, made)
    if options.png:
        marks, title = drawing(dataset)
        write_png(marks, title, options.png)
    print(f"{title}: {' and '.join(filter(None, (options.html, options.png)))}")
    return 0
