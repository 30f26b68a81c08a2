"""The schedules start a command that exists, and treat its exit codes as the documentation says."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from reelbeam.pipeline.cli import build_parser
from reelbeam.schemas.errors import EXIT_CODES

yaml = pytest.importorskip("yaml")

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PERSON = {2, 3, 4}
"""Exit codes that no retry helps."""


def accepted(words: list[str]) -> bool:
    """Whether our command line takes these words, from `nightly` on."""
    _, rest = build_parser().parse_known_args(words)
    return not rest


def service() -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / "reelbeam-nightly.service")
    return dict(parser["Service"])


def test_the_cron_line_is_well_formed_and_its_command_is_ours() -> None:
    [line] = [line for line in (DEPLOY / "reelbeam.cron").read_text().splitlines() if re.match(r"[\d*]", line)]
    fields = line.split(None, 6)
    assert all(re.fullmatch(r"[\d*/,-]+", field) for field in fields[:5])
    words = shlex.split(fields[6].split("2>>")[0])
    assert accepted(words[words.index("nightly") :])


def test_the_service_starts_our_command_and_retries_only_what_may_pass() -> None:
    found = service()
    words = shlex.split(found["ExecStart"])
    assert accepted(words[words.index("nightly") :])
    assert set(map(int, found["RestartForceExitStatus"].split())) == {1, 5}
    assert set(map(int, found["RestartPreventExitStatus"].split())) == PERSON


def test_systemd_itself_finds_no_fault_in_the_timer() -> None:
    try:
        done = subprocess.run(
            ["systemd-analyze", "calendar", "*-*-* 02:30:00"], capture_output=True, text=True, timeout=30
        )
    except FileNotFoundError:
        pytest.skip("systemd is not installed here")
    assert done.returncode == 0, done.stderr
    assert "OnCalendar=*-*-* 02:30:00" in (DEPLOY / "reelbeam-nightly.timer").read_text()


def test_the_cron_job_is_one_at_a_time_and_fails_for_good_where_a_person_is_needed() -> None:
    job = yaml.safe_load((DEPLOY / "cronjob.yaml").read_text())
    assert job["kind"] == "CronJob"
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    inner = job["spec"]["jobTemplate"]["spec"]
    [rule] = [rule for rule in inner["podFailurePolicy"]["rules"] if rule["action"] == "FailJob"]
    assert set(rule["onExitCodes"]["values"]) == PERSON
    [container] = inner["template"]["spec"]["containers"]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    assert inner["template"]["spec"]["restartPolicy"] == "Never"  # what podFailurePolicy asks for
    assert accepted([*container["command"][1:], *container["args"]])


def dag_module(monkeypatch: pytest.MonkeyPatch, code: int) -> Any:
    """The DAG file, run against stand-ins for the four names that it takes from Airflow; a real one runs it in test_airflow.py."""
    made: dict[str, Any] = {}

    class Retry(Exception):
        pass

    class Final(Retry):
        pass

    def dag(**settings: Any) -> Any:
        made["settings"] = settings
        return lambda function: function

    def task(function: Any) -> Any:
        made["task"] = function
        return lambda: None

    for name, names in {
        "airflow": {},
        "airflow.sdk": {"dag": dag, "task": task},
        "airflow.sdk.exceptions": {"AirflowException": Retry, "AirflowFailException": Final},
    }.items():
        module = types.ModuleType(name)
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(
        subprocess, "run", lambda words, check: made.update(words=words) or types.SimpleNamespace(returncode=code)
    )
    source = (DEPLOY / "airflow_dag.py").read_text()
    ast.parse(source)
    exec(compile(source, "airflow_dag.py", "exec"), {"__name__": "dag"})
    return types.SimpleNamespace(made=made, Retry=Retry, Final=Final)


@pytest.mark.parametrize("code", range(6))
def test_the_airflow_task_retries_what_may_pass_and_fails_for_good_otherwise(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dag_module(monkeypatch, code)
    assert found.made["settings"]["max_active_runs"] == 1
    assert not found.made["settings"]["catchup"]
    if code == 0:
        found.made["task"]()
        assert accepted(found.made["words"][1:])
    else:
        with pytest.raises(found.Retry) as raised:
            found.made["task"]()
        assert (raised.type is found.Final) == (code in PERSON)


def test_the_page_on_operating_knows_every_exit_code_and_file() -> None:
    page = (DEPLOY / "OPERATING.md").read_text()
    assert {str(code) for code in EXIT_CODES} == set(re.findall(r"^\| (\d+) \|", page, re.MULTILINE))
    for file in ("reelbeam.cron", "reelbeam-nightly.service", "cronjob.yaml", "airflow_dag.py"):
        assert file in page
        assert (DEPLOY / file).is_file()
