"""The action that DataHub Actions runs: one event at a time, as its contract has it."""

from __future__ import annotations

from typing import Any

from acting import act_on
from datahub_actions.action.action import Action
from datahub_actions.event.event_envelope import EventEnvelope
from datahub_actions.pipeline.pipeline_context import PipelineContext


class RecordingAction(Action):
    """Named in the action file as `their_action:RecordingAction`."""

    @classmethod
    def create(cls, config_dict: dict[str, Any], ctx: PipelineContext) -> RecordingAction:
        return cls()

    def act(self, event: EventEnvelope) -> None:
        act_on(event.meta["kafka"])

    def close(self) -> None:
        """Nothing is held."""
