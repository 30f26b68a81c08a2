"""An Airflow 3 DAG: reelbeam nightly as one task, which fails for good where only a person can help.

Put it into Airflow's dags folder; the worker needs the `reelbeam` command, ffmpeg and the bucket's credentials.
"""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

INPUT = "s3://videos"
OUTPUT = "s3://features"
FLAGS = ["--models", "standard"]

NEEDS_A_PERSON = {2: "wrong options or models", 3: "a gate refused to publish", 4: "stored data is corrupt"}
"""Exit codes that a retry cannot help; the others may pass, and a rerun goes on from the last commit."""


@dag(
    dag_id="reelbeam_nightly",
    schedule="30 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,  # a missed night is made up for by the next one
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10), "execution_timeout": timedelta(hours=20)},
    tags=["reelbeam"],
)
def reelbeam_nightly() -> None:
    @task
    def nightly() -> None:
        code = subprocess.run(["reelbeam", "nightly", INPUT, OUTPUT, *FLAGS], check=False).returncode
        if code in NEEDS_A_PERSON:
            raise AirflowFailException(f"reelbeam nightly ended with {code}: {NEEDS_A_PERSON[code]}")
        if code:
            raise AirflowException(f"reelbeam nightly ended with {code}")

    nightly()


reelbeam_nightly()
