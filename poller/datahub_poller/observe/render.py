"""The status for a person: fetched from a running poller, and laid out as lines.

Reads the JSON that the status port serves, of this version or another: what is missing is left out. Only the
commands that a person looks at import this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple, TextIO

from rich.console import Console
from rich.text import Text

from datahub_poller.errors import PollerError
from datahub_poller.observe.asking import ask
from datahub_poller.observe.listening import LOOPBACK, in_url
from datahub_poller.observe.scrub import one_line

UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


class Column(NamedTuple):
    """A column's heading, and whether it holds numbers."""

    name: str
    number: bool = False


COLUMNS = (
    Column("partition"),
    Column("state"),
    Column("for"),
    Column("settled", number=True),
    Column("lag", number=True),
    Column("held", number=True),
    Column("attempts", number=True),
    Column("next try"),
)


def fetch_status(port: int, timeout: float = 5.0, host: str = LOOPBACK) -> dict[str, Any]:
    """What the poller that listens there says of itself. Raises PollerError with what to look at."""
    url = f"http://{in_url(host)}:{port}/status"
    answered = ask(url, timeout)
    if answered.code != HTTPStatus.OK:
        raise PollerError(f"{url} answered {answered.code} {answered.reason}: this is no poller's status port")
    try:
        status = json.loads(answered.body)
    except ValueError as error:
        raise PollerError(f"{url} answered no JSON: this is no poller's status port") from error
    if not isinstance(status, dict) or "state" not in status:
        raise PollerError(f"{url} answered other JSON: this is no poller's status port")
    return status


def render(status: Mapping[str, Any], stream: TextIO) -> None:
    """Write the status to `stream`, with colour where it is a terminal. No line is cut off or broken."""
    red = bool(status.get("red"))
    console = Console(file=stream, highlight=False, markup=False, soft_wrap=True)
    console.print(Text(headline(status), style="bold red" if red else "bold green"))
    for line in details(status):
        console.print(Text(f"  {line}", style="red" if line.startswith("! ") else ""))
    partitions = _maps(status.get("partitions"))
    if not partitions:
        return
    heading, *rows = _aligned_rows([_row(partition, status.get("at")) for partition in partitions])
    console.print()
    console.print(Text(heading, style="dim"))
    for row, partition in zip(rows, partitions, strict=True):
        console.print(Text(row))
        if why := _why(partition):
            console.print(Text(f"    {why}", style="yellow"))


def headline(status: Mapping[str, Any]) -> str:
    """The poller in one line."""
    name = " ".join(_show(status[key]) for key in ("action", "version") if status.get(key))
    mood = "RED" if status.get("red") else "ok"
    parts = [f"{name}: {_show(status.get('state'))} ({mood})".removeprefix(": ")]
    if isinstance(uptime := status.get("uptime"), int | float):
        parts.append(f"up {duration(uptime)}")
    if isinstance(assigned := status.get("assigned"), int):
        parts.append(f"{assigned} partition{'' if assigned == 1 else 's'}")
    if isinstance(turned := status.get("loop_turned_ago"), int | float):
        parts.append(f"loop turned {turned:.1f} s ago")
    return ", ".join(parts)


def details(status: Mapping[str, Any]) -> list[str]:
    """The reasons of a red status, the schemas waited for, breaker, buffer and counters, one line each."""
    reasons = status.get("reasons")
    lines = [f"! {_show(reason)}" for reason in (reasons if isinstance(reasons, list) else [])]
    lines += [
        f"waiting for {_show(wait.get('schema'))} since {_show(wait.get('since'))}, "
        f"asked {_show(wait.get('tries'))} times: {_show(wait.get('reason'))}"
        for wait in _maps(status.get("schemas"))
    ]
    match status.get("breaker"):
        case {"state": str(state), "in_a_row": in_a_row, "limit": limit} if limit:
            lines.append(f"breaker {_show(state)}: {_show(in_a_row)} letters in a row of {_show(limit)}")
    match status.get("paused"):
        case {"who": who, "since": since, **rest}:
            lines.append(f"paused by {_show(who)} since {_show(since)}: {_show(rest.get('why') or 'no reason given')}")
    match status.get("buffer"):
        case {"bytes": int(held), "limit": int(limit)} if limit:
            lines.append(f"buffer {held:,} of {limit:,} bytes")
    match status.get("counters"):
        case dict() as counters if counters:
            lines.append(" ".join(f"{_show(name)}={_show(count)}" for name, count in counters.items()))
    return lines


def duration(seconds: float) -> str:
    """A length of time in its two largest units."""
    for number, (size, name) in enumerate(UNITS):
        if seconds >= size:
            smaller, small = UNITS[number + 1] if number + 1 < len(UNITS) else (1, "s")
            return f"{int(seconds // size)} {name} {int(seconds % size // smaller)} {small}"
    return f"{seconds:.0f} s"


def _row(partition: Mapping[str, Any], at: object) -> tuple[str, ...]:
    def show(key: str) -> str:
        return _show(partition.get(key))

    due = partition.get("next_try_in")
    return (
        f"{show('topic')}-{show('partition')}",
        show("state").replace("_", " "),
        _between(partition.get("since"), at),
        *(show(key) for key in ("settled", "lag", "records", "attempts")),
        f"in {duration(due)}" if isinstance(due, int | float) else "-",
    )


def _between(start: object, end: object) -> str:
    try:
        return duration((datetime.fromisoformat(str(end)) - datetime.fromisoformat(str(start))).total_seconds())
    except (TypeError, ValueError):
        return "-"


def _why(partition: Mapping[str, Any]) -> str:
    texts = (_show(partition.get(key)) for key in ("reason", "last_error"))
    return "; ".join(dict.fromkeys(text for text in texts if text not in {"", "-"}))


def _aligned_rows(rows: list[tuple[str, ...]]) -> list[str]:
    """The heading and the rows as lines, their cells as wide as the widest of the column."""
    cells = [tuple(column.name for column in COLUMNS), *rows]
    widths = [max(len(row[number]) for row in cells) for number in range(len(COLUMNS))]
    return ["  ".join(map(_aligned, row, COLUMNS, widths)).rstrip() for row in cells]


def _aligned(cell: str, column: Column, width: int) -> str:
    return cell.rjust(width) if column.number else cell.ljust(width)


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _show(value: Any) -> str:
    """A value on one line: names and errors come from elsewhere, and may hold anything."""
    return "-" if value is None else one_line(str(value))
