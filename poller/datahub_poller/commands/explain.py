"""`explain`: why partitions do not move, in words, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datahub_poller.commands.naming import CONFIG, HOST, PORT, door_of
from datahub_poller.commands.shared import FAILED, fail, verbatim
from datahub_poller.errors import PollerError

if TYPE_CHECKING:
    from datahub_poller.observe.explaining import Explained, Told


@click.command(
    short_help="Say in words why a partition does not move, and what to do.",
    epilog=verbatim("""
Asks a running poller on this machine. Without TOPIC-PARTITION it tells of the
partitions that do not move; with one, of that one whatever it does.

Exit codes: 0 the poller answered (whatever it said), 1 it did not, or does not
have the partition, 2 wrong use or configuration.

Examples:
  datahub-poller explain
  datahub-poller explain PlatformEvent_v1-3
  datahub-poller explain -c action.yaml --json | jq '.partitions[].why'
"""),
)
@click.argument("partition", metavar="[TOPIC-PARTITION]", required=False)
@CONFIG
@PORT
@HOST
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def explain(partition: str | None, path: Path | None, port: int | None, host: str | None, as_json: bool) -> None:
    """Say in words what each partition waits for, and what to do about it."""
    from datahub_poller.observe.explaining import alike, explained, names, whole
    from datahub_poller.observe.render import fetch_status

    door = door_of(path, port, host)
    try:
        status = fetch_status(door.port, host=door.host)
        every = explained(status, partition)
    except PollerError as error:
        fail(str(error), FAILED)
    about = list(whole(status))
    shown = every if partition is not None else [each for each in every if not each.moves]
    if as_json:
        click.echo(json.dumps(_document(status, about, shown), indent=2))
        return
    for told in about:
        _say(str(status.get("action", "the poller")), told)
    for group in alike(shown):
        _say(f"{names([each.name for each in group])}: {group[0].state.replace('_', ' ')}", group[0].told)
    if not about and not shown:
        click.echo(f"{len(every)} partition(s), and each has nothing to do or is at it.")


def _say(name: str, told: Told) -> None:
    from datahub_poller.observe.scrub import one_line

    click.echo(name)
    click.echo(f"  {one_line(told.why)}")
    if told.remedy:
        click.echo(f"  To do: {one_line(told.remedy)}")


def _document(status: dict[str, Any], about: list[Told], shown: list[Explained]) -> dict[str, Any]:
    return {
        "action": status.get("action"),
        "poller": [{"why": told.why, "to_do": told.remedy} for told in about],
        "partitions": [
            {
                "partition": each.name,
                "state": each.state,
                "moves": each.moves,
                "why": each.told.why,
                "to_do": each.told.remedy,
            }
            for each in shown
        ],
    }
