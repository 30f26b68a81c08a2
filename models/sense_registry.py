"""The further senses: ours, and those that installed packages give in the entry point group `reelbeam.senses`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import entry_points

from ..schemas.errors import UsageError
from ..schemas.row_shape import BUILT_IN
from ..schemas.senses import PLAIN_TYPES, Sense
from ..schemas.tables import MODALITIES, windows_schema
from .profiles import Profile
from .screen_text import ScreenText
from .subtitles import Subtitles
from .thumbnails import Thumbnails

GROUP = "reelbeam.senses"

FURTHER: tuple[type[Sense], ...] = (ScreenText, Subtitles, Thumbnails)

CORE = ("clip", "whisper", "text", "audio", "fusion", *MODALITIES, *BUILT_IN)
"""Names of models and modalities: no further sense may have one of them."""


def known_senses() -> dict[str, Sense]:
    """Every further sense at hand, by name, with its default settings. Raises UsageError for a package that cannot be used."""
    found = {kind.name: kind() for kind in FURTHER}
    for entry in entry_points(group=GROUP):
        origin = f"the sense {entry.name} of the package {entry.dist.name if entry.dist else entry.value}"
        try:
            sense = entry.load()()
        except Exception as error:  # somebody else's code
            raise UsageError(
                f"{origin} cannot be loaded: {type(error).__name__}: {error}; cure: mend or uninstall that package"
            ) from error
        if not isinstance(sense, Sense):
            raise UsageError(
                f"{origin} is a {type(sense).__name__}, wanted is a subclass of reelbeam.schemas.senses.Sense"
            )
        if sense.name in found:
            raise UsageError(f"{origin} is named like another one; cure: uninstall one of them, or rename it")
        found[sense.name] = sense
    return found


def chosen_names(asked: str, on: Iterable[str]) -> list[str]:
    """The names of the further senses after `--senses`, from those that are on: `+ocr,-phash` adds and removes, `none` is none.

    >>> chosen_names("+ocr", ["phash"]), chosen_names("+ocr,-phash", ["phash"]), chosen_names("", ["phash"])
    (['ocr', 'phash'], ['ocr'], ['phash'])
    >>> chosen_names("ocr", ["phash"]), chosen_names("none", ["phash"])
    (['ocr'], [])
    """
    parts = [part.strip() for part in asked.split(",") if part.strip()]
    relative = all(part[0] in "+-" for part in parts)
    if not relative and any(part[0] in "+-" for part in parts):
        raise UsageError(f"--senses {asked}: give names, such as ocr, or changes, such as +ocr,-phash; not both")
    names = set(on) if relative else set()
    for part in parts:
        name = part.lstrip("+-")
        if name in BUILT_IN:
            if not relative:
                raise UsageError(
                    f"--senses {asked}: {name} is built in; turn it off by -{name}, and on again by +{name}"
                )
            continue
        if name in CORE:
            raise UsageError(
                f"--senses {asked}: {name} is always on; to be turned off are {', '.join(BUILT_IN)}. To leave out the fused "
                "embedding: --fuse none"
            )
        if part.startswith("-"):
            if name not in names:
                raise UsageError(f"--senses {asked}: {name} is not on; on are: {', '.join(sorted(names)) or 'none'}")
            names.remove(name)
        elif part != "none":
            names.add(name)
    return sorted(names)


def chosen_off(asked: str, off: Iterable[str]) -> tuple[str, ...]:
    """The built-in senses that are off after `--senses`, from those that are off.

    >>> chosen_off("-sound,+ocr", []), chosen_off("+sound", ["frames", "sound"]), chosen_off("ocr", ["sound"])
    (('sound',), ('frames',), ('sound',))
    """
    names = set(off)
    for part in (part.strip() for part in asked.split(",")):
        name = part[1:]
        if part[:1] not in ("+", "-") or name not in BUILT_IN:
            continue
        (names.add if part[0] == "-" else names.discard)(name)  # a run may be started again with the same words
    return tuple(sorted(names))


def without_built_in(profile: Profile, off: tuple[str, ...]) -> Profile:
    """The profile with built-in senses off. Raises UsageError where something else that is on needs them."""
    needing = [one.name for one in profile.senses if one.words and "speech" in off]
    if "speech" in off and profile.whisper.audio_embedding:
        needing.append("--audio-embedding")
    if "speech" in off and profile.whisper.speech != "whisper":
        needing.append(f"--speech {profile.whisper.speech}")
    if "frames" in off and profile.fusion.needs_words_in_clip:
        needing.append(f"--fuse {profile.fusion.how}")
    if needing:
        raise UsageError(
            f"--senses: {', '.join(needing)} needs what is turned off ({', '.join(off)}); cure: leave one of them out"
        )
    return replace(profile, off=off)


def with_added(asked: str, name: str) -> str:
    """What `--senses` asks for, and one more.

    >>> with_added("", "a"), with_added("+b,-c", "a"), with_added("b", "a"), with_added("none", "a"), with_added("+a", "a")
    ('+a', '+b,-c,+a', 'b,a', 'none,a', '+a,+a')
    """
    relative = not asked.strip() or asked.strip()[0] in "+-"
    return ",".join(part for part in (asked.strip(), f"+{name}" if relative else name) if part)


def with_senses(profile: Profile, names: Sequence[str]) -> Profile:
    """The profile with further senses on, each checked.

    Raises UsageError for an unknown sense, an identity that is missing, and columns that collide.
    """
    if not names:
        return profile
    known = known_senses()
    senses = []
    for name in names:
        if name not in known:
            raise UsageError(
                f"the sense {name} is not at hand; at hand are: {', '.join(sorted(known)) or 'none'}. "
                f"Cure: install the package that gives it, or leave it out with --senses -{name}"
            )
        senses.append(known[name])
    taken = dict.fromkeys(windows_schema(replace(profile, senses=()).row_shape(1)).names, "Reelbeam")
    for sense in senses:
        check_sense(sense, taken)
    return replace(profile, senses=tuple(senses))


def check_sense(sense: Sense, taken: dict[str, str]) -> None:
    """Raises UsageError for a declaration that cannot be stored. Adds its columns to `taken`, which maps columns to owners."""
    owner = f"the sense {sense.name or type(sense).__name__}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", sense.name) or sense.name in CORE:
        raise UsageError(f"{owner}: its name must be lower case letters, digits and _, and none of {', '.join(CORE)}")
    identity = sense.identity()
    if sense.version < 1 or identity.get("version") != sense.version or identity.get("sense") != sense.name:
        raise UsageError(
            f"{owner} has no identity; cure: give it a name and a version from 1 on, and name both in identity()"
        )
    try:
        json.dumps(identity)
    except TypeError as error:
        raise UsageError(f"{owner}: its identity must be plain JSON values: {error}") from error
    stored = sense.stored(1)
    for column in stored.columns:
        if column.type not in (*PLAIN_TYPES, "tensor", "list", "text_embedding"):
            raise UsageError(
                f"{owner}: column {column.name} is of type {column.type!r}; wanted is one of {', '.join(PLAIN_TYPES)}, "
                "tensor, list, text_embedding"
            )
        if column.embeds and column.embeds not in [one.name for one in stored.columns]:
            raise UsageError(f"{owner}: {column.name} embeds {column.embeds}, which is not one of its columns")
    for name in [*(column.name for column in stored.columns), stored.status]:
        if name in taken:
            raise UsageError(
                f"{owner}: its column {name} is a column of {taken[name]} already; cure: name it otherwise"
            )
        taken[name] = owner
