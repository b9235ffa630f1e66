"""Which of Kafka's errors never pass by themselves, what keeps a member out of its group, and what is said of each."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException

from datahub_poller.errors import Fatal
from datahub_poller.kafka import membership
from datahub_poller.kafka.assignors import doubt
from datahub_poller.kafka.fatal import is_fatal, outcome
from datahub_poller.kafka.membership import EVERY_SECONDS, FIRST_SECONDS, Membership
from datahub_poller.kafka.source import REJOIN_SECONDS, KafkaSource
from datahub_poller.kafka.trouble import Trouble
from datahub_poller.model import TopicPartition

DEAD = {
    KafkaError.FENCED_INSTANCE_ID: "group.instance.id",
    KafkaError.UNSUPPORTED_ASSIGNOR: "group.remote.assignor",
    KafkaError.UNSUPPORTED_VERSION: "group.protocol",
    KafkaError._UNSUPPORTED_FEATURE: "group.protocol",
}
WRONG = {KafkaError.INVALID_SESSION_TIMEOUT: "session.timeout.ms", KafkaError.INVALID_GROUP_ID: "group.id"}
KEPT_OUT = {
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: "partition.assignment.strategy",
    KafkaError.GROUP_MAX_SIZE_REACHED: "group.max.size",
}


def of_a_message(code: int) -> KafkaError:
    """As a consumer gets it: without the flag, and the first cause as text."""
    words = KafkaError(code).str()
    return KafkaError(KafkaError._FATAL, f"Fatal error: {words}: ConsumerGroupHeartbeat fatal error: {words}")


def by_callback(code: int) -> KafkaError:
    """As an error callback gets it."""
    return KafkaError(code, KafkaError(code).str(), fatal=True)


# -- by code and by flag


@pytest.mark.parametrize("made", [of_a_message, by_callback])
@pytest.mark.parametrize(("code", "key"), DEAD.items())
def test_a_fatal_error_is_known_by_code_or_flag_and_told_with_its_cause_and_the_key(made, code, key):
    error = made(code)
    assert is_fatal(error)
    found = outcome(error)
    assert found is not None
    assert found[0] == "fatal"
    assert KafkaError(code).str() in found[1]
    assert key in found[1]
    with pytest.raises(Fatal, match=key):
        Trouble(lambda: 0.0).on_error(error)


def test_a_fatal_error_of_an_unknown_cause_is_fatal_with_its_text():
    assert outcome(KafkaError(KafkaError._FATAL, "Fatal error: something new")) == (
        "fatal",
        "Fatal error: something new",
    )


@pytest.mark.parametrize("made", [of_a_message, by_callback])
def test_a_dead_members_session_is_the_one_fatal_error_that_is_waited_out(made):
    found = outcome(made(KafkaError.UNRELEASED_INSTANCE_ID))
    assert found is not None
    assert found[0] == "rejoin"
    assert "group.instance.id" in found[1]


@pytest.mark.parametrize(("code", "key"), WRONG.items())
def test_a_setting_that_the_group_refuses_is_fatal_although_the_client_tries_again(code, key):
    found = outcome(KafkaError(code, f"JoinGroup failed: {KafkaError(code).str()}"))
    assert found is not None
    assert found[0] == "fatal"
    assert key in found[1]


@pytest.mark.parametrize(("code", "key"), KEPT_OUT.items())
def test_what_passes_when_others_go_keeps_out_and_names_the_key(code, key):
    found = outcome(KafkaError(code))
    assert found is not None
    assert found[0] == "kept out"
    assert key in found[1]


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError.MEMBER_ID_REQUIRED,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.UNSUPPORTED_VERSION,
    ],
)
def test_what_passes_by_itself_means_nothing_for_the_membership(code):
    assert outcome(KafkaError(code)) is None


# -- joining again


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class DeadConsumer:
    """Tells one error, and never anything again."""

    made: ClassVar[list[Any]] = []

    def __init__(self, error: KafkaError | None = None) -> None:
        self.error, self.closed, self.subscribed = error, False, False
        self.made.append(self)

    def subscribe(self, *_: Any, **__: Any) -> None:
        self.subscribed = True

    def consume(self, *_: Any) -> list[Any]:
        error, self.error = self.error, None
        return [] if error is None else [SimpleNamespace(error=lambda: error, topic=str, partition=int)]

    def memberid(self) -> str:
        return "m"

    def close(self) -> None:
        self.closed = True


class Listener:
    def __init__(self) -> None:
        self.troubles: list[str | None] = []
        self.gone: list[TopicPartition] = []

    def trouble(self, reason: str | None) -> None:
        self.troubles.append(reason)

    def lost(self, partitions: Any) -> None:
        self.gone += partitions

    def committed(self, *_: Any) -> None:
        raise AssertionError


@pytest.fixture
def clock():
    return Clock()


def joined(clock, error):
    config = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0}
    made = KafkaSource(config, "earliest", clock, logging.getLogger("test"))
    made._consumer.close()
    DeadConsumer.made.clear()
    made._consumer = DeadConsumer(error)  # type: ignore[assignment]
    made._made = DeadConsumer  # type: ignore[method-assign, assignment]
    made._membership.look = lambda _: None  # type: ignore[method-assign]
    listener: Any = Listener()
    made.subscribe(["t"], listener)
    return made, listener


def test_while_a_dead_members_session_lasts_it_is_red_and_a_new_client_tries_to_join(clock):
    made, listener = joined(clock, of_a_message(KafkaError.UNRELEASED_INSTANCE_ID))
    assert made.poll(1, 0.0) == []
    assert "group.instance.id" in listener.troubles[-1]
    made.poll(1, 0.0)
    assert len(DeadConsumer.made) == 1, "too early"
    clock.now += REJOIN_SECONDS
    made.poll(1, 0.0)
    old, new = DeadConsumer.made
    assert (old.closed, new.closed, new.subscribed) == (True, False, True)
    assert listener.troubles[-1] is not None, "red until the group has let it in"
    assert made._beginnings._consumer is new


def test_what_it_owned_when_its_client_died_is_lost(clock):
    made, listener = joined(clock, of_a_message(KafkaError.UNRELEASED_INSTANCE_ID))
    made._starts = {TopicPartition("t", 0): 5}
    made._unresolved = {TopicPartition("t", 1)}
    made._resolve_at = float("inf")
    made.poll(1, 0.0)
    assert sorted(listener.gone) == [TopicPartition("t", 0), TopicPartition("t", 1)]
    assert not made._starts


def test_a_fatal_error_comes_out_of_poll(clock):
    made, _ = joined(clock, of_a_message(KafkaError.FENCED_INSTANCE_ID))
    with pytest.raises(Fatal, match=r"group\.instance\.id"):
        made.poll(1, 0.0)


def test_what_keeps_it_out_stays_red_however_well_the_brokers_answer(clock):
    made, listener = joined(clock, KafkaError(KafkaError.INCONSISTENT_GROUP_PROTOCOL))
    made.poll(1, 0.0)
    clock.now += 60.0
    made.poll(1, 0.0)
    assert "partition.assignment.strategy" in listener.troubles[-1]
    assert len(DeadConsumer.made) == 1


# -- whether it is a member


class Admin:
    """Describes a group when told to."""

    def __init__(self) -> None:
        self.asked: list[Future[Any]] = []

    def poll(self, _: float) -> None:
        pass

    def describe_consumer_groups(self, groups: list[str], **_: Any) -> dict[str, Future[Any]]:
        self.asked.append(Future())
        return dict.fromkeys(groups, self.asked[-1])


@pytest.fixture
def admin(monkeypatch):
    made = Admin()
    client: Future[Any] = Future()
    client.set_result(made)
    monkeypatch.setattr(membership, "made_aside", lambda *_: client)
    return made


def asking(clock):
    found = Membership({}, "g", clock, logging.getLogger("test"))
    found.joining()
    return found


def members(*ids):
    return SimpleNamespace(members=[SimpleNamespace(member_id=each) for each in ids])


def test_a_member_without_partitions_is_known_by_what_the_brokers_say(clock, admin):
    found = asking(clock)
    found.look(lambda: "me")
    assert admin.asked == [], "an assignment usually comes at once"
    clock.now += FIRST_SECONDS
    found.look(lambda: "me")
    admin.asked[0].set_result(members("other"))
    found.look(lambda: "me")
    assert not found.joined
    found.look(lambda: "me")
    assert len(admin.asked) == 1
    clock.now += EVERY_SECONDS
    found.look(lambda: "me")
    admin.asked[1].set_result(members("other", "me"))
    found.look(lambda: "me")
    assert found.joined


def test_without_the_right_to_describe_the_group_it_stays_unknown_and_is_asked_again(clock, admin):
    found = asking(clock)
    clock.now += FIRST_SECONDS
    found.look(lambda: None)
    admin.asked[0].set_exception(KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)))
    found.look(lambda: None)
    assert not found.joined
    clock.now += EVERY_SECONDS
    found.look(lambda: None)
    assert len(admin.asked) == 2


def test_an_assignment_is_an_answer_and_joining_anew_asks_again(clock, admin):
    found = asking(clock)
    found.assigned()
    clock.now += 100.0
    found.look(lambda: "me")
    assert (found.joined, admin.asked) == (True, [])
    found.joining()
    assert not found.joined


# -- assignors


def test_an_assignor_that_the_brokers_lack_is_named_with_those_that_they_have():
    assert doubt("uniform", None) is None
    assert "exit code 1" in (doubt("nonsense", None) or "")
    assert "uniform" in (doubt("nonsense", frozenset({"uniform"})) or "")
    assert doubt("own", frozenset({"own"})) is None
