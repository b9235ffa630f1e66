"""Dead letters read back from a broker's topic, and the ledger beside them."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from datahub_poller import letterbox
from datahub_poller.deadletter.found import NotALetter, found
from datahub_poller.deadletter.letter import to_line
from datahub_poller.deadletter.store import Mark
from datahub_poller.demo.broker import MockCluster
from datahub_poller.errors import CannotStart, Transient
from kafka.listeners import SASL
from support.action_files import action_of
from support.brokers import QUIET, KafkaBed, MockBed, Sent
from support.letters import event_letter, record, undecodable_letter


def action_on(bootstrap, topic, consumer=None, *, patience=10, letters=None, **config):
    connection = {
        "bootstrap": bootstrap,
        "consumer_config": {} if consumer is None else dict(consumer),
        "client_timeout_seconds": patience,
    }
    config = {"topic": topic, "timeout": "5s", **config, **({} if letters is None else letters)}
    return action_of({"source.config.connection": connection, "dead_letter": {"type": "kafka", "config": config}})


@pytest.fixture
def letters_on():
    """Makes a sink and a store of one action file."""
    made = []

    def make(bed, topic, *arguments, **config):
        action = action_on(bed.bootstrap, topic, *arguments, **config)
        made.extend((letterbox.sink(action, {}), letterbox.store(action, {})))
        return made[-2:]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def place(bed, unique, letters_on):
    """A topic of three partitions, its name, its sink and its store."""
    topic = unique("letters")
    bed.create_topic(topic, 3)
    return topic, *letters_on(bed, topic)


def offsets(store):
    return sorted(found(each, "tag-sync").record().offset for each in store.scan())


def marked(letter, done="delivered", at=5.0):
    return Mark("tag-sync", letter.id, 0, done, at, "me", "run-1", "here", "")


def keyed(offset, key):
    return replace(event_letter(offset), record=record(offset, key=key))


def test_a_letter_comes_back_whole_and_its_record_byte_for_byte(place):
    topic, sink, store = place
    letters = [event_letter(1), undecodable_letter(2), replace(event_letter(3), record=record(3, None, None))]
    letters.append(replace(event_letter(4), record=record(4, b"", b"")._replace(headers=())))
    sink.write(letters)
    stored = sorted(store.scan(), key=lambda each: found(each, "tag-sync").offset)
    assert [json.loads(each.line) for each in stored] == [json.loads(to_line(each)) for each in letters]
    assert [found(each, "tag-sync").record() for each in stored] == [each.record for each in letters]
    assert all(each.where.startswith(f"{topic}-") and "@" in each.where for each in stored)
    assert len({each.where for each in stored}) == 4


def test_an_empty_topic_holds_nothing(place):
    _, _, store = place
    assert list(store.scan()) == []
    assert list(store.marks()) == []


def test_what_lies_in_many_partitions_is_all_read_in_each_ones_order(place):
    _, sink, store = place
    for turn in range(3):
        sink.write([keyed(turn * 100 + number, b"key-%d" % (number % 7)) for number in range(100)])
    assert offsets(store) == list(range(300))
    places: dict[str, list[int]] = {}
    for each in store.scan():
        partition, _, offset = each.where.rpartition("@")
        places.setdefault(partition, []).append(int(offset))
    assert len(places) == 3
    assert all(mine == list(range(len(mine))) for mine in places.values())


def test_a_letter_that_was_written_twice_has_one_id(place):
    _, sink, store = place
    sink.write([event_letter(1)])
    sink.write([event_letter(1)])
    ids = [found(each, "tag-sync").id for each in store.scan()]
    assert ids == [event_letter(1).id] * 2


def test_what_is_written_while_it_is_read_waits_for_the_next_time(place):
    _, sink, store = place
    there, late = 1100, 100  # more than is read at once, so that what comes late is read with what was there
    sink.write([event_letter(number) for number in range(there)])
    looks = store.scan()
    first = next(looks)
    sink.write([event_letter(there + number) for number in range(late)])
    assert len([first, *looks]) == there
    assert len(list(store.scan())) == there + late


def test_the_ledger_is_read_by_whoever_comes_next(bed, place, letters_on):
    topic, sink, store = place
    letters = [keyed(number, b"key-%d" % number) for number in range(4)]
    sink.write(letters)
    by_id = {found(each, "tag-sync").id: each for each in store.scan()}
    first = [(by_id[each.id], marked(each, "delivered", 7.5)) for each in letters[:2]]
    store.mark(first)
    store.mark([(by_id[letters[2].id], marked(letters[2], "dropped", 6.25))])
    wanted = [marked(letters[2], "dropped", 6.25), *(mark for _, mark in first)]
    assert sorted(store.marks()) == sorted(wanted)
    assert [mark.at for mark in store.marks()] == [6.25, 7.5, 7.5]
    _, other = letters_on(bed, topic)
    assert sorted(other.marks()) == sorted(wanted)
    assert offsets(other) == [0, 1, 2, 3]
    store.mark([(by_id[letters[3].id], marked(letters[3], "written", 9.0))])
    assert [mark.done for mark in other.marks()] == ["dropped", "delivered", "delivered", "written"]
    assert other.remove(list(other.scan())) == 0
    assert offsets(other) == [0, 1, 2, 3]


def test_what_others_wrote_there_is_handed_out_and_is_no_letter(bed, place):
    topic, sink, store = place
    sink.write([event_letter(1)])
    spring = [("kafka_dlt-original-topic", b"orders"), ("kafka_dlt-exception-message", b"no")]
    bed.produce_all([Sent(topic, 0, b'{"event_type": "x", "event": {}}', b"k", spring), Sent(topic, 1, None)])
    refusals, letters = [], 0
    for stored in store.scan():
        try:
            found(stored, "tag-sync")
            letters += 1
        except NotALetter as error:
            refusals.append(str(error))
    assert letters == 1
    assert len(refusals) == 2


def test_looking_joins_no_group_and_commits_nothing(bed, place):
    topic, sink, store = place
    sink.write([event_letter(1)])
    assert offsets(store) == [1]
    for group in ("tag-sync", "tag-sync-tail"):
        assert bed.committed(group, topic) == {}


def test_a_topic_that_does_not_exist_is_told(bed, unique, letters_on):
    topic = unique("letters")
    _, store = letters_on(bed, topic)
    for look in (store.scan, store.marks):
        with pytest.raises(CannotStart) as failure:
            list(look())
        for word in (topic, bed.bootstrap, "does not exist", "dead_letter.config.topic"):
            assert word in str(failure.value)
    with pytest.raises(CannotStart):
        list(store.scan())


def test_brokers_that_are_away_are_told_in_time_with_the_letters_own_settings(mock_bed, unique, letters_on):
    topic = unique("letters")
    with MockCluster() as cluster:
        other = MockBed(cluster)
        other.create_topic(topic)
        cluster.down(1)
        config = {"bootstrap": other.bootstrap}
        _, store = letters_on(mock_bed, topic, patience=1, timeout="1s", letters=config)
        began = time.monotonic()
        with pytest.raises(CannotStart) as failure:
            list(store.scan())
        assert time.monotonic() - began < 8
        for word in (other.bootstrap, "dead_letter.config.bootstrap", "dead_letter.config.producer_config"):
            assert word in str(failure.value)
        assert "source.config" not in str(failure.value)
        with pytest.raises(Transient, match=topic):
            store.mark([(None, marked(event_letter()))])


def test_a_broker_that_goes_away_in_the_middle_ends_the_look(mock_bed, unique, letters_on):
    topic = unique("letters")
    mock_bed.create_topic(topic)
    sink, store = letters_on(mock_bed, topic, {"fetch.message.max.bytes": 2000}, patience=1)
    sink.write([event_letter(number) for number in range(1500)])
    looks = store.scan()
    next(looks)
    mock_bed.cluster.down(1)
    began = time.monotonic()
    with pytest.raises(CannotStart, match="cannot be read to its end"):
        for _ in looks:
            pass
    assert time.monotonic() - began < 8


def test_what_a_transaction_did_not_commit_is_not_there(kafka, unique, letters_on):
    topic = unique("letters")
    kafka.create_topic(topic)
    sink, store = letters_on(kafka, topic)
    sink.write([event_letter(1)])
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic, **QUIET})
    producer.init_transactions(10)
    for finish in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        producer.produce(topic, finish.__name__)
        producer.flush(10)
        finish(10)
    lines = [each.line for each in store.scan()]  # control records at the end are none
    assert len(lines) == 2
    assert list(store.marks()) == []


@pytest.mark.xdist_group("secure-kafka")
def test_who_may_not_read_the_topic_is_told(secure_kafka, unique, letters_on):
    topic = unique("letters")
    bed = KafkaBed(secure_kafka.bootstrap)
    bed.create_topic(topic)
    bed.bootstrap = secure_kafka.addresses(SASL)
    _, store = letters_on(bed, topic, secure_kafka.security.client("PLAIN"))
    with pytest.raises(CannotStart) as failure:
        list(store.scan())
    assert topic in str(failure.value)
    assert "READ and DESCRIBE" in str(failure.value)
    assert secure_kafka.security.password not in str(failure.value)
