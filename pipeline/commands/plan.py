"""reelbeam plan --videos N --hours H"""

from __future__ import annotations

import argparse
import dataclasses
import json

from ..views import PlanOptions
from .base import none_left

HELP = "what a first run and a night over so many videos would cost: machines, hours, bytes, money"
OPTIONS = PlanOptions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="answer as JSON")


def run(args: argparse.Namespace, rest: list[str]) -> int:
    """Reckons, and runs nothing."""
    from ..views import plan_costs, print_job_plan

    none_left(rest, "plan")
    options = PlanOptions.from_args(args)
    if args.json:
        first, night = plan_costs(options)
        print(json.dumps({"first": dataclasses.asdict(first), "night": dataclasses.asdict(night)}, indent=1))
    else:
        print_job_plan(options)
    return 0
