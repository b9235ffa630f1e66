"""A dead letter as one line for a person: when it was given up, its name, why, and what it was about.

Pure. Knows no colours: `paint` gets each part with its role. Whatever a letter holds, it can neither end the line nor
steer the terminal.
"""

from __future__ import annotations

from typing import Protocol

from datahub_poller.observe.event_line import Paint, plain, time_text
from datahub_poller.observe.scrub import one_line

ERROR_LIMIT = 160
NO_TIME = "-"


class Shown(Protocol):
    """What is shown of a letter; `at` is in epoch seconds."""

    @property
    def id(self) -> str:
        """The letter's id."""

    @property
    def at(self) -> float | None:
        """When it was given up."""

    @property
    def stage(self) -> str:
        """Where it failed."""

    @property
    def error(self) -> str:
        """`class: message`."""

    @property
    def entity(self) -> str | None:
        """The urn that its event is about."""

    @property
    def redrives(self) -> int:
        """How often its record was handed out again before."""


def letter_line(letter: Shown, state: str = "waiting", paint: Paint = plain) -> str:
    """`2026-01-31T08:00:00.000Z Topic/0/7/9f86d081884c handler ValueError: no such tag urn:li:... (redriven)`."""
    parts = [
        paint(at_text(letter.at), "time"),
        paint(one_line(letter.id), "place"),
        paint(one_line(letter.stage), "type"),
        paint(bounded(letter.error, ERROR_LIMIT), "bad"),
    ]
    if letter.entity is not None:
        parts.append(paint(one_line(letter.entity), "entity"))
    if letter.redrives:
        parts.append(paint(f"(after redrive {letter.redrives})", "aside"))
    if state != "waiting":
        parts.append(paint(f"({one_line(state)})", "aside"))
    return " ".join(parts)


def at_text(at: float | None) -> str:
    """A time in ISO 8601, UTC; a dash where there is none."""
    return NO_TIME if at is None else time_text(round(at * 1000))


def bounded(text: str, limit: int) -> str:
    """The text on one line, its end left out where it is long."""
    cut = text if len(text) <= limit else f"{text[:limit]}..."
    return one_line(cut)
