"""Describes one video of a sample bucket before it is drawn, and plans random ones.

In:   (number of videos, seed, names of drawings).
Out:  `random_plan`: plain MP4 files of the same kind as those of `sample_plan.py`.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

Shows = tuple[tuple[str | None, float], ...]
Says = tuple[tuple[float | None, str], ...]


@dataclass(frozen=True)
class Sound:
    """A span of one of the sounds in `sample_sounds.KINDS`. `level` 1 is full scale."""

    kind: str
    start_s: float
    seconds: float
    level: float


@dataclass(frozen=True)
class Manner:
    """How a voice speaks. `pitch` and `pitch_range` are espeak's, 0 to 99, where 50 is the voice's own; `gain` is a factor."""

    words_a_minute: int = 145
    pitch: int = 50
    pitch_range: int = 50
    gain: float = 1.0


@dataclass(frozen=True)
class Video:
    """One file of the bucket, before it is drawn.

    `shows`: (name of a drawing, seconds) for each scene; the name None shows only the background.
    `says`: (start in seconds, sentence); the start None means `PAUSE_S` after the previous sentence.
    `width`, `height`: as displayed, in pixels.
    `trait`: the unusual property of the file, see `sample_files.py`; "" for none.
    `moves`: the move of each scene's drawing, a name in `sample_frames.MOVES`; with "" or without an entry it drifts.
    `sounds` are mixed with the voice, which speaks in a `manner`. `labels` are copied into the truth.
    """

    file: str
    shows: Shows = ()
    says: Says = ()
    voice: str = "en-us"
    fps: int = 25
    width: int = 640
    height: int = 360
    trait: str = ""
    moves: tuple[str, ...] = ()
    sounds: tuple[Sound, ...] = ()
    manner: Manner = Manner()
    labels: dict = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Length of the video stream; 0 for a file with only sound."""
        return sum(seconds for _, seconds in self.shows)


def told(*sentences: str, start_s: float = 0.6) -> Says:
    """Sentences spoken one after another, the first at `start_s` seconds."""
    return tuple((start_s if i == 0 else None, s) for i, s in enumerate(sentences))


_WHO = (
    "the teacher",
    "my sister",
    "a young farmer",
    "the old captain",
    "our neighbor",
    "the doctor",
    "a tall man",
)
_DID = ("found", "lost", "sold", "painted", "carried", "forgot", "repaired", "wanted", "remembered")
_WHAT = (
    "a wooden chair",
    "the green door",
    "an old letter",
    "the silver ring",
    "a heavy stone",
    "the yellow coat",
)
_WHERE = (
    "near the river",
    "behind the school",
    "at the market",
    "in the morning",
    "after the storm",
    "last summer",
)
_VOICES = ("en-us", "en-us+m3", "en-us+f4", "en-gb-x-rp")


def random_plan(videos: int, seed: int, names: Sequence[str]) -> tuple[Video, ...]:
    """Plans `videos` random MP4 files with 2 to 5 scenes of `names`. Equal arguments give equal plans.

    >>> random_plan(1, 7, ["rocket", "pizza", "owl", "key", "crab"]) == random_plan(
    ...     1, 7, ["rocket", "pizza", "owl", "key", "crab"]
    ... )
    True
    """
    rng = random.Random(seed)
    plan = []
    for i in range(videos):
        chosen = rng.sample(list(names), rng.randint(2, min(5, len(names))))
        shows: list[tuple[str | None, float]] = [(name, rng.randint(3, 6)) for name in chosen]
        if rng.random() < 0.3:
            shows.insert(rng.randrange(1, len(shows) + 1), (None, 2))
        room_s = sum(seconds for _, seconds in shows)
        sentences = [
            f"{rng.choice(_WHO)} {rng.choice(_DID)} {rng.choice(_WHAT)} {rng.choice(_WHERE)}.".capitalize()
            for _ in range(int(room_s / 5.5))
        ]
        voice, fps = rng.choice(_VOICES), rng.choice((15, 20, 25, 30))
        plan.append(Video(f"clip_{i:04d}.mp4", tuple(shows), told(*sentences), voice, fps))
    return tuple(plan)
