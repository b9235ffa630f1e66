"""What the referee is told: by several processes together, by the poller's log, by /proc; and what a filter passes."""

from __future__ import annotations

import io
import json
import os
import time

import fastavro
import pytest

from benchmarks import corpus
from benchmarks.answers import Answer, Moment, together
from benchmarks.drivers.meter import cpu_of
from benchmarks.events import corpus_of
from benchmarks.holdings import holdings, shared_out
from benchmarks.passing import passing
from benchmarks.probes import spread_out
from benchmarks.runs import CHANGE_LOGS, PASSING
from datahub_poller.filters import compile_filters


def answer(time_, cpu, first=None, commits=None, broker=None):
    return Answer(Moment(time_, cpu, broker), first and Moment(first, 0.0), 50.0, 60.0, 100, 2, commits)


# -- several processes


def test_an_answer_is_what_a_meter_writes():
    said = {"now": {"time": 2.0, "cpu": 1.0, "broker": None}, "first": None, "rss": 1.0, "peak": 2.0}
    said |= {"events": 3, "calls": 4, "commits": None}
    assert Answer.of(said) == Answer(Moment(2.0, 1.0), None, 1.0, 2.0, 3, 4, None)


def test_one_process_together_with_nobody_is_itself():
    one = answer(10.0, 2.0, first=5.0, commits=3, broker=1.0)
    assert together([one]) == one


def test_of_several_processes_all_is_summed_but_times_and_the_broker():
    both = together([answer(10.0, 2.0, first=6.0, broker=1.0), answer(10.5, 3.0, first=5.0, broker=1.5)])
    assert both.now == Moment(10.5, 5.0, 1.5)
    assert both.first is not None
    assert both.first.time == 5.0
    assert (both.rss, both.peak, both.events, both.calls, both.commits) == (100.0, 120.0, 200, 4, None)
    assert together([answer(1.0, 1.0, commits=3), answer(1.0, 1.0, commits=4)]).commits == 7


def test_a_process_that_has_seen_no_event_yet_does_not_hide_the_others_first():
    both = together([answer(10.0, 1.0), answer(10.0, 1.0, first=7.0)])
    assert both.first is not None
    assert both.first.time == 7.0


# -- who holds what


def line(event, partition, process=None):
    said = {"at": "now", "event": event, "topic": "t", "partition": partition}
    return json.dumps(said | ({} if process is None else {"process": process}), separators=(",", ":")).encode() + b"\n"


def test_a_single_process_has_no_number_in_its_log():
    log = b"a warning that is no JSON\n" + line("partition assigned", 0) + line("partition assigned", 1)
    assert holdings(log) == {0: {("t", 0), ("t", 1)}}
    assert shared_out(log, 1, 2)
    assert not shared_out(log, 1, 3)


def test_partitions_are_shared_out_when_the_second_process_has_its_part_and_the_first_no_more_than_its_own():
    log = line("partition assigned", 0, 0) + line("partition assigned", 1, 0)
    assert not shared_out(log, 2, 2)
    log += line("partition revoked", 0, 0) + line("partition lost", 1, 0)
    assert not shared_out(log, 2, 2)
    log += line("partition assigned", 1, 1)
    assert not shared_out(log, 2, 2)
    log += line("partition assigned", 0, 0)
    assert shared_out(log, 2, 2)


def test_a_partition_that_two_hold_is_not_shared_out():
    log = line("partition assigned", 0, 0) + line("partition assigned", 0, 1)
    assert not shared_out(log, 2, 2)


def test_a_line_that_is_still_being_written_is_not_read():
    log = line("partition assigned", 0) + line("partition assigned", 1)[:-5]
    assert holdings(log) == {0: {("t", 0)}}


# -- the broker's CPU


def test_the_cpu_of_a_process_is_read_from_proc_and_unknown_where_there_is_none():
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert cpu_of(os.getpid()) == pytest.approx(sum(os.times()[:2]), abs=0.05)
    assert cpu_of(None) is None
    assert cpu_of(2**30) is None


# -- the filter and the spreading


@pytest.fixture(scope="module")
def made():
    return corpus_of(1000, seed=3)


def test_the_filter_passes_about_a_twentieth_of_the_change_logs(made):
    logs = sum(entry.topic in CHANGE_LOGS for entry in made.entries)
    assert logs == 680
    assert 0.044 <= passing(made, 1000, CHANGE_LOGS) / logs <= 0.06


def test_it_is_counted_over_repetitions_too(made):
    assert passing(made, 3000, CHANGE_LOGS) == 3 * passing(made, 1000, CHANGE_LOGS)
    assert passing(made, 1000, ()) == 0


def test_it_passes_what_the_pollers_filter_passes(made):
    only = {"MetadataChangeLogEvent_v1": {"event": list(PASSING)}}
    admitted = compile_filters([{"type": "event_type", "config": {"filter": only}}], None)
    schema = fastavro.parse_schema(json.loads(made.schemas["MetadataChangeLog"]))
    count = 0
    for entry in made.entries:
        if entry.topic in CHANGE_LOGS:
            record = fastavro.schemaless_reader(io.BytesIO(entry.body), schema)
            count += admitted.passes({"event_type": "MetadataChangeLogEvent_v1", "event": record, "meta": {}})
    assert count == passing(made, 1000, CHANGE_LOGS)


def test_thin_traffic_goes_round_the_partitions_of_each_topic(made):
    names = {topic: f"x.{topic}" for topic in corpus.TOPICS}
    sent = spread_out(made.entries, names, (63, 5, 32), 200)
    found = [(where.topic, where.partition) for where, _ in sent]
    assert len(set(found)) == 100
    assert all(found.count(each) == 2 for each in found)
    assert all(where.topic == names[entry.topic] for where, entry in sent)
