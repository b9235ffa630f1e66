"""Pages of infra: their sums, and what they say of templates and metrics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from datahub_poller.observe.catalogue import CATALOGUE

INFRA = Path(__file__).parents[2] / "infra"
COST = (INFRA / "cost.md").read_text()
SERVICE = (INFRA / "ecs" / "service.yaml").read_text()
ROWS = re.findall(r"^\| ([^|*]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", COST, re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:20])
def test_each_line_is_its_product(row):
    _, count, price, said = row
    assert float(said) == pytest.approx(float(count) * float(price), abs=0.0051)


def test_the_sum_is_one():
    assert len(ROWS) >= 7
    said = re.search(r"\*\*sum\*\* \| \| \| \*\*([\d.]+)\*\*", COST)
    assert said is not None
    assert float(said[1]) == pytest.approx(sum(float(row[3]) for row in ROWS), abs=0.0051)


def test_it_counts_the_metrics_and_alarms_that_there_are():
    metrics = 1 + sum(len(metric.cloudwatch) for metric in CATALOGUE)
    (counted,) = [row for row in ROWS if row[0].startswith("metrics")]
    assert int(counted[1]) == metrics
    alarms = SERVICE.count("Type: AWS::CloudWatch::Alarm")
    assert f"alarms: {alarms} of the template, 2 of scaling | {alarms + 2} |" in COST


def test_the_runbook_has_a_line_for_each_alarm():
    names = re.findall(r"^  (\w+):\n    Type: AWS::CloudWatch::Alarm", SERVICE, re.MULTILINE)
    page = (INFRA / "ecs" / "README.md").read_text()
    assert re.findall(r"^\| `(\w+Alarm)` \|", page, re.MULTILINE) == names
