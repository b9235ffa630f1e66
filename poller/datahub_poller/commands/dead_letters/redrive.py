"""`dead-letters redrive`: hand dead letters out again."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datahub_poller.commands.dead_letters.choosing import choosing_waiting
from datahub_poller.commands.dead_letters.shared import AS_JSON, opened, progress, tell_oddities
from datahub_poller.commands.person import user_at_host
from datahub_poller.commands.shared import ACTION_FILE, FAILED, NOT_STARTED, WRONG_USE, fail, verbatim
from datahub_poller.errors import CannotStart, Fatal

if TYPE_CHECKING:
    from datahub_poller.commands.dead_letters.shared import Place
    from datahub_poller.deadletter.choice import Choice
    from datahub_poller.redrive.copying import Copying
    from datahub_poller.redrive.handing import Handing
    from datahub_poller.redrive.marking import Marking
    from datahub_poller.redrive.planning import Look, Rules
    from datahub_poller.redrive.running import Bounds, Seen
    from datahub_poller.redrive.transform import Transform
    from datahub_poller.redrive.wiring import Surroundings

STOPPED = 130


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the options say, but for which letters."""

    kind: Any
    name: str
    who: str
    why: str
    transform: str | None
    max_redrives: int
    limit: int | None
    rate: float | None
    batch_size: int | None
    append: bool
    keep_going: bool
    as_json: bool

    @property
    def to(self) -> str:
        """The target in a word or two, for the ledger."""
        return f"{self.kind} {self.name}".strip()


def _rate(_: click.Context, option: click.Parameter, text: str | None) -> float | None:
    from datahub_poller.config.problems import Wrong
    from datahub_poller.config.quantities import Rate

    if text is None:
        return None
    try:
        return Rate()(text)
    except Wrong as wrong:
        raise click.BadParameter(f"{text!r} {wrong}", param=option) from None


@click.command(
    short_help="Hand letters out again.",
    epilog=verbatim("""
Without --yes it says what would be done, and does nothing. With it, each letter is
handed out, what came of it goes into the ledger with who and why, and a line on
standard output tells of it. A run that was stopped or killed goes on where it was
when it is started again; what was under way then may come twice.

--to handler      calls the action's handler here, in batches, with retries and
                  splitting as the action file says. What fails again is a dead
                  letter again, with all that is behind it. A letter without an
                  event is decoded now; what still cannot be stays as it is.
                  failure_mode: THROW does as CONTINUE here. When nearly all fail
                  the breaker ends the run, and the rest goes on waiting.
--to file PATH    adds each event as a line of JSON to a new file.
--to topic NAME   produces each record as it was, with the header
                  datahub-poller-redrive. Never to a topic that others may read
                  for the first time round: the action's own, DataHub's, the one
                  that a letter came from.

Each event says in meta.redrive that it is old. Of a partition, letters go out in
the order of their offsets; at most 10,000 letters (64 MiB) are held at a time.

Exit codes: 0 everything chosen is done with, or said what would be; 1 some failed
again or are left, and it is said why; 2 wrong use or configuration; 3 could not
start; 130 stopped by Ctrl-C or SIGTERM.

Examples:
  datahub-poller dead-letters redrive -c action.yaml --to handler --since 2h
  datahub-poller dead-letters redrive -c action.yaml --to handler --since 2h --yes --why 'fixed the tag map'
  datahub-poller dead-letters redrive -c action.yaml --to handler --rate 10/s --limit 100 --yes
  datahub-poller dead-letters redrive -c action.yaml --to file events.jsonl --error 'KeyError: *' --yes
  datahub-poller dead-letters redrive -c action.yaml --to handler --transform repairs:mend --yes
"""),
)
@ACTION_FILE
@click.option("--to", "kind", type=click.Choice(("handler", "file", "topic")), required=True, help="Where they go.")
@click.argument("name", metavar="[PATH | NAME]", required=False, default="")
@choosing_waiting
@click.option("--yes", is_flag=True, help="Do it.")
@click.option("--why", metavar="TEXT", default="", help="Why, for the ledger.")
@click.option("--who", metavar="TEXT", help="Who, for the ledger [default: user@host].")
@click.option(
    "--max-redrives", metavar="N", type=click.IntRange(1), default=3, show_default=True,
    help="Leave letters out that were redriven so often.",
)  # fmt: skip
@click.option("--limit", metavar="N", type=click.IntRange(1), help="So many letters, at most.")
@click.option("--rate", metavar="RATE", callback=_rate, help="So many events (10/s, 90/m), instead of `batch.rate`.")
@click.option("--batch-size", metavar="N", type=click.IntRange(1, 10_000), help="Instead of `batch.size`.")
@click.option("--transform", metavar="MODULE:FUNCTION", help="Repairs each event; looked for as the handler is.")
@click.option("--append", is_flag=True, help="--to file: add to a file that is there.")
@click.option("--keep-going", is_flag=True, help="--to handler: do not stop where nearly all fail.")
@AS_JSON
def redrive(path: Path, choice: Choice, yes: bool, who: str | None, **given: Any) -> None:
    """Hand the letters that are chosen out again, in their order: a dry run first, --yes does it."""
    wanted = Wanted(who=who or user_at_host(), **given)
    _check_use(wanted)
    with opened(path) as place:
        code = _redrive(place, choice, wanted, yes)
    if yes and wanted.kind == "handler":
        from datahub_poller.service import leave

        leave(code)  # a call of the handler may hang
    sys.exit(code)


def _check_use(wanted: Wanted) -> None:
    if wanted.kind == "handler" and wanted.name:
        raise click.UsageError(f"--to handler takes no name: {wanted.name!r}.")
    if wanted.kind != "handler" and not wanted.name:
        raise click.UsageError(f"--to {wanted.kind}: say which, such as --to {wanted.kind} NAME.")
    if wanted.kind == "topic" and wanted.transform is not None:
        raise click.UsageError(
            "--transform: it repairs events, and a topic gets the record's bytes, which nothing here can repair. "
            "Use --to handler or --to file."
        )
    if wanted.kind != "file" and wanted.append:
        raise click.UsageError("--append is for --to file.")
    if wanted.kind != "handler" and wanted.keep_going:
        raise click.UsageError("--keep-going is for --to handler.")


def _redrive(place: Place, choice: Choice, wanted: Wanted, yes: bool) -> int:
    from datahub_poller.commands.dead_letters.redrive_words import tell_plan
    from datahub_poller.redrive.planning import Rules
    from datahub_poller.redrive.running import Bounds, look_at

    transform = _transform(place, wanted)
    rules = Rules(choice, wanted.kind, time.time(), wanted.max_redrives, transform is not None)
    bounds = Bounds(wanted.limit)
    seen = look_at(place.store, place.action.name, rules, bounds)
    if (problem := _refusal(place, wanted, seen.look)) is not None:
        fail(problem, WRONG_USE)
    tell_oddities(seen.letters, place.tell)
    if not yes or not seen.look.matched:
        tell_plan(seen.look, wanted.to, wanted.limit, place.tell)
        return FAILED if yes and seen.look.left else 0
    return _run(place, wanted, transform, rules, bounds, seen)


def _transform(place: Place, wanted: Wanted) -> Transform | None:
    from datahub_poller.config import secrets_of
    from datahub_poller.observe.scrub import Scrubber
    from datahub_poller.redrive.transform import load
    from datahub_poller.signals import as_before

    if wanted.transform is None:
        return None
    scrub = Scrubber(secrets_of(place.action, os.environ)).text
    try:
        with as_before():
            return load(wanted.transform, place.action.handler.config.path, scrub)
    except CannotStart as error:
        fail(str(error), NOT_STARTED)


def _refusal(place: Place, wanted: Wanted, look: Look) -> str | None:
    """Why nothing may go there."""
    from datahub_poller.redrive.refusals import topic_problem
    from datahub_poller.redrive.to_file import file_problem

    match wanted.kind:
        case "file":
            return file_problem(Path(wanted.name), wanted.append)
        case "topic":
            routes = place.action.source.config.topic_routes.values()
            return topic_problem(wanted.name, list(routes), place.action.dead_letter.config.topic, look.topics)
        case _:
            return None


def _run(place: Place, wanted: Wanted, transform: Transform | None, rules: Rules, bounds: Bounds, seen: Seen) -> int:
    """The exit code."""
    from datahub_poller import letterbox
    from datahub_poller.commands.dead_letters.redrive_words import Telling, all_done, tell_summary
    from datahub_poller.redrive.marking import Marking
    from datahub_poller.redrive.outcomes import Author
    from datahub_poller.redrive.running import Run, Shelf
    from datahub_poller.redrive.stopping import Stop
    from datahub_poller.redrive.wiring import Surroundings

    stop = Stop(place.action.shutdown.deadline, time.monotonic, place.tell)
    shelf = Shelf(place.store, lambda: letterbox.store(place.action, os.environ))
    author = Author(wanted.who, f"redrive-{secrets.token_hex(4)}", wanted.to, wanted.why)
    total = seen.look.matched if wanted.limit is None else min(seen.look.matched, wanted.limit)
    with (
        progress("letters redriven", total, beside_lines=True) as advance,
        contextlib.redirect_stdout(sys.stderr),  # what a handler prints is no line about a letter
        contextlib.closing(shelf),
    ):
        telling = Telling(author, wanted.as_json, total, place.tell, advance, sys.__stdout__ or sys.stderr)
        around = Surroundings(stop, stop.pause, telling.trouble)
        marking = Marking(shelf, author, around.wall, around.chance, telling.outcome, telling.trouble)
        hand_out = _starting(lambda: _target(place, wanted, transform, marking, around).hand_out, place)
        stop.install()
        try:
            summary = Run(shelf, place.action.name, rules, bounds, hand_out, marking).go(seen)
        except Fatal as error:
            fail(str(error), FAILED)
    tell_summary(summary, marking.tally, place.tell)
    if summary.ending == "stopped":
        return STOPPED
    return 0 if all_done(summary, marking.tally) else FAILED


def _starting(make: Callable[[], Any], place: Place) -> Any:
    from datahub_poller.observe.scrub import one_line

    try:
        return make()
    except CannotStart as error:
        place.tell(f"could not start: {one_line(str(error).partition(chr(10))[0])}")
        sys.exit(NOT_STARTED)


def _target(
    place: Place, wanted: Wanted, transform: Transform | None, marking: Marking, around: Surroundings
) -> Handing | Copying:
    """Raises CannotStart."""
    from datahub_poller.redrive import wiring

    manner = wiring.Manner(wanted.rate, wanted.batch_size, wanted.keep_going, transform)
    match wanted.kind:
        case "handler":
            return wiring.to_handler(place.action, os.environ, manner, marking, around)
        case "file":
            return wiring.to_file(Path(wanted.name), wanted.append, place.action, manner, marking, around)
        case _:
            return wiring.to_topic(wanted.name, place.action, os.environ, manner, marking, around)
