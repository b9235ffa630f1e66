"""The image's and the Compose file's texts: what linters say of them, and what the poller needs of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath

import promql_parser
import pytest
import yaml

from datahub_poller.config import load
from datahub_poller.config.container import Container
from datahub_poller.observe.catalogue import CATALOGUE
from datahub_poller.observe.server import StatusServer
from datahub_poller.observe.status import Board, PollerStatus
from support.dockerfile import health_command, in_context, instructions, last, stages

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "infra/docker/Dockerfile").read_text()
COMPOSE_TEXT = (ROOT / "infra/docker/compose.yaml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES = COMPOSE["services"]
BUILDER, BILL, IMAGE = stages(DOCKERFILE)
LETTERS_HOME = last(IMAGE, "WORKDIR").text
BIN = Path(sys.executable).parent


def ran(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


# -- linters


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (("", ""), ""),
        (("FROM ${PYTHON_IMAGE} AS", "FROM python AS"), "DL3006"),
        (("WORKDIR /build", "WORKDIR build"), "DL3000"),
        (('ENTRYPOINT ["datahub-poller"]', "ENTRYPOINT datahub-poller"), "DL3025"),
    ],
    ids=["as it is", "a base without a version", "a relative directory", "the shell form"],
)
def test_hadolint_has_nothing_to_say_of_the_dockerfile_and_would_say_it(tmp_path, change, verdict):
    path = tmp_path / "Dockerfile"
    path.write_text(DOCKERFILE.replace(*change))
    done = ran([BIN / "hadolint", "--no-color", path])
    assert (verdict in done.stdout) if verdict else (done.stdout == "")
    assert done.returncode == bool(verdict)


@pytest.mark.parametrize(
    ("change", "code"),
    [(("", ""), 0), (("condition: service_healthy", "condition: healthy"), 1), (("stop_grace_period", "grace"), 1)],
    ids=["as it is", "no such condition", "no such key"],
)
def test_the_compose_file_is_of_compose_s_schema(tmp_path, change, code):
    path = tmp_path / "compose.yaml"
    path.write_text(COMPOSE_TEXT.replace(*change))
    # The schema comes with the package. The proxy that nobody serves shows it: nothing is fetched.
    nowhere = {**os.environ, **dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")}
    command = [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path]
    assert ran(command, env=nowhere).returncode == code


# -- the image


def test_the_image_runs_the_command_itself_as_a_user_without_rights():
    assert last(IMAGE, "ENTRYPOINT").listed == ["datahub-poller"]
    assert last(IMAGE, "STOPSIGNAL").text == "SIGTERM"
    assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", last(IMAGE, "USER").text)
    action = PurePosixPath(last(IMAGE, "CMD").listed[-1])
    assert not action.is_relative_to(LETTERS_HOME)


def test_all_stages_begin_with_one_base_that_has_a_version_and_can_be_pinned():
    names = [stage[0].text.split()[0] for stage in (BUILDER, BILL, IMAGE)]
    assert names == ["${PYTHON_IMAGE}"] * 3
    (argument,) = (each.text for each in instructions(DOCKERFILE) if each.name == "ARG")
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+-slim-\w+", argument)
    version = re.search(r"3\.\d+", argument)[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]


def test_the_image_declares_no_volume_for_that_would_hide_from_the_poller_that_letters_are_lost():
    assert not [each for each in instructions(DOCKERFILE) if each.name == "VOLUME"]
    table = f"1 0 8:1 / / rw - overlay overlay rw\n2 1 8:2 / {LETTERS_HOME} rw - ext4 /dev/sda rw\n"
    assert Container(True, table).keeps(Path(LETTERS_HOME, "dead-letters"))


def test_the_labels_tell_what_the_project_tells_of_itself():
    labels = last(IMAGE, "LABEL").pairs
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for key, value in (("title", "name"), ("version", "version"), ("description", "description")):
        assert labels[f"org.opencontainers.image.{key}"] == project[value]
    assert labels["org.opencontainers.image.licenses"] == project["license"]


def test_everything_that_pip_fetches_is_pinned_by_its_hash():
    fetching = [
        part
        for each in (*BUILDER, *BILL, *IMAGE)
        if each.name == "RUN"
        for part in each.text.split("&&")
        if re.search(r"\bpip\b.* (install|wheel|download) ", part) and "--no-index" not in part
    ]
    for command in fetching:
        assert "--require-hashes" in command or "--no-build-isolation" in command, command
        assert "--no-deps" in command
    pinned = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)
    build = dict(pinned.findall((ROOT / "infra/docker/requirements-build.txt").read_text()))
    dev = dict(pinned.findall((ROOT / "requirements-dev.txt").read_text()))
    assert "hatchling" in build
    assert build.items() <= dev.items()


def test_the_build_gets_what_it_copies_and_nothing_else_of_the_tree():
    sent = in_context(ROOT)
    sources = [
        word
        for each in (*BUILDER, *BILL)
        if each.name == "COPY" and "--from=" not in each.text
        for word in each.text.split()[:-1]
    ]
    used = {name for source in sources for name in sent if name == source or name.startswith(f"{source}/")}
    assert all((ROOT / source).exists() for source in sources)
    assert used == set(sent)
    assert "poller/datahub_poller/cli.py" in used
    assert not [name for name in sent if "__pycache__" in name]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("turning", 0),
        pytest.param("starting", 1, id="one that starts"),
        pytest.param("hanging", 1, id="a loop that hangs"),
        pytest.param("none", 1, id="nobody there"),
    ],
)
def test_the_health_check_asks_healthz(answer, code, monkeypatch):
    board = Board()
    board.beat(0.0)
    board.publish(PollerStatus("a", "1", "starting" if answer == "starting" else "running"))
    server = StatusServer(board, 0, clock=lambda: 1e6 if answer == "hanging" else 1.0)
    port = server.start()
    if answer == "none":
        server.close()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # loopback is never asked by way of a proxy
    python, *rest = health_command(IMAGE)
    assert python == "python"
    done = ran([sys.executable, *(word.replace("8470", str(port)) for word in rest)])
    server.close()
    assert bool(done.returncode) == bool(code)


def test_make_image_says_what_is_missing(tmp_path):
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = ran(["make", "image", "CONTAINERS=no-such-builder"], cwd=tmp_path, env=env)
    assert done.returncode == 2
    assert "no-such-builder is not there" in done.stderr


def test_make_image_builds_from_the_root(tmp_path):
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = ran(["make", "image", "CONTAINERS=echo"], cwd=tmp_path, env=env)
    assert done.stdout.splitlines()[-1] == "build -f infra/docker/Dockerfile -t datahub-poller ."
    pinned = "python:3.13-slim-trixie@sha256:0123"
    done = ran(["make", "image", "CONTAINERS=echo", f"PYTHON_IMAGE={pinned}"], cwd=tmp_path, env=env)
    assert f"build --build-arg PYTHON_IMAGE={pinned} -f" in done.stdout.splitlines()[-1]


# -- Compose


def seconds(text: str) -> int:
    return int(re.fullmatch(r"(\d+)s", text)[1])


def action():
    environ = {name: str(value) for name, value in SERVICES["poller"]["environment"].items()}
    return load(ROOT / "infra/docker/compose/action.yaml", environ)


def test_ports_are_published_on_this_machine_only():
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_sample_s_action_file_is_right_and_its_letters_go_to_the_volume():
    sample = action()
    assert not sample.warnings
    assert sample.source.config.connection.bootstrap == "kafka:19092"
    (volume,) = (it for it in SERVICES["poller"]["volumes"] if not it.startswith("."))
    name, place = volume.split(":")
    assert name in COMPOSE["volumes"]
    assert place == LETTERS_HOME  # relative directories begin there
    assert not sample.options.failed_events_dir.is_absolute()


def test_the_poller_may_stop_for_longer_than_its_deadline():
    assert seconds(SERVICES["poller"]["stop_grace_period"]) > action().shutdown.deadline + 2


def test_a_service_waits_for_what_it_needs_and_nobody_keeps_the_poller_s_health_check_but_the_poller():
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            checked = not SERVICES[needed].get("healthcheck", {}).get("disable")
            assert how["condition"] == ("service_healthy" if checked else "service_started"), (name, needed)
    assert {name for name, it in SERVICES.items() if "healthcheck" not in it} == {"poller"}


def test_what_runs_our_image_can_write_to_mounts_only():
    ours = {name: it for name, it in SERVICES.items() if it["image"] == "datahub-poller"}
    assert set(ours) == set(SERVICES) - {"kafka", "prometheus", "grafana"}
    for service in ours.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["build"] == {"context": "../..", "dockerfile": "infra/docker/Dockerfile"}
        assert "./compose:/etc/datahub-poller:ro" in service["volumes"]
    assert PurePosixPath(last(IMAGE, "CMD").listed[-1]) == PurePosixPath("/etc/datahub-poller/action.yaml")


def test_kafka_is_the_one_that_the_tests_run_on():
    pom = (ROOT / "tests/kafka/pom.xml").read_text()
    version = re.search(r"<kafka.version>(.+)</kafka.version>", pom)[1]
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version}"


# -- what is shown


PROMETHEUS = yaml.safe_load((ROOT / "infra/docker/compose/prometheus.yaml").read_text())
DASHBOARD = json.loads((ROOT / "infra/docker/compose/grafana/dashboard.json").read_text())


def test_prometheus_asks_the_poller_where_it_listens():
    (job,) = PROMETHEUS["scrape_configs"]
    (targets,) = job["static_configs"]
    assert targets["targets"] == [f"poller:{action().status.port}"]
    assert action().status.host == "0.0.0.0"
    assert "metrics_path" not in job  # /metrics
    assert "ports" not in SERVICES["poller"]


def test_what_prometheus_and_grafana_are_given_is_there_and_cannot_be_written_to():
    for name in ("prometheus", "grafana"):
        service = SERVICES[name]
        assert service["read_only"]
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"])
        for volume in service["volumes"]:
            source, _, mode = volume.split(":")
            assert (ROOT / "infra/docker" / source).is_file()
            assert mode == "ro"
    mounted = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    assert SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in mounted
    provider = yaml.safe_load((ROOT / "infra/docker/compose/grafana/dashboards.yaml").read_text())["providers"][0]
    assert any(PurePosixPath(each).parent == PurePosixPath(provider["options"]["path"]) for each in mounted)
    source = yaml.safe_load((ROOT / "infra/docker/compose/grafana/datasource.yaml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}


@pytest.mark.parametrize("wrong", ["sum(rate(x[5m])) by action)", "rate(x)", "histogram_quantile(sum(x))"])
def test_a_question_that_prometheus_would_refuse_is_found(wrong):
    with pytest.raises(ValueError, match=r"expected|unexpected"):
        promql_parser.parse(wrong)


def test_the_dashboard_shows_series_that_there_are_with_labels_that_they_have():
    series = {metric.name: set(metric.labels) for metric in CATALOGUE}
    for metric in CATALOGUE:
        if metric.kind == "histogram":
            series |= {f"{metric.name}_{part}": {*metric.labels, "le"} for part in ("bucket", "sum", "count")}
    shown = set()
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            (name,) = set(re.findall(r"\bdatahub_poller_\w+", target["expr"]))
            grouped = re.findall(r"by \(([^)]*)\)", target["expr"])
            labels = {label.strip() for group in grouped for label in group.split(",")}
            assert labels <= series[name], target["expr"]
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels | {"instance"}
            assert promql_parser.parse(target["expr"])
            shown.add(name)
    assert len(shown) >= 15
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
