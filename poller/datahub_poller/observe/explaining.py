"""Why a partition does not move, in words, and what to do about it: from the document that the status port serves.

Pure. Reads JSON of this version or another: what is missing is left out. Knows states, not what leads to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from datahub_poller.errors import PollerError

Partition = Mapping[str, Any]
Words = Callable[[Partition, str], "Told"]


class Told(NamedTuple):
    """What is the matter, and what to do; without the latter there is nothing to do."""

    why: str
    remedy: str = ""


class Explained(NamedTuple):
    """One partition. `moves`: it has nothing to do, or is at it."""

    name: str
    state: str
    moves: bool
    told: Told


def explained(status: Mapping[str, Any], wanted: str | None) -> list[Explained]:
    """Every partition, or the one that is wanted by its name TOPIC-PARTITION. Raises PollerError."""
    every = [_partition(each) for each in status.get("partitions", ())]
    if wanted is None:
        return every
    found = [each for each in every if each.name == wanted]
    if not found:
        here = ", ".join(each.name for each in every) or "none"
        raise PollerError(
            f"{wanted} is not a partition of this poller: its partitions are {here}. Another process of the group has "
            "it, or no such partition exists (kafka-consumer-groups --describe tells)"
        )
    return found


def whole(status: Mapping[str, Any]) -> Iterator[Told]:
    """What holds up the whole poller."""
    state = status.get("state")
    if state == "starting":
        yield Told("It has not been given partitions yet: it is joining its group.", "Wait, or look at its log.")
    elif not status.get("partitions") and state in ("waiting", "running"):
        yield Told(
            "It has no partition: others of its group have them all, or a rebalance is on its way.",
            "Nothing, where there are more processes than partitions.",
        )
    elif state == "stopping":
        yield Told("It was told to stop and lets running calls finish by shutdown.deadline.")
    for reason in status.get("reasons", ()):
        if reason.startswith("kafka: "):
            yield Told(f"Kafka does not answer as it should: {reason[7:]}.", "Look at the brokers and the network.")
        elif reason.startswith("commits fail: "):
            yield Told(
                f"What is done cannot be committed: {reason[14:]}. It would come again after a restart.",
                "Where it says that a right is missing, grant READ on the group; else look at the brokers.",
            )
    silent = status.get("loop_turned_ago")
    if isinstance(silent, int | float) and silent > status.get("loop_hangs_after", _SILENT):
        yield Told(
            f"Its loop has not turned for {silent:.0f} s: something blocks the process.",
            "Its log has the stacks of all threads; then restart it: nothing that is not committed is lost.",
        )


_SILENT: Final = 30.0


def _partition(each: Partition) -> Explained:
    state = str(each.get("state", "unknown"))
    words = _WORDS.get(state, _unknown)
    told = words(each, _reason(each))
    stands = bool(each.get("stuck")) or state in _STANDS
    return Explained(f"{each.get('topic')}-{each.get('partition')}", state, not stands, told)


def _reason(each: Partition) -> str:
    return str(each.get("reason") or "").rstrip(".")


def _idle(each: Partition, _: str) -> Told:
    if lag := each.get("lag"):
        return Told(
            f"{lag} records are in the log, and none of them has come yet.",
            "Wait a moment; if it stays so, look at the brokers: a partition without a leader gives nothing. "
            "Records of a transaction that is still open are not given out either.",
        )
    return Told("Everything in the log is settled: there is nothing to do.")


def _ready(_: Partition, reason: str) -> Told:
    what = "Its records are undecodable, and their dead letters come next" if reason else "Its events are decoded"
    return Told(
        f"{what}; it waits for batch.window, batch.rate, or one of batch.concurrency calls to be free.",
        "If that lasts: raise batch.concurrency, make the handler faster, or run more processes.",
    )


def _in_flight(each: Partition, reason: str) -> Told:
    call = f"The handler has {each.get('in_flight')} of its events since {_time(each.get('since'))}"
    if reason:
        return Told(
            f"{call}: {reason}. A call cannot be stopped from outside, and nothing of it is tried again while it runs.",
            "Let the handler give up by itself: time limits for what it calls, below handler.config.timeout. "
            "A restart ends the call; its events come again.",
        )
    return Told(f"{call}.")


def _backing_off(each: Partition, reason: str) -> Told:
    tries = each.get("attempts")
    if tries:
        return Told(
            f"The handler failed {tries} time(s): {_error(each)}. It is tried again in {each.get('next_try_in')} s.",
            "Mend what the error names, then `datahub-poller retry-now`. Tries that are used up end in a dead letter.",
        )
    return Told(
        f"What the handler is behind does not answer: {reason or _error(each)}. That uses up no tries.",
        "Mend it, then `datahub-poller retry-now`.",
    )


def _waiting_schema(_: Partition, reason: str) -> Told:
    return Told(
        f"The schema that its next record was written with is not here: {reason}.",
        "Look at the registry that source.config names and the rights to read it; `datahub-poller check` tries it. "
        "Nothing is lost while it is away. To ask at once: `datahub-poller retry-now`.",
    )


def _waiting_sink(_: Partition, reason: str) -> Told:
    return Told(
        f"Its dead letters cannot be written: {reason or 'the sink has not said why'}.",
        "Look at the place that dead_letter names; `datahub-poller check` tries it. Nothing is committed past them.",
    )


def _writing(_: Partition, __: str) -> Told:
    return Told("Its dead letters are being written.")


def _halted(_: Partition, reason: str) -> Told:
    return Told(
        f"A record was given up and options.failure_mode is THROW: {reason}. It is not committed.",
        "Mend the handler and start again; or have it dead-lettered once, with failure_mode: CONTINUE.",
    )


def _breaker(_: Partition, reason: str) -> Told:
    return Told(
        f"The breaker is open, so that the topic is not drained into dead letters: {reason or 'too many in a row'}.",
        "If the handler is at fault, mend it: a probe closes the breaker. If the records are, accept their letters "
        "with `datahub-poller breaker close`.",
    )


def _draining(_: Partition, __: str) -> Told:
    return Told("It goes to another process of the group; running calls are let finish first.")


def _blocked(_: Partition, __: str) -> Told:
    return Told(
        "A call from before the partition came back still runs, with its records.",
        "It goes on when that call returns. See that the handler ends within handler.config.timeout.",
    )


def _paused(_: Partition, reason: str) -> Told:
    return Told(f"It was paused {reason}.", "`datahub-poller resume` lets it go on.")


def _unknown(each: Partition, reason: str) -> Told:
    return Told(f"It says of itself: {each.get('state')} {reason}".rstrip() + ".")


def _error(each: Partition) -> str:
    return str(each.get("last_error") or "no error is known").rstrip(".")


def _time(since: object) -> str:
    try:
        return datetime.fromisoformat(str(since)).strftime("%H:%M:%S")
    except ValueError:
        return "some time"


_STANDS: Final = frozenset(
    {"backing_off", "waiting_schema", "waiting_sink", "halted", "breaker", "blocked", "paused", "draining"}
)
_WORDS: Final[Mapping[str, Words]] = {
    "idle": _idle,
    "ready": _ready,
    "in_flight": _in_flight,
    "backing_off": _backing_off,
    "waiting_schema": _waiting_schema,
    "waiting_sink": _waiting_sink,
    "writing_letters": _writing,
    "halted": _halted,
    "breaker": _breaker,
    "draining": _draining,
    "blocked": _blocked,
    "paused": _paused,
}
