"""reelbeam plan: what a job would cost."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from reelbeam.pipeline.cli import main
from reelbeam.pipeline.views import PlanOptions, plan_costs
from reelbeam.schemas.errors import UsageError

LARGE = PlanOptions(videos=1e6, hours=1e5)


def test_twice_the_bucket_takes_twice_the_work_and_more_machines() -> None:
    first, night = plan_costs(LARGE)
    double, _ = plan_costs(replace(LARGE, videos=2e6, hours=2e5))
    assert double.core_s == pytest.approx(2 * first.core_s)
    assert double.machines > first.machines
    assert night.core_s < first.core_s / 50


def test_the_machines_of_a_plan_end_in_time_and_one_less_would_not() -> None:
    first, night = plan_costs(LARGE)
    assert first.hours <= 24 * LARGE.days + 0.1
    assert night.hours <= LARGE.night_h + 0.1
    fewer, _ = plan_costs(replace(LARGE, machines=first.machines - 1))
    assert fewer.hours > 24 * LARGE.days


def test_less_decoding_costs_less() -> None:
    exact, reference, key = (plan_costs(replace(LARGE, decoded=way))[0].core_s for way in ("exact", "reference", "key"))
    assert exact > reference > key


@pytest.mark.parametrize("options", [PlanOptions(), PlanOptions(videos=5), replace(LARGE, videos=1e12)])
def test_a_plan_that_cannot_be_made_says_what_it_needs(options: PlanOptions) -> None:
    with pytest.raises(UsageError, match=r"--videos|--night-h"):
        plan_costs(options)


def test_the_command_prints_both_runs_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--videos", "1e6", "--hours", "1e5", "--price", "2"]) == 0
    shown = capsys.readouterr().out
    assert "first run" in shown
    assert "a night, 1% new" in shown
    assert main(["plan", "--videos", "1e6", "--hours", "1e5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["first"]["machines"] >= 1
