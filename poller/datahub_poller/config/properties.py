"""The librdkafka properties that an action's consumer runs with, and where each comes from.

From the lowest to the highest: our defaults, `KAFKA_PROPERTIES_*` variables, `consumer_config`; above all stand
the properties that the poller keeps for itself. Must not import the Kafka client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datahub_poller.config.java_words import translated
from datahub_poller.config.librdkafka import (
    CALLBACK,
    JAVA_ONLY,
    KNOWN,
    OWNED,
    REFUSED_UNDER_CONSUMER_PROTOCOL,
    property_text,
    whole,
    with_whole_paths,
)
from datahub_poller.config.models import ActionFile
from datahub_poller.msk import Identity, auth_properties, is_msk_iam, with_region

VARIABLE_PREFIX = "KAFKA_PROPERTIES_"
VARIABLES_SWITCH = "DATAHUB_ACTIONS_KAFKA_ENV_PROPERTIES_ENABLED"

DEFAULTS: Mapping[str, str] = {
    "client.id": "datahub-poller",
    "partition.assignment.strategy": "range,roundrobin",
    # A bounded queue without the short back-off costs two thirds of the speed: librdkafka waits a second when full.
    "queued.max.messages.kbytes": "8192",
    "fetch.queue.backoff.ms": "10",
    "topic.metadata.refresh.interval.ms": "10000",
    "allow.auto.create.topics": "false",
}
FORCED: Mapping[str, str] = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "auto.offset.reset": "error",
    "enable.partition.eof": "false",
}
SAME: Mapping[str, str] = {
    "sasl.mechanism": "sasl.mechanisms",
    "sasl.mechanisms": "sasl.mechanism",
    "bootstrap.servers": "metadata.broker.list",
    "metadata.broker.list": "bootstrap.servers",
    "fetch.message.max.bytes": "max.partition.fetch.bytes",
    "max.partition.fetch.bytes": "fetch.message.max.bytes",
}
"""Properties that librdkafka knows by two names."""

SESSION_TIMEOUT = 45_000
MAX_POLL_INTERVAL = 300_000
"""librdkafka's own defaults, in milliseconds. DataHub's 10 s would expel a member during every slow call."""

_JAVA_PREFIXES = ("ssl.truststore", "kafkastore.", "basic.auth.", "schema.registry.")
_SILENT = OWNED | {"group.id", "partition.assignment.strategy"}


def consumer_properties(action: ActionFile, environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The effective properties, as texts (`oauth_cb` still as `module:function`), and warnings."""
    connection = action.source.config.connection
    settled = {key: property_text(value) for key, value in connection.consumer_config.items() if key not in OWNED}
    if (auth := connection.auth) is not None:
        settled.pop("sasl.mechanisms", None)
        settled |= auth_properties(Identity(auth.region, auth.role, auth.external_id))
    from_environ, warnings = environ_properties(environ, settled)
    properties = {
        **DEFAULTS,
        "group.id": action.name,
        "bootstrap.servers": connection.bootstrap,
        **from_environ,
        **settled,
        **FORCED,
    }
    if "metadata.broker.list" in properties:  # librdkafka's other name for it
        properties["bootstrap.servers"] = properties.pop("metadata.broker.list")
    if properties.get("group.protocol", "").lower() == "consumer":
        for key in sorted(REFUSED_UNDER_CONSUMER_PROTOCOL.intersection(properties)):
            del properties[key]
            if key in from_environ:
                warnings.append(f"{_variable(key)} is left out: group.protocol consumer refuses {key}")
    return with_whole_paths(with_region(properties), action.working_directory), warnings


def environ_properties(environ: Mapping[str, str], given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Properties from `KAFKA_PROPERTIES_*` variables that `given` does not have, and warnings on those left out."""
    if environ.get(VARIABLES_SWITCH, "true").strip().lower() in {"false", "0", "no", "off"}:
        return {}, []
    found = {
        key: value.strip()
        for variable, value in sorted(environ.items())
        if (key := property_name(variable)) is not None and value.strip()
    }
    properties, problems = translated(found)
    warnings = [f"{_variable(str(each.path[0]))} is left out: it {each.what}. {each.hint}" for each in problems]
    taken: dict[str, str] = {}
    for key, value in properties.items():
        if key in given or SAME.get(key) in given:
            continue
        reason = _left_out(key, value)
        if reason is None:
            taken[key] = value
        elif reason:
            warnings.append(f"{_variable(key)} is left out: {reason}")
    return taken, [*warnings, *_incomplete(taken, given)]


def _incomplete(taken: dict[str, str], given: Mapping[str, str]) -> Iterator[str]:
    """Take out what librdkafka does not take by itself: a key store without its password, or a password alone."""
    store, password = "ssl.keystore.location", "ssl.keystore.password"
    if store in taken and password not in taken and password not in given:
        del taken[store]
        yield f"{_variable(store)} is left out: it needs {_variable(password)}"
    if store not in taken and store not in given:
        taken.pop(password, None)


def property_name(variable: str) -> str | None:
    """The property that an environment variable sets, if it is one of those."""
    if not variable.startswith(VARIABLE_PREFIX) or variable == VARIABLE_PREFIX:
        return None
    name = variable.removeprefix(VARIABLE_PREFIX).lower()
    return name if name == "oauth_cb" else name.replace("_", ".")


def _left_out(key: str, value: str) -> str | None:
    """Why a property from the environment is not taken; an empty text: no need to speak of it; `None`: it is taken.

    The variables are often shared with Java services, so what only Java knows is no mistake.
    """
    if key in JAVA_ONLY or key.startswith(_JAVA_PREFIXES):
        return f"{key} is a property of Java clients. {JAVA_ONLY[key]}" if key in JAVA_ONLY else ""
    if key in _SILENT:
        return f"{key} is not taken from the environment"
    if key not in KNOWN:
        return f"{key} is not a librdkafka property that is known here; if it is one, set it in consumer_config"
    if key == "oauth_cb" and not (CALLBACK.fullmatch(value) or is_msk_iam(value)):
        return "oauth_cb must be module:function"
    if key.endswith((".ms", ".bytes")) and whole(value) is None:
        return f"{key} must be a whole number"
    return None


def _variable(key: str) -> str:
    return VARIABLE_PREFIX + key.upper().replace(".", "_")


def timing(properties: Mapping[str, Any]) -> tuple[int, int]:
    """Session timeout and longest poll interval of these properties, in milliseconds."""
    session = whole(properties.get("session.timeout.ms", SESSION_TIMEOUT))
    poll = whole(properties.get("max.poll.interval.ms", MAX_POLL_INTERVAL))
    return SESSION_TIMEOUT if session is None else session, MAX_POLL_INTERVAL if poll is None else poll
