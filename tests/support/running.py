"""The poller as its users run it: `python -m datahub_poller run` on an action file, watched from outside.

Owns the process, its log lines and its status; and the stage around it: topics, a registry, the recording handler
and the letters. It asks nothing of the poller that an operator could not ask.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import datahub_handler
import datahub_poller
from datahub_poller.demo import samples
from datahub_poller.demo.process import poller_environment
from datahub_poller.demo.registry import RegistryServer
from datahub_poller.model import TopicPartition
from support import recorded_calls, recording_handler
from support.brokers import Bed, Sent
from support.letters import parsed, record_of
from support.recorded import Place, Recorded
from support.tether import tethered

PATIENCE = 60.0
PLATFORM_SCHEMA, CHANGE_LOG_SCHEMA = 4, 2
ROUTES = ("pe", "mcl", "mcl_timeseries")
SOURCES = os.pathsep.join(str(Path(package.__file__).parents[1]) for package in (datahub_poller, datahub_handler))

Status = dict[str, Any]


class Running:
    """A poller's process. `log` is its file of JSON lines, appended to over restarts; `program` is what Python runs.

    Standard output goes to the log too, where it has no place of its own, `stdout`.
    """

    def __init__(
        self,
        action_file: Path,
        log: Path,
        environ: Mapping[str, str],
        arguments: Iterable[str] = (),
        program: Sequence[str] = ("-m", "datahub_poller"),
        stdout: int | None = None,
    ) -> None:
        self.log = log
        self._from = log.stat().st_size if log.exists() else 0
        command = tethered([sys.executable, *program, "run", "-c", str(action_file), *arguments])
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output if stdout is None else stdout,
                stderr=output,
                env={**poller_environment(os.environ), "PYTHONPATH": SOURCES, **environ},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self._process.poll()

    # -- what it says

    def text(self) -> str:
        """All it has written since it was started."""
        with self.log.open("rb") as file:
            file.seek(self._from)
            return file.read().decode()

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Its log lines, or those of one event."""
        found = []
        for line in self.text().splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue  # a line half written, or a stack that Python itself printed
            if event is None or said.get("event") == event:
                found.append(said)
        return found

    def wait_for(self, event: str, count: int = 1, patience: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """The `count`th log line of this event with these fields."""

        def found() -> list[dict[str, Any]]:
            return [line for line in self.lines(event) if fields.items() <= line.items()]

        self.until(lambda: len(found()) >= count, f"no {event!r} {fields or ''}", patience)
        return found()[count - 1]

    def status(self) -> Status | None:
        """What its status port answers; None where it does not."""
        served = self.lines("status is served")
        if not served:
            return None
        address = urlsplit(served[-1]["url"])
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20.0)
        try:
            connection.request("GET", "/status")
            document: Status = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()
        return document

    def status_when(self, condition: Callable[[Status], Any], problem: str, patience: float = PATIENCE) -> Status:
        """The first status for which the condition holds."""
        seen: list[Status] = []

        def holds() -> bool:
            status = self.status()
            if status is not None:
                seen[:] = [status]
            return status is not None and bool(condition(status))

        self.until(holds, problem, patience, seen)
        return seen[0]

    def until(self, condition: Callable[[], Any], problem: str, patience: float = PATIENCE, seen: object = "") -> None:
        """Return when the condition holds; AssertionError where it never does, or where the process has ended."""
        end = time.monotonic() + patience
        while not condition():
            if self.exit_code is not None and not condition():
                raise AssertionError(f"{problem}: it ended with {self.exit_code}\n{self._tail()}")
            if time.monotonic() > end:
                raise AssertionError(f"{problem} (waited {patience:.0f} s) {seen}\n{self._tail()}")
            time.sleep(0.02)

    # -- ending it

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def insist(self, number: int) -> None:
        """The second signal, and more until it ends: two that come together count as one."""
        for _ in range(20):
            time.sleep(0.3)
            if self.exit_code is not None:
                return
            self.signal(number)

    def kill(self) -> None:
        """As the kernel's out-of-memory killer does, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def wait(self, patience: float = PATIENCE, *, tell: bool = True) -> int:
        """Its exit code. Without `tell` its log is not looked at where it does not end."""
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            said = self._tail() if tell else ""
            raise AssertionError(f"it has not ended within {patience:.0f} s\n{said}") from None

    def stop(self, patience: float = PATIENCE) -> int:
        """SIGTERM, and its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(patience)

    def _tail(self) -> str:
        return "\n".join(self.text().splitlines()[-25:])


class Stage:
    """A broker's topics, a registry and a directory for one test, and the pollers started there.

    Topics go by the names of their routes (`pe`, `mcl`, `mcl_timeseries`); their real names are the test's own.
    """

    def __init__(self, bed: Bed, directory: Path, unique: Callable[[str], str]) -> None:
        self.bed = bed
        self.directory = directory
        self.name = unique("action")
        self.topics = {route: unique(route.replace("_", "-")) for route in ROUTES}
        self.registry = RegistryServer()
        self.registry.put(PLATFORM_SCHEMA, samples.schema_text("PlatformEvent"))
        self.registry.put(CHANGE_LOG_SCHEMA, samples.schema_text("MetadataChangeLog"))
        self.produced: set[Place] = set()
        self.poison: set[Place] = set()
        self._pollers: list[Running] = []
        self._routed: list[str] = []
        self._sent = 0
        self.letters_directory = directory / "letters"
        shutil.copy(recording_handler.__file__, directory)

    def __enter__(self) -> Self:
        self.registry.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for poller in self._pollers:
            if poller.exit_code is None:
                poller.kill()
        self.registry.stop()
        recorded_calls.note_registry(self.registry.requests)

    # -- what comes in

    def create(self, partitions: int, *routes: str) -> None:
        """Make the topics of these routes; the action reads all that were made or named."""
        for route in routes:
            self.bed.create_topic(self.topics[route], partitions)
        self.route(*routes)

    def route(self, *routes: str) -> None:
        """Let the action read these."""
        self._routed += routes

    def tp(self, route: str, partition: int = 0) -> TopicPartition:
        return TopicPartition(self.topics[route], partition)

    def send(
        self, route: str, partition: int = 0, count: int = 1, *, poison: Iterable[int] = (), schema: int | None = None
    ) -> list[Place]:
        """Produce so many events; those numbered in `poison` make the handler fail."""
        marked = set(poison)
        records = [self._event(route, partition, number in marked, schema) for number in range(count)]
        offsets = self.bed.produce_all(records)
        places = [Place(self.topics[route], partition, offset) for offset in offsets]
        self.produced.update(places)
        self.poison.update(places[number] for number in marked)
        return places

    def send_raw(self, route: str, partition: int, value: bytes | None) -> Place:
        """Produce a record as it is."""
        (offset,) = self.bed.produce_all([Sent(self.topics[route], partition, value)])
        return Place(self.topics[route], partition, offset)

    def _event(self, route: str, partition: int, poison: bool, schema: int | None) -> Sent:
        self._sent += 1
        urn = f"urn:li:dataset:(urn:li:dataPlatform:hive,db.t{self._sent},PROD)"
        stamp = {"time": 1_770_000_000_000 + self._sent, "actor": "urn:li:corpuser:jdoe"}
        if route == "pe":
            event = {"entityUrn": urn, "entityType": "dataset", "category": "TAG", "operation": "ADD"}
            sample = samples.entity_change(event | {"auditStamp": stamp, "version": 0})
        else:
            sample = samples.metadata_change_log(urn, "status", {"removed": False}, created=stamp)
        usual = PLATFORM_SCHEMA if route == "pe" else CHANGE_LOG_SCHEMA
        value = samples.confluent_frame(usual if schema is None else schema, sample.body)
        key = f"{'poison' if poison else 'good'}-{self._sent}"
        return Sent(self.topics[route], partition, value, key.encode())

    # -- the poller

    def action(self, changes: Mapping[str, Any] | None = None, **consumer: Any) -> Path:
        """Write the action file: quick settings, `changes` by paths (None takes a key out), `consumer` properties.

        In a property's name `_` stands for a dot.
        """
        properties = {**self.bed.consumer, **{key.replace("_", "."): value for key, value in consumer.items()}}
        document: dict[str, Any] = {
            "name": self.name,
            "source": {
                "type": "kafka",
                "config": {
                    "connection": {
                        "bootstrap": self.bed.bootstrap,
                        "schema_registry_url": self.registry.url,
                        "consumer_config": properties,
                        "client_timeout_seconds": 20,
                    },
                    "schema_registry": {"timeout": "1s"},
                    "topic_routes": {route: self.topics[route] for route in self._routed},
                    "start": "earliest",
                },
            },
            "batch": {"size": 10, "window": "50ms"},
            "handler": {"type": "python", "config": {"function": "recording_handler:handle", "path": "."}},
            "retry": {"attempts": 2, "backoff": "50ms", "max_backoff": "200ms"},
            "dead_letter": {"type": "file", "config": {"ephemeral": "accept"}},
            "shutdown": {"deadline": "10s"},
            "options": {"failure_mode": "CONTINUE", "failed_events_dir": str(self.letters_directory)},
            "status": {"port": 0},
            "logs": {"format": "json"},
        }
        for path, value in ({} if changes is None else changes).items():
            *above, last = path.split("/")
            section = document
            for key in above:
                section = section.setdefault(key, {})
            section[last] = value
            if value is None:
                del section[last]
        file = self.directory / "action.json"
        file.write_text(json.dumps(document, indent=1))
        return file

    def start(
        self,
        action: Path | None = None,
        log: str = "poller.log",
        *arguments: str,
        stdout: int | None = None,
        **environ: str,
    ) -> Running:
        """Start the poller on the action file; it is killed with the test at the latest."""
        file = self.action() if action is None else action
        poller = Running(file, self.directory / log, environ, arguments, stdout=stdout)
        self._pollers.append(poller)
        return poller

    def plan(self, **plan: Any) -> None:
        """What the handler does from its next call on; see `recording_handler`."""
        draft = self.directory / "plan.draft"
        draft.write_text(json.dumps(plan))
        draft.replace(self.directory / "plan.json")

    def release(self, name: str) -> None:
        """Let calls go on that hold until this file is there."""
        (self.directory / name).touch()

    # -- what came out

    def recorded(self) -> Recorded:
        return Recorded.read(self.directory / "calls.jsonl")

    def letters(self) -> list[dict[str, Any]]:
        """Every line of both files."""
        return [line for path in sorted(self.letters_directory.glob("*/*.log")) for line in parsed(path.read_bytes())]

    def lettered(self) -> list[Place]:
        """Whose letters there are, once for each line."""
        records = [record_of(line) for line in self.letters()]
        return [Place(record.tp.topic, record.tp.partition, record.offset) for record in records]

    def committed(self) -> dict[TopicPartition, int]:
        """What the broker says, asked by a fresh client."""
        found = {}
        for topic in (self.topics[route] for route in self._routed):
            for partition, committed in self.bed.committed(self.name, topic).items():
                found[TopicPartition(topic, partition)] = committed.offset
        return found

    def drained(self) -> bool:
        """Whether everything produced was delivered or has a letter."""
        return self.produced <= self.recorded().done | set(self.lettered())

    def all_committed(self) -> bool:
        """Whether the group has committed up to behind the last record of each partition."""
        last: dict[TopicPartition, int] = {}
        for place in self.produced:
            last[place.tp] = max(last.get(place.tp, 0), place.offset + 1)
        committed = self.committed()
        return all(committed.get(tp) == offset for tp, offset in last.items())
