"""What librdkafka is given: our defaults, the environment, the file, and what none of them can change."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest

from datahub_poller.config import ActionFile, consumer_properties
from datahub_poller.config.librdkafka import JAVA_ONLY, KNOWN, STRATEGIES
from datahub_poller.config.properties import SESSION_TIMEOUT
from datahub_poller.config.values import REGISTRY_CLIENT_KEYS
from support.action_files import action_of

CONSUMER = "source.config.connection.consumer_config"


def properties_of(given: dict[str, Any], environ: dict[str, str] | None = None) -> dict[str, Any]:
    return consumer_properties(action_with(given), {} if environ is None else environ)[0]


def action_with(given: dict[str, Any]) -> ActionFile:
    return action_of({f"{CONSUMER}/{key}": value for key, value in given.items()})


def test_without_a_word_the_consumer_gets_our_defaults() -> None:
    assert properties_of({}) == {
        "bootstrap.servers": "localhost:9092",
        "group.id": "tag-sync",
        "client.id": "datahub-poller",
        "partition.assignment.strategy": "range,roundrobin",
        "queued.max.messages.kbytes": "8192",
        "fetch.queue.backoff.ms": "10",
        "topic.metadata.refresh.interval.ms": "10000",
        "allow.auto.create.topics": "false",
        "enable.auto.commit": "false",
        "enable.auto.offset.store": "false",
        "auto.offset.reset": "error",
        "enable.partition.eof": "false",
    }


def test_the_file_wins_over_the_environment_and_that_over_the_defaults() -> None:
    environ = {
        "KAFKA_PROPERTIES_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_PROPERTIES_CLIENT_ID": "from-environment",
        "KAFKA_PROPERTIES_SOCKET_TIMEOUT_MS": "7000",
        "KAFKA_PROPERTIES_OAUTH_CB": "module:function",
        "KAFKA_PROPERTIES_BOOTSTRAP_SERVERS": "env:9092",
        "OTHER_PROPERTIES_CLIENT_ID": "no",
    }
    properties = properties_of({"socket.timeout.ms": 5000}, environ)
    assert properties["security.protocol"] == "SASL_SSL"
    assert properties["client.id"] == "from-environment"
    assert properties["socket.timeout.ms"] == "5000"
    assert properties["oauth_cb"] == "module:function"
    assert properties["bootstrap.servers"] == "env:9092"


@pytest.mark.parametrize("switch", ["false", "FALSE", "0", "no"])
def test_the_environment_can_be_switched_off(switch: str) -> None:
    environ = {"KAFKA_PROPERTIES_CLIENT_ID": "x", "DATAHUB_ACTIONS_KAFKA_ENV_PROPERTIES_ENABLED": switch}
    assert properties_of({}, environ)["client.id"] == "datahub-poller"


def test_an_empty_variable_is_none() -> None:
    assert (
        properties_of({}, {"KAFKA_PROPERTIES_CLIENT_ID": " ", "KAFKA_PROPERTIES_": "x"})["client.id"]
        == "datahub-poller"
    )


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("SSL_TRUSTSTORE_LOCATION", True),
        ("SSL_KEYSTORE_LOCATION", True),
        ("SSL_KEYSTORE_PASSWORD", False),
        ("KAFKASTORE_SECURITY_PROTOCOL", False),
        ("BASIC_AUTH_USER_INFO", False),
        ("SCHEMA_REGISTRY_URL", False),
        ("SASL_JAAS_CONFIG", True),
        ("SASL_CLIENT_CALLBACK_HANDLER_CLASS", True),
        ("SSL_PROTOCOL", True),
        ("PARTITION_ASSIGNMENT_STRATEGY", True),
        ("GROUP_ID", True),
        ("ENABLE_AUTO_COMMIT", True),
        ("AUTO_OFFSET_RESET", True),
        ("PLUGIN_LIBRARY_PATHS", True),
        ("STATS_CB", True),
        ("MAX_REQUEST_SIZE", True),
        ("SESSION_TIMEOUT_MS", True),
        ("OAUTH_CB", True),
    ],
)
def test_what_librdkafka_cannot_take_from_the_environment_is_left_out(variable: str, told: bool) -> None:
    name = f"KAFKA_PROPERTIES_{variable}"
    action = action_with({})
    properties, warnings = consumer_properties(action, {name: "canary"})
    assert properties == consumer_properties(action, {})[0]
    assert [name in warning for warning in warnings] == ([True] if told else [])
    assert "canary" not in str(warnings)


def test_a_property_by_its_other_name_in_the_file_wins_over_the_environment() -> None:
    environ = {"KAFKA_PROPERTIES_SASL_MECHANISM": "PLAIN", "KAFKA_PROPERTIES_BOOTSTRAP_SERVERS": "env:1"}
    properties = properties_of({"sasl.mechanisms": "SCRAM-SHA-512", "metadata.broker.list": "file:1"}, environ)
    assert "sasl.mechanism" not in properties
    assert properties["bootstrap.servers"] == "file:1"
    assert "metadata.broker.list" not in properties


def test_nothing_makes_the_consumer_commit_or_jump_by_itself() -> None:
    given = {"enable.auto.commit": False, "enable.auto.offset.store": "false", "auto.offset.reset": "earliest"}
    environ = {"KAFKA_PROPERTIES_ENABLE_AUTO_COMMIT": "true", "KAFKA_PROPERTIES_ENABLE_AUTO_OFFSET_STORE": "true"}
    properties = properties_of(given, environ)
    assert properties["enable.auto.commit"] == properties["enable.auto.offset.store"] == "false"
    assert properties["auto.offset.reset"] == "error"


def test_the_timeouts_are_librdkafkas_own_unless_the_file_says_otherwise() -> None:
    assert {"session.timeout.ms", "max.poll.interval.ms", "isolation.level"}.isdisjoint(properties_of({}))
    assert properties_of({"max.poll.interval.ms": 600_000})["max.poll.interval.ms"] == "600000"


def test_the_group_may_have_another_name_than_the_action() -> None:
    action = action_with({"group.id": "older-group"})
    assert consumer_properties(action, {})[0]["group.id"] == action.group_id == "older-group"
    assert "group.id is the consumer group" in action.warnings[0]


def test_values_are_texts_as_librdkafka_wants_them() -> None:
    given = {"socket.keepalive.enable": True, "log_level": 3, "client.rack": "a", "check.crcs": None, "oauth_cb": "m:f"}
    properties = properties_of(given)
    assert (properties["socket.keepalive.enable"], properties["log_level"]) == ("true", "3")
    assert properties["oauth_cb"] == "m:f"
    assert "check.crcs" not in properties
    assert all(isinstance(value, str) for value in properties.values())


def test_the_new_group_protocol_gets_nothing_that_it_refuses() -> None:
    environ = {"KAFKA_PROPERTIES_SESSION_TIMEOUT_MS": "10000"}
    properties, warnings = consumer_properties(action_with({"group.protocol": "CONSUMER"}), environ)
    assert {"partition.assignment.strategy", "session.timeout.ms"}.isdisjoint(properties)
    assert "KAFKA_PROPERTIES_SESSION_TIMEOUT_MS is left out" in warnings[0]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What the installed librdkafka lists of itself: property to (C, P or *; default)."""
    libs = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    rdkafka, libc = ctypes.CDLL(str(next(libs.glob("librdkafka*")))), ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    path = tmp_path_factory.mktemp("librdkafka") / "properties"
    file = ctypes.c_void_p(libc.fopen(str(path).encode(), b"w"))
    rdkafka.rd_kafka_conf_properties_show(file)
    libc.fclose(file)
    rows = [[cell.strip() for cell in line.split("|")] for line in path.read_text().splitlines() if "|" in line]
    return {row[0]: (row[1], row[3]) for row in rows if re.fullmatch(r"[a-z0-9._]+", row[0])}


def test_the_names_that_we_know_are_librdkafkas(library: dict[str, tuple[str, str]]) -> None:
    own = {name for name, (side, _) in library.items() if side in {"C", "*"}}
    assert KNOWN - {"oauth_cb"} <= own
    left = {name for name in own - KNOWN if not name.endswith("_cb")}
    # Not for people: pointers, what librdkafka only reports, what is for share consumers or for its simple consumer.
    assert left <= {
        "builtin.features",
        "default_topic_conf",
        "enabled_events",
        "interceptors",
        "opaque",
        "ssl_ca",
        "ssl_certificate",
        "ssl_engine_callback_data",
        "ssl_key",
        "max.poll.records",
        "share.acknowledgement.mode",
        "auto.commit.enable",
        "consume.callback.max.messages",
        "offset.store.method",
        "offset.store.path",
        "offset.store.sync.interval.ms",
        *(name for name in left if name.startswith("test.")),
    }


def test_the_timeouts_that_we_count_with_are_librdkafkas_defaults(library: dict[str, tuple[str, str]]) -> None:
    assert library["session.timeout.ms"][1] == str(SESSION_TIMEOUT)
    assert library["max.poll.interval.ms"][1] == "300000"
    assert library["isolation.level"][1] == "read_committed"


@pytest.mark.parametrize("key", sorted(set(JAVA_ONLY) - {"max.poll.records", "request.timeout.ms"}))
def test_what_we_call_javas_librdkafka_does_not_know(key: str) -> None:
    with pytest.raises(confluent_kafka.KafkaException, match="_INVALID_ARG"):
        confluent_kafka.Consumer({"group.id": "x", key: "1"})


@pytest.fixture
def constructed() -> Iterator[list[confluent_kafka.Consumer]]:
    consumers: list[confluent_kafka.Consumer] = []
    yield consumers
    for consumer in consumers:
        consumer.close()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"group.protocol": "consumer"},
        {"partition.assignment.strategy": "cooperative-sticky", "group.instance.id": "one"},
        {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "p"},
        {"max.poll.interval.ms": 6000, "session.timeout.ms": 6000},
        {"metadata.broker.list": "127.0.0.1:1"},
        *({"partition.assignment.strategy": name} for name in sorted(STRATEGIES)),
    ],
)
def test_librdkafka_takes_what_it_is_given(given: dict[str, Any], constructed: list[confluent_kafka.Consumer]) -> None:
    action = action_of(
        {
            "source.config.connection.bootstrap": "127.0.0.1:1",
            **{f"{CONSUMER}/{key}": value for key, value in given.items()},
        }
    )
    constructed.append(confluent_kafka.Consumer(consumer_properties(action, {})[0], logger=None))


@pytest.mark.parametrize(
    "given",
    [
        {"session.timeout.ms": "10000", "max.poll.interval.ms": "6000"},
        {"group.protocol": "consumer", "session.timeout.ms": "10000"},
        {"group.protocol": "consumer", "partition.assignment.strategy": "range"},
        {"partition.assignment.strategy": "range,cooperative-sticky"},
        {"partition.assignment.strategy": "sticky"},
        {"ssl.keystore.location": "/nowhere.p12", "security.protocol": "ssl"},
    ],
)
def test_what_we_refuse_librdkafka_refuses_too(given: dict[str, str]) -> None:
    with pytest.raises(confluent_kafka.KafkaException):
        confluent_kafka.Consumer({"group.id": "x", **given})


BY_TOKEN = {"bearer.auth.credentials.source": "STATIC_TOKEN", "bearer.auth.token": "t"}
BY_OAUTH = {
    "bearer.auth.credentials.source": "OAUTHBEARER",
    "bearer.auth.client.id": "i",
    "bearer.auth.client.secret": "s",
    "bearer.auth.scope": "s",
    "bearer.auth.issuer.endpoint.url": "http://127.0.0.1:1",
}
CLUSTER = {"bearer.auth.logical.cluster": "c", "bearer.auth.identity.pool.id": "p"}
NUMBERS = ["cache.capacity", "cache.latest.ttl.sec", "max.retries", "retries.wait.ms", "retries.max.wait.ms", "timeout"]
SSL = ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password"]


def test_the_registry_client_takes_every_key_that_we_let_through() -> None:
    from confluent_kafka.schema_registry import SchemaRegistryClient

    url = {"url": "http://127.0.0.1:1"}
    plain = {**dict.fromkeys(NUMBERS, 1.0), "basic.auth.user.info": "u:p", "proxy": "http://127.0.0.1:1"}
    files: dict[str, None] = dict.fromkeys(SSL)
    for given in ({**plain, **files}, {**BY_TOKEN, **CLUSTER}, {**BY_OAUTH, **CLUSTER}):
        SchemaRegistryClient({**url, **given})
    assert {*plain, *files, *BY_TOKEN, *BY_OAUTH, *CLUSTER} == REGISTRY_CLIENT_KEYS
    with pytest.raises(ValueError, match="Unrecognized"):
        SchemaRegistryClient({**url, "basic.auth.credentials.source": "USER_INFO"})
