"""Decodes several short videos in one ffmpeg process, because starting ffmpeg costs more than decoding ten seconds of a small film.

In:  planned units with their sources.
Out: for each unit what `decode_unit` gives, byte for byte.
Bad: when the process complains, fails or exceeds a limit, each unit is decoded again in a process of its own, so that a
     broken file costs nobody else anything, and its failures are those of `decode_unit`.

Each unit has its own input, its own filter graph and its own pipes; nothing is shared but the process and its limits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..models.preprocessing import Preprocessing
from ..schemas.elements import Decoded, Grid, Group, Unit
from ..schemas.errors import Failure, InputError
from ..schemas.senses import FrameNeed
from .decode import DecodeLimits, decode_unit, finished_unit, unit_limits
from .decode_command import decode_command, plan_decode
from .ffmpeg import Finished, Limits, run
from .sense_frames import OWN_PIPES

MOST_TOGETHER = 8
"""Units of a process. The start is then an eighth of what it was, and pipes stay below 200."""

SHORT_MS = 60_000
"""Length up to which a unit counts as short: decoding a minute takes ten times as long as the start."""

SMALL_PIXELS = 1280 * 720
"""Largest picture of a unit that is decoded with others: eight such decoders need a tenth of the memory limit."""


def is_short(unit: Unit) -> bool:
    """Whether a unit is a whole short video of small pictures, read from its start."""
    probe = unit.probe
    is_whole = unit.number == 0 and unit.is_last
    return is_whole and unit.end_ms <= SHORT_MS and probe.width * probe.height <= SMALL_PIXELS


def packed(group: Group, decoders: int, options: DecodeLimits) -> list[Group]:
    """A group in the same order, cut into parts that are decoded by one process each. Every decoder gets a part if possible.

    Only neighbours that are all short share a part, and none where a GPU decodes.
    """
    size = 1 if options.nvdec else min(MOST_TOGETHER, -(-len(group) // max(1, decoders)))
    parts: list[Group] = []
    for features in group:
        last = parts[-1] if parts else ()
        if last and len(last) < size and is_short(features.unit) and is_short(last[-1].unit):
            parts[-1] = (*last, features)
        else:
            parts.append((features,))
    return parts


def joined_command(commands: Sequence[Sequence[str]], pipes: int) -> list[str]:
    """One ffmpeg command for several that `decode_command` made, each with its own `pipes` pipes.

    >>> one = ["ffmpeg", "-v", "error", "-i", "a", "-filter_complex", "[0:0]null[s0]", "-map", "[s0]", "pipe:{pipe1}"]
    >>> joined_command([one, one], 5)[5:]  # doctest: +NORMALIZE_WHITESPACE
    ['-v', 'error', '-i', 'a', '-filter_complex', '[0:0]null[u0s0]', '-map', '[u0s0]', 'pipe:{pipe1}',
     '-filter_complex', '[1:0]null[u1s0]', '-map', '[u1s0]', 'pipe:{pipe6}']
    """
    inputs: list[str] = [commands[0][0]]
    outputs: list[str] = []
    for number, command in enumerate(commands):
        end = command.index("-i") + 2
        inputs += command[1:end]
        before = ""
        for part in command[end:]:
            outputs.append(_renumbered(part, number, pipes, before in ("-filter_complex", "-map")))
            before = part
    return inputs + outputs


def _renumbered(part: str, number: int, pipes: int, has_labels: bool) -> str:
    """An argument of a single unit's command with its pipes, and its labels and input, as the `number`th of several."""

    def pipe(found: re.Match[str]) -> str:
        return f"{{pipe{int(found[1]) + number * pipes}}}"

    part = re.sub(r"\{pipe(\d+)\}", pipe, part)
    if not has_labels:
        return part
    part = re.sub(r"\[(s\d+)\]", rf"[u{number}\1]", part)
    return re.sub(r"^0:", f"{number}:", part.replace("[0:", f"[{number}:"))


def decode_units(
    units: Sequence[Unit],
    sources: Sequence[str],
    grid: Grid,
    wanted: Preprocessing,
    options: DecodeLimits,
    needs: Sequence[FrameNeed] = (),
) -> list[tuple[Decoded | None, tuple[Failure, ...]]]:
    """What `decode_unit` gives for each unit, by one process for all, or one for each where that one has trouble."""
    finished = None if len(units) == 1 else _run_all(units, sources, grid, wanted, options, needs)
    if finished is None:
        return [
            decode_unit(unit, source, grid, wanted, options, needs) for unit, source in zip(units, sources, strict=True)
        ]
    pipes = OWN_PIPES + 2 * len(needs)
    return [
        finished_unit(
            Finished(0, finished.outputs[at * pipes : (at + 1) * pipes], ""),
            *(unit, source, grid, wanted, options, needs),
        )
        for at, (unit, source) in enumerate(zip(units, sources, strict=True))
    ]


def _run_all(
    units: Sequence[Unit],
    sources: Sequence[str],
    grid: Grid,
    wanted: Preprocessing,
    options: DecodeLimits,
    needs: Sequence[FrameNeed],
) -> Finished | None:
    """The outputs of one process for all units; None where it had any trouble."""
    pipes = OWN_PIPES + 2 * len(needs)
    commands = [
        decode_command(source, unit, plan_decode(unit, grid), grid, wanted, options.shots, needs, frames=options.frames)
        for unit, source in zip(units, sources, strict=True)
    ]
    own = [unit_limits(unit, grid, wanted, options, needs) for unit in units]
    limits = Limits(sum(one.wall_s for one in own), options.stall_s, sum(one.output_bytes for one in own))
    try:
        finished = run(joined_command(commands, pipes), pipes * len(units), limits, nice=options.nice)
    except InputError:
        return None
    return None if finished.exit_code or finished.errors else finished
