"""Whatever bytes come, framing and reading give an outcome: never another exception, never more than they were."""

from __future__ import annotations

import contextlib
import random
import struct
import zlib
from datetime import timedelta

import pytest
from confluent_kafka.schema_registry import dual_schema_id_deserializer
from confluent_kafka.schema_registry.serde import SchemaId
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError
from hypothesis import given, settings
from hypothesis import strategies as st

from datahub_poller.decode.framing import SCHEMA_HEADER, Frame, split
from datahub_poller.decode.reader import Reader
from datahub_poller.decode.writer_schema import FetchedSchema
from datahub_poller.demo.samples import PLATFORM_TOPIC, VERSIONED_TOPIC, confluent_frame, glue_frame, schema_text
from datahub_poller.errors import Poison
from datahub_poller.model import Event, SchemaKey, Skipped, Undecodable
from support.decoding import (
    CHANGE_LOG_GUID,
    CHANGE_LOG_ID,
    CHANGE_LOG_UUID,
    ENTITY_CHANGE,
    PLATFORM_ID,
    change_log,
    final,
    guid_name,
    intake,
    platform_event,
    record,
)

LIMIT = 100_000
SOON = settings(deadline=timedelta(seconds=5))  # against what never ends, not against a busy machine
READY = intake()
BODY = change_log(
    auditHeader={"time": 1, "server": "s", "appName": "a", "messageId": bytes(16)},
    headers={"a": "b"},
    systemMetadata={"lastObserved": 5, "properties": {"k": "v"}, "aspectCreated": {"time": 1, "actor": "urn:x"}},
)
GOOD = [
    (VERSIONED_TOPIC, confluent_frame(CHANGE_LOG_ID, BODY)),
    (VERSIONED_TOPIC, guid_name(CHANGE_LOG_GUID) + BODY),
    (VERSIONED_TOPIC, glue_frame(CHANGE_LOG_UUID, BODY)),
    (VERSIONED_TOPIC, glue_frame(CHANGE_LOG_UUID, BODY, compress=True)),
    (PLATFORM_TOPIC, confluent_frame(PLATFORM_ID, platform_event("entityChangeEvent", ENTITY_CHANGE))),
]
FRAMINGS = st.sampled_from(["confluent", "glue", "auto"])
# lengths and numbers that a reader may believe: huge, negative, at the edges, and integers without end
EDGES = st.sampled_from([b"\xff" * 12, b"\x80" * 40 + b"\x01", b"\xfe\xff\xff\xff\x0f", b"\x01", b"\x7f", b"\x00" * 9])


NAMES = st.builds(
    lambda magic, rest: bytes((magic,)) + rest,
    st.sampled_from([0, 1, 1, 2, 3]),
    st.one_of(st.binary(), st.binary(min_size=16, max_size=17)),
)
VALUES = st.one_of(st.binary(max_size=200), NAMES)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([SCHEMA_HEADER, SCHEMA_HEADER, "__key_schema_id", "trace"]), st.one_of(st.none(), VALUES)
    ),
    max_size=3,
).map(tuple)


@given(VALUES, FRAMINGS, HEADERS)
def test_any_bytes_are_framed_or_poison(value, framing, headers):
    try:
        payload = split(value, framing, LIMIT, headers).payload
    except Poison:
        payload = b""
    assert len(payload) <= LIMIT


def as_confluent_reads(value, headers):
    """By Confluent's Python reader; None where it fails. It takes the first of repeated headers, Java's the last."""
    found = SchemaId("AVRO")
    context = SerializationContext("t", MessageField.VALUE, list(reversed(headers)))
    try:
        payload = dual_schema_id_deserializer(value, context, found).read()
    except (SerializationError, struct.error, ValueError):
        return None
    return Frame(SchemaKey("confluent", found.id if found.guid is None else str(found.guid)), payload)


@given(VALUES, HEADERS)
def test_what_confluents_reader_takes_is_taken_and_the_same_and_nothing_else(value, headers):
    try:
        ours = split(value, "confluent", LIMIT, headers)
    except Poison:
        ours = None
    assert ours == as_confluent_reads(value, headers)


@given(VALUES, HEADERS)
def test_headers_change_nothing_that_glue_reads(value, headers):
    def outcome(*with_headers):
        try:
            return split(value, "glue", LIMIT, *with_headers)
        except Poison:
            return None

    assert outcome(headers) == outcome()


@given(st.uuids(), st.binary(max_size=50))
def test_a_guid_comes_back_as_it_was_made_before_the_value_and_in_the_header(guid, body):
    made = Frame(SchemaKey("confluent", str(guid)), body)
    assert split(guid_name(str(guid)) + body, "auto") == made
    assert split(body, "auto", LIMIT, ((SCHEMA_HEADER, guid_name(str(guid))),)) == made


@given(st.integers(0, 2**32 - 1), st.binary(max_size=50))
def test_confluents_framing_comes_back_as_it_was_made(schema_id, body):
    assert split(confluent_frame(schema_id, body), "auto") == Frame(SchemaKey("confluent", schema_id), body)


@given(st.uuids(), st.binary(max_size=5_000), st.booleans())
def test_glues_framing_comes_back_as_it_was_made(version, body, compress):
    frame = split(glue_frame(str(version), body, compress), "auto", LIMIT)
    assert frame == Frame(SchemaKey("glue", str(version)), body)


@given(st.binary(max_size=3_000), st.integers(0, 10_000), st.binary(min_size=1, max_size=5))
def test_a_compressed_body_cut_or_followed_by_bytes_is_never_taken(body, cut, more):
    deflated = zlib.compress(body)
    for damaged in (deflated[: cut % len(deflated)], deflated + more):
        with pytest.raises(Poison):
            split(bytes((3, 5)) + bytes(16) + damaged, "glue", LIMIT)


@SOON
@given(st.sampled_from(GOOD), st.data())
def test_a_mutated_record_has_an_outcome(good, data):
    topic, value = good
    place = data.draw(st.integers(0, len(value)))
    gone = data.draw(st.integers(0, 6))
    inserted = data.draw(st.one_of(st.binary(max_size=6), EDGES))
    verdict = final(READY, record(topic, value[:place] + inserted + value[place + gone :]))
    assert not isinstance(verdict, Skipped) or topic == PLATFORM_TOPIC


@SOON
@given(st.sampled_from(GOOD), st.binary(max_size=300))
def test_any_bytes_after_a_good_frame_have_an_outcome(good, noise):
    topic, value = good
    verdict = final(READY, record(topic, value[:5] + noise))
    assert isinstance(verdict, Event | Undecodable | Skipped) or value[0] in (1, 3)


@pytest.mark.parametrize("good", range(len(GOOD)))
def test_every_prefix_of_a_record_is_undecodable(good):
    topic, value = GOOD[good]
    for length in range(len(value)):
        verdict = final(READY, record(topic, value[:length]))
        assert isinstance(verdict, Undecodable), length


def test_ten_thousand_bodies_of_noise_are_poison_or_a_record():
    chance = random.Random(11)
    reader = Reader(FetchedSchema(schema_text("MetadataChangeLog")))
    for _ in range(10_000):
        noise = chance.randbytes(chance.randrange(120))
        for read in (reader.read, lambda payload: reader.lead(payload, frozenset({"aspectName"}))):
            with contextlib.suppress(Poison):
                assert isinstance(read(noise), dict)
