"""reelbeam models"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from .base import none_left

HELP = "list the profiles of models: what each holds, costs and is good at, and which weights are on this machine"
OPTIONS = None


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "profile", metavar="PROFILE", nargs="*", help="profiles or models files to list; all profiles without one"
    )
    parser.add_argument("--json", action="store_true", help="answer as JSON")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Looks, and downloads nothing."""
    none_left(rest, "models")
    found = profile_facts(args.profile)
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("profile", "model", "weights", "MB", "where", show_lines=False)
    for one in found:
        for part, held in one["models"].items():
            size = f"{held['bytes'] / 1e6:.0f}" if held["bytes"] else ""
            where = held["path"] or held["note"]
            table.add_row(
                one["name"] if part == "clip" else "", part, held["weights"], size, f"{held['state']}: {where}"
            )
        table.add_section()
    Console(width=150).print(table)
    for one in found:
        if one["good_at"]:
            print(f"{one['name']}: {one['good_at']}. Costs {one['costs']}.")
    if not args.profile:
        for name, described in sense_facts().items():
            print(f"--senses +{name}: {described}")
    return 0


def sense_facts() -> dict[str, str]:
    """The further senses at hand, each with the first line of its docstring."""
    from ...models.sense_registry import known_senses

    return {name: (sense.__doc__ or "").strip().partition("\n")[0] for name, sense in sorted(known_senses().items())}


def profile_facts(names: list[str]) -> list[dict[str, Any]]:
    """What profiles and models files hold, and where their weights lie. Raises UsageError for an unknown name."""
    from ...models.at_hand import weights_at_hand
    from ...models.profiles import MODELS, PROFILES, profile

    chosen = [profile(name) for name in names] if names else list(PROFILES.values())
    return [
        {
            "name": one.name,
            "good_at": one.good_at,
            "costs": one.costs,
            "models": {part: asdict(weights_at_hand(getattr(one, part))) for part in MODELS},
        }
        for one in chosen
    ]
