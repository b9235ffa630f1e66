"""Wrong use of the commands: each ends in one clear message and the right exit code, and never in a traceback.

0 stopped, 1 failed while running, 2 wrong use or configuration, 3 could not start.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from datahub_poller.demo.broker import MockCluster
from support.action_files import with_keys
from support.bad_servers import RefusingBroker, silent_server
from support.commands import POLLER, Ran, environment, ran, started

BASE = with_keys(
    {
        "name": "tag-sync",
        "source.config.connection.bootstrap": "127.0.0.1:1",
        "source.config.connection.schema_registry_url": "http://127.0.0.1:1",
        "source.config.connection.client_timeout_seconds": 1,
        "handler.config.function": "tags:handle",
        "dead_letter.config.directory": "letters",
        "dead_letter.config.ephemeral": "accept",
        "status.port": "off",
    }
)
CONSUMER = "source.config.connection.consumer_config"
RUN = ("run", "-c", "action.yaml")
HANDLER = "def handle(event, context):\n    pass\n"
PASSWORD = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "u",
    "sasl.password": "w",
}


def oauth(function: str) -> dict[str, Any]:
    return {CONSUMER: {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "OAUTHBEARER", "oauth_cb": function}}


@dataclass(frozen=True)
class Case:
    """What is wrong, the exit code, and pieces of the message.

    `text` is the whole action file; else `keys` change a right one.
    """

    name: str
    code: int
    says: tuple[str, ...]
    keys: Mapping[str, Any] = field(default_factory=dict)
    text: str | bytes | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] = RUN
    environ: Mapping[str, str] = field(default_factory=dict)
    lines: int = 1


FILE = [
    Case("missing", 2, ("nowhere.yaml: there is no such file",), args=("run", "-c", "nowhere.yaml")),
    Case("a directory", 2, (".: is a directory. Give the action file itself.",), args=("run", "-c", ".")),
    Case("unreadable", 2, ("tags.py/a.yaml: cannot be read: Not a directory",), args=("run", "-c", "tags.py/a.yaml")),
    Case("another suffix", 2, ("tags.py: has a suffix that is not known", ".yaml"), args=("run", "-c", "tags.py")),
    Case("broken YAML", 2, ("action.yaml: line 2", "is not YAML"), text="name: [tag-sync\nsource: {"),
    Case("empty", 2, ("action.yaml: is empty",), text=""),
    Case("only a comment", 2, ("action.yaml: is empty",), text="# to do\n"),
    Case("no map", 2, ("must be a map of keys at its top level",), text="just words"),
    Case("not text", 2, ("is not UTF-8 text",), text=b"name: \xff\xfe"),
    Case("a key twice", 2, ("line 2: the key 'name' stands twice", "First on line 1"), text="name: a\nname: b\n"),
    Case("an unknown key", 2, ("retry.attemps: is not a key of retry. Did you mean 'attempts'?",),
         {"retry.attemps": 3}),
    Case("a wrong type", 2, ("batch.size: must be a whole number (seen: 'many')",), {"batch.size": "many"}),
    Case("out of range", 2, ("batch.size: must be between 1 and 10000 (seen: 0)",), {"batch.size": 0}),
    Case(
        "several problems",
        2,
        ("retry.attemps: is not a key", "batch.size: must be between", "bacth: is not a key", "variable NOT_SET"),
        {"retry.attemps": 3, "batch.size": 0, "bacth": {}, "name": "${NOT_SET}"},
        lines=4,
    ),
    Case("an unset variable", 2, ("name: the environment variable NOT_SET is not set.",), {"name": "${NOT_SET}"}),
    Case("no handler", 2, ("handler: is required", "module:function"),
         text="name: a\nsource: {type: kafka}\ndead_letter: {config: {ephemeral: accept}}\n"),
    Case("`action`", 2, ("action: is not there yet.", "handler: {"), {"action": {"type": "hello_world"}}),
    Case("`transform`", 2, ("transform: is not there yet.",), {"transform": [{"type": "some"}]}),
    Case(
        "a deadline beyond the poll interval",
        2,
        ("shutdown.deadline: does not fit below max.poll.interval.ms (60s) together with session.timeout.ms (45s)",),
        {"shutdown.deadline": "30s", CONSUMER: {"max.poll.interval.ms": 60000}},
    ),
    Case(
        "a session beyond the poll interval",
        2,
        ("max.poll.interval.ms (10000) is below session.timeout.ms (45000)",),
        {CONSUMER: {"max.poll.interval.ms": 10000}},
    ),
    Case("letters lost with the container", 2, ("dead_letter.config.directory: is inside the container",),
         {"dead_letter.config": {"directory": "/proc/letters"}}, environ={"container": "podman"}),
    Case("disabled", 0, ("action.yaml: enabled is false: there is nothing to run",), {"enabled": False}),
    Case("disabled, and wrong otherwise", 0, ("action.yaml: enabled is false: there is nothing to run",),
         {"enabled": "${NOT_SET:-no}", "name": "${NOT_SET}", "handler.config.function": "nowhere:handle"}),
]  # fmt: skip

USE = [
    Case("no file named", 2, ("Missing option '-c' / '--config'.",), args=("run",), lines=4),
    Case("unknown command", 2, ("No such command 'start'.",), args=("start",), lines=4),
    Case("unknown option", 2, ("No such option", "--verbose"), args=(*RUN, "--verbose"), lines=4),
    Case(
        "two files",
        2,
        ("-c names 2 files: action.yaml and b.yaml. Give one: start one process per file.",),
        args=(*RUN, "-c", "b.yaml"),
        lines=4,
    ),
    Case("extra argument", 2, ("unexpected extra argument (more)",), args=(*RUN, "more"), lines=4),
    Case(
        "no port", 2, ("'--status-port'", "99999 is not in the range"), args=(*RUN, "--status-port", "99999"), lines=4
    ),
    Case("status of no port", 2, ("'--port'", "0 is not in the range"), args=("status", "--port", "0"), lines=4),
]

NOT_STARTED = [
    Case("module not found", 3, ("'tgs:handle'", "there is no module 'tgs'", "did you mean 'tags'?"),
         {"handler.config.function": "tgs:handle"}),
    Case("function not found", 3, ("has no 'handel'; did you mean 'handle'?",),
         {"handler.config.function": "tags:handel"}),
    Case("syntax error", 3, ("tags.py:1: expected ':'", "correct it"),
         files={"tags.py": "def handle(event, context)\n"}),
    Case("import raises", 3, ("KeyError: 'TOKEN'", "tags.py:2)", "`datahub-poller check` shows the stack"),
         files={"tags.py": "import os\nTOKEN = os.environ['TOKEN']\n" + HANDLER}),
    Case("import exits", 3, ("ends the process when it is imported",), files={"tags.py": "import sys\nsys.exit(0)\n"}),
    Case("dependency not found", 3, ("'tags' imports 'nosuchlib'", "install it"),
         files={"tags.py": "import nosuchlib\n"}),
    Case("wrong arity", 3, ("tags:handle(event) cannot be called", "def handle(event, context)"),
         files={"tags.py": "def handle(event): ...\n"}),
    Case("a class", 3, ("tags:Handler is a class",), {"handler.config.function": "tags:Handler"},
         files={"tags.py": "class Handler: ...\n"}),
    Case("no such directory", 3, ("handlers is not a directory",), {"handler.config.path": "handlers"}),
    Case("letters below a file", 3, ("/tags.py/letters", "Not a directory",
                                     "dead_letter.config.directory"),
         {"dead_letter.config.directory": "tags.py/letters"}),
    Case("port in use", 3, ("status.port: cannot listen on 127.0.0.1:@TAKEN@", "--status-port 0"),
         {"status.port": "@TAKEN@"}),
    Case("unreachable broker", 3, ("the Kafka broker 127.0.0.1:1 did not answer within 1 s", "Connection refused",
                                   "source.config.connection.bootstrap")),
    Case("silent broker", 3, ("127.0.0.1:@SILENT@ did not answer within 1 s",),
         {"source.config.connection.bootstrap": "127.0.0.1:@SILENT@"}),
    Case("wrong host name", 3, ("no.such.host.invalid:9092", "Failed to resolve"),
         {"source.config.connection.bootstrap": "no.such.host.invalid:9092"}),
    Case("wrong password", 3, ("refused the connection", "Invalid username or password", "sasl.*", "consumer_config"),
         {"source.config.connection.bootstrap": "@REFUSING@", CONSUMER: PASSWORD}),
    Case("unknown property", 3, ('No such configuration property: "some.thing"', CONSUMER),
         {CONSUMER: {"some.thing": 1}}),
    Case("no such mechanism", 3, ("Unsupported", "SCRUM", CONSUMER),
         {CONSUMER: {**PASSWORD, "sasl.mechanism": "SCRUM"}}),
    Case("no such certificates", 3, ("ssl.ca.location failed", CONSUMER),
         {CONSUMER: {"security.protocol": "SSL", "ssl.ca.location": "nowhere.pem"}}),
    Case("oauth_cb: module not found", 3, (f"{CONSUMER}.oauth_cb: 'nowhere:token'", "No module named 'nowhere'"),
         oauth("nowhere:token")),
    Case("oauth_cb: function not found", 3, ("'tags:token' cannot be loaded", "no attribute 'token'"),
         oauth("tags:token")),
    Case("oauth_cb: module raises", 3, ("'mine:token' cannot be loaded: ValueError: no profile",), oauth("mine:token"),
         files={"mine.py": "raise ValueError('no profile')\n", "tags.py": HANDLER}),
    Case("oauth_cb: no function", 3, ("'mine:token' is no function: it is of type int",), oauth("mine:token"),
         files={"mine.py": "token = 1\n", "tags.py": HANDLER}),
    Case("oauth_cb raises", 3, ("'mine:token' gives no token: RuntimeError: no credentials",), oauth("mine:token"),
         files={"mine.py": "def token(config):\n    raise RuntimeError('no credentials')\n", "tags.py": HANDLER}),
    Case("oauth_cb: nonsense", 3, ("it must return (token, seconds since the epoch when it expires), not (str, str)",),
         oauth("mine:token"), files={"mine.py": "def token(config):\n    return 'abc', 'soon'\n", "tags.py": HANDLER}),
    Case("oauth_cb: expired", 3, ("its token has expired (at 5 s since the epoch)",), oauth("mine:token"),
         files={"mine.py": "def token(config):\n    return 'abc', 5.0\n", "tags.py": HANDLER}),
]  # fmt: skip


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, str]]:
    """Where the servers are that the cases name."""
    with socket.create_server(("127.0.0.1", 0)) as taken, silent_server() as silent, RefusingBroker() as refusing:
        yield {
            "@TAKEN@": str(taken.getsockname()[1]),
            "@SILENT@": str(silent),
            "@REFUSING@": refusing.bootstrap,
        }


def filled(text: str, places: Mapping[str, str]) -> str:
    for name, place in places.items():
        text = text.replace(name, place)
    return text


def write(case: Case, directory: Path, places: Mapping[str, str], more: Mapping[str, Any] | None = None) -> None:
    keys = {**case.keys, **({} if more is None else more)}
    text = yaml.safe_dump(with_keys(keys, BASE)) if case.text is None else case.text
    data = filled(text, places).encode() if isinstance(text, str) else text
    (directory / "action.yaml").write_bytes(data)
    for name, source in {"tags.py": HANDLER, **case.files}.items():
        (directory / name).write_text(source)


def own_lines(ran: Ran) -> list[str]:
    """What is printed on standard error, without the log."""
    return [line for line in ran.err.splitlines() if not line[:1].isdigit()]


@pytest.mark.parametrize("case", [*FILE, *USE, *NOT_STARTED], ids=lambda case: case.name)
def test_a_mistake_ends_in_one_clear_message_and_the_right_exit_code(
    case: Case, tmp_path: Path, places: dict[str, str]
) -> None:
    write(case, tmp_path, places)
    done = ran(*case.args, cwd=tmp_path, environ=case.environ)
    assert done.code == case.code, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    said = own_lines(done)
    assert len(said) <= case.lines, done.err
    assert len(done.err.splitlines()) <= case.lines + 4, "more of a log than the message"
    for piece in case.says:
        assert filled(piece, places) in "\n".join(said)
    if case not in USE:
        assert all(line.startswith("datahub-poller: ") for line in said)
    if case.code == 3:
        assert done.err.splitlines()[-1].startswith("datahub-poller: could not start: ")


@pytest.mark.parametrize("case", NOT_STARTED, ids=lambda case: case.name)
def test_where_logs_are_json_the_message_is_a_line_of_json_and_the_last(
    case: Case, tmp_path: Path, places: dict[str, str]
) -> None:
    write(case, tmp_path, places, {"logs.format": "json"})
    done = ran(*case.args, cwd=tmp_path, environ=case.environ)
    assert (done.code, done.out) == (3, "")
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert [line["event"] for line in lines].count("could not start") == 1
    last = lines[-1]
    assert (last["event"], last["level"]) == ("could not start", "error")
    for piece in case.says:
        if "check" not in piece:
            assert filled(piece, places) in last["reason"]
    assert "\n" not in last["reason"]


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in [*FILE, *USE, *NOT_STARTED]]
    assert len(names) == len(set(names))


# -- ends that are no mistakes


def test_run_waits_for_a_topic_that_does_not_exist_yet_and_says_so(tmp_path: Path) -> None:
    with MockCluster() as cluster:
        cluster.rebalance_delay(50)
        case = Case("waits", 0, (), {"source.config.connection.bootstrap": cluster.bootstrap})
        write(case, tmp_path, {})
        with started(*RUN, cwd=tmp_path) as process:
            err = read_until(process, "started action=tag-sync")
            process.send_signal(signal.SIGTERM)
            rest = process.communicate(timeout=30)[1]
        assert process.returncode == 0, err + rest
    warnings = [line for line in (err + rest).splitlines() if "does not exist yet: waiting for it" in line]
    assert len(warnings) == 3
    assert all(" WARN " in line for line in warnings)


def test_an_outage_is_told_once_however_long_the_client_tries(tmp_path: Path) -> None:
    with MockCluster(3) as cluster:
        cluster.rebalance_delay(50)
        for topic in ("PlatformEvent_v1", "MetadataChangeLog_Versioned_v1", "MetadataChangeLog_Timeseries_v1"):
            cluster.create_topic(topic, 2)
        write(Case("outage", 0, (), {"source.config.connection.bootstrap": cluster.bootstrap}), tmp_path, {})
        with started(*RUN, cwd=tmp_path) as process:
            before = read_until(process, "partition assigned")
            for broker in (1, 2, 3):
                cluster.down(broker)
            read_until(process, "kafka is in trouble")
            time.sleep(3)
            for broker in (1, 2, 3):
                cluster.up(broker)
            during = read_until(process, "kafka answers again")
            process.send_signal(signal.SIGTERM)
            rest = process.communicate(timeout=30)[1]
    assert process.returncode == 0, rest
    assert "kafka is in trouble" not in before + during
    assert len(during.splitlines()) < 15, during
    assert "MetadataChangeLog_Versioned_v1" in before
    assert "new to the group" not in before + during


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_starts_ends_it_at_once_and_in_order(number: int, tmp_path: Path) -> None:
    with silent_server() as port:
        keys = {"source.config.connection.bootstrap": f"127.0.0.1:{port}", "status.port": 0}
        write(Case("waits", 0, (), {**keys, "source.config.connection.client_timeout_seconds": 60}), tmp_path, {})
        with started(*RUN, cwd=tmp_path) as process:
            err = read_until(process, "status is served")
            before = time.monotonic()
            process.send_signal(number)
            rest = process.communicate(timeout=45)[1]
            took = time.monotonic() - before
    assert process.returncode == 0, err + rest
    assert took < 30
    assert "stopped before it had started" in rest
    assert "Traceback" not in rest


def test_a_signal_while_the_handler_is_imported_ends_it(tmp_path: Path) -> None:
    source = "import pathlib, time\npathlib.Path('importing').touch()\ntime.sleep(600)\n"
    write(Case("slow", 0, (), files={"tags.py": source}), tmp_path, {})
    with started(*RUN, cwd=tmp_path) as process:
        end = time.monotonic() + 20
        while not (tmp_path / "importing").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=45)[1]
    assert process.returncode == 0
    assert "stopped before it had started" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "command", ["check -c action.yaml --offline", "check -c action.yaml --offline --json", "--help", "status -h"]
)
def test_a_reader_that_goes_away_makes_no_traceback(command: str, tmp_path: Path) -> None:
    write(Case("right", 0, ()), tmp_path, {})
    with started(*command.split(), cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        err = process.stderr.read() if process.stderr is not None else ""
        process.wait(30)
    assert err == ""


def test_a_full_disk_behind_the_output_makes_no_traceback(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    write(Case("right", 0, ()), tmp_path, {})
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*POLLER, "check", "-c", "action.yaml", "--offline"],
            cwd=tmp_path,
            env=environment({}),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "datahub-poller: the output cannot be written: No space left on device\n"


# -- help


@pytest.mark.parametrize("command", ["", "run", "check", "status", "demo"])
def test_every_command_helps_with_examples_that_keep_their_lines(command: str, tmp_path: Path) -> None:
    done = ran(*command.split(), "--help", cwd=tmp_path, environ={"COLUMNS": "80"})
    assert (done.code, done.err) == (0, "")
    assert "Examples:\n    datahub-poller " in done.out
    assert "\\b" not in done.out
    assert "..." not in done.out.replace("[ARGS]...", "")
    assert max(map(len, done.out.splitlines())) <= 85


def test_without_a_command_it_helps(tmp_path: Path) -> None:
    done = ran(cwd=tmp_path)
    assert done.code == 2
    assert "Commands:" in done.all


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What it has said on standard error up to the line with this text."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if text in line:
            return said
    raise AssertionError(f"it never said {text!r}:\n{said}")
