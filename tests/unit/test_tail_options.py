"""`tail`'s options: what --since means, and what is wrong use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from datahub_poller.cli import cli
from datahub_poller.commands.tail import begin_since
from datahub_poller.start import Earliest, Since
from support.action_files import MINIMAL, written

pytestmark = pytest.mark.usefixtures("logging_as_before")
NOW = 1_769_846_400.0  # 2026-01-31T08:00:00Z


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("10m", 1_769_845_800_000),
        ("2h", 1_769_839_200_000),
        ("30", 1_769_846_370_000),
        ("0s", 1_769_846_400_000),
        ("2026-01-31T07:00:00Z", 1_769_842_800_000),
        ("2026-01-31T07:00:00", 1_769_842_800_000),
        ("2026-01-31T08:00:00+01:00", 1_769_842_800_000),
        ("2026-01-31", 1_769_817_600_000),
    ],
)
def test_since_is_a_time_or_so_long_ago(text, milliseconds):
    assert begin_since(text, NOW) == Since(milliseconds)


def test_since_earliest_is_the_whole_log():
    assert begin_since("earliest", NOW) == Earliest()


@pytest.mark.parametrize("text", ["latest", "yesterday", "", "-5m", "10y", "99999999h"])
def test_since_something_else_is_told_what_to_write(text):
    with pytest.raises(click.BadParameter, match=r"is neither a time nor a duration. Write 2026-01-31T08:00:00Z"):
        begin_since(text, NOW)


def test_since_the_future_is_refused():
    with pytest.raises(click.BadParameter, match="is in the future"):
        begin_since("2026-01-31T08:00:01Z", NOW)


@pytest.fixture
def tail(tmp_path: Path) -> Callable[..., Result]:
    path = written(tmp_path, MINIMAL)
    return lambda *arguments: CliRunner().invoke(cli, ["tail", "-c", str(path), *arguments])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--since", "10m", "--last", "5"), "--since and --last: give one of them"),
        (("--last", "0"), "--last 0 shows nothing without --follow"),
        (("--last", "-1"), "-1 is not in the range"),
        (("--limit", "0"), "0 is not in the range"),
        (("--since", "soon"), "'soon' is neither a time nor a duration"),
        (("--topic", "nowhere"), "--topic nowhere: not one of source.config.topic_routes: MetadataChangeLog_Versioned"),
    ],
)
def test_wrong_use_is_said_and_ends_with_2(tail, arguments, says):
    done = tail(*arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_wrong_ends_with_2(tmp_path):
    path = written(tmp_path, {**MINIMAL, "surce": 1})
    done = CliRunner().invoke(cli, ["tail", "-c", str(path)])
    assert done.exit_code == 2
    assert "surce" in done.stderr


def test_no_action_file_is_wrong_use():
    assert CliRunner().invoke(cli, ["tail"]).exit_code == 2


def test_help_keeps_its_lines():
    done = CliRunner().invoke(cli, ["tail", "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0
    assert "Examples:\n    datahub-poller tail -c action.yaml\n" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 85
