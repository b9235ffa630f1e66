"""Pages of infra: their sums, and what they say of templates and metrics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from datahub_poller.observe.catalogue import CATALOGUE, Moment
from datahub_poller.observe.emf import Lines
from datahub_poller.observe.status import PollerStatus
from support.templates import parameters

INFRA = Path(__file__).parents[2] / "infra"
COST = (INFRA / "cost.md").read_text()
SERVICE = (INFRA / "ecs" / "service.yaml").read_text()
TABLES = [
    ("ecs", "ecs/service.yaml", "parameters"),
    ("ec2", "ec2/group.yaml", "parameters"),
    ("dead-letters", "dead-letters/queue.yaml", "queue"),
    ("dead-letters", "dead-letters/bucket.yaml", "bucket"),
]
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
    # A policy that tracks a target has an alarm for more and, unless its scale-in is disabled, one for fewer.
    scaling = 2 * SERVICE.count("PolicyType: TargetTrackingScaling") - SERVICE.count("DisableScaleIn: true")
    assert f"alarms: {alarms} of the template, {scaling} of scaling | {alarms + scaling} |" in COST


def test_sizing_goes_by_the_benchmarks_figures():
    results = (INFRA.parent / "tests" / "benchmarks" / "results.md").read_text()

    def of(run):
        (row,) = re.findall(
            rf"^{re.escape(run)} +[\d,]+ +[\d,]+ +\S+ - \S+ +\S+ +\S+ - \S+ +(\S+)", results, re.MULTILINE
        )
        return row

    runs = ("poller, 1000", "poller, Glue zlib", "poller, filter 5 % (4.98 %)")
    assert [of(run) for run in runs] == re.findall(r"(\d+\.\d) ms", COST)
    assert 1000 / float(of(runs[0])) * 1000 == pytest.approx(70_000, rel=0.05)
    assert 1000 / float(of(runs[1])) * 1000 == pytest.approx(40_000, rel=0.05)
    assert re.search(r"^at rest .* 75$", results, re.MULTILINE)
    assert "75 MB at rest" in COST


def test_the_example_is_worked_out_as_the_page_says():
    """The backlog is counted in offsets, before the filter; the handler gets what it passes."""
    example = re.sub(r"\s+", " ", COST.partition("Example: ")[2])

    def said(*sentences):
        return [float(re.search(sentence, example)[1].replace(",", "")) for sentence in sentences]

    peak, passed = said(r"^([\d,]+) events a second at the peak", r"passes (\d+) %")
    milliseconds, size, concurrency = said(r"takes (\d+) ms", r"ms for (\d+) events", r"`concurrency: (\d+)`")
    wanted, a_call, a_task = said(
        r"(\d+) events a second are wanted", r"does (\d+) a second", r"does (\d+) in one task"
    )
    assert wanted == peak * passed / 100
    assert a_call == round(size / milliseconds * 1000)
    assert a_task == int(concurrency * size / milliseconds * 1000)
    assert wanted / a_task * 1.5 <= 1, "one task"
    read, backlog, seconds = said(r"reads ([\d,]+) records", r"`BacklogPerTask=(\d+)`", r"for (\d+) seconds")
    assert read == a_task / (passed / 100)
    assert backlog == read * seconds


def test_what_the_backlog_is_measured_by_is_what_is_read_before_the_filter():
    backlog, polled = (
        next(each for each in CATALOGUE if any(target.name == name for target in each.cloudwatch))
        for name in ("BacklogPerProcess", "PolledEventCount")
    )
    assert "offsets" in backlog.says
    assert polled.says == "Records read from Kafka."
    page = (INFRA / "ecs" / "README.md").read_text()
    assert "`Average` of `PolledEventCount`" in page
    assert (
        "PolledEventCount"
        in parameters(INFRA / "ecs" / "service.yaml").partition("`BacklogPerTask`")[2].splitlines()[0]
    )


def test_variables_of_the_service_s_page_are_those_of_the_way_to_it():
    """Its command can be typed in the shell in which `infra/README.md` was followed."""
    page = (INFRA / "ecs" / "README.md").read_text()
    command = page.partition("$ aws cloudformation deploy")[2].partition("```")[0]
    used = set(re.findall(r"\$\{?([A-Z_]+)", command))
    exported = set(
        re.findall(r"(?:^\$ export |(?<=[a-z0-9]) )([A-Z_]+)=", (INFRA / "README.md").read_text(), re.MULTILINE)
    )
    assert used >= {"REPOSITORY", "BROKERS_GROUP", "ALARMS"}
    assert used <= exported


def test_a_password_of_msk_s_own_comes_with_its_key_and_efs_with_its_door():
    """MSK takes no secret that AWS's own key encrypts; without the door of the mount targets no task starts."""
    page = re.sub(r"\s+", " ", (INFRA / "ecs" / "README.md").read_text())
    given = page.partition("With a password (SASL/SCRAM)")[2].partition(" A secret is JSON")[0]
    assert {"SecretArn", "SecretKeyArns"} <= set(re.findall(r"`(\w+)`", given))
    assert "`SecretKeyArns`, else no task starts" in page
    assert re.search(r"mount targets must let the service's \(`SecurityGroupId` of the outputs\) in on port 2049", page)
    assert re.search(r"SecurityGroupId:\n    Description: .*2049", SERVICE)


def test_a_line_of_figures_is_as_long_as_the_cost_says():
    said = re.search(r"GB of logs taken in: 2 lines a minute of ([\d.]+) KB, and warnings \| ([\d.]+) ", COST)
    lines = Lines()
    length = len(lines.line(Moment(PollerStatus("tag-sync", "0.1.0", "running"), 100.0, 1_770_000_000.0)))
    means = 500  # of the two distributions, where there were calls, and longer numbers
    assert length / 1000 < float(said[1]) < (length + means) / 1000
    assert 2 * 60 * 730 * length / 1e9 < float(said[2])


def test_prices_have_a_date():
    assert re.search(r"as of \w+ 20\d\d", COST)


def test_the_runbook_has_a_line_for_each_alarm():
    names = re.findall(r"^  (\w+):\n    Type: AWS::CloudWatch::Alarm", SERVICE, re.MULTILINE)
    page = (INFRA / "ecs" / "README.md").read_text().partition("## Parameters")[0]
    assert re.findall(r"^\| `(\w+Alarm)` \|", page, re.MULTILINE) == names


@pytest.mark.parametrize("template", [template for _, template, _ in TABLES])
def test_every_parameter_says_what_it_does(template):
    for row in parameters(INFRA / template).splitlines()[2:]:
        name, _, says = (cell.strip() for cell in row.strip("|").split("|"))
        assert says.endswith((".", "}.")), name


@pytest.mark.parametrize(("page", "template", "part"), TABLES)
def test_the_page_holds_the_table_of_parameters(page, template, part):
    text = (INFRA / page / "README.md").read_text()
    held = text.partition(f"<!-- {part}:begin -->\n")[2].partition(f"<!-- {part}:end -->")[0]
    assert held == parameters(INFRA / template), f"run: python tests/support/templates.py infra/{template}"
