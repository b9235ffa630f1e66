"""`make kafka`: an Apache Kafka on loopback to play with, until Ctrl-C; nothing of it is left behind.

Owns what is made and printed around the tests' own cluster: DataHub's topics, a registry, an action file for each way
in, events when Enter is pressed. Passwords are made anew each time.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

TREE = Path(__file__).parents[2]
sys.path[:0] = [str(TREE / root) for root in ("poller", "handler", "tests")]

from datahub_poller.demo import samples  # noqa: E402 - found on the path set above
from datahub_poller.demo.registry import RegistryServer  # noqa: E402
from kafka import unsecured_tokens  # noqa: E402
from kafka.cluster import ClusterError, KafkaCluster, kafka_libs  # noqa: E402
from kafka.security import MODES, USER, Access, listener_for  # noqa: E402
from support.brokers import KafkaBed, Sent  # noqa: E402
from support.jars import UnavailableError  # noqa: E402

EXAMPLES = """examples:
  make kafka                                one broker, PLAINTEXT
  make kafka ARGS=--secure                  also SSL, mTLS and SASL_SSL, with access lists
  make kafka ARGS='--brokers 3 --secure'    three brokers, topics in three copies
  KAFKA_HOME=/opt/kafka make kafka          from an installation instead of Maven's jars

Without make: .venv/bin/python tests/kafka/play.py --secure
"""
TOPICS = {
    "pe": samples.PLATFORM_TOPIC,
    "mcl": samples.VERSIONED_TOPIC,
    "mcl_timeseries": samples.TIMESERIES_TOPIC,
}
PARTITIONS, SCHEMA_ID = 3, 1
HANDLER = """def handle(event, context):
    for record in event["events"]:
        print(record["meta"]["kafka"]["partition"], record["meta"]["kafka"]["offset"], record["event"])
"""


def main(arguments: Sequence[str]) -> int:
    """Exit codes: 0 ended by a signal, 2 wrong use, 3 could not start."""
    parser = argparse.ArgumentParser(
        prog="make kafka",
        description=(__doc__ or "").partition("\n")[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--brokers", type=int, choices=range(1, 6), default=1, metavar="N", help="1 to 5; default 1")
    parser.add_argument("--secure", action="store_true", help="every security mode, and access lists")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell lets what it runs in the background ignore SIGINT
        signal.signal(number, signal.default_int_handler)
    try:
        libs = kafka_libs(os.environ)
        with tempfile.TemporaryDirectory(prefix="kafka-to-play-with-") as directory:
            play(libs, Path(directory), options.brokers, options.secure)
    except KeyboardInterrupt:
        say("ended")
    except (UnavailableError, ClusterError) as error:
        print(f"make kafka: {error}", file=sys.stderr)
        return 3
    return 0


def play(libs: Path, directory: Path, brokers: int, secure: bool) -> None:
    """Until a signal raises KeyboardInterrupt."""
    say(f"starting {brokers} {'broker' if brokers == 1 else 'brokers'} in {directory}")
    with KafkaCluster(libs, directory / "kafka", brokers, secure=secure) as cluster, RegistryServer() as registry:
        registry.put(SCHEMA_ID, samples.schema_text("PlatformEvent"))
        bed = KafkaBed(cluster.bootstrap)
        for topic in TOPICS.values():
            bed.create_topic(topic, PARTITIONS)
        if secure:
            Access(cluster.bootstrap).give(topics=["*"], groups=["*"])
        (directory / "handler.py").write_text(HANDLER)
        shutil.copy(unsecured_tokens.__file__, directory)
        say("\n".join(described(cluster, registry.url, directory)))
        produce_on_enter(bed)
        threading.Event().wait()


def described(cluster: KafkaCluster, registry: str, directory: Path) -> Iterator[str]:
    """What there is, as text; and an action file for each way in."""
    ways: list[tuple[str, str, dict[str, str]]] = [("PLAINTEXT", cluster.bootstrap, {})]
    if cluster.security is not None:
        ways += [(mode, cluster.addresses(listener_for(mode)), cluster.security.client(mode)) for mode in MODES]
    yield f"\nschema registry: {registry}"
    yield f"topics:          {', '.join(TOPICS.values())}, {PARTITIONS} partitions each"
    if cluster.security is not None:
        yield f"user:            {USER}, password {cluster.security.password}; it may read every topic and group"
        yield "                 without a name (PLAINTEXT, SSL) everything is allowed"
        yield f"certificates:    {cluster.security.certificates.authority.parent}"
    for name, bootstrap, consumer in ways:
        connection = {"bootstrap": bootstrap, "schema_registry_url": registry, "consumer_config": consumer}
        file = write_action(directory, name.lower(), connection)
        yield f"\n# {name}: {file}"
        yield yaml.safe_dump({"connection": connection}, sort_keys=False).rstrip()
    yield f"\nrun the poller:  {sys.executable} -m datahub_poller run -c {directory}/plaintext.yaml"
    yield f"run tests on it: KAFKA_BOOTSTRAP={cluster.bootstrap} {sys.executable} -m pytest tests/contract"
    yield f"log of a broker: {directory}/kafka/node-1.log"
    yield "produce:         press Enter for ten events to PlatformEvent_v1"
    yield "end:             Ctrl-C"


def write_action(directory: Path, name: str, connection: dict[str, object]) -> Path:
    """An action file that can be run as it is."""
    document = {
        "name": f"play-{name}",
        "source": {"type": "kafka", "config": {"connection": connection, "topic_routes": TOPICS, "start": "earliest"}},
        "handler": {"type": "python", "config": {"function": "handler:handle", "path": "."}},
        "dead_letter": {"type": "file", "config": {"directory": f"letters-{name}", "ephemeral": "accept"}},
        "status": {"port": 0},
    }
    file = directory / f"{name}.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


def produce_on_enter(bed: KafkaBed) -> None:
    """Ten events for each line of standard input, on a thread of its own."""

    def events() -> None:
        numbers = itertools.count(1)
        for _ in sys.stdin:
            bed.produce_all(event(next(numbers)) for _ in range(10))
            say("ten events are produced")

    threading.Thread(target=events, name="produce", daemon=True).start()


def event(number: int) -> Sent:
    """A tag on a table of that number."""
    sample = samples.entity_change(
        {
            "entityUrn": f"urn:li:dataset:(urn:li:dataPlatform:hive,db.t{number},PROD)",
            "entityType": "dataset",
            "category": "TAG",
            "operation": "ADD",
            "modifier": "urn:li:tag:pii",
            "auditStamp": {"time": 1_770_000_000_000 + number, "actor": "urn:li:corpuser:jdoe"},
            "version": 0,
        }
    )
    value = samples.confluent_frame(SCHEMA_ID, sample.body)
    return Sent(samples.PLATFORM_TOPIC, number % PARTITIONS, value, sample.key)


def say(text: str) -> None:
    """At once, also into a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
