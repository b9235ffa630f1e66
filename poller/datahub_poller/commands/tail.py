"""`tail`: look at the events of an action's topics, beside its consumer group."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from datahub_poller.commands.shared import (
    ACTION_FILE,
    FAILED,
    NOT_STARTED,
    fail,
    fail_for,
    start_logging,
    verbatim,
)
from datahub_poller.errors import CannotStart, ConfigError, Fatal

if TYPE_CHECKING:
    from datahub_poller.config import ActionFile
    from datahub_poller.observe.event_line import Paint, Role
    from datahub_poller.start import Earliest, Since
    from datahub_poller.tailing.reading import Seen, Tail, Wanted

DEFAULT_LAST = 10
LONGEST_SINCE = 10 * 365 * 86_400.0
STYLES = {"time": "bright_black", "place": "cyan", "type": "blue", "change": "green", "bad": "red", "aside": "yellow"}
SKIPPED = {
    "filtered": "dropped by the filters (--no-filter shows them)",
    "tombstone": "without a value",
    "not_routed": "of kinds that no handler gets",
}


@click.command(
    short_help="Look at the events of an action's topics.",
    epilog=verbatim("""
Reads beside the consumer group: joins nothing, commits nothing, calls no handler.
Events come decoded and filtered as a handler would get them, one a line; what
cannot be decoded is shown with its reason. Without --follow it stops where the
topics ended when it began.

--last looks at the last N records of each partition (500 or more where there are
filters), and shows the newest N events of all of them, by their time. --since
shows each partition in its own order, as it is read.

Exit codes: 0 all shown (also Ctrl-C with --follow, or when the reader has gone),
1 failed while running, or gave up waiting for a schema or the broker,
2 wrong use or configuration, 3 could not start: broker or topic.

Examples:
  datahub-poller tail -c action.yaml
  datahub-poller tail -c action.yaml --last 0 --follow
  datahub-poller tail -c action.yaml --since 2h --topic PlatformEvent_v1
  datahub-poller tail -c action.yaml --last 100 --no-filter
  datahub-poller tail -c action.yaml --since 10m --json | jq -r .event.entityUrn
"""),
)
@ACTION_FILE
@click.option(
    "--since",
    metavar="WHEN",
    help="From this time (2026-01-31T08:00:00Z), so long ago (10m, 2h), or `earliest`.",
)
@click.option(
    "-n", "--last", metavar="N", type=click.IntRange(0, 10_000), help=f"The newest N events [default: {DEFAULT_LAST}]."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--limit", metavar="N", type=click.IntRange(1), help="End after so many lines.")
@click.option("--topic", "topics", metavar="NAME", multiple=True, help="Only this topic; may be given again.")
@click.option("--no-filter", is_flag=True, help="Show what the action's filters drop as well, and mark it.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print each event as a handler gets it; what is undecodable goes to stderr."
)
def tail(
    path: Path,
    since: str | None,
    last: int | None,
    follow: bool,
    limit: int | None,
    topics: tuple[str, ...],
    no_filter: bool,
    as_json: bool,
) -> None:
    """Show events of the action's topics, decoded, without joining its consumer group or committing anything."""
    if since is not None and last is not None:
        raise click.UsageError("--since and --last: give one of them.")
    if last == 0 and not follow:
        raise click.UsageError("--last 0 shows nothing without --follow.")
    try:
        action = _load(path)
        wanted = _wanted(since, DEFAULT_LAST if last is None else last, time.time())
        wanted = wanted._replace(follow=follow, filtered=not no_filter, topics=topics)
        start_logging(action, "critical")
        _run(action, wanted, limit, as_json)
    except KeyboardInterrupt:
        if not follow:
            raise


def _load(path: Path) -> ActionFile:
    """The action file, without the rules for the place where letters are written: here none are."""
    from datahub_poller.config import load

    try:
        return load(path, os.environ)
    except ConfigError as error:
        fail_for(error.problems)


def _wanted(since: str | None, last: int, now: float) -> Wanted:
    from datahub_poller.kafka.browse import Last
    from datahub_poller.tailing.reading import Wanted

    if since is not None:
        return Wanted(begin_since(since, now))
    return Wanted(Last(last), newest=last)


def begin_since(text: str, now: float) -> Earliest | Since:
    """Where --since begins. `now` is in seconds since the epoch."""
    from datetime import datetime

    from datahub_poller.config.problems import Wrong
    from datahub_poller.config.quantities import Duration, start_position
    from datahub_poller.start import Earliest, Since

    try:
        return Since(int((now - Duration(0, LONGEST_SINCE)(text)) * 1000))
    except Wrong:
        pass
    hint = "Write 2026-01-31T08:00:00Z (UTC where no zone is said), 10m, 2h or earliest."
    try:
        at = start_position(text)
    except Wrong:
        at = "latest"
    if at == "earliest":
        return Earliest()
    if not isinstance(at, datetime):
        raise click.BadParameter(f"{text!r} is neither a time nor a duration. {hint}", param_hint="--since")
    if at.timestamp() > now:
        raise click.BadParameter(f"{text!r} is in the future.", param_hint="--since")
    return Since(int(at.timestamp() * 1000))


def _run(action: ActionFile, wanted: Wanted, limit: int | None, as_json: bool) -> None:
    from datahub_poller.config import secrets_of
    from datahub_poller.observe.scrub import Scrubber, one_line
    from datahub_poller.tailing import wiring

    scrub = Scrubber(secrets_of(action, os.environ)).text

    def tell(text: str) -> None:
        click.echo(f"datahub-poller: {one_line(scrub(text))}", err=True)

    try:
        browser = wiring.open_browser(action, os.environ, tell)
        try:
            reading = wiring.tail(action, os.environ, browser, wanted, tell)
            _print(reading, limit, as_json, tell)
        finally:
            browser.close()
    except ConfigError as error:
        fail_for(error.problems)
    except CannotStart as error:
        first, _, stack = str(error).partition("\n")
        more = " (`datahub-poller check` shows the stack)" if stack else ""
        fail(one_line(scrub(f"could not start: {first}{more}")), NOT_STARTED)
    except Fatal as error:
        fail(one_line(scrub(str(error))), FAILED)
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        _to_nowhere()


def _print(reading: Tail, limit: int | None, as_json: bool, tell: Callable[[str], None]) -> None:
    shown = 0
    show = _as_json if as_json else _as_line(_paint())
    try:
        for batch in reading.batches():
            for seen in batch if limit is None else batch[: limit - shown]:
                shown += 1  # before the line is out: whoever has seen it may end this at once
                show(seen)
            sys.stdout.flush()
            if limit is not None and shown >= limit:
                break
    finally:
        broken = isinstance(sys.exc_info()[1], OSError)
        if not as_json and not broken:
            tell(_summary(shown, reading))


def _as_json(seen: Seen) -> None:
    from datahub_poller.model import Undecodable
    from datahub_poller.observe.event_line import undecodable_line

    if isinstance(seen.verdict, Undecodable):
        click.echo(undecodable_line(seen.record, seen.verdict.failure), err=True)
    else:
        sys.stdout.write(f"{json.dumps(seen.verdict.envelope)}\n")


def _as_line(paint: Paint) -> Callable[[Seen], None]:
    from datahub_poller.model import Undecodable
    from datahub_poller.observe.event_line import event_line, undecodable_line

    encoding = sys.stdout.encoding or "utf-8"

    def show(seen: Seen) -> None:
        if isinstance(seen.verdict, Undecodable):
            line = undecodable_line(seen.record, seen.verdict.failure, paint)
        else:
            line = event_line(seen.verdict.envelope, paint, dropped=seen.dropped)
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")

    return show


def _paint() -> Paint:
    """With colour on a terminal that wants it."""
    from datahub_poller.observe.event_line import plain

    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return plain

    def paint(text: str, role: Role) -> str:
        return click.style(text, fg=STYLES.get(role), bold=role == "entity")

    return paint


def _summary(shown: int, reading: Tail) -> str:
    """What was shown, and what was read and not."""
    skipped = [f"{reading.skipped[reason]} {what}" for reason, what in SKIPPED.items() if reading.skipped[reason]]
    return f"{shown} shown{'; not shown: ' if skipped else ''}{', '.join(skipped)}"


def _to_nowhere() -> None:
    """Whoever read has gone: what Python would still write at its end goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
