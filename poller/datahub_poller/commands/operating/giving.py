"""What the orders share: which poller is meant, who says so and why, how it gets there and what it answered."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from datahub_poller.commands.naming import CONFIG, HOST, PORT, Door, door_of
from datahub_poller.commands.person import user_at_host
from datahub_poller.commands.shared import FAILED, WRONG_USE, fail
from datahub_poller.errors import PollerError
from datahub_poller.processes import ports

if TYPE_CHECKING:
    from datahub_poller.model import TopicPartition
    from datahub_poller.orders import What

SECONDS = 15.0
"""How long an answer is waited for: the poller itself gives up after five."""

EXIT_CODES = """
Exit codes: 0 done; 1 refused, or no poller answered; 2 wrong use, configuration or token.
"""


@dataclass(frozen=True, slots=True)
class Giver:
    """One command's way to the pollers that are meant. `doors` has one for each process."""

    doors: Sequence[Door]
    who: str
    why: str
    as_json: bool

    def give(self, what: What, tp: TopicPartition | None = None) -> NoReturn:
        """Give the order to every process, or to the one that holds the partition, and end with its exit code."""
        replies = [_sent(door, what, self.who, self.why) for door in self._doors_to(tp)]
        for reply in replies:
            self._tell(reply, what)
        sys.exit(_code(replies))

    def _doors_to(self, tp: TopicPartition | None) -> Sequence[Door]:
        if tp is None or len(self.doors) == 1:
            return self.doors
        holding = [door for door in self.doors if _holds(door, tp)]
        if not holding:
            fail(
                f"none of {len(self.doors)} processes holds {tp}: `datahub-poller status` tells what each does", FAILED
            )
        return holding

    def _tell(self, reply: Told, what: What) -> None:
        from datahub_poller.observe.scrub import one_line

        if self.as_json:
            told = {"port": reply.port, "order": str(what), "obeyed": reply.code == HTTPStatus.OK, "said": reply.said}
            click.echo(json.dumps(told))
            return
        where = f"port {reply.port}: " if len(self.doors) > 1 else ""
        if reply.code == HTTPStatus.OK:
            click.echo(f"{where}{one_line(reply.said)}")
        else:
            click.echo(f"datahub-poller: {where}{one_line(reply.said)}", err=True)


class Told(NamedTuple):
    """What one process answered: an HTTP status, 0 where nothing answered."""

    port: int
    code: int
    said: str


def giving(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every order; the command gets them as its first argument, `giver`."""

    def wrapped(
        path: Path | None,
        port: int | None,
        host: str | None,
        processes: int,
        who: str | None,
        why: str | None,
        as_json: bool,
        **arguments: Any,
    ) -> None:
        door = door_of(path, port, host)
        try:
            each = [door._replace(port=found) for found in ports(door.port, processes) if found is not None]
        except ValueError as error:
            raise click.UsageError(f"--processes: {error}.") from error
        command(Giver(each, (who or user_at_host()).strip(), (why or "").strip(), as_json), **arguments)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


_OPTIONS = (
    CONFIG,
    PORT,
    HOST,
    click.option(
        "--processes",
        metavar="N",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        help="As `run` was told: ask that many ports from the first on.",
    ),
    click.option("--why", metavar="TEXT", help="Why, for the log and for letters."),
    click.option("--who", metavar="NAME", help="Who says so [default: user@host]."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON, one document for each process."),
)


def _sent(door: Door, what: What, who: str, why: str) -> Told:
    from datahub_poller.observe.asking import ask
    from datahub_poller.orders import Order, to_document

    url = door.url("/orders")
    headers = {"Content-Type": "application/json"}
    if door.token is not None:
        headers["Authorization"] = f"Bearer {door.token.encode().decode('latin-1')}"
    try:
        answered = ask(url, SECONDS, json.dumps(to_document(Order(what, who, why))).encode(), headers)
    except PollerError as error:
        return Told(door.port, 0, str(error))
    try:
        said = json.loads(answered.body)["said"]
    except (ValueError, TypeError, KeyError):
        return Told(door.port, 0, f"{url} answered {answered.code} {answered.reason}: no poller that takes orders")
    if answered.code == HTTPStatus.UNAUTHORIZED:
        more = "is not the one that it was started with" if door.token is not None else "is in its action file: -c FILE"
        said = f"{said}. The token {more}"
    return Told(door.port, answered.code, str(said))


def _holds(door: Door, tp: TopicPartition) -> bool:
    from datahub_poller.observe.render import fetch_status

    try:
        partitions = fetch_status(door.port, host=door.host).get("partitions", [])
    except PollerError as error:
        fail(str(error), FAILED)
    return any((each.get("topic"), each.get("partition")) == tp for each in partitions)


def _code(replies: Sequence[Told]) -> int:
    """Done, if a process obeyed and all of them answered: in the others there was nothing to do."""
    codes = {reply.code for reply in replies}
    if codes & {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return WRONG_USE
    return 0 if HTTPStatus.OK in codes and codes <= {HTTPStatus.OK, HTTPStatus.CONFLICT} else FAILED
