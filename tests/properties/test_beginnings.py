"""A group's beginnings in any order of starts, kills, rebalances, records and new partitions: nothing is lost.

The real questions and commits, with the world going on between any two of them (`support/toy_cluster.py`).
"""

from __future__ import annotations

import pytest

from support.toy_cluster import ToyCluster

HISTORIES = 250
TURNS = 40


def played(seed, start="latest", **more):
    topics = {"one": 1 + seed // 2 % 4, **({"two": 1 + seed // 8 % 3} if seed % 2 else {})}
    cluster = ToyCluster(seed, topics, start, **more)
    for _ in range(TURNS):
        cluster.turn()
    cluster.drain()
    return cluster


def lost(cluster):
    """What the group owes and nobody was given: all that came after its first commit for a topic."""
    found = {}
    for tp, end in cluster.ends.items():
        owed = range(cluster.begun.get(tp.topic, {}).get(tp, 0), end)
        if missing := set(owed) - cluster.delivered.get(tp, set()):
            found[tp] = sorted(missing)
    return found


def test_nothing_after_the_groups_first_start_is_lost_and_latest_delivers_nothing_from_before():
    interruptions = later = 0
    for seed in range(HISTORIES):
        taken_over = seed % 3 == 0
        cluster = played(seed, taken_over=taken_over)
        assert not lost(cluster), f"seed {seed}"
        for tp, before in cluster.before_anybody.items():
            if not (taken_over and tp.topic == "one"):
                assert min(cluster.delivered.get(tp, {before}), default=before) >= before, f"seed {seed}, {tp}"
        if cluster.made_after_a_commit:
            later += 1
            for tp in cluster.of_topic("later"):
                assert set(range(cluster.ends[tp])) <= cluster.delivered.get(tp, set()), f"seed {seed}, {tp}"
        interruptions += cluster.interruptions
    assert interruptions > 10 * HISTORIES, "the world hardly went on between questions"
    assert later > HISTORIES // 5, "hardly a topic came after the group"


@pytest.mark.parametrize("start", ["earliest", "latest"])
def test_nothing_is_lost_beside_a_member_that_commits_no_start_positions(start):
    for seed in range(HISTORIES // 5):
        cluster = played(seed, start, alien=True)
        missing = {tp: offsets for tp, offsets in lost(cluster).items() if tp.partition != 0}
        assert not missing, f"seed {seed}"


def test_latest_means_the_start_of_the_process_however_long_joining_takes():
    cluster = ToyCluster(1, {"one": 2})
    cluster.start()
    before = dict(cluster.ends)
    for tp in cluster.ends:
        cluster.ends[tp] += 3
    cluster.now += 300.0
    cluster.drain()
    assert cluster.delivered == {tp: set(range(end, end + 3)) for tp, end in before.items()}


def test_a_member_that_stood_still_after_its_look_looks_again_before_it_commits_for_all():
    cluster = ToyCluster(1, {"one": 2})
    cluster.start()
    (member,) = cluster.members
    cluster.meanwhile = lambda: setattr(cluster, "now", cluster.now + 6.0)
    member.turn()
    assert (cluster.committed, member.positions) == ({}, {})
    cluster.meanwhile = lambda: None
    member.turn()
    assert member.positions == {tp: end for tp, end in cluster.ends.items() if tp in member.owned}
    assert set(cluster.committed) == set(cluster.ends)
