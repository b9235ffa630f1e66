"""What librdkafka takes as consumer properties, what Java spells otherwise, and what the poller keeps for itself.

Facts and checks on the plain map `consumer_config`; must not know where the map comes from. It does not
import the Kafka client: the names are listed here, and a test compares them with the library's own list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from datahub_poller.config.java_words import translated, without_prefix
from datahub_poller.config.problems import Problem, Wrong
from datahub_poller.msk import is_msk_iam

CALLBACK = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)
"""`module:function`."""

_NAMES = """
allow.auto.create.topics api.version.fallback.ms api.version.request api.version.request.timeout.ms
auto.commit.interval.ms auto.offset.reset bootstrap.servers broker.address.family broker.address.ttl
broker.version.fallback check.crcs client.dns.lookup client.id client.rack connections.max.idle.ms
coordinator.query.interval.ms debug enable.auto.commit enable.auto.offset.store enable.metrics.push
enable.partition.eof enable.random.seed enable.sasl.oauthbearer.unsecure.jwt
enable.ssl.certificate.verification fetch.error.backoff.ms fetch.max.bytes fetch.message.max.bytes
fetch.min.bytes fetch.queue.backoff.ms fetch.wait.max.ms group.id group.instance.id group.protocol
group.protocol.type group.remote.assignor heartbeat.interval.ms https.ca.location https.ca.pem
internal.termination.signal isolation.level log.connection.close log.queue log.thread.name log_level
max.in.flight max.in.flight.requests.per.connection max.partition.fetch.bytes max.poll.interval.ms
message.copy.max.bytes message.max.bytes metadata.broker.list metadata.max.age.ms
metadata.recovery.rebootstrap.trigger.ms metadata.recovery.strategy oauth_cb partition.assignment.strategy
plugin.library.paths queued.max.messages.kbytes queued.min.messages receive.message.max.bytes
reconnect.backoff.jitter.ms reconnect.backoff.max.ms reconnect.backoff.ms retry.backoff.max.ms
retry.backoff.ms sasl.kerberos.keytab sasl.kerberos.kinit.cmd sasl.kerberos.min.time.before.relogin
sasl.kerberos.principal sasl.kerberos.service.name sasl.mechanism sasl.mechanisms
sasl.oauthbearer.assertion.algorithm sasl.oauthbearer.assertion.claim.aud
sasl.oauthbearer.assertion.claim.exp.seconds sasl.oauthbearer.assertion.claim.iss
sasl.oauthbearer.assertion.claim.jti.include sasl.oauthbearer.assertion.claim.nbf.seconds
sasl.oauthbearer.assertion.claim.sub sasl.oauthbearer.assertion.file
sasl.oauthbearer.assertion.jwt.template.file sasl.oauthbearer.assertion.private.key.file
sasl.oauthbearer.assertion.private.key.passphrase sasl.oauthbearer.assertion.private.key.pem
sasl.oauthbearer.client.credentials.client.id sasl.oauthbearer.client.credentials.client.secret
sasl.oauthbearer.client.id sasl.oauthbearer.client.secret sasl.oauthbearer.config
sasl.oauthbearer.extensions sasl.oauthbearer.grant.type sasl.oauthbearer.metadata.authentication.type
sasl.oauthbearer.method sasl.oauthbearer.scope sasl.oauthbearer.sub.claim.name
sasl.oauthbearer.token.endpoint.url sasl.password sasl.username security.protocol session.timeout.ms
socket.blocking.max.ms socket.connection.setup.timeout.ms socket.keepalive.enable socket.max.fails
socket.nagle.disable socket.receive.buffer.bytes socket.send.buffer.bytes socket.timeout.ms
ssl.ca.certificate.stores ssl.ca.location ssl.ca.pem ssl.certificate.location ssl.certificate.pem
ssl.cipher.suites ssl.crl.location ssl.curves.list ssl.endpoint.identification.algorithm ssl.engine.id
ssl.engine.location ssl.key.location ssl.key.password ssl.key.pem ssl.keystore.location
ssl.keystore.password ssl.providers ssl.sigalgs.list statistics.interval.ms topic.blacklist
topic.metadata.propagation.max.ms topic.metadata.refresh.fast.cnt
topic.metadata.refresh.fast.interval.ms topic.metadata.refresh.interval.ms topic.metadata.refresh.sparse
"""
KNOWN = frozenset(_NAMES.split())

_PEM = "librdkafka reads PEM files"
JAVA_ONLY: Mapping[str, str] = {
    "ssl.truststore.password": f"{_PEM}: leave it out and set ssl.ca.location.",
    "ssl.protocol": "Leave it out: the newest TLS that both sides know is used.",
    "ssl.enabled.protocols": "Leave it out: the newest TLS that both sides know is used.",
    "ssl.provider": "Set ssl.providers.",
    "sasl.client.callback.handler.class": "Set oauth_cb to module:function.",
    "sasl.login.callback.handler.class": "Set oauth_cb to module:function.",
    "sasl.login.class": "Set oauth_cb to module:function.",
    "key.deserializer": "Leave it out: the poller decodes.",
    "value.deserializer": "Leave it out: the poller decodes.",
    "fetch.max.wait.ms": "Set fetch.wait.max.ms.",
    "receive.buffer.bytes": "Set socket.receive.buffer.bytes.",
    "send.buffer.bytes": "Set socket.send.buffer.bytes.",
    "request.timeout.ms": "Set socket.timeout.ms.",
    "default.api.timeout.ms": "Set socket.timeout.ms.",
    "socket.connection.setup.timeout.max.ms": "Set socket.connection.setup.timeout.ms.",
    "interceptor.classes": "Leave it out.",
    "max.poll.records": "Set batch.size.",
}

STRATEGIES = frozenset({"range", "roundrobin", "cooperative-sticky"})
_JAVA_STRATEGIES = {
    "RangeAssignor": "range",
    "RoundRobinAssignor": "roundrobin",
    "StickyAssignor": "cooperative-sticky",
    "CooperativeStickyAssignor": "cooperative-sticky",
}

REFUSED_UNDER_CONSUMER_PROTOCOL = frozenset(
    {"session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy", "group.protocol.type"}
)

OWNED = frozenset(
    {
        "auto.commit.interval.ms",
        "auto.offset.reset",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "plugin.library.paths",
    }
)
"""Properties whose value is the poller's own, whatever is configured."""

_MUST_BE_OFF = {
    "enable.auto.commit": "it would commit what no handler has seen: the poller commits what is settled",
    "enable.auto.offset.store": "it would commit what no handler has seen: the poller commits what is settled",
    "enable.partition.eof": "the poller does not want to hear of partition ends",
}


def consumer_settings(value: Any) -> dict[str, Any]:
    """The map `consumer_config`, nulls left out; raises `Wrong` with everything that is wrong with it."""
    if not isinstance(value, Mapping):
        raise Wrong("must be a map of librdkafka properties", show_value=False)
    given, problems = _plain(value)
    problems += [problem for key, item in given.items() for problem in _property_problems(key, item)]
    problems += _pair_problems(given)
    if problems:
        raise Wrong("has problems", problems=problems)
    return given


def _plain(value: Mapping[Any, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Without nulls, and in librdkafka's words."""
    given, twice = without_prefix({str(key): item for key, item in value.items() if item is not None})
    properties, problems = translated(given)
    return properties, [*twice, *problems]


def _property_problems(key: str, value: Any) -> Iterator[Problem]:
    if key in JAVA_ONLY:
        yield Problem((key,), "is a property of the Java client, librdkafka has none of this name", JAVA_ONLY[key])
    elif key == "plugin.library.paths":
        yield Problem((key,), "is refused: it loads native code into the poller", "Leave it out.")
    elif key.endswith("_cb") and key != "oauth_cb":
        yield Problem((key,), "is refused: of the callbacks only oauth_cb can be set", "Leave it out.")
    elif isinstance(value, (Mapping, list)):
        hint = "Write the properties in it one by one." if isinstance(value, Mapping) else "Write it as one text."
        yield Problem((key,), "must be text, a number or true/false", hint, value)
    elif key not in KNOWN:
        close = get_close_matches(key, KNOWN, n=1, cutoff=0.85)
        if close:
            yield Problem((key,), "is not a librdkafka property", f"Did you mean '{close[0]}'?")
    else:
        yield from _value_problems(key, value)


def _value_problems(key: str, value: Any) -> Iterator[Problem]:
    if key in _MUST_BE_OFF and truth(value) is not False:
        yield Problem((key,), f"cannot be on: {_MUST_BE_OFF[key]}", "Leave it out.", value)
    elif key == "oauth_cb" and not (isinstance(value, str) and (CALLBACK.fullmatch(value) or is_msk_iam(value))):
        yield Problem((key,), "must be module:function", "For Amazon MSK with IAM: msk-iam.", value)
    elif key == "partition.assignment.strategy":
        yield from _strategy_problems(key, str(value))
    elif key == "group.protocol" and str(value).lower() not in {"classic", "consumer"}:
        yield Problem((key,), "must be classic or consumer", seen=value)
    elif key.endswith((".ms", ".bytes")) and whole(value) is None:
        yield Problem((key,), "must be a whole number", "Plain, without a unit.", value)


def _strategy_problems(key: str, value: str) -> Iterator[Problem]:
    names = [name.strip() for name in value.split(",")]
    java = [_JAVA_STRATEGIES[short] for name in names if (short := name.rpartition(".")[2]) in _JAVA_STRATEGIES]
    if java:
        yield Problem((key,), "names a class of the Java client", f"librdkafka calls it {', '.join(java)}.", value)
    elif not STRATEGIES.issuperset(names):
        yield Problem((key,), "is not an assignor", f"Known: {', '.join(sorted(STRATEGIES))}.", value)
    elif "cooperative-sticky" in names and len(names) > 1:
        hint = "Change the whole group to cooperative-sticky by a stop and a start."
        yield Problem((key,), "mixes cooperative and eager assignors, which librdkafka refuses", hint, value)


def _pair_problems(given: Mapping[str, Any]) -> Iterator[Problem]:
    if "ssl.keystore.location" in given and "ssl.keystore.password" not in given:
        yield Problem(
            ("ssl.keystore.location",), "needs ssl.keystore.password", "librdkafka opens no keystore without."
        )
    for one, other in (("sasl.mechanism", "sasl.mechanisms"), ("bootstrap.servers", "metadata.broker.list")):
        if one in given and other in given and str(given[one]) != str(given[other]):
            yield Problem((other,), f"says something else than {one}, which is the same property", "Keep one of them.")
    if str(given.get("group.protocol", "")).lower() == "consumer":
        for key in sorted(REFUSED_UNDER_CONSUMER_PROTOCOL.intersection(given)):
            what = "cannot be set with group.protocol consumer, where the broker decides it"
            yield Problem((key,), what, "Leave it out, or leave out group.protocol.")


def truth(value: Any) -> bool | None:
    """A property's value as librdkafka reads truth, `None` if it is none."""
    word = str(value).strip().lower()
    return True if word in {"true", "t", "1"} else False if word in {"false", "f", "0"} else None


def whole(value: Any) -> int | None:
    """A property's value as a whole number, `None` if it is none."""
    text = "" if isinstance(value, bool) else str(value).strip()
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else None


_FILES = frozenset(
    {
        "https.ca.location",
        "sasl.kerberos.keytab",
        "sasl.oauthbearer.assertion.file",
        "sasl.oauthbearer.assertion.jwt.template.file",
        "sasl.oauthbearer.assertion.private.key.file",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.crl.location",
        "ssl.key.location",
        "ssl.keystore.location",
    }
)
_NO_FILE = "probe"
"""What librdkafka takes in the place of a file of CA certificates: it looks for one."""


def with_whole_paths(properties: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The properties with their files below `directory`. A registry client's settings have the same names."""
    return {
        key: str(directory / value)
        if key in _FILES and isinstance(value, str) and value not in ("", _NO_FILE)
        else value
        for key, value in properties.items()
    }


def property_text(value: Any) -> str:
    """A property's value as librdkafka wants it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


_PRODUCER_ONLY = """
batch.num.messages batch.size compression.codec compression.level compression.type delivery.timeout.ms linger.ms
message.send.max.retries message.timeout.ms partitioner queue.buffering.max.kbytes queue.buffering.max.messages
queue.buffering.max.ms request.timeout.ms retries sticky.partitioning.linger.ms
"""
_CONSUMER_ONLY_BEGINNINGS = """
auto. check.crcs enable.auto. enable.partition. fetch. group. heartbeat. isolation. max.partition.fetch max.poll.
partition.assignment. queued. session.
"""
_CONSUMER_ONLY = tuple(_CONSUMER_ONLY_BEGINNINGS.split())
PRODUCER_KNOWN = frozenset(_PRODUCER_ONLY.split()) | {key for key in KNOWN if not key.startswith(_CONSUMER_ONLY)}
_LETTERS_ARE_SAFE = "it is what makes an acknowledged letter safe"
_PRODUCER_OWNED: Mapping[str, str] = {
    "acks": f"is always all: {_LETTERS_ARE_SAFE}",
    "request.required.acks": f"is always all: {_LETTERS_ARE_SAFE}",
    "enable.idempotence": f"is always true: {_LETTERS_ARE_SAFE}",
    "enable.gapless.guarantee": "is not for letters",
    "transactional.id": "is not for letters",
    "message.timeout.ms": "is dead_letter.config.timeout here",
    "delivery.timeout.ms": "is dead_letter.config.timeout here",
    "bootstrap.servers": "is dead_letter.config.bootstrap here",
    "metadata.broker.list": "is dead_letter.config.bootstrap here",
}


def producer_settings(value: Any) -> dict[str, Any]:
    """The map `producer_config`, nulls left out; raises `Wrong` with everything that is wrong with it."""
    if not isinstance(value, Mapping):
        raise Wrong("must be a map of librdkafka properties", show_value=False)
    given, problems = _plain(value)
    problems += [problem for key, item in given.items() for problem in _producer_problems(key, item)]
    if problems:
        raise Wrong("has problems", problems=problems)
    return given


def _producer_problems(key: str, value: Any) -> Iterator[Problem]:
    if key in _PRODUCER_OWNED:
        yield Problem((key,), _PRODUCER_OWNED[key], "Leave it out.")
    elif key in _PRODUCER_ONLY.split():
        if isinstance(value, (Mapping, list)):
            yield Problem((key,), "must be text, a number or true/false", seen=value)
    elif key in KNOWN and key not in PRODUCER_KNOWN:
        yield Problem((key,), "is a property of consumers", "Leave it out.")
    else:
        yield from _property_problems(key, value)
