"""Writes the ground truth of a bucket of `make_sample_bucket.py`: truth.json, and the README with the licences.

In:   for each video its plan, scenes, spoken words and the facts of the written file.
Out:  `truth`: {"videos": [...], "queries": [...]}, all times in ms, half-open, 0 = start of the presentation.

For a truncated file, it covers only the part that still decodes.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from sample_files import Written
from sample_frames import Scene
from sample_speech import Word
from sample_video import Video

from reelbeam.models.mini_clip.drawings import LICENCES, SETS

PHRASE_WORDS = 5  # every second sentence gives a query of only its last words
_EXPECT = {"truncated": "partial", "not_a_video": "failed"}
_NO_ARTICLE = frozenset(
    {"books", "broccoli", "cherries", "corn", "dice", "french fries", "grapes", "santa claus", "scissors"}
)
_AUTHORS = {
    "noto": "Noto Emoji, Google, https://github.com/googlefonts/noto-emoji",
    "twemoji": "Twemoji, Twitter and other contributors, https://github.com/jdecked/twemoji",
    "fluent-emoji-flat": "Fluent Emoji, Microsoft Corporation, https://github.com/microsoft/fluentui-emoji",
}
DRAWN_BY = tuple(_AUTHORS)  # sets with licences that are easy to keep
_ABOUT = {
    "rotated": "portrait by the display matrix; stored as landscape",
    "variable_rate": "variable frame rate: bursts of 60, 10 and 30 fps",
    "late_audio": "the sound starts at 2.5 s, by an edit list",
    "silence": "9 s of digital silence between two stretches of speech",
    "no_audio": "no audio stream",
    "audio_only": "no video stream",
    "truncated": "the index is at the front, the last 40% of the bytes are missing",
    "not_a_video": "text under a video's name",
}


def video_truth(
    video: Video,
    scenes: Sequence[Scene],
    times_s: Sequence[float],
    told: Sequence[Sequence[Word]],
    file: Written,
) -> dict:
    """Makes one entry of "videos"."""
    video_end_ms = round((video.seconds if file.video_end_s is None else file.video_end_s) * 1000)
    starts_ms = [*(round(t * 1000) for t in times_s), round(video.seconds * 1000)]
    shows = [
        {
            "name": scene.name,
            "set": scene.drawn_by,
            "start_ms": starts_ms[scene.first],
            "end_ms": min(starts_ms[scene.stop], video_end_ms),
        }
        for scene in scenes
        if scene.name is not None and starts_ms[scene.first] < video_end_ms
    ]
    audio_end_ms = round((file.duration_s if file.audio_end_s is None else file.audio_end_s) * 1000)
    whole = [words for words in told if words[-1].end_ms <= audio_end_ms]
    entry = {
        "file": video.file,
        "kind": file.kind,
        "trait": video.trait,
        "expect": _EXPECT.get(video.trait, "ok"),
        "duration_s": file.duration_s,
        "width": file.width,
        "height": file.height,
        "fps": file.fps,
        "shows": shows,
        "says": [_span(" ".join(w.word for w in words), words) for words in whole],
        "words": [vars(w) for words in told for w in words if w.end_ms <= audio_end_ms],
    }
    if video.labels:
        entry["labels"] = video.labels
    if file.video_end_s is not None:
        entry |= {"video_end_ms": video_end_ms, "audio_end_ms": audio_end_ms}
    return entry


def _span(text: str, words: Sequence[Word]) -> dict:
    return {"text": text, "start_ms": words[0].start_ms, "end_ms": words[-1].end_ms}


def queries(videos: Sequence[dict]) -> list[dict]:
    """Makes a query for each drawing and each sentence. Equal texts are merged into one query with all their moments."""
    asked: dict[tuple[str, str], list[dict]] = {}
    for video in videos:
        for show in video["shows"]:
            moment = {"file": video["file"], "start_ms": show["start_ms"], "end_ms": show["end_ms"]}
            asked.setdefault(("frame", with_article(show["name"])), []).append(moment)
        words = iter(video["words"])
        for i, sentence in enumerate(video["says"]):
            said = [next(words) for _ in sentence["text"].split()]
            if i % 2 == 1:
                said = said[-PHRASE_WORDS:]
            text = " ".join(w["word"] for w in said).lower()
            moment = {"file": video["file"], "start_ms": said[0]["start_ms"], "end_ms": said[-1]["end_ms"]}
            asked.setdefault(("speech", text), []).append(moment)
    return [{"text": text, "kind": kind, "moments": asked[kind, text]} for kind, text in sorted(asked)]


def with_article(name: str) -> str:
    """The name of a thing with its article.

    >>> with_article("rocket"), with_article("owl"), with_article("scissors")
    ('a rocket', 'an owl', 'scissors')
    """
    if name in _NO_ARTICLE:
        return name
    return f"{'an' if name[0] in 'aeio' or name == 'umbrella' else 'a'} {name}"


def write_truth(videos: Sequence[dict], out: Path) -> dict:
    """Writes truth.json and README.md into `out`; returns the truth."""
    videos = sorted(videos, key=lambda v: v["file"])
    truth = {"videos": videos, "queries": queries(videos)}
    (out / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    (out / "README.md").write_text(_readme(truth))
    return truth


def _readme(truth: dict) -> str:
    seconds = sum(v["duration_s"] for v in truth["videos"])
    lines = [
        "# Sample bucket",
        "",
        f"{len(truth['videos'])} files, {seconds:.0f} s: drawings move before moving backgrounds while a voice",
        "tells something else. Made by `examples/make_sample_bucket.py`, which also wrote `truth.json`: what each",
        f"file shows and says when, and {len(truth['queries'])} queries with the moments that answer them.",
        "Times are milliseconds on the presentation clock, half-open.",
        "",
        "| file | streams | size | fps | seconds | what is odd |",
        "|---|---|---|---|---|---|",
    ]
    for v in truth["videos"] if len(truth["videos"]) <= 50 else []:
        size = "" if v["width"] is None else f"{v['width']}x{v['height']}"
        fps = "" if v["fps"] is None else f"{v['fps']:g}"
        about = _ABOUT.get(v["trait"], "")
        lines.append(f"| {v['file']} | {v['kind']} | {size} | {fps} | {v['duration_s']:.1f} | {about} |")
    lines += [
        "",
        "## Licences",
        "",
        'The videos contain these drawings, resized, turned and set in motion ("set" in `truth.json`):',
        "",
    ]
    lines += [f"- {_AUTHORS[s]}: {LICENCES[s]} (as @iconify-json/{s} {SETS[s]})" for s in DRAWN_BY]
    lines += [
        "",
        "CC-BY-4.0: https://creativecommons.org/licenses/by/4.0/. The voice is espeak-ng's; sentences,",
        "backgrounds and motion are Reelbeam's, under its own licence.",
    ]
    return "\n".join(lines) + "\n"
