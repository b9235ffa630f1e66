"""100,000 records wait for a sink: the process stays within its buffer and 60 MB above what it holds when idle.

The baseline is the resident memory of the same process, on the same action file, once it has joined the group, tried
its sink and read nothing. The peak is the kernel's own mark (VmHWM) of the process' whole life, recovery included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from datahub_poller.demo.broker import MockCluster
from support.brokers import MockBed, Sent
from support.on_aws import on_aws
from support.running import Running, Stage
from support.sink_places import BucketPlace, FilePlace, QueuePlace, SinkPlace, TopicPlace

pytestmark = [pytest.mark.timeout(240), pytest.mark.deep]

MIB = 1024 * 1024
BUFFER = 64 * MIB
ROOM = 60 * 1000 * 1000
PARTITIONS, EACH = 4, 25_000
KINDS = ["file", "kafka", "sqs", "s3"]
JUNK = b"\xff\xfeno event at all" * 10
LARGE = b"\xff" + bytes(range(256)) * 400


class Trouble(NamedTuple):
    """A place for letters, and what makes it fail until the block ends."""

    place: SinkPlace
    down: Callable


@pytest.fixture
def trouble(request, on_kafka: Stage, moto_server, monkeypatch) -> Iterator[Trouble]:
    match request.param:
        case "file":
            yield Trouble(FilePlace(on_kafka), lambda: _in_the_way(on_kafka.letters_directory))
        case "kafka":
            with MockCluster() as cluster:
                MockBed(cluster).create_topic("letters")
                yield Trouble(TopicPlace(cluster.bootstrap, "letters", elsewhere=True), lambda: _down(cluster))
        case kind:
            with on_aws(moto_server, monkeypatch) as aws:
                place = QueuePlace(aws) if kind == "sqs" else BucketPlace(aws)
                yield Trouble(place, lambda: _cut(aws.proxy))


@contextmanager
def _in_the_way(directory: Path) -> Iterator[None]:
    """A file where the directory was: a small disk to be filled would not take 100,000 letters afterwards."""
    aside = directory.rename(directory.with_name("aside"))
    directory.touch()
    yield
    directory.unlink()
    aside.rename(directory)


@contextmanager
def _down(cluster: MockCluster) -> Iterator[None]:
    cluster.down(1)
    yield
    cluster.up(1)


@contextmanager
def _cut(proxy) -> Iterator[None]:
    proxy.fault("cut", "*")
    yield
    proxy.heal()


def memory(poller: Running, field: str) -> int:
    """Bytes, as the kernel tells of the process."""
    status = Path(f"/proc/{poller.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024


def idle(stage: Stage, poller: Running) -> int:
    """What it holds once it has partitions and nothing to do."""
    poller.wait_for("partition assigned", count=PARTITIONS)
    seen = [memory(poller, "VmRSS")]
    while len(seen) < 5 or max(seen[-5:]) > min(seen[-5:]) + MIB // 4:
        time.sleep(0.2)
        seen.append(memory(poller, "VmRSS"))
    return seen[-1]


def filled(poller: Running) -> None:
    """Returns when every partition waits for the sink and nothing more is read."""
    poller.status_when(
        lambda status: [each["state"] for each in status["partitions"]] == ["waiting_sink"] * PARTITIONS,
        "not every partition waits for the sink",
    )
    held = [-1]
    while len(held) < 10 or len(set(held[-10:])) > 1:
        time.sleep(0.2)
        status = poller.status()
        assert status is not None
        held.append(status["buffer"]["bytes"])
    assert held[-1] > BUFFER // 2, "the buffer was not filled"


def everywhere(stage: Stage, *records: tuple[bytes, bytes]) -> list[Sent]:
    """These keys and values, to every partition."""
    return [Sent(stage.topics["pe"], number, value, key) for number in range(PARTITIONS) for key, value in records]


def stays_within_the_buffer(stage: Stage, trouble: Trouble, records: list[Sent], wanted: int = 0) -> None:
    """The sink is down while the records come, and up again until so many, or all, are committed."""
    stage.create(PARTITIONS, "pe")
    keys = {"dead_letter": {**trouble.place.section, "breaker": {"in_a_row": 1_000_000}}, "retry/attempts": 1}
    action = stage.action({**keys, "source/config/buffer": "64MiB", "batch/size": 100})
    poller = stage.start(action, **trouble.place.environ)
    baseline = idle(stage, poller)
    with trouble.down():
        stage.bed.produce_all(records)
        filled(poller)
        waiting = memory(poller, "VmHWM") - baseline
    poller.until(lambda: sum(stage.committed().values()) >= (wanted or len(records)), "it is not committed", 150)
    peak = memory(poller, "VmHWM") - baseline
    print(f"idle {baseline / 1e6:.0f} MB, waiting +{waiting / 1e6:.0f} MB, in all +{peak / 1e6:.0f} MB")
    assert waiting <= BUFFER + ROOM
    assert peak <= BUFFER + ROOM


@pytest.mark.parametrize("trouble", KINDS, indirect=True)
def test_events_behind_a_letter_that_waits_stay_within_the_buffer(on_kafka, trouble):
    value = on_kafka._event("pe", 0, poison=False, schema=None).value
    good = [(b"good-%d" % number, value) for number in range(1, EACH)]
    stays_within_the_buffer(on_kafka, trouble, everywhere(on_kafka, (b"poison-0", value), *good))
    assert len(trouble.place.letters()) == PARTITIONS


@pytest.mark.parametrize("trouble", KINDS, indirect=True)
def test_records_that_are_letters_themselves_stay_within_the_buffer(on_kafka, trouble):
    records = everywhere(on_kafka, *((b"%d" % number, JUNK) for number in range(EACH)))
    # The emulator's queue gets slower with every message in it.
    wanted = 2_000 if trouble.place.section["type"] == "sqs" else len(records)
    stays_within_the_buffer(on_kafka, trouble, records, wanted)


@pytest.mark.parametrize("trouble", KINDS, indirect=True)
def test_large_letters_stay_within_the_buffer(on_kafka, trouble):
    """A letter of a large record is larger than it: the bytes in base64, and again on their way."""
    stays_within_the_buffer(on_kafka, trouble, everywhere(on_kafka, *((b"%d" % n, LARGE) for n in range(300))))
