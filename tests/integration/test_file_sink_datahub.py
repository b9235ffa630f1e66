"""The lines that the file sink writes, read by DataHub Actions' own reader."""

import json
import warnings

import pytest

from datahub_poller.deadletter.file import FileSink
from datahub_poller.deadletter.file_names import normalised
from support.letters import event_letter, undecodable_letter

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs, at import
    from datahub.metadata import schema_classes as classes
    from datahub_actions.event.event_envelope import EventEnvelope
    from datahub_actions.event.event_registry import EntityChangeEvent, MetadataChangeLogEvent, RelationshipChangeEvent
    from datahub_actions.pipeline.pipeline_util import normalize_directory_name

pytestmark = pytest.mark.filterwarnings("ignore")

STAMP = classes.AuditStampClass(time=1_700_000_000_000, actor="urn:li:corpuser:jdoe")


def entity_change():
    event = EntityChangeEvent.from_class(
        classes.EntityChangeEventClass(
            entityType="dataset",
            entityUrn="urn:li:dataset:(urn:li:dataPlatform:hive,größe \u2028 𝄞,PROD)",
            category="TAG",
            operation="ADD",
            modifier="urn:li:tag:pii",
            auditStamp=STAMP,
            version=0,
        )
    )
    event._inner_dict["__parameters_json"] = {"tagUrn": "urn:li:tag:pii", "deep": [{"n": 2**70}]}
    return "EntityChangeEvent_v1", event


def relationship_change():
    event = classes.RelationshipChangeEventClass(
        sourceUrn="urn:li:dataset:a",
        destinationUrn="urn:li:dataset:b",
        operation=classes.RelationshipChangeOperationClass.ADD,
        relationshipType="DownstreamOf",
        auditStamp=STAMP,
        properties={"a": "b"},
    )
    return "RelationshipChangeEvent_v1", RelationshipChangeEvent.from_class(event)


def change_log():
    event = classes.MetadataChangeLogClass(
        entityType="dataset",
        changeType=classes.ChangeTypeClass.UPSERT,
        entityUrn="urn:li:dataset:a",
        aspectName="status",
        aspect=classes.GenericAspectClass(value=b'{"removed":false}', contentType="application/json"),
        previousAspectValue=classes.GenericAspectClass(value=b'{"removed":true}', contentType="application/json"),
        systemMetadata=classes.SystemMetadataClass(lastObserved=1, runId="r", properties={"x": "y"}),
        created=STAMP,
    )
    return "MetadataChangeLogEvent_v1", MetadataChangeLogEvent.from_class(event)


@pytest.mark.parametrize("make", [entity_change, relationship_change, change_log])
def test_an_events_letter_is_read_back_as_the_event_by_datahub_actions(make, tmp_path):
    event_type, event = make()
    envelope = {"event_type": event_type, "event": json.loads(event.as_json()), "meta": {"kafka": {}}}
    sink = FileSink(tmp_path, "Tag Sync.v2", rotate=1)
    sink.check()
    sink.write([undecodable_letter(6), event_letter(7, event=envelope), event_letter(8, event=envelope)])
    sink.write([event_letter(9, event=envelope)])
    directory = tmp_path / normalize_directory_name("Tag Sync.v2")
    files = [path for path in sorted(directory.iterdir()) if path.name.startswith("failed_events")]
    assert len(files) == 2
    lines = [line for path in files for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    for offset, line in zip((7, 8, 9), lines, strict=True):
        read = EventEnvelope.from_json(line)
        assert read.event_type == event_type
        assert type(read.event) is type(event)
        assert read.event == event
        assert json.loads(read.event.as_json()) == json.loads(event.as_json())
        assert read.meta["kafka"]["topic"] == "PlatformEvent_v1"
        assert (read.meta["kafka"]["partition"], read.meta["kafka"]["offset"]) == (0, offset)


def test_a_letter_stands_beside_the_lines_of_datahub_actions_itself(tmp_path):
    event_type, event = entity_change()
    theirs = EventEnvelope(event_type, event, {"kafka": {"topic": "t", "offset": 1, "partition": 0}})
    log = tmp_path / "both" / "failed_events.log"
    log.parent.mkdir()
    log.write_text(theirs.as_json() + "\n", encoding="utf-8")
    envelope = {"event_type": event_type, "event": json.loads(event.as_json())}
    FileSink(tmp_path, "both").write([event_letter(2, event=envelope)])
    first, second = [EventEnvelope.from_json(line) for line in log.read_text(encoding="utf-8").split("\n")[:-1]]
    assert first.event == second.event == event


@pytest.mark.parametrize("name", ["tag-sync", "Tag Sync.v2", "../x", "a/b:c", "Größe ẞ", "x\n\t", "İ", "ǅ-1"])
def test_names_are_normalised_as_datahub_actions_does(name):
    assert normalised(name) == normalize_directory_name(name)
