"""`dead-letters list`: the chosen letters, a line each."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datahub_poller.commands.dead_letters.choosing import choosing
from datahub_poller.commands.dead_letters.shared import (
    AS_JSON,
    as_document,
    counted,
    looked_at,
    opened,
    painter,
    say,
    say_json,
    tell_oddities,
)
from datahub_poller.commands.shared import ACTION_FILE, verbatim

if TYPE_CHECKING:
    from datahub_poller.commands.dead_letters.shared import Place
    from datahub_poller.deadletter.account import Chosen
    from datahub_poller.deadletter.choice import Choice, State
    from datahub_poller.deadletter.found import Found

DEFAULT_LIMIT = 50


@click.command(
    "list",
    short_help="Show letters, a line each.",
    epilog=verbatim("""
The newest come last; letters of DataHub Actions, which hold no time, come first.
--json prints the whole letter with `id`, `state` and `where` it lies; without
--limit it prints all, in the order of the place, as they are read.

Exit codes: 0 shown (even if there are none), 1 the place cannot be read,
2 wrong use or configuration.

Examples:
  datahub-poller dead-letters list -c action.yaml
  datahub-poller dead-letters list -c action.yaml --since 2h --error '*Timeout'
  datahub-poller dead-letters list -c action.yaml --state all --entity '*hive*'
  datahub-poller dead-letters list -c action.yaml --json | jq -r .meta.failure.kind
"""),
)
@ACTION_FILE
@choosing
@click.option(
    "--limit", metavar="N", type=click.IntRange(1), help=f"The newest N [default: {DEFAULT_LIMIT}, with --json all]."
)
@AS_JSON
def list_letters(path: Path, choice: Choice, limit: int | None, as_json: bool) -> None:
    """Show the letters that are chosen, the newest last."""
    with opened(path) as place:
        seen = place.chosen(choice)
        if as_json and limit is None:
            for letter, state in seen:
                say_json(as_document(letter, state, [letter.stored.where]))
        else:
            _newest(seen, DEFAULT_LIMIT if limit is None else limit, as_json, place)
        _tell_rest(seen, place)


def _newest(seen: Chosen, limit: int, as_json: bool, place: Place) -> None:
    from datahub_poller.observe.letter_line import letter_line

    paint = painter()
    held: list[tuple[float, int, Found, State]] = []
    count = 0
    for count, (letter, state) in enumerate(looked_at(seen), 1):
        entry = (float("-inf") if letter.at is None else letter.at, count, letter, state)
        if len(held) < limit:
            heapq.heappush(held, entry)
        else:
            heapq.heappushpop(held, entry)
    for *_, letter, state in sorted(held, key=lambda each: each[:2]):
        if as_json:
            say_json(as_document(letter, state, [each.where for each in seen.letters.places_of(letter)]))
        else:
            say(letter_line(letter, state, paint))
    if count > limit:
        place.tell(f"{counted(count)}, the newest {limit} shown: {count - limit:,} more (--limit {count} shows all)")
    elif not as_json:
        place.tell(f"{counted(count)} in {place.store.place}")


def _tell_rest(seen: Chosen, place: Place) -> None:
    if seen.left_out:
        states = ", ".join(f"{count:,} {state}" for state, count in sorted(seen.left_out.items()))
        place.tell(f"not shown: {states} (--state all shows all)")
    tell_oddities(seen.letters, place.tell)
