"""Bytes that fit no schema that is known of their id: the registry is asked anew, and what it says is used."""

from __future__ import annotations

import json

import pytest

from datahub_poller.decode.doubts import KEPT, LONGEST_REST, RECORDS_KEPT, SHORTEST_REST
from datahub_poller.errors import Poison, Transient
from support.changing import BAD, GOOD, KEY, NEW, OLD, OTHER, World, record, value, with_field
from support.decoding import intake as whole_intake
from support.decoding import own_schemas

AWAY = Transient("HTTP 503")


@pytest.fixture
def world() -> World:
    return World()


def test_what_the_id_names_now_is_asked_for_and_used(world):
    world.registry.names[KEY] = NEW
    fresh = record(GOOD[NEW])
    assert world.read(fresh) == "Awaiting"
    assert "the registry is asked anew" in world.intake.waiting()[KEY].reason
    assert world.intake.asking()
    assert not world.intake.fetching()  # nobody else waits for it
    world.tick()
    world.answer()
    assert world.read(fresh) == "event"
    assert world.intake.waiting() == {}
    assert not world.intake.asking()
    assert world.schemas.changes == 1


def test_what_changed_is_told_once(world):
    world.registry.names[KEY] = NEW
    world.read(record(GOOD[NEW]))
    world.live(1.0)
    (change,) = world.intake.changes()
    assert (change.key, change.name, change.came, change.went, change.changed) == (
        KEY,
        "com.linkedin.pegasus2avro.mxe.MetadataChangeLog",
        ("traceId",),
        (),
        (),
    )
    assert str(change).endswith("came: traceId")
    assert world.intake.changes() == []


def test_every_partition_reads_by_the_schema_that_was_named_last(world):
    for partition in range(3):
        assert world.read(record(GOOD[OLD], partition=partition)) == "event"
    world.registry.names[KEY] = NEW
    world.read(record(GOOD[NEW], 1))
    world.live(1.0)
    asked = len(world.doubts)
    for partition in range(3):
        assert world.read(record(GOOD[NEW], 2, partition)) == "event"
        assert world.read(record(GOOD[OLD], 3, partition)) == "event"
    assert len(world.doubts) == asked


def test_of_two_schemas_that_read_the_bytes_the_one_that_was_named_last_is_used(world):
    renamed = OLD.replace('"entityUrn"', '"entityUrnOfOld"')
    each = record(GOOD[OLD])
    assert world.intake.read(each, world.now).envelope["event"]["entityUrn"]
    world.registry.names[KEY] = renamed
    world.read(record(BAD, 1))
    world.live(1.0)
    assert "entityUrn" not in world.intake.read(each, world.now).envelope["event"]


def test_a_schema_that_comes_back_goes_first_again(world):
    for text in (NEW, OLD):
        world.registry.names[KEY] = text
        world.read(record(BAD, world.schemas.changes))
        world.live(2.0)
        assert world.schemas.get(KEY, world.now).fetched.text == text
    assert len(world.schemas.others(KEY)) == 1
    assert world.schemas.changes == 2


def test_of_what_was_named_before_the_latest_goes_first_and_no_more_than_some_are_kept(world):
    texts = [with_field(f"f{number}") for number in range(KEPT + 3)]
    for number, text in enumerate(texts):
        world.registry.names[KEY] = text
        world.read(record(BAD, number))
        world.live(2.0)
    kept = [reader.fetched.text for reader in world.schemas.others(KEY)]
    assert kept == texts[-2 : -KEPT - 1 : -1]


def test_bad_bytes_are_undecodable_as_before_when_an_answer_confirms_it(world):
    bad = record(BAD)
    assert world.read(bad) == "Awaiting"
    world.tick()
    world.answer()
    assert world.read(bad) == "not_avro"
    assert world.read(record(GOOD[OLD] + b"\x00\x00", 1)) == "Awaiting"
    world.live(1.0)
    assert world.read(record(GOOD[OLD] + b"\x00\x00", 1)) == "left_over_bytes"
    assert world.intake.changes() == []


def test_a_question_that_was_asked_before_settles_nothing(world):
    early, late = record(BAD, 0), record(GOOD[NEW], 1)
    world.read(early)
    world.tick()
    world.registry.names[KEY] = NEW  # after it was asked, and before it is answered
    assert world.read(late) == "Awaiting"
    world.answer()
    assert world.read(early) == "not_avro"
    assert world.read(late) == "Awaiting"
    world.live(1.0)
    assert world.read(late) == "event"


def test_one_question_settles_all_that_were_refused_before_it(world):
    bad = [record(BAD, offset) for offset in range(500)]
    assert {world.read(each) for each in bad} == {"Awaiting"}
    world.tick()
    world.answer()
    assert {world.read(each) for each in bad} == {"not_avro"}
    assert len(world.doubts) == 1


@pytest.mark.parametrize(("took", "rest"), [(0.001, SHORTEST_REST), (0.05, 0.45), (3.0, LONGEST_REST)])
def test_a_registry_is_asked_for_a_tenth_of_the_time_and_once_a_second_at_least(world, took, rest):
    for offset in range(20):
        world.read(record(BAD, offset))
        while not world.open:
            world.tick(0.01)
        world.answer(took)
    gaps = [after - before for before, after in zip(world.doubts, world.doubts[1:], strict=False)]
    assert all(took + rest - 0.001 <= gap <= took + rest + 0.02 for gap in gaps)


def test_a_registry_that_is_away_is_no_confirmation(world):
    world.registry.names[KEY] = NEW
    world.registry.error = AWAY
    fresh, bad = record(GOOD[NEW]), record(BAD, 1)
    world.read(fresh)
    world.read(bad)
    world.live(3_600.0)
    assert (world.read(fresh), world.read(bad)) == ("Awaiting", "Awaiting")
    assert world.intake.waiting()[KEY].reason.startswith("HTTP 503; asked anew")
    assert 300 < len(world.doubts) < 400
    world.registry.error = None
    assert world.schemas.ask_again(world.now) == 1  # a person hurries it
    world.tick()
    world.answer()
    assert (world.read(fresh), world.read(bad)) == ("event", "not_avro")


def test_an_id_that_is_not_found_any_more_waits_as_an_unknown_one_does(world):
    del world.registry.names[KEY]
    bad = record(BAD)
    world.read(bad)
    world.live(29.0)
    assert world.read(bad) == "Awaiting"
    world.live(5.0)
    assert world.read(bad) == "not_avro"


def test_a_registry_that_has_lost_everything_confirms_nothing(world):
    world.registry.names.clear()
    bad = record(BAD)
    world.read(bad)
    world.live(600.0)
    assert world.read(bad) == "Awaiting"


def test_an_id_that_is_the_only_one_known_is_no_witness_of_its_own(world):
    del world.schemas._readers[OTHER]
    del world.registry.names[KEY]
    bad = record(BAD)
    world.read(bad)
    world.live(600.0)
    assert world.read(bad) == "Awaiting"
    assert all(ticket.doubt for ticket, _ in world.asked)


def test_what_cannot_be_read_by_is_an_answer(world):
    world.registry.error = Poison("unusable_schema", "it is Protobuf now")
    bad = record(BAD)
    world.read(bad)
    world.live(1.0)
    assert world.read(bad) == "not_avro"
    assert world.read(record(GOOD[OLD], 1)) == "event"


def test_a_record_that_is_read_whole_and_is_no_event_asks_nobody(world):
    world.registry.names[KEY] = NEW
    world.read(record(GOOD[NEW]))
    world.live(1.0)
    asked = len(world.doubts)
    odd = value(OLD, aspect={"value": b"\xff", "contentType": "x"})
    assert world.read(record(odd, 1)) == "aspect_not_utf8"
    assert len(world.doubts) == asked


def test_a_glue_version_and_a_guid_name_one_schema_for_good():
    whole = whole_intake(own_schemas())
    from datahub_poller.demo.samples import glue_frame
    from support.decoding import CHANGE_LOG_GUID, CHANGE_LOG_UUID, change_log, guid_name

    for bad in (glue_frame(CHANGE_LOG_UUID, change_log()[:-9]), guid_name(CHANGE_LOG_GUID) + change_log()[:-9]):
        verdict = whole.read(record(bad), 1.0)
        assert verdict.failure.kind == "not_avro"
    assert not whole.asking()


def test_other_bytes_at_the_same_place_are_another_record(world):
    """A topic that was deleted and made anew."""
    world.read(record(BAD))
    world.live(1.0)
    assert world.read(record(BAD)) == "not_avro"
    world.registry.names[KEY] = NEW
    assert world.read(record(GOOD[NEW])) == "Awaiting"
    world.live(1.0)
    assert world.read(record(GOOD[NEW])) == "event"


def test_more_refused_records_than_are_remembered_ask_again(world):
    for offset in range(RECORDS_KEPT + 1):
        world.intake._refused.settled_by(record(b"", offset), 1)
    assert world.intake._refused.number(record(b"", 0)) is None
    assert world.intake._refused.number(record(b"", RECORDS_KEPT)) == 1


def test_undecodable_records_that_are_held_are_asked_about_in_the_background(world):
    """The breaker holds them, and reads them again before each probe."""
    bad = record(BAD)
    world.read(bad)
    world.live(1.0)
    world.registry.names[KEY] = NEW
    assert world.read(bad) == "not_avro"
    world.live(1.0)
    assert world.schemas.changes == 1


def test_the_control_of_another_ids_question_tells_a_change_too(world):
    del world.registry.names[OTHER]
    lost = world.schemas.get(OTHER._replace(id=99), world.now)
    assert lost is None
    world.registry.names[KEY] = NEW
    world.live(5.0)
    assert world.schemas.changes == 1
    assert world.read(record(GOOD[NEW])) == "event"


ASPECT = [
    {"type": "event_type", "config": {"filter": {"MetadataChangeLogEvent_v1": {"event": [{"aspectName": "status"}]}}}}
]
URN = [
    {
        "type": "event_type",
        "config": {"filter": {"MetadataChangeLogEvent_v1": {"event": [{"entityUrn": "urn:li:dataset:a"}]}}},
    }
]


@pytest.mark.parametrize("filters", [ASPECT, URN], ids=["aspect", "urn"])
@pytest.mark.parametrize("before", ["auditHeader", "entityType", "aspectName"])
def test_a_filter_drops_nothing_that_another_schema_wrote(filters, before):
    """The new field stands before one that decides: read by the old schema, that is something else."""
    names = [field["name"] for field in json.loads(OLD)["fields"]]
    newer = with_field("tenant", names.index(before))
    world, fresh = World(filters), value(newer)
    assert world.read(record(GOOD[OLD])) == "event"
    world.registry.names[KEY] = newer
    each = record(fresh, 1)
    assert world.read(each) == "Awaiting"
    world.live(1.0)
    assert world.read(each) == "event"
    assert world.read(record(GOOD[OLD], 2)) == "event"
    assert world.read(record(value(OLD, aspectName="x", entityUrn="urn:li:dataset:b"), 3)) == "Skipped"


def test_fields_that_differ_are_named_by_their_paths_and_not_without_end(world):
    schema = json.loads(OLD)
    fields = {field["name"]: field for field in schema["fields"]}
    symbols = fields["changeType"]["type"]["symbols"]
    symbols[-1] = "MERGE"
    fields["entityType"]["type"] = "bytes"
    schema["fields"] = [field for field in schema["fields"] if field["name"] != "previousAspectValue"]
    schema["fields"] += [{"name": f"n{number}", "type": "long"} for number in range(40)]
    world.registry.names[KEY] = json.dumps(schema)
    world.read(record(BAD))
    world.live(1.0)
    (change,) = world.intake.changes()
    assert change.went[0] == "previousAspectValue"
    assert change.went[1].startswith("ChangeType.")
    assert change.came[0] == "n0"
    assert len(change.came) == 11
    assert change.came[-1].startswith("and 3")
    assert change.changed == ("entityType: string became bytes",)
    assert len(str(change)) < 3_000
