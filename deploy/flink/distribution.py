"""Downloads what a Flink cluster that runs Beam pipelines needs: Flink from PyPI, Beam's Flink runner from Maven Central.

    python -m deploy.flink.distribution [FOLDER]

The files are kept in FOLDER (default: build/flink, which git ignores), and a second call downloads nothing.
Needs a JDK (11 or 17) and Maven.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
DEFAULT_FOLDER = REPOSITORY / "build" / "flink"

FLINK = "apache-flink-libraries==1.19.3"
"""Flink's own distribution, as the Python package that carries its jars. The minor version is the one of pom.xml's runner."""

PATCH = HERE / "FlinkExecutableStageContextFactory.java"
"""A class of Beam's runner that we replace; the file says why."""

LIBRARIES = ("flink-dist-", "log4j-api-", "log4j-core-", "log4j-slf4j-impl-")
"""The jars of Flink that a cluster for Beam needs. SQL and connectors are left out."""


class Unavailable(RuntimeError):
    """A program that the cluster needs is not installed."""


@dataclass(frozen=True)
class Distribution:
    """Folders of jars: Flink's own, and Beam's runner with all that it needs. And our classes, which come before both."""

    flink: Path
    beam: Path
    classes: Path

    @property
    def class_path(self) -> str:
        """All of it, as `java -cp` takes it."""
        jars = sorted([*self.flink.glob("*.jar"), *self.beam.glob("*.jar")], key=lambda jar: jar.name)
        return ":".join(map(str, [self.classes, *jars]))


def missing_program() -> str:
    """Why no cluster can be had on this machine, or an empty string."""
    for program, package in (("javac", "openjdk-17-jdk-headless"), ("mvn", "maven")):
        if shutil.which(program) is None:
            return f"{program} is not installed; cure: apt-get install {package}"
    return ""


def fetch(folder: Path = DEFAULT_FOLDER) -> Distribution:
    """Downloads what is not in the folder yet. Raises Unavailable without Java or Maven, CalledProcessError when a download fails."""
    if reason := missing_program():
        raise Unavailable(reason)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = hashlib.sha256((FLINK + (HERE / "pom.xml").read_text()).encode()).hexdigest()[:12]
    source = hashlib.sha256(wanted.encode() + PATCH.read_bytes()).hexdigest()[:12]
    found = Distribution(folder / f"flink-{wanted}", folder / f"beam-{wanted}", folder / f"classes-{source}")
    if not found.flink.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            fetch_flink(Path(work)).rename(found.flink)
    if not found.beam.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            fetch_beam(Path(work)).rename(found.beam)
    if not found.classes.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            command = ["javac", "-nowarn", "-cp", found.class_path, "-d", f"{work}/classes", str(PATCH)]
            subprocess.run(command, check=True)
            Path(work, "classes").rename(found.classes)
    return found


def fetch_flink(work: Path) -> Path:
    """The jars of Flink. The package is a source archive: it is unpacked, never built."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--dest", str(work), FLINK], check=True)
    [archive] = work.glob("*.tar.gz")
    jars = work / "jars"
    jars.mkdir()
    with tarfile.open(archive) as packed:
        for member in packed:
            name = Path(member.name).name
            if "/deps/lib/" in member.name and name.startswith(LIBRARIES):
                member.name = name
                packed.extract(member, jars, filter="data")
    archive.unlink()
    return jars


def fetch_beam(work: Path) -> Path:
    """Beam's runner and its dependencies without Flink's own jars."""
    jars = work / "jars"
    maven = ["mvn", "--batch-mode", "--quiet", f"--file={HERE / 'pom.xml'}", "dependency:copy-dependencies"]
    options = ["-DincludeScope=runtime", "-DexcludeGroupIds=org.apache.flink", f"-DoutputDirectory={jars}"]
    subprocess.run([*maven, *options], check=True)
    return jars


if __name__ == "__main__":
    try:
        print(fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER))
    except Unavailable as error:
        sys.exit(str(error))
