"""What the Dataflow flex template runs: its parameters become the command line of `reelbeam extract`.

    python launch.py --input=gs://videos --output=gs://features --models=standard --options="--tick-hz 2" --project=...

Dataflow's launcher passes every parameter as one flag, and adds Beam's own (project, region, staging folders, worker image).
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence


def command_line(given: Sequence[str]) -> list[str]:
    """The arguments of the reelbeam command.

    >>> command_line(["--input=gs://v", "--output=gs://f", "--options=--tick-hz 2", "--project=p"])
    ['extract', 'gs://v', 'gs://f', '--models', 'standard', '--tick-hz', '2', '--runner=DataflowRunner', '--project=p']
    """
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--models", default="standard")
    parser.add_argument("--options", default="")
    args, beam_flags = parser.parse_known_args(given)
    runner = [] if any(flag.startswith("--runner") for flag in beam_flags) else ["--runner=DataflowRunner"]
    ours = ["extract", args.input, args.output, "--models", args.models, *shlex.split(args.options)]
    return [*ours, *runner, *beam_flags]


if __name__ == "__main__":
    from reelbeam.pipeline.cli import main

    sys.exit(main(command_line(sys.argv[1:])))
