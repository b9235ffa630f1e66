"""The comparison's result in three forms: a table for a terminal, JSON for scripts, the block for the README.

Pure: it is told what happened, and decides only how it reads.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from compare_loss.scene import Played

BEGIN, END = "<!-- compare-loss:begin -->", "<!-- compare-loss:end -->"
COMMAND = "make compare-loss"
COLUMNS = ("records", "delivered", "dead letters", "waiting", "lost", "repeated", "restarts", "done after")
LOST = COLUMNS.index("lost")

SETTINGS = """\
Both run as their users run them, at the same time, on one topic of one partition, each in a group of its own, with
their defaults, the same `source` section (`auto.offset.reset: earliest`), `failure_mode: CONTINUE` and
`failed_events_dir`. What ends by itself is started again at once, three times. At the end both get SIGTERM; then the
broker is asked for the group's offset. *Lost*: below that offset, never acted on, no dead letter. *Waiting*: never
acted on, no dead letter, not below it: it would come. *Repeated*: deliveries beyond a record's first. *Done after*:
from start to the last record."""

NOTES = """\
- 503: DataHub Actions' registry client retries a request for some seconds, so the loss goes with the length of the
  outage and with chance. 401 is not retried.
- Slow action: DataHub Actions sets `max.poll.interval.ms` to 10 s; raised in `consumer_config`, it does not do this.
- `kill -9`: DataHub Actions commits every 10 s and repeats what came since. datahub-poller commits after each batch and
  repeats the batch in hand (the one before it too, if its commit was under way). It is back later: the group waits for
  the dead member for `session.timeout.ms`, librdkafka's 45 s here, 10 s there."""


class Result(NamedTuple):
    """A case's name, what the table calls its fault, and what became of the trace at each product."""

    name: str
    fault: str
    sides: Sequence[Played]


class Report(NamedTuple):
    """All that was run, and on what."""

    versions: Mapping[str, str]
    broker: str
    seed: int
    results: Sequence[Result]

    @property
    def lost_by_ours(self) -> int:
        played = [side for result in self.results for side in result.sides]
        return sum(side.outcome.lost for side in played if side.product == "datahub-poller")


def table(report: Report) -> str:
    form = "  {:<17}" + "{:>10}" + "{:>14}" * (len(COLUMNS) - 1)
    lines = [_versions(report), ""]
    for result in report.results:
        lines += [f"{result.name}: {result.fault}", form.format("", *COLUMNS)]
        lines += [form.format(side.product, *_cells(side)) for side in result.sides]
        lines.append("")
    words = f"{SETTINGS}\n\n{NOTES}\n".replace("`", "").replace("*", "")
    return "\n".join([*lines, words])


def markdown(report: Report) -> str:
    """Everything from the one mark to the other."""
    lines = [BEGIN, f"| fault | | {' | '.join(COLUMNS)} |", "| --- | --- " + "| ---: " * len(COLUMNS) + "|"]
    for result in report.results:
        for number, side in enumerate(result.sides):
            cells = list(_cells(side))
            cells[LOST] = f"**{cells[LOST]}**"
            lines.append(f"| {'' if number else result.fault} | {side.product} | {' | '.join(cells)} |")
    made = f"`{COMMAND}` makes this table; here with {_versions(report)}."
    return "\n".join([*lines, "", textwrap.fill(made, 120), "", SETTINGS, "", NOTES, END, ""])


def as_json(report: Report) -> str:
    results = [
        {
            "case": result.name,
            "fault": result.fault,
            "products": {side.product: {**side.outcome._asdict(), "seconds": side.seconds} for side in result.sides},
        }
        for result in report.results
    ]
    about = {"versions": dict(report.versions), "broker": report.broker, "seed": report.seed}
    return json.dumps({**about, "lost_by_datahub_poller": report.lost_by_ours, "results": results}, indent=2) + "\n"


def _cells(side: Played) -> tuple[str, ...]:
    """In the order of COLUMNS."""
    outcome = side.outcome
    numbers = (outcome.delivered, outcome.dead_letters, outcome.waiting, outcome.lost, outcome.repeated)
    restarts = f"{outcome.restarts}, then down" if outcome.gave_up else str(outcome.restarts)
    done = "never" if side.seconds is None else f"{side.seconds:.0f} s"
    return (str(outcome.produced), *map(str, numbers), restarts, done)


def _versions(report: Report) -> str:
    named = [f"{name} {version}" for name, version in report.versions.items()]
    return f"{', '.join(named)}, on {report.broker}, seed {report.seed}"
