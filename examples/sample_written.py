"""Makes a bucket of videos that show text and carry subtitles, with the truth of both. Called by `make_sample_bucket.py --written`.

In:   a folder and a seed. Needs ffmpeg and Pillow, and neither drawings nor a synthesiser.
Out:  videos, subtitle files beside some of them, and truth.json: {"videos": [{"file", "written": [...], "captions": [...]}]}, all times
      in ms, half-open, 0 = start of the presentation. Each text holds one word that occurs nowhere else, its `word`.

Three kinds of text: slides, lower thirds over a moving picture, and tickers. A forced track says something else than the full one.
"""

import json
import random
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, FPS = 640, 360, 10
SECONDS, SLIDE_S, THIRD_S, CAPTION_S = 24, 8, 6, 3
TICKER_PIXELS_A_SECOND = 80
ENGLISH = (
    "anchor badger candle dolphin engine falcon garden hammer island jacket kettle ladder marble napkin orchid pepper quarry ribbon "
    "saddle temple umbrella violin walnut zipper almond blanket copper desert emerald fabric glacier harvest iceberg jungle kitchen "
    "lantern meadow needle oyster parrot rocket silver tunnel valley window yogurt acrobat balcony cabinet diamond eclipse feather "
    "gallery horizon insect journal kingdom library machine network octopus penguin raccoon shelter thunder village whisper biscuit "
    "carpet drawer estate flavour goblet helmet ivory jigsaw kernel lobster mirror nectar outpost picnic quiver rabbit"
).split()
GERMAN = (
    "Leuchtturm Eisenbahn Fahrrad Wolkenbruch Gartenzaun Kirschkuchen Bergwerk Regenbogen Türklinke Straßenbahn".split()
)
FRENCH = "bibliothèque grenouille parapluie châtaigne fourchette montagne écureuil chaussure tortue lumière oreiller papillon".split()
TAGS = {"en": "eng", "de": "ger", "fr": "fra"}
SAYS = {
    "en": ("We talked about the {} for a while", "Nobody had seen the {} before", "Then the {} was brought back"),
    "de": ("Wir sprachen lange über {} im Dorf", "Niemand hatte {} vorher gesehen"),
    "fr": ("Nous avons parlé de la {} ensemble", "Personne ne connaissait la {} ici"),
}
TITLES = ("Costs of the {} plan", "The {} in numbers", "Results with {} teams", "Thank you, {} group")
NAMES = ("Doctor {}, chief engineer", "Maria {}, from Lisbon", "{} street, this morning")


@dataclass(frozen=True)
class Text:
    """One text that is shown."""

    kind: str  # slide, lower_third, ticker, or caption
    text: str
    word: str
    start_ms: int
    end_ms: int
    language: str = "en"
    source: str = ""  # of a caption, as Reelbeam names it


@dataclass
class Made:
    """One video's plan."""

    file: str
    written: list[Text] = field(default_factory=list)
    captions: list[Text] = field(default_factory=list)


class Words:
    """Gives each word once."""

    def __init__(self, seed: int):
        choose = random.Random(seed)
        self.left = {"en": [*ENGLISH], "de": [*GERMAN], "fr": [*FRENCH]}
        for words in self.left.values():
            choose.shuffle(words)
        self.choose = choose

    def text(self, kind: str, forms: Sequence[str], start_s: float, end_s: float, language: str, source: str) -> Text:
        word = self.left[language].pop()
        text = self.choose.choice(forms).format(word if kind == "caption" else word.capitalize())
        return Text(kind, text, word, round(start_s * 1000), round(end_s * 1000), language, source)


def captions(words: Words, language: str, source: str, count: int, first_s: float = 1.0) -> list[Text]:
    """Captions of one track, one every 5 s."""
    starts = [first_s + 5 * at for at in range(count)]
    return [words.text("caption", SAYS[language], at, at + CAPTION_S, language, source) for at in starts]


def plan(seed: int) -> list[Made]:
    """The videos of the bucket: what they show and when."""
    words, made = Words(seed), []
    for number, kind in enumerate(["slide"] * 4 + ["lower_third"] * 2 + ["ticker"] * 2):
        one = Made(f"{kind}_{number}.{'mkv' if number % 2 else 'mp4'}")
        if kind == "slide":
            for at in range(0, SECONDS, SLIDE_S):
                one.written += [words.text(kind, TITLES, at, at + SLIDE_S, "en", "") for _ in range(3)]
        if kind == "lower_third":
            one.written += [words.text(kind, NAMES, at, at + THIRD_S, "en", "") for at in (2, 9, 16)]
        if kind == "ticker":
            one.written += [words.text(kind, TITLES, 0, 0, "en", "") for _ in range(4)]
        made.append(one)
    codec = {"mp4": "mov_text", "mkv": "subrip"}
    for number, language in enumerate(("en", "de", "fr", "en")):
        suffix = made[number].file[-3:]
        made[number].captions += captions(words, language, f"stream 1, {codec[suffix]}", 4)
    made[1].captions += captions(words, "en", "stream 2, subrip, forced", 2, first_s=3.0)
    for number, name, language in (
        (4, "{}.en.srt", "en"),
        (5, "{}.de.srt", "de"),
        (5, "{}.fr.vtt", "fr"),
        (6, "{}.ass", "en"),
    ):
        source = "sidecar: " + name.format(made[number].file[:-4])
        spoken = captions(words, language, source, 3)
        named = language if f".{language}." in name else ""
        made[number].captions += [Text(**{**asdict(one), "language": named}) for one in spoken]
    return made


def strip(text: str, size: int, colour: tuple[int, int, int, int]) -> Image.Image:
    """A line of text on a bar as wide as it."""
    font = ImageFont.load_default(size)
    _, _, right, bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).textbbox((12, 8), text, font=font)
    picture = Image.new("RGBA", (round(right) + 12, round(bottom) + 10), colour)
    ImageDraw.Draw(picture).text((12, 8), text, font=font, fill="white")
    return picture


def slide(texts: Sequence[str]) -> Image.Image:
    """A slide with a title and lines."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), (16, 32, 64))
    for at, text in enumerate(texts):
        font = ImageFont.load_default(34 if at == 0 else 26)
        ImageDraw.Draw(picture).text((40, 40 + 90 * at), text, font=font, fill="white")
    return picture


def drawn(one: Made, work: Path) -> Iterator[str]:
    """Draws a video's texts into `work`; yields ffmpeg's inputs, then the filter that joins them to [v]."""
    kind = one.written[0].kind
    if kind == "slide":
        for at in range(0, SECONDS, SLIDE_S):
            slide([text.text for text in one.written if text.start_ms == at * 1000]).save(work / f"{at}.png")
            yield f"-loop 1 -framerate {FPS} -t {SLIDE_S} -i {work}/{at}.png"
        count = SECONDS // SLIDE_S
        yield f"{''.join(f'[{at}:v]' for at in range(count))}concat=n={count}[v]"
        return
    if kind == "lower_third":
        yield f"-f lavfi -i mandelbrot=s={WIDTH}x{HEIGHT}:r={FPS}:start_scale=1.2:end_scale=0.3,trim=duration={SECONDS}"
        joined, label = "", "[0:v]"
        for at, text in enumerate(one.written, 1):
            strip(text.text, 26, (20, 30, 60, 255)).save(work / f"{at}.png")
            yield f"-i {work}/{at}.png"
            shown = f"gte(t,{text.start_ms / 1000})*lt(t,{text.end_ms / 1000})"
            joined += f"{label}[{at}:v]overlay=40:{HEIGHT - 90}:enable='{shown}'[o{at}];"
            label = f"[o{at}]"
        yield f"{joined}{label}null[v]"
        return
    tape = strip("     ".join(text.text for text in one.written), 26, (120, 20, 20, 255))
    tape.save(work / "tape.png")
    at_pixel = 12.0
    font = ImageFont.load_default(26)
    for number, text in enumerate(one.written):
        width = font.getlength(text.text)
        first = (at_pixel + 12) / TICKER_PIXELS_A_SECOND  # its first letter has come in
        last = (WIDTH + at_pixel + width - 12) / TICKER_PIXELS_A_SECOND  # its last letter goes out
        bounds = {"start_ms": round(first * 1000), "end_ms": min(round(last * 1000), SECONDS * 1000)}
        one.written[number] = Text(**{**asdict(text), **bounds})
        at_pixel += font.getlength(text.text + "     ")
    yield f"-f lavfi -i color=c=0x203040:s={WIDTH}x{HEIGHT}:r={FPS}:d={SECONDS}"
    yield f"-i {work}/tape.png"
    yield f"[0:v][1:v]overlay=x='W-{TICKER_PIXELS_A_SECOND}*t':y={HEIGHT - 60}[v]"


def clock(ms: int, comma: str = ",") -> str:
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{comma}{ms % 1000:03d}"


def subtitle_file(texts: Sequence[Text], suffix: str) -> str:
    """Captions as SubRip, WebVTT or ASS."""
    if suffix == ".ass":
        head = "[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
        head += "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
        lines = (
            f"Dialogue: 0,{clock(one.start_ms, '.')[1:-1]},{clock(one.end_ms, '.')[1:-1]},Default,,0,0,0,,{one.text}"
            for one in texts
        )
        return head + "\n".join(lines) + "\n"
    comma = "." if suffix == ".vtt" else ","
    cues = (
        f"{at}\n{clock(one.start_ms, comma)} --> {clock(one.end_ms, comma)}\n{one.text}\n"
        for at, one in enumerate(texts, 1)
    )
    return ("WEBVTT\n\n" if suffix == ".vtt" else "") + "\n".join(cues)


def write_one(one: Made, out: Path, work: Path) -> None:
    """Writes one video and the files beside it."""
    work.mkdir(parents=True)
    *inputs, joined = drawn(one, work)
    command, streams = " ".join(inputs).split(), ["-map", "[v]"]
    tracks: dict[str, list[Text]] = {}
    for text in one.captions:
        tracks.setdefault(text.source, []).append(text)
    embedded = [texts for source, texts in tracks.items() if source.startswith("stream")]
    for number, texts in enumerate(embedded):
        (work / f"{number}.srt").write_text(subtitle_file(texts, ".srt"), encoding="utf-8")
        tag = TAGS[texts[0].language]
        streams += ["-map", f"{len(inputs) + number}:0", f"-metadata:s:s:{number}", f"language={tag}"]
        streams += [f"-disposition:s:{number}", "forced" if "forced" in texts[0].source else "0"]
        command += ["-i", str(work / f"{number}.srt")]
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-r", str(FPS), "-t", str(SECONDS), "-threads", "1"]
    coded += ["-c:s", "mov_text" if one.file.endswith("mp4") else "srt"] if embedded else []
    ffmpeg = ["ffmpeg", "-v", "error", "-y", *command, "-filter_complex", joined, *streams, *coded, "-bitexact"]
    subprocess.run([*ffmpeg, str(out / one.file)], check=True, timeout=300)
    for source, texts in tracks.items():
        if source.startswith("sidecar: "):
            name = source.removeprefix("sidecar: ")
            encoding = "cp1252" if ".de." in name else "utf-8"  # as old German subtitles are
            (out / name).write_bytes(subtitle_file(texts, Path(name).suffix).encode(encoding))


def make_written(out: Path, work: Path, seed: int = 0, only: str = "") -> dict:
    """Writes the bucket and truth.json, with pictures in `work` on the way; returns the truth. `only`: videos whose names begin so."""
    out.mkdir(parents=True, exist_ok=True)
    made = [one for one in plan(seed) if one.file.startswith(only)]
    for one in made:
        write_one(one, out, work / one.file)
    truth = {"videos": [asdict(one) for one in made]}
    (out / "truth.json").write_text(json.dumps(truth, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return truth
