"""A group of pollers on a real cluster, everything around them that can break, and the account of what happened.

Owns the topics, the registry, the action file, the processes, the traffic and the windows of faults of one run. What is
broken, when and how, is the faults' business; whether the promises held is the oracles'.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from datahub_poller.demo import samples
from datahub_poller.demo.registry import RegistryServer
from guarantees import gather, group_log, recording
from guarantees.disk import LettersDisk
from guarantees.proxy import Proxy
from guarantees.renewal import Renewal, told_apart
from guarantees.trace import Due, How, Life, Limits, Trace, Window
from guarantees.traffic import SCHEMAS, Mix, Traffic
from kafka.cluster import KafkaCluster
from support.recorded import Place
from support.running import Running

LAUNCH: Final = str(Path(__file__).parent / "launch.py")
DRAIN_SECONDS: Final = 90.0
STOP_SECONDS: Final = 25.0
KILLED: Final = -signal.SIGKILL
COULD_NOT_START: Final = 3

Protocol = Literal["range", "cooperative", "kip-848"]
_CLASSIC: Final = {"session.timeout.ms": 3000, "heartbeat.interval.ms": 500}
PROTOCOLS: Final[Mapping[Protocol, Mapping[str, Any]]] = {
    "range": {**_CLASSIC, "partition.assignment.strategy": "range,roundrobin"},
    "cooperative": {**_CLASSIC, "partition.assignment.strategy": "cooperative-sticky"},
    "kip-848": {"group.protocol": "consumer"},
}


@dataclass(frozen=True, slots=True)
class Setting:
    """How a run is set up. `size` and `concurrency` are those of batches, `rate` is events a second."""

    protocol: Protocol = "range"
    static: bool = False
    partitions: int = 12
    members: int = 3
    size: int = 50
    concurrency: int = 2
    total: int | None = 5000
    rate: float = 1500.0
    mix: Mix = field(default_factory=Mix)
    deadline: float = 5.0
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of the action file, by paths."""
    topic: Mapping[str, str] = field(default_factory=dict)
    """Further settings of the topics."""

    @property
    def strict(self) -> bool:
        return self.changes.get("batch/order") == "strict"


@dataclass(slots=True)
class _Member:
    """A process in a slot, and how it ended."""

    client: str
    process: Running
    began: float
    doomed: bool = False
    ended: float | None = None
    how: How = "running"


class Field:
    """One run: a topic for each route, a group of `members` pollers in slots "a", "b", ..., and their traffic."""

    def __init__(self, cluster: KafkaCluster, directory: Path, name: str, seed: int, setting: Setting) -> None:
        self.cluster = cluster
        self.directory = directory
        self.name = name
        self.setting = setting
        self.chance = random.Random(seed)
        self.topics = {route: f"{name}-{route}" for route in SCHEMAS}
        self.slots = [chr(ord("a") + number) for number in range(setting.members)]
        self.windows: list[Window] = []
        self.faults: list[str] = []
        self.renewals: list[Renewal] = []
        self.unexpected: list[str] = []
        self.gone = 0
        self.environ: dict[str, str] = {}
        self.proxy = Proxy({ports.advertised: ports.bound for ports in cluster.proxied_ports.values()})
        self.registry = RegistryServer()
        for number, schema in SCHEMAS.values():
            self.registry.put(number, samples.schema_text(schema))
        self.letters = LettersDisk(directory / "letters")
        self.traffic = self._new_traffic(setting.total)
        self.admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
        self._looker = Consumer({"bootstrap.servers": cluster.bootstrap, "log_level": 0, "group.id": "looks-only"})
        self._lives: list[_Member] = []
        self._now: dict[str, _Member] = {}
        self._counts: dict[str, int] = {}
        self._lock = threading.RLock()

    def _new_traffic(self, total: int | None) -> Traffic:
        setting = self.setting
        chance = random.Random(self.chance.random())
        return Traffic(self.cluster.bootstrap, self.topics, chance, rate=setting.rate, total=total, mix=setting.mix)

    # -- life

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(recording.__file__, self.directory / "recording.py")
        self.letters.__enter__()
        self.registry.start()
        self.proxy.start()
        for route in self.topics:
            self.create_topic(route)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for member in self._now.values():
            member.process.kill()
        self.proxy.stop()
        self.registry.stop()
        self.letters.__exit__(kind, error, tb)
        self._looker.close()

    def create_topic(self, route: str) -> None:
        """Made with all its leaders there."""
        settings = {"retention.ms": "-1", **self.setting.topic}
        topic = NewTopic(self.topics[route], self.setting.partitions, config=settings)
        self.admin.create_topics([topic])[self.topics[route]].result(20)
        self.patiently(lambda: self.ends(route) is not None, f"{route} has no leaders")

    def renew_topic(self, route: str) -> None:
        """Delete a drained topic and make it again under its name; the account tells the two apart."""
        topic = self.topics[route]
        due = gather.read_due(self.cluster.bootstrap, [topic])
        self.renewals.append(Renewal(topic, time.time(), due))
        self.admin.delete_topics([topic])[topic].result(20)
        self.patiently(lambda: topic not in self._looker.list_topics(timeout=3.0).topics, f"{topic} is still there")
        self.create_topic(route)

    def add_partitions(self, route: str, total: int) -> None:
        """Let a topic have so many."""
        self.admin.create_partitions([NewPartitions(self.topics[route], total)])[self.topics[route]].result(20)

    def delete_records(self, route: str, partition: int, before: int) -> None:
        """As retention does."""
        where = TopicPartition(self.topics[route], partition, before)
        next(iter(self.admin.delete_records([where]).values())).result(20)

    def in_log(self) -> dict[Place, Due]:
        """What the topics hold at the moment."""
        return gather.read_due(self.cluster.bootstrap, list(self.topics.values()))

    def more_traffic(self, total: int) -> None:
        """After what was produced has been taken: so many more."""
        self.traffic.finish()
        schemas = self.traffic.schemas
        self.traffic = self._new_traffic(total)
        self.traffic.schemas = schemas
        self.traffic.start()

    # -- the pollers

    def action(self) -> Path:
        """Write the action file: one for all, and what differs comes from the environment."""
        setting = self.setting
        consumer = {
            **PROTOCOLS[setting.protocol],
            "client.id": "${POLLER_ID}",
            "fetch.wait.max.ms": 100,
            "topic.metadata.refresh.interval.ms": 1000,
            "socket.timeout.ms": 5000,
            "reconnect.backoff.max.ms": 1000,
            **({"group.instance.id": "${POLLER_SLOT}"} if setting.static else {}),
        }
        document: dict[str, Any] = {
            "name": self.name,
            "source": {
                "type": "kafka",
                "config": {
                    "connection": {
                        "bootstrap": self.cluster.proxied_bootstrap,
                        "schema_registry_url": self.registry.url,
                        "consumer_config": consumer,
                        "client_timeout_seconds": 30,
                    },
                    "schema_registry": {"timeout": "1s"},
                    "topic_routes": dict(self.topics),
                    "start": "earliest",
                },
            },
            "batch": {"size": setting.size, "window": "50ms", "concurrency": setting.concurrency},
            "handler": {"type": "python", "config": {"function": "recording:handle", "path": ".", "timeout": "20s"}},
            "retry": {"attempts": 2, "backoff": "50ms", "max_backoff": "200ms"},
            "dead_letter": {
                "type": "file",
                "config": {"ephemeral": "accept"},
                "breaker": {"in_a_row": 50, "pause": "1s"},
            },
            "shutdown": {"deadline": f"{setting.deadline}s"},
            "options": {"failure_mode": "CONTINUE", "failed_events_dir": str(self.letters.path)},
            "status": {"port": 0},
            "logs": {"format": "json"},
        }
        for path, value in setting.changes.items():
            *above, last = path.split("/")
            section = document
            for key in above:
                section = section.setdefault(key, {})
            section[last] = value
        file = self.directory / "action.json"
        file.write_text(json.dumps(document, indent=1))
        return file

    def start(self, slot: str, **environ: str) -> Running:
        """A new process in an empty slot. With DIE_AT it kills itself at a named point."""
        more = {**self.environ, **environ}
        return self._enter(slot, self.directory / "action.json", (LAUNCH,) if more else ("-m", "datahub_poller"), more)

    def start_all(self, **environ: str) -> None:
        """Write the file, and fill every slot."""
        self.action()
        for slot in self.slots:
            self.start(slot, **environ)

    def start_theirs(self, slot: str) -> Running:
        """DataHub Actions itself as a member, in an empty slot, with the same source."""
        document = json.loads(self.action().read_text())
        config = document["source"]["config"]
        config["connection"]["consumer_config"]["auto.offset.reset"] = "earliest"
        theirs = {
            "name": document["name"],
            "source": {
                "type": "kafka",
                "config": {"connection": config["connection"], "topic_routes": config["topic_routes"]},
            },
            "action": {"type": "their_action:RecordingAction", "config": {}},
            "options": {"failure_mode": "CONTINUE", "failed_events_dir": str(self.letters.path)},
        }
        file = self.directory / "theirs.json"
        file.write_text(json.dumps(theirs))
        shutil.copy(Path(__file__).parent / "their_action.py", self.directory)
        command = str(Path(sys.executable).with_name("datahub-actions"))
        own = {"HOME": str(self.directory), "DATAHUB_TELEMETRY_ENABLED": "false", "PYTHONPATH": str(self.directory)}
        return self._enter(slot, file, (command, "actions"), own)

    def _enter(self, slot: str, file: Path, program: Sequence[str], environ: Mapping[str, str]) -> Running:
        with self._lock:
            assert slot not in self._now
            self._counts[slot] = self._counts.get(slot, 0) + 1
            client = f"{slot}{self._counts[slot]}"
            own = {"POLLER_ID": client, "POLLER_SLOT": slot, "AWS_REGION": "eu-west-1", **environ}
            process = Running(file, self.directory / f"poller-{client}.log", own, (), program)
            member = _Member(client, process, time.time(), doomed="DIE_AT" in environ)
            self._now[slot] = member
            self._lives.append(member)
            return process

    def running(self) -> list[str]:
        """The slots that have a process."""
        with self._lock:
            return sorted(self._now)

    def process(self, slot: str) -> Running:
        return self._now[slot].process

    def kill(self, slot: str) -> None:
        """kill -9."""
        with self._lock:
            self._now[slot].process.kill()
            self._gone(slot, "killed")

    def stop(self, slot: str) -> None:
        """SIGTERM; anything but exit code 0, soon, is unexpected."""
        member = self._now[slot]
        young = not member.process.text()
        member.process.signal(signal.SIGTERM)
        code = member.process.wait(STOP_SECONDS)
        if young and code == -signal.SIGTERM:  # Python itself had not begun
            code = 0
        with self._lock:
            if self._now.get(slot) is member:
                self._gone(slot, "stopped" if code == 0 else "failed")
        if code != 0 and not (member.doomed and code == KILLED):
            self.unexpected.append(f"{member.client} ended with {code} when it was stopped")

    def reap(self) -> list[str]:
        """The slots whose processes have ended by themselves; by a named point, or unexpectedly."""
        with self._lock:
            ended = [slot for slot, member in self._now.items() if member.process.exit_code is not None]
            for slot in ended:
                member, code = self._now[slot], self._now[slot].process.exit_code
                unborn = code == -signal.SIGTERM and not member.process.text()  # Python itself had not begun
                expected = unborn or (member.doomed and code == KILLED)
                if not expected and not (code == COULD_NOT_START and self.broken_since(member.began)):
                    tail = member.process.text()[-1500:]
                    self.unexpected.append(f"{member.client} ended by itself with {code}: {tail}")
                self._gone(slot, "killed" if expected else "failed")
            return ended

    def _gone(self, slot: str, how: How) -> None:
        member = self._now.pop(slot)
        member.ended, member.how = time.time(), how

    @property
    def lives(self) -> list[Life]:
        return [Life(each.client, each.began, each.ended, each.how) for each in self._lives]

    @property
    def logs(self) -> list[Path]:
        """What the processes said."""
        return [each.process.log for each in self._lives]

    # -- faults

    @contextmanager
    def fault(self, name: str, *, excuses: bool = False) -> Iterator[None]:
        """A fault lasts while this is entered; `excuses` as in Window. While it lasts its end is unknown."""
        window = Window(name, time.time(), float("inf"), excuses)
        with self._lock:
            self.faults.append(name)
            self.windows.append(window)
        try:
            yield
        finally:
            with self._lock:
                self.windows[self.windows.index(window)] = window._replace(ended=time.time())

    def broken_since(self, at: float) -> bool:
        """Whether a fault has been on since then: where what it needs is not there, a poller does not start."""
        return any(window.ended >= at for window in self.windows)

    def plan(self, **plan: Any) -> None:
        """What the handler does from its next call on; see `recording`."""
        draft = self.directory / "plan.draft"
        draft.write_text(json.dumps(plan))
        draft.replace(self.directory / "plan.json")

    # -- waiting

    def patiently(self, condition: Callable[[], Any], problem: str, patience: float = 30.0) -> None:
        """Return when the condition holds; AssertionError where it never does."""
        until, last = time.monotonic() + patience, ""
        while True:
            try:
                if condition():
                    return
            except KafkaException as error:  # a broker that is on its way up or down
                last = f"; {error}"
            if time.monotonic() > until:
                raise AssertionError(f"{problem} (waited {patience:.0f} s{last})")
            time.sleep(0.05)

    def ends(self, route: str) -> dict[int, int] | None:
        """The ends of a topic's partitions; None while a leader is missing."""
        described = self._looker.list_topics(self.topics[route], timeout=3.0).topics[self.topics[route]]
        if described.error is not None or any(p.error is not None for p in described.partitions.values()):
            return None
        if len(described.partitions) < self.setting.partitions:
            return None
        ends = {}
        for number in described.partitions:
            got = self._looker.get_watermark_offsets(TopicPartition(self.topics[route], number), timeout=3.0)
            if got is None:
                return None
            ends[number] = got[1]
        return ends

    def committed(self) -> dict[tuple[str, int], int]:
        """What the broker says that the group has committed."""
        asked = [ConsumerGroupTopicPartitions(self.name)]
        found = self.admin.list_consumer_group_offsets(asked, request_timeout=3.0)[self.name].result(5)
        return {(each.topic, each.partition): each.offset for each in found.topic_partitions}

    def lag(self) -> dict[str, str]:
        """By partition: what the group has committed of what there is, where that is not all."""
        committed = self.committed()
        found = {}
        for route, topic in self.topics.items():
            ends = self.ends(route)
            if ends is None:
                return {topic: "has no leaders"}
            for number, end in ends.items():
                done = committed.get((topic, number), 0)
                if done < end:
                    found[f"{topic}-{number}"] = f"{done} of {end}"
        return found

    def drain(self, patience: float = DRAIN_SECONDS) -> None:
        """Wait until every partition is committed to its end; what has died meanwhile is started again."""
        seen: list[dict[str, str]] = []

        def done() -> bool:
            for slot in self.reap():
                self.start(slot)
            seen[:] = [self.lag()]
            return not seen[0]

        try:
            self.patiently(done, "not drained", patience)
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen[-1:]}") from error

    def delivered(self) -> int:
        """How many calls have been written down so far: a rough measure of progress."""
        journal = self.directory / "calls.jsonl"
        return journal.stat().st_size if journal.exists() else 0

    def progress(self, patience: float = 30.0) -> None:
        """Return when calls have been made since now."""
        before = self.delivered()
        self.patiently(lambda: self.delivered() > before, "no call is made", patience)

    # -- the end

    def finish(self) -> Trace:
        """Everything is whole again: drain, stop all in order, and give the whole account."""
        self.traffic.finish()
        for slot in self.slots:
            if slot not in self.running():
                self.start(slot)
        self.drain()
        for slot in self.running():
            self.stop(slot)
        return self.trace()

    def trace(self) -> Trace:
        """What happened, as everybody but the pollers tells it."""
        setting = self.setting
        log = group_log.read_group(self.cluster.bootstrap, self.name)
        trace = Trace(
            limits=Limits(setting.size, setting.concurrency, setting.deadline, setting.strict),
            due=self.in_log(),
            calls=gather.read_journal(self.directory / "calls.jsonl"),
            commits=log.commits,
            ownerships=log.ownerships,
            letters=gather.read_letters(self.letters.path),
            lives=self.lives,
            windows=list(self.windows),
        )
        for renewal in self.renewals:
            told_apart(trace, renewal)
        return trace
