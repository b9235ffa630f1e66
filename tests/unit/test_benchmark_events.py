"""The benchmark's events: the same for a seed, in the mix that is promised, readable by their schemas; their file."""

from __future__ import annotations

import io
import json
from collections import Counter

import fastavro
import pytest

from benchmarks import corpus
from benchmarks.events import SHARES, corpus_of
from datahub_poller.decode.framing import split


def kinds(entries, schemas):
    parsed = {name: fastavro.parse_schema(json.loads(text)) for name, text in schemas.items()}
    found = []
    for entry in entries:
        body = io.BytesIO(entry.body)
        record = fastavro.schemaless_reader(body, parsed[corpus.SCHEMA_OF_TOPIC[entry.topic]])
        assert not body.read()
        found.append(record.get("aspectName") or record["name"])
    return found


@pytest.fixture(scope="module")
def made():
    return corpus_of(300, seed=5)


def test_a_seed_gives_the_same_bytes_always_and_another_one_gives_others(made):
    assert corpus_of(300, seed=5) == made
    other = corpus_of(300, seed=6)
    assert not set(other.entries) & set(made.entries)


def test_fewer_events_of_a_seed_are_the_first_of_more(made):
    assert corpus_of(150, seed=5).entries == made.entries[:150]


def test_all_events_are_distinct(made):
    assert len(set(made.entries)) == len(made.entries)


def test_every_hundred_events_hold_the_mix(made):
    assert sum(SHARES.values()) == 100
    found = kinds(made.entries, made.schemas)
    for start in (0, 100, 200):
        assert Counter(found[start : start + 100]) == SHARES
    assert found[:100] != found[100:200]


def test_kinds_stand_in_the_topics_where_datahub_puts_them(made):
    by_topic = {topic: set() for topic in corpus.TOPICS}
    for entry, kind in zip(made.entries, kinds(made.entries, made.schemas), strict=True):
        by_topic[entry.topic].add(kind)
    versioned = SHARES.keys() - {"datasetProfile", "entityChangeEvent"}
    assert list(by_topic.values()) == [versioned, {"datasetProfile"}, {"entityChangeEvent"}]


def test_schemas_of_tables_are_large_and_the_rest_is_not(made):
    sizes: dict[str, list[int]] = {}
    for entry, kind in zip(made.entries, kinds(made.entries, made.schemas), strict=True):
        sizes.setdefault(kind, []).append(len(entry.body))
    means = {kind: sum(each) / len(each) for kind, each in sizes.items()}
    assert 10_000 < means.pop("schemaMetadata") < 50_000
    assert 4_000 < means.pop("datasetProfile") < 12_000
    assert all(300 < mean < 2_000 for mean in means.values()), means


def test_the_file_holds_what_was_written(made, tmp_path):
    path = tmp_path / "events.bin"
    corpus.write(path, made)
    assert corpus.read(path) == made
    assert [each.name for each in tmp_path.iterdir()] == ["events.bin"]


def test_a_list_that_ends_begins_again(made):
    assert list(corpus.cycled(made.entries[:3], 7)) == [*made.entries[:3], *made.entries[:3], made.entries[0]]


def test_a_key_has_one_partition_and_both_are_used(made):
    partitions = {entry.key: corpus.partition_of(entry.key, 2) for entry in made.entries}
    assert set(partitions.values()) == {0, 1}


@pytest.mark.parametrize("framing", corpus.FRAMINGS)
def test_the_poller_takes_each_framing_apart_into_the_same_bytes(made, framing):
    for entry in made.entries[:100]:
        assert split(corpus.framed(entry, framing), "auto").payload == entry.body
