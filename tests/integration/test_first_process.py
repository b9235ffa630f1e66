"""The poller from its image, as process 1 with a root that is read-only, on a real Kafka under load: how it ends.

What it leaves is judged by the oracles of the guarantees. Where no image can be built, the poller of this tree is
process 1 of a namespace instead.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from conftest import NOT_RUN
from guarantees import oracles
from guarantees.field import Field
from guarantees.gather import read_journal
from guarantees.play import NEVER_NOTHING
from guarantees.setting import Setting
from guarantees.traffic import Mix
from kafka.cluster import KafkaCluster
from support import as_first

pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("image"), pytest.mark.deep]
SEED = 41
CALL_SECONDS = 20.0
UID = 10001


@pytest.fixture(scope="module")
def cluster(kafka_jars, tmp_path_factory):
    with KafkaCluster(kafka_jars, tmp_path_factory.mktemp("first-process"), 1, proxied=True) as started:
        yield started


def no_namespaces():
    """Why nothing can be process 1 here; empty where it can."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "needs root and unshare (util-linux)"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "namespaces are not to be had here"


@pytest.fixture
def program(request, tmp_path):
    """What becomes process 1: the image's own command with the test's directory mounted, or this tree's."""
    field = tmp_path / "field"
    try:
        built = request.getfixturevalue("built")
    except pytest.skip.Exception as no_image:
        if reason := no_namespaces():
            pytest.skip(f"{NOT_RUN}the poller as process 1 ({reason})")
        print(no_image)
        return as_first.__file__, str(field)
    return built.container(mounts=[(field, str(field), "rw")]).program()


@contextmanager
def in_a_slow_call(cluster, directory, name, program, deadline):
    """Two pollers under load; yields the field while the call of `a` that takes 20 s runs."""
    print(f"seed {SEED}")
    setting = Setting(
        members=2,
        partitions=6,
        size=20,
        concurrency=1,
        total=None,
        rate=200,
        mix=Mix(poison=0.01, junk=0.01),
        deadline=deadline,
        changes={"handler/config/timeout": "60s"},
    )
    with Field(cluster, directory / "field", name, SEED, setting, program) as field:
        given_to_the_image_s_user(field)
        field.start_all()
        field.traffic.start()
        field.topics.patiently(lambda: {call.client for call in calls(field)} == {"a1", "b1"}, "one has no call", 60.0)
        field.plan(sleep=[CALL_SECONDS, CALL_SECONDS])
        began = time.time()
        field.topics.patiently(lambda: any(call.began > began for call in open_calls(field)), "no slow call", 30.0)
        field.plan()
        yield field


def given_to_the_image_s_user(field):
    """As a volume is; and what the test writes there can be read."""
    for path in (field.directory, field.letters.path):
        os.chown(path, UID, UID)
        path.chmod(0o755)


def calls(field):
    return read_journal(field.directory / "calls.jsonl")


def open_calls(field, client="a1"):
    return [call for call in calls(field) if call.client == client and call.ended is None]


def nothing_is_lost(field):
    """Somebody takes its place; then every oracle judges."""
    field.revive()
    # The kernel keeps signals from a process 1 that has no handler for them yet: Python has to have begun.
    for slot in field.processes.running():
        field.processes.of(slot).wait_for("status is served", patience=60.0)
    field.traffic.end()
    trace = field.finish()
    facts = oracles.judge(trace)
    print(facts)
    assert all(facts[name] for name in NEVER_NOTHING), f"nothing was judged: {facts}"
    assert not field.processes.unexpected
    return trace


def test_a_call_of_20_s_is_finished_within_the_deadline(cluster, tmp_path, unique, program):
    with in_a_slow_call(cluster, tmp_path, unique("finished"), program, 30.0) as field:
        (slow,) = open_calls(field)
        field.processes.stop("a")
        assert field.processes.lives[0].how == "stopped", field.processes.unexpected
        assert field.processes.said[0].lines()[-1]["event"] == "stopped"
        (ended,) = [call for call in calls(field) if (call.client, call.batch_id) == ("a1", slow.batch_id)]
        assert ended.ended - ended.began >= CALL_SECONDS
        trace = nothing_is_lost(field)
    again = [call for call in trace.calls if call.began > slow.began and set(call.places) & ended.done]
    assert not again, "what was finished and committed does not come again"


def test_a_call_of_20_s_is_abandoned_at_the_deadline(cluster, tmp_path, unique, program):
    with in_a_slow_call(cluster, tmp_path, unique("abandoned"), program, 3.0) as field:
        (slow,) = open_calls(field)
        began = time.monotonic()
        field.processes.stop("a")
        # A quarter of the deadline is kept for the last commit and for leaving the group.
        assert 2.0 < time.monotonic() - began < 15
        assert field.processes.lives[0].how == "stopped", field.processes.unexpected
        assert [call.batch_id for call in open_calls(field)] == [slow.batch_id]
        nothing_is_lost(field)


def test_a_second_signal_ends_it_at_once(cluster, tmp_path, unique, program):
    with in_a_slow_call(cluster, tmp_path, unique("twice"), program, 30.0) as field:
        process = field.processes.of("a")
        process.signal(signal.SIGTERM)
        process.wait_for("stopping")
        began = time.monotonic()
        process.signal(signal.SIGTERM)
        assert process.wait(20) == 1
        assert time.monotonic() - began < 15
        assert len(open_calls(field)) == 1
        field.processes.kill("a")  # for the account: it did not end in order
        nothing_is_lost(field)
