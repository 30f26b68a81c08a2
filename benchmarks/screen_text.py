"""Measures how well text on the screen is read: character error rate of made frames, and processor seconds per reading.

    python -m benchmarks.screen_text

Frames of 1280 x 720: a frame of a made video, and on it one line of text in a font, a size and a contrast. The fonts are the
DejaVu family's, ten cuts. A character error is an insertion, deletion or substitution; spaces count.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reelbeam.models.screen_text import ScreenText

from .measure import WORK
from .results import Figure, finish

WIDTH, HEIGHT = 1280, 720
Colour = str | tuple[int, int, int]
FONTS = Path("/usr/share/fonts/truetype/dejavu")
CUTS = (
    *("Sans", "Sans-Bold", "Sans-Oblique", "SansCondensed", "SansMono"),
    *("Serif", "Serif-Bold", "Serif-Italic", "SerifCondensed", "SansMono-Bold"),
)
SIZES = (0.02, 0.03, 0.05, 0.07, 0.1)
"""Height of the letters, as a share of the picture's."""
CONTRASTS: dict[str, tuple[Colour, Colour | None]] = {
    "white on video": ("white", None),
    "white with a black edge on video": ("white", "edge"),
    "white on a dark bar": ("white", (20, 30, 60)),
    "black on a light bar": ("black", (235, 235, 230)),
    "grey on a dark bar": ((150, 150, 150), (50, 50, 60)),
}
"""Colour of the letters, and of the bar below them."""
WORDS = (
    "annual report shows that revenue grew by 14 percent in 2026 while costs stayed the same Berlin Tokyo Quito meeting agenda "
    "breaking news storm reaches the coast of Norway interview with Dr Maria Lopez chief engineer chapter 3 methods and results"
).split()


def background() -> Image.Image:
    """A frame of a made video: moving colours and edges."""
    file = WORK / "screen_text" / "background.png"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        source = f"mandelbrot=s={WIDTH}x{HEIGHT}:r=1:start_scale=1.2:end_scale=0.3"
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            source,
            "-vf",
            "select=eq(n\\,12)",
            "-frames:v",
            "1",
        ]
        subprocess.run([*command, str(file)], check=True, timeout=300)
    return Image.open(file).convert("RGB")


def frame(text: str, font: ImageFont.FreeTypeFont, contrast: str, behind: Image.Image, top: int) -> Image.Image:
    """A frame with one line of text."""
    picture = behind.copy()
    draw = ImageDraw.Draw(picture)
    colour, bar = CONTRASTS[contrast]
    left, upper, right, lower = draw.textbbox((60, top), text, font=font)
    if isinstance(bar, tuple):
        draw.rectangle((left - 12, upper - 8, right + 12, lower + 8), fill=bar)
    edge = max(1, int(font.size // 14)) if bar == "edge" else 0
    draw.text((60, top), text, font=font, fill=colour, stroke_width=edge, stroke_fill="black")
    return picture


def errors(found: str, wanted: str) -> int:
    """Least number of insertions, deletions and substitutions of characters that make one text the other.

    >>> errors("revenve", "revenue"), errors("", "ab")
    (1, 2)
    """
    row = list(range(len(wanted) + 1))
    for at, letter in enumerate(found, 1):
        before, row[0] = row[0], at
        for place, other in enumerate(wanted, 1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (letter != other))
    return row[-1]


def main() -> int:
    """Every font, size and contrast once; exit code 1 where a figure is not as wanted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three frames: figures mean nothing")
    options = parser.parse_args()
    reader, behind, choose = ScreenText().load("cpu"), background(), random.Random(1)
    cases = [(cut, size, contrast) for cut in CUTS for size in SIZES for contrast in CONTRASTS]
    wrong: dict[object, list[int]] = defaultdict(list)
    letters: dict[object, list[int]] = defaultdict(list)
    seconds = []
    for cut, size, contrast in choose.sample(cases, 3) if options.quick else cases:
        file = FONTS / f"DejaVu{cut}.ttf"
        font = (
            ImageFont.truetype(str(file), round(size * HEIGHT * 1.4)) if file.exists() else ImageFont.load_default(60)
        )
        assert isinstance(font, ImageFont.FreeTypeFont)  # 1.4: a capital letter has 0.7 of a font's size
        count = max(2, int(0.85 * WIDTH / (font.size * 0.62 * 6.5)))
        text = " ".join(choose.choices(WORDS, k=min(6, count)))
        picture = np.asarray(frame(text, font, contrast, behind, choose.randrange(100, HEIGHT - 200)))
        started = time.process_time()
        lines = reader.lines(picture)  # type: ignore[attr-defined]
        seconds.append(time.process_time() - started)
        read = " ".join(line.text for line in sorted(lines, key=lambda line: line.box[0]))
        for key in ("all", size, contrast):
            wrong[key].append(min(len(text), errors(read, text)))
            letters[key].append(len(text))
    rate = {key: sum(wrong[key]) / sum(letters[key]) for key in wrong}
    bars = [rate[key] for key in rate if isinstance(key, str) and "bar" in key]
    figures = [
        Figure.of("character_error_rate", "character error rate, all fonts, sizes and contrasts", rate["all"]),
        Figure.of("on_bars", "the worst of the three contrasts on a bar", max(bars, default=0.0)),
        *(
            Figure.of(f"at_{size * 100:.0f}_percent", f"letters of {size:.0%} of the picture's height", rate[size])
            for size in SIZES
            if size in rate
        ),
        Figure.of("cpu_s", "processor seconds per reading of a frame of 1280 x 720", seconds),
    ]
    table = {str(key): round(value, 4) for key, value in rate.items()}
    missed = finish("screen_text", figures, options.quick, rates=table, frames=len(seconds))
    return 0 if options.quick else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
