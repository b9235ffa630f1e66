"""The fields of DataHub's three event types, as far as a filter can be wrong about them. Pure: tables.

Enumerations are open unless `closed`: DataHub adds to them, and forks have their own. Of an open one only another
spelling of a known value is surely wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from datahub_poller.filter_shape import ENTITY_CHANGE, METADATA_CHANGE_LOG, RELATIONSHIP_CHANGE


class Text(NamedTuple):
    """Text. `words` are values in DataHub's spelling, `instead` what its pages say and its server does not write."""

    words: str = ""
    closed: bool = False
    urn: bool = False
    instead: Mapping[str, str] = MappingProxyType({})

    @property
    def known(self) -> list[str]:
        """The values one by one."""
        return self.words.split()


class Whole(NamedTuple):
    """A whole number."""


class Texts(NamedTuple):
    """A map of texts with any keys."""


class Anything(NamedTuple):
    """JSON of any form."""


class Fields(NamedTuple):
    """A map with these fields."""

    fields: Mapping[str, Kind]


Kind = Text | Whole | Texts | Anything | Fields

_TEXT: Final = Text()
_URN: Final = Text(urn=True)
_ENTITY_TYPES: Final = Text(
    "application assertion businessAttribute chart container corpGroup corpuser dashboard dataContract dataFlow "
    "dataHubExecutionRequest dataHubIngestionSource dataHubPolicy dataHubRole dataJob dataPlatform "
    "dataPlatformInstance dataProcessInstance dataProduct dataset domain form glossaryNode glossaryTerm incident "
    "mlFeature mlFeatureTable mlModel mlModelDeployment mlModelGroup mlPrimaryKey notebook post query role "
    "schemaField structuredProperty tag test versionSet"
)
_ASPECT_NAMES: Final = Text(
    "assertionInfo assertionRunEvent browsePaths browsePathsV2 chartInfo container containerProperties "
    "corpUserInfo dashboardInfo dataFlowInfo dataJobInfo dataJobInputOutput dataPlatformInstance "
    "dataProcessInstanceRunEvent datasetProfile datasetProperties datasetUsageStatistics deprecation domains "
    "editableDatasetProperties editableSchemaMetadata globalTags glossaryTermInfo glossaryTerms "
    "institutionalMemory operation ownership schemaMetadata status structuredProperties subTypes tagProperties "
    "upstreamLineage"
)
_AUDIT_STAMP: Final = Fields({"time": Whole(), "actor": _TEXT, "impersonator": _TEXT, "message": _TEXT})
_AUDIT_HEADER: Final = Fields(
    {
        "time": Whole(),
        "server": _TEXT,
        "instance": _TEXT,
        "appName": _TEXT,
        "messageId": _TEXT,
        "auditVersion": Whole(),
        "fabricUrn": _TEXT,
        "clusterConnectionString": _TEXT,
    }
)
_ASPECT: Final = Fields({"value": Anything(), "contentType": _TEXT})
_SYSTEM_METADATA: Final = Fields(
    {
        "lastObserved": Whole(),
        "runId": _TEXT,
        "lastRunId": _TEXT,
        "pipelineName": _TEXT,
        "registryName": _TEXT,
        "registryVersion": _TEXT,
        "properties": Texts(),
        "version": _TEXT,
        "schemaVersion": Whole(),
        "aspectCreated": _AUDIT_STAMP,
        "aspectModified": _AUDIT_STAMP,
    }
)

FIELDS: Final[Mapping[str, Mapping[str, Kind]]] = {
    ENTITY_CHANGE: {
        "entityType": _ENTITY_TYPES,
        "entityUrn": _URN,
        "category": Text(
            "APPLICATION ASSET_MEMBERSHIP BUSINESS_ATTRIBUTE DEPRECATION DOCUMENTATION DOMAIN GLOSSARY_TERM "
            "LIFECYCLE OWNERSHIP PARENT RELATED_ENTITIES RUN STRUCTURED_PROPERTY TAG TECHNICAL_SCHEMA",
            instead={"OWNER": "OWNERSHIP"},
        ),
        "operation": Text("ADD COMPLETED CREATE HARD_DELETE MODIFY REINSTATE REMOVE SOFT_DELETE STARTED"),
        "modifier": _TEXT,
        "auditStamp": _AUDIT_STAMP,
        "version": Whole(),
        "parameters": Anything(),
    },
    RELATIONSHIP_CHANGE: {
        "auditHeader": _AUDIT_HEADER,
        "sourceUrn": _URN,
        "destinationUrn": _URN,
        "operation": Text("ADD REMOVE RESTATE", closed=True),
        "relationshipType": _TEXT,
        "lifecycleOwner": _TEXT,
        "via": _TEXT,
        "properties": Texts(),
        "auditStamp": _AUDIT_STAMP,
    },
    METADATA_CHANGE_LOG: {
        "auditHeader": _AUDIT_HEADER,
        "entityType": _ENTITY_TYPES,
        "entityUrn": _URN,
        "entityKeyAspect": _ASPECT,
        "changeType": Text("UPSERT CREATE UPDATE DELETE PATCH RESTATE CREATE_ENTITY", closed=True),
        "aspectName": _ASPECT_NAMES,
        "aspect": _ASPECT,
        "systemMetadata": _SYSTEM_METADATA,
        "headers": Texts(),
        "previousAspectValue": _ASPECT,
        "previousSystemMetadata": _SYSTEM_METADATA,
        "created": _AUDIT_STAMP,
    },
}
