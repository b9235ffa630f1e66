"""`dead-letters drop`: give the chosen letters up for good."""

from __future__ import annotations

import secrets
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datahub_poller.commands.dead_letters.choosing import choosing
from datahub_poller.commands.dead_letters.shared import (
    counted,
    looked_at,
    opened,
    painter,
    progress,
    say,
    say_json,
    tell_oddities,
)
from datahub_poller.commands.person import user_at_host
from datahub_poller.commands.shared import ACTION_FILE, FAILED, verbatim
from datahub_poller.errors import Transient

if TYPE_CHECKING:
    from datahub_poller.commands.dead_letters.shared import Place
    from datahub_poller.deadletter.account import Chosen
    from datahub_poller.deadletter.choice import Choice, State
    from datahub_poller.deadletter.found import Found
    from datahub_poller.deadletter.store import Mark, Stored

CHUNK = 1_000
"""So many letters are marked at once."""

EXAMPLES = 5
ERRORS = 20


@click.command(
    short_help="Give letters up for good.",
    epilog=verbatim("""
Without --yes it says what would be dropped, and does nothing. With it, the letters
are marked as dropped in the ledger, with who and why, and then removed from the
place as far as it lets them go. A line on standard output tells of each letter
that is marked. What was marked and could not be removed stays dropped: `drop
--state dropped --yes --why ...` tries that again.

Without an option that says which letters, nothing is dropped: --all means all that
are waiting. `--state redriven` clears what is done with.

Exit codes: 0 dropped, or said what would be; 1 the place cannot be read or
written: what was dropped until then is said; 2 wrong use or configuration.

Examples:
  datahub-poller dead-letters drop -c action.yaml --error 'KeyError: *'
  datahub-poller dead-letters drop -c action.yaml --error 'KeyError: *' --yes --why 'tags that are gone'
  datahub-poller dead-letters drop -c action.yaml --state redriven --until 168h --yes --why 'done with'
"""),
)
@ACTION_FILE
@choosing
@click.option("--all", "everything", is_flag=True, help="All letters, if nothing says which.")
@click.option("--yes", is_flag=True, help="Do it.")
@click.option("--why", metavar="TEXT", help="Why they are dropped, for the ledger; needed with --yes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one document for each letter.")
def drop(path: Path, choice: Choice, everything: bool, yes: bool, why: str | None, as_json: bool) -> None:
    """Give the letters that are chosen up for good: a dry run first, --yes does it."""
    if not choice.is_narrow and "waiting" in choice.states and not everything:
        raise click.UsageError("this means every letter: say which, or --all.")
    if yes and not (why or "").strip():
        raise click.UsageError("--yes: say why, for the ledger: --why TEXT.")
    with opened(path) as place:
        seen = place.chosen(choice)
        victims = _victims(seen)
        if yes:
            dropping = Dropping(place, user_at_host(), (why or "").strip(), as_json)
            code = dropping.drop(victims)
        else:
            _tell_plan(victims, as_json, place)
            code = 0
        tell_oddities(seen.letters, place.tell)
    sys.exit(code)


@dataclass(frozen=True, slots=True)
class Victim:
    """A letter to be dropped, without its document, and every place that it lies in."""

    letter: Found
    state: State
    places: Sequence[Stored]


def _victims(seen: Chosen) -> list[Victim]:
    """All that are chosen; where each lies is known when all letters were looked at."""
    chosen = [(replace(letter, document={}), state) for letter, state in looked_at(seen)]
    return [Victim(letter, state, seen.letters.places_of(letter)) for letter, state in chosen]


@dataclass(slots=True)
class Dropping:
    """One run: marks, then removes. `who` and `why` are for the ledger."""

    place: Place
    who: str
    why: str
    as_json: bool
    run: str = ""
    marked: int = 0

    def drop(self, victims: Sequence[Victim]) -> int:
        """The exit code; what was done, and what was not, is said."""
        self.run = f"drop-{secrets.token_hex(4)}"
        try:
            with progress("letters dropped", len(victims), beside_lines=True) as advance:
                for start in range(0, len(victims), CHUNK):
                    self._mark(victims[start : start + CHUNK])
                    advance(len(victims[start : start + CHUNK]))
        except Transient as error:
            rest = len(victims) - self.marked
            self.place.tell(f"{counted(self.marked)} dropped; {rest:,} not, or not for certain: {error}. Run it again")
            return FAILED
        return self._remove(victims)

    def _mark(self, victims: Sequence[Victim]) -> None:
        now = time.time()
        fresh = [each for each in victims if each.state != "dropped"]
        marks = [(stored, self._mark_of(each.letter, now)) for each in fresh for stored in each.places]
        if marks:
            self.place.store.mark(marks)
        self.marked += len(victims)
        for each in victims:
            self._audit(each, now)

    def _mark_of(self, letter: Found, now: float) -> Mark:
        from datahub_poller.deadletter.store import Mark

        return Mark(*letter.name, "dropped", now, self.who, self.run, why=self.why)

    def _audit(self, victim: Victim, now: float) -> None:
        from datahub_poller.observe.letter_line import at_text, letter_line

        if self.as_json:
            document = _document(victim)
            say_json(
                {
                    **document,
                    "dropped": True,
                    "dropped_at": at_text(now),
                    "who": self.who,
                    "why": self.why,
                    "run": self.run,
                }
            )
        else:
            say(f"dropped {letter_line(victim.letter, victim.state, painter())}")

    def _remove(self, victims: Sequence[Victim]) -> int:
        """All at once: a place of files writes each of them anew."""
        sys.stdout.flush()
        places = [stored for each in victims for stored in each.places]
        dropped = f"{counted(self.marked)} marked as dropped"
        try:
            gone = self.place.store.remove(places) if places else 0
        except Transient as error:
            self.place.tell(f"{dropped}, and not all removed: {error}. `drop --state dropped` tries that again")
            return FAILED
        if gone < len(places):
            left = len(places) - gone
            self.place.tell(f"{dropped}; {left:,} of them could not be removed. Look again with `list --state all`")
            return FAILED
        self.place.tell(f"{counted(self.marked)} dropped")
        return 0


def _tell_plan(victims: Sequence[Victim], as_json: bool, place: Place) -> None:
    if as_json:
        for each in victims:
            say_json({**_document(each), "dropped": False})
    else:
        _print_plan(victims)
    if not victims:
        place.tell("no letter is chosen: there is nothing to drop")
        return
    place.tell(f"{counted(len(victims))} would be dropped; nothing was done. --yes --why TEXT drops them")


def _print_plan(victims: Sequence[Victim]) -> None:
    from datahub_poller.observe.letter_line import letter_line
    from datahub_poller.observe.scrub import one_line

    errors = Counter(each.letter.kind for each in victims).most_common()
    for kind, count in errors[:ERRORS]:
        say(f"{count:>9,}  {one_line(kind)}")
    if rest := errors[ERRORS:]:
        say(f"{sum(count for _, count in rest):>9,}  of {len(rest):,} other kinds")
    paint = painter()
    for each in victims[:EXAMPLES]:
        say(f"would drop {letter_line(each.letter, each.state, paint)}")
    if len(victims) > EXAMPLES:
        say(f"and {len(victims) - EXAMPLES:,} more")


def _document(victim: Victim) -> dict[str, object]:
    """What an audit line says of a letter: enough to know which it was."""
    from datahub_poller.observe.letter_line import at_text

    letter = victim.letter
    return {
        "action": letter.action,
        "id": letter.id,
        "redrives": letter.redrives,
        "at": None if letter.at is None else at_text(letter.at),
        "stage": letter.stage,
        "error": letter.error,
        "entity": letter.entity,
        "state": victim.state,
        "where": [stored.where for stored in victim.places],
    }
