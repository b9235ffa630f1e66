"""kill -9 at random moments while events keep coming: nothing lost, nothing out of order, no offset ahead."""

from __future__ import annotations

import itertools
import random
import time
import uuid
import warnings
from collections import defaultdict

import pytest

from datahub_poller.demo.samples import confluent_frame, glue_frame
from support.brokers import Sent
from support.recorded import (
    Place,
    all_accounted_for,
    commits_not_ahead,
    first_hand_outs_in_order,
    one_call_at_a_time_per_partition,
    to_come_again,
)
from support.running import ROUTES, Stage
from support.traffic import COOPERATIVE, EAGER, QUICK_GROUP, Traffic

pytestmark = pytest.mark.deep

PARTITIONS = 3
BATCH = 20
CONCURRENCY = 3


def action(stage, properties):
    changes = {
        "batch": {"size": BATCH, "window": "20ms", "concurrency": CONCURRENCY},
        "retry": {"attempts": 2, "backoff": "20ms", "max_backoff": "50ms"},
        "source/config/schema_registry": {"type": "auto", "region": "eu-west-1", "endpoint": stage.registry.url},
    }
    return stage.action(changes, **properties)


def judge(stage):
    """What must hold at any moment at which no process runs; gives what is going to be delivered twice."""
    committed = stage.committed()
    produced = set(stage.produced)
    recorded, letters = stage.recorded(), stage.lettered()
    commits_not_ahead(committed, recorded, letters, produced)
    first_hand_outs_in_order(recorded)
    one_call_at_a_time_per_partition(recorded)
    return to_come_again(committed, recorded)


def made_by_datahub(stage):
    """Sends events made by DataHub's own classes, framed for one registry and for the other in turns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # DataHub's package warns of itself
        from support import datahub_events as datahub

    kinds = (
        datahub.entity_changes,
        datahub.relationship_changes,
        datahub.versioned_changes,
        datahub.timeseries_changes,
    )
    events = itertools.cycle([event for kind in kinds for event in kind(100)])
    routes = {datahub.PLATFORM: "pe", datahub.VERSIONED: "mcl", datahub.TIMESERIES: "mcl_timeseries"}
    ids = {name: 900 + number for number, name in enumerate(datahub.SCHEMA_NAMES)}
    versions = {name: str(uuid.UUID(int=900 + number)) for number, name in enumerate(datahub.SCHEMA_NAMES)}
    for name in datahub.SCHEMA_NAMES:
        stage.registry.put(ids[name], datahub.schema_text(name))
        stage.registry.put_version(versions[name], datahub.schema_text(name))

    def send(partition):
        for number, event in enumerate(itertools.islice(events, 7)):
            framed = confluent_frame(ids[event.schema], event.body)
            if number % 2:
                framed = glue_frame(versions[event.schema], event.body, number % 3 == 0)
            topic = stage.topics[routes[event.topic]]
            (offset,) = stage.bed.produce_all([Sent(topic, partition, framed, event.key)])
            stage.produced.add(Place(topic, partition, offset))
            sent.append(event)

    sent = []
    return send, sent


def crash(stage, chance, kills, properties, also=lambda _: None):
    """The whole story; gives what was delivered twice, by crash."""
    stage.create(PARTITIONS, *ROUTES)
    stage.plan(sleep=[0.0, 0.08])
    file = action(stage, properties)
    calls = stage.directory / "calls.jsonl"
    traffic = Traffic(stage, chance, PARTITIONS, also)
    traffic.start()
    again = []
    for number in range(kills):
        size = calls.stat().st_size if calls.exists() else 0
        poller = stage.start(file)
        if number % 5:  # while it works
            poller.until(lambda size=size: calls.exists() and calls.stat().st_size > size, "no call")
            time.sleep(chance.uniform(0.0, 1.0))
        else:  # at any moment, most of which are before it works
            time.sleep(chance.uniform(0.0, 2.0))
        poller.kill()
        again.append(len(judge(stage)))
    traffic.end()
    last = stage.start(file)
    last.until(stage.all_committed, "not drained", 120)
    assert last.stop() == 0
    return again


def judge_the_end(stage, again):
    recorded, letters = stage.recorded(), stage.lettered()
    assert judge(stage) == set()
    all_accounted_for(recorded, letters, stage.produced)
    assert recorded.done == stage.produced - stage.poison
    assert set(letters) == stage.poison
    ids = defaultdict(set)
    for place, letter in zip(letters, stage.letters(), strict=True):
        ids[place].add(letter["meta"]["id"])
    assert all(len(each) == 1 for each in ids.values())
    twice = sum(count - 1 for count in recorded.times_done.values())
    print(
        f"{len(stage.produced)} events, {len(stage.poison)} poison, {len(letters)} letters, {len(again)} kills, "
        f"{len(recorded.calls)} calls; {twice} delivered twice, by crash: {again}"
    )
    assert twice <= sum(again)
    # In flight in each partition, and what settled while a commit was on its way.
    assert max(again) <= (PARTITIONS * len(ROUTES) + 2 * CONCURRENCY) * BATCH


@pytest.mark.timeout(240)
def test_kill_9_at_twenty_random_moments_on_kafka(kafka, tmp_path, unique):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    with Stage(kafka, tmp_path, unique) as stage:
        also, sent = made_by_datahub(stage)
        again = crash(stage, random.Random(seed), 20, {**EAGER, **QUICK_GROUP}, also)
        assert len(stage.produced) > 2000
        assert len(sent) > 1000
        print(f"{len(sent)} of them made by DataHub's classes, for both registries")
        judge_the_end(stage, again)


@pytest.mark.timeout(240)
def test_kill_9_of_a_cooperative_member_on_kafka(kafka, tmp_path, unique):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    with Stage(kafka, tmp_path, unique) as stage:
        judge_the_end(stage, crash(stage, random.Random(seed), 4, {**COOPERATIVE, **QUICK_GROUP}))


@pytest.mark.timeout(240)
def test_kill_9_at_random_moments_on_the_mock_cluster(mock_bed, tmp_path, unique):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    with Stage(mock_bed, tmp_path, unique) as stage:
        judge_the_end(stage, crash(stage, random.Random(seed), 4, EAGER))
