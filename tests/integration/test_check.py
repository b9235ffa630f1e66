"""`check` against real servers: each step's good and bad form, all at once, in bounded time, leaving no trace."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka.admin import AdminClient

from datahub_poller.demo.broker import TOPIC_AUTHORIZATION_FAILED
from datahub_poller.demo.registry import Interference, RegistryServer
from kafka.certificates import make_certificates
from support import recorded_calls
from support.action_files import with_keys
from support.bad_servers import RefusingBroker, dripping_server, silent_server
from support.brokers import MockBed
from support.commands import POLLER, Ran, environment, ran
from support.ipv6 import needs_ipv6
from support.tls_registry import tls_registry

TOPICS = {"pe": "PlatformEvent_v1", "mcl": "MetadataChangeLog_Versioned_v1"}
CONNECTION = "source.config.connection"
REGISTRY = "source.config.schema_registry"
HANDLER = "def handle(event, context):\n    raise AssertionError('called')\n"
STEPS = ["handler", "dead letters", "status port", "broker", *(f"topic {name}" for name in TOPICS.values())]
CONFLUENT, GLUE = "schema registry (confluent)", "schema registry (glue)"


class World:
    """A broker with both topics, a registry, a directory with a handler and an action file that is all right."""

    def __init__(self, bed: MockBed, registry: RegistryServer, directory: Path) -> None:
        self.bed = bed
        self.registry = registry
        self.directory = directory
        self.keys: dict[str, Any] = {
            "name": "check-me",
            f"{CONNECTION}.bootstrap": bed.bootstrap,
            f"{CONNECTION}.schema_registry_url": registry.url,
            f"{CONNECTION}.client_timeout_seconds": 2,
            f"{REGISTRY}.timeout": "1s",
            "source.config.topic_routes": TOPICS,
            "handler.config.function": "tags:handle",
            "handler.config.path": "handlers",
            "dead_letter.config.directory": str(directory / "letters"),
            "dead_letter.config.ephemeral": "accept",
            "status.port": 0,
        }
        self.handler(HANDLER)

    def handler(self, source: str) -> None:
        (self.directory / "handlers").mkdir(exist_ok=True)
        (self.directory / "handlers" / "tags.py").write_text(source)

    def check(self, *arguments: str, environ: Mapping[str, str] | None = None, **keys: Any) -> Ran:
        """Keys are given with two underscores for a dot."""
        changes = {name.replace("__", "."): value for name, value in keys.items()}
        (self.directory / "action.yaml").write_text(yaml.safe_dump(with_keys({**self.keys, **changes})))
        # From elsewhere, so that nothing is found because it lies in the working directory.
        (self.directory / "elsewhere").mkdir(exist_ok=True)
        file = str(self.directory / "action.yaml")
        return ran("check", "-c", file, *arguments, cwd=self.directory / "elsewhere", environ=environ)

    def found(self, *arguments: str, **keys: Any) -> tuple[int, dict[str, tuple[str, str]]]:
        """The exit code, and each step's verdict and detail."""
        done = self.check("--json", *arguments, **keys)
        assert done.err == ""
        return done.code, {each["step"]: (each["verdict"], each["detail"]) for each in json.loads(done.out)["findings"]}


@pytest.fixture
def world(mock_bed: MockBed, tmp_path: Path) -> Iterator[World]:
    for topic in TOPICS.values():
        mock_bed.create_topic(topic, 2)
    with RegistryServer() as registry:
        yield World(mock_bed, registry, tmp_path)
        recorded_calls.note_registry(registry.requests)


def verdicts(found: dict[str, tuple[str, str]]) -> dict[str, str]:
    return {step: verdict for step, (verdict, _) in found.items()}


# -- each step, good and bad


def test_where_all_is_well_every_step_says_so_and_it_ends_with_0(world: World) -> None:
    code, found = world.found()
    assert verdicts(found) == dict.fromkeys([*STEPS, CONFLUENT], "ok")
    assert code == 0
    assert found["broker"][1] == f"the Kafka broker {world.bed.bootstrap} answers"
    assert found["dead letters"][1] == f"{world.directory}/letters/check-me is writable"
    assert world.registry.requests == ["GET /schemas/ids/0"]


def test_it_prints_the_settings_first_and_the_verdict_last(world: World) -> None:
    done = world.check()
    assert (done.code, done.err) == (0, "")
    settings, _, findings = done.out.partition("\n\nok ")
    assert yaml.safe_load(settings)["name"] == "check-me"
    assert yaml.safe_load(settings)["consumer_properties"]["group.id"] == "check-me"
    assert len(findings.strip().splitlines()) == 9
    assert done.out.endswith("\nall 7 ok\n")


def test_it_asks_glue_for_a_schema_that_nobody_has_and_for_nothing_else(world: World) -> None:
    code, found = world.found(**glue(world))
    assert (code, found[GLUE][0]) == (0, "ok")
    assert CONFLUENT not in found
    assert world.registry.requests == [f"GetSchemaVersion {uuid.UUID(int=0)}"]


def test_where_framings_are_told_apart_both_registries_are_asked(world: World) -> None:
    code, found = world.found(**{**glue(world), f"{REGISTRY}.type": "auto"})
    assert (code, found[CONFLUENT][0], found[GLUE][0]) == (0, "ok", "ok")
    assert sorted(world.registry.requests) == ["GET /schemas/ids/0", f"GetSchemaVersion {uuid.UUID(int=0)}"]


def glue(world: World) -> dict[str, Any]:
    return {REGISTRY: {"type": "glue", "endpoint": world.registry.url, "region": "eu-west-1", "timeout": "1s"}}


def test_a_missing_topic_fails_and_the_others_are_told_as_they_are(world: World) -> None:
    code, found = world.found(source__config__topic_routes={"pe": TOPICS["pe"], "mcl": "Gone_v1"})
    assert code == 3
    assert found["topic Gone_v1"] == (
        "failed",
        "does not exist; `run` would wait for it. See source.config.topic_routes",
    )
    assert found[f"topic {TOPICS['pe']}"] == ("ok", "exists")
    assert found["broker"][0] == "ok"


def test_a_topic_that_is_refused_fails_by_itself(world: World) -> None:
    world.bed.cluster.topic_error(TOPICS["mcl"], TOPIC_AUTHORIZATION_FAILED)
    code, found = world.found()
    assert code == 3
    assert found[f"topic {TOPICS['mcl']}"][0] == "failed"
    assert "needs READ and DESCRIBE" in found[f"topic {TOPICS['mcl']}"][1]
    assert found[f"topic {TOPICS['pe']}"][0] == "ok"


def test_a_handler_that_cannot_be_loaded_is_shown_with_its_stack(world: World) -> None:
    world.handler("import nothing_like_this_exists\n")
    assert world.found()[1]["handler"][0] == "failed"
    world.handler("def helper():\n    raise RuntimeError('no table')\n\nhelper()\n")
    done = world.check()
    assert done.code == 3
    assert "failed   handler: handler.config.function: 'tags:handle'" in done.out
    assert "RuntimeError: no table" in done.out
    assert "    |   File " in done.out
    assert "1 of 7 failed: handler" in done.out


def test_letters_that_cannot_be_written_fail(world: World) -> None:
    code, found = world.found(dead_letter__config__directory=str(world.directory / "action.yaml" / "below"))
    assert (code, found["dead letters"][0]) == (3, "failed")
    assert "Not a directory" in found["dead letters"][1]


def test_a_drain_that_the_container_would_cut_off_is_a_warning(world: World) -> None:
    done = world.check(shutdown__deadline="20s", environ={"STOP_TIMEOUT": "22"})
    assert done.code == 0
    assert "warning  action file: shutdown.deadline (20s) and 5 s for the end do not fit into the 22 s" in done.out
    assert "all 7 ok" in done.out


def test_a_port_that_is_taken_is_a_warning_since_the_action_itself_may_have_it(world: World) -> None:
    with silent_server() as port:
        code, found = world.found(status__port=port)
    assert (code, found["status port"][0]) == (0, "warning")
    assert f"127.0.0.1:{port} is taken" in found["status port"][1]


def test_the_status_port_is_tried_at_the_address_that_the_file_names(world: World) -> None:
    with silent_server() as port:
        code, found = world.found(status__port=port, status__host="127.0.0.2")
    assert (code, found["status port"]) == (0, ("ok", f"127.0.0.2:{port} is free"))


def test_the_status_port_is_tried_at_an_ipv6_address(world: World) -> None:
    needs_ipv6()
    with silent_server() as port:  # takes it of 127.0.0.1 alone
        code, found = world.found(status__port=port, status__host="::1")
    assert (code, found["status port"]) == (0, ("ok", f"[::1]:{port} is free"))


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])  # of no machine, by RFC 5737 and 3849
def test_an_address_of_another_machine_fails(world: World, address: str) -> None:
    code, found = world.found(status__host=address)
    assert (code, found["status port"][0]) == (3, "failed")
    assert f"status.host: cannot listen on {address}" in found["status port"][1]
    assert "0.0.0.0 for all of them" in found["status port"][1]


@pytest.mark.parametrize(
    ("style", "answer", "says"),
    [
        ("confluent", Interference(status=503), "HTTP 503"),
        ("confluent", Interference(status=401), "HTTP 401: see `schema_registry_config`"),
        ("confluent", Interference(drop=True), "gives no answer"),
        ("confluent", Interference(status=200, body=b"<html>"), "not as a schema registry does"),
        ("datahub", Interference(status=500), "HTTP 500"),
    ],
)
def test_a_registry_that_does_not_answer_as_one_fails(
    style: Any, answer: Interference, says: str, world: World
) -> None:
    with RegistryServer(style=style, interfere=lambda _: answer) as registry:
        code, found = world.found(**{f"{CONNECTION}.schema_registry_url": registry.url})
    assert (code, found[CONFLUENT][0]) == (3, "failed")
    assert says in found[CONFLUENT][1]
    see = "See source.config.connection.schema_registry_url"
    assert found[CONFLUENT][1].endswith(see) == ("`schema_registry_config`" not in says)


def test_a_dead_proxy_is_told_as_the_proxy_s(world: World) -> None:
    proxy = "http://ana:hunter2@127.0.0.1:1"
    done = world.check(environ={"HTTP_PROXY": proxy, "NO_PROXY": ""})
    assert done.code == 3
    assert "hunter2" not in done.all
    (line,) = [line for line in done.out.splitlines() if CONFLUENT in line and "failed  " in line]
    assert "the proxy http://127.0.0.1:1 (HTTP_PROXY) cannot be reached" in line
    assert "NO_PROXY" in line
    assert "schema_registry_url" not in line


def test_a_registry_behind_tls_names_the_key_that_is_missing_and_takes_the_bundle_of_requests(
    world: World, tmp_path: Path
) -> None:
    files = make_certificates(tmp_path / "certificates", "poller")
    with tls_registry(files.server) as port:
        url = {f"{CONNECTION}.schema_registry_url": f"https://127.0.0.1:{port}"}
        certifi = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}
        refused = world.check(environ=certifi, **url)
        done = world.check(environ={**certifi, "REQUESTS_CA_BUNDLE": str(files.authority)}, **url)
    assert refused.code == 3
    assert "set ssl.ca.location in `schema_registry_config`" in refused.out
    assert (done.code, done.err) == (0, "")


def test_a_filter_that_lets_nothing_through_is_a_warning(world: World) -> None:
    predicate = {"category": "tag", "version": "0"}
    filters = [{"type": "event_type", "config": {"filter": {"EntityChangeEvent_v1": {"event": [predicate]}}}}]
    done = world.check("--offline", filters=filters)
    assert done.code == 0
    where = "filters[0].config.filter.EntityChangeEvent_v1.event[0]"
    assert f"warning  action file: {where}.category: 'tag' matches no event. DataHub writes TAG." in done.out
    assert f"warning  action file: {where}.version: '0' matches no event: version is a number." in done.out


@pytest.mark.parametrize("style", ["confluent", "datahub"])
def test_a_registry_that_knows_no_schema_0_is_reached(style: Any, world: World) -> None:
    with RegistryServer(style=style) as registry:
        _, found = world.found(**{f"{CONNECTION}.schema_registry_url": registry.url})
        assert found[CONFLUENT][0] == "ok"
        assert registry.requests == ["GET /schemas/ids/0"]


def test_glue_that_refuses_says_what_the_role_needs(world: World) -> None:
    denied = json.dumps({"__type": "AccessDeniedException", "Message": "not authorized"}).encode()
    world.registry.interfere = lambda _: Interference(status=400, body=denied)
    code, found = world.found(**glue(world))
    assert (code, found[GLUE][0]) == (3, "failed")
    assert "glue:GetSchemaVersion" in found[GLUE][1]


# -- several at once, and what is not tried


def test_every_failure_is_reported_not_only_the_first(world: World) -> None:
    world.handler("def other(event, context): ...\n")
    world.registry.stop()
    with RefusingBroker() as broker:
        login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
        done = world.check(
            **{
                f"{CONNECTION}.bootstrap": broker.bootstrap,
                f"{CONNECTION}.consumer_config": {**login, "sasl.username": "u", "sasl.password": "wrong-word"},
                "dead_letter.config.directory": str(world.directory / "action.yaml" / "below"),
            }
        )
        assert len(broker.attempts) <= 10, "an account may be locked after a few"
    assert done.code == 3
    for step in ("handler", "dead letters", "broker", CONFLUENT):
        assert f"failed   {step}: " in done.out
    assert f"skipped  topic {TOPICS['pe']}: the broker could not be asked" in done.out
    assert done.out.endswith(f"4 of 5 failed: handler, dead letters, broker, {CONFLUENT}\n")
    assert "Invalid username or password" in done.out
    assert "wrong-word" not in done.all


def test_offline_connects_to_nothing(world: World) -> None:
    with RefusingBroker() as broker:
        code, found = world.found("--offline", **{f"{CONNECTION}.bootstrap": broker.bootstrap})
        assert broker.attempts == []
    assert code == 0
    assert verdicts(found) == {
        "handler": "ok",
        "dead letters": "ok",
        "kafka client": "ok",
        "broker": "skipped",
        "topics": "skipped",
        CONFLUENT: "skipped",
    }
    assert world.registry.requests == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"sasl.mechanism": "SCRAM-SHA-512"}, "sasl.username and sasl.password must be set"),
        ({"sasl.mechanism": "KERBEROS"}, "Unsupported SASL mechanism: KERBEROS"),
        ({"sasl.mechanism": "GSSAPI"}, "No provider for SASL mechanism GSSAPI"),
        ({"session.timeout.ms": 99_999_999, "max.poll.interval.ms": 99_999_999}, "outside allowed range"),
        ({"ssl.ca.location": "/nowhere/ca.pem"}, "ssl.ca.location failed"),
    ],
)
def test_offline_finds_what_librdkafka_does_not_take(world: World, given: Mapping[str, Any], said: str) -> None:
    keys = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "u",
        "sasl.password": "hush-hush",
    }
    config = given if "sasl.mechanism" in given else {**keys, **given}
    done = world.check("--offline", **{f"{CONNECTION}.consumer_config": {"security.protocol": "SASL_SSL", **config}})
    assert done.code == 3
    assert f"failed   kafka client: {CONNECTION}.consumer_config: the Kafka client does not take it: " in done.out
    assert said in done.out
    assert "hush-hush" not in done.all
    assert done.out.endswith("1 of 3 failed: kafka client\n")


def test_offline_asks_nobody_for_a_token(world: World) -> None:
    (world.directory / "handlers" / "tokens.py").write_text("def give(config):\n    raise AssertionError('asked')\n")
    login = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "oauth_cb": "tokens:give"}
    code, found = world.found("--offline", **{f"{CONNECTION}.consumer_config": login})
    assert (code, found["kafka client"]) == (0, ("ok", "librdkafka takes its properties"))


def test_offline_asks_no_issuer_for_a_token(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as issuer:
        login = {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "OAUTHBEARER",
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.client.id": "me",
            "sasl.oauthbearer.client.secret": "hush-hush",
            "sasl.oauthbearer.token.endpoint.url": f"http://127.0.0.1:{issuer.getsockname()[1]}/token",
        }
        code, found = world.found("--offline", **{f"{CONNECTION}.consumer_config": login})
        issuer.setblocking(False)
        with pytest.raises(BlockingIOError):
            issuer.accept()
    assert (code, found["kafka client"][0]) == (0, "ok")


def test_offline_finds_what_the_producer_of_letters_does_not_take(world: World) -> None:
    place = {"topic": "letters", "bootstrap": "127.0.0.1:1", "producer_config": {"security.protocol": "SASL_SSL"}}
    code, found = world.found("--offline", dead_letter={"type": "kafka", "config": place})
    assert (code, found["kafka client"][0], found["dead letters"][0]) == (3, "ok", "skipped")
    verdict, said = found["kafka client (dead letters)"]
    assert verdict == "failed"
    assert said.startswith("dead_letter.config.producer_config: the Kafka client does not take it: ")


def test_what_gives_every_container_javas_words_is_checked_as_it_will_run(world: World) -> None:
    """As DataHub's charts set them."""
    words = {
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "AWS_MSK_IAM",
        "SASL_JAAS_CONFIG": "software.amazon.msk.auth.iam.IAMLoginModule required;",
        "SASL_CLIENT_CALLBACK_HANDLER_CLASS": "software.amazon.msk.auth.iam.IAMClientCallbackHandler",
    }
    done = world.check("--offline", environ={f"KAFKA_PROPERTIES_{name}": value for name, value in words.items()})
    assert done.code == 0
    assert "oauth_cb: msk-iam" in done.out
    assert "warning" not in done.out


@pytest.mark.parametrize("kind", ["kafka", "sqs", "s3"])
def test_offline_connects_to_no_place_for_letters_but_a_directory(world: World, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        reached = {"endpoint": f"http://{address}", "region": "eu-west-1", "timeout": "1s"}
        place = {
            "kafka": {"topic": "letters", "bootstrap": address},
            "sqs": {"queue": f"http://{address}/123456789012/letters", **reached},
            "s3": {"bucket": "letters", **reached},
        }[kind]
        code, found = world.found("--offline", dead_letter={"type": kind, "config": place})
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert (code, found["dead letters"]) == (0, ("skipped", "--offline"))


def test_offline_finds_what_can_be_found_offline(world: World) -> None:
    code, found = world.found("--offline", handler__config__function="tags:gone")
    assert (code, found["handler"][0], found["dead letters"][0]) == (3, "failed", "ok")


def test_a_wrong_file_is_told_in_json_too_with_every_problem(world: World) -> None:
    done = world.check("--json", batch__size=0, batch__sise=3)
    assert (done.code, done.err) == (2, "")
    document = json.loads(done.out)
    assert (document["verdict"], document["settings"]) == ("failed", None)
    assert sorted(each["detail"].split(": ")[1] for each in document["findings"]) == ["batch.sise", "batch.size"]


def test_warnings_are_shown_and_are_no_failure(world: World) -> None:
    environ = {"KAFKA_PROPERTIES_SSL_TRUSTSTORE_LOCATION": "/etc/trust.jks"}
    done = world.check(name="a:b", environ=environ)
    assert done.code == 0
    assert "warning  action file: name holds a colon" in done.out
    assert "warning  action file: KAFKA_PROPERTIES_SSL_TRUSTSTORE_LOCATION is left out" in done.out


def test_of_a_file_that_is_disabled_it_says_so_and_tries_nothing(world: World) -> None:
    keys = {"enabled": "${CHECK_ENABLED:-no}", "name": "${NOT_SET}", "handler__config__function": "not_there:handle"}
    done = world.check(**keys)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("warning  action file: enabled is false: there is nothing to run")
    assert len(done.out.splitlines()) == 1
    document = json.loads(world.check("--json", **keys).out)
    assert (document["verdict"], document["settings"]) == ("ok", None)
    assert [each["verdict"] for each in document["findings"]] == ["warning"]
    on = world.check(**keys, environ={"CHECK_ENABLED": "yes"})
    assert on.code == 2
    assert "NOT_SET is not set" in on.err


# -- what it may not do


def test_it_joins_no_group_reads_nothing_and_commits_nothing(world: World) -> None:
    for partition in (0, 1):
        world.bed.produce(TOPICS["pe"], partition, b"not for check")
    code, _ = world.found(source__config__start="earliest")
    assert code == 0
    assert world.bed.committed("check-me", TOPICS["pe"]) == {}
    groups = AdminClient({"bootstrap.servers": world.bed.bootstrap, "log_level": 0}).list_consumer_groups()
    try:
        known = [group.group_id for group in groups.result(5).valid]
    except Exception:  # the mock cluster does not know this request: the commits above have to do
        known = []
    assert "check-me" not in known
    assert list((world.directory / "letters" / "check-me").glob("*")) == []


def test_it_takes_bounded_time_where_everything_hangs(world: World) -> None:
    with silent_server() as port:
        before = time.monotonic()
        code, found = world.found(
            **{
                f"{CONNECTION}.bootstrap": f"127.0.0.1:{port}",
                f"{CONNECTION}.schema_registry_url": f"http://127.0.0.1:{port}",
                f"{CONNECTION}.client_timeout_seconds": 600,
                REGISTRY: {"type": "auto", "endpoint": f"http://127.0.0.1:{port}", "region": "x", "timeout": "1s"},
            }
        )
        took = time.monotonic() - before
    assert code == 3
    assert [found[step][0] for step in ("broker", CONFLUENT, GLUE)] == ["failed", "failed", "failed"]
    assert "did not answer within 10 s" in found["broker"][1]
    assert took < 50


def test_a_registry_that_drips_its_answer_does_not_hold_it_up(world: World) -> None:
    # Each read is quick enough for the client's own time-out; the answer never ends.
    with dripping_server() as port:
        before = time.monotonic()
        code, found = world.found(**{f"{CONNECTION}.schema_registry_url": f"http://127.0.0.1:{port}"})
        took = time.monotonic() - before
    assert (code, found[CONFLUENT][0]) == (3, "failed")
    assert "no answer within 14 s" in found[CONFLUENT][1]
    assert took < 50


@pytest.mark.kafka
def test_against_apache_kafka_it_leaves_no_group(kafka: Any, unique: Any, tmp_path: Path) -> None:
    topic, group = unique("pe"), unique("check-me")
    kafka.create_topic(topic, 2)
    kafka.produce(topic, 0, b"not for check")
    with RegistryServer() as registry:
        world = World(kafka, registry, tmp_path)
        code, _ = world.found(name=group, source__config__topic_routes={"pe": topic}, source__config__start="earliest")
    assert code == 0
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    assert group not in [each.group_id for each in admin.list_consumer_groups().result(10).valid]
    assert kafka.committed(group, topic) == {}


# -- colours


def test_colours_are_for_terminals_only(world: World) -> None:
    assert "\x1b" not in world.check("--offline").out


def test_a_terminal_gets_colours_unless_it_asks_for_none(world: World) -> None:
    world.check("--offline")
    assert b"\x1b[32mok" in on_a_terminal(world, {})
    assert b"\x1b" not in on_a_terminal(world, {"NO_COLOR": "1"})


def on_a_terminal(world: World, environ: Mapping[str, str]) -> bytes:
    ours, theirs = os.openpty()
    command = [*POLLER, "check", "-c", "action.yaml", "--offline"]
    with subprocess.Popen(
        command, cwd=world.directory, env=environment(environ), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other side has closed
            while piece := os.read(ours, 65_536):
                said += piece
        process.wait(30)
    os.close(ours)
    return said
