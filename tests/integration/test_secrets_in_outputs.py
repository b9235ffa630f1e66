"""No secret leaves the poller: canaries in every secret key, and every output read for them.

Outputs: standard output and error of each command, logs in both forms, the status, and dead letters.
"""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from datahub_poller.demo.broker import MockCluster
from datahub_poller.demo.registry import RegistryServer
from support.action_files import with_keys
from support.bad_servers import RefusingBroker
from support.brokers import MockBed
from support.commands import Ran, ran
from support.running import Stage

CONNECTION = "source.config.connection"
CONSUMER = f"{CONNECTION}.consumer_config"
REGISTRY = f"{CONNECTION}.schema_registry_config"


def canary(name: str) -> str:
    return f"cnry/{name} 7f3a+"


FROM_ENVIRON = {
    "KAFKA_PROPERTIES_SASL_PASSWORD": canary("environ-sasl"),
    "KAFKA_PROPERTIES_SSL_KEY_PASSWORD": canary("environ-key"),
    "REGISTRY_PASSWORD": canary("environ-registry"),
    "DATAHUB_TOKEN": canary("environ-token"),
}
CONSUMER_SECRETS = (
    "sasl.password",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.key.pem",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.assertion.private.key.passphrase",
)
REGISTRY_SECRETS = ("bearer.auth.token", "bearer.auth.client.secret", "ssl.key.password")
DATAHUB = {
    "server": "http://127.0.0.1:1",
    "token": canary("datahub-token"),
    "extra_headers": {"Authorization": f"Bearer {canary('datahub-header')}"},
}
EVERYTHING: dict[str, Any] = {
    CONSUMER: {name: canary(name) for name in CONSUMER_SECRETS},
    REGISTRY: {
        **{name: canary(f"registry-{name}") for name in REGISTRY_SECRETS},
        "basic.auth.user.info": "reader:${REGISTRY_PASSWORD}",
    },
    "datahub": DATAHUB,
}
BASE: dict[str, Any] = {
    f"{CONNECTION}.bootstrap": "127.0.0.1:1",
    f"{CONNECTION}.schema_registry_url": "http://127.0.0.1:1",
    f"{CONNECTION}.client_timeout_seconds": 1,
    "dead_letter.config.ephemeral": "accept",
    "dead_letter.config.directory": "letters",
    "status.port": "off",
}
LOGIN = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "reader"}
USER_INFO = urllib.parse.quote(canary("url"), safe="")


def canaries() -> Iterator[str]:
    """Every form in which a canary could stand in a text."""
    names = [*CONSUMER_SECRETS, *(f"registry-{name}" for name in REGISTRY_SECRETS)]
    names += ["environ-sasl", "environ-key", "environ-registry", "environ-token", "datahub-token", "datahub-header"]
    for name in [*names, "url", "misplaced", "raised", "logged"]:
        value = canary(name)
        yield from (value, urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value), json.dumps(value)[1:-1])
    for user in ("reader:" + canary("environ-registry"), "reader:" + canary("url")):
        yield base64.b64encode(user.encode()).decode()
    yield "cnry"  # and whatever is left of one


def leaks(text: str) -> list[str]:
    return [form for form in canaries() if form in text]


def clean(done: Ran) -> Ran:
    assert leaks(done.all) == [], done.all
    return done


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "tag_sync.py").write_text("def handle(event, context): ...\n")
    return tmp_path


def write(directory: Path, keys: Mapping[str, Any]) -> None:
    (directory / "action.yaml").write_text(yaml.safe_dump(with_keys({**BASE, **keys})))


# -- commands


@pytest.mark.parametrize(
    "command",
    [
        "check -c action.yaml",
        "check -c action.yaml --json",
        "check -c action.yaml --offline",
        "check -c action.yaml --offline --json",
        "run -c action.yaml",
        "run -c action.yaml --debug",
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_command_prints_a_secret_of_its_file_or_environment(command: str, form: str, directory: Path) -> None:
    write(directory, {**EVERYTHING, "logs.format": form})
    done = clean(ran(*command.split(), cwd=directory, environ=FROM_ENVIRON))
    assert done.code == (0 if "--offline" in command else 3), done.all
    if "check" in command:
        assert "********" in done.out
    if "--json" in command:
        settings = json.loads(done.out)["settings"]
        given = settings["source"]["config"]["connection"]
        assert set(given["consumer_config"].values()) == {"********"}
        assert set(given["schema_registry_config"].values()) == {"********"}
        assert settings["consumer_properties"]["sasl.password"] == "********"
        assert settings["datahub"]["token"] == "********"


@pytest.mark.parametrize("command", ["check", "check --json", "run", "run --debug"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_broker_that_refuses_the_password_is_told_without_it(command: str, form: str, directory: Path) -> None:
    with RefusingBroker() as broker:
        keys = {
            f"{CONNECTION}.bootstrap": broker.bootstrap,
            CONSUMER: {**LOGIN, "sasl.password": canary("sasl.password")},
        }
        write(directory, {**keys, "logs.format": form})
        done = clean(ran(*command.split(), "-c", "action.yaml", cwd=directory))
        assert any(canary("sasl.password").encode() in attempt for attempt in broker.attempts), "the test shows nothing"
    assert done.code == 3
    assert "Invalid username or password" in done.all


@pytest.mark.parametrize("where", ["url", "config", "environ"])
def test_a_registry_that_refuses_the_password_is_told_without_it(where: str, directory: Path) -> None:
    with RegistryServer(credentials="reader:another") as registry:
        address = registry.url.replace("://", f"://reader:{USER_INFO}@") if where == "url" else registry.url
        user = {"config": f"reader:{canary('misplaced')}", "environ": "reader:${REGISTRY_PASSWORD}"}.get(where)
        config = {} if user is None else {"basic.auth.user.info": user}
        write(directory, {f"{CONNECTION}.schema_registry_url": address, REGISTRY: config})
        for arguments in ([], ["--json"]):
            done = clean(ran("check", "-c", "action.yaml", *arguments, cwd=directory, environ=FROM_ENVIRON))
            assert "HTTP 401" in done.out
        assert registry.requests == ["GET /schemas/ids/0"] * 2


@pytest.mark.parametrize("command", ["check", "check --json", "run"])
def test_a_handler_that_tells_a_secret_when_it_is_imported_is_shown_without(command: str, directory: Path) -> None:
    source = "import os\nraise RuntimeError('cannot log in with ' + os.environ['REGISTRY_PASSWORD'])\n"
    (directory / "tag_sync.py").write_text(source)
    write(directory, {REGISTRY: {"basic.auth.user.info": "reader:${REGISTRY_PASSWORD}"}})
    done = clean(ran(*command.split(), "-c", "action.yaml", cwd=directory, environ=FROM_ENVIRON))
    assert done.code == 3
    assert "cannot log in with ********" in done.all


def test_a_token_function_that_tells_a_secret_is_shown_without(directory: Path) -> None:
    (directory / "mine.py").write_text(
        "import os\ndef token(config):\n    raise RuntimeError(f'{config} {os.environ[\"DATAHUB_TOKEN\"]}')\n"
    )
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER", "oauth_cb": "mine:token"}
    config = {**login, "sasl.oauthbearer.config": canary("sasl.oauthbearer.config")}
    write(directory, {CONSUMER: config, "datahub": {"token": "${DATAHUB_TOKEN}"}})
    for command in ("run", "check", "check --json"):
        done = clean(ran(*command.split(), "-c", "action.yaml", cwd=directory, environ=FROM_ENVIRON))
        assert "gives no token: RuntimeError: ******** ********" in done.all


def test_a_secret_that_stands_in_for_the_name_is_masked_there_too(directory: Path) -> None:
    write(directory, {"name": "${DATAHUB_TOKEN}"})
    clean(ran("check", "-c", "action.yaml", "--offline", cwd=directory, environ={"DATAHUB_TOKEN": "cnry-name"}))


# -- wrong files


MISPLACED = canary("misplaced")
WRONG: dict[str, dict[str, Any] | str] = {
    "a map for a password": {CONSUMER: {"sasl.password": {"value": MISPLACED}}},
    "a list for a password": {CONSUMER: {"sasl.password": [MISPLACED]}},
    "a password under a misspelt key": {CONSUMER: {"sasl.pasword": MISPLACED}},
    "a password under the Java client's key": {CONSUMER: {"sasl.jaas.config": f"required password={MISPLACED};"}},
    "a text for the consumer's settings": {CONSUMER: f"sasl.password={MISPLACED}"},
    "user info without a colon": {REGISTRY: {"basic.auth.user.info": MISPLACED}},
    "a misspelt registry key": {REGISTRY: {"basic.auth.user.inf": f"reader:{MISPLACED}"}},
    "a text for the registry's settings": {REGISTRY: f"reader:{MISPLACED}"},
    "a registry URL that is none": {f"{CONNECTION}.schema_registry_url": f"reader:{MISPLACED}@registry"},
    "a registry URL of another scheme": {f"{CONNECTION}.schema_registry_url": f"ftp://reader:{USER_INFO}@registry"},
    "user info twice": {
        f"{CONNECTION}.schema_registry_url": f"http://reader:{USER_INFO}@registry",
        REGISTRY: {"basic.auth.user.info": f"reader:{MISPLACED}"},
    },
    "user info in the bootstrap servers": {f"{CONNECTION}.bootstrap": f"reader:{USER_INFO}@kafka:9092"},
    "a token for a map": {"datahub": MISPLACED},
    "a password at the top": {"password": MISPLACED},
    "a token beside the handler": {"handler.config.token": MISPLACED},
    "a token in `transform`": {"transform": [{"type": "t", "config": {"token": MISPLACED}}]},
    "a token in `action`": {"action": {"type": "slack", "config": {"bot_token": MISPLACED}}},
    "a secret variable for a boolean": {"enabled": "${DATAHUB_TOKEN}"},
    "a secret variable for a number": {"batch.size": "${DATAHUB_TOKEN}"},
    "a secret variable for a duration": {"retry.backoff": "${DATAHUB_TOKEN}s"},
    "a secret variable for a choice": {"options.failure_mode": "${DATAHUB_TOKEN}"},
    "a secret variable for a path": {"dead_letter.config.directory": "${DATAHUB_TOKEN}\n"},
    "a dollar sign in a password": {CONSUMER: {"sasl.password": f"${{UNSET_ONE}}{MISPLACED}"}},
    "a default that is a secret": {CONSUMER: {"sasl.password": f"${{UNSET_ONE:-{MISPLACED}}}"}},
    "a password that is no YAML": f"name: a\nsource: {{sasl.password: {MISPLACED}: [}}\n",
    "a password that begins with a percent sign": f"name: a\npassword: %{MISPLACED}\n",
    "a password that is an alias": f"name: a\npassword: *{MISPLACED.replace(' ', '_')}\n",
    "a password that is a tag": f"name: a\npassword: !{MISPLACED.replace(' ', '_')} x\n",
    "a password of two lines": f"name: a\npassword: '{MISPLACED}\n\nb: c",
    "a key twice": f"password: {MISPLACED}\npassword: {MISPLACED}\n",
    "a password alone": f"{MISPLACED}\n",
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_a_wrong_file_is_told_without_the_secret_in_it(wrong: dict[str, Any] | str, directory: Path) -> None:
    if isinstance(wrong, str):
        (directory / "action.yaml").write_text(wrong)
    else:
        # A fault beside it: what is shown of that one must not show the other.
        write(directory, {**wrong, "retry.attempts": "many"})
    for arguments in (["run"], ["check", "--json", "--offline"]):
        done = clean(ran(*arguments, "-c", "action.yaml", cwd=directory, environ=FROM_ENVIRON))
        assert done.code == 2
        assert "Traceback" not in done.err


# -- a poller at work

SPEAKER = """
import logging, os

def handle(event, context):
    logging.getLogger("mine").warning("using %s", os.environ["LOGGED_SECRET"])
    raise RuntimeError("refused: " + os.environ["RAISED_SECRET"])
"""


def test_what_a_handler_says_and_raises_is_scrubbed_in_logs_status_and_letters(
    tmp_path: Path, mock_bed: MockBed, unique: Any
) -> None:
    mock_bed.cluster.rebalance_delay(50)
    with Stage(mock_bed, tmp_path, unique) as stage:
        (tmp_path / "speaker.py").write_text(SPEAKER)
        stage.create(1, "pe")
        stage.send("pe", 0, 1)
        keys = {
            "handler/config/function": "speaker:handle",
            "datahub": {"token": "${RAISED_SECRET}", "extra_headers": {"Authorization": "Bearer ${LOGGED_SECRET}"}},
            "logs/level": "debug",
            "retry": {"attempts": 2, "backoff": "1500ms"},
        }
        secrets = {"RAISED_SECRET": canary("raised"), "LOGGED_SECRET": canary("logged")}
        poller = stage.start(stage.action(keys), **secrets)
        seen = poller.status_when(
            lambda status: any(partition["last_error"] for partition in status["partitions"]), "no error is shown"
        )
        assert "refused: ********" in json.dumps(seen)
        assert leaks(json.dumps(seen)) == []
        poller.until(stage.letters, "no letter was written")
        assert poller.stop() == 0
        files = [path.read_text() for path in stage.letters_directory.rglob("*") if path.is_file()]
        assert leaks("".join(files)) == []
        assert "refused: ********" in "".join(files)
        assert leaks(poller.text()) == []
        assert "using ********" in poller.text()


@pytest.mark.parametrize("where", ["url", "config"])
def test_a_registry_that_refuses_while_running_is_shown_without_the_password(
    where: str, tmp_path: Path, unique: Any
) -> None:
    with MockCluster() as cluster, RegistryServer(credentials="reader:another") as registry:
        cluster.rebalance_delay(50)
        with Stage(MockBed(cluster), tmp_path, unique) as stage:
            stage.create(1, "pe")
            stage.send("pe", 0, 1)
            address = registry.url.replace("://", f"://reader:{USER_INFO}@") if where == "url" else registry.url
            config = {"basic.auth.user.info": f"reader:{canary('misplaced')}"} if where == "config" else {}
            keys = {
                "source/config/connection/schema_registry_url": address,
                "source/config/connection/schema_registry_config": config,
                "logs/level": "debug",
            }
            poller = stage.start(stage.action(keys))
            seen = poller.status_when(lambda status: status["schemas"] and status["red"], "it does not wait")
            assert "HTTP 401" in json.dumps(seen)
            assert leaks(json.dumps(seen)) == []
            shown = clean(ran("status", "--port", str(_port(poller)), cwd=tmp_path))
            assert "HTTP 401" in shown.out
            assert poller.stop() == 0
            assert leaks(poller.text()) == []


def _port(poller: Any) -> int:
    port = urllib.parse.urlsplit(poller.lines("status is served")[0]["url"]).port
    assert port is not None
    return port


def test_the_search_finds_what_it_is_to_find() -> None:
    assert leaks(f"... {canary('url')} ...")
    assert leaks(USER_INFO)
    assert leaks(base64.b64encode(f"reader:{canary('url')}".encode()).decode())
    assert leaks("nothing") == []
