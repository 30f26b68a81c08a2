"""Makes the pictures of the documentation from the demo dataset. Needs chromium for the screenshot of the page of moments.

    make demo && .venv/bin/python examples/make_pictures.py demo_output docs/images

The timeline and the map are drawn by Reelbeam itself.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from reelbeam.pipeline.cli import main as reelbeam

VIDEO = "kitchen.mp4"
WIDTH, HEIGHT = 1200, 680
"""Size of the screenshot, in pixels."""
PICTURES = {"timeline.png", "map.png", "search.png"}
"""Files to write. The charts of benchmarks are made by `python -m benchmarks.page`."""


def photograph(page: Path, picture: Path) -> None:
    """Takes a screenshot of a page with headless chromium. Raises FileNotFoundError when chromium is not installed."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise FileNotFoundError("chromium is not installed; cure: apt-get install chromium")
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--window-size={WIDTH},{HEIGHT}",
    ]
    command += [f"--screenshot={picture.absolute()}", page.absolute().as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def main(demo: str, images: str) -> None:
    """Writes all pictures."""
    output, folder = Path(demo, "features"), Path(images)
    folder.mkdir(parents=True, exist_ok=True)
    reelbeam(["timeline", str(output), VIDEO, "--png", str(folder / "timeline.png")])
    reelbeam(["map", str(output), "--png", str(folder / "map.png")])
    photograph(Path(demo, "search.html"), folder / "search.png")
    print(f"{', '.join(sorted(PICTURES))} in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
