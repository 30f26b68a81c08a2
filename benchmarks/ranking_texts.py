"""What the videos of the ranking benchmark say, show in writing and are called, and how people ask for it.

Statements and questions share a thing and a meaning, and few other words. Names are invented, so nobody has read of them.
"""

from __future__ import annotations

import random
from functools import lru_cache
from itertools import product

STATEMENTS = (
    ("we have to repair the {} before the snow comes", "fixing a {} ahead of winter"),
    ("the {} was invented by a farmer two hundred years ago", "who first thought of the {}"),
    ("never leave your {} outside in the rain over night", "keeping a {} dry"),
    ("my sister sold her {} to pay for the trip to Peru", "giving up a {} for travel money"),
    ("the price of a {} has doubled since last spring", "a {} costs twice as much now"),
    ("children may use the {} only when a grown up is there", "kids and the {}, with supervision"),
    ("you clean the {} with vinegar and a soft brush", "how to wash a {}"),
    ("the museum lost its oldest {} in the great fire", "a {} destroyed by flames"),
    ("researchers measured how quickly the {} wears out", "a study of how long a {} lasts"),
    ("the new law forbids anyone to bring a {} on the train", "rules against a {} in public transport"),
    ("three thieves stole a {} from the harbour last night", "a {} was taken by criminals"),
    ("she explains in detail why the {} makes so much noise", "the reason a {} is loud"),
)
"""What is said of a thing, and how somebody asks for it."""

THINGS = (
    *("combine harvester", "water pump", "pipe organ", "wheelbarrow", "weaving loom", "typewriter", "greenhouse", "wind turbine"),
    *("printing press", "steam boiler", "gearbox", "spinning wheel", "beehive", "cider press", "millstone", "sundial"),
    *("barometer", "velvet curtain", "mattress", "cast iron stove", "sewing machine", "lawn mower", "chandelier", "cash register"),
    *("hearing aid", "fishing reel", "harpsichord", "snow plough", "tumble dryer", "dentist chair", "hay fork", "rowing machine"),
)  # fmt: skip
"""Things that are talked of. None of them is drawn."""

TITLES = (
    ("Building a {} from scratch", "make your own {}"),
    ("The history of the {}", "where the {} comes from"),
    ("Ten mistakes with a first {}", "beginner errors with a {}"),
    ("A {} on a small budget", "a cheap {}"),
    ("Restoring grandfather's {}", "renovating an old {}"),
)
SUBJECTS = (
    *("kayak", "bookshelf", "pizza oven", "radio telescope", "sourdough starter", "tree house", "wedding dress", "model railway"),
    *("compost heap", "guitar amplifier", "rain barrel", "root cellar", "stained glass window", "herb garden", "sauna", "wine rack"),
    *("camper van", "chicken coop", "rocking chair", "patchwork quilt", "bicycle trailer", "stone wall", "skateboard ramp"),
    *("fish pond", "puppet theatre", "wood lathe", "drum kit", "drawing table", "garden shed", "bunk bed", "loudspeaker", "sledge"),
    *("picnic bench", "bird feeder", "coat rack", "candle holder", "hammock stand", "spice drawer", "clay kiln", "bow and quiver"),
)  # fmt: skip
"""What titles are about. Nobody talks of these things, and none is drawn."""

HEADINGS = (
    "quarterly report",
    "departures",
    "final results",
    "opening hours",
    "lecture notes",
    "road closed",
    "safety briefing",
)
PLACES = (
    "Brennick",
    "Ostervale",
    "Kirmouth",
    "Dunhaven",
    "Salzfurt",
    "Marlowe Bay",
    "Tarnbeck",
    "Villarosa",
    "Quenby",
    "Northolm",
)
"""What is written on the screen: heading, place and number."""

FILLER = (
    "yes that is what I thought as well when I came in this morning",
    "and then we waited a while and nothing much happened",
    "let me think about it for a moment before I answer that",
    "thank you all for coming and please take a seat over there",
)

FIRST = ("Tor", "Il", "Mar", "Ke", "Os", "Bri", "Van", "Sel", "Dru", "Hal", "Pel", "Yor")
MIDDLE = ("vin", "sel", "dor", "ka", "ri", "mun", "the", "lo")
LAST = ("Askel", "Brand", "Vonder", "Quist", "Mare", "Stok", "Hollo", "Penra", "Dwin", "Farro")
END = ("und", "way", "sen", "ford", "ello", "ika", "berg", "ton")


def statements() -> list[tuple[str, str]]:
    """Every (what is said, question)."""
    return [(said.format(thing), asked.format(thing)) for thing, (said, asked) in product(THINGS, STATEMENTS)]


def titles() -> list[tuple[str, str]]:
    """Every (title, question)."""
    return [(title.format(thing), asked.format(thing)) for thing, (title, asked) in product(SUBJECTS, TITLES)]


@lru_cache(maxsize=1)
def known_words() -> frozenset[str]:
    """All words that are said, written or in titles, and their singulars or plurals."""
    texts = [text for pair in (*statements(), *titles()) for text in pair]
    words = {word.lower() for text in (*texts, *HEADINGS, *FILLER) for word in text.split()}
    return frozenset(words | {f"{word}s" for word in words} | {word.removesuffix("s") for word in words})


def signs(random: random.Random) -> list[str]:
    """Lines of writing, each with a number of its own."""
    numbers = random.sample(range(100, 9999), len(HEADINGS) * len(PLACES) * 2)
    pairs = [*product(HEADINGS, PLACES)] * 2
    return [f"{heading.capitalize()} {place} {number}" for (heading, place), number in zip(pairs, numbers, strict=True)]


def names(random: random.Random, count: int) -> list[str]:
    """Invented people."""
    firsts, lasts = [a + b for a, b in product(FIRST, MIDDLE)], [a + b for a, b in product(LAST, END)]
    return [f"{first} {last}" for first, last in random.sample([*product(firsts, lasts)], count)]


def misspelt(text: str, random: random.Random) -> str:
    """A text with one letter of its longest word left out, doubled, changed or swapped with the next, beyond the first letter."""
    words = text.split()
    at = max(range(len(words)), key=lambda number: len(words[number]))
    word = words[at]
    place = random.randrange(1, len(word) - 1)
    kinds = (
        word[:place] + word[place + 1 :],
        word[:place] + word[place] + word[place:],
        word[:place] + random.choice("aeioutrns") + word[place + 1 :],
        word[:place] + word[place + 1] + word[place] + word[place + 2 :],
    )
    words[at] = random.choice([kind for kind in kinds if kind != word])
    return " ".join(words)
