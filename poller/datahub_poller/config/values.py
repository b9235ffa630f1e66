"""Checks of the values that are more than a number or a word: addresses, topics, routes, the registry client's map.

Pure: what the file says in, the value out, or `Wrong`. Must not know the models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from datahub_poller.config.problems import Problem, Wrong, did_you_mean
from datahub_poller.config.quantities import Whole
from datahub_poller.msk import is_region
from datahub_poller.observe.listening import EVERYWHERE, EVERYWHERE_6, LOOPBACK, address_of

_SERVER = re.compile(r"(?:[A-Za-z_]+://)?(?:\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]@]+)(?::(?P<port>[0-9]{1,5}))?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_FUNCTION = re.compile(r"[A-Za-z_][\w./]*[:.][A-Za-z_]\w*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CLASS = re.compile(r"[A-Za-z_][\w.]*")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_MAX_PORT = 65_535
OFF = frozenset({"off", "none", "no", "false", "disabled"})

DEFAULT_ROUTES: Mapping[str, str] = {
    "mcl": "MetadataChangeLog_Versioned_v1",
    "mcl_timeseries": "MetadataChangeLog_Timeseries_v1",
    "pe": "PlatformEvent_v1",
}
_LOG_ROUTES = ("mcl", "mcl_timeseries")

DATAHUB_TOPICS = frozenset(DEFAULT_ROUTES.values()) | {
    "DataHubUpgradeHistory_v1",
    "DataHubUsageEvent_v1",
    "FailedMetadataChangeEvent_v4",
    "FailedMetadataChangeProposal_v1",
    "MetadataAuditEvent_v4",
    "MetadataChangeEvent_v4",
    "MetadataChangeProposal_v1",
}
"""DataHub's own topics, by their usual names: nothing of ours is ever written to one."""

REGISTRY_CLIENT_KEYS = frozenset(
    {
        "basic.auth.user.info",
        "bearer.auth.client.id",
        "bearer.auth.client.secret",
        "bearer.auth.credentials.source",
        "bearer.auth.identity.pool.id",
        "bearer.auth.issuer.endpoint.url",
        "bearer.auth.logical.cluster",
        "bearer.auth.scope",
        "bearer.auth.token",
        "cache.capacity",
        "cache.latest.ttl.sec",
        "max.retries",
        "proxy",
        "retries.max.wait.ms",
        "retries.wait.ms",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
        "timeout",
    }
)
_REGISTRY_NUMBERS = frozenset(
    {"cache.capacity", "cache.latest.ttl.sec", "max.retries", "retries.max.wait.ms", "retries.wait.ms", "timeout"}
)
_JAVA_REGISTRY = {
    "ssl.truststore.location": "The client reads PEM files: set ssl.ca.location to the CA certificates.",
    "ssl.truststore.password": "The client reads PEM files: leave it out and set ssl.ca.location.",
    "ssl.truststore.type": "The client reads PEM files: leave it out and set ssl.ca.location.",
    "ssl.keystore.location": "The client reads PEM files: set ssl.certificate.location and ssl.key.location.",
    "ssl.keystore.password": "The client reads PEM files: set ssl.key.password if the key has one.",
    "ssl.keystore.type": "The client reads PEM files: leave it out.",
    "ssl.endpoint.identification.algorithm": "Leave it out: host names are always checked.",
    "specific.avro.reader": "Leave it out.",
}
JAVA_PREFIX = "schema.registry."
CREDENTIALS_SOURCE = "basic.auth.credentials.source"


def bootstrap_servers(value: Any) -> str:
    """A comma list of servers without the blanks; a trailing comma is forgiven."""
    if not isinstance(value, str):
        raise Wrong("must be text", "Write host:port, several with commas between them.")
    servers = [server.strip() for server in value.split(",") if server.strip()]
    if not servers:
        raise Wrong("names no server", "Write host:port, several with commas between them.")
    for server in servers:
        match = _SERVER.fullmatch(server)
        if match is None or not 0 < int(match["port"] or 1) <= _MAX_PORT:
            raise Wrong("must be host:port, several with commas between them")
    return ",".join(servers)


def web_address(value: Any) -> str:
    """An http or https URL, or several with commas between them."""
    if not isinstance(value, str):
        raise Wrong("must be a URL")
    urls = [url.strip() for url in value.split(",") if url.strip()]
    if not urls or not all(_is_url(url) for url in urls):
        raise Wrong("must be a URL that begins with http:// or https://")
    return ",".join(urls)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def function_name(value: Any) -> str:
    """`module:function`, or Lambda's `module.function`."""
    if not isinstance(value, str) or not _FUNCTION.fullmatch(value.strip()):
        raise Wrong("must be module:function", "For a file tag_sync.py with a function handle: tag_sync:handle.")
    return value.strip()


def routed_topics(value: Any) -> dict[str, str]:
    """Route name to topic. Two routes of unlike kind cannot share a topic."""
    if not isinstance(value, Mapping):
        raise Wrong("must be a map from routes to topics", f"Routes: {', '.join(DEFAULT_ROUTES)}.", show_value=False)
    if not value:
        raise Wrong("names no topic", f"Leave it out for all of DataHub's, or set: {', '.join(DEFAULT_ROUTES)}.")
    problems = [problem for route, topic in value.items() for problem in _route_problems(str(route), topic)]
    if "pe" in value and value["pe"] in [value.get(route) for route in _LOG_ROUTES]:
        what = "is routed as platform events and as metadata change logs, and a topic holds one kind"
        problems.append(Problem(("pe",), what, "Give each its own topic.", value["pe"]))
    if problems:
        raise Wrong("has problems", problems=problems)
    return {str(route): topic.strip() for route, topic in value.items()}


def _route_problems(route: str, topic: Any) -> Iterator[Problem]:
    if route not in DEFAULT_ROUTES:
        yield Problem((route,), "is not a route", did_you_mean(route, DEFAULT_ROUTES.keys()))
    elif not isinstance(topic, str) or not _TOPIC.fullmatch(topic.strip()) or topic.strip() in {".", ".."}:
        yield Problem((route,), "must be a topic's name", "Letters, digits, '.', '_' and '-'; no patterns.", topic)


def registry_client_settings(value: Any) -> dict[str, Any]:
    """The map `schema_registry_config`, its Java spellings turned into the client's own, nulls left out."""
    if not isinstance(value, Mapping):
        raise Wrong("must be a map of the registry client's settings", show_value=False)
    plain = {registry_key(str(key)): item for key, item in value.items() if item is not None}
    problems = [problem for key, item in plain.items() for problem in _registry_problems(key, item)]
    if problems:
        raise Wrong("has problems", problems=problems)
    kept = {key: item for key, item in plain.items() if key not in {CREDENTIALS_SOURCE, "url"}}
    return {key: float(item) if key in _REGISTRY_NUMBERS else item for key, item in kept.items()}


_GLUE_NAMES = """
avrorecordtype cachesize cachetimeout.ms compatibility compressiontype compression dataformat description endpoint
region region.name registry.name registryname schemaautoregistrationenabled schemaname schema.name
secondary.deserializer timetolivemillis type useragentapp
"""
_GLUE_KEYS = frozenset(_GLUE_NAMES.split())
_GLUE_HINT = "For Glue write source.config.schema_registry: {type: glue, region: ...}; a registry's name is not needed."


def registry_key(key: str) -> str:
    """The key without the prefix that Kafka Connect and Java clients put before it."""
    return key.removeprefix(JAVA_PREFIX)


def _registry_problems(key: str, value: Any) -> Iterator[Problem]:
    if key in _JAVA_REGISTRY:
        yield Problem((key,), "is a setting of the Java client", _JAVA_REGISTRY[key])
    elif key == CREDENTIALS_SOURCE:
        if value not in ("USER_INFO", "URL"):
            hint = "Set basic.auth.user.info to user:password."
            yield Problem((key,), "is a setting of the Java client, of which only USER_INFO and URL have a like", hint)
    elif key == "basic.auth.user.info":
        if not isinstance(value, str) or ":" not in value:
            yield Problem((key,), "must be user:password")
    elif key in _REGISTRY_NUMBERS:
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", str(value)):
            yield Problem((key,), "must be a number", seen=value)
    elif isinstance(value, (Mapping, list)):
        yield Problem((key,), "must be text or a number")
    elif key != "url" and key not in REGISTRY_CLIENT_KEYS:
        yield _unknown_setting(key)


def _unknown_setting(key: str) -> Problem:
    if key.replace("_", ".").lower() in _GLUE_KEYS:
        what = "is a setting of Glue's serializers, and this section is for Confluent's client"
        return Problem((key,), what, _GLUE_HINT)
    return Problem((key,), "is not a setting of the registry client", did_you_mean(key, REGISTRY_CLIENT_KEYS))


def directory_path(value: Any) -> Path:
    """A path, `~` expanded."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise Wrong("must be a path")
    try:
        return Path(value.strip()).expanduser()
    except RuntimeError:
        raise Wrong("begins with a home directory that is not known", "Write the path in full.") from None


def topic_name(value: Any) -> str:
    """A topic's name."""
    if not isinstance(value, str) or not _TOPIC.fullmatch(value.strip()) or value.strip() in {".", ".."}:
        raise Wrong("must be a topic's name", "Letters, digits, '.', '_' and '-'; no patterns.")
    return value.strip()


def bucket_name(value: Any) -> str:
    """An S3 bucket's name."""
    if not isinstance(value, str) or not _BUCKET.fullmatch(value.strip()):
        raise Wrong("must be a bucket's name", "Only the name: no s3://, no path.")
    return value.strip()


def key_prefix(value: Any) -> str:
    """What S3 keys begin with, without slashes around it; empty is allowed."""
    if not isinstance(value, str) or not value.isprintable():
        raise Wrong("must be text")
    return value.strip().strip("/")


def bucket_place(value: Any) -> str:
    """`s3://bucket/prefix`, without a slash at the end."""
    bucket, _, prefix = value.strip().removeprefix("s3://").partition("/") if isinstance(value, str) else ("", "", "")
    if not isinstance(value, str) or not value.strip().startswith("s3://") or not _BUCKET.fullmatch(bucket):
        raise Wrong("must be s3://bucket/prefix")
    return f"s3://{bucket}/{key_prefix(prefix)}".rstrip("/")


def error_names(value: Any) -> list[str]:
    """Classes by their dotted names, as logs and letters have them: `ValueError`, `requests.exceptions.Timeout`."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)):
        raise Wrong("must be a list of exceptions", "Write [ValueError, my_module.MyError].")
    wrong = [name for name in names if not isinstance(name, str) or not _CLASS.fullmatch(name.strip())]
    if wrong:
        raise Wrong("must be a list of dotted names", "A class as logs and letters show it: my_module.MyError.")
    return [name.strip().removeprefix("builtins.").removeprefix("datahub_handler.") for name in names]


def listening_address(value: Any) -> str:
    """An address to listen on."""
    if value == "localhost":
        return LOOPBACK
    try:
        if isinstance(value, str) and "%" not in value:
            return str(address_of(value))
    except ValueError:
        pass
    raise Wrong(
        f"must be an IPv4 or IPv6 address of this machine, such as {LOOPBACK} or ::1",
        f'For all of them, write {EVERYWHERE} (IPv4) or "{EVERYWHERE_6}" (IPv6 and IPv4). YAML needs quotes around '
        f'"{EVERYWHERE_6}".',
    )


def status_port(value: Any) -> int | None:
    """A port, or `None` where the server is switched off."""
    if value is None or value is False or (isinstance(value, str) and value.strip().lower() in OFF):
        return None
    return Whole(0, _MAX_PORT)(value)


def aws_region(value: Any) -> str:
    """The name of an AWS region."""
    if not isinstance(value, str) or not is_region(value):
        raise Wrong("must be an AWS region", "Such as eu-west-1.")
    return value


def role_arn(value: Any) -> str:
    """The ARN of a role."""
    if not isinstance(value, str) or not _ROLE.fullmatch(value):
        raise Wrong("must be a role's ARN", "Such as arn:aws:iam::123456789012:role/reader.")
    return value


def external_id_of_a_role(value: Any) -> str:
    """What a role's trust policy asks for beside who assumes it."""
    if not isinstance(value, str) or not _EXTERNAL_ID.fullmatch(value):
        raise Wrong("must be an external id", "2 to 1224 letters, digits and + = , . @ : / - _.")
    return value
