"""The options that say which letters are meant, alike for every command, and the Choice that they make.

It must not know what is done with the chosen, nor where letters lie.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datahub_poller.deadletter.choice import Choice

LONGEST = 10 * 365 * 86_400.0
WHEN = "WHEN"
STATES = ("waiting", "redriven", "dropped", "all")
STAGES = ("decode", "filter", "handler", "size", "operator")


def _filled(_: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """An empty text would match nothing, and is most often a variable that is not set."""
    if not all(value.strip() for value in values):
        raise click.BadParameter("it is empty.", param=option)
    return values


def _texts(flag: str, name: str, metavar: str, what: str) -> Callable[[Any], Any]:
    return click.option(flag, name, metavar=metavar, multiple=True, callback=_filled, help=what)


_STATE = click.option(
    "--state", "states", type=click.Choice(STATES), multiple=True, help="What was done with it [default: waiting]."
)
_OTHERS = (
    _texts("--error", "errors", "GLOB", "The error's class (*Timeout), or `class: message` ('KeyError: *urn*')."),
    click.option("--stage", "stages", type=click.Choice(STAGES), multiple=True, help="Where it failed."),
    _texts("--topic", "topics", "GLOB", "The topic."),
    click.option(
        "--partition", "partitions", metavar="N", type=click.IntRange(0), multiple=True, help="The partition."
    ),
    click.option(
        "--since", metavar=WHEN, help="Given up at this time (2026-01-31T08:00Z), so long ago (2h), or later."
    ),
    click.option("--until", metavar=WHEN, help="Given up before this time, or longer ago than that."),
    _texts("--key", "keys", "GLOB", "The record's key."),
    _texts("--entity", "urns", "GLOB", "The urn that the event is about."),
    _texts("--aspect", "aspects", "GLOB", "The aspect, or the category of an entity change event."),
    _texts("--id", "ids", "ID", "The letter's id, a beginning of it, or TOPIC-PARTITION@OFFSET."),
    click.option("--redrives-below", metavar="N", type=click.IntRange(1), help="Redriven fewer times than that."),
)


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command all the options, and hands it the Choice as `choice`."""
    return _STATE(_choosing(command))


def choosing_waiting(command: Callable[..., None]) -> Callable[..., None]:
    """The same without --state: of the letters that are waiting."""
    return _choosing(command)


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(command)
    def chosen(**given: Any) -> None:
        parts = {name: given.pop(name) for name in _NAMES if name in given}
        command(choice=choice_of(parts, time.time()), **given)

    decorated: Callable[..., None] = chosen
    for option in reversed(_OTHERS):
        decorated = option(decorated)
    return decorated


_NAMES = (
    "errors", "stages", "topics", "partitions", "since", "until",
    "keys", "urns", "aspects", "ids", "redrives_below", "states",
)  # fmt: skip


def choice_of(given: Mapping[str, Any], now: float) -> Choice:
    """The Choice that options by these names make. `now` is in epoch seconds. Raises click.BadParameter."""
    from datahub_poller.deadletter.choice import STATES as ALL
    from datahub_poller.deadletter.choice import WAITING, Choice

    since, until = moment(given.get("since"), now, "--since"), moment(given.get("until"), now, "--until")
    if since is not None and since > now:
        raise click.BadParameter(f"{given['since']!r} is in the future.", param_hint="--since")
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since and --until: there is no time between them.")
    states = given.get("states") or ()
    parts = {name: value for name, value in given.items() if name not in {"since", "until", "states"}}
    wanted = frozenset(ALL) if "all" in states else frozenset(states) or WAITING
    return Choice(since=since, until=until, states=wanted, **parts)


def moment(text: str | None, now: float, option: str) -> float | None:
    """Epoch seconds of an ISO time or of so long before `now`; `earliest` is no bound. Raises click.BadParameter."""
    from datetime import datetime

    from datahub_poller.config.problems import Wrong
    from datahub_poller.config.quantities import Duration, start_position

    if text is None:
        return None
    try:
        return now - Duration(0, LONGEST)(text)
    except Wrong:
        pass
    try:
        at = start_position(text)
    except Wrong:
        at = "latest"
    if at == "earliest" and option == "--since":
        return None
    if not isinstance(at, datetime):
        hint = "Write 2026-01-31T08:00:00Z (UTC where no zone is said), 10m or 2h."
        raise click.BadParameter(f"{text!r} is neither a time nor a duration. {hint}", param_hint=option)
    return at.timestamp()
