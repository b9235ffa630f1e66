"""Seeded events made by DataHub's own classes and written by DataHub's own Avro schemas.

What parity is measured on: the poller has no part in making them. Importing this module imports acryl-datahub,
which takes seconds; its warnings about its own dependencies stay here.
"""

from __future__ import annotations

import io
import json
import random
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fastavro

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from datahub.emitter.serialization_helper import pre_json_transform
    from datahub.metadata import schema_classes as models
    from datahub.metadata import schemas as datahub_schemas

VERSIONED = "MetadataChangeLog_Versioned_v1"
TIMESERIES = "MetadataChangeLog_Timeseries_v1"
PLATFORM = "PlatformEvent_v1"
SCHEMA_NAMES = ("MetadataChangeLog", "PlatformEvent")
NOW_MS = 1_772_000_000_000

_WORDS = (
    "order",
    "customer",
    "invoice",
    "session",
    "price",
    "country",
    "größe",
    "売上",
    "naïve",
    "🙂",
    'a"b',
    "a\\b",
    "a\tb",
)
_PLATFORMS = ("snowflake", "bigquery", "hive", "kafka", "postgres")
_ENTITY_TYPES = ("dataset", "chart", "dashboard", "dataFlow", "dataJob", "container", "domain", "glossaryTerm")


class Made(NamedTuple):
    """A record as GMS would produce it, without framing. `schema` is one of SCHEMA_NAMES."""

    topic: str
    key: bytes
    body: bytes
    schema: str


def schema_text(name: str) -> str:
    """DataHub's own .avsc."""
    return (Path(datahub_schemas.__file__).parent / f"{name}.avsc").read_text()


_PARSED = {name: fastavro.parse_schema(json.loads(schema_text(name))) for name in SCHEMA_NAMES}


def encode(name: str, datum: Any) -> bytes:
    """Bare Avro bytes by one of DataHub's schemas; `datum` in fastavro's form."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _PARSED[name], datum)
    return out.getvalue()


def platform_event(name: str, payload: bytes) -> bytes:
    """The Avro bytes of a PlatformEvent with this payload."""
    event = models.PlatformEventClass(
        header=models.PlatformEventHeaderClass(timestampMillis=NOW_MS),
        name=name,
        payload=models.GenericPayloadClass(value=payload, contentType="application/json"),
    )
    return encode("PlatformEvent", event.to_obj(tuples=True))


def entity_changes(count: int, seed: int = 1) -> Iterator[Made]:
    """Entity change events of every category that DataHub's documentation and GMS know."""
    maker = _Maker(seed)
    for index in range(count):
        body = maker.entity_change(index)
        payload = json.dumps(body, ensure_ascii=bool(index % 3)).encode()
        key = f"entityChangeEvent-{body['entityUrn']}".encode()
        yield Made(PLATFORM, key, platform_event("entityChangeEvent", payload), "PlatformEvent")


def relationship_changes(count: int, seed: int = 2) -> Iterator[Made]:
    """Relationship change events, serialized by DataHub's class."""
    maker = _Maker(seed)
    for _ in range(count):
        event = maker.relationship_change()
        payload = json.dumps(event.to_obj()).encode()
        key = f"relationshipChangeEvent-{event.sourceUrn}".encode()
        yield Made(PLATFORM, key, platform_event("relationshipChangeEvent", payload), "PlatformEvent")


def versioned_changes(count: int, seed: int = 3, *, audit_headers: bool = False) -> Iterator[Made]:
    """Change logs of versioned aspects: with and without previous values, deletions, keys, headers."""
    maker = _Maker(seed)
    for _ in range(count):
        yield maker.change_log(VERSIONED, maker.versioned_aspect(), audit_header=audit_headers)


def timeseries_changes(count: int, seed: int = 4, *, audit_headers: bool = False) -> Iterator[Made]:
    """Change logs of time series aspects."""
    maker = _Maker(seed)
    for _ in range(count):
        yield maker.change_log(TIMESERIES, maker.timeseries_aspect(), audit_header=audit_headers)


class _Maker:
    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def maybe(self, share: float = 0.5) -> bool:
        return self.chance.random() < share

    def or_none(self, make: Callable[[], Any], share: float = 0.5) -> Any:
        return make() if self.maybe(share) else None

    def name(self, words: int = 2) -> str:
        return "_".join(self.chance.choice(_WORDS) for _ in range(words))

    def number(self) -> int:
        return self.chance.choice([0, 1, -1, self.chance.randrange(10**6), 2**53 + 1, 2**63 - 1, -(2**63)])

    def dataset(self) -> str:
        return f"urn:li:dataset:(urn:li:dataPlatform:{self.chance.choice(_PLATFORMS)},prod.{self.name()},PROD)"

    def user(self) -> str:
        return f"urn:li:corpuser:{self.name(1)}@example.com"

    def stamp(self) -> models.AuditStampClass:
        return models.AuditStampClass(
            time=NOW_MS + self.chance.randrange(10**9),
            actor=self.user(),
            impersonator=self.or_none(self.user, 0.3),
            message=self.or_none(lambda: self.name(3), 0.3),
        )

    # -- entity change events

    def entity_change(self, index: int) -> dict[str, Any]:
        shapes = [self._tag, self._term, self._owner, self._column, self._property, self._lifecycle, self._run]
        shapes += [self._deprecation, self._documentation, self._proposal, self._odd, self._other]
        entity_type = self.chance.choice(_ENTITY_TYPES)
        urn = self.dataset() if entity_type == "dataset" else f"urn:li:{entity_type}:{self.name()}"
        body: dict[str, Any] = {"entityUrn": urn, "entityType": entity_type}
        body |= shapes[index % len(shapes)](urn)
        body |= {"auditStamp": self.stamp().to_obj(), "version": 0}
        if self.maybe(0.1):
            body["auditStamp"] |= {"message": None, "unknownStampField": {"a": 1}}
        if self.maybe(0.1):
            body |= {"somethingNew": [1, {"x": None}], "__parameters_json": {"no": 1}}
        items = list(body.items())
        self.chance.shuffle(items)
        return dict(items)

    def _associated(self, category: str, kind: str, key: str) -> dict[str, Any]:
        what = f"urn:li:{kind}:{self.name()}"
        body = {"category": category, "operation": self.chance.choice(["ADD", "REMOVE"]), "modifier": what}
        parameters = {key: what}
        if self.maybe():
            parameters |= {"fieldPath": self.name(), "parentUrn": self.dataset()}
        return body | {"parameters": parameters}

    def _tag(self, urn: str) -> dict[str, Any]:
        return self._associated("TAG", "tag", "tagUrn")

    def _term(self, urn: str) -> dict[str, Any]:
        return self._associated("GLOSSARY_TERM", "glossaryTerm", "termUrn")

    def _owner(self, urn: str) -> dict[str, Any]:
        body = self._associated(self.chance.choice(["OWNER", "OWNERSHIP"]), "corpuser", "ownerUrn")
        body["parameters"]["ownerType"] = "TECHNICAL_OWNER"
        return body

    def _column(self, urn: str) -> dict[str, Any]:
        path = self.name()
        column = f"urn:li:schemaField:({urn},{path})"
        parameters = {"fieldPath": path, "fieldUrn": column, "nullable": self.maybe()}
        operation = self.chance.choice(["ADD", "REMOVE"])
        return {"category": "TECHNICAL_SCHEMA", "operation": operation, "modifier": column, "parameters": parameters}

    def _property(self, urn: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "category": "STRUCTURED_PROPERTY",
            "modifier": f"urn:li:structuredProperty:{self.name()}",
        }
        if self.maybe(0.3):
            return body | {"operation": "REMOVE"}
        values = json.dumps([{"string": self.name()}, {"double": self.chance.random()}])
        parameters = {"propertyUrn": body["modifier"], "propertyValues": values}
        return body | {"operation": self.chance.choice(["ADD", "MODIFY"]), "parameters": parameters}

    def _lifecycle(self, urn: str) -> dict[str, Any]:
        body = {"category": "LIFECYCLE", "operation": self.chance.choice(["CREATE", "SOFT_DELETE", "HARD_DELETE"])}
        return body | ({"modifier": None, "parameters": None} if self.maybe(0.3) else {})

    def _run(self, urn: str) -> dict[str, Any]:
        result = self.chance.choice(["SUCCESS", "FAILURE", "SKIPPED", "UP_FOR_RETRY"])
        parameters: dict[str, Any] = {"runResult": result, "runId": self.name(), "attempt": self.chance.randrange(5)}
        parameters |= {"asserteeUrn": urn} if self.maybe() else {"dataJobUrn": f"urn:li:dataJob:{self.name()}"}
        return {"category": "RUN", "operation": self.chance.choice(["STARTED", "COMPLETED"]), "parameters": parameters}

    def _deprecation(self, urn: str) -> dict[str, Any]:
        status = self.chance.choice(["DEPRECATED", "ACTIVE"])
        parameters = {"status": status}
        return {"category": "DEPRECATION", "operation": "MODIFY", "modifier": status, "parameters": parameters}

    def _documentation(self, urn: str) -> dict[str, Any]:
        return {"category": "DOCUMENTATION", "operation": "MODIFY", "parameters": {"description": self.name(8)}}

    def _proposal(self, urn: str) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "actionRequestType": self.chance.choice(["TAG_ASSOCIATION", "CREATE_GLOSSARY_TERM", "UPDATE_DESCRIPTION"]),
            "actionRequestStatus": "PENDING",
            "resourceUrn": urn,
            "resourceType": "dataset",
            "subResource": self.or_none(self.name),
            "owners": json.dumps([{"owner": self.user(), "type": "TECHNICAL_OWNER"}]),
            "description": self.name(5),
        }
        return {
            "category": "LIFECYCLE",
            "operation": self.chance.choice(["CREATE", "PENDING"]),
            "parameters": parameters,
        }

    def _odd(self, urn: str) -> dict[str, Any]:
        """Parameters that nobody sends today: nested, of every JSON type, empty, and numbers at the edges."""
        kinds: list[Any] = [{}, [], "", 0, None, "text", [1, "x"], 7, True, {"list": [{"deep": [None, {"x": 1.5}]}]}]
        kinds += [{"big": 2**64, "bigger": -(10**30), "nested": {"big": 2**70}}, {"null": None}, {"f": 0.1 + 0.2}]
        kinds += [{"map": {"a": "b"}}, {"com.linkedin.common.Urn": {"a": 1}}, {"huge": 1e308, "tiny": 5e-324}]
        return {"category": "TAG", "operation": "ADD", "parameters": self.chance.choice(kinds)}

    def _other(self, urn: str) -> dict[str, Any]:
        categories = "DOMAIN BUSINESS_ATTRIBUTE APPLICATION PARENT RELATED_ENTITIES ASSET_MEMBERSHIP SOMETHING_NEW"
        operation = self.chance.choice(["ADD", "REMOVE", "MODIFY", "REINSTATE"])
        return {"category": self.chance.choice(categories.split()), "operation": operation, "modifier": self.name()}

    # -- relationship change events

    def relationship_change(self) -> models.RelationshipChangeEventClass:
        return models.RelationshipChangeEventClass(
            sourceUrn=self.dataset(),
            destinationUrn=self.dataset(),
            operation=self.chance.choice(["ADD", "REMOVE", "RESTATE"]),
            relationshipType=self.chance.choice(["DownstreamOf", "Contains", "OwnedBy", "DerivedFrom"]),
            lifecycleOwner=self.or_none(self.dataset),
            via=self.or_none(self.user),
            properties=self.or_none(self.texts),
            auditStamp=self.stamp(),
        )

    def texts(self) -> dict[str, str]:
        return {self.name(): self.name(3) for _ in range(self.chance.randrange(4))}

    # -- metadata change logs

    def change_log(self, topic: str, named: tuple[str, Any], *, audit_header: bool) -> Made:
        aspect_name, aspect = named
        deleted = topic == VERSIONED and self.maybe(0.1)
        updated = topic == VERSIONED and (deleted or self.maybe(0.4))
        key = models.DatasetKeyClass(platform="urn:li:dataPlatform:hive", name=self.name(), origin="PROD")
        change_type = (
            "DELETE" if deleted else self.chance.choice(["UPSERT"] * 6 + ["CREATE", "RESTATE", "CREATE_ENTITY"])
        )
        urn = self.or_none(self.dataset, 0.95)
        log = models.MetadataChangeLogClass(
            auditHeader=self.audit_header() if audit_header else None,
            entityType="dataset",
            entityUrn=urn,
            entityKeyAspect=self.or_none(lambda: self.generic(key), 0.2),
            changeType=change_type,
            aspectName=self.or_none(lambda: aspect_name, 0.98),
            aspect=None if deleted else self.generic(aspect),
            systemMetadata=self.or_none(self.system_metadata, 0.9),
            headers=self.or_none(self.texts, 0.3),
            previousAspectValue=self.generic(aspect) if updated else None,
            previousSystemMetadata=self.system_metadata() if updated else None,
            created=self.or_none(self.stamp, 0.9),
        )
        datum = log.to_obj(tuples=True)
        return Made(topic, (urn or "").encode(), encode("MetadataChangeLog", datum), "MetadataChangeLog")

    def audit_header(self) -> models.KafkaAuditHeaderClass:
        return models.KafkaAuditHeaderClass(
            time=NOW_MS,
            server="gms-0",
            appName="gms",
            messageId=uuid.UUID(int=self.chance.getrandbits(128)).bytes,
            instance=self.or_none(self.name),
            auditVersion=self.or_none(lambda: 1),
        )

    def generic(self, aspect: Any) -> models.GenericAspectClass:
        value = json.dumps(pre_json_transform(aspect.to_obj()), ensure_ascii=self.maybe()).encode()
        return models.GenericAspectClass(value=value, contentType="application/json")

    def system_metadata(self) -> models.SystemMetadataClass:
        made = models.SystemMetadataClass(
            lastObserved=NOW_MS,
            runId=self.name(),
            lastRunId=self.or_none(self.name),
            pipelineName=self.or_none(self.name),
            registryName=self.or_none(self.name),
            registryVersion=self.or_none(lambda: "0.0.0.0-dev"),
            properties=self.or_none(self.texts),
            version=self.or_none(lambda: str(self.chance.randrange(40))),
            schemaVersion=self.or_none(self.number),
            aspectCreated=self.or_none(self.stamp),
            aspectModified=self.or_none(self.stamp),
        )
        if self.maybe(0.1):  # nulls on the wire, where the class would put its defaults
            made._inner_dict |= {"lastObserved": None, "runId": None}
        return made

    def versioned_aspect(self) -> tuple[str, Any]:
        tags = [models.TagAssociationClass(tag=f"urn:li:tag:{self.name()}") for _ in range(self.chance.randrange(4))]
        owners = [models.OwnerClass(owner=self.user(), type="TECHNICAL_OWNER") for _ in range(self.chance.randrange(3))]
        stamp = self.stamp()
        return self.chance.choice(
            [
                ("status", models.StatusClass(removed=self.maybe())),
                ("globalTags", models.GlobalTagsClass(tags=tags)),
                ("ownership", models.OwnershipClass(owners=owners, lastModified=stamp)),
                ("datasetProperties", self.properties()),
                ("schemaMetadata", self.schema_metadata()),
                ("datasetKey", models.DatasetKeyClass(platform="urn:li:dataPlatform:hive", name="n", origin="PROD")),
            ]
        )

    def properties(self) -> models.DatasetPropertiesClass:
        return models.DatasetPropertiesClass(name=self.name(), description=self.name(20), customProperties=self.texts())

    def schema_metadata(self) -> models.SchemaMetadataClass:
        fields = [
            models.SchemaFieldClass(
                fieldPath=f"{self.name()}_{index}",
                type=models.SchemaFieldDataTypeClass(type=models.StringTypeClass()),
                nativeDataType="VARCHAR",
            )
            for index in range(self.chance.randrange(1, 12))
        ]
        return models.SchemaMetadataClass(
            schemaName=self.name(),
            platform="urn:li:dataPlatform:snowflake",
            version=0,
            hash="",
            platformSchema=models.OtherSchemaClass(rawSchema=""),
            fields=fields,
        )

    def timeseries_aspect(self) -> tuple[str, Any]:
        at = NOW_MS + self.chance.randrange(10**9)
        profile = models.DatasetProfileClass(
            timestampMillis=at,
            rowCount=self.chance.randrange(10**7),
            fieldProfiles=[
                models.DatasetFieldProfileClass(fieldPath=self.name(), uniqueProportion=self.chance.random())
                for _ in range(self.chance.randrange(6))
            ],
        )
        operation = models.OperationClass(timestampMillis=at, operationType="INSERT", lastUpdatedTimestamp=at)
        usage = models.DatasetUsageStatisticsClass(timestampMillis=at, totalSqlQueries=self.chance.randrange(100))
        return self.chance.choice(
            [("datasetProfile", profile), ("operation", operation), ("datasetUsageStatistics", usage)]
        )
