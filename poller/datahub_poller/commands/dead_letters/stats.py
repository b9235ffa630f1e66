"""`dead-letters stats`: the chosen letters counted, by error, over time, and by what they are about."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from datahub_poller.commands.dead_letters.choosing import choosing
from datahub_poller.commands.dead_letters.shared import counted, looked_at, opened, painter, say, tell_oddities
from datahub_poller.commands.shared import ACTION_FILE, verbatim

if TYPE_CHECKING:
    from datahub_poller.commands.dead_letters.shared import Place
    from datahub_poller.deadletter.account import Chosen
    from datahub_poller.deadletter.choice import Choice
    from datahub_poller.deadletter.stats import By, Figures, Group
    from datahub_poller.observe.event_line import Paint

BUCKETS = 48
GROUPS = 20
TOPS = 5
JSON_BUCKETS = 10_000
MESSAGE_LIMIT = 100


@click.command(
    short_help="Count letters by error, over time.",
    epilog=verbatim("""
Counts by error class and stage, with the first and the last time and a curve over
the time that all of them span; then by hour or day (UTC), and the entities and
aspects that fail most.

Exit codes: 0 counted (even if there are none), 1 the place cannot be read,
2 wrong use or configuration.

Examples:
  datahub-poller dead-letters stats -c action.yaml
  datahub-poller dead-letters stats -c action.yaml --since 24h --by hour
  datahub-poller dead-letters stats -c action.yaml --state all --json | jq .groups
"""),
)
@ACTION_FILE
@choosing
@click.option("--by", type=click.Choice(["hour", "day"]), help="Count by [default: hour, day for more than two days].")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as one JSON document.")
def stats(path: Path, choice: Choice, by: By | None, as_json: bool) -> None:
    """Count the letters that are chosen."""
    from datahub_poller.deadletter.stats import Figures

    with opened(path) as place:
        seen = place.chosen(choice)
        figures = Figures()
        for letter, state in looked_at(seen):
            figures.add(letter, state)
        usual = figures.usual() if by is None else by
        if as_json:
            sys.stdout.write(json.dumps(_document(figures, seen, usual, place), indent=2) + "\n")
        else:
            _print(figures, seen, usual)
            tell_oddities(seen.letters, place.tell)


def _print(figures: Figures, seen: Chosen, by: By) -> None:
    from datahub_poller.observe.letter_figures import table
    from datahub_poller.observe.letter_line import bounded

    paint = painter()
    blocks = _blocks()
    starts = figures.starts(by, BUCKETS)
    say(_total(figures, seen))
    if not figures.count:
        return
    say("")
    groups = figures.groups
    headings = ("error", "stage", "letters", "first", "last", f"by {by}", "topics")
    rows = [_row(group, starts, blocks) for group in groups[:GROUPS]]
    heading, *lines = table(headings, rows, (2,), paint)
    say(heading)
    for line, group in zip(lines, groups, strict=False):
        say(line)
        if group.example:
            say(paint(f"    {bounded(group.example, MESSAGE_LIMIT)}", "aside"))
    if rest := groups[GROUPS:]:
        say(f"{len(rest):,} more, {counted(sum(group.count for group in rest))}: --json has all")
    _print_time(figures, starts, by, blocks, paint)
    _print_top("entities", figures.entities)
    _print_top("aspects", figures.aspects)


def _total(figures: Figures, seen: Chosen) -> str:
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(figures.states.items()))
    stages = ", ".join(f"{stage} {count:,}" for stage, count in figures.stages.most_common())
    left = ", ".join(f"{count:,} {state}" for state, count in sorted(seen.left_out.items()))
    first = f"{counted(figures.count)}{f' ({states})' if states else ''}"
    return "; ".join([first, *([f"by stage: {stages}"] if stages else []), *([f"not counted: {left}"] if left else [])])


def _row(group: Group, starts: range, blocks: str) -> tuple[str, ...]:
    from datahub_poller.deadletter.stats import in_buckets
    from datahub_poller.observe.letter_figures import curve
    from datahub_poller.observe.letter_line import at_text

    trend = curve([bucket.letters for bucket in in_buckets([group], starts)], blocks)
    topics = ", ".join(sorted(group.topics))
    return group.kind, group.stage, f"{group.count:,}", at_text(group.first), at_text(group.last), trend, topics


def _print_time(figures: Figures, starts: range, by: By, blocks: str, paint: Paint) -> None:
    from datahub_poller.observe.letter_figures import bars
    from datahub_poller.observe.letter_line import at_text

    width = len("2026-01-31T08:00") if by == "hour" else len("2026-01-31")
    buckets = figures.over_time(starts)
    say("")
    for line in bars([(at_text(bucket.start)[:width], bucket.letters) for bucket in buckets], blocks, paint):
        say(line)
    outside = figures.count - figures.timeless - sum(bucket.letters for bucket in buckets)
    if outside:
        say(f"{counted(outside)} before that")
    if figures.timeless:
        say(f"{counted(figures.timeless)} without a time")


def _print_top(what: str, counts: Counter[str]) -> None:
    from datahub_poller.observe.letter_line import bounded

    if not counts:
        return
    say("")
    say(f"{what} with most letters, of {len(counts):,}")
    for name, count in _top(counts):
        say(f"{count:>9,}  {bounded(name, MESSAGE_LIMIT * 2)}")


def _top(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:TOPS]


def _document(figures: Figures, seen: Chosen, by: By, place: Place) -> dict[str, Any]:
    from datahub_poller.observe.letter_line import at_text

    starts = figures.starts(by, JSON_BUCKETS)
    letters = seen.letters
    return {
        "action": place.action.name,
        "place": place.store.place,
        "letters": figures.count,
        "states": dict(figures.states),
        "left_out": seen.left_out,
        "stages": dict(figures.stages),
        "groups": [_group(group, starts) for group in figures.groups],
        "by": by,
        "over_time": [{"from": at_text(start), "letters": count} for start, count in figures.over_time(starts)],
        "without_time": figures.timeless,
        "entities": [{"urn": urn, "letters": count} for urn, count in _top(figures.entities)],
        "aspects": [{"aspect": aspect, "letters": count} for aspect, count in _top(figures.aspects)],
        "repeated": letters.repeated,
        "others": letters.others,
        "no_letters": {"count": letters.rejected, "first": [each._asdict() for each in letters.rejects]},
    }


def _group(group: Group, starts: range) -> dict[str, Any]:
    from datahub_poller.deadletter.stats import in_buckets
    from datahub_poller.observe.letter_line import at_text

    buckets = [bucket for bucket in in_buckets([group], starts) if bucket.letters] if starts else []
    return {
        "kind": group.kind,
        "stage": group.stage,
        "letters": group.count,
        "first": None if group.first is None else at_text(group.first),
        "last": None if group.last is None else at_text(group.last),
        "topics": sorted(group.topics),
        "example": group.example,
        "over_time": [{"from": at_text(start), "letters": count} for start, count in buckets],
    }


def _blocks() -> str:
    """What bars and curves are made of, as far as the output can encode it."""
    from datahub_poller.observe.letter_figures import BLOCKS, LETTERS

    try:
        BLOCKS.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return LETTERS
    return BLOCKS
