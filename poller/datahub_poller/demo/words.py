"""What the demo says before and after: what is about to be seen, whether it added up, and where to look next.

Words only; nothing is decided here.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from datahub_poller.demo.follow import Tally
from datahub_poller.demo.process import PRETENDED
from datahub_poller.demo.stage import ACTION, Stage
from datahub_poller.demo.view import Scene


def command() -> str:
    """The poller's command as it can be typed here: by its name where it is on the path, else by its place."""
    if shutil.which("datahub-poller"):
        return "datahub-poller"
    return os.path.relpath(Path(sys.executable).with_name("datahub-poller"))


def opening(console: Console, stage: Stage, events: int) -> None:
    """What is there, and what is about to happen."""
    _head(console, "datahub-poller: the demo")
    _say(
        console,
        f"A Kafka broker ({stage.bootstrap}), a Confluent-compatible registry and a stand-in for AWS Glue's",
        f"({stage.registry_url}) run in this process, on this machine only. {events} events of a made-up company go to",
        "DataHub's three topics, framed for either registry. Among them are one record cut off in the middle, and one",
        "event that the handler cannot do. The poller is the real one, started as you would start it:",
        f"  {command()} run -c {stage.action_file}",
        "",
    )


def summary(
    console: Console, stage: Stage, tally: Tally, scene: Scene, problems: Sequence[str], seconds: float
) -> None:
    """Every number against its counterpart, and the verdict."""
    committed = sum(scene.committed.get(at, 0) for at in scene.ends)
    equal = sum(scene.committed.get(at, 0) == end for at, end in scene.ends.items())
    _say(console, "")
    _head(console, "summary")
    _say(
        console,
        f"  records produced     {len(stage.produced):>5}",
        f"  events delivered     {len(tally.delivered):>5}   in {tally.succeeded} batches that succeeded,"
        f" {tally.invocations - tally.succeeded} calls failed",
        f"  dead-lettered        {len(tally.dead):>5}   the one event that the handler cannot do",
        f"  undecodable          {len(tally.undecodable):>5}   kept with its raw bytes",
        f"  offsets committed    {committed:>5}   of {sum(scene.ends.values())};"
        f" {equal} of {len(scene.ends)} partitions are committed to their end",
        f"  time                 {seconds:>5.1f} s",
        "",
    )
    if problems:
        _head(console, "IT DOES NOT ADD UP", "bold red")
        _say(console, *(f"  {problem}" for problem in problems), f"  the poller's log: {stage.log}", "")
    else:
        _head(console, "Every record was delivered or dead-lettered, none was lost, all is committed.", "bold green")
        _say(console, "")


def where_next(console: Console, stage: Stage) -> None:
    """The files, and commands to try."""
    _files(console, stage)
    _head(console, "try")
    _say(
        console,
        f"  {command()} check --offline -c {_quoted(stage.action_file)}",
        f"  {command()} demo --keep        # leaves broker and registries running for a poller of your own",
    )


def how_to_connect(console: Console, stage: Stage, seconds: float) -> None:
    """What is running, and what to type in another terminal."""
    _files(console, stage)
    _head(console, "still running, until Ctrl-C")
    _say(
        console,
        f"  Kafka                {stage.bootstrap}   (one more event every {seconds:g} s)",
        f"  Confluent registry   {stage.registry_url}",
        f"  AWS Glue stand-in    {stage.registry_url}",
        "",
    )
    _head(console, "in another terminal")
    action = _quoted(stage.action_file)
    _say(
        console,
        f"  export {' '.join(f'{name}={value}' for name, value in PRETENDED)}",
        f"  {command()} check -c {action}",
        f"  {command()} run -c {action}",
        f"  {command()} status -c {action}",
        f"  tail -f {_quoted(stage.notebook)}",
        f"  # the handler is {_quoted(stage.handler_file)}: change it, run again",
    )


def farewell(console: Console, stage: Stage) -> None:
    """The end of `--keep`."""
    _say(console, "", f"broker and registries are stopped; the files stay in {stage.directory}")


def interrupted(console: Console, directory: Path) -> None:
    """The end before the end."""
    _say(console, "", f"interrupted: poller, broker and registries are stopped; the files stay in {directory}")


def ended_badly(code: int, lines: Sequence[str]) -> str:
    """The poller ended before it was asked to, or with an error: its exit code and its last words."""
    said = "".join(f"\n    {line}" for line in lines)
    return f"the poller ended with exit code {code}{'; the last it said:' if said else ''}{said}"


def _files(console: Console, stage: Stage) -> None:
    letters = stage.letters / ACTION
    _head(console, "where to look")
    _say(
        console,
        f"  action file          {stage.action_file}",
        f"  handler              {stage.handler_file}",
        f"  what it did          {stage.notebook}",
        f"  dead letters         {letters / 'failed_events.log'}",
        f"  undecodable records  {letters / 'undecodable.log'}",
        f"  the poller's log     {stage.log}",
        "",
    )


def _head(console: Console, line: str, style: str = "bold") -> None:
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
