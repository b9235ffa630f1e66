"""A group of pollers on a real cluster, everything around them that can break, and the account of what happened.

Owns the registry, the traffic, the windows of faults, and what belongs together in one run. What is broken, when and
how, is the faults' business; whether the promises held is the oracles'.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from datahub_poller.demo import samples
from datahub_poller.demo.registry import RegistryServer
from datahub_poller.gaps import RETENTION
from guarantees import gather, group_log, recording
from guarantees.disk import LettersDisk
from guarantees.processes import Processes
from guarantees.proxy import Proxy
from guarantees.renewal import told_apart
from guarantees.setting import Setting, action_file, theirs
from guarantees.topics import Topics
from guarantees.trace import Limits, Trace, Window
from guarantees.traffic import SCHEMAS, Traffic
from kafka import unsecured_tokens
from kafka.cluster import KafkaCluster
from kafka.listeners import SASL
from kafka.security import Access
from support.running import Running

LAUNCH: Final = str(Path(__file__).parent / "launch.py")
DRAIN_SECONDS: Final = 90.0
TOKEN_SECONDS: Final = 7


class Field:
    """One run: a topic for each route, a group of `members` pollers in slots "a", "b", ..., and their traffic.

    `environ` is given to every process that is started, `program` is what Python runs as the poller.
    """

    def __init__(
        self,
        cluster: KafkaCluster,
        directory: Path,
        name: str,
        seed: int,
        setting: Setting,
        program: Sequence[str] = ("-m", "datahub_poller"),
    ) -> None:
        self.cluster = cluster
        self.directory = directory
        self.name = name
        self.setting = setting
        self.chance = random.Random(seed)
        self.slots = [chr(ord("a") + number) for number in range(setting.members)]
        self.windows: list[Window] = []
        self.faults: list[str] = []
        self.gone = 0
        self.environ: dict[str, str] = {}
        self._program = program
        names = {route: f"{name}-{route}" for route in SCHEMAS}
        self.topics = Topics(cluster.bootstrap, name, names, setting.partitions, setting.topic)
        self.processes = Processes(directory, self.broken_since)
        self.proxy = Proxy({ports.advertised: ports.bound for ports in cluster.proxied_ports.values()})
        self.registry = RegistryServer()
        for number, schema in SCHEMAS.values():
            self.registry.put(number, samples.schema_text(schema))
        self.letters = LettersDisk(directory / "letters")
        self.access = Access(cluster.bootstrap)
        self.traffic = self._new_traffic(setting.total)
        self._lock = threading.Lock()

    def _new_traffic(self, total: int | None) -> Traffic:
        setting, chance = self.setting, random.Random(self.chance.random())
        topics = self.topics.names
        return Traffic(self.cluster.bootstrap, topics, chance, rate=setting.rate, total=total, mix=setting.mix)

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(recording.__file__, self.directory / "recording.py")
        self.letters.__enter__()
        self.registry.start()
        self.proxy.start()
        for route in self.topics.names:
            self.topics.create(route)
        if self.setting.secure:
            shutil.copy(unsecured_tokens.__file__, self.directory)
            self.tokens(lifetime=TOKEN_SECONDS)
            self.access.give(topics=self.topics.names.values(), groups=[self.name])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.processes.end()
        self.proxy.stop()
        self.registry.stop()
        self.letters.__exit__(kind, error, tb)
        self.topics.close()

    # -- the pollers

    def _action(self) -> dict[str, Any]:
        way_in: Mapping[str, str] = {}
        if self.setting.secure:
            assert self.cluster.security is not None
            way_in = self.cluster.security.client("OAUTHBEARER")
        return action_file(
            self.setting,
            self.name,
            bootstrap=self.cluster.addresses(SASL) if self.setting.secure else self.cluster.proxied_bootstrap,
            registry=self.registry.url,
            topics=self.topics.names,
            letters=str(self.letters.path),
            way_in=way_in,
        )

    def start_all(self) -> None:
        """Write the action file, and fill every slot."""
        (self.directory / "action.json").write_text(json.dumps(self._action(), indent=1))
        for slot in self.slots:
            self.start(slot)

    def start(self, slot: str, **environ: str) -> Running:
        """A new process in an empty slot. With DIE_AT it kills itself at a named point."""
        more = {**self.environ, **environ}
        program = (LAUNCH,) if more else self._program
        return self.processes.start(slot, self.directory / "action.json", program, more)

    def start_theirs(self, slot: str) -> Running:
        """DataHub Actions itself as a member, in an empty slot, with the same source."""
        file = self.directory / "theirs.json"
        file.write_text(json.dumps(theirs(self._action())))
        shutil.copy(Path(__file__).parent / "their_action.py", self.directory)
        command = str(Path(sys.executable).with_name("datahub-actions"))
        own = {"HOME": str(self.directory), "DATAHUB_TELEMETRY_ENABLED": "false", "PYTHONPATH": str(self.directory)}
        return self.processes.start(slot, file, (command, "actions"), own)

    def revive(self) -> None:
        """Fill every slot that has lost its process."""
        self.processes.reap()
        for slot in self.slots:
            if slot not in self.processes.running():
                self.start(slot)

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
        self._tell("plan", plan)

    def tokens(self, **plan: Any) -> None:
        """What the token function gives from now on; see `unsecured_tokens`."""
        self._tell("token-plan", plan)

    def _tell(self, name: str, plan: Mapping[str, Any]) -> None:
        draft = self.directory / f"{name}.draft"
        draft.write_text(json.dumps(plan))
        draft.replace(self.directory / f"{name}.json")

    def more_traffic(self, total: int) -> None:
        """After what was produced has been taken: so many more."""
        self.traffic.finish()
        schemas = self.traffic.schemas
        self.traffic = self._new_traffic(total)
        self.traffic.schemas = schemas
        self.traffic.start()

    # -- waiting

    def progress(self, patience: float = 30.0) -> None:
        """Return when calls have been made since now."""
        journal = self.directory / "calls.jsonl"

        def size() -> int:
            return journal.stat().st_size if journal.exists() else 0

        before = size()
        self.topics.patiently(lambda: size() > before, "no call is made", patience)

    def drain(self, patience: float = DRAIN_SECONDS) -> None:
        """Wait until every partition is committed to its end; what has died meanwhile is started again."""
        seen: list[dict[str, str]] = []

        def done() -> bool:
            for slot in self.processes.reap():
                self.start(slot)
            seen[:] = [self.topics.lag()]
            return not seen[0]

        try:
            self.topics.patiently(done, "not drained", patience)
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen[-1:]}") from error

    # -- the end

    def finish(self) -> Trace:
        """Everything is whole again: drain, stop all in order, and give the whole account."""
        self.traffic.finish()
        self.revive()
        self.drain()
        for slot in self.processes.running():
            self.processes.stop(slot)
        return self.trace()

    def trace(self) -> Trace:
        """What happened, as everybody but the pollers tells it."""
        setting, lives = self.setting, self.processes.lives
        log = group_log.read_group(self.cluster.bootstrap, self.name)
        ownerships = log.ownerships
        if setting.static:  # a classic group goes on telling the client that an instance first was
            slots = {life.client: life.client.rstrip("0123456789") for life in lives}
            ownerships = gather.under_present_clients(ownerships, lives, slots)
        trace = Trace(
            limits=Limits(
                setting.size, setting.concurrency, setting.deadline, setting.strict, setting.protocol == "cooperative"
            ),
            due=self.topics.in_log(),
            calls=gather.read_journal(self.directory / "calls.jsonl"),
            commits=log.commits,
            ownerships=ownerships,
            letters=gather.read_letters(self.letters.path),
            lives=lives,
            windows=list(self.windows),
        )
        for renewal in self.topics.renewals:
            told_apart(trace, renewal)
        return trace

    def said_missing(self) -> int:
        """How many records the pollers have said to be gone before they were read."""
        return sum(line["missing"] for process in self.processes.said for line in process.lines(RETENTION))
