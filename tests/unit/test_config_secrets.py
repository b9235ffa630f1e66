"""No output of the configuration ever holds a secret: canaries in every secret key, every output scanned."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from datahub_poller.config import ActionFile, consumer_properties, effective, load, secrets_of
from datahub_poller.config.librdkafka import JAVA_ONLY, KNOWN
from datahub_poller.config.secrets import looks_secret
from datahub_poller.config.values import REGISTRY_CLIENT_KEYS
from datahub_poller.errors import ConfigError
from support.action_files import action_of, problems_of, with_keys, written

CANARY = "canary-7f3a"
CONNECTION = "source.config.connection"
CONSUMER = f"{CONNECTION}.consumer_config"
REGISTRY = f"{CONNECTION}.schema_registry_config"

SECRET_PROPERTIES = [
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "ssl.certificate.pem",
    "ssl.ca.pem",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.kerberos.kinit.cmd",
    "some.future.password",
    "some.future.api_token",
]
SECRET_REGISTRY = ["ssl.key.password", "bearer.auth.token", "bearer.auth.client.secret"]
OPEN_PROPERTIES = [
    "sasl.username",
    "ssl.key.location",
    "ssl.ca.location",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.method",
    "sasl.mechanism",
    "group.instance.id",
]


def full_of_canaries() -> dict[str, Any]:
    keys: dict[str, Any] = {f"{CONSUMER}/{key}": f"{CANARY}-{key}" for key in SECRET_PROPERTIES}
    keys |= {f"{REGISTRY}/{key}": f"{CANARY}-{key}" for key in SECRET_REGISTRY}
    keys[f"{REGISTRY}/basic.auth.user.info"] = f"user:{CANARY}-info"
    keys[f"{REGISTRY}/proxy"] = f"http://me:{CANARY}-proxy@proxy:3128"
    keys[f"{CONNECTION}.schema_registry_url"] = "https://registry:8081"
    keys["datahub"] = {
        "server": f"http://user:{CANARY}-gms@gms:8080",
        "token": f"{CANARY}-token",
        "auth": {"type": "oauth", "config": {"anything": f"{CANARY}-anything"}},
        "extra_headers": {"X-Mine": f"{CANARY}-header"},
    }
    return keys


ENVIRON = {"KAFKA_PROPERTIES_SASL_OAUTHBEARER_CLIENT_SECRET": "x", "KAFKA_PROPERTIES_SSL_KEYSTORE_PASSWORD": "y"}
SECRET_ENVIRON = {
    "KAFKA_PROPERTIES_SASL_PASSWORD": f"{CANARY}-env-1",
    "KAFKA_PROPERTIES_SSL_TRUSTSTORE_PASSWORD": f"{CANARY}-env-2",
    "KAFKA_PROPERTIES_SASL_JAAS_CONFIG": f"{CANARY}-env-3",
    "KAFKA_PROPERTIES_SASL_PASWORD": f"{CANARY}-env-4",
    "KAFKA_PROPERTIES_STATS_CB": f"{CANARY}-env-5",
}


def outputs_of(action: ActionFile, environ: dict[str, str]) -> list[str]:
    parts = [action, action.source, action.source.config, action.source.config.connection, action.handler]
    texts = [form(part) for part in parts for form in (repr, str, "{}".format, "%s".__mod__)]
    _, warnings = consumer_properties(action, environ)
    return [
        *texts,
        json.dumps(effective(action, environ)),
        repr(effective(action, environ)),
        *action.warnings,
        *warnings,
    ]


@pytest.mark.parametrize("environ", [{}, ENVIRON, SECRET_ENVIRON], ids=["none", "other", "secret"])
def test_a_right_file_shows_no_secret_anywhere(environ: dict[str, str]) -> None:
    action = action_of(full_of_canaries(), environ)
    for text in outputs_of(action, environ):
        assert CANARY not in text
    hidden = effective(action, environ)
    assert hidden["consumer_properties"]["sasl.password"] == "********"
    assert hidden["datahub"]["token"] == "********"


def test_every_secret_is_known_so_that_logs_can_be_scrubbed() -> None:
    action = action_of(full_of_canaries(), SECRET_ENVIRON)
    known = secrets_of(action, SECRET_ENVIRON)
    expected = {f"{CANARY}-{key}" for key in [*SECRET_PROPERTIES, *SECRET_REGISTRY]}
    expected |= {f"{CANARY}-{word}" for word in ("info", "proxy", "gms", "token", "anything", "header")}
    expected |= {f"user:{CANARY}-info", f"{CANARY}-env-2", f"{CANARY}-env-3"}
    assert expected <= known
    assert all(len(secret) >= 4 for secret in known)


def test_settings_that_are_not_secret_stay_readable() -> None:
    keys = {f"{CONSUMER}/{key}": "/plain" for key in OPEN_PROPERTIES}
    shown = effective(action_of(keys), {})["consumer_properties"]
    assert {shown[key] for key in OPEN_PROPERTIES} == {"/plain"}


def test_a_users_name_in_a_url_is_masked_with_the_password() -> None:
    action = action_of({f"{CONNECTION}.schema_registry_url": f"http://user:{CANARY}%21@registry:8081/path"})
    shown = effective(action, {})["source"]["config"]["connection"]["schema_registry_url"]
    assert shown == "http://********@registry:8081/path"
    assert {f"{CANARY}%21", f"{CANARY}!"} <= secrets_of(action, {})


def test_an_actions_repr_holds_no_value_at_all() -> None:
    environ = {"KAFKA_PASSWORD": CANARY}
    action = action_of({"name": "${KAFKA_PASSWORD}"}, environ)
    assert repr(action) == "ActionFile()"
    assert CANARY not in repr(action.source)


def test_a_secret_variable_is_masked_wherever_its_value_went() -> None:
    environ = {"KAFKA_PASSWORD": CANARY, "API_TOKEN": f"{CANARY}-2", "HOST": "broker"}
    action = action_of(
        {
            "name": "${KAFKA_PASSWORD}",
            f"{CONSUMER}/client.id": "a-${API_TOKEN}-b",
            f"{CONNECTION}.bootstrap": "${HOST}:1",
        },
        environ,
    )
    assert CANARY not in json.dumps(effective(action, environ))
    assert secrets_of(action, environ) == {CANARY, f"{CANARY}-2"}
    with pytest.raises(ConfigError) as caught:
        action_of({"batch.order": "${KAFKA_PASSWORD}", "logs.level": "x${API_TOKEN}"}, environ)
    assert len(caught.value.problems) == 2
    assert CANARY not in str(caught.value)


BREAKING: list[dict[str, Any]] = [
    {"nmae": "x"},
    {"batch.size": "many"},
    {"batch": "x"},
    {"source.config.start": "soon"},
    {f"{CONSUMER}/sesion.timeout.ms": 5},
    {f"{CONSUMER}/group.protocol": "x"},
    {"shutdown.deadline": "1h"},
    {"filters": [{"type": "x"}]},
    {"transform": [{"type": "x", "config": {"password": CANARY}}]},
    {"action": {"type": "slack", "config": {"bot_token": CANARY}}},
    {"pasword": CANARY},
    {f"{CONNECTION}.pasword": CANARY},
    {"source": CANARY},
    {"source.config": CANARY},
    {CONNECTION: CANARY},
    {CONNECTION: [CANARY]},
    {CONSUMER: f"sasl.password={CANARY}"},
    {REGISTRY: f"basic.auth.user.info={CANARY}"},
    {f"{CONNECTION}.schema_registry_url": f"user:{CANARY}@registry"},
    {f"{CONNECTION}.schema_registry_url": f"ftp://user:{CANARY}@registry"},
    {f"{CONNECTION}.bootstrap": f"SASL_SSL://user:{CANARY}@broker:9092"},
    {"source.config.schema_registry.endpoint": f"x://user:{CANARY}@glue"},
    {"datahub": f"http://gms?token={CANARY}"},
    {"datahub": [{"token": CANARY}]},
    {"handler": CANARY},
    {"filter": CANARY},
    {"filters": CANARY},
    {"filters": [CANARY]},
]


@pytest.mark.parametrize("breaking", BREAKING, ids=[str(list(keys)) for keys in BREAKING])
def test_a_wrong_file_shows_no_secret_anywhere(tmp_path: Path, breaking: dict[str, Any]) -> None:
    base = full_of_canaries()
    first = next(iter(breaking))
    data = with_keys({**{key: value for key, value in base.items() if not key.startswith(first)}, **breaking})
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, data), SECRET_ENVIRON)
    told = "".join(traceback.format_exception(caught.value))
    for text in (str(caught.value), repr(caught.value), *caught.value.problems, told):
        assert CANARY not in text
    with pytest.raises(ValidationError) as direct:
        ActionFile.model_validate({**data, "nobody-knows": 1})
    assert CANARY not in str(direct.value)
    assert CANARY not in repr(direct.value)


SECRET_KEYS = [
    *[(CONSUMER, key) for key in [*sorted(KNOWN), *JAVA_ONLY] if looks_secret(key)],
    *[(REGISTRY, key) for key in sorted(REGISTRY_CLIENT_KEYS) if looks_secret(key)],
]


@pytest.mark.parametrize(("section", "key"), SECRET_KEYS)
@pytest.mark.parametrize("value", [CANARY, f"${{UNSET}}{CANARY}", f"{CANARY}${{", [CANARY], {"a": CANARY}])
def test_a_wrong_value_of_a_secret_key_is_never_shown(section: str, key: str, value: Any) -> None:
    keys = {f"{section}/{key}": value}
    problems = problems_of(keys)
    for text in problems or outputs_of(action_of(keys), {}):
        assert CANARY not in text


SECRET_NAMES = ["sasl.password", "KAFKA_PASSWORD", "MY_TOKEN", "AWS_SECRET_ACCESS_KEY", "api_key", "APIKEY", "DB_PWD"]
SECRET_NAMES += ["Authorization", "basic.auth.user.info", "sasl.jaas.config", "ssl.key.pem", "client_credentials"]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_of_secrets_are_known(name: str) -> None:
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    ["bootstrap", "name", "sasl.username", "ssl.key.location", "TOKEN_URL", "PASSWORD_FILE", "AWS_REGION", "PATH"],
)
def test_names_of_what_is_not_secret_are_known(name: str) -> None:
    assert not looks_secret(name)


def test_loading_writes_no_logs(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        action_of(full_of_canaries(), SECRET_ENVIRON)
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")
