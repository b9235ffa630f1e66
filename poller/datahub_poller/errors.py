"""Every error kind of the poller. The kind decides what happens: wait, dead-letter, try again or stop.

An unknown exception from a handler is the handler's failure; an unknown one from our own code is fatal.
"""

from __future__ import annotations


class PollerError(Exception):
    """The root of the poller's own errors."""


class Transient(PollerError):
    """Infrastructure is away or busy: wait and try again without end, no attempt is counted."""


class TooLarge(Transient):
    """Some of what was to be written is larger than the place takes: `which`, by their numbers, from 0."""

    def __init__(self, message: str, which: tuple[int, ...]) -> None:
        super().__init__(message)
        self.which = which


class Poison(PollerError):
    """The bytes of this record are no event. `kind` is a stable word for tables and letters."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class SchemaNotFound(PollerError):
    """The registry answered, and does not know this schema id."""


class HandlerFailed(PollerError):
    """The handler raised or answered badly. `kind` and `stack` are the handler's own.

    `lineage` names the error's class and its bases, the nearest first; `response` is what was answered, if anything.
    """

    def __init__(
        self, kind: str, message: str, stack: str = "", lineage: tuple[str, ...] = (), response: str = ""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.stack = stack
        self.lineage = lineage
        self.response = response


class Fatal(PollerError):
    """The poller cannot go on: it stops with exit code 1."""


class CannotStart(PollerError):
    """Something that the action file names cannot be reached or loaded: exit code 3."""


class ConfigError(PollerError):
    """The action file or the command is wrong: exit code 2. Holds every problem found, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
