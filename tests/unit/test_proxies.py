"""A proxy that is away or refuses is told as the proxy's, for both registries and the places of letters."""

from __future__ import annotations

import os

import pytest

from datahub_poller.aws import Account
from datahub_poller.deadletter.aws_remedies import s3_remedy, sqs_remedy
from datahub_poller.deadletter.aws_service import Refused, Service
from datahub_poller.decode.confluent import ConfluentRegistry
from datahub_poller.decode.glue import GlueRegistry
from datahub_poller.demo.registry import RegistryServer
from datahub_poller.errors import Transient
from datahub_poller.kafka.msk_iam import MskIam
from datahub_poller.proxies import proxy_of, without_credentials
from support.refusing_proxy import refusing_proxy

DEAD = "127.0.0.1:1"
LOGIN = "ana:hunter2"
HTTP, HTTPS = "http://registry.example:8081", "https://registry.example:8081"


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch):
    """Set variables of the process, which the clients read by themselves; the process's environment."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nobody")

    def given(**variables: str):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return os.environ

    return given


@pytest.mark.parametrize(
    ("url", "environ", "found"),
    [
        (HTTP, {}, None),
        (HTTP, {"HTTP_PROXY": "http://p:1"}, ("HTTP_PROXY", "http://p:1")),
        (HTTPS, {"HTTP_PROXY": "http://p:1"}, None),
        (HTTPS, {"HTTPS_PROXY": "http://p:1", "https_proxy": "http://q:1"}, ("https_proxy", "http://q:1")),
        (HTTPS, {"HTTPS_PROXY": "http://p:1", "https_proxy": ""}, None),
        (HTTPS, {"HTTPS_PROXY": "", "ALL_PROXY": "http://a:1"}, ("ALL_PROXY", "http://a:1")),
        (HTTP, {"HTTP_PROXY": "http://p:1", "NO_PROXY": "registry.example"}, None),
        (HTTP, {"HTTP_PROXY": "http://p:1", "NO_PROXY": "other, .example"}, None),
        (HTTP, {"HTTP_PROXY": "http://p:1", "no_proxy": "registry.example:8081"}, None),
        (HTTP, {"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        (
            HTTP,
            {"HTTP_PROXY": "http://p:1", "NO_PROXY": "xregistry.example,gistry.example"},
            ("HTTP_PROXY", "http://p:1"),
        ),
        ("http://[bad", {"HTTP_PROXY": "http://p:1"}, None),
    ],
)
def test_the_proxy_for_a_url_is_the_one_that_the_clients_take(url: str, environ: dict[str, str], found: object) -> None:
    assert proxy_of(url, environ) == found


def test_credentials_are_taken_out_of_a_url() -> None:
    assert without_credentials(f"http://{LOGIN}@p:1") == "http://p:1"
    assert without_credentials(f"{LOGIN}@p:1") == "p:1"


def told(url: str, environ, **config: str) -> str:
    with pytest.raises(Transient) as caught:
        ConfluentRegistry(url, config, 5.0, environ).reach()
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "url"), [("HTTP_PROXY", HTTP), ("http_proxy", HTTP), ("ALL_PROXY", HTTP), ("HTTPS_PROXY", HTTPS)]
)
def test_a_dead_proxy_is_named_with_its_variable_and_what_to_do(environ, name: str, url: str) -> None:
    said = told(url, environ(**{name: f"http://{LOGIN}@{DEAD}"}))
    assert f"the proxy http://{DEAD} ({name}) cannot be reached" in said
    assert "NO_PROXY" in said


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1"])
def test_a_proxy_of_a_kind_that_the_client_does_not_speak_is_named(environ, value: str) -> None:
    assert f"the proxy {value} (ALL_PROXY) cannot be used" in told(HTTPS, environ(ALL_PROXY=value))


@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses_a_tunnel_is_named(environ, status: int) -> None:
    with refusing_proxy(status) as where:
        said = told(HTTPS, environ(HTTPS_PROXY=f"http://{LOGIN}@{where}"))
    assert f"the proxy http://{where} (HTTPS_PROXY) refuses" in said
    assert str(status) in said
    assert "NO_PROXY" in said


@pytest.mark.parametrize("status", [403, 502, 503, 504])
def test_an_answer_that_may_be_the_proxy_s_names_it(environ, status: int) -> None:
    with refusing_proxy(status) as where:
        said = told(HTTP, environ(HTTP_PROXY=f"http://{where}"))
    assert f"answers HTTP {status} (from the proxy http://{where} (HTTP_PROXY) or through it" in said
    assert "NO_PROXY" in said


def test_a_proxy_that_wants_a_login_is_told_as_the_proxy(environ) -> None:
    with refusing_proxy(407) as where:
        said = told(HTTP, environ(HTTP_PROXY=f"http://{where}"))
        own = told(HTTPS, environ(), proxy=f"http://{LOGIN}@{where}")
    assert f"the proxy http://{where} (HTTP_PROXY) refuses (HTTP 407)" in said
    assert f"the proxy http://{where} (`proxy` in `schema_registry_config`) refuses" in own


def test_what_the_registry_fails_by_itself_is_not_the_proxy_s(environ) -> None:
    around = environ(HTTP_PROXY=f"http://{DEAD}", NO_PROXY="127.0.0.1")
    assert "proxy" not in told("http://127.0.0.1:1", around)
    with RegistryServer() as server:
        assert ConfluentRegistry(server.url, {}, 5.0, around).reach().endswith("answers")


@pytest.mark.parametrize("status", [None, 403, 407, 502])
def test_glue_and_the_places_of_letters_tell_a_proxy_as_the_proxy(environ, status: int | None) -> None:
    with refusing_proxy(status or 502) as there:
        where = DEAD if status is None else there
        environ(HTTPS_PROXY=f"http://{LOGIN}@{where}", HTTP_PROXY=f"http://{LOGIN}@{where}")
        for role in (None, "arn:aws:iam::123456789012:role/reader"):
            with pytest.raises(Transient) as caught:
                GlueRegistry("eu-west-1", timeout=5.0, role=role).reach()
            assert "a proxy is away or refuses" in str(caught.value)
            assert "NO_PROXY" in str(caught.value)
            assert where in str(caught.value)
            assert "hunter2" not in str(caught.value)
        queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/letters"
        with pytest.raises(Refused) as refused:
            Service(Account("eu-west-1", timeout=5.0), "sqs").ask(lambda sqs: sqs.get_queue_attributes(QueueUrl=queue))
    assert where in refused.value.said
    assert "hunter2" not in refused.value.said
    if status is not None:
        assert str(status) in refused.value.said
    for remedy in (sqs_remedy(refused.value.code, "r", "q"), s3_remedy(refused.value.code, "r", "o", "s")):
        assert "a proxy is away or refuses" in remedy
        assert "NO_PROXY" in remedy


def test_tokens_for_msk_tell_a_proxy_as_the_proxy(environ) -> None:
    environ(HTTPS_PROXY=f"http://{LOGIN}@{DEAD}")
    with pytest.raises(ValueError, match=r"a proxy is away or refuses: .*NO_PROXY.*127\.0\.0\.1:1") as caught:
        MskIam("region=eu-west-1 role=arn:aws:iam::123456789012:role/reader")("x")
    assert "hunter2" not in str(caught.value)
    said = MskIam("region=eu-west-1").diagnosis()
    assert "AWS could not be asked: a proxy is away or refuses" in said
    assert "hunter2" not in said
