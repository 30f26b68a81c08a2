"""Encryption is what a header declares, not bytes that look like it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelbeam.schemas.errors import InputError
from reelbeam.transforms.encrypted import EBML_MAGIC, MATROSKA_PATH, encryption_of
from reelbeam.transforms.probe import probe_file

from ..odd_media import encrypted, ffmpeg


def test_an_encrypted_movie_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"encv.*Cure: store a decrypted copy"):
        probe_file(encrypted(tmp_path))


@pytest.mark.parametrize("name", ["title.mp4", "title.mov", "title.mkv", "title.webm"])
def test_bytes_in_a_header_that_look_like_encryption_are_not_taken_for_it(name: str, tmp_path: Path) -> None:
    title = "encv enca drms drmi aavd m\u0080P5"  # in UTF-8 not the ids themselves: those are put in below
    made = ffmpeg(f"-f lavfi -i testsrc=d=1:s=64x64 -metadata title=TITLE{'.' * 40}", tmp_path / name)
    content = made.read_bytes()
    at = content.index(b"TITLE")
    disguised = title.encode() + b"\x6d\x80\x20\x50\x35"
    assert len(disguised) <= 45
    made.write_bytes(content[:at] + disguised.ljust(45, b".") + content[at + 45 :])
    assert encryption_of(made) == ""


def test_an_encrypted_track_is_found_behind_a_large_header(tmp_path: Path) -> None:
    def element(key: bytes, inner: bytes) -> bytes:
        return key + b"\x01" + len(inner).to_bytes(7, "big") + inner

    inner = b""
    for key in reversed(MATROSKA_PATH[1:]):
        inner = element(key, inner)
    void = element(b"\xec", bytes(1 << 20))
    path = tmp_path / "a.mkv"
    path.write_bytes(element(EBML_MAGIC, b"") + element(MATROSKA_PATH[0], void + inner))
    assert "ContentEncryption" in encryption_of(path)


@pytest.mark.parametrize(
    "content", [b"\x00\x00\x00\x08moov" * 3, b"\x00\x00\x00\x00ftyp", EBML_MAGIC, EBML_MAGIC + b"\x01" * 5]
)
def test_a_broken_header_declares_nothing(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert encryption_of(path) == ""
