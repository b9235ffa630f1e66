"""A position outside of its partition's log: what happened to it, and what follows, in words. Pure."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

RETENTION: Final = "retention deleted records before they were read"
COMMIT_PAST_END: Final = "committed offset is past the end of the log"
READ_PAST_END: Final = "log ends before what this run has read"
START_PAST_END: Final = "position is past the end of the log"
MADE_ANEW: Final = "topic was deleted and made anew: reading it from its beginning"
_WHY_MADE_ANEW: Final = "its topic was deleted and made anew"


class Gap(NamedTuple):
    """Where a partition was to be read on (`at`), and the log that is there instead: offsets `low` to `high`.

    `start` is where this run began, at the `committed` offset if there was one. `new_topic`: the log is that of
    another topic with the same name.
    """

    at: int
    start: int
    committed: int | None
    low: int
    high: int
    new_topic: bool = False

    @property
    def inside(self) -> bool:
        """The log has the position after all."""
        return not self.new_topic and self.low <= self.at <= self.high

    @property
    def past_end(self) -> bool:
        """The log ends before the position: it was cut off, or is that of another topic with the same name."""
        return not self.new_topic and self.at > self.high

    @property
    def missing(self) -> int | None:
        """How many records were deleted unread; None where nobody can tell."""
        return None if self.new_topic or self.past_end else max(0, self.low - self.at)

    @property
    def read(self) -> int | None:
        """Up to where this run has read; None where it has read nothing."""
        return self.at if self.at > self.start else None

    @property
    def event(self) -> str:
        """Its line in the log."""
        if self.new_topic:
            return MADE_ANEW
        if not self.past_end:
            return RETENTION
        if self.read is not None:
            return READ_PAST_END
        return COMMIT_PAST_END if self.committed == self.at else START_PAST_END

    @property
    def why(self) -> str:
        """The event as the reason of a halt."""
        return _WHY_MADE_ANEW if self.new_topic else self.event

    def told(self, on_gap: Literal["earliest", "halt"]) -> dict[str, Any]:
        """What the line has beside the position and the log's ends; None where there is nothing to say."""
        return {"committed": self.committed, "read": self.read, "missing": self.missing, "then": self.then(on_gap)}

    def then(self, on_gap: Literal["earliest", "halt"]) -> str:
        """What follows."""
        if on_gap == "halt":
            return "stopping"
        again = " (what this log still has of before comes again)" if self.past_end else ""
        return f"reading from offset {self.low}{again}"
