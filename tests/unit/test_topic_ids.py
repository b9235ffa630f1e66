"""What is made of a topic's ids, and when they are asked for: without a broker."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException, Uuid

from datahub_poller.kafka import topic_ids
from datahub_poller.kafka.oauth import TokenSource
from datahub_poller.kafka.topic_ids import EVERY_SECONDS, PATIENCE_SECONDS, RARELY_SECONDS, TopicIds, connection_of
from datahub_poller.model import TopicPartition

ZERO, ONE = TopicPartition("t", 0), TopicPartition("t", 1)
OLD, NEW = Uuid(1, 2), Uuid(-3, 4)


class Told:
    """What a topic's description holds of interest."""

    def __init__(self, topic_id):
        self.topic_id = topic_id


class Client:
    """Answers when the test does."""

    def __init__(self):
        self.questions = []

    def poll(self, timeout):
        return 0

    def describe_topics(self, topics, request_timeout):
        self.questions.append(Future())
        return {"t": self.questions[-1]}

    def answer(self, topic_id):
        self.questions[-1].set_result(Told(topic_id))

    def refuse(self, code):
        self.questions[-1].set_exception(KafkaException(KafkaError(code)))


class Scene:
    def __init__(self, monkeypatch):
        self.now = 100.0
        self.client = Client()
        made = Future()
        made.set_result(self.client)
        monkeypatch.setattr(topic_ids, "made_aside", lambda properties, log, name: made)
        self.ids = TopicIds({}, lambda: self.now, logging.getLogger("test.ids"))

    def look(self, seconds=0.0):
        self.now += seconds
        self.ids.look(["t"])

    def told(self, topic_id):
        """Ask and be answered."""
        self.look()
        self.client.answer(topic_id)
        self.look()


@pytest.fixture
def scene(monkeypatch):
    return Scene(monkeypatch)


def test_nothing_is_asked_before_there_is_a_doubt(scene):
    scene.look(1000.0)
    assert scene.client.questions == []


def test_the_first_id_is_taken_as_it_is_and_another_one_is_a_new_topic(scene):
    scene.ids.doubt()
    scene.ids.began(ZERO, "")
    scene.told(OLD)
    assert scene.ids.replaced([ZERO, ONE]) == []
    assert scene.ids.read == {ZERO: "AAAAAAAAAAEAAAAAAAAAAg", ONE: "AAAAAAAAAAEAAAAAAAAAAg"}
    scene.look(EVERY_SECONDS)
    scene.told(NEW)
    assert scene.ids.replaced([ZERO, ONE]) == [ZERO, ONE]
    assert scene.ids.remade == {"t"}
    scene.ids.moved(ZERO)
    assert (scene.ids.is_new(ZERO), scene.ids.is_new(ONE)) == (False, True)
    assert scene.ids.read[ZERO] == "__________0AAAAAAAAABA"


def test_what_a_commit_says_counts_before_what_this_process_read(scene):
    scene.ids.doubt()
    scene.told(OLD)
    scene.ids.replaced([ZERO])
    scene.ids.began(ZERO, "B" * 22)
    assert scene.ids.replaced([ZERO]) == [ZERO]
    scene.ids.began(ZERO, "AAAAAAAAAAEAAAAAAAAAAg")
    assert scene.ids.replaced([ZERO]) == []


def test_an_answer_to_what_was_asked_before_a_doubt_is_none(scene):
    scene.ids.doubt()
    scene.look()
    stale = scene.client.questions[0]
    scene.ids.doubt()
    scene.look()
    stale.set_result(Told(OLD))
    scene.look()
    assert scene.ids.replaced([ZERO]) == []
    assert scene.ids.read == {}
    scene.client.answer(NEW)
    scene.look()
    scene.ids.replaced([ZERO])
    assert set(scene.ids.read) == {ZERO}


def test_nobody_waits_where_ids_were_never_told_and_then_for_a_moment_only(scene):
    scene.ids.doubt()
    assert not scene.ids.waiting
    scene.told(OLD)
    scene.ids.doubt()
    assert scene.ids.waiting
    scene.look()
    assert scene.ids.waiting
    scene.now += PATIENCE_SECONDS
    assert not scene.ids.waiting
    scene.ids.doubt()
    scene.look()
    scene.client.refuse(KafkaError.UNKNOWN_TOPIC_OR_PART)
    scene.look()
    assert not scene.ids.waiting


@pytest.mark.parametrize("answer", ["refused", "none"])
def test_where_no_ids_are_told_it_is_asked_rarely_and_said_once(scene, caplog, answer):
    caplog.set_level(logging.INFO)
    scene.ids.doubt()
    for count in range(1, 4):
        scene.look()
        assert len(scene.client.questions) == count
        if answer == "refused":
            scene.client.refuse(KafkaError._TIMED_OUT)
        else:
            scene.client.answer(Uuid(0, 0))
        scene.look()
        assert scene.ids.replaced([ZERO]) == []
        scene.look(EVERY_SECONDS)
        assert len(scene.client.questions) == count
        scene.now += RARELY_SECONDS
    assert len(caplog.records) == 1
    assert scene.ids.read == {}


def test_a_client_that_cannot_be_made_disturbs_nobody(caplog):
    caplog.set_level(logging.INFO)
    ids = TopicIds(
        {"bootstrap.servers": "127.0.0.1:1", "ssl.ca.location": "/nowhere"}, lambda: 0.0, logging.getLogger()
    )
    ids._properties["no.such.property"] = "1"
    ids.doubt()
    ids.look(["t"])
    for thread in threading.enumerate():
        if thread.name == "topic-ids":
            thread.join(5)
    ids.look(["t"])
    assert [record.getMessage()[:26] for record in caplog.records] == ["kafka tells no topic ids: "]
    ids.close()


def test_it_is_told_of_the_connection_and_of_nothing_else():
    ours = {
        "bootstrap.servers": "b:1",
        "client.id": "me",
        "security.protocol": "SASL_SSL",
        "sasl.password": "p",
        "ssl.ca.location": "f",
        "enable.ssl.certificate.verification": "false",
        "socket.timeout.ms": "1",
    }
    theirs = {
        "group.id": "g",
        "group.protocol": "consumer",
        "session.timeout.ms": "1",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "fetch.min.bytes": "1",
        "statistics.interval.ms": "1",
    }
    assert connection_of({**ours, **theirs}) == ours


def test_it_comes_in_with_the_token_that_the_consumer_was_given_last(monkeypatch, tmp_path):
    (tmp_path / "tokens_for_ids.py").write_text("given = []\ndef token(config):\n    return given.pop(0)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import tokens_for_ids

    tokens_for_ids.given += [("first", 200.0), ("second", 300.0)]
    now = [100.0]
    source = TokenSource("tokens_for_ids:token", "", lambda: now[0])
    again = connection_of({"oauth_cb": source})["oauth_cb"]
    assert (again("")[0], source("")[0], again("")[0]) == ("first", "first", "first")
    assert (source("")[0], again("")[0]) == ("second", "second")
    now[0] = 300.0
    with pytest.raises(ValueError, match="expired"):
        again("")


def test_a_topic_that_does_not_exist_is_looked_for_until_it_does(scene):
    scene.ids.lack("t")
    assert scene.ids.missing == {"t"}
    scene.look(EVERY_SECONDS)
    scene.client.refuse(KafkaError.UNKNOWN_TOPIC_OR_PART)
    scene.look()
    assert scene.ids.missing == {"t"}
    scene.look(EVERY_SECONDS)
    scene.client.answer(OLD)
    scene.look()
    assert scene.ids.missing == set()


def test_a_topic_that_is_deleted_is_found_missing_and_one_that_is_assigned_exists(scene):
    scene.ids.doubt()
    scene.told(OLD)
    scene.look(EVERY_SECONDS)
    scene.client.refuse(KafkaError.UNKNOWN_TOPIC_OR_PART)
    scene.look()
    assert scene.ids.missing == {"t"}
    scene.ids.exist({"t"})
    assert scene.ids.missing == set()


@pytest.mark.parametrize("answer", [KafkaError._TRANSPORT, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_an_answer_that_is_none_says_nothing_of_existing(scene, answer):
    scene.ids.doubt()
    scene.look()
    scene.client.refuse(answer)
    scene.look()
    assert scene.ids.missing == set()
    scene.ids.lack("t")
    scene.look(RARELY_SECONDS)
    scene.client.refuse(answer)
    scene.look()
    assert scene.ids.missing == {"t"}
    scene.look(EVERY_SECONDS)
    assert len(scene.client.questions) == 3, "looked for often, although no ids are told"
