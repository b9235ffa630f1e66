"""DataHub's own keys and variables, turned into ours; says what of them has no effect, and what is not there yet.

The only place that knows what a DataHub Actions file means. The checks of single values are not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from datahub_poller.config.models import ActionFile
from datahub_poller.config.problems import KeyPath, Problem, shown
from datahub_poller.config.quantities import duration_text
from datahub_poller.config.section import Section
from datahub_poller.config.source import DATAHUB_REGISTRIES, STEP, SchemaRegistryType
from datahub_poller.config.values import CREDENTIALS_SOURCE, JAVA_PREFIX

S = TypeVar("S", bound=Section)

REGISTRY_VARIABLE = "KAFKA_SCHEMAREGISTRY_URL"
BASE_PATH_VARIABLE = "DATAHUB_GMS_BASE_PATH"
REGISTRY_TYPE_VARIABLE = "SCHEMA_REGISTRY_TYPE"
DEFAULT_COMMIT_MS = 10_000

_REGION_VARIABLES = ("AWS_GLUE_SCHEMA_REGISTRY_REGION", "AWS_REGION", "AWS_DEFAULT_REGION")

_FUNCTION_INSTEAD = 'Write the logic as a function and name it: handler: {config: {function: "module:function"}}.'
NOT_YET: Mapping[KeyPath, tuple[str, str]] = {
    ("transform",): ("is not there yet", "Change the events at the beginning of the handler's function."),
    ("action",): ("is not there yet", _FUNCTION_INSTEAD),
    ("options", "retry_backoff_seconds"): ("is not a key here", "Set retry.backoff."),
    ("source", "config", "dead_letter_topic"): (
        "is not a key here",
        "Set dead_letter.type: kafka and dead_letter.config.topic.",
    ),
    ("source", "config", "commit_interval"): ("is not a key here", "Set source.config.commit."),
}
"""Keys of DataHub Actions (or near ours) that are refused, each with what is wrong and what to do."""

_CONFIG = ("source", "config")
_CONNECTION = (*_CONFIG, "connection")
_NO_EFFECT = {
    "commit_retry_count": "commits are retried until they succeed",
    "commit_retry_backoff": "commits are retried until they succeed",
    "enable_mcl_pre_deserialization_filter": "filters always decide as early as they can",
    "enable_pre_deserialization_filter": "filters always decide as early as they can",
}
_RESETS = {
    "earliest": "earliest",
    "smallest": "earliest",
    "beginning": "earliest",
    "latest": "latest",
    "largest": "latest",
    "end": "latest",
}


def registry_address(environ: Mapping[str, str]) -> str:
    """The registry's URL of an action file that names none."""
    explicit = environ.get(REGISTRY_VARIABLE, "").strip()
    if explicit:
        return explicit
    base = environ.get(BASE_PATH_VARIABLE, "").strip().rstrip("/")
    return f"http://localhost:8080{base}/schema-registry/api/"


def _registry_type(word: str, otherwise: SchemaRegistryType) -> SchemaRegistryType:
    """What the variable that GMS is given says; a word that nobody knows says nothing."""
    said = word.strip().lower()
    match DATAHUB_REGISTRIES.get(said, said):
        case "confluent" | "glue" | "auto" as known:
            return known
    return otherwise


def without_empty(data: Mapping[str, Any]) -> dict[str, Any]:
    """The file's data without keys that are refused and say nothing, such as `transform: []`."""
    refused = [path[0] for path in NOT_YET if len(path) == 1]
    return {key: value for key, value in data.items() if key not in refused or value not in (None, [], {})}


def folded(action: ActionFile, environ: Mapping[str, str]) -> ActionFile:
    """The action with what DataHub's keys and variables say put into our keys."""
    config = action.source.config
    changes: dict[KeyPath, Any] = {}
    if action.options.retry_count is not None and not is_given(action, ("retry", "attempts")):
        changes["retry", "attempts"] = action.options.retry_count + 1
    if not is_given(action, (*_CONNECTION, "schema_registry_url")):
        changes[(*_CONNECTION, "schema_registry_url")] = registry_address(environ)
    if config.async_commit_enabled and not is_given(action, (*_CONFIG, "commit_interval")):
        interval = config.async_commit_interval
        changes[(*_CONFIG, "commit_interval")] = (DEFAULT_COMMIT_MS if interval is None else interval) / 1000
    reset = _RESETS.get(_reset_word(action))
    if reset is not None and not is_given(action, (*_CONFIG, "start")):
        changes[(*_CONFIG, "start")] = reset
    kind = config.schema_registry.type
    if not is_given(action, (*_CONFIG, "schema_registry", "type")):
        kind = _registry_type(environ.get(REGISTRY_TYPE_VARIABLE, ""), kind)
        changes[(*_CONFIG, "schema_registry", "type")] = kind
    if kind != "confluent" and config.schema_registry.region is None:
        region = next((found for name in _REGION_VARIABLES if (found := environ.get(name, "").strip())), None)
        if region is not None:
            changes[(*_CONFIG, "schema_registry", "region")] = region
    if action.retry.backoff > action.retry.max_backoff and not is_given(action, ("retry", "max_backoff")):
        changes["retry", "max_backoff"] = action.retry.backoff
    for path, value in changes.items():
        action = changed(action, path, value)
    return action


def changed(section: S, path: KeyPath, value: Any) -> S:
    """A copy of the section with one value below it replaced."""
    first = str(path[0])
    inner = value if len(path) == 1 else changed(getattr(section, first), path[1:], value)
    return section.model_copy(update={first: inner})


def is_given(action: ActionFile, path: KeyPath) -> bool:
    """Does the file itself say this (fields' names, not their aliases)?"""
    section: Any = action
    for part in path[:-1]:
        section = getattr(section, str(part))
    return path[-1] in section.model_fields_set


def value_at(data: Mapping[str, Any], path: KeyPath) -> Any:
    """What plain data holds at the path, `None` if nothing."""
    value: Any = data
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _reset_word(action: ActionFile) -> str:
    return str(action.source.config.connection.consumer_config.get("auto.offset.reset", "")).strip().lower()


def spelling_problems(action: ActionFile) -> Iterator[Problem]:
    """Where DataHub's key and ours are both given and one cannot be followed."""
    if action.options.retry_count is not None and is_given(action, ("retry", "attempts")):
        what = "is given beside retry.attempts, which says the same"
        yield Problem(("options", "retry_count"), what, "Keep retry.attempts (all tries, the first included).")


def spelling_warnings(action: ActionFile, raw: Mapping[str, Any]) -> Iterator[str]:
    """What a DataHub user should know about keys of theirs that are accepted."""
    config = action.source.config
    for key, why in _NO_EFFECT.items():
        if key in config.model_fields_set:
            yield f"{shown((*_CONFIG, key))} has no effect: {why}"
    if "enable_pre_deserialization_filter" in config.model_fields_set:
        yield "source.config.enable_pre_deserialization_filter: DataHub calls it enable_mcl_pre_deserialization_filter"
    if config.async_commit_enabled and is_given(action, (*_CONFIG, "commit_interval")):
        text = "step" if config.commit_interval == STEP else duration_text(config.commit_interval)
        yield f"source.config.async_commit_enabled has no effect beside source.config.commit, which says {text}"
    elif config.async_commit_interval is not None and not config.async_commit_enabled:
        yield "source.config.async_commit_interval has no effect without async_commit_enabled: true"
    if action.datahub is not None:
        yield "datahub is not used: the poller does not talk to DataHub's server, and the handler gets no client"
    yield from _consumer_warnings(action)
    yield from _registry_warnings(raw)


def _consumer_warnings(action: ActionFile) -> Iterator[str]:
    given = action.source.config.connection.consumer_config
    where = shown((*_CONNECTION, "consumer_config"))
    word = _reset_word(action)
    if word and (word not in _RESETS or is_given(action, (*_CONFIG, "start"))):
        yield f"{where}.auto.offset.reset has no effect: source.config.start says where a new group begins"
    if "auto.commit.interval.ms" in given:
        yield f"{where}.auto.commit.interval.ms has no effect: set source.config.commit"
    if "group.id" in given and str(given["group.id"]) != action.name:
        yield f"{where}.group.id is the consumer group, and not the action's name"
    if "bootstrap.servers" in given or "metadata.broker.list" in given:
        yield f"{where} names the servers, and {shown((*_CONNECTION, 'bootstrap'))} has no effect"


def _registry_warnings(raw: Mapping[str, Any]) -> Iterator[str]:
    path = (*_CONNECTION, "schema_registry_config")
    given = value_at(raw, path)
    for key in given if isinstance(given, Mapping) else ():
        plain = str(key).removeprefix(JAVA_PREFIX)
        if plain != key:
            yield f"{shown((*path, str(key)))} is read as {plain}"
        if plain == CREDENTIALS_SOURCE:
            yield f"{shown((*path, str(key)))} has no effect: {CREDENTIALS_SOURCE} is a setting of the Java client"
        if plain == "url":
            yield f"{shown((*path, str(key)))} has no effect: the address is connection.schema_registry_url"
