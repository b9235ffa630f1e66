"""`dead-letters show`: all that one letter holds, and what was done with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datahub_poller.commands.dead_letters.shared import (
    AS_JSON,
    as_document,
    counted,
    opened,
    painter,
    say,
    say_json,
    tell_oddities,
)
from datahub_poller.commands.shared import ACTION_FILE, FAILED, WRONG_USE, fail, verbatim
from datahub_poller.errors import PollerError

if TYPE_CHECKING:
    from datahub_poller.commands.dead_letters.shared import Place
    from datahub_poller.deadletter.account import Letters
    from datahub_poller.deadletter.choice import State
    from datahub_poller.deadletter.found import Found

AMBIGUOUS = 10
"""How many letters are named where an ID may mean several."""


class NotOne(PollerError):
    """The ID means no letter, or more than one."""


@click.command(
    short_help="Show all that one letter holds.",
    epilog=verbatim("""
ID is a letter's id, a beginning of it that no other letter has, or
TOPIC-PARTITION@OFFSET. A record that was redriven and failed again has several
letters under one id: all are shown, the oldest first.

Exit codes: 0 shown, 1 the place cannot be read or FILE not be written,
2 wrong use or configuration; also when ID means no letter or several,
or FILE is there already.

Examples:
  datahub-poller dead-letters show -c action.yaml PlatformEvent_v1-0@1042
  datahub-poller dead-letters show -c action.yaml PlatformEvent_v1/0/1042/9f86d0
  datahub-poller dead-letters show -c action.yaml PlatformEvent_v1-0@1042 --raw value.bin
  datahub-poller dead-letters show -c action.yaml PlatformEvent_v1-0@1042 --json | jq .event
"""),
)
@click.argument("name", metavar="ID")
@ACTION_FILE
@click.option(
    "--raw", metavar="FILE", type=click.Path(path_type=Path), help="Write the record's value to FILE, byte for byte."
)
@AS_JSON
def show(name: str, path: Path, raw: Path | None, as_json: bool) -> None:
    """Show the letter of this ID: event, error, attempts, record, and what was done with it since."""
    if not name.strip():
        raise click.BadParameter("it is empty.", param_hint="ID")
    with opened(path) as place:
        letters = place.letters()
        try:
            found = named(letters, name)
        except NotOne as error:
            tell_oddities(letters, place.tell)
            place.tell(str(error))
            raise SystemExit(WRONG_USE) from None
        if raw is not None:
            _write(found[-1][0], raw, place)
        for number, (letter, state) in enumerate(found):
            if as_json:
                _print_json(letter, state, letters)
            else:
                _print(letter, state, letters, number, len(found))


def named(letters: Letters, name: str) -> list[tuple[Found, State]]:
    """The letters of the one record that the name means, by their redrives. Raises NotOne."""
    from datahub_poller.deadletter.choice import is_named

    exact: list[tuple[Found, State]] = []
    begun: dict[str, list[tuple[Found, State]]] = {}
    ids = set()
    for letter, state in letters:
        if letter.id == name:
            exact.append((letter, state))
        elif is_named(letter, name):
            ids.add(letter.id)
            if letter.id in begun or len(begun) < AMBIGUOUS:
                begun.setdefault(letter.id, []).append((letter, state))
    if not exact and not begun:
        raise NotOne(f"{name!r} is no letter of this place: `datahub-poller dead-letters list --state all` shows all")
    if not exact and len(ids) > 1:
        more = f" and {len(ids) - len(begun):,} more" if len(ids) > len(begun) else ""
        raise NotOne(f"{name!r} may mean {counted(len(ids))}: {', '.join(begun)}{more}. Give more of the id")
    return sorted(exact or next(iter(begun.values())), key=lambda each: each[0].redrives)


def _print(letter: Found, state: State, letters: Letters, number: int, count: int) -> None:
    from datahub_poller.observe.letter_page import Page

    if number:
        say("")
    if count > 1:
        say(f"Letter {number + 1} of {count} of this record:")
    where = [each.where for each in letters.places_of(letter)]
    for line in Page(letter, letter.document, state, where, letters.account.marks_of(letter.name)).lines(painter()):
        say(line)


def _print_json(letter: Found, state: State, letters: Letters) -> None:
    where = [each.where for each in letters.places_of(letter)]
    ledger = [mark._asdict() for mark in letters.account.marks_of(letter.name)]
    say_json({**as_document(letter, state, where), "ledger": ledger})


def _write(letter: Found, path: Path, place: Place) -> None:
    """The value in a new file, for its owner alone: it may hold what is nobody else's business."""
    from datahub_poller.deadletter.found import NotALetter

    try:
        value = letter.record().value
        if value is None:
            fail("the record has no value: it is a tombstone. Nothing was written", FAILED)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(value)
    except NotALetter as error:
        fail(f"the record's value cannot be written: {error}", FAILED)
    except FileExistsError:
        fail(f"{path}: is there already. Give another: --raw FILE", WRONG_USE)
    except OSError as error:
        fail(f"{path}: cannot be written: {error.strerror}", FAILED)
    place.tell(f"wrote {counted(len(value), 'byte')} to {path}")
