"""10,000 events of which 37 are poison, through each kind of place: what is there, and what a redrive makes of it.

The poller and its commands are run as their users run them, on a real Apache Kafka, AWS's API over HTTP and DataHub's
own classes; every letter is read by clients that are not the poller's, and judged against what was produced.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections import Counter, defaultdict
from datetime import datetime
from importlib import resources

import pytest
from confluent_kafka.admin import AdminClient
from jsonschema import Draft202012Validator

from datahub_poller import __version__
from support.commands import ran
from support.letter_peeks import BucketPeek, FilePeek, QueuePeek, TopicPeek
from support.on_aws import on_aws
from support.poisoned import POISON, SCHEMAS, WAYS, Poisoned, Try, as_datahub_reads, in_order_by_key
from support.recorded import Place
from support.running import Stage

pytestmark = [pytest.mark.timeout(120), pytest.mark.kafka, pytest.mark.deep]

SCHEMA = json.loads(resources.files("datahub_poller.deadletter").joinpath("dead-letter.schema.json").read_text())
FIXED = ("--yes", "--why", "mended")


@pytest.fixture(params=["file", "kafka", "sqs", "sqs-fifo", "s3"])
def peek(request, moto_server, monkeypatch, on_kafka, unique):
    match request.param:
        case "file":
            yield FilePeek(on_kafka)
        case "kafka":
            yield TopicPeek(on_kafka, unique("letters"), headers="spring")
        case kind:
            with on_aws(moto_server, monkeypatch) as aws:
                yield BucketPeek(aws) if kind == "s3" else QueuePeek(aws, fifo=kind == "sqs-fifo")


class World:
    """A stage with its poison, the action file and its place; `ids` are of the letters by their places."""

    def __init__(self, stage: Stage, peek) -> None:
        seed = random.randrange(10**9)
        print(f"seed {seed}")
        self.stage = stage
        self.peek = peek
        self.events = Poisoned(stage, seed)
        self.events.produce()
        self.action = stage.action(
            {
                "dead_letter": peek.place.section,
                "handler/config/function": "poisoned_handler:handle",
                "batch/size": 500,
                "retry/backoff": "10ms",
                "retry/max_backoff": "50ms",
            }
        )

    def redrive(self, *arguments: str):
        """The command, and what the handler was given meanwhile."""
        done = ran(
            "dead-letters", "redrive", "-c", str(self.action), "--to", "handler", *arguments,
            cwd=self.stage.directory, environ=self.peek.place.environ,
        )  # fmt: skip
        assert "Traceback" not in done.err
        print(done.all)
        return done, self.events.delivered()

    def places(self) -> Counter[Place]:
        return Counter(map(place_of, self.peek.letters()))


def place_of(letter) -> Place:
    kafka = letter["meta"]["kafka"]
    return Place(kafka["topic"], kafka["partition"], kafka["offset"])


def test_the_37_are_dead_letters_and_complete_and_a_redrive_delivers_them_and_nothing_else(on_kafka, peek):
    world = World(on_kafka, peek)
    events = world.events
    began = datetime.now().astimezone()
    poller = on_kafka.start(world.action, **peek.place.environ)
    poller.until(on_kafka.all_committed, "not drained", 60.0)
    assert poller.stop() == 0

    # all was delivered but the 37, each once, and these are letters, each once
    first = events.delivered()
    assert Counter(each.place for each in first) == Counter(events.sent.keys() - events.poison.keys())
    in_order_by_key(first)
    letters = {place_of(letter): letter for letter in peek.letters()}
    assert world.places() == Counter(events.poison.keys())
    assert len(letters) == POISON
    if isinstance(peek, QueuePeek):
        assert peek.overflown >= WAYS["large"]
    cluster = AdminClient({"bootstrap.servers": on_kafka.bed.bootstrap}).list_topics(timeout=10).cluster_id
    tries = events.tries()
    for place, letter in letters.items():
        complete(letter, place, world, began, cluster, tries[place])

    redriven(world, letters)


def complete(letter, place: Place, world: World, began: datetime, cluster: str, tries: list[Try]) -> None:
    """All that is to be known of the record and its failure is in its letter."""
    Draft202012Validator(SCHEMA).validate(letter)
    sent, way, meta = world.events.sent[place], world.events.poison[place], letter["meta"]
    raw = meta["raw"]
    assert (decoded(raw["key"]), decoded(raw["value"])) == (sent.key, sent.value)
    assert [(name, decoded(value)) for name, value in raw["headers"]] == list(sent.headers)
    assert (meta["kafka"]["timestamp"], meta["kafka"]["timestamp_type"]) == (sent.timestamp, "CREATE_TIME")
    assert meta["kafka"]["key"] == sent.key.decode()
    assert [name for name, _ in meta["kafka"]["headers"]] == [name for name, _ in sent.headers]
    assert meta["kafka"]["id"] == f"{cluster}/{place.topic}/{place.partition}/{place.offset}"
    assert (meta["kafka"]["cluster"], meta["action"]) == (cluster, world.stage.name)
    assert (meta["poller"]["version"], meta["redrives"]) == (__version__, 0)
    assert meta["id"].startswith(f"{place.topic}/{place.partition}/{place.offset}/")
    assert began <= datetime.fromisoformat(meta["at"]) <= datetime.now().astimezone()
    if sent.value[:1] == b"\0":
        assert meta["schema"] == {"registry": "confluent", "id": SCHEMAS[schema_of(place, world)]}
    else:
        assert meta["schema"] is None
    failure = meta["failure"]
    if way == "undecodable":
        assert (letter["event_type"], letter["event"], failure["stage"]) == (None, None, "decode")
        assert (meta["attempts"], meta["history"], meta["batch_id"]) == (0, [], None)
        return
    assert (letter["event_type"], letter["event"]) == as_datahub_reads(sent)
    assert (failure["stage"], meta["batch_id"]) == ("handler", tries[-1].batch)
    failed_each_time(meta, tries)
    if way == "named":
        assert failure["kind"] == "BatchItemFailure"
        assert [place.offset] == [
            item["itemIdentifier"]["offset"]
            for item in json.loads(failure["response"])["batchItemFailures"]
            if item["itemIdentifier"] == {"partition": f"{place.topic}-{place.partition}", "offset": place.offset}
        ]
    else:
        assert failure["kind"] == "poisoned_handler.Unknown"
        assert str(place.offset) in failure["message"]
        assert "in handle" in failure["stack"]


def failed_each_time(meta, tries: list[Try]) -> None:
    """The history is that of the calls that the handler itself wrote down."""
    history = meta["history"]
    assert meta["attempts"] == len(tries) >= 2
    assert [(each["batch_id"], each["events"]) for each in history] == [(each.batch, each.events) for each in tries]
    assert [each["attempt"] for each in history] == list(range(1, len(tries) + 1))
    assert all(each["error"] for each in history)
    earlier = 0.0
    for each, called in zip(history, tries, strict=True):
        begun = datetime.fromisoformat(each["at"]).timestamp()
        assert earlier - 0.001 <= begun <= called.at, (each, called)  # milliseconds; behind the try before it
        earlier = called.at


def decoded(text):
    return None if text is None else base64.b64decode(text, validate=True)


def schema_of(place: Place, world: World) -> str:
    return "PlatformEvent" if place.topic == world.stage.topics["pe"] else "MetadataChangeLog"


def redriven(world: World, letters) -> None:
    """What fails again, what is mended, what cannot be decoded; and then there is nothing left to do."""
    events, peek = world.events, world.peek
    undecodable = {place for place, way in events.poison.items() if way == "undecodable"}

    # nothing is done without being told to
    done, given = world.redrive()
    assert (done.code, given) == (0, [])
    seen = re.search(r"(\d+) letters would go to handler", done.err)
    assert seen is not None
    assert int(seen[1]) == POISON or "A FIFO queue shows only the first messages of each group" in done.err

    # one that fails again is a letter again, with what is behind it
    heads = {place.tp: place for place in sorted(events.poison, reverse=True)}  # which a FIFO queue shows
    stays = next(place for place in heads.values() if place not in undecodable)
    events.plan(fails=True, at=stays)
    done, given = world.redrive("--id", str(stays), *FIXED)
    assert (done.code, given) == (1, [])
    again = [each for each in peek.letters() if place_of(each) == stays]
    newest = max(again, key=lambda each: each["meta"]["redrives"])
    assert newest["meta"]["redrives"] == 1
    assert newest["meta"]["id"] == letters[stays]["meta"]["id"]
    before = letters[stays]["meta"]["history"]
    assert newest["meta"]["history"][: len(before)] == before
    assert len(newest["meta"]["history"]) > len(before)
    assert newest["meta"]["raw"] == letters[stays]["meta"]["raw"]

    # the handler is mended: everything that is an event goes to it, and nothing else
    events.plan(fails=False)
    done, given = world.redrive(*FIXED)
    assert done.code == 1, done.all
    assert "still undecodable" in done.err
    assert Counter(each.place for each in given) == Counter(events.poison.keys() - undecodable)
    assert next(each.redrive["count"] for each in given if each.place == stays) == 2
    if "A FIFO queue" in done.err:  # there, what failed again lies behind the others of its partition
        given = [each for each in given if each.place != stays]
    judged(given, letters)

    # what never was one is made one
    done, given = world.redrive("--transform", "poisoned_handler:mend", *FIXED)
    assert done.code == 0, done.all
    assert Counter(each.place for each in given) == Counter(undecodable)
    assert all(each.event == {"mended": each.place.offset} for each in given)
    judged(given, letters)

    done, given = world.redrive(*FIXED)
    assert (done.code, given) == (0, [])
    assert "nothing to redrive" in done.err


def judged(given, letters) -> None:
    """In order, said to be old, and the event as it failed."""
    in_order_by_key(given)
    by_partition = defaultdict(list)
    for each in given:
        by_partition[each.place.tp].append(each.place.offset)
        letter = letters[each.place]
        assert each.redrive["letter"] == letter["meta"]["id"]
        if letter["event"] is not None:
            assert each.event == letter["event"]
    for offsets in by_partition.values():
        assert offsets == sorted(offsets)
