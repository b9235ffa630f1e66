"""Refused at the door: `run` and `check` end with 3, soon, and say which setting, topic or group it is about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from kafka.listeners import CLIENT, MTLS, SASL, SSL
from kafka.secure_bed import SecureStage
from kafka.security import Mode
from support.commands import started

pytestmark = pytest.mark.xdist_group("secure-kafka")

CONFIG = "source.config.connection.consumer_config"
WRONG = "not-the-password-4711"
PATIENCE = 45.0
"""Far below `client_timeout_seconds`, which is how long a broker that is not there is waited for."""


class Case(NamedTuple):
    """`consumer` has properties with _ for dots; values that name a file of the certificates stand for its path."""

    mode: Mode
    says: tuple[str, ...]
    consumer: Mapping[str, Any] = {}
    tokens: Mapping[str, Any] = {}
    listener: str | None = None


LOGIN = {"sasl_password": WRONG}
CASES = {
    "an authority that did not sign the broker's certificate": Case(
        "SSL", ("certificate verify failed", "ssl.ca.location"), {"ssl_ca_location": "other_authority"}
    ),
    "no client certificate": Case(
        "SSL", ("certificate", "ssl.certificate.location", "ssl.key.location"), listener=MTLS
    ),
    "a client certificate that the broker does not trust": Case(
        "mTLS",
        ("certificate", "ssl.certificate.location", "ssl.key.location"),
        {"ssl_certificate_location": "stranger", "ssl_key_location": "stranger_key"},
    ),
    "a key that is not the certificate's": Case("mTLS", ("ssl.key.location",), {"ssl_key_location": "stranger_key"}),
    "a wrong password for PLAIN": Case("PLAIN", ("Invalid username or password", "sasl."), LOGIN),
    "a wrong password for SCRAM": Case("SCRAM-SHA-512", ("invalid credentials", "sasl."), LOGIN),
    "a mechanism that the broker does not have": Case(
        "PLAIN", ("mechanisms: PLAIN", "sasl."), {"sasl_mechanism": "SCRAM-SHA-1"}
    ),
    "a token that the broker refuses": Case("OAUTHBEARER", ("insufficient_scope", "sasl."), {}, {"scope": "other"}),
    "a token function that raises": Case(
        "OAUTHBEARER", (f"{CONFIG}.oauth_cb", "no token today"), {}, {"raise": "no token today"}
    ),
}


def refused(stage, says, not_says=()):
    """`check` and `run` at the same time; both say all of it. `check`'s findings are returned."""
    action = stage.action({"source/config/connection/client_timeout_seconds": 100})
    check = started("check", "--json", "-c", str(action), cwd=stage.directory)
    poller = stage.start(action)
    assert poller.wait(PATIENCE) == 3
    (reason,) = [line["reason"] for line in poller.lines("could not start")]
    out, err = check.communicate(timeout=PATIENCE)
    assert check.returncode == 3, out
    findings = json.loads(out)["findings"]
    details = "\n".join(each["detail"] for each in findings if each["verdict"] == "failed")
    for text in says:
        assert text in reason
        assert text in details
    for output in (poller.text(), out, err):
        for word in (WRONG, stage.security.password, *not_says):
            assert word not in output
    assert stage.recorded().calls == []
    return findings


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_nobody_is_let_in_with(case, secure_kafka, tmp_path, unique):
    with SecureStage(secure_kafka, case.mode, tmp_path, unique) as stage:
        stage.create(1, "pe")
        stage.give("pe")
        stage.send("pe", 0, 3)
        if case.tokens:
            stage.tokens(**case.tokens)
        if case.listener is not None:
            stage.bed.bootstrap = secure_kafka.addresses(case.listener)
        files = secure_kafka.security.certificates._asdict()
        stage.bed.consumer |= {
            key.replace("_", "."): str(files.get(value, value)) for key, value in case.consumer.items()
        }
        findings = {each["step"]: each["verdict"] for each in refused(stage, case.says)}
        assert (findings["broker"], findings[f"topic {stage.topics['pe']}"]) == ("failed", "skipped")


@pytest.mark.parametrize(("protocol", "listener"), [("PLAINTEXT", SSL), ("SASL_PLAINTEXT", SASL), ("SSL", CLIENT)])
def test_the_wrong_protocol_is_told_with_what_the_connection_died_of(
    protocol, listener, secure_kafka, tmp_path, unique
):
    with SecureStage(secure_kafka, "PLAIN", tmp_path, unique) as stage:
        stage.create(1, "pe")
        stage.bed.bootstrap = secure_kafka.addresses(listener)
        stage.bed.consumer |= {"security.protocol": protocol}
        action = stage.action({"source/config/connection/client_timeout_seconds": 1})
        poller = stage.start(action)
        assert poller.wait(PATIENCE) == 3
        (reason,) = [line["reason"] for line in poller.lines("could not start")]
        assert f"{CONFIG}" in reason
        assert "security.protocol" in reason
        assert "brokers are down" not in reason
        assert "connection closed by peer" in reason or "SSL" in reason


# -- access


def test_topics_that_may_not_be_read_are_all_named(secure_kafka, tmp_path, unique):
    with SecureStage(secure_kafka, "SCRAM-SHA-512", tmp_path, unique) as stage:
        stage.create(1, "pe", "mcl", "mcl_timeseries")
        stage.give("pe")
        topics = [f"topic {stage.topics[route]}" for route in ("mcl", "mcl_timeseries")]
        findings = {each["step"]: each["verdict"] for each in refused(stage, [*topics, "READ and DESCRIBE"])}
        assert [findings[topic] for topic in topics] == ["failed", "failed"]
        assert (findings["broker"], findings[f"topic {stage.topics['pe']}"]) == ("ok", "ok")


def test_a_group_that_may_not_be_joined_is_named(secure_kafka, tmp_path, unique):
    with SecureStage(secure_kafka, "mTLS", tmp_path, unique) as stage:
        stage.create(1, "pe")
        stage.give("pe", group=False)
        stage.send("pe", 0, 3)
        findings = {each["step"]: each["verdict"] for each in refused(stage, [f"group {stage.name}", "READ on it"])}
        assert findings[f"topic {stage.topics['pe']}"] == "ok"
        assert stage.committed() == {}


def test_a_topic_and_a_group_that_are_refused_are_told_at_once(secure_kafka, tmp_path, unique):
    with SecureStage(secure_kafka, "OAUTHBEARER", tmp_path, unique) as stage:
        stage.create(1, "pe", "mcl")
        stage.give("mcl", group=False)
        refused(stage, [f"topic {stage.topics['pe']}", f"group {stage.name}"])
