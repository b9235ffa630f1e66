"""What `redrive` says: what would be done, a line for each letter, how far it is, and what came of it."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from datahub_poller.commands.dead_letters.shared import counted, painter, say

if TYPE_CHECKING:
    from datahub_poller.redrive.outcomes import Author, Outcome, Tally
    from datahub_poller.redrive.planning import Look
    from datahub_poller.redrive.running import Summary

ERRORS = 20
NEWS_SECONDS = 5.0
REPEAT_SECONDS = 30.0
WORDS = {"failed_again": "failed again"}
BROKEN = (
    "the handler seems to be still broken: too many failed in a row, or a whole batch did. The rest is left waiting. "
    "Correct the handler, choose fewer (--error, --id, --limit), or try each with --keep-going"
)


def tell_plan(look: Look, to: str, limit: int | None, tell: Callable[[str], None]) -> None:
    """What --yes would do."""
    from datahub_poller.observe.letter_line import letter_line
    from datahub_poller.observe.scrub import one_line

    errors = look.errors.most_common()
    for kind, count in errors[:ERRORS]:
        say(f"{count:>9,}  {one_line(kind)}")
    if rest := errors[ERRORS:]:
        say(f"{sum(count for _, count in rest):>9,}  of {len(rest):,} other kinds")
    first = look.first()
    for letter in first:
        say(f"would redrive {letter_line(letter, 'waiting', painter())}")
    if look.matched > len(first):
        say(f"and {look.matched - len(first):,} more")
    _tell_left_out(look.left, tell)
    if not look.matched:
        tell("no letter is chosen: there is nothing to redrive")
        return
    number = look.matched if limit is None else min(look.matched, limit)
    only = f" (--limit; {look.matched:,} are chosen)" if number < look.matched else ""
    tell(f"{counted(number)}{only} would go to {to}; nothing was done. --yes does it")


def _has_terminal() -> bool:
    return sys.stderr.isatty()


@dataclass(slots=True)
class Telling:
    """The audit lines on standard output, the progress on standard error. `advance` moves a bar on."""

    author: Author
    as_json: bool
    total: int
    tell: Callable[[str], None]
    advance: Callable[[int], None]
    out: TextIO
    said: int = 0
    _news_at: float = field(default_factory=time.monotonic)
    _told: dict[str, float] = field(default_factory=dict)
    _has_bar: bool = field(default_factory=_has_terminal)  # looked at once: the handler may close it later

    def outcome(self, outcome: Outcome, at: float) -> None:
        """A line that what was done with a letter lasts; without `tell`, how far it is."""
        line = self._document(outcome, at) if self.as_json else self._line(outcome, at)
        try:
            self.out.write(line.encode(self.out.encoding, "backslashreplace").decode(self.out.encoding) + "\n")
            self.out.flush()
        except BrokenPipeError:  # whoever read has gone; the letters are to be redriven all the same
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.out.fileno())
        self.said += 1
        self.advance(1)
        now = time.monotonic()
        if not self._has_bar and now - self._news_at > NEWS_SECONDS:
            self._news_at = now
            self.tell(f"{self.said:,} of {counted(self.total)} done with")

    def trouble(self, text: str) -> None:
        """What stands in the way: once, and again while it lasts."""
        now = time.monotonic()
        if now - self._told.get(text, -REPEAT_SECONDS) >= REPEAT_SECONDS:
            if len(self._told) > ERRORS:
                self._told.clear()
            self._told[text] = now
            self.tell(text)

    def _line(self, outcome: Outcome, at: float) -> str:
        from datahub_poller.observe.letter_line import at_text, bounded
        from datahub_poller.observe.scrub import one_line

        what = "left" if outcome.done is None else WORDS.get(outcome.done, outcome.done)
        error = f": {bounded(outcome.error, 300)}" if outcome.error else ""
        return f"{at_text(at)} {what} {one_line(outcome.case.letter.id)} to {one_line(self.author.to)}{error}"

    def _document(self, outcome: Outcome, at: float) -> str:
        import json

        from datahub_poller.observe.letter_line import at_text

        letter, author = outcome.case.letter, self.author
        return json.dumps(
            {
                "at": at_text(at),
                "action": letter.action,
                "id": letter.id,
                "redrives": letter.redrives,
                "done": "left" if outcome.done is None else outcome.done,
                "to": author.to,
                "error": outcome.error or None,
                "who": author.who,
                "why": author.why or None,
                "run": author.run,
            }
        )


def tell_summary(summary: Summary, tally: Tally, tell: Callable[[str], None]) -> None:
    """What came of it, and what is left and why."""
    done = [f"{count:,} {WORDS.get(what, what)}" for what, count in sorted(tally.done.items()) if count]
    tell(", ".join(done) or "nothing was redriven")
    if tally.superseded:
        tell(f"{counted(tally.superseded)} had failed again in an earlier run, which is written down now")
    for reason, count in tally.left.most_common(ERRORS):
        tell(f"{counted(count)} left as before: {reason}")
    _tell_left_out(summary.left_out, tell)
    if summary.gone:
        tell(f"{counted(summary.gone)} could not be seen any more when it was their turn. Run it again")
    if summary.ending == "broken":
        tell(BROKEN)
    if summary.waiting:
        tell(f"{counted(summary.waiting)} not tried to the end, and waiting as before. Running it again goes on there")


def all_done(summary: Summary, tally: Tally) -> bool:
    """Whether everything that was chosen is done with for good."""
    left = summary.waiting or summary.gone or summary.left_out or tally.left or tally.done["failed_again"]
    return summary.ending == "through" and not left


def _tell_left_out(left: Counter[str], tell: Callable[[str], None]) -> None:
    for reason, count in left.most_common(ERRORS):
        tell(f"{counted(count)} left out: {reason}")
