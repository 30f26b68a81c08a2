"""Options of `reelbeam explore`."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from ...schemas.errors import UsageError
from ...schemas.options import Options, option

LOOPBACK = ("127.0.0.1", "localhost", "::1")

TOKEN_BYTES_LEAST = 16
"""A shorter token could be guessed."""


@dataclass(frozen=True)
class ExploreOptions(Options):
    """reelbeam explore"""

    host: str = option("127.0.0.1", "address to listen on; any but this machine's own needs --token-file")
    port: int = option(8000, "port to listen on; 0 takes a free one", low=0, high=65535)
    token_file: str = option("", "file with the token that visitors must give; it is made when it does not exist")
    processes: int = option(
        1,
        "server processes, for many visitors: each holds its own models and caches, and answers on one core",
        low=1,
        high=64,
    )
    no_signed_urls: bool = option(
        False, "pass videos of a bucket through this server: for a bucket that browsers cannot reach"
    )
    name: str = option("frames", "index of frames to search")
    models: str = option("", "models to encode queries with; default: those that made the dataset")
    device: str = option("auto", "where queries are encoded: auto, cpu, cuda")

    def token(self) -> str | None:
        """The token that visitors must give; None on loopback without --token-file. Raises UsageError for another host without one,
        and for a token that is too short."""
        if not self.token_file:
            if self.host in LOOPBACK:
                return None
            raise UsageError(
                f"--host {self.host}: others could read the dataset there; cure: give --token-file FILE, or listen on 127.0.0.1"
            )
        file = Path(self.token_file)
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(24) + "\n")
        token = file.read_text().strip()
        if len(token) < TOKEN_BYTES_LEAST:
            raise UsageError(
                f"--token-file {file}: its token has {len(token)} characters, at least {TOKEN_BYTES_LEAST} are wanted; "
                "cure: delete the file, and a good one is made"
            )
        return token


def same_token(given: str, token: str) -> bool:
    """Whether they are equal, in a time that says nothing about where they differ.

    >>> same_token("a", "b"), same_token("ä", "ä")
    (False, True)
    """
    return hmac.compare_digest(given.encode(), token.encode())
