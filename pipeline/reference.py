"""Fills the generated parts of the documentation: data format, commands, exit codes, index kinds.

A page holds `<!-- generated: NAME -->` ... `<!-- end -->`; what lies between is written from the code.

    python -m reelbeam.pipeline.reference
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import re
import sys
from pathlib import Path

import pyarrow as pa

from ..models.audio import FEATURES
from ..models.fusion import TIMBRE
from ..models.profiles import PROFILES
from ..models.sense_registry import FURTHER
from ..models.weights import PACKAGE
from ..schemas.errors import EXIT_CODES
from ..schemas.file_records import IndexInfo, ShardInfo, TableInfo
from ..schemas.index_manifest import (
    CoveredShard,
    IndexManifest,
    OperatingPoint,
    PartInfo,
    Recall,
    RemovedIds,
    Training,
    VectorFile,
)
from ..schemas.night_report import FailedVideo, IndexUpdate, NightReport, Remodelled
from ..schemas.options import Options, documented, flag
from ..schemas.snapshot import Snapshot
from ..schemas.tables import RowShape, failures_schema, videos_schema, windows_schema
from ..schemas.words_manifest import WordsFile, WordsManifest
from ..transforms.index_kinds import ID_BYTES, KINDS, code_bytes
from .cli import add_cache_flags
from .commands import COMMANDS

SHAPE = RowShape(10, 512, len(FEATURES), 384, 512 + 384 + len(TIMBRE), 1280, speech_source=True)
"""The sizes that the pages show: ViT-B/32, the default grid, and a Whisper whose width is nobody else's."""

NAMES = {
    SHAPE.frame_dim: "D",
    SHAPE.ticks: "T",
    SHAPE.audio_dim: "A",
    SHAPE.text_dim: "E",
    SHAPE.fused_dim: "F",
    SHAPE.audio_embedding_dim: "W",
}


PLAIN_FIELDS = {
    "path": "Within the dataset's folder.",
    "rows": "Rows of the file, removed ones included.",
    "bytes": "Size of the file.",
    "sha256": "Hash of the file.",
    "number": "Its number: the name of its file.",
    "created_at": "When it was made, UTC, ISO 8601.",
    "shards": "The files of windows.",
    "videos": "The files of the videos table.",
    "failures": "The files of the failures table.",
    "indexes": "The published build of each index, by name.",
    "schema_version": "The version of this format.",
    "kind": "Kind of the failure, or of the index as `--index` names it.",
    "uri": "The video.",
    "stage": "The step that failed.",
    "message": "What was seen, with the decoder's own words.",
    "run": "The run: its name begins with the time.",
    "recall": "The share: 1 is all of them.",
    "queries": "How many queries were asked.",
    "k": "How many vectors each query asks for.",
}
"""Fields of stored files that need no docstring in the code."""

RECORDS = (
    *(Snapshot, ShardInfo, TableInfo, IndexInfo),
    *(IndexManifest, PartInfo, Training, CoveredShard, VectorFile, RemovedIds, Recall, OperatingPoint),
    *(WordsManifest, WordsFile),
    *(NightReport, Remodelled, IndexUpdate, FailedVideo),
)
"""Stored records whose fields a page shows."""

COMMAND_OPTIONS = {module.OPTIONS for module in COMMANDS.values()}


def columns(schema: pa.Schema) -> str:
    """A schema as a table."""
    lines = ["| column | type | unit | what |", "|---|---|---|---|"]
    for field in schema:
        facts = {key.decode(): value.decode() for key, value in field.metadata.items()}
        lines.append(f"| `{field.name}` | {kind(field, facts)} | {facts['unit']} | {facts['doc']} |")
    return "\n".join(lines)


def kind(field: pa.Field, facts: dict[str, str]) -> str:
    """A column's type as a reader thinks of it."""
    if "shape" in facts:
        sizes = ", ".join(NAMES.get(size, str(size)) for size in json.loads(facts["shape"]))
        shown = f"{facts['dtype']} [{sizes}]"
    elif pa.types.is_list(field.type) and not pa.types.is_struct(field.type.value_type):
        shown = f"list of {field.type.value_type}"
    elif pa.types.is_list(field.type):
        shown = "list of (" + ", ".join(str(leaf.name) for leaf in field.type.value_type) + ")"
    else:
        shown = str(field.type)
    return shown + (", may be null" if field.nullable else "")


def options(kind: type[Options]) -> str:
    """A command's options as a table."""
    lines = ["| option | default | allowed | what |", "|---|---|---|---|"]
    shared = {one.name for base in kind.__mro__[1:] if base in COMMAND_OPTIONS for one, _ in documented(base)}
    for declared, doc in documented(kind):
        if declared.name in shared:  # the table of the command that this one takes it from has it
            continue
        low, high = (f"{bound:g}" if bound is not None else "" for bound in (doc.low, doc.high))
        allowed = " or ".join(choice or "empty" for choice in doc.choices) or (
            f"{low} to {high}" if low and high else f"from {low}" if low else ""
        )
        default = "off" if declared.default is False else str(declared.default)  # 0 is a number, not "off"
        star = " Changes what is stored." if doc.changes_data else ""
        lines.append(f"| `{doc.flag or flag(declared.name)}` | {default} | {allowed} | {doc.text}.{star} |")
    return "\n".join(lines)


def profiles() -> str:
    """The built-in profiles, one a row."""
    lines = ["| profile | pictures | speech | words | good at | costs |", "|---|---|---|---|---|---|"]
    for one in PROFILES.values():
        named = f"{one.clip.architecture}:{one.clip.weights}".partition(":package:")[0]
        held = (weights.removeprefix(PACKAGE).partition("/")[0] if weights.startswith(PACKAGE) else weights
                for weights in (one.whisper.weights, one.text.weights))  # fmt: skip
        lines.append(f"| `{one.name}` | {named} | {' | '.join(held)} | {one.good_at} | {one.costs} |")
    return "\n".join(lines)


def sound_measures() -> str:
    """The columns of audio_feature."""
    lines = ["| place | measure | unit | what |", "|---|---|---|---|"]
    lines += [f"| {at} | {name} | {unit} | {doc} |" for at, (name, unit, doc) in enumerate(FEATURES)]
    return "\n".join(lines)


def index_kinds() -> str:
    """The table of choices."""
    lines = ["| kind | bytes a vector of 512 | recall@10 | when |", "|---|---|---|---|"]
    for row in KINDS:
        held = code_bytes(row.factory(10**6, 512), 512) + ID_BYTES
        lines.append(f"| `{row.pattern.replace('{eighth}', 'D/8')}` | {held} | {row.recall:g} | {row.when} |")
    return "\n".join(lines)


def commands() -> str:
    """Every command with its arguments and options."""
    shared = argparse.ArgumentParser(add_help=False)
    add_cache_flags(shared)
    rows = [f"| `{one.option_strings[0]}` | {one.help} |" for one in shared._actions]
    parts = ["\n".join(["Every command takes these:", "", "| option | what |", "|---|---|", *rows, ""])]
    for name, module in COMMANDS.items():
        parser = argparse.ArgumentParser(add_help=False)
        module.arguments(parser)
        own = parser._actions
        places = " ".join(shown(one) for one in own if not one.option_strings)
        part = [f"## reelbeam {name}", "", f"{module.HELP[0].upper()}{module.HELP[1:]}.", ""]
        part += ["```text", f"reelbeam {name} {places} [options]", "```", ""]
        if own:
            part += ["| argument | what |", "|---|---|"]
            part += [f"| `{', '.join(one.option_strings) or shown(one)}` | {one.help or ''} |" for one in own] + [""]
        if module.OPTIONS:
            taken = [other for other, its in COMMANDS.items() if its.OPTIONS in module.OPTIONS.__mro__[1:]]
            if taken:
                links = ", ".join(f"[`{other}`](#reelbeam-{other})" for other in taken)
                part += [f"Takes the options of {links}, and these:", ""]
            part += [options(module.OPTIONS), ""]
        parts.append("\n".join(part))
    return "\n".join(parts)


def shown(argument: argparse.Action) -> str:
    """A positional argument as the usage line shows it."""
    return str(argument.metavar or argument.dest).upper()


def fields(kind: type) -> str:
    """The fields of a stored record as a table, each with the docstring below it."""
    [body] = [node.body for node in ast.parse(inspect.getsource(kind)).body if isinstance(node, ast.ClassDef)]
    docs = dict(PLAIN_FIELDS)
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            docs[ast.unparse(node.target)] = " ".join(str(below.value.value).split())
    lines = ["| field | type | what |", "|---|---|---|"]
    types = (
        {one.name: one.type for one in dataclasses.fields(kind)}
        if dataclasses.is_dataclass(kind)
        else kind.__annotations__
    )
    for name, its_type in types.items():
        shown_type = str(its_type).replace("|", "or")  # a bar ends a cell
        lines.append(f"| `{name}` | {shown_type} | {docs.get(name, '')} |")
    return "\n".join(lines)


def exit_codes() -> str:
    """What each exit code means and what a scheduler should do."""
    lines = ["| exit code | meaning | what a scheduler does |", "|---|---|---|"]
    return "\n".join(lines + [f"| {code} | {meaning} | {then} |" for code, (meaning, then) in EXIT_CODES.items()])


def sections() -> dict[str, str]:
    """Every generated section by its name."""
    return {
        "windows": columns(windows_schema(SHAPE)),
        "videos": columns(videos_schema(SHAPE.text_dim)),
        "failures": columns(failures_schema()),
        "senses": columns(pa.schema([field for kind in FURTHER for field in kind().stored(10).fields(SHAPE.text_dim)])),
        "sound": sound_measures(),
        "profiles": profiles(),
        "index kinds": index_kinds(),
        "commands": commands(),
        "exit codes": exit_codes(),
        **{kind.__name__: fields(kind) for kind in RECORDS},
    }


def filled(text: str) -> str:
    """A page with its generated sections up to date."""
    for name, content in sections().items():
        marks = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = marks.sub(lambda found, content=content: f"{found[1]}{content}\n{found[2]}", text)  # type: ignore[misc]
    return text


def pages(root: Path) -> list[Path]:
    """The files of a checkout that may hold generated sections."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def fill_pages(root: Path) -> list[Path]:
    """Brings all pages up to date and returns those that changed."""
    changed = []
    for page in pages(root):
        before = page.read_text("utf-8")
        after = filled(before)
        if after != before:
            page.write_text(after, "utf-8")
            changed.append(page)
    return changed


if __name__ == "__main__":
    for changed_page in fill_pages(Path(sys.argv[1] if len(sys.argv) > 1 else ".")):
        print(f"filled {changed_page}")
