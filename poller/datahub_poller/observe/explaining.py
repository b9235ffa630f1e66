"""Why a partition does not move, in words, and what to do about it: from the document that the status port serves.

Pure. Reads JSON of this version or another: what is missing is left out. Knows states, not what leads to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from datahub_poller.errors import PollerError

NAMED: Final = 10
"""Partitions that are named in a line."""

Partition = Mapping[str, Any]
Words = Callable[[Partition, str], "Told"]


class Told(NamedTuple):
    """What is the matter, and what to do; without the latter there is nothing to do. `stands`: it does not move."""

    why: str
    remedy: str = ""
    stands: bool = True


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
        here = names([each.name for each in every]) or "none"
        raise PollerError(
            f"{wanted} is not a partition of this poller: its partitions are {here}. Another process of the group has "
            "it, or no such partition exists (kafka-consumer-groups --describe tells)"
        )
    return found


def names(every: Sequence[str]) -> str:
    """Names in a line, however many there are."""
    more = len(every) - NAMED
    return ", ".join(every[:NAMED]) + (f" and {more} more" if more > 0 else "")


def alike(every: Iterable[Explained]) -> list[list[Explained]]:
    """Those of which the same is told, together, in the order of the first of each."""
    found: dict[tuple[str, Told], list[Explained]] = {}
    for each in every:
        found.setdefault((each.state, each.told), []).append(each)
    return list(found.values())


def whole(status: Mapping[str, Any]) -> Iterator[Told]:
    """What holds up the whole poller, and every reason for being red that is no partition's own."""
    silent = status.get("loop_turned_ago")
    if isinstance(silent, int | float) and silent > status.get("loop_hangs_after", _SILENT):
        yield Told(
            f"Its loop has not turned for {silent:.0f} s: something blocks the process. The rest is as it was then.",
            "Its log has the stacks of all threads; then restart it: nothing that is not committed is lost.",
        )
    if (told := _state(status)) is not None:
        yield told
    partitions = tuple(f"{each.get('topic')}-{each.get('partition')} " for each in status.get("partitions", ()))
    for reason in status.get("reasons", ()):
        if (told := _poller_reason(status, str(reason), partitions)) is not None:
            yield told


def _state(status: Mapping[str, Any]) -> Told | None:
    state = status.get("state")
    if state == "starting":
        return Told("It has not been given partitions yet: it is joining its group.", "Wait, or look at its log.")
    if state == "stopping":
        return Told("It was told to stop and lets running calls finish by shutdown.deadline.")
    if state == "halted":
        return Told("It has halted: it lets running calls finish by shutdown.deadline, and ends with exit code 1.")
    if not status.get("partitions") and not status.get("missing_topics"):
        return Told(
            "It has no partition: others of its group have them all, a rebalance is on its way, or there are no such "
            "topics.",
            "Nothing, where there are more processes than partitions. Its log says which topics do not exist.",
        )
    return None


def _poller_reason(status: Mapping[str, Any], reason: str, partitions: tuple[str, ...]) -> Told | None:
    """What a reason says of the whole poller; None where a partition tells it."""
    if reason.startswith("kafka: "):
        return Told(f"Kafka does not answer as it should: {reason[7:]}.", "Look at the brokers and the network.")
    if reason.startswith("topic ") and reason.endswith(" does not exist"):
        return Told(
            f"T{reason[1:]}: nothing of it is read until it does, and it is looked for every ten seconds.",
            "Create it; or, if its name is another, say so in source.config.topic_routes.",
        )
    if reason.startswith("group: "):
        return Told(
            "Its group has not let it in: another member still works on what it is to give up, or the coordinator "
            "does not answer.",
            "Look at the group's members (kafka-consumer-groups --describe --members) and at this process's log.",
        )
    if reason.startswith("commits fail: "):
        return Told(
            f"What is done cannot be committed: {reason[14:]}. It would come again after a restart.",
            "Where it says that a right is missing, grant READ on the group; else look at the brokers.",
        )
    if reason.startswith("breaker open: "):
        return None if _any_partition(status, "breaker") else _breaker({}, reason[14:])
    if reason.startswith("handler past its timeout"):
        if _any_partition(status, "in_flight", with_reason=True):
            return None
        return Told(
            f"A call of a partition that went to another process still runs: {reason}. It takes one of "
            "batch.concurrency calls.",
            _LET_GO,
        )
    if reason.startswith(("halted before ", "the loop has not turned")) or reason.startswith(partitions):
        return None
    return Told(f"It says of itself: {reason}.", "Look at its log.")


def _any_partition(status: Mapping[str, Any], state: str, with_reason: bool = False) -> bool:
    partitions = status.get("partitions", ())
    return any(each.get("state") == state and (each.get("reason") or not with_reason) for each in partitions)


_SILENT: Final = 30.0


def _partition(each: Partition) -> Explained:
    state = str(each.get("state", "unknown"))
    words = _WORDS.get(state, _unknown)
    told = words(each, _reason(each))
    stands = bool(each.get("stuck")) or told.stands
    return Explained(f"{each.get('topic')}-{each.get('partition')}", state, not stands, told)


def _reason(each: Partition) -> str:
    return str(each.get("reason") or "").rstrip(".")


def _idle(each: Partition, reason: str) -> Told:
    lag = each.get("lag")
    if reason:
        return Told(
            f"{'Its' if lag is None else lag} records are in the log, and none is fetched now: {reason}, with what "
            "other partitions hold.",
            "See what those wait for (`datahub-poller explain`), or raise source.config.buffer.",
        )
    if lag:
        return Told(
            f"{lag} records are in the log, and none of them has come yet.",
            "Wait a moment; if it stays so, look at the brokers: a partition without a leader gives nothing. "
            "Records of a transaction that is still open are not given out either.",
            stands=False,
        )
    return Told("Everything in the log is settled: there is nothing to do.", stands=False)


def _ready(each: Partition, reason: str) -> Told:
    if reason.startswith("undecodable"):
        return Told("Its records are undecodable, and their dead letters come next.", stands=False)
    again = (
        f" to be tried again (failed {each.get('attempts')} time(s): {_error(each)})" if each.get("attempts") else ""
    )
    if not reason:
        return Told(
            f"Its events are decoded{again}: the call goes out when batch.size is reached, or after batch.window.",
            stands=False,
        )
    told = f"Its events are decoded{again}, and wait: {reason}."
    if "past the timeout" in reason:
        return Told(told, _LET_GO)
    if reason.startswith("batch.rate"):
        return Told(told, "If that is too slow, raise batch.rate, or run more processes.", stands=False)
    if "batch.concurrency" in reason:
        more = "If that lasts: raise batch.concurrency, make the handler faster, or run more processes."
        return Told(told, more, stands=False)
    return Told(told, stands=False)


_LET_GO: Final = (
    "A call cannot be stopped from outside. Let the handler give up by itself: time limits for what it calls, below "
    "handler.config.timeout. A restart ends the call; its events come again."
)


def _in_flight(each: Partition, reason: str) -> Told:
    call = f"The handler has {each.get('in_flight')} of its events since {_time(each.get('since'))}"
    if reason:
        return Told(f"{call}: {reason}. Nothing of it is tried again while it runs.", _LET_GO)
    return Told(f"{call}.", stands=False)


def _backing_off(each: Partition, reason: str) -> Told:
    again = f"It is tried again in {each.get('next_try_in')} s."
    if reason or not each.get("attempts"):
        return Told(
            f"What the handler is behind does not answer: {reason or _error(each)}. That uses up no tries. {again}",
            "Mend it, then `datahub-poller retry-now`.",
        )
    return Told(
        f"The handler failed {each.get('attempts')} time(s): {_error(each)}. {again}",
        "Mend what the error names, then `datahub-poller retry-now`. Tries that are used up end in a dead letter.",
    )


def _waiting_schema(_: Partition, reason: str) -> Told:
    why = "may not be the one that is known" if "bytes do not fit" in reason else "is not here"
    return Told(
        f"The schema that its next record was written with {why}: {reason}.",
        "Look at source.config.connection.schema_registry_url and schema_registry_config (for AWS Glue "
        "source.config.schema_registry), and the rights to read it; `datahub-poller check` tries it. "
        "Nothing is lost while it is away. To ask at once: `datahub-poller retry-now`.",
    )


def _waiting_sink(_: Partition, reason: str) -> Told:
    return Told(
        f"Its dead letters cannot be written: {reason or 'the sink has not said why'}.",
        "Look at the place that dead_letter names; `datahub-poller check` tries it. Nothing is committed past them.",
    )


def _writing(_: Partition, reason: str) -> Told:
    if reason:
        return Told(
            f"Its dead letters are being written {reason}: their place neither takes nor refuses them.",
            "Look at the place that dead_letter names: a file system or a network that hangs. Nothing is committed "
            "past them.",
        )
    return Told("Its dead letters are being written.", stands=False)


def _halted(_: Partition, reason: str) -> Told:
    return Told(
        f"A record was given up and options.failure_mode is THROW: {reason}. It is not committed.",
        "Mend the handler and start again; or have it dead-lettered once, with failure_mode: CONTINUE.",
    )


def _breaker(_: Partition, reason: str) -> Told:
    if "in a row are undecodable" in reason:
        return Told(
            f"The breaker is open, so that the topic is not drained into dead letters: {reason}.",
            "The handler is not at fault: it never got them. See who writes to the topic, and whether "
            "schema_registry_url names the registry that the writers use. They are read again before each probe. If "
            "their bytes are bad for good, accept their letters with `datahub-poller breaker close`.",
        )
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
