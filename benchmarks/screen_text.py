"""Measures how well text on the screen is read: character error rate of made frames, and processor seconds per reading.

    python -m benchmarks.screen_text

Frames of 1280 x 720: a frame of a made video, and on it one line of text in a font, a size and a contrast. Ten fonts: sans, serif,
monospaced and rounded. And a ticker in each font: a long line that moves to the left over a dark bar, read
once a second. A character error is an insertion, deletion or substitution; spaces count.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from reelbeam.models.screen_lines import joined
from reelbeam.models.screen_text import ScreenText

from .measure import WORK
from .results import Figure, finish

WIDTH, HEIGHT = 1280, 720
Colour = str | tuple[int, int, int]
DEJAVU = Path("/usr/share/fonts/truetype/dejavu")
FONTS = (
    *("DejaVuSans", "DejaVuSerif", "DejaVuSansMono"),
    *("Roboto", "SourceSansPro", "SourceSerifPro", "Caladea", "Manrope", "FredokaOne", "STIXGeneral"),
)
"""The first three are the system's; the others come from Python packages that the extra `bench` brings."""
SIZES = (0.02, 0.03, 0.05, 0.07, 0.1)
"""Height of a capital letter, as a share of the picture's."""
TICKER_SIZE, TICKER_PIXELS_A_S, TICKER_WORDS = 0.05, 160, 24
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
        command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source]
        command += ["-vf", "select=eq(n\\,12)", "-frames:v", "1"]
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


def font_files() -> dict[str, Path]:
    """Where each font lies. Raises RuntimeError for one that is missing."""
    stix = Path(matplotlib.get_data_path(), "fonts", "ttf")
    found = {file.stem: file for folder in (DEJAVU, stix) for file in folder.glob("*.ttf")}
    for package in entry_points(group="fonts_ttf"):
        found |= {name: Path(file) for name, file in package.load().items()}
    if missing := [name for name in FONTS if name not in found]:
        raise RuntimeError(f"fonts are missing: {', '.join(missing)}; cure: pip install 'reelbeam[bench]'")
    return {name: found[name] for name in FONTS}


def sized(file: Path, share: float) -> ImageFont.FreeTypeFont:
    """The font with capital letters of that share of the picture's height."""
    _, upper, _, lower = ImageFont.truetype(str(file), 100).getbbox("H")
    return ImageFont.truetype(str(file), round(share * HEIGHT * 100 / (lower - upper)))


def ticker(text: str, font: ImageFont.FreeTypeFont, behind: Image.Image) -> Iterator[Image.Image]:
    """A line that comes in at the right and leaves at the left, a frame a second."""
    length = font.getlength(text)
    upper, lower = HEIGHT - 40 - int(font.size), HEIGHT - 20
    for second in range(1, int((WIDTH + length) / TICKER_PIXELS_A_S) + 1):
        picture = behind.copy()
        draw = ImageDraw.Draw(picture)
        draw.rectangle((0, upper - 10, WIDTH, lower), fill=(20, 30, 60))
        draw.text((WIDTH - second * TICKER_PIXELS_A_S, upper), text, font=font, fill="white")
        yield picture


def ticker_errors(reader: Any, text: str, font: ImageFont.FreeTypeFont, behind: Image.Image) -> int:
    """Character errors of what is stored of a ticker, its entries in their order."""
    readings = [reader.lines(np.asarray(picture)) for picture in ticker(text, font, behind)]
    entries = joined(readings, [1000 * at for at in range(len(readings))], 1000 * len(readings))
    return errors(" ".join(one.line.text for one in entries), text)


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
    reader: Any = ScreenText().load("cpu")
    behind, choose = background(), random.Random(1)
    fonts = font_files()
    cases = [(name, size, contrast) for name in FONTS for size in SIZES for contrast in CONTRASTS]
    wrong: dict[object, list[int]] = defaultdict(list)
    letters: dict[object, list[int]] = defaultdict(list)
    seconds = []
    for name, size, contrast in choose.sample(cases, 3) if options.quick else cases:
        font = sized(fonts[name], size)
        count = max(2, int(0.85 * WIDTH / (font.getlength("n") * 6.5)))
        text = " ".join(choose.choices(WORDS, k=min(6, count)))
        picture = np.asarray(frame(text, font, contrast, behind, choose.randrange(100, HEIGHT - 200)))
        started = time.process_time()
        lines = reader.lines(picture)
        seconds.append(time.process_time() - started)
        read = " ".join(line.text for line in sorted(lines, key=lambda line: line.box[0]))
        for key in ("all", size, contrast, name):
            wrong[key].append(min(len(text), errors(read, text)))
            letters[key].append(len(text))
    for name in FONTS[:1] if options.quick else FONTS:
        text = " ".join(choose.choices(WORDS, k=TICKER_WORDS))
        wrong["tickers"].append(min(len(text), ticker_errors(reader, text, sized(fonts[name], TICKER_SIZE), behind)))
        letters["tickers"].append(len(text))
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
        Figure.of("tickers", "tickers, each stored word once", rate["tickers"]),
        Figure.of("cpu_s", "processor seconds per reading of a frame of 1280 x 720", seconds),
    ]
    table = {str(key): round(value, 4) for key, value in rate.items()}
    missed = finish("screen_text", figures, options.quick, rates=table, frames=len(seconds))
    return 0 if options.quick else int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
