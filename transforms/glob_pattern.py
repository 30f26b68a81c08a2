"""glob_pattern: what a glob matches below a folder or prefix."""

from __future__ import annotations

import fnmatch
import re


def glob_pattern(glob: str) -> str:
    """A glob as a regular expression over relative paths. As in a shell, no star matches a leading dot.

    >>> bool(re.fullmatch(glob_pattern("*.mp4"), "a.mp4")), bool(re.fullmatch(glob_pattern("*.mp4"), "b/a.mp4"))
    (True, False)
    >>> bool(re.fullmatch(glob_pattern("**/*.mp4"), "b/c/a.mp4")), bool(re.fullmatch(glob_pattern("**/*.mp4"), "a.mp4"))
    (True, True)
    """
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]*\])", glob)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "(?!.*(?:^|/)[.])" * ("." not in {glob[0], *(after[0] for after in glob.split("/") if after)}) + "".join(
        known.get(part) or (fnmatch.translate(part)[4:-3] if part.startswith("[") else re.escape(part))
        for part in parts
    )
