"""When a task is protected from scaling: in virtual time, and every answer of ECS's agent from a server on loopback."""

from __future__ import annotations

import logging

import pytest

from datahub_poller.ecs_agent import EcsAgent
from datahub_poller.errors import CannotStart
from datahub_poller.observe.status import Board, PartitionStatus, PollerStatus
from datahub_poller.protection import LEASE_SECONDS, LONG_SECONDS, RETRY_SECONDS, Protection, Wish, at_work
from support.ecs_agent import AgentStandIn

PROTECT, LET_GO = Wish(protected=True), Wish(protected=False)


def status(in_flight=5, moved=100.0):
    part = PartitionStatus("t", 0, "in_flight", in_flight=in_flight, moved=moved)
    idle = PartitionStatus("t", 1, "idle", moved=0.0)
    return PollerStatus("a", "1", "running", partitions=(idle, part))


@pytest.mark.parametrize(
    ("in_flight", "moved", "now", "busy"),
    [
        (5, 100.0, 100.0 + LONG_SECONDS, True),
        (5, 100.0, 99.9 + LONG_SECONDS, False),
        (5, 100.0, 159.9, True),
        (5, 100.0, 160.0, False),
        (0, 100.0, 110.0, False),
        (5, None, 110.0, False),
    ],
)
def test_work_counts_from_2_s_on_and_up_to_its_limit(in_flight, moved, now, busy):
    assert at_work(status(in_flight, moved), now, limit=60.0) is busy


def test_it_is_asked_for_once_renewed_in_time_and_let_go_of():
    protection = Protection()
    said = []
    for second in range(1000):
        wish = protection.wish(busy=10 <= second < 900, now=float(second))
        if wish is not None:
            protection.told(wish, float(second))
            said.append((second, wish.protected))
    half = int(LEASE_SECONDS / 2)
    assert said == [(10, True), (11 + half, True), (12 + 2 * half, True), (900, False)]


def test_after_a_failure_it_waits():
    protection = Protection()
    assert protection.wish(busy=True, now=0.0) == PROTECT
    protection.failed(0.0)
    assert protection.wish(busy=True, now=RETRY_SECONDS - 1) is None
    assert protection.wish(busy=True, now=RETRY_SECONDS) == PROTECT
    protection.told(PROTECT, RETRY_SECONDS)
    assert protection.wish(busy=False, now=RETRY_SECONDS + 1) == LET_GO


@pytest.fixture
def agent():
    with AgentStandIn() as running:
        yield running


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.DEBUG, "datahub_poller")
    return lambda: [(record.levelname, record.message) for record in caplog.records]


def test_the_agent_is_asked_as_ecs_documents_it(agent):
    board, now = Board(), [110.0]
    spared = EcsAgent(agent.uri, board, 60.0, clock=lambda: now[0])
    spared.look()
    board.publish(status())
    spared.look()
    spared.look()
    board.publish(status(in_flight=0))
    spared.look()
    spared.look()
    path = "/api/task-1/task-protection/v1/state"
    assert agent.asked == [
        (path, {"ProtectionEnabled": True, "ExpiresInMinutes": 10}),
        (path, {"ProtectionEnabled": False}),
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            (400, {"error": {"Code": "AccessDeniedException", "Message": "no"}}),
            "AccessDeniedException: no: the task's role needs ecs:UpdateTaskProtection",
        ),
        ((200, {"failure": {"Reason": "DEPLOYMENT_BLOCKED", "Detail": "later"}}), "DEPLOYMENT_BLOCKED: later"),
        ((500, b"oops"), "the agent of ECS answers 500"),
        ((200, b"[]"), "the agent of ECS answers 200"),
        ((200, {}), "the agent of ECS answers 200"),
    ],
)
def test_a_refusal_is_told_once_and_asked_again_later(answer, reason, agent, caplog):
    caplog.set_level(logging.DEBUG, "datahub_poller")
    board, now = Board(), [110.0]
    spared = EcsAgent(agent.uri, board, 6000.0, clock=lambda: now[0])
    board.publish(status())
    agent.answer = answer
    for _ in range(4):
        spared.look()
        now[0] += RETRY_SECONDS / 2
    assert len(agent.asked) == 2
    (told,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert told.message == "the task cannot be protected from scaling"
    assert reason in str(vars(told))


def test_an_agent_that_is_not_there_is_told(said):
    board = Board()
    board.publish(status())
    EcsAgent("http://127.0.0.1:9/api", board, 60.0, clock=lambda: 110.0).look()
    assert said() == [("WARNING", "the task cannot be protected from scaling")]


@pytest.mark.parametrize("uri", [None, "", "agent", "https://169.254.170.2/api", "http://"])
def test_elsewhere_than_on_ecs_it_does_not_start(uri):
    with pytest.raises(CannotStart, match="ECS_AGENT_URI"):
        EcsAgent(uri, Board(), 60.0)
