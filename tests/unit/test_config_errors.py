"""Wrong action files: every problem at once, each with its path, the value seen and what to do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from datahub_poller.config import load, parse_action
from datahub_poller.errors import ConfigError
from support.action_files import MINIMAL, action_of, problems_of, with_keys, written

CONNECTION = "source.config.connection"
CONSUMER = f"{CONNECTION}.consumer_config"
REGISTRY = f"{CONNECTION}.schema_registry_config"
CONFIG = "source.config"
LONG = {f"{CONSUMER}/max.poll.interval.ms": 600_000}


def load_problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert caught.value.__cause__ is None
    return caught.value.problems


# One wrong key: path, value, and what the one line about it must say.
WRONG = [
    ("nmae", "x", ["is not a key of an action file", "Did you mean 'name'?"]),
    ("something_else", "x", ["Known: batch, "]),
    ("batch.sizes", 1, ["batch.sizes: is not a key of batch", "Did you mean 'size'?"]),
    ("handler.config.functoin", "a:b", ["handler.config.functoin", "Did you mean 'function'?"]),
    ("batch", "100", ["batch: must be a map"]),
    ("batch", [1], ["batch: must be a map"]),
    ("name", 5, ["name: must be text (seen: 5). Put it in quotes."]),
    ("name", "", ["name: must be text that is not empty"]),
    ("name", "a\nb", ["name: must be text that is not empty and can be printed"]),
    ("enabled", "perhaps", ["enabled: must be true or false (seen: 'perhaps')"]),
    ("enabled", [], ["enabled: must be true or false (seen: a list)"]),
    (
        "source.type",
        "pg_queue",
        ["source.type: is not supported (seen: 'pg_queue'). Let DataHub write its events to Kafka"],
    ),
    ("source.type", "datahub-cloud", ["source.type: is not supported (seen: 'datahub-cloud'). DataHub Actions"]),
    ("source.type", "x:Y", ["source.type: is not known (seen: 'x:Y'). This version has: kafka."]),
    ("handler.type", "lambda", ["handler.type: is not there yet (seen: 'lambda'). This version has: python."]),
    ("handler.type", "process", ["is not there yet"]),
    ("handler.type", "http", ["is not there yet"]),
    ("handler.config.function", "handle", ["must be module:function (seen: 'handle')", "tag_sync:handle"]),
    ("handler.config.function", "a b:c", ["must be module:function"]),
    ("handler.config.timeout", "0s", ["must be between 1ms and 24h (seen: '0s')"]),
    ("transform", [{"type": "x"}], ["transform: is not there yet", "handler"]),
    ("action", {"type": "hello_world"}, ["action: is not there yet", "module:function"]),
    ("dead_letter.type", "redis", ["dead_letter.type: must be one of file, kafka, sqs, s3 (seen: 'redis')"]),
    ("dead_letter.type", "kafka", ["dead_letter.config.topic: is required for dead_letter.type: kafka"]),
    ("dead_letter.type", "sqs", ["dead_letter.config.queue: is required for dead_letter.type: sqs"]),
    ("dead_letter.type", "s3", ["dead_letter.config.bucket: is required for dead_letter.type: s3"]),
    ("dead_letter.config.queue", "https://sqs/q", ["is not for dead_letter.type: file", "dead_letter.type: sqs"]),
    ("dead_letter", {"type": "kafka", "config": {"topic": "a b"}}, ["dead_letter.config.topic"]),
    ("dead_letter", {"type": "kafka", "config": {"topic": "PlatformEvent_v1"}}, ["is DataHub's own"]),
    ("dead_letter", {"type": "kafka", "config": {"topic": "t", "headers": "x"}}, ["datahub-poller, spring, connect"]),
    ("dead_letter", {"type": "s3", "config": {"bucket": "No"}}, ["dead_letter.config.bucket"]),
    ("dead_letter", {"type": "s3", "config": {"bucket": "letters", "kms_key": "k"}}, ["needs", "aws:kms"]),
    (
        "dead_letter",
        {"type": "sqs", "config": {"queue": "https://sqs.eu-west-1.amazonaws.com/1/q", "encryption": "AES256"}},
        ["dead_letter.config.encryption: is for the objects of dead_letter.config.overflow, which is not set"],
    ),
    ("dead_letter.config.limit", "1MiB", ["dead_letter.config.limit: is below dead_letter.config.rotate (64MiB)"]),
    ("dead_letter.config.rotate", "1B", ["dead_letter.config.rotate: must be between 4KiB and 1024GiB"]),
    ("dead_letter.config.ephemeral", "yes", ["dead_letter.config.ephemeral: is not known", "accept"]),
    ("dead_letter.breaker.in_a_row", 0, ["must be between 1 and 1000000 (seen: 0)"]),
    ("batch.format", "esm", ["batch.format: is not there yet"]),
    ("batch.size", 0, ["must be between 1 and 10000 (seen: 0)"]),
    ("batch.rate", "fast", ["batch.rate: must be a rate (seen: 'fast')", "100/s"]),
    ("batch.rate", True, ["must be a rate"]),
    ("batch.rate", "0/s", ["must be between 1/h and 1000000/s"]),
    ("batch.rate", "2000000", ["must be between 1/h and 1000000/s"]),
    ("retry.max_age", "0s", ["must be between 1ms and 720h"]),
    ("retry.fatal", 5, ["retry.fatal: must be a list of exceptions (seen: 5)"]),
    ("retry.fatal", ["no class"], ["must be a list of dotted names", "my_module.MyError"]),
    ("retry.retryable", [1], ["must be a list of dotted names"]),
    ("batch.size", 10_001, ["must be between 1 and 10000 (seen: 10001)"]),
    ("batch.size", "many", ["must be a whole number (seen: 'many')"]),
    ("batch.size", True, ["must be a whole number (seen: true)"]),
    ("batch.size", 1.5, ["must be a whole number (seen: 1.5)"]),
    ("batch.window", "6m", ["must be between 0s and 5m (seen: '6m')"]),
    ("batch.window", -1, ["must be between"]),
    ("batch.window", float("nan"), ["must be a duration"]),
    ("batch.window", float("inf"), ["must be a duration"]),
    ("batch.window", "1 fortnight", ["must be a duration (seen: '1 fortnight')", "500ms"]),
    ("batch.window", {"a": 1}, ["must be a duration (seen: a map)"]),
    ("batch.bytes", "1000", ["must be between 1KiB and 1GiB (seen: '1000')"]),
    ("batch.bytes", "5 pounds", ["must be a size (seen: '5 pounds')", "5MiB"]),
    ("batch.bytes", "128MiB", ["batch.bytes: is larger than source.config.buffer (64MiB)"]),
    ("batch.concurrency", 65, ["must be between 1 and 64"]),
    ("batch.order", "strikt", ["must be one of failed_only, strict (seen: 'strikt'). Did you mean 'strict'?"]),
    ("retry.attempts", 0, ["must be between 1 and 1000 (seen: 0)"]),
    ("retry.max_backoff", "100ms", ["is shorter than retry.backoff (1s)"]),
    ("retry.bisect", "maybe", ["must be true or false"]),
    ("options.failure_mode", "STOP", ["must be one of CONTINUE, THROW (seen: 'STOP')"]),
    ("options.retry_count", -1, ["must be between 0 and 999 (seen: -1)"]),
    ("options.retry_backoff_seconds", 1, ["Set retry.backoff."]),
    ("options.failed_events_dir", 5, ["must be a path (seen: 5)"]),
    ("status.port", 70_000, ["must be between 0 and 65535 (seen: 70000)"]),
    ("logs.level", "loud", ["must be one of debug, info, warning, error (seen: 'loud')"]),
    ("shutdown.deadline", "5m", ["session.timeout.ms (45s)", "max.poll.interval.ms (5m)", "(seen: '5m')"]),
    (f"{CONFIG}.strat", "latest", ["Did you mean 'start'?"]),
    (f"{CONFIG}.commit_interval", "1s", ["Set source.config.commit."]),
    (f"{CONFIG}.dead_letter_topic", "x", ["Set dead_letter.type: kafka"]),
    (
        f"{CONFIG}.start",
        "yesterday",
        ["must be latest, earliest or a time (seen: 'yesterday')"],
    ),
    (f"{CONFIG}.start", 5, ["must be latest, earliest or a time (seen: 5)"]),
    (f"{CONFIG}.commit", "often", ["must be a duration (seen: 'often')", "'step'"]),
    (f"{CONFIG}.on_gap", "ignore", ["must be one of earliest, halt (seen: 'ignore')"]),
    (f"{CONFIG}.buffer", 10, ["must be between 1KiB and 64GiB (seen: 10)"]),
    (f"{CONFIG}.topic_routes", {}, ["names no topic"]),
    (f"{CONFIG}.topic_routes", "x", ["must be a map from routes to topics"]),
    (f"{CONFIG}.topic_routes", {"mlc": "T"}, [f"{CONFIG}.topic_routes.mlc: is not a route. Did you mean 'mcl'?"]),
    (f"{CONFIG}.topic_routes", {"pe": "^P.*"}, ["must be a topic's name (seen: '^P.*')"]),
    (f"{CONFIG}.topic_routes", {"pe": "T", "mcl": "T"}, ["topic_routes.pe: is routed as platform events and as"]),
    (f"{CONFIG}.topic_routes", {"pe": "T", "mcl_timeseries": "T"}, ["topic_routes.pe: is routed"]),
    (f"{CONFIG}.schema_registry.type", "karapace", ["must be one of confluent, glue, auto (seen: 'karapace')"]),
    (f"{CONFIG}.schema_registry.region", "eu-west-1", ["is for Glue. Set type: glue, or type: auto."]),
    (f"{CONFIG}.schema_registry.timeout", "2m", ["must be between 100ms and 60s"]),
    (f"{CONNECTION}.bootstrap", "", ["names no server"]),
    (f"{CONNECTION}.bootstrap", "a:b", ["must be host:port", "(seen: 'a:b')"]),
    (f"{CONNECTION}.bootstrap", "a:0", ["must be host:port"]),
    (f"{CONNECTION}.bootstrap", "a:70000", ["must be host:port"]),
    (f"{CONNECTION}.bootstrap", "a b:1", ["must be host:port"]),
    (f"{CONNECTION}.bootstrap", ["a:1"], ["must be text (seen: a list)"]),
    (f"{CONNECTION}.schema_registry_url", "registry:8081", ["must be a URL that begins with http:// or https://"]),
    (f"{CONNECTION}.schema_registry_url", "", ["must be a URL"]),
    (CONSUMER, "x", ["consumer_config: must be a map of librdkafka properties"]),
    (f"{CONSUMER}/sesion.timeout.ms", 1, ["Did you mean 'session.timeout.ms'?"]),
    (f"{CONSUMER}/session.timeout.ms", "10s", ["must be a whole number (seen: '10s')"]),
    (f"{CONSUMER}/max.poll.interval.ms", 10_000, ["(10000) is below session.timeout.ms (45000)"]),
    (f"{CONSUMER}/session.timeout.ms", 400_000, ["(300000) is below session.timeout.ms (400000)"]),
    (f"{CONSUMER}/enable.auto.commit", True, ["cannot be on", "Leave it out"]),
    (f"{CONSUMER}/enable.auto.offset.store", "true", ["cannot be on"]),
    (f"{CONSUMER}/plugin.library.paths", "x.so", ["is refused: it loads native code"]),
    (f"{CONSUMER}/stats_cb", "a:b", ["is refused: of the callbacks only oauth_cb"]),
    (f"{CONSUMER}/oauth_cb", "a.b.c", ["must be module:function (seen: 'a.b.c')"]),
    (f"{CONSUMER}/ssl.truststore.location", "/x.jks", ["ssl.ca.location"]),
    (f"{CONSUMER}/ssl.truststore.password", "canary", ["ssl.ca.location"]),
    (f"{CONSUMER}/sasl.jaas.config", "canary", ["is not JAAS: ", "LoginModule required username"]),
    (f"{CONSUMER}/max.poll.records", 5, ["Set batch.size."]),
    (f"{CONSUMER}/value.deserializer", "x", ["the poller decodes"]),
    (f"{CONSUMER}/ssl.keystore.location", "/x.p12", ["needs ssl.keystore.password"]),
    (f"{CONSUMER}/group.protocol", "new", ["must be classic or consumer (seen: 'new')"]),
    (f"{CONSUMER}/default.topic.config", {"a": 1}, ["must be text, a number or true/false (seen: a map)"]),
    (f"{CONSUMER}/partition.assignment.strategy", "sticky", ["is not an assignor"]),
    (f"{CONSUMER}/partition.assignment.strategy", "range,cooperative-sticky", ["mixes cooperative and eager"]),
    (
        f"{CONSUMER}/partition.assignment.strategy",
        "org.apache.kafka.clients.consumer.CooperativeStickyAssignor",
        ["names a class of the Java client", "librdkafka calls it cooperative-sticky"],
    ),
    (REGISTRY, [], ["must be a map of the registry client's settings"]),
    (f"{REGISTRY}/basic.auth.usr.info", "a:b", ["Did you mean 'basic.auth.user.info'?"]),
    (f"{REGISTRY}/basic.auth.user.info", "canary", ["must be user:password"]),
    (f"{REGISTRY}/basic.auth.credentials.source", "SASL_INHERIT", ["Set basic.auth.user.info to user:password."]),
    (f"{REGISTRY}/basic.auth.credentials.source", ["x"], ["Set basic.auth.user.info to user:password."]),
    (f"{REGISTRY}/ssl.truststore.location", "/x", ["set ssl.ca.location"]),
    (
        f"{REGISTRY}/registry.name",
        "x",
        ["setting of Glue's", "source.config.schema_registry: {type: glue, region: ...}"],
    ),
    (f"{REGISTRY}/avroRecordType", "GENERIC_RECORD", ["source.config.schema_registry: {type: glue, region: ...}"]),
    (f"{REGISTRY}/ssl.key.location", "/x", ["needs ssl.certificate.location"]),
    (f"{REGISTRY}/timeout", "soon", ["must be a number (seen: 'soon')"]),
    ("filters", {"type": "event_type"}, ["filters: must be a list"]),
    ("filters", [{"type": "regex", "config": {}}], ["filters[0].type: is not a filter type", "event_type"]),
    ("filters", [{"type": "event_type", "config": {"filter": {}}}], ["filters: let no event through"]),
    ("filter", {"event_type": "MetadataChangeLog_v1"}, ["filter: let no event through"]),
    ("datahub", "x", ["datahub: must be a map"]),
]


@pytest.mark.parametrize(("key", "value", "parts"), WRONG, ids=[f"{key}-{value!r}"[:60] for key, value, _ in WRONG])
def test_a_wrong_value_is_told_in_one_line_with_path_and_remedy(key: str, value: Any, parts: list[str]) -> None:
    problems = problems_of({key: value}, file="conf/action.yaml")
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"conf/action.yaml: {key.replace('/', '.').split('.')[0]}")
    for part in parts:
        assert part in problems[0]
    assert "\n" not in problems[0]
    assert "canary" not in problems[0]


@pytest.mark.parametrize(
    ("keys", "part"),
    [
        ({"retry.attempts": 2, "options.retry_count": 1}, "is given beside retry.attempts"),
        (
            {f"{CONSUMER}/group.protocol": "consumer", f"{CONSUMER}/session.timeout.ms": 45_000},
            "session.timeout.ms: cannot be set with group.protocol consumer",
        ),
        (
            {f"{CONSUMER}/group.protocol": "consumer", f"{CONSUMER}/partition.assignment.strategy": "range"},
            "partition.assignment.strategy: cannot be set with group.protocol consumer",
        ),
        (
            {f"{CONSUMER}/sasl.mechanism": "PLAIN", f"{CONSUMER}/sasl.mechanisms": "GSSAPI"},
            "says something else than sasl.mechanism",
        ),
        (
            {f"{CONNECTION}.schema_registry_url": "http://u:canary@r", f"{REGISTRY}/basic.auth.user.info": "u:canary"},
            "is given beside a user in the registry's URL",
        ),
        ({"shutdown.deadline": "260s"}, "does not fit below max.poll.interval.ms (5m)"),
        (
            {
                "filters": [{"type": "event_type", "config": {"filter": {"EntityChangeEvent_v1": None}}}],
                f"{CONFIG}.topic_routes": {"mcl": "T"},
            },
            "routes no topic whose events pass the filters",
        ),
        (
            {
                "filters": [{"type": "event_type", "config": {"filter": {"EntityChangeEvent_v1": None}}}],
                "filter": {"event_type": "MetadataChangeLogEvent_v1"},
            },
            "filters: let no event through",
        ),
    ],
)
def test_what_cannot_hold_together_is_refused(keys: dict[str, Any], part: str) -> None:
    problems = problems_of(keys)
    assert len(problems) == 1, problems
    assert part in problems[0]
    assert "canary" not in problems[0]


def test_a_deadline_that_fits_is_taken_and_used_for_revocations() -> None:
    action = action_of({"shutdown.deadline": "254s"})
    assert action.revoke_wait == 254
    assert action_of({"shutdown.deadline": "500s", **LONG}).revoke_wait == 500
    under_new_protocol = {f"{CONSUMER}/group.protocol": "consumer", "shutdown.deadline": "254s"}
    assert action_of(under_new_protocol).revoke_wait == 254


@pytest.mark.parametrize(
    ("poll", "session", "wait"), [(6_000, 6_000, 1.8), (20_000, 10_000, 8.0), (300_000, 45_000, 25.0)]
)
def test_the_default_deadline_gives_way_to_a_short_poll_interval(poll: int, session: int, wait: float) -> None:
    action = action_of({f"{CONSUMER}/max.poll.interval.ms": poll, f"{CONSUMER}/session.timeout.ms": session})
    assert action.revoke_wait == pytest.approx(wait)
    assert action.shutdown.deadline == 25
    assert any("shortened" in warning for warning in action.warnings) is (wait < 25)


def test_timings_from_the_environment_count_too() -> None:
    environ = {"KAFKA_PROPERTIES_MAX_POLL_INTERVAL_MS": "30000"}
    assert "is below session.timeout.ms" in problems_of({}, environ)[0]
    environ["KAFKA_PROPERTIES_SESSION_TIMEOUT_MS"] = "10000"
    assert action_of({}, environ).revoke_wait == pytest.approx(16)


def test_every_problem_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    text = """
nam: tag-sync
transform: [{type: x}]
source:
  type: kafka
  config:
    bufer: 3
    start: 2199-01-01T00:00:00Z
    connection:
      bootstrap: "a:b"
      schema_registry_url: ${NOT_SET}
      consumer_config: {sasl.jaas.config: canary, sesion.timeout.ms: 2, max.poll.interval.ms: x}
    topic_routes: {mclx: a}
batch: {size: 0, window: 5 parsecs, bytes: "${SIZE}"}
handler: {type: lambda, config: {path: 5}}
retry: {attempts: 2}
options: {retry_count: 3}
filters: [{type: event_type, config: {filter: {EntityChangeEvent_v1: {event: {a: b}}}}}]
"""
    problems = load_problems(written(tmp_path, text))
    keys = sorted(problem.split(": ")[1] for problem in problems)
    assert keys == sorted(
        [
            "name",
            "nam",
            "transform",
            "source.config.bufer",
            "source.config.start",
            "source.config.connection.bootstrap",
            "source.config.connection.schema_registry_url",
            "source.config.connection.consumer_config.sasl.jaas.config",
            "source.config.connection.consumer_config.sesion.timeout.ms",
            "source.config.connection.consumer_config.max.poll.interval.ms",
            "source.config.topic_routes.mclx",
            "batch.size",
            "batch.window",
            "batch.bytes",
            "handler.type",
            "handler.config.path",
            "handler.config.function",
            "options.retry_count",
            "filters[0].config.filter.EntityChangeEvent_v1.event",
        ]
    )
    assert "canary" not in str(problems)


def test_a_value_that_is_wrong_brings_no_second_problem_about_what_depends_on_it() -> None:
    keys = {"shutdown.deadline": "10m", f"{CONSUMER}/max.poll.interval.ms": "one hour"}
    assert len(problems_of(keys)) == 1
    assert len(problems_of({f"{CONSUMER}/session.timeout.ms": "x", f"{CONSUMER}/max.poll.interval.ms": 10_000})) == 1


def test_an_empty_action_asks_for_what_is_required() -> None:
    problems = problems_of({}, base={})
    assert [problem.split(": ")[1] for problem in problems] == ["name", "source", "handler"]


def test_an_action_of_datahub_is_not_also_asked_for_a_handler() -> None:
    base = {"name": "a", "source": {"type": "kafka"}, "action": {"type": "hello_world"}}
    assert [problem.split(": ")[1] for problem in problems_of({}, base=base)] == ["action"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n", "must be a map of keys at its top level"),
        ("just text", "must be a map"),
        ("name: [1\n", "line 2, column 1: is not YAML"),
        ("name: a\n  source: b\n", "line 2, column 9: is not YAML: mapping values are not allowed here"),
        ("name: a\n\tb: c\n", "line 2, column 1: is not YAML"),
        ("password: *canary\n", "line 1, column 11: is not YAML"),
        ("password: !canary x\n", "line 1, column 11: is not YAML"),
        ("password: @canary\n", "is not YAML"),
        ("password: %canary\n", "is not YAML"),
        ("a: &canary 1\nb: &canary 2\nc: *nocanary\n", "is not YAML"),
        ("password: 'canary\n", "is not YAML"),
        ("name: \x00\n", "characters that YAML forbids"),
        ("a: !!int canary\n", "does not fit its !!tag"),
        ("a: !!timestamp canary\n", "does not fit its !!tag"),
        ("a: !!bool canary\n", "does not fit its !!tag"),
        ("a: 1\n---\nb: 2\n", "is not YAML"),
        ("? [a]\n: b\n", "is not YAML"),
        ("[" * 5_000, "is n"),
        ("name: a\nname: b\n", "line 2: the key 'name' stands twice in the same map. First on line 1"),
        ("a: {b: 1,\n c: 2,\n b: 3}\n", "line 3: the key 'b' stands twice"),
        ("name: !!binary aGVsbG8=\n", "name: is of a kind that JSON does not have"),
        ("5: x\n", "5: is a key that is not text"),
        ("a: &a [*a]\n", "nested too deeply"),
    ],
)
def test_text_that_is_no_action_file_is_told_by_line(tmp_path: Path, text: str, part: str) -> None:
    problems = load_problems(written(tmp_path, text))
    assert any(part in problem for problem in problems), problems
    assert all(problem.startswith(str(tmp_path / "action.yaml")) for problem in problems)
    assert "canary" not in str(problems)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is not JSON"),
        ('{"name": "canary",}', "line 1, column"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("[]", "must be a map"),
        ("[" * 100_000, "is not JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "is not JSON"),
    ],
)
def test_broken_json_is_told_by_line(tmp_path: Path, text: str, part: str) -> None:
    problems = load_problems(written(tmp_path, text, "action.json"))
    assert part in problems[0]
    assert "canary" not in str(problems)


def test_two_keys_given_twice_are_both_told(tmp_path: Path) -> None:
    assert len(load_problems(written(tmp_path, "a: 1\na: 2\nb: 1\nb: 2\n"))) == 2


def test_an_alias_bomb_ends_in_a_message(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "holds too much" in load_problems(written(tmp_path, "\n".join(lines)))[0]


def test_a_merge_bomb_ends_in_a_message(tmp_path: Path) -> None:
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
    assert "holds too much" in load_problems(written(tmp_path, "\n".join(lines)))[0]


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    assert "there is no such file" in load_problems(tmp_path / "none.yaml")[0]
    (tmp_path / "dir.yaml").mkdir()
    assert "is a directory" in load_problems(tmp_path / "dir.yaml")[0]
    assert "has a suffix that is not known" in load_problems(written(tmp_path, "a: 1", "action.toml"))[0]
    (tmp_path / "latin.yaml").write_bytes(b"name: a\nx: caf\xe9\n")
    assert "line 2: is not UTF-8" in load_problems(tmp_path / "latin.yaml")[0]
    (tmp_path / "large.yaml").write_bytes(b"#" * (2**20 + 1))
    assert "larger than 1 MiB" in load_problems(tmp_path / "large.yaml")[0]
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Path("a\0b.yaml"), {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    path.chmod(0)
    assert "cannot be read: Permission denied" in load_problems(path)[0]


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "action.yml"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(MINIMAL).encode())
    assert load(path, {}).name == "tag-sync"


def test_a_long_value_is_shown_in_part() -> None:
    assert len(problems_of({"batch.order": "x" * 10_000})[0]) < 400


def test_unset_variables_are_told_with_key_and_name_and_nothing_else() -> None:
    problems = problems_of(
        {"name": "${ACTION_NAME}", f"{CONSUMER}/sasl.password": "canary${KAFKA_PASSWORD}", "batch.size": "${SIZE}"}
    )
    assert len(problems) == 3
    assert "name: the environment variable ACTION_NAME is not set" in problems[0]
    assert any("sasl.password: the environment variable KAFKA_PASSWORD is not set" in problem for problem in problems)
    assert "canary" not in str(problems)


def test_a_password_with_a_dollar_sign_is_not_told_in_pieces() -> None:
    problems = problems_of({f"{CONSUMER}/sasl.password": "pa$canary${USER}"}, {"USER": "u"})
    assert len(problems) == 1
    assert "holds a dollar sign" in problems[0]
    assert "canary" not in problems[0]


def test_a_demanded_variable_is_told_with_the_words_of_the_file() -> None:
    problems = problems_of({"name": "${ACTION:?name the action}"})
    assert "the environment variable ACTION is not set or empty: name the action" in problems[0]


@pytest.mark.parametrize("text", ["${A", "${}", "x${A}${", "${A:0:-1}x}", "${A}\\"])
def test_a_form_that_cannot_be_read_is_told_without_the_text(text: str) -> None:
    problems = problems_of({f"{CONSUMER}/sasl.password": f"canary{text}}}"}, {"A": "canary"})
    assert all("canary" not in problem for problem in problems)


def test_config_errors_come_alone() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_action(with_keys({"batch.size": 0}), {})
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
