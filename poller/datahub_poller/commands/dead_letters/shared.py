"""What the commands of `dead-letters` share: the action's place, opened and told of, and how lines get out.

`choosing` has the options that say which letters are meant.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datahub_poller.commands.shared import FAILED, fail, fail_for, start_logging
from datahub_poller.errors import CannotStart, ConfigError, Transient

if TYPE_CHECKING:
    from datahub_poller.config import ActionFile
    from datahub_poller.deadletter.account import Chosen, Letters
    from datahub_poller.deadletter.choice import Choice, State
    from datahub_poller.deadletter.found import Found
    from datahub_poller.deadletter.store import Store
    from datahub_poller.observe.event_line import Paint, Role

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, one document a line.")
STYLES = {"time": "bright_black", "place": "cyan", "type": "blue", "change": "green", "bad": "red", "aside": "yellow"}


@dataclass(frozen=True, slots=True)
class Place:
    """An action's letters, and `tell`, which says a line on standard error, safely and without secrets."""

    action: ActionFile
    store: Store
    tell: Callable[[str], None]

    def letters(self) -> Letters:
        """The action's letters."""
        from datahub_poller.deadletter.account import letters

        return letters(self.store, self.action.name)

    def chosen(self, choice: Choice) -> Chosen:
        """Those that are chosen."""
        from datahub_poller.deadletter.account import Chosen

        return Chosen(self.letters(), choice)


def load(path: Path) -> ActionFile:
    """The action file, without the rules for the place where letters are written: here none are."""
    from datahub_poller import config

    try:
        return config.load(path, os.environ)
    except ConfigError as error:
        fail_for(error.problems)


@contextmanager
def opened(path: Path) -> Iterator[Place]:
    """The place of the letters of the action file at the path, its caution said first.

    What goes wrong with the place is said, and ends the command with 1; a wrong file ends it with 2.
    """
    from datahub_poller import letterbox
    from datahub_poller.config import secrets_of
    from datahub_poller.observe.logs import say
    from datahub_poller.observe.scrub import Scrubber, one_line

    action = load(path)
    start_logging(action, "critical")
    scrub = Scrubber(secrets_of(action, os.environ)).text

    def tell(text: str) -> None:
        say(f"datahub-poller: {one_line(scrub(text))}")

    try:
        store = letterbox.store(action, os.environ)
        try:
            if caution := store.caution:
                tell(caution)
            yield Place(action, store, tell)
            sys.stdout.flush()
        finally:
            store.close()
    except ConfigError as error:
        fail_for(error.problems)
    except (CannotStart, Transient) as error:
        fail(one_line(scrub(str(error).partition("\n")[0])), FAILED)
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone: that is no failure


def say(line: str) -> None:
    """A line on standard output, whatever it can encode."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def say_json(document: Mapping[str, Any]) -> None:
    """A document on a line of standard output, in ASCII: nothing in it can steer a terminal."""
    sys.stdout.write(json.dumps(document) + "\n")


def as_document(letter: Found, state: str, where: list[str]) -> dict[str, Any]:
    """The whole letter, with `id`, `state` and `where` it lies."""
    return {**letter.document, "id": letter.id, "state": state, "where": where}


def tell_oddities(letters: Letters, tell: Callable[[str], None]) -> None:
    """Say what lay among the letters. To be called when all were looked at."""
    if letters.repeated:
        tell(f"{counted(letters.repeated)} there more than once: each counts once")
    if letters.others:
        tell(f"{counted(letters.others)} of other actions, which share this place: not looked at")
    for each in letters.rejects:
        tell(f"no dead letter: {each.where}: {each.reason}")
    if letters.rejected > len(letters.rejects):
        tell(f"no dead letter: {letters.rejected - len(letters.rejects):,} more")


def counted(count: int, what: str = "letter") -> str:
    """`1 letter`, `2,000 letters`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def painter() -> Paint:
    """With colour on a terminal that wants it."""
    from datahub_poller.observe.event_line import plain

    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return plain

    def paint(text: str, role: Role) -> str:
        return click.style(text, fg=STYLES.get(role), bold=role == "entity")

    return paint


@contextmanager
def progress(what: str, total: int | None = None, *, beside_lines: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if that is a terminal: `advance(count)` moves it on.

    `beside_lines`: lines are printed meanwhile; there is no bar where they go to a terminal as well.
    """
    if not sys.stderr.isatty() or (beside_lines and sys.stdout.isatty()):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)


def looked_at(seen: Iterable[tuple[Found, State]]) -> Iterator[tuple[Found, State]]:
    """The same letters, counted on standard error meanwhile. Nothing may be printed until all are there."""
    with progress("letters chosen") as advance:
        for each in seen:
            yield each
            advance(1)
