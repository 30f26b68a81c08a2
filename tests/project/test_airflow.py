"""A real Airflow, in an environment of its own, finds no fault in our DAG and treats exit codes as it says."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PINNED = DEPLOY / "airflow_constraints.txt"
INSTALL_S = 900

LOOK = """
import json, sys
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(sys.argv[1])
print(json.dumps({
    "errors": bag.import_errors,
    "warnings": [str(warning) for found in bag.captured_warnings.values() for warning in found],
    "dags": {
        name: {
            "schedule": dag.schedule,
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "tasks": {task.task_id: [task.retries, task.retry_delay.total_seconds()] for task in dag.tasks},
        }
        for name, dag in bag.dags.items()
    },
}))
"""

WORK = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import AirflowException, AirflowFailException

task = DagBag(sys.argv[1]).dags["reelbeam_nightly"].get_task("nightly")
try:
    task.python_callable()
    print(json.dumps("done"))
except AirflowFailException:
    print(json.dumps("failed for good"))
except AirflowException:
    print(json.dumps("to be retried"))
"""


@pytest.fixture(scope="module")
def airflow_python() -> Path:
    """The Python of an environment with the pinned Airflow, installed once a set of pins into the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reelbeam"
    key = hashlib.sha256(PINNED.read_bytes() + sys.version.encode()).hexdigest()[:12]
    ready = cache / f"airflow-{key}"
    if not ready.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder, "venv")
            install(made)
            try:
                made.rename(ready)  # whole or not at all: an environment that is there is complete
            except OSError:
                assert ready.exists(), "another test run has installed the same"
    return ready / "bin" / "python"


def install(venv: Path) -> None:
    """An environment with Airflow, or a skip where no package index answers."""
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=120)
    [wanted] = re.findall(r"^apache-airflow==.*$", PINNED.read_text(), re.MULTILINE)
    asked = pip(venv, "download", "--no-deps", "--dest", str(venv), wanted)
    if "(from versions: none)" in asked.stderr:
        pytest.skip(f"no package index answers: {asked.stderr.splitlines()[-1]}")
    done = pip(venv, "install", "--constraint", str(PINNED), wanted)
    assert done.returncode == 0, done.stderr[-2000:]


def pip(venv: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(venv / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=INSTALL_S)


def run_in_airflow(python: Path, code: str, folder: Path, **more: str) -> Any:
    """What a program says, as JSON, about our DAG in a fresh Airflow home."""
    shutil.copy(DEPLOY / "airflow_dag.py", folder / "airflow_dag.py")
    environment = {**os.environ, "AIRFLOW_HOME": str(folder / "home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", **more}
    done = subprocess.run(
        [str(python), "-c", code, str(folder / "airflow_dag.py")],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_real_airflow_reads_the_dag_without_an_error_or_a_warning(airflow_python: Path, tmp_path: Path) -> None:
    found = run_in_airflow(airflow_python, LOOK, tmp_path)
    assert found["errors"] == {}
    assert found["warnings"] == []
    assert found["dags"] == {
        "reelbeam_nightly": {
            "schedule": "30 2 * * *",
            "catchup": False,
            "max_active_runs": 1,
            "tasks": {"nightly": [3, 600.0]},
        }
    }


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(0, "done"), (1, "to be retried"), (2, "failed for good"), (4, "failed for good"), (5, "to be retried")],
)
def test_the_task_says_to_airflow_what_the_exit_code_means(
    code: int, outcome: str, airflow_python: Path, tmp_path: Path
) -> None:
    command = tmp_path / "bin" / "reelbeam"
    command.parent.mkdir()
    command.write_text(f"#!/bin/sh\nexit {code}\n")
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    assert run_in_airflow(airflow_python, WORK, tmp_path, PATH=path) == outcome
