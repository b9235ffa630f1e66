"""The made-up company behind the sample events: its tables, its people, and what DataHub knows of them so far.

Keeps the current content of every aspect, so that a change log carries what was there before, as DataHub's do.
What happens is decided in `story`; this module knows how it is reported.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from datahub_poller.demo.samples import (
    TIMESERIES_TOPIC,
    Sample,
    entity_change,
    metadata_change_log,
    relationship_change,
)

BEGINNING_MS: Final = 1_772_438_400_000
PEOPLE: Final = (
    "urn:li:corpuser:ana.lopez",
    "urn:li:corpuser:bo.lindqvist",
    "urn:li:corpuser:chidi.okafor",
    "urn:li:corpuser:dana.weiss",
    "urn:li:corpuser:emi.tanaka",
)
_TYPES: Final = (("String", "VARCHAR"), ("Number", "NUMBER(38,0)"), ("Boolean", "BOOLEAN"), ("Date", "DATE"))


def table_urn(platform: str, name: str) -> str:
    """DataHub's name of a table in production."""
    return f"urn:li:dataset:(urn:li:dataPlatform:{platform},{name},PROD)"


@dataclass
class Table:
    """A table, and what DataHub knows of it: by aspect, the newest content and how often it was written."""

    platform: str
    name: str
    columns: list[str] = field(default_factory=list)
    aspects: dict[str, dict[str, Any]] = field(default_factory=dict)
    systems: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    @property
    def urn(self) -> str:
        """Its name in DataHub."""
        return table_urn(self.platform, self.name)


class World:
    """The state of the story. `now` is in milliseconds since the epoch, moved on by the story."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = BEGINNING_MS
        self.tables: list[Table] = []

    def person(self) -> str:
        """Someone who clicks in DataHub."""
        return self.chance.choice(PEOPLE)

    def robot(self, table: Table) -> str:
        """The ingestion of the table's platform."""
        return f"urn:li:corpuser:{table.platform}-ingestion"

    def stamp(self, actor: str) -> dict[str, Any]:
        """An audit stamp of this moment."""
        return {"time": self.now, "actor": actor}

    def log(
        self,
        table: Table,
        aspect: str,
        value: dict[str, Any] | None,
        actor: str | None = None,
        *,
        change: str = "UPSERT",
        **others: Any,
    ) -> Sample:
        """The aspect's change log, with what was there before; without an actor it came by ingestion."""
        who = self.robot(table) if actor is None else actor
        version = table.versions[aspect] = table.versions.get(aspect, 0) + 1
        system = {
            "lastObserved": self.now,
            "runId": f"{table.platform}-{self.now}" if actor is None else "no-run-id-provided",
            "properties": {"appSource": "ingestion" if actor is None else "ui"},
            "version": str(version),
            "aspectModified": self.stamp(who),
        }
        before, before_system = table.aspects.pop(aspect, None), table.systems.pop(aspect, None)
        if value is not None:
            table.aspects[aspect], table.systems[aspect] = value, system
        return metadata_change_log(
            table.urn,
            aspect,
            value,
            change=change,
            systemMetadata=system,
            previousAspectValue=before,
            previousSystemMetadata=before_system,
            created=self.stamp(who),
            **others,
        )

    def measured(self, urn: str, aspect: str, value: Mapping[str, Any], actor: str) -> Sample:
        """A point of a time series."""
        system = {"lastObserved": self.now, "runId": f"profile-{self.now}"}
        return metadata_change_log(
            urn, aspect, value, topic=TIMESERIES_TOPIC, systemMetadata=system, created=self.stamp(actor)
        )

    def change(
        self,
        urn: str,
        category: str,
        operation: str,
        actor: str,
        modifier: str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Sample:
        """An entity change event; what is None is left out, as DataHub does."""
        event: dict[str, Any] = {"entityUrn": urn, "entityType": urn.split(":")[2]}
        event |= {"category": category, "operation": operation}
        event |= {} if modifier is None else {"modifier": modifier}
        event |= {} if parameters is None else {"parameters": dict(parameters)}
        return entity_change(event | {"auditStamp": self.stamp(actor), "version": 0})

    def edge(self, source: str, destination: str, operation: str, kind: str, actor: str, **others: Any) -> Sample:
        """A relationship change event."""
        ends = {"sourceUrn": source, "destinationUrn": destination}
        what = {"operation": operation, "relationshipType": kind, "auditStamp": self.stamp(actor)}
        return relationship_change(ends | what | others)

    def column(self, table: Table, name: str) -> Sample:
        """The event that a column was added."""
        urn = f"urn:li:schemaField:({table.urn},{name})"
        parameters = {"fieldUrn": urn, "fieldPath": name, "nullable": name != "id"}
        return self.change(table.urn, "TECHNICAL_SCHEMA", "ADD", self.robot(table), urn, parameters)

    def schema(self, table: Table) -> dict[str, Any]:
        """The content of the table's schemaMetadata."""
        return {
            "schemaName": table.name,
            "platform": f"urn:li:dataPlatform:{table.platform}",
            "version": 0,
            "hash": "",
            "platformSchema": {"com.linkedin.schema.OtherSchema": {"rawSchema": ""}},
            "fields": [_field(name) for name in table.columns],
        }


def _field(name: str) -> dict[str, Any]:
    kind, native = _TYPES[len(name) % len(_TYPES)]
    return {
        "fieldPath": name,
        "nullable": name != "id",
        "type": {"type": {f"com.linkedin.schema.{kind}Type": {}}},
        "nativeDataType": native,
        "recursive": False,
    }
