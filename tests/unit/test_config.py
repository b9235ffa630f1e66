"""A right action file: what its keys become, ours and DataHub's."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from datahub_poller.config import consumer_properties, effective, load, load_enabled, parse_action
from datahub_poller.config.librdkafka import with_whole_paths
from datahub_poller.errors import ConfigError
from support.action_files import MINIMAL, action_of, problems_of, with_keys, written

CONNECTION = "source.config.connection"
REGISTRY = f"{CONNECTION}.schema_registry_config"
CONSUMER = f"{CONNECTION}.consumer_config"


def test_three_keys_make_an_action_and_all_else_has_its_default() -> None:
    action = action_of()
    config = action.source.config
    assert (action.name, action.enabled, action.group_id) == ("tag-sync", True, "tag-sync")
    assert config.connection.bootstrap == "localhost:9092"
    assert config.connection.schema_registry_url == "http://localhost:8080/schema-registry/api/"
    assert (config.connection.schema_registry_config, config.connection.consumer_config) == ({}, {})
    assert config.connection.client_timeout_seconds == 60
    registry = config.schema_registry
    assert (registry.type, registry.region, registry.endpoint, registry.profile) == ("confluent", None, None, None)
    assert registry.timeout == 5
    assert config.topic_routes == {
        "mcl": "MetadataChangeLog_Versioned_v1",
        "mcl_timeseries": "MetadataChangeLog_Timeseries_v1",
        "pe": "PlatformEvent_v1",
    }
    assert (config.start, config.on_gap, config.buffer, config.commit_interval) == ("latest", "earliest", 64 * 2**20, 0)
    assert (action.filters, action.filter) == ([], None)
    batch = action.batch
    assert (batch.size, batch.window, batch.bytes, batch.concurrency) == (100, 0.0, 5 * 2**20, 1)
    assert (batch.format, batch.order) == ("datahub", "failed_only")
    assert (action.handler.type, action.handler.config.timeout) == ("python", 60)
    retry = action.retry
    assert (retry.attempts, retry.backoff, retry.max_backoff, retry.bisect) == (3, 1, 60, True)
    letters = action.dead_letter
    assert (letters.type, letters.config.directory, letters.config.ephemeral) == ("file", None, None)
    assert (letters.breaker.in_a_row, letters.breaker.pause) == (20, 60)
    assert (action.shutdown.deadline, action.revoke_wait) == (25, 25)
    assert action.options.failure_mode == "CONTINUE"
    assert action.letters_directory == action.options.failed_events_dir == Path("/tmp/logs/datahub/actions")
    assert (action.status.port, action.logs.format, action.logs.level) == (8470, "text", "info")
    assert action.warnings == ()


def test_the_action_file_of_the_design_loads(tmp_path: Path) -> None:
    text = """
name: tag-sync
source:
  type: kafka
  config:
    connection:
      bootstrap: "${KAFKA_BOOTSTRAP_SERVER}"
      schema_registry_url: http://registry:8081
      consumer_config: {security.protocol: SASL_SSL, oauth_cb: "datahub_actions.utils.kafka_msk_iam:oauth_cb"}
    schema_registry: {type: glue, region: eu-west-1}
    topic_routes: {mcl: Mcl, mcl_timeseries: Mcl, pe: Pe}
    start: 2026-01-31T08:00:00Z
    on_gap: halt
    buffer: 64MiB
    commit: 1s
filters:
  - type: event_type
    config: {filter: {EntityChangeEvent_v1: {event: [{category: TAG}]}}}
batch: {size: 100, window: 500ms, bytes: 5MiB, concurrency: 2, format: datahub, order: strict}
handler:
  type: python
  config: {function: "tag_sync:handle", path: ".", timeout: 60s}
retry: {attempts: 5, backoff: 1s, max_backoff: 2m, bisect: false}
dead_letter: {type: file, config: {directory: /letters}, breaker: {in_a_row: 10, pause: 30s}}
shutdown: {deadline: 20s}
options: {failure_mode: throw, failed_events_dir: /var/letters}
status: {port: off}
logs: {format: json, level: DEBUG}
"""
    action = load(written(tmp_path, text), {"KAFKA_BOOTSTRAP_SERVER": "a:1, b:2 ,"})
    config = action.source.config
    assert config.connection.bootstrap == "a:1,b:2"
    assert config.start == datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert (config.on_gap, config.commit_interval, config.schema_registry.region) == ("halt", 1, "eu-west-1")
    assert (action.retry.attempts, action.retry.max_backoff, action.retry.bisect) == (5, 120, False)
    assert (action.options.failure_mode, action.letters_directory) == ("THROW", Path("/letters"))
    assert (action.status.port, action.logs.level, action.batch.order) == (None, "debug", "strict")
    assert action.handler.config.path == tmp_path
    assert action.warnings == ()


def test_json_is_read_as_yaml_is(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(with_keys({"batch.size": 7})), "action.json")
    assert load(path, {}).batch.size == 7


def test_an_action_file_of_datahub_runs_with_a_handler_in_place_of_its_action(tmp_path: Path) -> None:
    text = """
name: "hello"
enabled: "yes"
datahub: {server: "http://gms:8080", token: "${TOKEN:-}"}
source:
  type: "kafka"
  config:
    connection:
      bootstrap: ${KAFKA_BOOTSTRAP_SERVER:-localhost:9092}
      schema_registry_url: ${SCHEMA_REGISTRY_URL:-http://localhost:8081}
    topic_routes:
      mcl: ${METADATA_CHANGE_LOG_VERSIONED_TOPIC_NAME:-MetadataChangeLog_Versioned_v1}
      pe: ${PLATFORM_EVENT_TOPIC_NAME:-PlatformEvent_v1}
    async_commit_enabled: true
    async_commit_interval: 2500
    commit_retry_count: 3
    commit_retry_backoff: 10.0
    enable_pre_deserialization_filter: true
    enable_mcl_pre_deserialization_filter: true
filter:
  event_type: "EntityChangeEvent_v1"
  event: {category: "TAG"}
transform: []
options: {retry_count: 2, failure_mode: "CONTINUE", failed_events_dir: "/tmp/datahub"}
handler: {config: {function: "hello:handle"}}
"""
    action = load(written(tmp_path, text), {})
    assert action.enabled is True
    assert action.source.config.connection.schema_registry_url == "http://localhost:8081"
    assert action.source.config.topic_routes["pe"] == "PlatformEvent_v1"
    assert action.source.config.commit_interval == 2.5
    assert action.retry.attempts == 3
    told = "\n".join(action.warnings)
    for part in ("commit_retry_count", "commit_retry_backoff", "enable_pre_", "enable_mcl_pre_", "datahub is not used"):
        assert part in told


@pytest.mark.parametrize(
    ("spellings", "value"),
    [((True, "true", "YES", "on", "1", 1), True), ((False, "false", "No", "off", "0", 0), False)],
)
def test_enabled_takes_every_spelling_of_truth(spellings: tuple[Any, ...], value: bool) -> None:
    for spelling in spellings:
        assert action_of({"enabled": spelling}).enabled is value


def test_a_null_is_the_same_as_leaving_the_key_out() -> None:
    action = action_of({"batch": None, "retry.attempts": None, "filters": None, "options.retry_count": None})
    assert (action.batch.size, action.retry.attempts, action.filters) == (100, 3, [])


@pytest.mark.parametrize(
    ("status", "port"), [({"port": 0}, 0), ({"port": None}, None), ({"port": "off"}, None), (False, None), ({}, 8470)]
)
def test_the_status_port_can_be_any_free_one_or_none(status: Any, port: int | None) -> None:
    assert action_of({"status": status}).status.port == port


def test_a_name_with_a_colon_is_warned_of() -> None:
    assert "MSK" in action_of({"name": "team:tags"}).warnings[0]


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://localhost:8080/schema-registry/api/"),
        ({"KAFKA_SCHEMAREGISTRY_URL": "http://sr:8081"}, "http://sr:8081"),
        ({"DATAHUB_GMS_BASE_PATH": "/datahub"}, "http://localhost:8080/datahub/schema-registry/api/"),
        ({"DATAHUB_GMS_BASE_PATH": "/"}, "http://localhost:8080/schema-registry/api/"),
        ({"KAFKA_SCHEMAREGISTRY_URL": "", "DATAHUB_GMS_BASE_PATH": ""}, "http://localhost:8080/schema-registry/api/"),
    ],
)
def test_the_registrys_address_comes_from_the_environment_as_in_datahub(environ: dict[str, str], url: str) -> None:
    assert action_of({}, environ).source.config.connection.schema_registry_url == url
    given = action_of({f"{CONNECTION}.schema_registry_url": "https://mine"}, environ)
    assert given.source.config.connection.schema_registry_url == "https://mine"


def test_the_region_of_glue_comes_from_the_environment_where_the_file_says_none() -> None:
    glue = {"source.config.schema_registry.type": "glue"}
    assert action_of(glue, {"AWS_REGION": "eu-west-1"}).source.config.schema_registry.region == "eu-west-1"
    assert action_of(glue, {"AWS_DEFAULT_REGION": "us-west-2"}).source.config.schema_registry.region == "us-west-2"
    own = {**glue, "source.config.schema_registry.region": "ap-south-1"}
    assert action_of(own, {"AWS_REGION": "eu-west-1"}).source.config.schema_registry.region == "ap-south-1"
    assert action_of({}, {"AWS_REGION": "eu-west-1"}).source.config.schema_registry.region is None


@pytest.mark.parametrize(
    ("keys", "interval", "warned"),
    [
        ({}, 0, False),
        ({"async_commit_enabled": True}, 10, False),
        ({"async_commit_enabled": True, "async_commit_interval": 500}, 0.5, False),
        ({"async_commit_enabled": False}, 0, False),
        ({"async_commit_interval": 500}, 0, True),
        ({"async_commit_enabled": True, "commit": "step"}, 0, True),
        ({"async_commit_enabled": True, "commit": "3s"}, 3, True),
    ],
)
def test_datahubs_asynchronous_commit_becomes_an_interval(keys: dict[str, Any], interval: float, warned: bool) -> None:
    action = action_of({f"source.config.{key}": value for key, value in keys.items()})
    assert action.source.config.commit_interval == interval
    assert any("async_commit" in warning for warning in action.warnings) is warned


@pytest.mark.parametrize(
    ("reset", "start"), [("earliest", "earliest"), ("smallest", "earliest"), ("LARGEST", "latest")]
)
def test_auto_offset_reset_is_read_as_start_and_never_passed_on(reset: str, start: str) -> None:
    action = action_of({f"{CONSUMER}/auto.offset.reset": reset})
    assert action.source.config.start == start
    assert consumer_properties(action, {})[0]["auto.offset.reset"] == "error"
    assert action.warnings == ()
    both = action_of({f"{CONSUMER}/auto.offset.reset": reset, "source.config.start": "latest"})
    assert both.source.config.start == "latest"
    assert "auto.offset.reset has no effect" in both.warnings[0]


def test_a_start_without_a_zone_is_taken_as_utc_with_a_warning() -> None:
    action = action_of({"source.config.start": "2026-01-31 08:00"})
    assert action.source.config.start == datetime(2026, 1, 31, 8, tzinfo=UTC)
    assert "UTC" in action.warnings[0]
    with_zone = action_of({"source.config.start": "2026-01-31T08:00:00+02:00"})
    assert with_zone.source.config.start == datetime(2026, 1, 31, 6, tzinfo=UTC)
    assert with_zone.warnings == ()


def test_a_start_in_the_future_is_refused() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert action_of({"source.config.start": "2025-12-31T23:59:59Z"}, now=now)
    assert "lies in the future" in problems_of({"source.config.start": "2026-01-01T00:00:01Z"}, now=now)[0]


def test_javas_spelling_of_registry_credentials_is_read_with_a_warning() -> None:
    action = action_of(
        {
            f"{REGISTRY}/schema.registry.basic.auth.user.info": "user:hunter22",
            f"{REGISTRY}/basic.auth.credentials.source": "USER_INFO",
            f"{REGISTRY}/url": "http://ignored",
        }
    )
    assert action.source.config.connection.schema_registry_config == {"basic.auth.user.info": "user:hunter22"}
    assert len(action.warnings) == 3
    assert "hunter22" not in str(action.warnings)


def test_numbers_of_the_registry_client_may_be_texts_as_variables_are() -> None:
    action = action_of({f"{REGISTRY}/max.retries": "${N}", f"{REGISTRY}/timeout": 2}, {"N": "5"})
    assert action.source.config.connection.schema_registry_config == {"max.retries": 5.0, "timeout": 2.0}


def test_two_routes_of_change_logs_may_share_a_topic() -> None:
    action = action_of({"source.config.topic_routes": {"mcl": "T", "mcl_timeseries": "T"}})
    assert action.source.config.topic_routes == {"mcl": "T", "mcl_timeseries": "T"}


def test_a_longer_first_pause_raises_the_longest_where_that_is_not_given() -> None:
    assert action_of({"retry.backoff": "5m"}).retry.max_backoff == 300


def test_a_relative_path_of_the_handler_begins_at_the_action_file(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    path = written(tmp_path / "conf", with_keys({"handler.config.path": "../src"}))
    assert load(path, {}).handler.config.path == tmp_path / "conf" / ".." / "src"
    absolute = written(tmp_path, with_keys({"handler.config.path": "/srv"}))
    assert load(absolute, {}).handler.config.path == Path("/srv")


def test_anchors_and_merges_of_yaml_work(tmp_path: Path) -> None:
    text = """
name: a
source: {type: kafka, config: &config {buffer: 1MiB, start: earliest}}
handler: {config: {function: "a:b"}}
"""
    assert load(written(tmp_path, text), {}).source.config.buffer == 2**20
    merged = """
name: a
source: {type: kafka}
handler: {config: {function: "a:b"}}
retry: &r {attempts: 4}
dead_letter: {breaker: {pause: 1s}}
filters:
  - type: event_type
    config: {filter: {EntityChangeEvent_v1: {event: [&p {a: 1, b: 2}, {<<: *p, b: 3}]}}}
"""
    action = load(written(tmp_path, merged), {})
    assert action.filters[0]["config"]["filter"]["EntityChangeEvent_v1"]["event"] == [
        {"a": 1, "b": 2},
        {"a": 1, "b": 3},
    ]


def test_the_effective_settings_are_an_action_file_again(tmp_path: Path) -> None:
    action = action_of({"batch.window": "1500ms", "status": False, "source.config.commit": "2m", "logs.level": "error"})
    settings = effective(action, {})
    json.dumps(settings)
    properties = settings.pop("consumer_properties")
    assert properties["group.id"] == "tag-sync"
    assert (settings["batch"]["window"], settings["batch"]["bytes"]) == ("1.5s", "5MiB")
    again = parse_action(settings, {})
    assert again.model_dump() == action.model_dump()


@pytest.mark.parametrize("start", ["2026-01-31T08:00:00Z", "2026-01-31T10:00:00+02:00"])
def test_a_time_to_start_at_is_a_text_again_in_the_effective_settings(start: str) -> None:
    settings = effective(action_of({"source.config.start": start}), {})
    assert settings["source"]["config"]["start"] == "2026-01-31T08:00:00Z"


@pytest.mark.parametrize(
    ("kind", "config", "keys"),
    [
        ("file", {}, {"rotate", "limit"}),
        ("kafka", {"topic": "letters"}, {"topic", "producer_config", "headers", "timeout"}),
        ("sqs", {"queue": "https://sqs.eu-west-1.amazonaws.com/1/q"}, {"queue", "encryption", "timeout"}),
        ("s3", {"bucket": "letters"}, {"bucket", "prefix", "encryption", "timeout"}),
    ],
)
def test_the_effective_settings_hold_the_keys_of_one_kind_of_dead_letters(kind, config, keys) -> None:
    action = action_of({"dead_letter": {"type": kind, "config": config}})
    settings = effective(action, {})
    assert settings["dead_letter"]["config"].keys() == keys
    settings.pop("consumer_properties")
    assert parse_action(settings, {}).model_dump() == action.model_dump()


def test_a_valid_file_that_says_it_is_disabled_loads_as_disabled() -> None:
    assert action_of({"enabled": "off"}).enabled is False


DISABLED = """
enabled: %s
name: ${NOT_SET}
unknown: key
options: {retry_count: -5, failed_events_dir: "${NOT_SET}"}
"""


@pytest.mark.parametrize(
    ("enabled", "environ"),
    [
        ("false", {}),
        ('"No"', {}),
        ("${TAGS_ENABLED:-off}", {}),
        ("${TAGS_ENABLED}", {"TAGS_ENABLED": "0"}),
    ],
)
def test_a_file_that_is_disabled_is_not_judged(tmp_path: Path, enabled: str, environ: dict[str, str]) -> None:
    file = written(tmp_path, DISABLED % enabled)
    assert load_enabled(file, environ) is None
    with pytest.raises(ConfigError, match="NOT_SET is not set"):  # commands that need the rest of it
        load(file, environ)


@pytest.mark.parametrize(
    ("enabled", "problem"),
    [
        ("true", "NOT_SET is not set"),
        ("null", "NOT_SET is not set"),
        ("perhaps", "enabled: must be true or false"),
        ("[]", "enabled: must be true or false"),
        ("${TAGS_ENABLED}", "TAGS_ENABLED is not set"),
        ("${TAGS_ENABLED:-false", "cannot be expanded"),
        ("[", "action.yaml"),
        ("false\nenabled: false", "twice"),
    ],
)
def test_a_file_that_may_be_enabled_or_does_not_parse_is_judged_whole(
    tmp_path: Path, enabled: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        load_enabled(written(tmp_path, DISABLED % enabled), {})
    assert problem in "\n".join(raised.value.problems)


def test_parsing_leaves_the_data_as_it_was() -> None:
    data = with_keys({"batch.size": 0})
    before = json.dumps(data)
    with pytest.raises(ConfigError):
        parse_action(data, {})
    assert json.dumps(data) == before
    assert MINIMAL["name"] == "tag-sync"


def test_a_batch_that_is_not_split_and_opens_the_breaker_alone_is_warned_of() -> None:
    (warning,) = action_of({"retry.bisect": False}).warnings
    assert warning.startswith("retry.bisect is off and dead_letter.breaker.in_a_row (20) is not above batch.size (100)")
    assert not action_of({"retry.bisect": False, "dead_letter.breaker.in_a_row": 101}).warnings


@pytest.mark.parametrize(
    ("given", "each_second"), [("100/s", 100.0), (50, 50.0), ("90/m", 1.5), ("1/h", 1 / 3600), ("0.5", 0.5)]
)
def test_a_rate_is_for_a_second_whatever_it_is_written_for(given, each_second):
    assert action_of({"batch.rate": given}).batch.rate == pytest.approx(each_second)


def test_exceptions_are_named_as_logs_and_letters_name_them():
    names = ["builtins.ValueError", "requests.exceptions.Timeout", " datahub_handler.DoNotRetry "]
    retry = action_of({"retry.fatal": names, "retry.retryable": "KeyError"}).retry
    assert retry.fatal == ["ValueError", "requests.exceptions.Timeout", "DoNotRetry"]
    assert retry.retryable == ["KeyError"]


@pytest.mark.parametrize(
    ("word", "kind"), [("AWS_GLUE", "glue"), ("aws_glue", "glue"), ("KAFKA", "confluent"), (" INTERNAL ", "confluent")]
)
def test_the_registry_may_be_named_in_datahubs_words(word: str, kind: str) -> None:
    key = "source.config.schema_registry.type"
    assert action_of({key: word}).source.config.schema_registry.type == kind
    environ = {"SCHEMA_REGISTRY_TYPE": word, "AWS_GLUE_SCHEMA_REGISTRY_REGION": "eu-west-3", "AWS_REGION": "us-east-1"}
    for keys in ({}, {key: "${SCHEMA_REGISTRY_TYPE}"}):
        registry = action_of(keys, environ).source.config.schema_registry
        assert (registry.type, registry.region) == (kind, "eu-west-3" if kind == "glue" else None)


def test_the_file_wins_over_datahubs_variables_of_the_registry() -> None:
    environ = {"SCHEMA_REGISTRY_TYPE": "AWS_GLUE", "AWS_GLUE_SCHEMA_REGISTRY_REGION": "eu-west-3"}
    said = {"source.config.schema_registry": {"type": "glue", "region": "us-east-2"}}
    assert action_of(said, environ).source.config.schema_registry.region == "us-east-2"
    other = action_of({"source.config.schema_registry": {"type": "confluent"}}, environ)
    assert other.source.config.schema_registry.type == "confluent"
    assert action_of({}, {"SCHEMA_REGISTRY_TYPE": "karapace"}).source.config.schema_registry.type == "confluent"


def test_relative_paths_begin_where_the_file_was_read_wherever_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf").mkdir()
    keys = {
        "options": {"failed_events_dir": "letters"},
        "handler.config.path": "src",
        "source.config.connection.consumer_config": {"ssl.ca.location": "ca.pem", "ssl.key.location": "/keys/k.pem"},
    }
    file = written(tmp_path / "conf", with_keys(keys))
    monkeypatch.chdir(tmp_path)
    action = load(Path("conf") / file.name, {})
    monkeypatch.chdir("/")
    assert action.letters_directory == tmp_path / "letters"
    assert action.handler.config.path == tmp_path / "conf" / "src"
    properties, _ = consumer_properties(action, {"KAFKA_PROPERTIES_SSL_CRL_LOCATION": "crl.pem"})
    files = {key: value for key, value in properties.items() if key.endswith(".location")}
    assert files == {
        "ssl.ca.location": str(tmp_path / "ca.pem"),
        "ssl.key.location": "/keys/k.pem",
        "ssl.crl.location": str(tmp_path / "crl.pem"),
    }


def test_a_word_in_the_place_of_a_file_stays_a_word() -> None:
    assert with_whole_paths({"ssl.ca.location": "probe", "client.id": "a"}, Path("/x")) == {
        "ssl.ca.location": "probe",
        "client.id": "a",
    }
