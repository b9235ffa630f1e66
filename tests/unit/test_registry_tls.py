"""TLS to a registry, over loopback with real certificates: what fails is told with the key and the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from datahub_poller.decode.confluent import ConfluentRegistry
from datahub_poller.errors import Transient
from kafka.certificates import PASSWORD, Certificates, make_certificates
from support.tls_registry import tls_registry

NOWHERE = "/nowhere/ca.pem"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), "poller")


@pytest.fixture(scope="module")
def url(files: Certificates) -> Iterator[str]:
    with tls_registry(files.server) as port:
        yield f"https://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def mutual(files: Certificates) -> Iterator[str]:
    with tls_registry(files.server, files.authority) as port:
        yield f"https://127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


def told(url: str, environ: dict[str, str] | None = None, **config: object) -> str:
    """What is said instead of an answer. In names of keys `_` stands for a dot."""
    keys = {name.replace("_", "."): value for name, value in config.items()}
    with pytest.raises(Transient) as caught:
        ConfluentRegistry(url, keys, 5.0, environ or {}).reach()
    return str(caught.value)


def test_an_unknown_authority_names_the_key_and_what_is_trusted_now(files: Certificates, url: str) -> None:
    said = told(url)
    assert "not signed by an authority of certifi's list of public authorities" in said
    assert "set ssl.ca.location in `schema_registry_config`" in said
    other = str(files.other_authority)
    assert f"an authority of {other} (ssl.ca.location)" in told(url, ssl_ca_location=other)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_bundle_of_requests_is_used_where_nothing_else_is_named(files: Certificates, url: str, name: str) -> None:
    environ = {name: str(files.authority)}
    assert ConfluentRegistry(url, {}, 5.0, environ).reach().endswith("answers")
    assert f"{files.other_authority} ({name})" in told(url, {name: str(files.other_authority)})
    # The file's key goes before it.
    assert "(ssl.ca.location)" in told(url, environ, ssl_ca_location=str(files.other_authority))
    assert f"{name}: {NOWHERE}: No such file or directory" in told(url, {name: NOWHERE})


def test_the_client_s_own_variable_goes_before_that_of_requests(
    files: Certificates, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(files.other_authority))
    environ = {"SSL_CERT_FILE": str(files.other_authority), "REQUESTS_CA_BUNDLE": str(files.authority)}
    assert f"{files.other_authority} (SSL_CERT_FILE)" in told(url, environ)


def test_without_tls_no_bundle_is_looked_at() -> None:
    assert "REQUESTS_CA_BUNDLE" not in told("http://127.0.0.1:1", {"REQUESTS_CA_BUNDLE": NOWHERE})


def test_a_certificate_for_another_host_is_told_as_that(files: Certificates) -> None:
    with tls_registry(files.elsewhere) as port:
        said = told(f"https://127.0.0.1:{port}", ssl_ca_location=str(files.authority))
    assert "its certificate is for another host's name" in said
    assert "`schema_registry_url`" in said


def test_a_certificate_that_has_expired_is_told_as_that(files: Certificates) -> None:
    with tls_registry(files.expired) as port:
        assert "its certificate has expired" in told(f"https://127.0.0.1:{port}", ssl_ca_location=str(files.authority))


def test_a_client_s_certificate_that_is_wanted_or_refused_names_its_keys(files: Certificates, mutual: str) -> None:
    trust = {"ssl_ca_location": str(files.authority)}
    said = told(mutual, **trust)
    assert "ssl.certificate.location and ssl.key.location" in said
    assert "`schema_registry_config`" in said
    pair = {"ssl_certificate_location": str(files.stranger), "ssl_key_location": str(files.stranger_key)}
    said = told(mutual, **trust, **pair)
    assert f"does not accept the client's certificate of ssl.certificate.location ({files.stranger})" in said


def test_a_pair_that_fits_is_accepted(files: Certificates, mutual: str) -> None:
    config = {
        "ssl.ca.location": str(files.authority),
        "ssl.certificate.location": str(files.client),
        "ssl.key.location": str(files.client_key),
    }
    assert ConfluentRegistry(mutual, config).reach().endswith("answers")
    locked = {**config, "ssl.key.location": str(files.locked_key), "ssl.key.password": PASSWORD}
    assert ConfluentRegistry(mutual, locked).reach().endswith("answers")


WRONG: list[tuple[Callable[[Certificates], dict[str, Path | str]], str]] = [
    (lambda _: {"ssl_ca_location": NOWHERE}, f"ssl.ca.location: {NOWHERE}: No such file or directory"),
    (
        lambda c: {"ssl_certificate_location": NOWHERE, "ssl_key_location": c.client_key},
        f"ssl.certificate.location: {NOWHERE}: No such file",
    ),
    (
        lambda c: {"ssl_certificate_location": c.client, "ssl_key_location": NOWHERE},
        f"ssl.key.location: {NOWHERE}: No such file",
    ),
    (
        lambda c: {"ssl_certificate_location": c.client, "ssl_key_location": c.stranger_key},
        "is not the key of ssl.certificate.location",
    ),
    (lambda c: {"ssl_certificate_location": c.client}, "holds no private key: name its file with ssl.key.location"),
    (
        lambda c: {"ssl_certificate_location": c.client, "ssl_key_location": c.locked_key},
        "ssl.key.password is not the key's",
    ),
    (
        lambda c: {
            "ssl_certificate_location": c.client,
            "ssl_key_location": c.locked_key,
            "ssl_key_password": "wrong horse",
        },
        "ssl.key.password is not the key's",
    ),
    (lambda _: {"ssl_ca_location": __file__}, f"ssl.ca.location: {__file__} holds no certificate in PEM"),
]


@pytest.mark.parametrize(("config", "words"), WRONG)
def test_a_file_that_cannot_be_used_is_named_with_its_key(
    files: Certificates, url: str, config: Callable[[Certificates], dict[str, Path | str]], words: str
) -> None:
    said = told(url, **{name: str(value) for name, value in config(files).items()})
    assert "cannot be asked: see `schema_registry_config`: " in said
    assert words in said
    assert "wrong horse" not in said


def test_a_registry_without_tls_is_told_as_that() -> None:
    from datahub_poller.demo.registry import RegistryServer

    with RegistryServer() as server:
        assert "no TLS is spoken there" in told(server.url.replace("http:", "https:"))
