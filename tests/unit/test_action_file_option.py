"""`-c` names one file: click alone would keep the last one and drop the others without a word."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from datahub_poller.cli import cli


def commands(group: click.Group, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of the tree, with the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        else:
            yield (*above, name), command


WITH_FILE = {
    " ".join(words): words
    for words, command in commands(cli)
    if any("-c" in each.opts or "--config" in each.opts for each in command.params)
}


def test_the_commands_that_take_a_file_are_found():
    assert {"run", "check", "tail", "status", "explain", "give-up", "dead-letters list"} <= WITH_FILE.keys()
    assert len(WITH_FILE) >= 14


@pytest.mark.parametrize("words", WITH_FILE.values(), ids=list(WITH_FILE))
@pytest.mark.parametrize("second", [("-c", "other.yaml"), ("--config=other.yaml",), ("-cother.yaml",)])
def test_two_files_are_refused_by_every_command(words, second):
    done = CliRunner().invoke(cli, [*words, "-c", "action.yaml", *second])
    assert done.exit_code == 2
    assert "-c names 2 files: action.yaml and other.yaml. Give one: start one process per file." in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("words", WITH_FILE.values(), ids=list(WITH_FILE))
def test_one_file_is_taken_as_it_was(words):
    done = CliRunner().invoke(cli, [*words, "--help"])
    assert done.exit_code == 0
    assert "-c, --config FILE " in done.stdout
