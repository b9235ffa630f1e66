"""Fixtures that several kinds of tests share, hypothesis profiles, and the account of what was not run."""

from __future__ import annotations

import functools
import logging
import os
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.nodeid import NodeId
from hypothesis import HealthCheck, settings

from datahub_poller.demo.broker import MockCluster
from datahub_poller.observe import own_loggers
from glue_serde.harness import GlueJava, glue_serde_libs
from kafka.cluster import KafkaCluster, kafka_libs
from support import image_base, recorded_calls
from support.areas import AREAS, area_of
from support.brokers import Bed, KafkaBed, MockBed
from support.images import Built, Images
from support.jars import UnavailableError
from support.moto_server import MotoServer

NOT_RUN = "not run: "
# Fixtures that ask for something that a machine may lack, and the markers that go with them.
NEEDS = {
    "kafka": "kafka",
    "kafka_jars": "kafka",
    "new_kafka": "kafka",
    "secure_kafka": "kafka",
    "msk_kafka": "kafka",
    "glue_java": "java",
}

# "fast" finds the same today as tomorrow; "long" looks in new places every time.
settings.register_profile(
    "fast", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", deadline=None, print_blob=True, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Makes names of topics and groups that no other test has, on whatever broker."""
    return lambda name: f"{name}-{uuid.uuid4().hex[:10]}"


@pytest.fixture(autouse=True)
def own_lines_in_caplog(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The poller's own loggers are no children of the root logger, where pytest listens."""
    level = own_loggers.ROOT.level
    own_loggers.ROOT.addHandler(caplog.handler)
    own_loggers.ROOT.setLevel(logging.DEBUG)
    yield
    own_loggers.ROOT.removeHandler(caplog.handler)
    own_loggers.ROOT.setLevel(level)


@pytest.fixture
def logging_as_before(own_lines_in_caplog: None) -> Iterator[None]:
    """The roots of both trees of loggers are the process's: give them back as they were."""
    roots = logging.getLogger(), own_loggers.ROOT
    before = [(root, list(root.handlers), root.level) for root in roots]
    yield
    for root, handlers, level in before:
        root.handlers[:] = handlers
        root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    return _or_not_run("kafka", "real Apache Kafka")


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBed]:
    """One broker for the whole session (per worker of pytest-xdist), or the cluster that KAFKA_BOOTSTRAP names."""
    given = os.environ.get("KAFKA_BOOTSTRAP", "")
    if given:
        yield KafkaBed(given)
        return
    jars: Path = request.getfixturevalue("kafka_jars")
    with KafkaCluster(jars, tmp_path_factory.mktemp("kafka")) as cluster:
        yield KafkaBed(cluster.bootstrap)


@pytest.fixture
def new_kafka(kafka_jars: Path, tmp_path: Path) -> Iterator[Callable[..., KafkaCluster]]:
    """Starts a cluster of so many brokers for this test alone, to be killed and restarted at will."""
    clusters: list[KafkaCluster] = []

    def start(brokers: int, *, proxied: bool = False) -> KafkaCluster:
        cluster = KafkaCluster(kafka_jars, tmp_path / f"kafka-{len(clusters)}", brokers, proxied=proxied)
        clusters.append(cluster)
        cluster.start()
        return cluster

    yield start
    for cluster in clusters:
        cluster.stop()


@pytest.fixture(scope="session")
def secure_kafka(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One broker with every security mode and ACLs, for the session (per worker of pytest-xdist)."""
    with KafkaCluster(kafka_jars, tmp_path_factory.mktemp("secure-kafka"), secure=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def msk_kafka(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    """One broker that takes IAM's tokens as Amazon MSK's do, for the session (per worker of pytest-xdist)."""
    _or_not_run("java", "Java compiler for the judge of MSK's tokens")
    with KafkaCluster(kafka_jars, tmp_path_factory.mktemp("msk-kafka"), secure=True, msk_iam=True) as cluster:
        yield cluster


@pytest.fixture
def mock_bed() -> Iterator[MockBed]:
    """A mock cluster of one broker for this test alone."""
    with MockCluster() as cluster:
        yield MockBed(cluster)


@pytest.fixture(params=["mock", pytest.param("kafka", marks=pytest.mark.kafka)])
def bed(request: pytest.FixtureRequest) -> Bed:
    """The test runs twice: on the mock cluster and on a real Apache Kafka."""
    found: Bed = request.getfixturevalue("mock_bed" if request.param == "mock" else "kafka")
    return found


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    """AWS's API over HTTP, in a process of its own."""
    with MotoServer(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def glue_java(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> GlueJava:
    """AWS's own serializer for Kafka, on the Glue registry of `moto_server`."""
    jars = _or_not_run("java", "AWS's Java serializer")
    return GlueJava(request.getfixturevalue("moto_server"), jars, tmp_path_factory.mktemp("glue-serde"))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The image, built from the Dockerfile on a base of Debian's packages; a machine may lack what that needs."""
    try:
        tar = image_base.base("trixie")
        with Images(tmp_path_factory.mktemp("image")) as images:
            image = Built(images, tmp_path_factory.mktemp("containers"))
            image.make(tar)
            yield image
    except UnavailableError as reason:
        if os.environ.get("REQUIRE_IMAGE", "") == "1":
            pytest.fail(f"REQUIRE_IMAGE=1, and the image cannot be built and run: {reason}", pytrace=False)
        pytest.skip(f"{NOT_RUN}the image ({reason})")


@functools.cache
def _fetched(marker: str) -> Path | UnavailableError:
    """Once per process: Maven is slow to say no."""
    try:
        return kafka_libs(os.environ) if marker == "kafka" else glue_serde_libs(os.environ)
    except UnavailableError as reason:
        return reason


def _or_not_run(marker: str, what: str) -> Path:
    match _fetched(marker):
        case Path() as jars:
            return jars
        case UnavailableError() as reason if os.environ.get("REQUIRE_KAFKA", "") == "1":
            pytest.fail(f"REQUIRE_KAFKA=1, and there is no {what}: {reason}", pytrace=False)
        case reason:
            pytest.skip(f"{NOT_RUN}{what} ({reason})")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--area", choices=list(AREAS), help="only what is about this subject")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whether a file is left alone: with --area, every test file of another one. None leaves it to others."""
    wanted = config.getoption("--area")
    other = collection_path.name.startswith("test_") and area_of(collection_path) != wanted
    return True if wanted and other else None


def pytest_configure(config: pytest.Config) -> None:
    # In the background of a shell it is ignored, and every process that a test starts and interrupts inherits that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "kafka: needs a real Apache Kafka (Java, and Maven once)")
    config.addinivalue_line("markers", "java: needs a Java compiler, and Maven once")
    config.addinivalue_line("markers", "deep: proves what ordinary changes do not break; `make test-all` runs it")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for fixture, marker in NEEDS.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
        if config.getoption("loadgroup", default=False):
            _keep_together(item)


def _keep_together(item: pytest.Item) -> None:
    """Name the group of an item as pytest-xdist's scheduler reads it: behind the last `@` of its id.

    pytest-xdist 3.8 does so by an attribute that pytest 9.2 has no longer, and no group stays together.
    """
    group = item.get_closest_marker("xdist_group")
    if group is not None and not item.nodeid.endswith(f"@{group.args[0]}"):
        item._id = NodeId.parse(f"{item.nodeid}@{group.args[0]}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What programs of ours ask from here on is asked in this test."""
    if (to := recorded_calls.recording()) is not None:
        to.test_begins(item.nodeid, getattr(item, "execution_count", 1))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch what the chosen tests need before the first test's clock runs. Failing is the fixtures' business."""
    if session.config.option.collectonly:
        return
    markers = {marker.name for item in session.items for marker in item.iter_markers()}
    for marker in markers & set(NEEDS.values()):
        _fetched(marker)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = (report.longrepr for report in terminalreporter.stats.get("skipped", []))
    reasons = Counter(str(where[2]).removeprefix("Skipped: ") for where in skipped if isinstance(where, tuple | list))
    for reason, count in sorted(reasons.items()):
        if reason.startswith(NOT_RUN):
            terminalreporter.write_line(f"{reason}: {count} {'test' if count == 1 else 'tests'}", yellow=True)
