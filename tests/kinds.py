"""The kinds of files that we promise to read: how each is made, and what a viewer would see and hear, and when.

Each file shows a moving picture that turns white at one instant and sounds a beep at another. Times are on the
presentation clock. The table of docs/reference/files.md of supported files lists exactly these rows.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

FLASH_S, BEEP_S, LENGTH_S = 2.2, 2.6, 5
"""When the picture turns white for 0.6 s, and when the beep of 0.4 s starts, before a kind moves them."""


@dataclass(frozen=True)
class Kind:
    """One kind of file. `encode` holds ffmpeg's output options; `then` a second pass that copies streams about."""

    file: str
    what: str
    encode: str = "-c:v libx264 -c:a aac"
    fps: str = "25"
    size: str = "160x120"
    rate_hz: int = 48_000
    channels: str = "stereo"
    video: bool = True
    audio: bool = True
    filters: str = "null"
    then: str = ""
    """ffmpeg's arguments from a file {made} to a file {file}."""
    length_s: int = LENGTH_S
    joined: str = ""
    """Size of a second part that is appended byte by byte, its clock going on."""
    late_flash_s: float = 0
    late_beep_s: float = 0
    """How much later than FLASH_S and BEEP_S this kind shows and sounds them."""
    priming_s: float = 0
    """What the sound's encoder puts before its first sample, where the container cannot say that it must not be heard:
    there everything is that much later."""

    @property
    def flash_s(self) -> float:
        return FLASH_S + self.late_flash_s + self.priming_s

    @property
    def beep_s(self) -> float:
        return BEEP_S + self.late_beep_s + self.priming_s

    @property
    def frame_s(self) -> float:
        top, _, bottom = self.fps.partition("/")
        return float(bottom or 1) / float(top)

    def make(self, folder: Path) -> Path:
        """Makes the file. Equal kinds give equal files."""
        path = folder / self.file
        first = folder / f"made_{self.file}" if self.then else path
        inputs, outputs = [], []
        if self.video:
            white = f"between(t,{FLASH_S - 1e-4},{FLASH_S + 0.6})"
            picture = f"testsrc=s={self.size}:r={self.fps}:d={self.length_s},lutyuv=y=val/3,drawbox=t=fill:c=white:enable='{white}'"
            inputs += ["-f", "lavfi", "-i", f"{picture},{self.filters}"]
            outputs += ["-map", "0:v"]
        if self.audio:
            tone = f"if(between(t,{BEEP_S},{BEEP_S + 0.4}),0.7*sin(6283*t),0)"
            sound = f"aevalsrc='{tone}':s={self.rate_hz}:d={self.length_s},aformat=channel_layouts={self.channels}"
            inputs += ["-f", "lavfi", "-i", sound]
            outputs += ["-map", f"{int(self.video)}:a"]
        pixels = [] if "-pix_fmt" in self.encode or not self.video else ["-pix_fmt", "yuv420p"]
        _ffmpeg(*inputs, *outputs, *pixels, *self.encode.split(), str(first))
        if self.then:
            _ffmpeg(*(part.format(made=first, file=path) for part in self.then.split()))
        if self.joined:
            later = f"-output_ts_offset {self.length_s + 0.1}"
            tail = replace(self, file=f"tail_{self.file}", size=self.joined, joined="", encode=f"{self.encode} {later}")
            with open(path, "ab") as whole:
                whole.write(tail.make(folder).read_bytes())
        return path


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], check=True, timeout=120)


X264 = "-c:v libx264 -preset ultrafast -c:a aac"
AAC, MP3, WMA = 1024 / 48_000, 1105 / 48_000, 2048 / 48_000
"""Priming in samples: ISO/IEC 14496-3 annex, LAME's decoder delay, the encoder's one frame."""
SUBTITLE = "data:text/plain;base64,MQowMDowMDowMSwwMDAgLS0+IDAwOjAwOjAyLDAwMApoZWxsbwo="

KINDS = (
    Kind("h264.mp4", "H.264 and AAC in MP4, three B frames", "-c:v libx264 -bf 3 -c:a aac"),
    Kind("h264.mkv", "H.264 and AAC in Matroska", X264, priming_s=AAC),
    Kind("h264.mov", "QuickTime, 30000/1001 frames a second", X264, fps="30000/1001"),
    Kind("h264.ts", "MPEG transport stream: its clock starts at 1.4 s", X264, priming_s=AAC),
    Kind("h264.flv", "Flash video", X264, rate_hz=44_100, priming_s=1024 / 44_100),
    Kind(
        "fragmented.mp4",
        "fragmented MP4 without durations in its header",
        f"{X264} -movflags frag_keyframe+empty_moov",
        priming_s=AAC,
    ),
    Kind("hevc.mp4", "HEVC", "-c:v libx265 -preset ultrafast -x265-params log-level=error -c:a aac"),
    Kind(
        "hevc10.mkv",
        "HEVC, 10 bit",
        "-c:v libx265 -preset ultrafast -x265-params log-level=error -pix_fmt yuv420p10le -c:a ac3",
    ),
    Kind(
        "hdr10.mkv",
        "HDR10 (PQ, BT.2020), tone-mapped to BT.709",
        "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc "
        "-x265-params log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc -c:a aac",
        priming_s=AAC,
    ),
    Kind(
        "hlg.mp4",
        "HDR by HLG, tone-mapped to BT.709",
        "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -color_primaries bt2020 -color_trc arib-std-b67 -colorspace bt2020nc "
        "-x265-params log-level=error:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc -c:a aac",
    ),
    Kind("vp8.webm", "VP8 and Vorbis in WebM", "-c:v libvpx -deadline realtime -c:a libvorbis"),
    Kind("vp9.webm", "VP9 and Opus in WebM", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus"),
    Kind("av1.mkv", "AV1 and Opus", "-c:v libsvtav1 -preset 12 -c:a libopus"),
    Kind("av1.mp4", "AV1 in MP4", "-c:v libaom-av1 -usage realtime -cpu-used 8 -c:a aac"),
    Kind("mpeg1.mpg", "MPEG-1 program stream", "-c:v mpeg1video -c:a mp2"),
    Kind("mpeg2.ts", "MPEG-2 in a transport stream", "-c:v mpeg2video -bf 2 -c:a mp2"),
    Kind("mpeg4.avi", "MPEG-4 part 2 and MP3 in AVI", "-c:v mpeg4 -c:a libmp3lame", priming_s=MP3),
    Kind("wmv.asf", "Windows Media in ASF", "-c:v wmv2 -c:a wmav2", priming_s=WMA),
    Kind("theora.ogv", "Theora and Vorbis in Ogg", "-c:v libtheora -c:a libvorbis"),
    Kind("mjpeg.avi", "Motion JPEG and PCM", "-c:v mjpeg -pix_fmt yuvj420p -c:a pcm_s16le"),
    Kind("prores.mov", "ProRes 4:2:2, 10 bit, and PCM", "-c:v prores_ks -pix_fmt yuv422p10le -c:a pcm_s24le"),
    Kind("ffv1.mkv", "FFV1 and FLAC, lossless", "-c:v ffv1 -c:a flac"),
    Kind("h263.3gp", "H.263 and AAC in 3GP", "-c:v h263 -c:a aac", size="176x144"),
    Kind("moving.gif", "GIF", "-c:v gif -pix_fmt rgb8", fps="10", audio=False),
    Kind(
        "interlaced.ts",
        "interlaced: one field of a frame is shown",
        "-c:v mpeg2video -flags +ildct+ilme -top 1 -c:a mp2",
        filters="setfield=tff,fieldorder=tff",
    ),
    Kind("wide_pixels.mp4", "pixels that are not square", f"{X264}", filters="setsar=2/1"),
    Kind("odd.mkv", "odd width and height", "-c:v ffv1 -c:a flac", size="161x121"),
    Kind(
        "tall.mp4",
        "stored wide, shown upright by its rotation flag",
        X264,
        then="-i {made} -c copy -metadata:s:v rotate=90 {file}",
    ),
    Kind("uhd8k.mp4", "8K", "-c:v libx264 -preset ultrafast -c:a aac", fps="2", size="7680x4320"),
    Kind("surround.mkv", "5.1 sound, mixed to mono", "-c:v libx264 -preset ultrafast -c:a ac3", channels="5.1"),
    Kind(
        "telephone.mkv",
        "sound at 8 kHz",
        "-c:v libx264 -preset ultrafast -c:a pcm_mulaw",
        rate_hz=8_000,
        channels="mono",
    ),
    Kind("sound_only.m4a", "sound only", "-c:a aac", video=False),
    Kind("sound_only.mp3", "MP3", "-c:a libmp3lame", video=False),
    Kind("sound_only.flac", "FLAC", "-c:a flac", video=False),
    Kind("silent.mp4", "video without a sound track", "-c:v libx264 -preset ultrafast", audio=False),
    Kind("misnamed.jpg", "a wrong extension", f"{X264} -f matroska", priming_s=AAC),
    Kind("starts_at_10.ts", "a container clock that starts at 10 s", f"{X264} -output_ts_offset 10", priming_s=AAC),
    Kind(
        "late_sound.mp4",
        "sound that comes in 0.7 s late",
        X264,
        then="-i {made} -itsoffset 0.7 -i {made} -map 0:v -map 1:a -c copy {file}",
        late_beep_s=0.7,
    ),
    Kind(
        "late_video.mp4",
        "pictures that come in 0.8 s late (edit list)",
        X264,
        then="-itsoffset 0.8 -i {made} -i {made} -map 0:v -map 1:a -c copy {file}",
        late_flash_s=0.8,
    ),
    Kind(
        "cut_by_edit_list.mp4",
        "an edit list that skips the first second",
        f"{X264} -g 10",
        then="-ss 1 -i {made} -c copy {file}",
        late_flash_s=-1,
        late_beep_s=-1,
    ),
    Kind(
        "negative.mkv",
        "timestamps below zero: what lies before zero is not shown",
        X264,
        then="-itsoffset -0.5 -i {made} -c copy -avoid_negative_ts disabled {file}",
        late_flash_s=-0.5,
        late_beep_s=-0.5,
        priming_s=AAC,
    ),
    Kind("wrapped.ts", "a 33 bit clock that wraps around", f"{X264} -muxdelay 0 -output_ts_offset 95441.5"),
    Kind(
        "variable.mkv",
        "variable frame rate: every third frame is missing in part",
        X264,
        filters="select='not(eq(mod(n\\,3)\\,2)*lt(t\\,2))'",
        priming_s=AAC,
    ),
    Kind(
        "two_tracks.mkv",
        "several sound tracks: the default one is heard",
        X264,
        then="-f lavfi -i anoisesrc=d=5:a=0.5 -i {made} -map 1:v -map 0:a -map 1:a -c:v copy -c:a:1 copy "
        "-disposition:a:0 0 -disposition:a:1 default {file}",
        priming_s=AAC,
    ),
    Kind("resized.ts", "a picture size that changes on the way", X264, joined="320x240", priming_s=AAC),
    Kind(
        "no_duration.webm", "no duration in the header", "-c:v libvpx -deadline realtime -c:a libopus -live 1 -f webm"
    ),
    Kind(
        "subtitled.mkv",
        "subtitles beside it are not read",
        X264,
        then=f"-i {{made}} -f srt -i {SUBTITLE} -map 0 -map 1 -c:v copy -c:a copy -c:s srt {{file}}",
        priming_s=AAC,
    ),
)
