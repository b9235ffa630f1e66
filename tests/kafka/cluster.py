"""A real Apache Kafka on loopback: one process per node, KRaft, its data in one folder.

Owns the nodes' processes, ports and settings. Knows nothing of pytest; topics and records are the clients' business.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from kafka.listeners import (
    BEHIND_PROXY,
    CLIENT,
    CONTROLLER,
    HOST,
    PLAIN,
    PROXIED,
    SECURE,
    claimed_ports,
    free_ports,  # noqa: F401 - tests take it from here
    listeners_of,
    ports_for,
    settings_of,
)
from kafka.msk import MSK, MskIam
from kafka.security import Security
from support.jars import UnavailableError, program, resolve
from support.tether import tethered

HERE = Path(__file__).parent
CLUSTER_ID = "datahub-poller-tests-A"  # any 16 bytes in URL-safe base64


class Proxied(NamedTuple):
    """The ports between which a proxy stands: it listens on `advertised` and passes on to `bound`."""

    advertised: int
    bound: int


class ClusterError(Exception):
    """A node did not start or ended by itself. Holds the end of its log."""


def kafka_libs(environ: Mapping[str, str]) -> Path:
    """The folder with Apache Kafka's jars: of an installation named by KAFKA_HOME, else fetched by Maven."""
    home = environ.get("KAFKA_HOME", "")
    if home and not any(Path(home, "libs").glob("kafka_*.jar")):
        raise UnavailableError(f"KAFKA_HOME is {home}, and its libs/ holds no kafka_*.jar")
    program("java")
    return Path(home, "libs") if home else resolve("kafka", HERE / "pom.xml", environ)


class KafkaCluster:
    """One to a few nodes, each broker and controller, numbered from 1.

    `kill` and `restart` keep a node's data and ports. With `proxied`, each node has one more listener, to be reached
    through a proxy that the caller runs: clients that bootstrap there are sent there again, whatever they ask.
    With `secure`, each node also listens with SSL, mTLS and SASL_SSL, and `security` says how to get in; with `msk_iam`
    as Amazon MSK does as well, to the people of `msk`.
    """

    def __init__(
        self,
        libs: Path,
        directory: Path,
        brokers: int = 1,
        heap: str = "256m",
        *,
        proxied: bool = False,
        secure: bool = False,
        msk_iam: bool = False,
        rebalance_delay_ms: int = 0,
    ) -> None:
        self._libs = libs
        self._rebalance_delay_ms = rebalance_delay_ms
        self._directory = directory
        self._heap = heap
        wanted = {**PLAIN, **(BEHIND_PROXY if proxied else {}), **(SECURE if secure else {})}
        wanted |= {MSK: "SASL_SSL"} if msk_iam else {}
        claims = claimed_ports(ports_for(wanted, brokers))
        weakref.finalize(self, _release, claims)
        self._listeners = listeners_of(wanted, brokers, iter([each.getsockname()[1] for each in claims]))
        self.security = Security(directory / "security") if secure else None
        self.msk = MskIam(directory / "msk-iam", libs) if msk_iam else None
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def nodes(self) -> list[int]:
        """Every node, down or not."""
        return list(self._listeners)

    @property
    def bootstrap(self) -> str:
        """Every node's address, down or not."""
        return self.addresses(CLIENT)

    @property
    def proxied_bootstrap(self) -> str:
        """The addresses on which the proxies listen."""
        return self.addresses(PROXIED)

    @property
    def proxied_ports(self) -> dict[int, Proxied]:
        """By node: where a proxy listens and what it passes on to."""
        found = {node: mine[PROXIED] for node, mine in self._listeners.items()}
        return {node: Proxied(listener.advertised, listener.bound) for node, listener in found.items()}

    def addresses(self, listener: str) -> str:
        """Every node's address for clients of this listener."""
        return ",".join(f"{HOST}:{mine[listener].advertised}" for mine in self._listeners.values())

    def start(self, patience: float = 60.0) -> None:
        """Format the storage, start every node and return when all of them are in the cluster's metadata."""
        until = time.monotonic() + patience
        try:
            self._format()
            self.launch(*self.nodes)
            self.wait(until - time.monotonic())
        except BaseException:
            self.stop()
            raise

    def kill(self, node: int, signum: int = signal.SIGKILL) -> None:
        """End a node with a signal and wait until it is gone. SIGTERM is a controlled shutdown."""
        process = self._running.pop(node)
        process.send_signal(signum)
        process.wait()

    def restart(self, *nodes: int, patience: float = 60.0) -> None:
        """Start killed nodes on their old data and return when all are back in the metadata.

        A cluster of three answers nothing while only one of them runs: its first two are restarted in one call.
        """
        self.launch(*nodes)
        self.wait(patience)

    def launch(self, *nodes: int) -> None:
        """Start killed nodes on their old data without waiting for them; `wait` does that."""
        for node in nodes:
            self._launch(node)

    def stop(self) -> None:
        """End every node at once; nothing of a test cluster is worth a controlled shutdown."""
        while self._running:
            _, process = self._running.popitem()
            process.kill()
            process.wait()

    def wait(self, patience: float) -> None:
        """Return when all nodes that should run listen and are in the metadata. Raises ClusterError."""
        until = time.monotonic() + patience
        wanted = set(self._running)
        addresses = ",".join(f"{HOST}:{self._listeners[node][CLIENT].bound}" for node in wanted)
        for node in wanted:
            self._wait_listening(node, until)
        admin = AdminClient({"bootstrap.servers": addresses, "log_level": 0})
        seen: set[int] = set()
        while not wanted <= seen:
            self._check(until, f"nodes {sorted(wanted)} wanted in the metadata, {sorted(seen)} seen")
            try:
                seen = set(admin.list_topics(timeout=1.0).brokers)
            except KafkaException:
                time.sleep(0.05)

    def log(self, node: int) -> str:
        """What a node has written so far."""
        return self._log(node).read_text(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _format(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        work = []
        for node in self.nodes:
            self._properties(node).write_text(self._settings(node))
            arguments = ["format", "--cluster-id", CLUSTER_ID, "--config", str(self._properties(node))]
            arguments += [] if self.security is None else self.security.format_arguments()
            command = tethered(self._java("kafka.tools.StorageTool", arguments))
            work.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        for process, output in [(process, process.communicate()[0]) for process in work]:
            if process.returncode:
                raise ClusterError(f"storage was not formatted: {output.decode(errors='replace')[:2000]}")

    def _launch(self, node: int) -> None:
        command = tethered(self._java("kafka.Kafka", [str(self._properties(node))]))
        with self._log(node).open("ab") as log:
            # A session of its own, so that a Ctrl-C in the terminal is not the brokers' affair.
            self._running[node] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _wait_listening(self, node: int, until: float) -> None:
        while True:
            with socket.socket() as probe:
                probe.settimeout(0.5)
                if probe.connect_ex((HOST, self._listeners[node][CLIENT].bound)) == 0:
                    return
            self._check(until, f"node {node} does not listen")
            time.sleep(0.05)

    def _check(self, until: float, problem: str) -> None:
        for node, process in self._running.items():
            if process.poll() is not None:
                raise ClusterError(f"node {node} ended with {process.returncode}:\n{self.log(node)[-3000:]}")
        if time.monotonic() > until:
            raise ClusterError(problem)

    def _java(self, main: str, arguments: Sequence[str]) -> list[str]:
        memory = [f"-Xmx{self._heap}", f"-Xms{self._heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
        logging = [f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}"]
        logging += [] if self.msk is None else ["-Dauthorizer.level=DEBUG"]  # `asks` reads it
        classes = f"{self._libs}/*" if self.msk is None else f"{self.msk.classes}:{self._libs}/*"
        return [program("java"), *memory, *logging, "-cp", classes, main, *arguments]

    def _properties(self, node: int) -> Path:
        return self._directory / f"node-{node}.properties"

    def _log(self, node: int) -> Path:
        return self._directory / f"node-{node}.log"

    def _settings(self, node: int) -> str:
        copies = min(3, len(self.nodes))
        in_sync = max(1, copies - 1)
        voters = {other: mine[CONTROLLER].bound for other, mine in self._listeners.items()}
        settings: dict[str, object] = {
            "node.id": node,
            "process.roles": "broker,controller",
            "controller.quorum.voters": ",".join(f"{other}@{HOST}:{port}" for other, port in voters.items()),
            **settings_of(self._listeners[node]),
            "log.dirs": self._directory / f"node-{node}",
            # A test says which topics it wants; a poller that makes them by asking would hide a fault.
            "auto.create.topics.enable": "false",
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
            # A killed node may come back once its old session is over; 9 s unless told.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            # Groups that form at once and notice a dead member soon.
            "group.initial.rebalance.delay.ms": self._rebalance_delay_ms,
            "group.min.session.timeout.ms": 1000,
            "group.consumer.heartbeat.interval.ms": 300,
            "group.consumer.min.heartbeat.interval.ms": 300,
            "group.consumer.session.timeout.ms": 3000,
            "group.consumer.min.session.timeout.ms": 1000,
            # Retention and compaction that a test can wait for.
            "log.initial.task.delay.ms": 500,
            "log.retention.check.interval.ms": 1000,
            "log.cleaner.backoff.ms": 500,
            "log.cleaner.min.cleanable.ratio": 0.01,
            "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,  # of the heap: 128 MiB unless told
            "num.network.threads": 2,
            "num.io.threads": 4,
            "background.threads": 2,
            **({} if self.security is None else self.security.settings()),
            **({} if self.msk is None else self.msk.settings()),
        }
        return "".join(f"{key}={value}\n" for key, value in settings.items())


def _release(claims: Iterable[socket.socket]) -> None:
    for claim in claims:
        claim.close()
