"""The section `dead_letter`: where records go that are given up, and when nothing more is.

One map holds the keys of all kinds of places; `rules` says which key is of which kind, and what each needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from datahub_poller.config.librdkafka import producer_settings
from datahub_poller.config.quantities import Duration, OneOf, Size, Text, Whole
from datahub_poller.config.section import Bytes, Seconds, Section, checked
from datahub_poller.config.values import (
    bootstrap_servers,
    bucket_name,
    bucket_place,
    directory_path,
    key_prefix,
    topic_name,
    web_address,
)

Kind = Literal["file", "kafka", "sqs", "s3"]
KINDS: tuple[Kind, ...] = ("file", "kafka", "sqs", "s3")

KEYS_OF: Mapping[str, frozenset[Kind]] = {
    "directory": frozenset({"file"}),
    "ephemeral": frozenset({"file"}),
    "rotate": frozenset({"file"}),
    "limit": frozenset({"file"}),
    "topic": frozenset({"kafka"}),
    "bootstrap": frozenset({"kafka"}),
    "producer_config": frozenset({"kafka"}),
    "headers": frozenset({"kafka"}),
    "queue": frozenset({"sqs"}),
    "overflow": frozenset({"sqs"}),
    "bucket": frozenset({"s3"}),
    "prefix": frozenset({"s3"}),
    "encryption": frozenset({"sqs", "s3"}),
    "kms_key": frozenset({"sqs", "s3"}),
    "region": frozenset({"sqs", "s3"}),
    "endpoint": frozenset({"sqs", "s3"}),
    "profile": frozenset({"sqs", "s3"}),
    "timeout": frozenset({"kafka", "sqs", "s3"}),
}
"""The kinds of places that a key of `dead_letter.config` is for."""


class Breaker(Section):
    """When so much fails that the fault is hardly the records'."""

    in_a_row: Annotated[int, checked(Whole(1, 1_000_000))] = Field(
        default=20, description="Dead letters in a row after which nothing more is given up for a while."
    )
    pause: Annotated[Seconds, checked(Duration(0.1, 86_400))] = Field(
        default=60.0, description="How long it holds before one batch is tried."
    )


class DeadLetterConfig(Section):
    """The place, and how it is reached."""

    directory: Annotated[Path | None, checked(directory_path)] = Field(
        default=None,
        description="`file`: directory of the letters; overrides `options.failed_events_dir`. A relative path begins "
        "at the working directory.",
    )
    ephemeral: Annotated[Literal["accept"] | None, checked(OneOf(("accept",)))] = Field(
        default=None, description="`file`: `accept`: in a container, letters may go where they are lost with it."
    )
    rotate: Annotated[Bytes, checked(Size(4096, 2**40))] = Field(
        default=64 * 2**20, description="`file`: a file of this size gets a name with its time, and a new one begins."
    )
    limit: Annotated[Bytes, checked(Size(4096, 2**50))] = Field(
        default=2**30,
        description="`file`: bytes of all the action's letters, at most; beyond it the partitions wait until some are "
        "dropped. Nothing is ever deleted to make room.",
    )
    topic: Annotated[str | None, checked(topic_name)] = Field(
        default=None, description="`kafka`: the topic; it must exist, and not be one of those that are read."
    )
    bootstrap: Annotated[str | None, checked(bootstrap_servers)] = Field(
        default=None,
        description="`kafka`: another cluster. Without it the source's, with the source's security settings.",
    )
    producer_config: Annotated[dict[str, Any], checked(producer_settings)] = Field(
        default_factory=dict,
        description="`kafka`: librdkafka properties of the producer, such as `security.protocol`.",
    )
    headers: Annotated[
        Literal["datahub-poller", "spring", "connect"], checked(OneOf(("datahub-poller", "spring", "connect")))
    ] = Field(
        default="datahub-poller",
        description="`kafka`: `spring` and `connect` add the headers of Spring for Apache Kafka or of Kafka Connect "
        "to ours.",
    )
    queue: Annotated[str | None, checked(web_address)] = Field(
        default=None, description="`sqs`: the queue's URL. A FIFO queue keeps the order of each partition."
    )
    overflow: Annotated[str | None, checked(bucket_place)] = Field(
        default=None,
        description="`sqs`: `s3://bucket/prefix`, where a letter goes that is too large for a message; the message "
        "points to it then.",
    )
    bucket: Annotated[str | None, checked(bucket_name)] = Field(default=None, description="`s3`: the bucket.")
    prefix: Annotated[str, checked(key_prefix)] = Field(
        default="dead-letters", description="`s3`: what the objects' keys begin with; `action=` and `date=` follow."
    )
    encryption: Annotated[Literal["bucket", "AES256", "aws:kms"], checked(OneOf(("bucket", "AES256", "aws:kms")))] = (
        Field(
            default="bucket", description="`s3`, `sqs` with `overflow`: the objects' encryption; `bucket`: its default."
        )
    )
    kms_key: Annotated[str | None, checked(Text("key's ARN, id or alias"))] = Field(
        default=None, description="`s3`, `sqs` with `overflow`: the key for `aws:kms`; without it AWS's own."
    )
    region: Annotated[str | None, checked(Text("AWS region"))] = Field(
        default=None, description="`s3`, `sqs`: its region. Without it `AWS_REGION`, then the AWS profile's."
    )
    endpoint: Annotated[str | None, checked(web_address)] = Field(
        default=None, description="`s3`, `sqs`: another URL of the API, such as a VPC endpoint's."
    )
    profile: Annotated[str | None, checked(Text("profile's name"))] = Field(
        default=None, description="`s3`, `sqs`: AWS profile; without it AWS's usual chain of credentials."
    )
    timeout: Annotated[Seconds, checked(Duration(0.1, 300))] = Field(
        default=20.0, description="`kafka`, `s3`, `sqs`: how long one write may take until it is tried again."
    )


class DeadLetter(Section):
    """Where records go that are given up."""

    type: Annotated[Kind, checked(OneOf(KINDS))] = Field(default="file", description="The kind of place.")
    config: DeadLetterConfig = Field(default_factory=DeadLetterConfig)
    breaker: Breaker = Field(default_factory=Breaker)
