"""Makes the pictures of the explorer's pages in docs/images/: serves a dataset and opens each page in headless Chromium.

python examples/make_explorer_pictures.py demo_output/features docs/images [--dark] [--narrow]
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGES = {
    "search": "/?q=a+teapot",
    "video": "",
    "map": "/map",
    "repeats": "/repeats?threshold=0.9",
    "outliers": "/outliers",
    "tags": "/tags?labels=a+camera%0Aa+pizza%0Aa+doughnut%0Aa+carrot",
    "health": "/health",
}
"""The address of each picture; the video is the first one that the search finds."""

STORED = {"explore_search.png", "explore_map.png", "explore_health.png"}
"""Those that the documentation shows and docs/images/ keeps."""

SIZES = {False: (1200, 800), True: (380, 800)}
COLOURS = 256
"""In the stored palette: pages are flat, and small files load fast."""


def wait(page: Page) -> None:
    """Until nothing is computed any more, and all pictures in view are there."""
    page.wait_for_selector("[data-pending]", state="detached", timeout=120_000)
    page.wait_for_load_state("networkidle")
    if page.locator("#map").count():
        page.wait_for_selector("#map[data-points]", timeout=60_000)
        page.focus("#map")
        for _ in range(12):
            page.keyboard.press("n")
        page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)


def main() -> None:
    """Writes one PNG per page."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser()
    parser.add_argument("output")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--narrow", action="store_true")
    args = parser.parse_args()
    command = [sys.executable, "-m", "reelbeam.pipeline.cli", "explore", args.output, "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playing:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip().rstrip("/")
            chromium = shutil.which("chromium")
            opened = playing.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            width, height = SIZES[args.narrow]
            page = opened.new_page(viewport={"width": width, "height": height})
            page.emulate_media(color_scheme="dark" if args.dark else "light")
            for name, path in PAGES.items():
                if path:
                    page.goto(address + path)
                else:
                    page.goto(address + PAGES["search"])
                    page.locator("a.moment").first.click()
                wait(page)
                with Image.open(io.BytesIO(page.screenshot())) as shown:
                    shown.convert("RGB").quantize(COLOURS).save(args.folder / f"explore_{name}.png", optimize=True)
                print(args.folder / f"explore_{name}.png")
            opened.close()
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
