"""Odd files that people have reported somewhere: one function for each oddity. Each is given a folder, and returns what to
give to `reelbeam extract`. ODD says what must become of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PLAIN = "-f lavfi -i testsrc2=s={size}:r=10:d={seconds} -f lavfi -i sine=440:r=16000:d={seconds}"


def ffmpeg(arguments: str, *files: Path) -> Path:
    """Runs ffmpeg; the last file is the output, and is returned."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments.split(), str(files[-1])]
    subprocess.run(command, check=True, timeout=120)
    return files[-1]


def plain(folder: Path, name: str = "plain.mp4", seconds: int = 2, extra: str = "", size: str = "64x48") -> Path:
    """Pictures and a tone."""
    folder.mkdir(exist_ok=True)
    source = PLAIN.format(seconds=seconds, size=size)
    return ffmpeg(f"{source} -pix_fmt yuv420p -g 10 {extra}", folder / name)


def thrice(path: Path) -> Path:
    """The same file three times over, byte by byte."""
    path.write_bytes(path.read_bytes() * 3)
    return path


def tone(folder: Path, name: str, extra: str = "", seconds: int = 2) -> Path:
    return ffmpeg(f"-f lavfi -i sine=440:r=16000:d={seconds} {extra}", folder / name)


def joined_ts(folder: Path) -> Path:
    return thrice(plain(folder, "joined.ts", 4))


def joined_mpg(folder: Path) -> Path:
    return thrice(plain(folder, "joined.mpg", 4, "-r 25 -c:v mpeg2video -c:a mp2"))


def joined_mp4(folder: Path) -> Path:
    return thrice(plain(folder, "joined.mp4", 4))


def joined_mkv(folder: Path) -> Path:
    return thrice(plain(folder, "joined.mkv", 4))


def joined_flv(folder: Path) -> Path:
    return thrice(plain(folder, "joined.flv", 4, "-ar 44100"))


def joined_ogg(folder: Path) -> Path:
    return thrice(tone(folder, "joined.ogg", "-c:a libvorbis", 4))


def joined_flac(folder: Path) -> Path:
    return thrice(tone(folder, "joined.flac", "", 4))


def joined_mp3(folder: Path) -> Path:
    return thrice(tone(folder, "joined.mp3", "-write_xing 0", 4))


def preview_first(folder: Path) -> Path:
    big = "-f lavfi -i testsrc2=s=320x180:r=10:d=2"
    return ffmpeg(f"-f lavfi -i color=blue:s=64x64:d=2:r=10 {big} -map 0 -map 1", folder / "preview.mp4")


def cover_picture(folder: Path) -> Path:
    cover = ffmpeg("-f lavfi -i color=red:s=300x300:d=1 -frames:v 1", folder / "cover.png")
    sound = f"-f lavfi -i sine=440:r=16000:d=2 -i {cover} -map 0 -map 1 -c:v png -disposition:v:0 attached_pic"
    return ffmpeg(sound, folder / "cover.mp3")


def encrypted(folder: Path) -> Path:
    key = "00112233445566778899aabbccddeeff"
    scheme = f"-encryption_scheme cenc-aes-ctr -encryption_key {key} -encryption_kid {key}"
    return plain(folder, "encrypted.mp4", 2, scheme)


def loop(folder: Path) -> Path:
    plain(folder / "loop")
    (folder / "loop" / "again").symlink_to(".")
    return folder / "loop"


def dangling(folder: Path) -> Path:
    plain(folder / "dangling")
    (folder / "dangling" / "gone.mp4").symlink_to("/nonexistent")
    return folder / "dangling"


def bad_name(folder: Path) -> Path:
    made = plain(folder / "bad")
    os.link(made, os.fsencode(made.parent) + b"/b\xff.mp4")
    return made.parent


def new_line(folder: Path) -> Path:
    made = plain(folder / "line")
    os.link(made, made.parent / "b\nc.mp4")
    return made.parent


def pipe(folder: Path) -> Path:
    made = plain(folder / "pipe")
    os.mkfifo(made.parent / "pipe.mp4")
    return made.parent


def odd_names(folder: Path) -> Path:
    made = plain(folder / "names")
    for name in ("space name", "🎬 ünï", "t%20pct#hash?q:colon", "-dash", "<img src=x onerror=alert(1)>", "quote\"s'"):
        os.link(made, made.parent / f"{name}.mp4")
    (made.parent / "folder.mp4").mkdir()
    (made.parent / "link.mp4").symlink_to("plain.mp4")
    return made.parent


def odd_list(folder: Path) -> Path:
    plain(folder)
    rows = 'plain.mp4,"A ""quoted"" title"\r\n,a row without a uri\r\nmissing.mp4,gone\r\nplain.mp4,twice\r\n'
    (folder / "list.csv").write_bytes(
        b"\xef\xbb\xbfuri,title\r\n" + rows.encode() + b"caf\xe9.mp4,latin\r\nftp://h/a.mp4,\r\n"
    )
    return folder / "list.csv"


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def noise(folder: Path) -> Path:
    (folder / "noise.mp4").write_bytes(bytes(range(7, 256, 3)) * 1000)
    return folder / "noise.mp4"


def sound_longer(folder: Path) -> Path:
    pictures = "-f lavfi -i testsrc2=s=64x48:r=10:d=2 -f lavfi -i sine=440:r=16000:d=12"
    return ffmpeg(pictures, folder / "longer.mp4")


def gap(folder: Path) -> Path:
    jump = "setpts='if(gt(N,10),PTS+60/TB,PTS)'"
    return ffmpeg(f"-f lavfi -i testsrc2=s=64x48:r=10:d=2 -vf {jump} -fps_mode vfr", folder / "gap.mkv")


def one_frame(folder: Path) -> Path:
    return plain(folder, "one_frame.mp4", 1, "-an -frames:v 1")


def two_by_two(folder: Path) -> Path:
    return plain(folder, "two.mkv", 2, "-an -c:v ffv1", "2x2")


def wide_pixels(folder: Path) -> Path:
    return plain(folder, "wide.mp4", 2, "-vf setsar=10/1")


def gray(folder: Path) -> Path:
    return ffmpeg("-f lavfi -i testsrc2=s=64x48:r=10:d=2 -vf format=gray -c:v libx264", folder / "gray.mp4")


def yuv444(folder: Path) -> Path:
    return ffmpeg("-f lavfi -i testsrc2=s=64x48:r=10:d=2 -vf format=yuv444p -c:v libx264", folder / "444.mp4")


def alpha(folder: Path) -> Path:
    return ffmpeg("-f lavfi -i testsrc2=s=64x48:r=10:d=2 -vf format=yuva420p -c:v libvpx-vp9", folder / "alpha.webm")


def at_192_khz(folder: Path) -> Path:
    return tone(folder, "192.wav", "-ar 192000 -c:a pcm_s24le")


def sparse(folder: Path) -> Path:
    return ffmpeg("-f lavfi -i testsrc2=s=64x36:r=1/60:d=3600 -c:v libx264 -g 10", folder / "sparse.mp4")


@dataclass(frozen=True)
class Odd:
    """What must become of one oddity: how many videos end how, and the failures by stage and kind."""

    make: Callable[[Path], Path]
    ok: int = 1
    partial: int = 0
    failed: int = 0
    failures: tuple[str, ...] = ()
    lost_s: float = 0.0
    """Seconds that the failures say are lost, for partial ones."""
    slow: bool = False


JOINED = {"ok": 0, "partial": 1, "failures": ("probe joined",), "lost_s": 8.0}

ODD = (
    Odd(joined_ts, **JOINED),  # type: ignore[arg-type]
    Odd(joined_mpg, **JOINED, slow=True),  # type: ignore[arg-type]
    Odd(joined_mp4, **JOINED),  # type: ignore[arg-type]
    Odd(joined_mkv, **JOINED, slow=True),  # type: ignore[arg-type]
    Odd(joined_flv, **JOINED, slow=True),  # type: ignore[arg-type]
    Odd(joined_ogg, **JOINED, slow=True),  # type: ignore[arg-type]
    Odd(joined_flac, **JOINED, slow=True),  # type: ignore[arg-type]
    Odd(
        joined_mp3, ok=0, partial=1, failures=("decode damaged",), slow=True
    ),  # all of it is read; its joints are complained of
    Odd(preview_first),
    Odd(cover_picture),
    Odd(encrypted, ok=0, failed=1, failures=("probe encrypted",)),
    Odd(loop, failed=1, failures=("list link_loop",)),
    Odd(dangling, failed=1, failures=("list dangling_link",)),
    Odd(bad_name, failed=1, failures=("list bad_name",)),
    Odd(new_line, failed=1, failures=("list bad_name",)),
    Odd(pipe, failed=1, failures=("list not_a_file",), slow=True),
    Odd(odd_names, ok=8, slow=True),
    Odd(odd_list, failed=4, failures=("list bad_name", "list bad_row", "list unreadable", "probe vanished")),
    Odd(empty, ok=0, failed=1, failures=("probe empty",)),
    Odd(noise, ok=0, failed=1, failures=("probe not_media",), slow=True),
    *(Odd(make, slow=True) for make in (sound_longer, gap, one_frame, two_by_two, wide_pixels, gray, yuv444, alpha)),
    *(Odd(make, slow=True) for make in (at_192_khz, sparse)),
)
