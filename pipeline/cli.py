"""The `reelbeam` command.

Exit codes: 0 done (bad inputs are recorded, not errors); 1 a fault in the program or the machine; 2 wrong options,
missing weights, mismatched models; 3 a quality gate refused to publish; 4 stored data is corrupt; 5 other writers kept
winning. Nothing but 0 publishes anything half-done: a rerun is always safe.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import NoReturn

from ..schemas.errors import ReelbeamError, UsageError
from ..schemas.extras import missing_package
from ..schemas.local_cache import FOLDER_VARIABLE, MOST_GB, SIZE_VARIABLE
from .commands import COMMANDS

log = logging.getLogger("reelbeam")


def build_parser(names: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    """All commands, or some. Flags come from the options dataclasses."""
    parser = argparse.ArgumentParser(
        prog="reelbeam",
        allow_abbrev=False,
        description="Turns a bucket of videos into Parquet shards and FAISS indexes, and searches them.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in names:
        module = COMMANDS[name]
        described = f"{module.HELP[0].upper()}{module.HELP[1:]}."
        command = commands.add_parser(name, allow_abbrev=False, help=module.HELP, description=described)
        module.arguments(command)
        if module.OPTIONS is not None:
            module.OPTIONS.add_to(command)
        add_cache_flags(command)
    return parser


def add_cache_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the local cache, which every command takes."""
    cache = parser.add_argument_group("local cache of a bucket's index files and shards, shared with training")
    cache.add_argument(
        "--cache", metavar="DIR", help=f"folder of the local cache (default: ${FOLDER_VARIABLE}, or ~/.cache/reelbeam)"
    )
    cache.add_argument(
        "--cache-gb",
        metavar="GB",
        type=_size,
        help=f"limit of the local cache in GB (default: ${SIZE_VARIABLE}, or {MOST_GB:g})",
    )


def _size(text: str) -> float:
    """A positive number of GB. Raises ArgumentTypeError, which argparse prints with the flag's name."""
    if not re.fullmatch(r"\d*\.?\d+", text) or float(text) <= 0:
        raise argparse.ArgumentTypeError(f"{text}: give a number of GB above 0, such as 50")
    return float(text)


@contextlib.contextmanager
def _cache(args: argparse.Namespace) -> Iterator[None]:
    """Passes --cache and --cache-gb to this process, its workers and Beam's by the environment, for the length of a command."""
    given = {FOLDER_VARIABLE: args.cache, SIZE_VARIABLE: args.cache_gb}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def joined_changes(given: Sequence[str]) -> list[str]:
    """The arguments with `--senses -ocr` as one, because argparse would take -ocr for a flag.

    >>> joined_changes(["extract", "--senses", "-ocr,+looks", "--dry-run"])
    ['extract', '--senses=-ocr,+looks', '--dry-run']
    """
    found: list[str] = []
    for part in given:
        if found and found[-1] == "--senses" and re.match(r"-[a-z]", part):
            found[-1] = f"--senses={part}"
        else:
            found.append(part)
    return found


def _set_up_logging() -> None:
    """Our own lines from INFO up, everybody else's from WARNING up, less what users can do nothing about."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    handler.addFilter(lambda record: not str(record.msg).startswith("apitools not found"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it logs each of ten retries; the last word is ours
    log.setLevel(logging.INFO)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    _set_up_logging()
    given = joined_changes(sys.argv[1:] if argv is None else list(argv))
    named = given[:1] if given and given[0] in COMMANDS else COMMANDS  # one command starts without importing the others
    args, rest = build_parser(named).parse_known_args(given)
    try:
        with _cache(args):
            code: int = COMMANDS[args.command].run(args, rest)
        return code
    except ReelbeamError as error:
        said = re.sub(r" \[while running '[^']*'\]$", "", str(error))  # Beam adds the name of its own step
        print(f"reelbeam {args.command}: {said}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if (message := missing_package(error.name)) is None:
            raise
        print(f"reelbeam {args.command}: {message}", file=sys.stderr)
        return UsageError.exit_code
    except BrokenPipeError:  # whoever read us has seen enough, as in `reelbeam status OUTPUT | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("stopped; what was committed stays, a rerun continues from there", file=sys.stderr)
        return 130


def run() -> NoReturn:
    """`main`, as a process. Raises SystemExit.

    What was to be cleaned up is cleaned up; then the process ends at once. Python would take its modules apart first, which is a second
    after torch and the models were loaded.
    """
    ended: list[int] = []
    atexit.register(_leave, ended)  # the first one that is registered is called last
    ended.append(main())
    sys.exit(ended[0])


def _leave(ended: Sequence[int]) -> None:
    """Ends the process, unless `main` did not return: a fault is reported by Python itself."""
    if not ended:
        return
    logging.shutdown()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # who read us has gone, or the disk is full: Python would say so, and end with 120
        os._exit(ended[0] or 120)
    os._exit(ended[0])


if __name__ == "__main__":
    run()
