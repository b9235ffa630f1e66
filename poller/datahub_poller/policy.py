"""What a failed piece does next, and when the breaker holds everything. Pure: time and chance are parameters.

A piece is what one lane puts into one invocation. Infrastructure that is away never gets here as an attempt:
it only waits.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
RETRYABLE: Final = "Retryable"
DO_NOT_RETRY: Final = "DoNotRetry"
"""What `datahub_handler` offers to raise, by the names that its faults have."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Invoke the same piece again after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class Split:
    """Invoke its two halves by themselves, the earlier one first."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Its records are given up: a dead letter each, or the end of the run (`THROW`)."""


Decision = Retry | Split | GiveUp


class Tried(NamedTuple):
    """A piece that has failed: `size` events, `attempts` used up, this one included, in `spent` seconds.

    `shared`: other partitions' records were in the call. `splitting`: it is a part of one whose attempts are used up.
    `named`: the handler named its events, or the first of them where order is strict.
    """

    size: int
    attempts: int
    splitting: bool = False
    shared: bool = False
    spent: float = 0.0
    fatal: bool = False
    named: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """The action file's `retry` and `batch.order`. `attempts` counts all tries of a piece, the first included.

    `max_age` is in seconds, of which `Tried.spent` has the account. `fatal` and `retryable` are classes of errors.
    """

    attempts: int = 3
    backoff: float = 1.0
    max_backoff: float = 60.0
    bisect: bool = True
    order: Literal["failed_only", "strict"] = "failed_only"
    max_age: float = math.inf
    fatal: frozenset[str] = frozenset()
    retryable: frozenset[str] = frozenset()

    def after_failure(self, tried: Tried, chance: float) -> Decision:
        """`chance` is in [0, 1).

        A piece that failed in company of other partitions' records is tried by itself at least once, whatever else
        holds: it may have been theirs. Then an error that is fatal, or too old an age, is as if all attempts were
        used up. What the handler named is known to be at fault: there is nothing to find by splitting it.
        """
        if tried.named:
            return GiveUp() if tried.splitting or self._used_up(tried) else Retry(self.delay(tried.attempts, chance))
        if tried.shared or not (tried.fatal or tried.splitting or self._used_up(tried)):
            return Retry(self.delay(tried.attempts, chance))
        if self.bisect and tried.size > 1:
            return Split()
        return GiveUp()

    def _used_up(self, tried: Tried) -> bool:
        return tried.attempts >= self.attempts or tried.spent >= self.max_age

    def is_fatal(self, lineage: Iterable[str]) -> bool:
        """Whether an error is not worth another try: its class, or else the nearest base that somebody named, says."""
        for name in lineage:
            if name == RETRYABLE or name in self.retryable:
                return False
            if name == DO_NOT_RETRY or name in self.fatal:
                return True
        return False

    def delay(self, attempts: int, chance: float) -> float:
        """Doubling from `backoff` up to `max_backoff`, of which the upper half is left to chance."""
        ceiling = min(self.max_backoff, self.backoff * 2.0 ** min(attempts - 1, 60))
        return ceiling * (0.5 + 0.5 * chance)

    def again(self, offsets: Sequence[int], failed: Collection[int]) -> set[int]:
        """Which of a piece's offsets are tried again when the handler named `failed` ones."""
        if self.order == "strict":
            first = min(failed)
            return {offset for offset in offsets if offset >= first}
        return set(failed)


def wait(tries: int, chance: float) -> float:
    """Seconds to wait for infrastructure that was away `tries` times in a row."""
    ceiling = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(tries - 1, 60))
    return ceiling * (0.5 + 0.5 * chance)


class Breaker:
    """Holds the letters back when failing looks like a broken handler or registry rather than broken records.

    Letters are judged before they are written. Open means: no letter is written and nothing is invoked but,
    after each `pause`, one probe. A success of the handler closes it. `in_a_row` of 0 switches it off.
    """

    def __init__(self, in_a_row: int, pause: float) -> None:
        self.in_a_row = in_a_row
        self.pause = pause
        self.successes = 0
        self.reason: str | None = None
        self.since: float | None = None
        self.probe_at = 0.0
        self.probing = False
        self._undecodable = 0
        self._failed = 0

    @property
    def is_open(self) -> bool:
        """Whether letters and invocations are held."""
        return self.reason is not None

    @property
    def run(self) -> int:
        """Records given up in a row up to now."""
        return self._undecodable + self._failed

    @property
    def row(self) -> str:
        """That run in words: undecodable records never reached the handler."""
        if self._undecodable and not self._failed:
            return f"{self.run} records in a row are undecodable"
        also = f", {self._undecodable} of them undecodable" if self._undecodable else ""
        return f"{self.run} records in a row were given up{also}"

    @property
    def room(self) -> int:
        """How many more may be given up before the run is too long."""
        return max(0, self.in_a_row - 1 - self.run) if self.in_a_row > 0 else sys.maxsize

    @property
    def probe_room(self) -> int:
        """How many records may be given up for the first time to get a probe past them: too few to open it again."""
        return max(0, self.in_a_row - 2)

    def gave_up(self, undecodable: int = 0, failed: int = 0) -> bool:
        """That many more records were given up; whether the run is now too long for their letters to be written."""
        self._undecodable += undecodable
        self._failed += failed
        return self.in_a_row > 0 and self.run >= self.in_a_row

    def suspects(self, size: int, succeeded: int, witness: int) -> bool:
        """Whether a part of `size` events, all given up, speaks against the handler rather than against them.

        `witness` is `successes` when the part was taken: has anything succeeded since, the handler works.
        """
        return self.in_a_row > 0 and size > 1 and succeeded == 0 and witness == self.successes

    def trip(self, now: float, reason: str) -> None:
        """Open, or stay open for another `pause`."""
        if not self.is_open:
            self.since = now
        self.reason = reason
        self.probe_at = now + self.pause
        self.probing = False

    def may_probe(self, now: float) -> bool:
        """Whether the pause is over and no probe is on its way."""
        return self.is_open and not self.probing and now >= self.probe_at

    def succeeded(self) -> bool:
        """A handler did something right: closes an open breaker, which is what the answer says."""
        was_open = self.is_open
        self.successes += 1
        self._undecodable = self._failed = 0
        self.reason = self.since = None
        self.probing = False
        return was_open

    def decoded(self) -> None:
        """A record was decoded: undecodable ones before it are no run any more."""
        self._undecodable = 0
