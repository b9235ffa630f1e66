"""The registry fails while a schema is needed: the lane waits and says so, the others go on, nothing is given up."""

from __future__ import annotations

import itertools
import time

import pytest

from datahub_poller.config import load
from datahub_poller.config.container import Container
from datahub_poller.demo import samples
from datahub_poller.demo.registry import Interference, RegistryServer
from support.running import PLATFORM_SCHEMA, Stage

NEW = 77
ASKED = f"GET /schemas/ids/{NEW}"


@pytest.fixture
def on_both(bed, tmp_path, unique):
    with Stage(bed, tmp_path, unique) as stage:
        stage.create(1, "pe", "mcl")
        yield stage


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe", "mcl")
        yield stage


def partition(status, route, stage):
    (found,) = [each for each in status["partitions"] if each["topic"] == stage.topics[route]]
    return found


def waits_for_the_new_schema(stage, poller, *words):
    """The lane of `pe` waits, visibly, while events of `mcl` are delivered."""

    def waits(status):
        mine = partition(status, "pe", stage) if status["partitions"] else {}
        return mine.get("state") == "waiting_schema" and all(word in mine["reason"] for word in (str(NEW), *words))

    status = poller.status_when(waits, f"no lane waits with {words}")
    mine = partition(status, "pe", stage)
    assert mine["attempts"] == 0
    assert status["red"]
    assert any(stage.topics["pe"] in reason and str(NEW) in reason for reason in status["reasons"])
    delivered = status["counters"]["events_delivered"]
    others = set(stage.send("mcl", 0, 30))
    poller.until(lambda: others <= stage.recorded().done, "the other topic does not go on")
    after = poller.status_when(lambda s: s["counters"]["events_delivered"] >= delivered + 30, "counts do not grow")
    assert partition(after, "pe", stage)["state"] == "waiting_schema"
    assert partition(after, "pe", stage)["attempts"] == 0
    assert "dead_letters" not in after["counters"]
    assert not stage.letters()


def put_right(stage, poller, held):
    stage.registry.interfere = None
    stage.registry.put(NEW, samples.schema_text("PlatformEvent"))
    poller.until(stage.drained, "what waited was not delivered")
    assert held <= stage.recorded().done
    assert not stage.letters()
    poller.status_when(lambda status: not status["red"], "it stays red")
    poller.until(stage.all_committed, "not committed")
    assert poller.stop() == 0


def begin(stage, interfere, action=None):
    """A poller that knows both schemas, and a topic on which a new one arrives."""
    stage.send("pe", 0, 5)
    stage.send("mcl", 0, 5)
    poller = stage.start(action)
    poller.until(stage.drained, "not delivered")
    stage.registry.interfere = lambda request: interfere(request) if request == ASKED else None
    return poller, set(stage.send("pe", 0, 12, schema=NEW))


def test_a_registry_that_answers_503_makes_one_lane_wait(on_both):
    stage = on_both
    poller, held = begin(stage, lambda _: Interference(status=503, body=b"upstream is down"))
    waits_for_the_new_schema(stage, poller, "503")
    put_right(stage, poller, held)


def test_a_registry_that_hangs_for_longer_than_its_timeout_makes_one_lane_wait(on_both):
    stage = on_both
    poller, held = begin(stage, lambda _: Interference(delay=30.0))
    waits_for_the_new_schema(stage, poller, "time")
    began = time.monotonic()
    put_right(stage, poller, held)
    assert time.monotonic() - began < 25  # it was asked again; the hanging answers, of 30 s, were not waited for


def test_a_hanging_schema_does_not_keep_another_new_one_from_coming(stage):
    patient = stage.action({"source/config/schema_registry": {"timeout": "20s"}})
    poller, held = begin(stage, lambda _: Interference(delay=30.0), patient)
    poller.until(lambda: ASKED in stage.registry.requests, "not asked for")
    stage.registry.put(NEW + 1, samples.schema_text("MetadataChangeLog"))
    began = time.monotonic()
    others = set(stage.send("mcl", 0, 5, schema=NEW + 1))
    poller.until(lambda: others <= stage.recorded().done, "the other schema did not come")
    assert time.monotonic() - began < 15  # the other one hangs for 20
    stage.registry.stop()  # and so ends
    stage.registry.start()
    put_right(stage, poller, held)


def test_a_registry_that_flaps_gives_nothing_up(stage):
    # None: "not found", as the schema is not there yet
    moods = itertools.cycle([Interference(status=500), None, Interference(drop=True)])
    poller, held = begin(stage, lambda _: next(moods))
    waits_for_the_new_schema(stage, poller)
    poller.until(lambda: stage.registry.requests.count(ASKED) >= 3, "not asked again")
    assert not stage.letters()
    put_right(stage, poller, held)


def test_a_registry_that_is_gone_and_comes_back(stage):
    poller, held = begin(stage, lambda _: None)
    stage.registry.stop()
    waits_for_the_new_schema(stage, poller)
    stage.registry.start()
    put_right(stage, poller, held)


def test_a_registry_that_is_away_at_the_start_drains_nothing_into_the_letters(stage):
    stage.registry.stop()
    stage.send("pe", 0, 20)
    stage.send("mcl", 0, 20)
    poller = stage.start()
    status = poller.status_when(
        lambda status: [each["state"] for each in status["partitions"]] == ["waiting_schema"] * 2, "no lane waits"
    )
    assert status["red"]
    assert not stage.recorded().calls
    stage.registry.start()
    poller.until(stage.drained, "not delivered")
    assert not stage.letters()
    assert poller.stop() == 0


def test_a_wrong_registry_where_every_id_is_not_found_drains_nothing_into_the_letters(on_both):
    """That it stays so after the patience of 30 s is shown on the intake below."""
    stage = on_both
    with RegistryServer() as wrong:
        stage.send("pe", 0, 20)
        stage.send("mcl", 0, 20)
        poller = stage.start(stage.action({"source/config/connection/schema_registry_url": wrong.url}))
        asked = f"GET /schemas/ids/{PLATFORM_SCHEMA}"
        poller.until(lambda: wrong.requests.count(asked) >= 3, "not asked again")
        status = poller.status_when(
            lambda status: status["red"] and {each["state"] for each in status["partitions"]} == {"waiting_schema"},
            "not every partition waits",
        )
        assert all("has no schema id" in each["reason"] for each in status["partitions"])
        assert not stage.letters()
        assert not stage.recorded().calls
        assert poller.stop() == 0
        assert set(stage.committed().values()) <= {0}
    right = stage.start()
    right.until(stage.drained, "not delivered by the right one")
    assert not stage.letters()


def test_patience_has_an_end_only_where_the_registry_is_known_to_be_sane(tmp_path, unique, mock_bed):
    """The composition root's own parts on a real HTTP registry, with two seconds of patience for thirty."""
    from datahub_poller import app
    from datahub_poller.decode.schemas import Schemas
    from datahub_poller.filters import compile_filters
    from datahub_poller.intake import Intake
    from datahub_poller.model import Awaiting, Event, Record, TopicPartition, Undecodable
    from datahub_poller.workers import Mailbox, Workers

    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.route("pe")
        action = load(stage.action(), {}, container=Container(inside=False, mountinfo=""))
        mailbox = Mailbox()
        workers = Workers("schemas", app.FETCH_THREADS, mailbox)
        registries = app.registries(action, {})
        schemas = Schemas(registries, workers.submit, patience=2.0, retry=0.2)
        intake = Intake("confluent", {stage.topics["pe"]: "pe"}, schemas, compile_filters([], None), "test")

        def verdict(schema, seconds=0.0):
            """What the record is in the end, or after so many seconds."""
            value = stage._event("pe", 0, poison=False, schema=schema).value
            record = Record(TopicPartition(stage.topics["pe"], 0), 0, 1, "CREATE_TIME", None, value, ())
            until = time.monotonic() + seconds
            while True:
                now = time.monotonic()
                found = intake.read(record, now)
                if now > until or (seconds and not isinstance(found, Awaiting)):
                    return found
                for done in mailbox.take(0.05):
                    intake.arrived(done, time.monotonic())
                intake.tick(time.monotonic())

        assert isinstance(verdict(NEW, seconds=5.0), Awaiting)  # nothing was ever found here: it may be a wrong URL
        assert isinstance(verdict(PLATFORM_SCHEMA, seconds=30.0), Event)
        found = verdict(NEW, seconds=30.0)
        assert isinstance(found, Undecodable)
        assert found.failure.kind == "unknown_schema_id"
        registries["confluent"]._client().__exit__()
