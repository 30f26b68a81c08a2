"""Plans videos with labels to learn: what a video is about, what happens in it, how it feels.

In:   (number of videos, seed, names of drawings).
Out:  `task_plan`: MP4 files of two clips of CLIP_S seconds; `with_bed`: music under a voice.

The labels are spread over the senses on purpose, so that none has the whole answer:
- topic is in the drawing and in what is said; in UNRELATED of the clips one of the two is about something else;
- action is in how the drawing comes and goes; the voice does not tell it;
- mood is a pair: how lively (in the music alone) and how glad (in the words alone).
"""

import random
from collections.abc import Sequence

import numpy as np
from sample_truth import with_article
from sample_video import Says, Shows, Video

CLIP_S = 10
"""One window of the default grid."""
CLIPS = 2
UNRELATED = 0.15
"""Share of clips whose drawing is of another topic, and again of clips whose words are."""

TOPICS = {
    "animals": ("tiger", "elephant", "giraffe", "zebra", "cow", "pig", "camel", "rooster", "penguin", "owl"),
    "food": (
        "pizza",
        "carrot",
        "donut",
        "watermelon",
        "pineapple",
        "banana",
        "strawberry",
        "hamburger",
        "lemon",
        "pretzel",
    ),
    "sea": ("anchor", "sailboat", "crab", "octopus", "shark", "whale", "turtle", "jellyfish", "dolphin", "lobster"),
    "music": ("guitar", "trumpet", "drum", "accordion", "bell", "violin", "saxophone", "banjo"),
    "travel": ("bicycle", "helicopter", "locomotive", "motorcycle", "fire engine", "rocket", "tractor", "bus", "taxi"),
    "tools": ("hammer", "scissors", "key", "light bulb", "magnet", "microscope", "telescope", "wrench", "ladder"),
}
ACTIONS: dict[str, tuple[tuple[bool, int], ...]] = {
    "stays": ((True, 10),),
    "appears": ((False, 5), (True, 5)),
    "vanishes": ((True, 5), (False, 5)),
    "blinks": ((True, 2), (False, 2), (True, 2), (False, 2), (True, 2)),
}
"""Whether the drawing is there, and for how many seconds."""
MOODS = {
    ("glad", "lively"): "joy",
    ("glad", "quiet"): "calm",
    ("sorry", "lively"): "anger",
    ("sorry", "quiet"): "sadness",
}
FEELS = {
    "glad": ("What a wonderful day.", "That was a lovely surprise.", "Everyone laughed and was happy."),
    "sorry": ("What a terrible day.", "That was an awful mistake.", "Everyone cried and was unhappy."),
}
_WHO = ("the teacher", "my sister", "a young farmer", "the old captain", "our neighbor", "the doctor", "my grandmother")
_DID = ("found", "lost", "sold", "painted", "carried", "forgot", "wanted", "remembered")
_WHERE = ("near the river", "behind the school", "at the market", "after the storm", "last summer", "under the bridge")
_VOICES = ("en-us", "en-us+m3", "en-us+f4", "en-gb-x-rp")


def task_plan(videos: int, seed: int, names: Sequence[str]) -> tuple[Video, ...]:
    """Equal arguments give equal plans. Labels go round, so that each is as frequent as the others."""
    rng = random.Random(f"tasks {seed}")
    topics = {topic: [name for name in drawn if name in set(names)] for topic, drawn in TOPICS.items()}
    plan = []
    for number in range(videos):
        topic = list(topics)[number % len(topics)]
        feel, energy = rng.choice(list(MOODS))
        shows: list[tuple[str | None, float]] = []
        says: list[tuple[float | None, str]] = []
        clips = []
        for clip in range(CLIPS):
            name = rng.choice(topics[topic])
            other = rng.choice(topics[rng.choice([known for known in topics if known != topic])])
            odd = rng.random()
            shown, said = other if odd < UNRELATED else name, other if odd > 1 - UNRELATED else name
            action = rng.choice(list(ACTIONS))
            shows += [(shown if there else None, seconds) for there, seconds in ACTIONS[action]]
            who, did, where = rng.choice(_WHO), rng.choice(_DID), rng.choice(_WHERE)
            says += [
                (clip * CLIP_S + 0.5, f"{who} {did} {with_article(said)} {where}.".capitalize()),
                (clip * CLIP_S + 6.0, rng.choice(FEELS[feel])),
            ]
            asked = {"text": f"What is it that {who} {did} {where}?", "answer": said}
            clips.append({"shown": shown, "said": said, "action": action, "question": asked})
        labels = {"topic": topic, "mood": MOODS[feel, energy], "clips": clips}
        plan.append(_video(f"task_{number:04d}.mp4", tuple(shows), tuple(says), rng.choice(_VOICES), energy, labels))
    return tuple(plan)


def _video(file: str, shows: Shows, says: Says, voice: str, energy: str, labels: dict) -> Video:
    return Video(file, shows, says, voice, fps=10, width=320, height=240, bed=energy, labels=labels)


def with_bed(track: np.ndarray, rate_hz: int, energy: str, seed: str) -> np.ndarray:
    """Lays notes under a voice: int16 [n] to int16 [n]. Lively ones are quick and plucked, quiet ones long and soft.

    The key is drawn from the seed and tells nothing.
    """
    rng = random.Random(f"bed {seed}")
    note_s, decay_s, level = {"lively": (0.25, 0.08, 0.10), "quiet": (2.5, 2.0, 0.05)}[energy]
    bed = np.zeros(len(track))
    root = rng.choice((196.0, 220.0, 246.9, 261.6))
    for start in range(0, len(track), int(note_s * rate_hz)):
        pitch = root * rng.choice((1, 5 / 4, 3 / 2, 2))
        t = np.arange(min(int(note_s * rate_hz), len(track) - start)) / rate_hz
        bed[start : start + len(t)] += np.sin(2 * np.pi * pitch * t) * np.exp(-t / decay_s) * np.minimum(1, t / 0.005)
    mixed = track + bed * level * 32767
    return np.clip(mixed, -32768, 32767).astype(np.int16)
