"""`/healthz` of a real poller: no start is taken for a success, and no waiting for a failure."""

from __future__ import annotations

import contextlib
import http.client

import pytest

from support.brokers import KafkaBed
from support.running import Stage
from support.status_pages import get

pytestmark = pytest.mark.timeout(90)
BOOTSTRAP = "source/config/connection/bootstrap"
PATIENCE = "source/config/connection/client_timeout_seconds"


def healthz(poller):
    return get(poller, "/healthz")[0]


def test_a_poller_that_never_reaches_its_brokers_is_never_healthy(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.route("pe")
        poller = stage.start(stage.action({BOOTSTRAP: "127.0.0.1:9", PATIENCE: 5}))
        poller.wait_for("status is served")
        seen = set()
        with contextlib.suppress(OSError, http.client.HTTPException):  # it ends
            while poller.exit_code is None:
                seen.add((get(poller, "/livez")[0], healthz(poller)))
        assert seen == {(200, 503)}
        assert poller.wait() == 3


def test_it_is_healthy_once_the_group_has_answered_and_a_spare_one_is_too(stage):
    stage.create(1, "pe")
    stage.send("pe", 0, 5)
    first = stage.start()
    first.until(lambda: stage.drained() and healthz(first) == 200, "not healthy")
    spare = stage.start(None, "spare.log")
    spare.until(lambda: spare.lines("status is served") and healthz(spare) == 200, "not healthy")
    first.until(lambda: healthz(first) == 200, "not healthy")
    first.until(lambda: {get(each, "/readyz")[0] for each in (first, spare)} == {200, 503}, "both or none is ready")
    assert (healthz(first), healthz(spare)) == (200, 200)
    for each in (first, spare):
        assert each.stop() == 0


def test_it_stays_healthy_while_its_brokers_are_away(new_kafka, tmp_path, unique):
    cluster = new_kafka(1)
    with Stage(KafkaBed(cluster.bootstrap), tmp_path, unique) as stage:
        stage.create(1, "pe")
        stage.send("pe", 0, 5)
        poller = stage.start()
        poller.until(lambda: stage.drained() and healthz(poller) == 200, "not healthy")
        cluster.kill(*cluster.nodes)
        poller.status_when(lambda status: status["red"], "not red", 60)
        assert healthz(poller) == 200
        poller.kill()
