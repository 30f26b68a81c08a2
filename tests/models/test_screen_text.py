"""Text on the screen: what is read, and for how long it is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from reelbeam.models import screen_text
from reelbeam.models.screen_boxes import corners, extents
from reelbeam.models.screen_lines import Line, joined
from reelbeam.models.screen_text import ScreenText
from reelbeam.pipeline.cli import main
from reelbeam.pipeline.dataset import Dataset
from reelbeam.schemas.errors import UsageError

from ..odd_media import ffmpeg

PLACE = (0.1, 0.1, 0.6, 0.2)
OTHER_PLACE = (0.1, 0.7, 0.6, 0.8)


def slide(*lines: str, size: tuple[int, int] = (640, 360), letters: int = 28) -> Image.Image:
    """A slide with lines of text in Pillow's own font."""
    picture = Image.new("RGB", size, (16, 32, 64))
    font = ImageFont.load_default(letters)
    for at, line in enumerate(lines):
        ImageDraw.Draw(picture).text((40, 40 + 3 * letters * at), line, font=font, fill="white")
    return picture


def test_lines_of_a_picture_are_read_with_their_places() -> None:
    pytest.importorskip("rapidocr_onnxruntime")
    lines = ScreenText().load("cpu").lines(np.asarray(slide("Budget of 2026", "Thank you")))  # type: ignore[attr-defined]
    assert [line.text for line in lines] == ["Budget of 2026", "Thank you"]
    assert all(line.confidence > 0.8 for line in lines)
    left, top, right, bottom = lines[0].box
    assert left == pytest.approx(40 / 640, abs=0.02)
    assert 0.08 < top < bottom < 0.25
    assert right < 0.6


def test_a_line_that_the_detector_cut_into_pieces_is_read_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = pytest.importorskip("rapidocr_onnxruntime.ch_ppocr_det.text_detect").TextDetector
    found = detector.__call__

    def in_pieces(self: object, picture: np.ndarray) -> tuple[np.ndarray, float]:
        boxes, seconds = found(self, picture)
        pieces = [
            corners(start, top, end, bottom)
            for left, top, right, bottom in extents(boxes)
            for start, end in ((left, left + (right - left) * 0.4), (left + (right - left) * 0.37, right))
        ]
        return np.array(pieces), seconds

    monkeypatch.setattr(detector, "__call__", in_pieces)
    lines = ScreenText().load("cpu").lines(np.asarray(slide("Budget of 2026", "Thank you")))  # type: ignore[attr-defined]
    assert [line.text for line in lines] == ["Budget of 2026", "Thank you"]


def test_a_line_that_stays_is_one_entry_with_the_surest_reading() -> None:
    readings = [
        [Line("Revenve", PLACE, 0.7)],
        [Line("Revenue", PLACE, 0.9), Line("Total", OTHER_PLACE, 0.9)],
        [Line("Total", OTHER_PLACE, 0.8)],
    ]
    found = [(one.line.text, one.start_ms, one.end_ms) for one in joined(readings, [0, 1000, 5000], 9000)]
    assert found == [("Revenue", 0, 5000), ("Total", 1000, 9000)]


def test_the_same_words_elsewhere_and_other_words_in_the_same_place_are_entries_of_their_own() -> None:
    readings = [[Line("Total", PLACE, 0.9)], [Line("Total", OTHER_PLACE, 0.9)], [Line("Costs", OTHER_PLACE, 0.9)]]
    found = [(one.line.text, one.start_ms, one.end_ms) for one in joined(readings, [0, 1000, 2000], 3000)]
    assert found == [("Total", 0, 1000), ("Total", 1000, 2000), ("Costs", 2000, 3000)]


def ticker(text: str, seen: int, step: int, spoil: str = "") -> list[list[Line]]:
    """Readings of a text that moves to the left by `step` letters each, through a picture `seen` letters wide. `spoil` is left out of
    every other reading."""
    readings = []
    for number, right in enumerate(range(step, len(text) + seen, step)):
        first, last = max(0, right - seen), min(right, len(text))
        shown = text[first:last].strip()
        place = (max(0.0, (seen - right) / seen), 0.9, min(1.0, (seen - right + len(text)) / seen), 0.98)
        readings.append(
            [Line(shown.replace(spoil, "") if spoil and number % 2 else shown, place, 0.9)] if shown else []
        )
    return readings


def test_a_ticker_that_fits_the_screen_is_one_entry() -> None:
    readings = ticker("Costs of the kettle plan", seen=40, step=5)
    [found] = joined(readings, [1000 * at for at in range(len(readings))], 1000 * len(readings))
    assert found.line.text == "Costs of the kettle plan"
    assert (found.start_ms, found.end_ms) == (0, 1000 * len([one for one in readings if one]))


@pytest.mark.parametrize("spoil", ["", " "])
def test_each_word_of_an_endless_ticker_is_stored_once_with_its_own_time(spoil: str) -> None:
    text = "Costs of the kettle plan and the meadow in numbers or results with lantern teams thank you violin group"
    readings = ticker(text, seen=40, step=6, spoil=spoil)
    found = joined(readings, [1000 * at for at in range(len(readings))], 1000 * len(readings))
    assert " ".join(one.line.text for one in found) == text
    at = 0
    for one in found:
        at = text.index(one.line.text, at)
        comes_ms, goes_ms = 1000 * (at + len(one.line.text)) / 6, 1000 * (at + 40) / 6
        assert abs(one.start_ms - comes_ms) <= 1000
        assert one.end_ms <= goes_ms + 2000


def test_the_end_of_a_ticker_goes_out_at_the_edge_where_boxes_end_at_other_places() -> None:
    shown = [
        ("m while shows engineer results by", 0.0, 0.91),
        ("shows engineer results by", 0.012, 0.79),
        ("ngineer results by", 0.03, 0.67),
    ]
    readings = [[Line(text, (left, 0.88, right, 0.96), 0.9)] for text, left, right in shown]
    found = joined(readings, [0, 1000, 2000], 3000)
    assert " ".join(one.line.text for one in found) == "m while shows engineer results by"


def test_lines_that_replace_each_other_in_one_row_are_no_ticker() -> None:
    lines = ["Costs of the valley plan", "Costs of the lantern plan", "Costs of 2025", "Costs of 2026", "Costs"]
    readings = [[Line(text, (0.1, 0.1, 0.1 + 0.02 * len(text), 0.2), 0.9)] for text in lines]
    found = joined(readings, [1000 * at for at in range(5)], 5000)
    assert [(one.line.text, one.start_ms, one.end_ms) for one in found] == [
        (text, 1000 * at, 1000 * at + 1000) for at, text in enumerate(lines)
    ]


def test_nothing_read_is_no_entry() -> None:
    assert joined([], [], 5000) == []
    assert joined([[], []], [0, 1000], 5000) == []


def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    screen_text.weights_sha256.cache_clear()
    monkeypatch.setattr(screen_text, "PACKAGE", "rapidocr_that_is_not_here")
    monkeypatch.setattr(screen_text, "missing_package", lambda name: f"{name} is missing")
    with pytest.raises(UsageError, match="--senses ocr: rapidocr_that_is_not_here is missing"):
        ScreenText().identity()
    screen_text.weights_sha256.cache_clear()


@pytest.mark.slow
def test_slides_are_read_once_each_and_stand_at_their_times(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr_onnxruntime")
    texts = ["Quarterly results", "Revenue grew by 14%", "Thank you"]
    for at, text in enumerate(texts):
        slide(text).save(tmp_path / f"slide{at}.png")
    bucket, output = tmp_path / "bucket", tmp_path / "output"
    bucket.mkdir()
    ffmpeg(f"-framerate 1/8 -i {tmp_path}/slide%d.png -r 25 -pix_fmt yuv420p", bucket / "talk.mp4")
    assert main(["extract", str(bucket), str(output), "--models", "offline", "--senses", "+ocr"]) == 0
    entries, embedded = {}, []
    for _, batch in Dataset.open(str(output)).batches(["screen_text", "screen_embedding", "ocr_status"]):
        assert set(batch["ocr_status"].to_pylist()) == {"ok"}
        embedded += batch["screen_embedding"].is_valid().to_pylist()
        for lines in batch["screen_text"].to_pylist():
            entries |= {line["text"]: (line["start_ms"], line["end_ms"]) for line in lines}
    assert list(entries) == texts
    assert all(embedded)
    for at, text in enumerate(texts):
        start_ms, end_ms = entries[text]
        assert abs(start_ms - 8000 * at) <= 1000
        assert abs(end_ms - 8000 * (at + 1)) <= 1000
