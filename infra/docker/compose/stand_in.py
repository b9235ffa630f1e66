"""What stands in for DataHub in ../compose.yaml: a schema registry, and a producer of sample events.

Schemas and events are those of `datahub-poller demo`. Without passwords and without memory: for trying out only.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

from confluent_kafka import KafkaException, Producer

from datahub_poller.demo.registry import RegistryServer
from datahub_poller.demo.samples import Sample, SchemaName, confluent_frame, schema_text
from datahub_poller.demo.story import story

# The numbers are the schemas' in DataHub's own registry.
IDS: Final[dict[SchemaName, int]] = {"MetadataChangeLog": 18, "PlatformEvent": 4}
FLUSH_SECONDS: Final = 60.0


class Registry(ThreadingHTTPServer):
    """The Confluent API for readers, on every interface: in a container nobody reaches loopback from outside."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self.answers = RegistryServer()
        self.answers.stop()  # its own port, which is a loopback one
        for name, number in IDS.items():
            self.answers.put(number, schema_text(name))
        super().__init__((host, port), _Connection)


class _Connection(BaseHTTPRequestHandler):
    server: Registry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        reply = self.server.answers.answer_confluent(urlsplit(self.path).path, self.headers.get("authorization"))
        self.send_response(reply.status)
        self.send_header("content-type", reply.content_type)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the health check asks every few seconds."""


def serve(host: str, port: int) -> None:
    """Answer until the process is told to end."""
    with Registry(host, port) as server:
        say(f"registry: http://{host}:{server.server_address[1]}")
        server.serve_forever()


def produce(bootstrap: str, first: int, every: float) -> None:
    """Write the first events of the story at once, then one every so many seconds; 0: no more."""
    producer = Producer({"bootstrap.servers": bootstrap})
    events = story()
    send(producer, islice(events, first))
    say(f"{first} events produced")
    while every > 0:
        time.sleep(every)
        send(producer, islice(events, 1))


def send(producer: Producer, events: Iterable[Sample]) -> None:
    """Write them and wait until the broker has acknowledged each; otherwise the process ends."""
    refused: list[str] = []

    def acknowledged(error: Any, _: Any) -> None:
        if error is not None:
            refused.append(str(error))

    for event in events:
        value = confluent_frame(IDS[event.schema], event.body)
        try:
            producer.produce(event.topic, value, event.key, on_delivery=acknowledged)
        except KafkaException as error:  # what the broker has refused before is refused at once
            refused.append(str(error.args[0]))
        producer.poll(0)
    left = producer.flush(FLUSH_SECONDS)
    if left or refused:
        reason = refused[0] if refused else f"no answer within {FLUSH_SECONDS:g} s"
        sys.exit(f"stand_in.py: the broker did not take {left + len(refused)} events: {reason}")


def say(line: str) -> None:
    """A line for the log."""
    print(line, flush=True)  # noqa: T201 - a container's log is its standard output


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    registry = kinds.add_parser("registry", help="serve the samples' schemas")
    registry.add_argument("--host", default="0.0.0.0")  # noqa: S104 - compose publishes it on loopback only
    registry.add_argument("--port", type=int, default=8081)
    producer = kinds.add_parser("producer", help="write sample events")
    producer.add_argument("--bootstrap", required=True)
    producer.add_argument("--first", type=int, default=300, help="events at once")
    producer.add_argument("--every", type=float, default=2.0, help="seconds between the others; 0: no others")
    asked = parser.parse_args()
    # The first process of a container has no default for it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if asked.kind == "registry":
        serve(asked.host, asked.port)
    else:
        produce(asked.bootstrap, asked.first, asked.every)


if __name__ == "__main__":
    main()
