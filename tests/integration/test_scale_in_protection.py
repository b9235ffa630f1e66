"""A real poller on a task of ECS: the agent is asked for protection during a long batch, and let go of after it."""

from __future__ import annotations

import pytest

from support.ecs_agent import AgentStandIn
from support.running import Stage

ON_ECS = {"shutdown/scale_in_protection": "ecs"}


@pytest.fixture
def stage(mock_bed, tmp_path, unique):
    with Stage(mock_bed, tmp_path, unique) as stage:
        stage.create(1, "pe")
        yield stage


def protected(agent):
    return [body["ProtectionEnabled"] for _, body in agent.asked]


def test_a_long_batch_is_protected_until_it_is_done_and_short_ones_are_not(stage):
    with AgentStandIn() as agent:
        stage.send("pe", 0, 5)
        poller = stage.start(stage.action(ON_ECS), ECS_AGENT_URI=agent.uri)
        poller.until(stage.all_committed, "not committed")
        assert protected(agent) == []
        stage.plan(hold="go")
        stage.send("pe", 0, 5)
        poller.until(lambda: protected(agent) == [True], "not protected")
        stage.release("go")
        poller.until(lambda: protected(agent) == [True, False], "it is not let go of")
        poller.until(stage.all_committed, "not committed")
        assert poller.stop() == 0
        assert {path for path, _ in agent.asked} == {"/api/task-1/task-protection/v1/state"}


def test_an_agent_that_refuses_costs_a_warning_and_no_event(stage):
    with AgentStandIn() as agent:
        agent.answer = (400, {"error": {"Code": "AccessDeniedException", "Message": "no"}})
        stage.plan(hold="go")
        stage.send("pe", 0, 5)
        poller = stage.start(stage.action(ON_ECS), ECS_AGENT_URI=agent.uri)
        line = poller.wait_for("the task cannot be protected from scaling")
        assert "ecs:UpdateTaskProtection" in line["reason"]
        stage.release("go")
        poller.until(stage.all_committed, "not committed")
        assert poller.stop() == 0


def test_elsewhere_than_on_ecs_it_ends_with_the_key_and_the_remedy(stage):
    poller = stage.start(stage.action(ON_ECS))
    assert poller.wait() == 3
    (line,) = poller.lines("could not start")
    assert "shutdown.scale_in_protection" in line["reason"]
    assert "ECS_AGENT_URI" in line["reason"]
