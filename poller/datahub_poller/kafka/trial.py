"""Whether librdkafka takes properties: clients are made of them that know no broker, and are let go of at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka import Producer as KafkaProducer

from datahub_poller.errors import CannotStart
from datahub_poller.kafka.client_log import ClientLog
from datahub_poller.kafka.reach import CONSUMER_CONFIG
from datahub_poller.kafka.words import why

TAKEN: Final = "librdkafka takes its properties"
_BROKERS: Final = ("bootstrap.servers", "metadata.broker.list")
_METHOD: Final = "sasl.oauthbearer.method"
_TOKEN_SECONDS: Final = 3600.0


def try_consumer(properties: Mapping[str, Any], logger: logging.Logger) -> str:
    """Says so if it does. Raises CannotStart with librdkafka's reason; nothing is connected to."""
    _made(lambda config, log: Consumer(config, logger=log).close(), properties, CONSUMER_CONFIG, logger)
    return TAKEN


def try_producer(properties: Mapping[str, Any], where: str, logger: logging.Logger) -> str:
    """The same of a producer, whose properties come from `where` in the action file."""
    _made(lambda config, log: KafkaProducer(config, logger=log), properties, where, logger)
    return TAKEN


def _made(
    make: Callable[[dict[str, Any], ClientLog], object],
    properties: Mapping[str, Any],
    where: str,
    logger: logging.Logger,
) -> None:
    config = {key: value for key, value in properties.items() if key not in _BROKERS}
    # A token is asked for at once, of the user's function or of an issuer.
    if "oauth_cb" in config or str(config.get(_METHOD, "")).lower() == "oidc":
        config.pop(_METHOD, None)
        config["oauth_cb"] = lambda _: ("none", time.time() + _TOKEN_SECONDS)
    try:
        make(config, ClientLog(logger, time.monotonic, lambda _: None))
    except (KafkaException, SystemError, ValueError, TypeError) as error:
        raise CannotStart(f"{where}: the Kafka client does not take it: {why(error)}") from error
