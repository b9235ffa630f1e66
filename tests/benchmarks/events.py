"""Distinct change events as a busy DataHub produces them, made by DataHub's own classes and schemas from a seed.

Owns the mix and the sizes: every hundred events hold each kind as often as SHARES says, in a shuffled order.
A command too, because importing DataHub's package is for a process that may end: events.py FILE --count N --seed S
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

TESTS = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[:1] = [str(TESTS), str(TESTS.parent / "poller"), str(TESTS.parent / "handler")]

from benchmarks import corpus  # noqa: E402 - found on the path set above
from support import datahub_events as made  # noqa: E402

models, NOW_MS = made.models, made.NOW_MS

SHARES: Final = {
    "entityChangeEvent": 32,
    "status": 16,
    "globalTags": 12,
    "datasetProperties": 11,
    "ownership": 9,
    "browsePathsV2": 9,
    "datasetProfile": 5,
    "glossaryTerms": 3,
    "schemaMetadata": 3,
}
"""Of a hundred events. All but the first and datasetProfile, a time series, are versioned change logs."""
UPDATES: Final = 0.4
"""The share of versioned change logs that carry the aspect's previous value."""
PLATFORMS: Final = ("snowflake", "bigquery", "redshift", "hive", "kafka", "postgres", "databricks")
_NAMES: Final = (
    "account address amount audience balance batch branch budget campaign carrier category channel city claim client "
    "contract cost coupon credit currency customer delivery device discount employee forecast fulfilment inventory "
    "invoice item ledger location margin merchant order parcel payment plan price product profile quota refund region "
    "return revenue score segment session shipment stock store supplier tariff tax ticket transfer vendor visit"
)
NAMES: Final = tuple(_NAMES.split())
TYPES: Final = (
    ("VARCHAR(16777216)", "StringTypeClass"),
    ("NUMBER(38,0)", "NumberTypeClass"),
    ("TIMESTAMP_NTZ(9)", "TimeTypeClass"),
    ("BOOLEAN", "BooleanTypeClass"),
    ("DATE", "DateTypeClass"),
)


def corpus_of(count: int, seed: int) -> corpus.Corpus:
    """So many events of this seed."""
    maker = Maker(seed)
    deck: list[str] = []
    entries = []
    for _ in range(count):
        if not deck:
            deck = [kind for kind, share in SHARES.items() for _ in range(share)]
            maker.chance.shuffle(deck)
        entries.append(maker.event(deck.pop()))
    return corpus.Corpus({name: made.schema_text(name) for name in made.SCHEMA_NAMES}, entries)


class Maker:
    """Values as people and their ingestion name them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._aspects: dict[str, Callable[[], Any]] = {
            "status": lambda: models.StatusClass(removed=self.chance.random() < 0.1),
            "globalTags": self.tags,
            "glossaryTerms": self.terms,
            "ownership": self.ownership,
            "datasetProperties": self.properties,
            "browsePathsV2": self.browse_path,
            "schemaMetadata": self.columns,
            "datasetProfile": self.profile,
        }

    def event(self, kind: str) -> corpus.Entry:
        """An event of a kind of SHARES."""
        if kind == "entityChangeEvent":
            return self.entity_change()
        return self.change_log(kind)

    # -- words

    def words(self, low: int, high: int, between: str = "_") -> str:
        return between.join(self.chance.choices(NAMES, k=self.chance.randint(low, high)))

    def dataset(self) -> str:
        name = f"{self.words(1, 1)}_{self.chance.choice(('prod', 'dev'))}.{self.words(1, 1)}.{self.words(2, 4)}"
        number = self.chance.randrange(10_000)
        return f"urn:li:dataset:(urn:li:dataPlatform:{self.chance.choice(PLATFORMS)},{name}_{number},PROD)"

    def user(self) -> str:
        return f"urn:li:corpuser:{self.words(2, 2, '.')}@example.com"

    def time(self) -> int:
        return NOW_MS + self.chance.randrange(10**9)

    def stamp(self) -> Any:
        return models.AuditStampClass(time=self.time(), actor=self.user())

    # -- aspects

    def tags(self) -> Any:
        tags = [f"urn:li:tag:{self.words(1, 3)}" for _ in range(self.chance.randint(1, 5))]
        return models.GlobalTagsClass(tags=[models.TagAssociationClass(tag=tag) for tag in tags])

    def terms(self) -> Any:
        terms = [f"urn:li:glossaryTerm:{self.words(2, 3, '.')}" for _ in range(self.chance.randint(1, 4))]
        associated = [models.GlossaryTermAssociationClass(urn=term) for term in terms]
        return models.GlossaryTermsClass(terms=associated, auditStamp=self.stamp())

    def ownership(self) -> Any:
        kinds = ("TECHNICAL_OWNER", "BUSINESS_OWNER", "DATA_STEWARD")
        count = self.chance.randint(1, 4)
        owners = [models.OwnerClass(owner=self.user(), type=self.chance.choice(kinds)) for _ in range(count)]
        return models.OwnershipClass(owners=owners, lastModified=self.stamp())

    def properties(self) -> Any:
        custom = {self.words(1, 2): self.words(1, 3) for _ in range(self.chance.randint(2, 12))}
        return models.DatasetPropertiesClass(
            name=self.words(2, 3),
            qualifiedName=self.words(3, 4, "."),
            description=self.words(5, 60, " "),
            customProperties=custom,
        )

    def browse_path(self) -> Any:
        def entry() -> Any:
            urn = f"urn:li:container:{self.chance.getrandbits(128):032x}"
            return models.BrowsePathEntryClass(id=urn, urn=urn)

        return models.BrowsePathsV2Class(path=[entry() for _ in range(self.chance.randint(2, 4))])

    def columns(self) -> Any:
        """Tables of 20 to 200 columns, small ones more often than wide ones."""
        count = round(20 * 10 ** self.chance.random())
        return models.SchemaMetadataClass(
            schemaName=self.words(2, 4, "."),
            platform=f"urn:li:dataPlatform:{self.chance.choice(PLATFORMS)}",
            version=0,
            hash="",
            platformSchema=models.OtherSchemaClass(rawSchema=""),
            fields=[self.column(number) for number in range(count)],
            created=self.stamp(),
            lastModified=self.stamp(),
        )

    def column(self, number: int) -> Any:
        native, kind = self.chance.choice(TYPES)
        return models.SchemaFieldClass(
            fieldPath=f"{self.words(1, 3)}_{number}",
            type=models.SchemaFieldDataTypeClass(type=getattr(models, kind)()),
            nativeDataType=native,
            nullable=self.chance.random() < 0.7,
            recursive=False,
            isPartOfKey=number == 0,
            description=self.words(3, 14, " ") if self.chance.random() < 0.6 else None,
            globalTags=self.tags() if self.chance.random() < 0.1 else None,
        )

    def profile(self) -> Any:
        rows = self.chance.randrange(1, 10**7)
        fields = [self.column_profile(number, rows) for number in range(self.chance.randint(5, 50))]
        return models.DatasetProfileClass(
            timestampMillis=self.time(),
            partitionSpec=models.PartitionSpecClass(partition="FULL_TABLE_SNAPSHOT", type="FULL_TABLE"),
            rowCount=rows,
            columnCount=len(fields),
            fieldProfiles=fields,
        )

    def column_profile(self, number: int, rows: int) -> Any:
        return models.DatasetFieldProfileClass(
            fieldPath=f"{self.words(1, 3)}_{number}",
            uniqueCount=self.chance.randrange(rows),
            uniqueProportion=self.chance.random(),
            nullCount=self.chance.randrange(rows),
            nullProportion=self.chance.random(),
            min=str(self.chance.random()),
            max=str(self.chance.random() * 1e6),
            mean=str(self.chance.random() * 1e3),
            sampleValues=[self.words(1, 2) for _ in range(self.chance.randrange(4))],
        )

    # -- records

    def change_log(self, aspect_name: str) -> corpus.Entry:
        make = self._aspects[aspect_name]
        timeseries = aspect_name == "datasetProfile"
        updated = not timeseries and self.chance.random() < UPDATES
        urn = self.dataset()
        log = models.MetadataChangeLogClass(
            entityType="dataset",
            entityUrn=urn,
            changeType="RESTATE" if self.chance.random() < 0.02 else "UPSERT",
            aspectName=aspect_name,
            aspect=generic(make()),
            systemMetadata=self.system_metadata(),
            previousAspectValue=generic(make()) if updated else None,
            previousSystemMetadata=self.system_metadata() if updated else None,
            created=self.stamp(),
        )
        topic = made.TIMESERIES if timeseries else made.VERSIONED
        return corpus.Entry(topic, urn.encode(), made.encode("MetadataChangeLog", log.to_obj(tuples=True)))

    def system_metadata(self) -> Any:
        platform = self.chance.choice(PLATFORMS)
        return models.SystemMetadataClass(
            lastObserved=self.time(),
            runId=f"{platform}-2026_02_{self.chance.randint(10, 28)}-06_00_00-{self.chance.getrandbits(24):06x}",
            pipelineName=f"urn:li:dataHubIngestionSource:{self.chance.getrandbits(128):032x}",
            properties={"clientId": "acryl-datahub", "clientVersion": "1.7.0"},
            version=str(self.chance.randint(1, 40)),
            aspectCreated=self.stamp(),
            aspectModified=self.stamp(),
        )

    def entity_change(self) -> corpus.Entry:
        urn = self.dataset()
        what = self.chance.choice((self.associated, self.associated, self.column_changed, self.plain_change))
        body: dict[str, Any] = {"entityUrn": urn, "entityType": "dataset", **what(urn)}
        body |= {"auditStamp": {"time": self.time(), "actor": self.user()}, "version": 0}
        payload = json.dumps(body, separators=(",", ":")).encode()
        key = f"entityChangeEvent-{urn}".encode()
        return corpus.Entry(made.PLATFORM, key, made.platform_event("entityChangeEvent", payload))

    def associated(self, urn: str) -> dict[str, Any]:
        category, parameter, modifier = self.chance.choice(
            (
                ("TAG", "tagUrn", f"urn:li:tag:{self.words(1, 3)}"),
                ("GLOSSARY_TERM", "termUrn", f"urn:li:glossaryTerm:{self.words(2, 3, '.')}"),
                ("OWNER", "ownerUrn", self.user()),
            )
        )
        operation = self.chance.choice(("ADD", "ADD", "REMOVE"))
        parameters = {parameter: modifier}
        return {"category": category, "operation": operation, "modifier": modifier, "parameters": parameters}

    def column_changed(self, urn: str) -> dict[str, Any]:
        path = self.words(1, 3)
        column = f"urn:li:schemaField:({urn},{path})"
        parameters = {"fieldPath": path, "fieldUrn": column, "nullable": self.chance.random() < 0.7}
        return {"category": "TECHNICAL_SCHEMA", "operation": "ADD", "modifier": column, "parameters": parameters}

    def plain_change(self, urn: str) -> dict[str, Any]:
        category, operation = self.chance.choice((("DOCUMENTATION", "MODIFY"), ("LIFECYCLE", "CREATE")))
        return {"category": category, "operation": operation}


def generic(aspect: Any) -> Any:
    """An aspect as JSON in bytes, which is how change logs carry it."""
    text = json.dumps(made.pre_json_transform(aspect.to_obj()), separators=(",", ":"))
    return models.GenericAspectClass(value=text.encode(), contentType="application/json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    corpus.write(options.file, corpus_of(options.count, options.seed))


if __name__ == "__main__":
    main()
