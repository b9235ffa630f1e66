"""Figures of dead letters as lines for a person: a table, bars and a small curve.

Pure. Takes plain texts and numbers; no cell can end its line or steer the terminal, and no line is cut off.
"""

from __future__ import annotations

from collections.abc import Sequence

from datahub_poller.observe.event_line import Paint, plain
from datahub_poller.observe.scrub import one_line

BLOCKS = "▁▂▃▄▅▆▇█"
LETTERS = "_.:-=+*#"
"""The same in ASCII, for terminals that have no more."""
BAR = 40


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = (), paint: Paint = plain
) -> list[str]:
    """The heading and the rows, columns aligned, those of `numbers` to the right."""
    cells = [[one_line(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    heading, *lines = [
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return [paint(heading, "aside"), *lines]


def curve(counts: Sequence[int], blocks: str = BLOCKS) -> str:
    """A character for each count, as high as it is among them; a blank for none at all."""
    top = max(counts, default=0)
    return "".join(" " if not count else blocks[(count * len(blocks) - 1) // top] for count in counts)


def bars(rows: Sequence[tuple[str, int]], blocks: str = BLOCKS, paint: Paint = plain) -> list[str]:
    """A line for each: its label, a bar, the count; the largest bar is BAR wide."""
    top = max((count for _, count in rows), default=0)
    width = max((len(label) for label, _ in rows), default=0)
    lines = []
    for label, count in rows:
        length = -(-count * BAR // top) if top else 0
        bar = paint(blocks[-1] * length, "change") + " " if length else ""
        lines.append(f"{paint(one_line(label).ljust(width), 'time')}  {bar}{count:,}")
    return lines
