"""Commands on the pages are ones that there are: their names and options are looked at, and none is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from datahub_poller.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("poller/*.md")), *sorted(ROOT.glob("infra/**/*.md"))]
ENDS = {"|", "&&", "||", ";", ">", "&"}


STATES = {"breaker open", "breaker opened", "breaker is still open", "breaker closed"}
"""What the status and the log say of a state, in the form of a command."""


def written(text: str) -> list[str]:
    """What a page lets people type: lines of console blocks, and code within sentences that begins like a command."""
    blocks = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    names = "|".join(cli.commands)
    spans = re.findall(
        rf"`((?:datahub-poller )?(?:{names})(?: [^`]+)?)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    )
    return [
        *blocks,
        *(
            span if span.startswith("datahub-poller") else f"datahub-poller {span}"
            for span in spans
            if span not in STATES
        ),
    ]


def ours(line: str) -> list[list[str]]:
    """The words behind each `datahub-poller` of a line that a shell would run."""
    words = shlex.split(line.rstrip("\\"), comments=True)
    found: list[list[str]] = []
    for number, word in enumerate(words):
        if word.rpartition("/")[2] == "datahub-poller" and not (number and words[number - 1] in ("-t", "FROM")):
            rest = words[number + 1 :]
            end = next((at for at, each in enumerate(rest) if each in ENDS), len(rest))
            found.append(rest[:end])
    return found


def wrong(words: list[str]) -> str | None:
    """What there is not, of a command's words."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and words[0] not in ("...", "--help", "--version"):
        if words[0] not in command.commands:
            return words[0]
        name, *words = words
        command = command.commands[name]
    known = {"--help", "-h", "--version"} | {
        option for each in command.params for option in (*each.opts, *each.secondary_opts)
    }
    return next((word for word in words if word.startswith("-") and word.partition("=")[0] not in known), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_of_the_page_is_one(page):
    for line in written(page.read_text()):
        for words in ours(line):
            assert wrong(words) is None, line


def test_there_are_many_of_them():
    assert sum(len(ours(line)) for page in PAGES for line in written(page.read_text())) > 60


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("datahub-poller dead-letters redrive --dry-run", "--dry-run"),
        ("datahub-poller redrive", "redrive"),
        ("docker exec it datahub-poller stats", "stats"),
        ("datahub-poller run --config-file x", "--config-file"),
        ("datahub-poller breaker open", "open"),
        ("x && infra/datahub-poller status --why | jq", "--why"),
    ],
)
def test_one_that_there_is_not_is_found(line, what):
    (words,) = ours(line)
    assert wrong(words) == what
