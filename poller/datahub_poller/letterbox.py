"""Where an action's dead letters are written to, and read from again: sinks and stores, made of its file.

Only what the file names is imported. Nothing is connected to yet.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from datahub_poller.aws import Account
from datahub_poller.config import ActionFile
from datahub_poller.deadletter.sink import Sink
from datahub_poller.deadletter.store import Store
from datahub_poller.observe.logs import get_logger

if TYPE_CHECKING:
    from datahub_poller.deadletter.s3_bucket import Bucket, Encryption
    from datahub_poller.kafka.produce import Producer
    from datahub_poller.kafka.produce_settings import Settings

_WAITS_ABOVE: Final = 3.0
"""Seconds of `timeout` from which on a request may wait for the next message."""
_PERSONS: Final = "dead-letters"
"""The command that reads letters, which AWS is told."""
_KAFKA_LOG: Final = get_logger("datahub_poller.kafka")


def sink(action: ActionFile, environ: Mapping[str, str]) -> Sink:
    """Where dead letters go."""
    match action.dead_letter.type:
        case "file":
            return _file_sink(action)
        case "kafka":
            return _kafka_sink(action, environ)
        case "sqs":
            return _sqs_sink(action)
        case "s3":
            return _s3_sink(action)


def store(action: ActionFile, environ: Mapping[str, str]) -> Store:
    """Where they are read from."""
    match action.dead_letter.type:
        case "file":
            return _file_store(action)
        case "kafka":
            return _kafka_store(action, environ)
        case "sqs":
            return _sqs_store(action)
        case "s3":
            return _s3_store(action)


# -- files


def _file_sink(action: ActionFile) -> Sink:
    from datahub_poller.deadletter.file import FileSink  # noqa: PLC0415 - only where letters go to files

    config = action.dead_letter.config
    setting = "options.failed_events_dir" if config.directory is None else "dead_letter.config.directory"
    return FileSink(action.letters_directory, action.name, setting, config.rotate, config.limit)


def _file_store(action: ActionFile) -> Store:
    from datahub_poller.deadletter.file_store import FileStore  # noqa: PLC0415 - as above

    return FileStore(action.letters_directory, action.name)


# -- Kafka


def _kafka_sink(action: ActionFile, environ: Mapping[str, str]) -> Sink:
    from datahub_poller.deadletter.kafka import KafkaSink  # noqa: PLC0415 - as above

    config = action.dead_letter.config
    assert config.topic is not None
    limit = action.source.config.connection.client_timeout_seconds
    return KafkaSink(_producer(action, environ), config.topic, config.headers, limit)


def _kafka_store(action: ActionFile, environ: Mapping[str, str]) -> Store:
    from datahub_poller.config.producer import letters_consumer_properties  # noqa: PLC0415 - as above
    from datahub_poller.deadletter.kafka_store import KafkaStore  # noqa: PLC0415 - as above
    from datahub_poller.kafka.letters_read import TopicLog  # noqa: PLC0415 - as above

    topic = action.dead_letter.config.topic
    assert topic is not None
    patience = action.source.config.connection.client_timeout_seconds
    properties = _with_tokens(letters_consumer_properties(action, environ), action)
    log = TopicLog(properties, topic, patience, time.monotonic, _KAFKA_LOG, _kafka_settings(action))
    return KafkaStore(log, _producer(action, environ), topic)


def _producer(action: ActionFile, environ: Mapping[str, str]) -> Producer:
    from datahub_poller.config.producer import producer_properties  # noqa: PLC0415 - as above
    from datahub_poller.kafka.produce import Producer  # noqa: PLC0415 - as above

    properties = _with_tokens(producer_properties(action, environ), action)
    timeout = action.dead_letter.config.timeout
    return Producer(properties, timeout, time.monotonic, _KAFKA_LOG, _kafka_settings(action))


def _kafka_settings(action: ActionFile) -> Settings:
    """The keys that connections to the letters' cluster are made of."""
    from datahub_poller.kafka.produce_settings import Settings  # noqa: PLC0415 - as above

    config = action.dead_letter.config
    if config.bootstrap is not None:
        return Settings()
    connection, own = "source.config.connection", Settings()
    return Settings(
        bootstrap=f"{connection}.bootstrap",
        properties=f"{connection}.consumer_config or {own.properties}",
        oauth=own.oauth if "oauth_cb" in config.producer_config else f"{connection}.consumer_config.oauth_cb",
    )


def _with_tokens(properties: dict[str, Any], action: ActionFile) -> dict[str, Any]:
    """Lets the function for tokens be found where the handler is: it may not be loaded here."""
    path = str(action.handler.config.path.resolve())
    if "oauth_cb" in properties and path not in sys.path:
        sys.path.append(path)
    return properties


# -- SQS


def _sqs_sink(action: ActionFile) -> Sink:
    from datahub_poller.deadletter import aws_places  # noqa: PLC0415 - only where letters go to AWS
    from datahub_poller.deadletter.sqs import SqsSink  # noqa: PLC0415 - as above

    config, account = action.dead_letter.config, _account(action)
    assert config.queue is not None
    overflow = aws_places.overflow(account, config.overflow, _encryption(action))
    return SqsSink(aws_places.queue(account, config.queue), overflow)


def _sqs_store(action: ActionFile) -> Store:
    from datahub_poller.deadletter import aws_places  # noqa: PLC0415 - as above
    from datahub_poller.deadletter.sqs_store import SqsStore  # noqa: PLC0415 - as above

    config, account = action.dead_letter.config, _account(action, _PERSONS)
    assert config.queue is not None
    overflow = aws_places.overflow(account, config.overflow, _encryption(action))
    wait = 1 if config.timeout >= _WAITS_ABOVE else 0  # a longer wait than an answer may take would look like none
    return SqsStore(aws_places.queue(account, config.queue), overflow, wait=wait)


# -- S3


def _s3_sink(action: ActionFile) -> Sink:
    from datahub_poller.deadletter.s3 import S3Sink  # noqa: PLC0415 - as above

    return S3Sink(_bucket(action, _account(action)), action.dead_letter.config.prefix, action.name)


def _s3_store(action: ActionFile) -> Store:
    from datahub_poller.deadletter.s3_store import S3Store  # noqa: PLC0415 - as above

    return S3Store(_bucket(action, _account(action, _PERSONS)), action.dead_letter.config.prefix, action.name)


def _bucket(action: ActionFile, account: Account) -> Bucket:
    from datahub_poller.deadletter.s3_bucket import Bucket  # noqa: PLC0415 - as above

    config = action.dead_letter.config
    assert config.bucket is not None
    return Bucket(account, config.bucket, _encryption(action))


def _encryption(action: ActionFile) -> Encryption:
    from datahub_poller.deadletter.s3_bucket import Encryption  # noqa: PLC0415 - as above

    config = action.dead_letter.config
    return Encryption(config.encryption, config.kms_key)


def _account(action: ActionFile, command: str | None = None) -> Account:
    config = action.dead_letter.config
    return Account(config.region, config.endpoint, config.profile, config.timeout, command=command)
