"""The section `source`: the broker, the schema registry, the topics, and where to begin.

Holds DataHub's own keys too where they still say something; `spellings` says what becomes of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer

from datahub_poller.config.auth import Auth
from datahub_poller.config.librdkafka import consumer_settings
from datahub_poller.config.quantities import Duration, OneOf, Size, Text, Whole, duration_text, start_position
from datahub_poller.config.section import Bytes, Seconds, Section, checked
from datahub_poller.config.values import (
    DEFAULT_ROUTES,
    bootstrap_servers,
    external_id_of_a_role,
    registry_client_settings,
    role_arn,
    routed_topics,
    web_address,
)

STEP = 0.0
"""The value of `commit: step`."""

DATAHUB_REGISTRIES: Mapping[str, str] = {"kafka": "confluent", "internal": "confluent", "aws_glue": "glue"}
"""What DataHub's variable SCHEMA_REGISTRY_TYPE may say, in lower case."""
_SOURCES = OneOf(
    ("kafka",),
    never={
        "pg_queue": "Let DataHub write its events to Kafka (its default), and read them there: type: kafka.",
        "datahub-cloud": "DataHub Actions reads it; the poller reads the Kafka of a DataHub of yours: type: kafka.",
    },
)
_REGISTRIES = OneOf(("confluent", "glue", "auto"), also=DATAHUB_REGISTRIES)
SchemaRegistryType = Literal["confluent", "glue", "auto"]
OnGap = Literal["earliest", "halt"]
Start = Literal["latest", "earliest"] | datetime


def _commit_text(seconds: float) -> str:
    return "step" if seconds == STEP else duration_text(seconds)


def _start_text(start: str | datetime) -> str:
    return start if isinstance(start, str) else start.isoformat().replace("+00:00", "Z")


class Connection(Section):
    """Broker and Confluent-compatible registry, as DataHub Actions has them."""

    bootstrap: Annotated[str, checked(bootstrap_servers)] = Field(
        default="localhost:9092", description="Kafka's bootstrap servers, `host:port`, several with commas between."
    )
    schema_registry_url: Annotated[str, checked(web_address)] = Field(
        default="http://localhost:8080/schema-registry/api/",
        description="URL of the Confluent-compatible registry. Without it `KAFKA_SCHEMAREGISTRY_URL` is used, then "
        "the registry of a local DataHub below `DATAHUB_GMS_BASE_PATH`.",
    )
    schema_registry_config: Annotated[dict[str, Any], checked(registry_client_settings)] = Field(
        default_factory=dict,
        description="Settings of Confluent's registry client, such as `basic.auth.user.info: user:password`. Without "
        "`ssl.ca.location`, `SSL_CERT_FILE`, `SSL_CERT_DIR`, `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE` is used.",
    )
    consumer_config: Annotated[dict[str, Any], checked(consumer_settings)] = Field(
        default_factory=dict,
        description="librdkafka properties, such as `security.protocol`; `oauth_cb` is a `module:function`. They win "
        "over `KAFKA_PROPERTIES_*` variables.",
    )
    auth: Auth | None = Field(default=None, description="How the poller proves who it is, beside `consumer_config`.")
    client_timeout_seconds: Annotated[Seconds, checked(Duration(1, 600))] = Field(
        default=60.0, description="How long the brokers may take to answer at the start."
    )


class SchemaRegistry(Section):
    """Which registry the writer schemas come from."""

    type: Annotated[SchemaRegistryType, checked(_REGISTRIES)] = Field(
        default="confluent",
        description="`auto` tells record by record, by its framing. DataHub's words `KAFKA` and `INTERNAL` are "
        "`confluent`, `AWS_GLUE` is `glue`; without the key `SCHEMA_REGISTRY_TYPE` is used.",
    )
    region: Annotated[str | None, checked(Text("AWS region"))] = Field(
        default=None,
        description="Region of the Glue registry. Without it `AWS_GLUE_SCHEMA_REGISTRY_REGION`, `AWS_REGION`, then the "
        "AWS profile's.",
    )
    endpoint: Annotated[str | None, checked(web_address)] = Field(
        default=None, description="Another URL of the Glue API, such as a VPC endpoint's."
    )
    profile: Annotated[str | None, checked(Text("profile's name"))] = Field(
        default=None, description="AWS profile for Glue; without it AWS's usual chain of credentials."
    )
    role: Annotated[str | None, checked(role_arn)] = Field(
        default=None, description="A role to assume first for Glue, by its ARN: for a registry in another account."
    )
    external_id: Annotated[str | None, checked(external_id_of_a_role)] = Field(
        default=None, description="The external id that this role's trust policy asks for."
    )
    timeout: Annotated[Seconds, checked(Duration(0.1, 60))] = Field(
        default=5.0, description="How long one request to a registry may take."
    )


class SourceConfig(Section):
    """What is read, and from where on."""

    connection: Connection = Field(default_factory=Connection)
    schema_registry: SchemaRegistry = Field(default_factory=SchemaRegistry)
    topic_routes: Annotated[dict[str, str], checked(routed_topics)] = Field(
        default_factory=lambda: dict(DEFAULT_ROUTES),
        description="Topics by what they hold: `mcl`, `mcl_timeseries`, `pe`. Given, it replaces all three.",
    )
    start: Annotated[Start, checked(start_position), PlainSerializer(_start_text)] = Field(
        default="latest",
        description="Where the group begins on a topic at its first start: `latest` (the log's end), `earliest`, or "
        "a time such as `2026-01-31T08:00:00Z`.",
    )
    on_gap: Annotated[OnGap, checked(OneOf(("earliest", "halt")))] = Field(
        default="earliest",
        description="What to do where retention deleted records before they were read, or the log ends before "
        "the group's position.",
    )
    buffer: Annotated[Bytes, checked(Size(1024, 64 * 2**30))] = Field(
        default=64 * 2**20, description="Bytes of records held, calls in flight included; beyond it reading pauses."
    )
    commit_interval: Annotated[float, checked(Duration(0.01, 3600, {"step": STEP})), PlainSerializer(_commit_text)] = (
        Field(
            default=STEP,
            alias="commit",
            description="When settled offsets are committed: as they settle, or every so often.",
        )
    )
    async_commit_enabled: bool | None = Field(
        default=None, description="DataHub's key: `true` means `commit` at `async_commit_interval`."
    )
    async_commit_interval: Annotated[int | None, checked(Whole(10, 3_600_000))] = Field(
        default=None, description="DataHub's key, in milliseconds: 10000 if `async_commit_enabled` is on."
    )
    commit_retry_count: Any = Field(default=None, description="DataHub's key: no effect, commits are retried.")
    commit_retry_backoff: Any = Field(default=None, description="DataHub's key: no effect, commits are retried.")
    enable_mcl_pre_deserialization_filter: Any = Field(
        default=None, description="DataHub's key: no effect, filters decide as early as they can."
    )
    enable_pre_deserialization_filter: Any = Field(
        default=None, description="The same key as DataHub's pages spell it: no effect."
    )


class Source(Section):
    """Where the events come from."""

    type: Annotated[str, checked(_SOURCES)] = Field(description="The kind of source.")
    config: SourceConfig = Field(default_factory=SourceConfig)
