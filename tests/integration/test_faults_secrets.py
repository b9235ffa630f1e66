"""Secrets of the action file do not get out of the process, least of all when what they are for fails."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from datahub_poller.demo.registry import RegistryServer
from support.running import Stage


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        yield stage


class Canaries:
    """Secrets that are unlike anything else, and the search for them in every form."""

    def __init__(self):
        self.all = []

    def __call__(self, name):
        secret = f"CaNaRy/{name}+%&'\"{len(self.all):03d}"
        self.all.append(secret)
        return secret

    def plain(self, name):
        """For places that take no special characters."""
        secret = f"CaNaRy{name}{len(self.all):03d}"
        self.all.append(secret)
        return secret

    def seen_in(self, text):
        # The marks that all canaries begin with, too: half a secret is one.
        forms = {"CaNaRy"}
        for secret in self.all:
            forms |= {secret, quote(secret), quote(secret, safe=""), base64.b64encode(secret.encode()).decode()}
            forms |= {json.dumps(secret)[1:-1], base64.b64encode(f"user:{secret}".encode()).decode()}
        return sorted(form for form in forms if form in text)


def everything_said(stage, *pollers):
    """The logs, the letters, and the name of every file beside them."""
    texts = [poller.text() for poller in pollers]
    texts += [path.read_text(errors="replace") for path in stage.letters_directory.rglob("*") if path.is_file()]
    texts += [str(path) for path in stage.directory.rglob("*")]
    return "\n".join(texts)


def properties(canary):
    """A value for every secret property that librdkafka takes with a plain connection."""
    return {
        "sasl_password": canary("password"),
        "ssl_key_password": canary("key"),
        "ssl_keystore_password": canary("keystore"),
        "sasl_oauthbearer_client_secret": canary("client"),
        "sasl_oauthbearer_config": f"principal={canary.plain('principal')}",
        "sasl_oauthbearer_assertion_private_key_passphrase": canary("passphrase"),
    }


def datahub(canary):
    return {"server": "http://localhost:1", "token": canary("token"), "extra_headers": {"X-Key": canary("header")}}


def test_a_refusing_registry_learns_the_secrets_and_nobody_else_does(stage):
    canary = Canaries()
    stage.send_raw("pe", 0, b"no event")
    stage.send("pe", 0, 3)
    with RegistryServer(credentials="user:right") as refusing:
        changes = {
            "source/config/connection/schema_registry_url": refusing.url,
            "source/config/connection/schema_registry_config": {"basic.auth.user.info": "user:${REGISTRY_PASSWORD}"},
            "datahub": datahub(canary),
        }
        action = stage.action(changes, **properties(canary), debug="all")
        assert canary.seen_in(action.read_text())
        poller = stage.start(action, "poller.log", "--debug", REGISTRY_PASSWORD=canary.plain("environment"))
        status = poller.status_when(
            lambda status: any("401" in reason for reason in status["reasons"]), "no lane waits for the registry"
        )
        assert stage.letters()
        assert poller.stop() == 0
    assert canary.seen_in(json.dumps(status)) == []
    assert canary.seen_in(everything_said(stage, poller).replace(str(action), "")) == []


def test_a_registry_whose_url_holds_the_password(stage):
    canary = Canaries()
    stage.send("pe", 0, 3)
    secret = canary("url")
    url = stage.registry.url.replace("://", f"://user:{quote(secret, safe='')}@")
    stage.registry.stop()
    poller = stage.start(stage.action({"source/config/connection/schema_registry_url": url}), "p.log", "--debug")
    status = poller.status_when(
        lambda status: any(each["state"] == "waiting_schema" for each in status["partitions"]), "no lane waits"
    )
    poller.until(lambda: "asked for" not in poller.status()["partitions"][0]["reason"], "no reason")
    assert poller.stop() == 0
    assert canary.seen_in(json.dumps(status)) == []
    assert canary.seen_in(everything_said(stage, poller)) == []


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_refusing_broker(stage, mechanism):
    canary = Canaries()
    secrets = {**properties(canary), "sasl_username": "user", "sasl_mechanism": mechanism}
    action = stage.action(
        {"datahub": datahub(canary), "source/config/connection/client_timeout_seconds": 3},
        **secrets,
        security_protocol="SASL_PLAINTEXT",
        debug="all",
    )
    poller = stage.start(action, "poller.log", "--debug", KAFKA_PROPERTIES_SSL_KEY_PEM=canary("environment"))
    assert poller.wait() == 3
    assert poller.lines("could not start")
    assert canary.seen_in(everything_said(stage, poller)) == []


def test_a_wrong_file_that_is_full_of_secrets(stage):
    canary = Canaries()
    wrong = {
        "datahub": datahub(canary),
        "shutdown/deadline": canary("misplaced"),
        "source/config/connection/schema_registry_config": {"bearer.auth.token": canary("token"), "wrong.key": 1},
    }
    poller = stage.start(stage.action(wrong, **properties(canary), ssl_truststore_password=canary("trust")))
    assert poller.wait() == 2
    said = everything_said(stage, poller)
    assert "shutdown.deadline" in said
    misplaced = [secret for secret in canary.all if "misplaced" in secret]
    canary.all = [secret for secret in canary.all if secret not in misplaced]
    assert [form for form in canary.seen_in(said) if form != "CaNaRy"] == []
