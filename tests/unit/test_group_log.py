"""The broker's log of a group, decoded: what an Apache Kafka 4.4.0 wrote, and the versions before and after."""

from __future__ import annotations

import struct
import uuid
from pathlib import Path

import pytest

from datahub_poller.model import TopicPartition
from guarantees.group_log import Written, partition_of, told
from guarantees.group_records import assignment, group_value, offset_value
from guarantees.trace import Commit, Ownership

# Two members each join a group with cooperative-sticky and group.instance.id, and one of KIP-848, whose members
# leave. Each line: seconds, key, value.
LOG = Path(__file__).parent / "group_log_kafka_4.4.0.txt"
TOPIC_ID = uuid.UUID("54e88a8c-3f0b-44e9-8ca7-12861094d231")
P0, P1, P2, P3 = (TopicPartition("t", number) for number in range(4))


def written():
    for line in LOG.read_text().splitlines():
        at, key, value = line.split()
        yield Written(bytes.fromhex(key), None if value == "-" else bytes.fromhex(value), float(at))


def own(at, epoch, **held):
    return Ownership(at, epoch, {client: frozenset(tps) for client, tps in held.items()})


# -- as a broker wrote it


def test_a_classic_group():
    log = told("coop", list(written()), {})
    assert log.commits == [Commit(P0, 5, 1795445251.518, "m\0")]
    assert log.ownerships == [
        own(1795445246.593, 0),
        own(1795445246.814, 1),
        own(1795445246.814, 1, b=[P0, P1, P2, P3]),
        own(1795445249.373, 2, b=[P2, P3]),
        own(1795445249.373, 2, b=[P2, P3], a=[]),
        own(1795445249.982, 3, b=[P2, P3], a=[]),
        own(1795445249.982, 3, b=[P2, P3], a=[P0, P1]),
    ]


def test_a_consumer_group():
    log = told("848", list(written()), {TOPIC_ID: "t"})
    assert log.commits == [Commit(P0, 5, 1795445258.758, "m\0")]
    assert log.ownerships == [
        own(1795445252.27, 0, a=[]),
        own(1795445252.27, 2, a=[P0, P1, P2, P3]),
        own(1795445253.752, 2, a=[P0, P1, P2, P3], b=[]),
        # What is pending revocation is still the old one's; the records between change nothing.
        own(1795445253.807, 3, a=[P0, P1], b=[]),
        own(1795445254.052, 3, a=[P0, P1], b=[P2, P3]),
        own(1795445258.761, 3, a=[], b=[P2, P3]),
        own(1795445258.761, 3, b=[P2, P3]),
        own(1795445258.766, 4, b=[]),
        own(1795445258.766, 4),
    ]


def test_the_names_of_topics_come_from_commits_or_are_unknown():
    assert told("848", list(written()), {}).ownerships == told("848", list(written()), {TOPIC_ID: "t"}).ownerships
    anonymous = told("848", [each for each in written() if each.key[1] != 1], {})
    assert {tp.topic for each in anonymous.ownerships for tps in each.held.values() for tp in tps} == {f"?{TOPIC_ID}"}


def test_other_groups_are_passed_over():
    assert told("coop2", list(written()), {}) == ([], [])
    assert told("84", list(written()), {}) == ([], [])


# -- as other versions write it


def text(value, flexible=False):
    if value is None:
        return b"\0" if flexible else b"\xff\xff"
    data = value.encode()
    return (bytes([len(data) + 1]) if flexible else struct.pack(">h", len(data))) + data


def data(value, flexible=False):
    return (bytes([len(value) + 1]) if flexible else struct.pack(">i", len(value))) + value


def offset(version, *, tags=b""):
    parts = [struct.pack(">hq", version, 2**40)]
    parts += [struct.pack(">i", 7)] if version >= 3 else []
    parts += [text("note", version >= 4), struct.pack(">q", 1_500)]
    parts += [struct.pack(">q", 9_999)] if version == 1 else []
    return b"".join(parts) + tags


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_offsets(version):
    assert offset_value(offset(version)) == (2**40, "note", 1.5, None)


def test_offsets_of_the_flexible_version():
    assert offset_value(offset(4, tags=b"\0")) == (2**40, "note", 1.5, None)
    tags = b"\x02\x00\x10" + TOPIC_ID.bytes + b"\x81\x01\x03new"
    assert offset_value(offset(4, tags=tags)) == (2**40, "note", 1.5, TOPIC_ID)


HELD = struct.pack(">hi", 0, 1) + text("t") + struct.pack(">iii", 2, 1, 3) + b"\xff\xff\xff\xff"


def generation(version, number, protocol, *members):
    """Members are (member id, client, assignment)."""
    flexible = version >= 4
    parts = [struct.pack(">h", version), text("consumer", flexible), struct.pack(">i", number)]
    parts += [text(protocol, flexible), text("leader", flexible)]
    parts += [struct.pack(">q", 1)] if version >= 2 else []
    parts += [bytes([len(members) + 1]) if flexible else struct.pack(">i", len(members))]
    for member_id, client, held in members:
        parts += [text(member_id, flexible)]
        parts += [text("instance", flexible)] if version >= 3 else []
        parts += [text(client, flexible), text("/127.0.0.1", flexible)]
        parts += [struct.pack(">i", 300)] if version >= 1 else []
        parts += [struct.pack(">i", 60), data(b"subscription", flexible), data(held, flexible)]
        parts += [b"\0"] if flexible else []
    return b"".join(parts) + (b"\0" if flexible else b"")


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4])
def test_generations(version):
    found = group_value(generation(version, 5, "range", ("m1", "a", HELD), ("m2", "b", b"")))
    assert (found.number, found.protocol) == (5, "range")
    instance = "instance" if version >= 3 else None
    assert [tuple(member) for member in found.members] == [
        ("m1", instance, "a", {P1, P3}),
        ("m2", instance, "b", frozenset()),
    ]


def test_assignments_of_any_version():
    for version in (0, 1, 2, 3, 9):
        assert assignment(struct.pack(">h", version) + HELD[2:]) == {P1, P3}


@pytest.mark.parametrize("decode", [offset_value, group_value])
def test_a_version_that_nobody_has_looked_at_is_an_error(decode):
    with pytest.raises(ValueError, match="a value of version 5; known are 0 to 4"):
        decode(struct.pack(">h", 5) + bytes(100))


def test_bytes_that_end_too_soon_are_an_error():
    with pytest.raises(ValueError, match="wanted at"):
        group_value(generation(3, 5, "range", ("m1", "a", HELD))[:-3])


# -- what members keep from one generation to the next


def accounts(*values):
    key = struct.pack(">h", 2) + text("g")
    return told("g", [Written(key, value, float(at)) for at, value in enumerate(values)], {}).ownerships[1:]


def test_an_eager_groups_members_give_up_everything():
    assert accounts(
        generation(3, 1, "range", ("m1", "a", HELD)), generation(3, 2, "range", ("m1", "a", HELD), ("m2", "b", b""))
    ) == [own(1.0, 2, a=[]), own(1.0, 2, a=[P1, P3], b=[])]


def test_a_cooperative_groups_members_keep_what_stays_theirs():
    first = generation(3, 1, "cooperative-sticky", ("m1", "a", HELD))
    assert accounts(first, generation(3, 2, "cooperative-sticky", ("m1", "a", HELD)))[0] == own(1.0, 2, a=[P1, P3])


def test_a_member_with_a_new_id_had_lost_everything():
    """Its client was told so by itself, and joined anew."""
    first = generation(3, 1, "cooperative-sticky", ("m1", "a", HELD))
    second = generation(3, 2, "cooperative-sticky", ("m9", "a", HELD))
    assert accounts(first, second) == [own(1.0, 2), own(1.0, 2, a=[P1, P3])]


def test_others_take_no_notice_of_a_static_member_that_comes_back():
    first = generation(3, 1, "range", ("m1", "a", HELD), ("m2", "b", b""))
    second = generation(3, 1, "range", ("m1", "a", HELD), ("m3", "b", b""))
    assert accounts(first, second) == [own(1.0, 1, a=[P1, P3]), own(1.0, 1, a=[P1, P3], b=[])]


# -- where it is


@pytest.mark.parametrize(
    ("group", "number"), [("range", 25), ("", 0), ("tag-sync", 8), ("дата-😀", 16), ("polygenelubricants", 0)]
)
def test_the_partition_of_a_group_is_by_javas_hash(group, number):
    assert partition_of(group, 50) == number
